/*
 * stats.h
 *		A user's statistics of one game, while a group of actions runs.
 *
 * They stand in the user's account (play/games.h), which every action writes anyway.
 * Games for which there is no room there have rows in game_stats_more.
 */
#ifndef ECO_STATS_H
#define ECO_STATS_H

#include "postgres.h"

#include "ledger/rows.h"
#include "play/action.h"
#include "play/games.h"

/* Whoever reads statistics opens these and eco_accounts. */
extern EcoTable eco_game_stats_more;
extern EcoTable eco_games;

typedef struct EcoGameStats
{
	EcoText		game;
	EcoFigures	figures;
	bool		registered;
	bool		exists;			/* they were found, not made here */
	bool		has_row;		/* in game_stats_more, or will have */
	bool		row_stored;
	EcoRow		row;
	int64		total_before;	/* as stored: more now means that something
								 * was counted since */
} EcoGameStats;

/* What is stored of one game, under the active snapshot. */
extern bool eco_stats_find(int64 user_id, Datum game, EcoFigures *figures);

/* Of all games, by name; palloc'd, *n of them. */
extern EcoGame *eco_stats_all(int64 user_id, int *n);

/* Whether some of the user's games have rows, for which the account has no room. */
extern bool eco_stats_have_rows(const EcoAccount *account);

/*
 * Reads under the active snapshot; account: the user's, locked, or NULL for an action
 * that is there already.
 */
extern void eco_stats_load(EcoGameStats *stats, const EcoAccount *account, int64 user_id,
						   const EcoText *game);

/* False when a sum would pass the largest bigint. */
extern bool eco_stats_fit(const EcoGameStats *stats, const EcoAction *action);
extern void eco_stats_count(EcoGameStats *stats, const EcoAction *action,
							EcoOutcome outcome, TimestampTz at);

/*
 * Put what was counted into the account, before its flush; and after it write the row
 * of a game that had no room there.
 */
extern void eco_stats_put(EcoGameStats *stats, EcoAccount *account);
extern void eco_stats_write(EcoGameStats *stats, const EcoAccount *account);

#endif
