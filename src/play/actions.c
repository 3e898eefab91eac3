/*
 * actions.c
 *		economy.record_actions(): many actions in one call, each with its own outcome.
 *
 * They are made by the rules of a single action, on accounts that are all locked
 * (calls.h), in the order of the batch; the statistics of a game are read and written
 * once.
 */
#include "postgres.h"

#include "crash_point.h"
#include "errors.h"
#include "ledger/level.h"
#include "play/action.h"
#include "play/pruned.h"
#include "play/stats.h"

PG_FUNCTION_INFO_V1(eco_record_actions);

/* Of a user and a game, as they are when all actions so far are written. */
typedef struct Game
{
	EcoGameStats stats;
	uint64		reading;		/* EcoCalls.reading when they were read */
	bool		put;			/* into the account */
} Game;

static void read_action(EcoElement *element, void *into);
static void tell(EcoCallOf *call);
static Game *game_of(EcoCalls *calls, const EcoCallOf *call);
static bool may_have(EcoCalls *calls, EcoCallOf *call);
static void make(EcoCalls *calls, EcoCallOf *call, EcoCallState state, EcoResult *result);
static void post(EcoCalls *calls, EcoCallOf *call, Game *game, EcoResult *result);
static void put_stats(EcoCalls *calls, EcoCallOf *first);
static void write_stats(EcoCalls *calls, EcoCallOf *first);

static EcoTable *const tables[] = {
	&eco_game_stats_more, &eco_games, &eco_pruned_actions, ECO_LEVEL_TABLES, NULL
};

static const EcoBatch batch = {
	.what = "action",
	.objects = "actions",
	.members = (const char *const[])
	{
		"user_id", "game", "action_type", "action_id", "bet", "win", "outcome", "details",
		"xp", NULL
	},
	.arrays = (const char *const[])
	{
		"user_ids", "games", "action_types", "action_ids", "bets", "wins", "outcomes", "details",
		"xp", NULL
	},
	.required = 4,
	.most = ECO_MAX_BATCH,
	.size = sizeof(EcoAction),
	.read = read_action,
};

static const EcoCallKind actions = {
	.function = "economy.record_actions()",
	.result_types = ACTION_TYPES,
	.batch = &batch,
	.journal = &eco_actions,
	.key = ECO_ACT_BY_KEY,
	.tables = tables,
	.tell = tell,
	.may_have = may_have,
	.make = make,
	.flush = put_stats,
	.flushed = write_stats,
};

/*
 * eco_record_actions(actions jsonb)
 * eco_record_actions(user_ids bigint[], games text[], action_types text[],
 *					  action_ids text[], bets bigint[], wins bigint[],
 *					  outcomes text[], details jsonb[], xp bigint[])
 *		returns setof action_result
 */
Datum
eco_record_actions(PG_FUNCTION_ARGS)
{
	return eco_calls_function(&actions, fcinfo);
}

void
eco_actions_record(EcoAction *items, int n, TupleDesc result_desc, EcoCallSink sink, void *arg)
{
	eco_calls_make(&actions, items, n, result_desc, sink, arg);
}

static void
read_action(EcoElement *element, void *into)
{
	EcoAction  *action = into;
	const char *wrong;

	action->number = eco_element_number(element);
	action->user_id = eco_element_int(element, 0);
	action->game = eco_element_text(element, 1, ECO_MAX_NAME);
	action->action_type = eco_element_text(element, 2, ECO_MAX_NAME);
	action->action_id = eco_element_text(element, 3, ECO_MAX_KEY);
	action->bet = eco_element_int_or(element, 4, 0);
	action->win = eco_element_int_or(element, 5, 0);
	if (eco_element_has(element, 6))
	{
		EcoText		outcome = eco_element_text(element, 6, ECO_MAX_NAME);

		action->outcome = eco_outcome_of(outcome.data, outcome.len);
	}
	action->details = eco_element_object(element, 7);
	action->xp = eco_element_int_or(element, 8, 0);
	wrong = eco_action_wrong(action);
	if (wrong != NULL)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("action %d: %s", action->number + 1, wrong));
}

static void
tell(EcoCallOf *call)
{
	const EcoAction *action = call->item;

	call->user_id = action->user_id;
	call->texts[0] = action->game;
	call->texts[1] = action->action_id;
}

/* Read when they are first asked for, and again when user code may have moved them on. */
static Game *
game_of(EcoCalls *calls, const EcoCallOf *call)
{
	MemoryContext caller = MemoryContextSwitchTo(calls->context);
	Game	  **games = calls->state;
	Game	  **game;

	if (games == NULL)
		games = calls->state = palloc0(sizeof(Game *) * calls->n);
	game = &games[call->like->number];
	if (*game == NULL || (*game)->reading != calls->reading)
	{
		if (*game == NULL)
			*game = palloc(sizeof(Game));
		eco_stats_load(&(*game)->stats, eco_calls_account(call), call->user_id, &call->texts[0]);
		(*game)->reading = calls->reading;
		(*game)->put = false;
	}
	MemoryContextSwitchTo(caller);
	return *game;
}

/* Who has no statistics of a game has no action of it. */
static bool
may_have(EcoCalls *calls, EcoCallOf *call)
{
	return game_of(calls, call)->stats.exists;
}

static void
make(EcoCalls *calls, EcoCallOf *call, EcoCallState state, EcoResult *result)
{
	const EcoAction *action = call->item;
	Game	   *game;

	if (state == ECO_CALL_NO_USER)
	{
		eco_result_outcome(result, "refused", "USER_NOT_FOUND");
		return;
	}
	game = game_of(calls, call);
	if (state == ECO_CALL_REPLAY)
		eco_action_replay(action, call->same->first, &game->stats, result);
	else if (eco_action_try(action, eco_calls_account(call), &game->stats, result))
		post(calls, call, game, result);
}

static void
post(EcoCalls *calls, EcoCallOf *call, Game *game, EcoResult *result)
{
	MemoryContext one_context = MemoryContextSwitchTo(calls->context);
	EcoEntry   *entry = palloc(sizeof(EcoEntry));

	eco_action_entry(call->item, entry);
	eco_calls_book(calls, call, entry);
	MemoryContextSwitchTo(one_context);
	eco_action_made(call->item, entry, &game->stats, result);
}

static void
put_stats(EcoCalls *calls, EcoCallOf *first)
{
	for (EcoCallOf *call = first; call != NULL; call = call->next)
	{
		Game	   *game = game_of(calls, call);

		if (!game->put)
			eco_stats_put(&game->stats, eco_calls_account(call));
		game->put = true;
	}
}

static void
write_stats(EcoCalls *calls, EcoCallOf *first)
{
	for (EcoCallOf *call = first; call != NULL; call = call->next)
	{
		Game	   *game = game_of(calls, call);

		ECO_CRASH_POINT("action:before_stats");
		if (game->put)
			eco_stats_write(&game->stats, eco_calls_account(call));
		ECO_CRASH_POINT("action:after_stats");
		game->put = false;
	}
}
