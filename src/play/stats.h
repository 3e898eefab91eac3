/*
 * stats.h
 *		A user's statistics of one game, while a group of actions runs.
 */
#ifndef ECO_STATS_H
#define ECO_STATS_H

#include "postgres.h"

#include "ledger/rows.h"
#include "play/action.h"

/* columns of economy.game_stats */
enum
{
	STA_USER_ID,
	STA_GAME,
	STA_TOTAL,
	STA_WINS,
	STA_LOSSES,
	STA_DRAWS,
	STA_MAX_WIN,
	STA_BET_SUM,
	STA_WIN_SUM,
	STA_LAST_ACTION_AT,
	STA_COLUMNS
};

extern EcoTable eco_game_stats;
extern EcoTable eco_games;

typedef struct EcoGameStats
{
	EcoRow		row;
	EcoText		game;
	bool		registered;
	bool		exists;			/* the row was found, not made here */
	bool		stored;			/* there is a row: found, or written since */
	int64		total_before;	/* as stored: more now means that something
								 * was counted since */
	int			reading;		/* Player.reading of action.c when it was
								 * read; less than that now: it is outdated */
} EcoGameStats;

/* The stored row, under the active snapshot. */
extern bool eco_stats_find(int64 user_id, Datum game, EcoRow *row);

/* Reads under the active snapshot; the account lock covers the row. */
extern void eco_stats_load(EcoGameStats *stats, int64 user_id, const EcoText *game);

/* False when a sum would pass the largest bigint. */
extern bool eco_stats_fit(const EcoGameStats *stats, const EcoAction *action);
extern void eco_stats_count(EcoGameStats *stats, const EcoAction *action,
							EcoOutcome outcome, TimestampTz at);

/* Whether anything was counted since the row was read or written. */
extern bool eco_stats_changed(const EcoGameStats *stats);

/* Write the row, when anything was counted. */
extern void eco_stats_flush(EcoGameStats *stats, const EcoAccount *account);

#endif
