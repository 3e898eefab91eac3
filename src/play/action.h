/*
 * action.h
 *		Game actions: grouped by user, statistics written once per game.
 */
#ifndef ECO_ACTION_H
#define ECO_ACTION_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "ledger/args.h"
#include "ledger/entry.h"
#include "ledger/result.h"

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
	EcoOutcome	outcome;
	Jsonb	   *details;		/* or NULL */
	int			number;			/* place in a batch, from 0 */

	/* set when recorded, within the user's actions of the same call */
	bool		repeated;		/* an earlier one has the same key */
	int			game_number;	/* of its games, from 0 */
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
 * Whether bet and win are amounts; callers raise ECO_INVALID_ARGUMENT with
 * this message if not.
 */
extern bool eco_action_in_range(const EcoAction *action);

#define ECO_ACTION_RANGE "bet and win must be from 0 to 2^53-1"

/* win, loss or draw; a NULL word is derived; raises for another word. */
extern EcoOutcome eco_outcome_of(const char *word, int len);

/*
 * Called with each action's result in the order of processing: by user, and a
 * user's actions in the order of the batch.  Runs in a short-lived context.
 */
typedef void (*EcoActionSink) (void *arg, const EcoAction *action, EcoResult *result);

/* What a single action does while another call is in the same action. */
typedef enum EcoDuplicate
{
	ECO_DUPLICATE_TELL,			/* it is answered in_progress */
	ECO_DUPLICATE_WAIT			/* it waits for the account, as a group does */
} EcoDuplicate;

/*
 * Record n actions.  Users are locked in the order of user_id; the account and
 * every statistics row are written once.
 */
extern void eco_actions_record(EcoAction *actions, int n, EcoDuplicate duplicate,
							   TupleDesc result_desc, EcoActionSink sink, void *arg);

#endif
