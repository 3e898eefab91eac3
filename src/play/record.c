/*
 * record.c
 *		record_action() and record_actions().
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "crash_point.h"
#include "errors.h"
#include "ledger/batch.h"
#include "play/action.h"
#include "play/stats.h"

PG_FUNCTION_INFO_V1(eco_record_action);
PG_FUNCTION_INFO_V1(eco_record_actions_json);
PG_FUNCTION_INFO_V1(eco_record_actions_arrays);

static const char *const members[] = {
	"user_id", "game", "action_type", "action_id", "bet", "win", "outcome", "details", NULL
};

static void keep_one(void *arg, const EcoAction *action, EcoResult *result);
static void keep(void *arg, const EcoAction *action, EcoResult *result);
static void parse_action(JsonbContainer *object, int number, void *arg);
static EcoAction *read_arrays(FunctionCallInfo fcinfo, int *n);
static void record_all(EcoAction *actions, int n, FunctionCallInfo fcinfo);

/* Where a single result waits for the end of the call. */
typedef struct Answer
{
	MemoryContext context;
	Datum		row;
} Answer;

/* Where a batch's results wait until they can be given out in its order. */
typedef struct Results
{
	MemoryContext context;
	HeapTuple  *rows;
} Results;

/*
 * eco_record_action(user_id, game, action_type, action_id, bet, win, outcome, details)
 */
Datum
eco_record_action(PG_FUNCTION_ARGS)
{
	EcoAction	action = {0};
	EcoResult	result;
	Answer		answer = {.context = CurrentMemoryContext};

	eco_require_arg(fcinfo, 0, "user_id");
	action.user_id = PG_GETARG_INT64(0);
	action.game = eco_text_arg(fcinfo, 1, "game", ECO_MAX_NAME);
	action.action_type = eco_text_arg(fcinfo, 2, "action_type", ECO_MAX_NAME);
	action.action_id = eco_text_arg(fcinfo, 3, "action_id", ECO_MAX_KEY);
	eco_require_arg(fcinfo, 4, "bet");
	eco_require_arg(fcinfo, 5, "win");
	action.bet = PG_GETARG_INT64(4);
	action.win = PG_GETARG_INT64(5);
	if (!PG_ARGISNULL(6))
	{
		text	   *outcome = PG_GETARG_TEXT_PP(6);

		action.outcome = eco_outcome_of(VARDATA_ANY(outcome), VARSIZE_ANY_EXHDR(outcome));
	}
	action.details = eco_object_arg(fcinfo, 7, "details");
	if (!eco_action_in_range(&action))
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg(ECO_ACTION_RANGE));
	PreventCommandIfReadOnly("economy.record_action()");

	eco_result_begin(&result, fcinfo, ACTION_TYPES);
	eco_actions_record(&action, 1, ECO_DUPLICATE_TELL, result.desc, keep_one, &answer);
	ECO_CRASH_POINT("record:done");
	return answer.row;
}

static void
keep_one(void *arg, const EcoAction *action, EcoResult *result)
{
	Answer	   *answer = arg;
	MemoryContext old_context = MemoryContextSwitchTo(answer->context);

	(void) action;
	answer->row = eco_result_row(result);
	MemoryContextSwitchTo(old_context);
}

static void
keep(void *arg, const EcoAction *action, EcoResult *result)
{
	Results    *kept = arg;
	MemoryContext old_context = MemoryContextSwitchTo(kept->context);

	kept->rows[action->number] = heap_form_tuple(result->desc, result->values, result->isnull);
	MemoryContextSwitchTo(old_context);
}

/* eco_record_actions_json(actions jsonb) returns setof action_result */
Datum
eco_record_actions_json(PG_FUNCTION_ARGS)
{
	Jsonb	   *batch;
	EcoAction  *actions;
	int			n;

	eco_require_arg(fcinfo, 0, "actions");
	batch = PG_GETARG_JSONB_P(0);
	n = eco_batch_size(batch, "actions", ECO_MAX_BATCH);
	actions = palloc0(sizeof(EcoAction) * Max(n, 1));
	eco_batch_read(batch, "action", parse_action, actions);
	record_all(actions, n, fcinfo);
	return (Datum) 0;
}

/*
 * eco_record_actions_arrays(user_ids bigint[], games text[], action_types text[],
 *							 action_ids text[], bets bigint[], wins bigint[],
 *							 outcomes text[], details jsonb[])
 *		returns setof action_result
 */
Datum
eco_record_actions_arrays(PG_FUNCTION_ARGS)
{
	int			n;
	EcoAction  *actions = read_arrays(fcinfo, &n);

	record_all(actions, n, fcinfo);
	return (Datum) 0;
}

/* One transaction; results in the order of the batch. */
static void
record_all(EcoAction *actions, int n, FunctionCallInfo fcinfo)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	Results		kept;

	PreventCommandIfReadOnly("economy.record_actions()");
	eco_result_set_begin(fcinfo, ACTION_TYPES);
	kept.context = CurrentMemoryContext;
	kept.rows = palloc(sizeof(HeapTuple) * Max(n, 1));
	eco_actions_record(actions, n, ECO_DUPLICATE_TELL, info->setDesc, keep, &kept);
	eco_batch_return(info, kept.rows, n);
}

static void
check_range(const EcoAction *action)
{
	if (!eco_action_in_range(action))
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("action %d: %s", action->number + 1, ECO_ACTION_RANGE));
}

static EcoAction *
read_arrays(FunctionCallInfo fcinfo, int *n)
{
	static const char *const names[] = {
		"user_ids", "games", "action_types", "action_ids", "bets", "wins", "outcomes", "details",
		NULL
	};
	EcoArrays	a;
	EcoAction  *actions;

	eco_arrays_read(&a, fcinfo, "action", names, members, 4, ECO_MAX_BATCH);
	*n = a.n;
	actions = palloc0(sizeof(EcoAction) * Max(a.n, 1));
	for (int i = 0; i < a.n; i++)
	{
		EcoAction  *action = &actions[i];

		CHECK_FOR_INTERRUPTS();
		action->number = i;
		action->user_id = DatumGetInt64(eco_array_value(&a, 0, i));
		action->game = eco_array_text(&a, 1, i, ECO_MAX_NAME);
		action->action_type = eco_array_text(&a, 2, i, ECO_MAX_NAME);
		action->action_id = eco_array_text(&a, 3, i, ECO_MAX_KEY);
		action->bet = a.given[4] ? DatumGetInt64(eco_array_value(&a, 4, i)) : 0;
		action->win = a.given[5] ? DatumGetInt64(eco_array_value(&a, 5, i)) : 0;
		if (a.given[6] && !a.nulls[6][i])
		{
			EcoText		outcome = eco_array_text(&a, 6, i, ECO_MAX_NAME);

			action->outcome = eco_outcome_of(outcome.data, outcome.len);
		}
		action->details = a.given[7] ? eco_array_object(&a, 7, i) : NULL;
		check_range(action);
	}
	return actions;
}

static void
parse_action(JsonbContainer *object, int number, void *arg)
{
	EcoAction  *action = (EcoAction *) arg + number;
	EcoMembers	m;

	eco_members_read(&m, "action", object, number, members);
	action->number = number;
	action->user_id = eco_member_int(&m, 0, NULL);
	action->game = eco_member_text(&m, 1, ECO_MAX_NAME, NULL);
	action->action_type = eco_member_text(&m, 2, ECO_MAX_NAME, NULL);
	action->action_id = eco_member_text(&m, 3, ECO_MAX_KEY, NULL);
	action->bet = eco_member_int(&m, 4, "0");
	action->win = eco_member_int(&m, 5, "0");
	if (m.found[6] != NULL && m.found[6]->type != jbvNull)
	{
		EcoText		outcome = eco_member_text(&m, 6, ECO_MAX_NAME, NULL);

		action->outcome = eco_outcome_of(outcome.data, outcome.len);
	}
	action->details = eco_member_object(&m, 7);
	check_range(action);
}
