/*
 * action.h
 *		A game action for an account that is locked: its rules, its entry and its answer.
 *		record.c makes one of each call, actions.c many of one call.
 */
#ifndef ECO_ACTION_H
#define ECO_ACTION_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "ledger/calls.h"

/* columns of economy.user_actions after the header */
enum
{
	ACT_DIGEST = ECO_HEADER_COLUMNS,	/* of game and action_id */
	ACT_BET,
	ACT_WIN,
	ACT_OUTCOME,
	ACT_GAME,
	ACT_TYPE,
	ACT_ID,
	ACT_DETAILS,
	ACT_COLUMNS
};

extern const EcoJournal eco_actions;

#define ECO_ACT_BY_KEY 1

/*
 * What reading and writing statistics opens, up to NULL, the same of an action that gives XP,
 * and what new actions do beyond that.
 */
extern EcoTable *const eco_action_tables[];
extern EcoTable *const eco_action_tables_with_xp[];
extern EcoTable *const eco_action_tables_of_new[];

typedef enum EcoOutcome
{
	ECO_OUTCOME_DERIVED,		/* from bet and win */
	ECO_OUTCOME_WIN,
	ECO_OUTCOME_LOSS,
	ECO_OUTCOME_DRAW
} EcoOutcome;

typedef struct EcoAction
{
	int64		user_id;
	EcoText		game;
	EcoText		action_type;
	EcoText		action_id;
	int64		bet;			/* gold staked, >= 0 */
	int64		win;			/* gold paid out, >= 0 */
	int64		xp;				/* given, >= 0 */
	EcoOutcome	outcome;
	Jsonb	   *details;		/* or NULL */
	int			number;			/* of many, which the caller gives it */
} EcoAction;

/* columns of economy.action_result after the common ones */
enum
{
	ACTION_GOLD_DELTA = ECO_RES_OWN,
	ACTION_GOLD,
	ACTION_TOTAL,
	ACTION_WINS,
	ACTION_LOSSES,
	ACTION_MAX_WIN,
	ACTION_RETRY_AFTER_MS,
	ACTION_DETAIL,
	ACTION_COLUMNS
};
#define ACTION_TYPES "bttt" "llllll" "ij"

/*
 * What is wrong when bet, win or XP is no amount, else NULL; callers raise
 * ECO_INVALID_ARGUMENT with this message.
 */
extern const char *eco_action_wrong(const EcoAction *action);

/* win, loss or draw; a NULL word is derived; raises for another word. */
extern EcoOutcome eco_outcome_of(const char *word, int len);

struct EcoGameStats;

/*
 * Apply the rules.  True: the entry is to be made, and booked, and eco_action_made()
 * called.  False: it is refused, and answered.  stats: of its user and game.
 */
extern bool eco_action_try(const EcoAction *action, const EcoAccount *account,
						   const struct EcoGameStats *stats, EcoResult *result);
extern void eco_action_entry(const EcoAction *action, EcoEntry *entry);

/* Counts it, too. */
extern void eco_action_made(const EcoAction *action, EcoEntry *entry,
							struct EcoGameStats *stats, EcoResult *result);

/* The answer when the entry has been made by a call before; the statistics are those of now. */
extern void eco_action_replay(const EcoAction *action, const EcoRow *first,
							  const struct EcoGameStats *stats, EcoResult *result);

/* Record n actions (calls.h). */
extern void eco_actions_record(EcoAction *actions, int n, TupleDesc result_desc,
							   EcoCallSink sink, void *arg);

#endif
