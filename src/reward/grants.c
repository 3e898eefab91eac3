/*
 * grants.c
 *		economy.grant_rewards(): many rewards in one call, each with its own outcome.
 *
 * They are made by the rules of a single reward, on accounts that are all locked
 * (calls.h), in the order of the batch.  A batch that is too large to be held in memory
 * so is made in parts, which follow the order of user_id: accounts are locked by it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "errors.h"
#include "ledger/batch.h"
#include "ledger/calls.h"
#include "reward/grant.h"
#include "reward/level.h"
#include "reward/reward.h"

#define PART 8190				/* rewards that are made together */

typedef struct Batch
{
	int			n;
	EcoGrant   *grants;
	EcoTurn    *turns;			/* the order in which they are made */
	TupleDesc	desc;
	HeapTuple  *rows;			/* their answers, in this context */
	MemoryContext context;
} Batch;

static const char *const members[] = {
	"user_id", "source", "external_event_id", "gold", "xp", "details", NULL
};

PG_FUNCTION_INFO_V1(eco_grant_rewards_json);
PG_FUNCTION_INFO_V1(eco_grant_rewards_arrays);

static void parse_grant(JsonbContainer *object, int number, void *arg);
static void read_arrays(Batch *batch, FunctionCallInfo fcinfo);
static void make_all(Batch *batch, FunctionCallInfo fcinfo);
static void make_part(Batch *batch, const EcoTurn *turns, int n);
static HeapTuple make_one(Batch *batch, EcoCalls *calls, EcoCallOf *call, const EcoGrant *grant);
static void post(EcoCalls *calls, EcoCallOf *call, const EcoGrant *grant, EcoResult *result);

/* eco_grant_rewards_json(rewards jsonb) returns setof grant_result */
Datum
eco_grant_rewards_json(PG_FUNCTION_ARGS)
{
	Batch		batch = {0};
	Jsonb	   *array;

	eco_require_arg(fcinfo, 0, "rewards");
	array = PG_GETARG_JSONB_P(0);
	batch.n = eco_batch_size(array, "rewards", ECO_MAX_BATCH);
	batch.grants = palloc(sizeof(EcoGrant) * Max(batch.n, 1));
	eco_batch_read(array, "reward", parse_grant, &batch);
	make_all(&batch, fcinfo);
	return (Datum) 0;
}

/*
 * eco_grant_rewards_arrays(user_ids bigint[], sources text[], external_event_ids text[],
 *							gold bigint[], xp bigint[], details jsonb[])
 *		returns setof grant_result
 */
Datum
eco_grant_rewards_arrays(PG_FUNCTION_ARGS)
{
	Batch		batch = {0};

	read_arrays(&batch, fcinfo);
	make_all(&batch, fcinfo);
	return (Datum) 0;
}

static void
parse_grant(JsonbContainer *object, int number, void *arg)
{
	EcoGrant   *grant = &((Batch *) arg)->grants[number];
	EcoMembers	m;

	eco_members_read(&m, "reward", object, number, members);
	grant->user_id = eco_member_int(&m, 0, NULL);
	grant->source = eco_member_text(&m, 1, ECO_MAX_NAME, NULL);
	grant->event_id = eco_member_text(&m, 2, ECO_MAX_KEY, NULL);
	grant->gold = eco_member_int(&m, 3, "0");
	grant->xp = eco_member_int(&m, 4, "0");
	grant->details = eco_member_object(&m, 5);
	eco_grant_check(grant, number);
}

static void
read_arrays(Batch *batch, FunctionCallInfo fcinfo)
{
	static const char *const names[] = {
		"user_ids", "sources", "external_event_ids", "gold", "xp", "details", NULL
	};
	EcoArrays	a;

	eco_arrays_read(&a, fcinfo, "reward", names, members, 3, ECO_MAX_BATCH);
	batch->n = a.n;
	batch->grants = palloc(sizeof(EcoGrant) * Max(a.n, 1));
	for (int i = 0; i < a.n; i++)
	{
		EcoGrant   *grant = &batch->grants[i];

		CHECK_FOR_INTERRUPTS();
		grant->user_id = DatumGetInt64(eco_array_value(&a, 0, i));
		grant->source = eco_array_text(&a, 1, i, ECO_MAX_NAME);
		grant->event_id = eco_array_text(&a, 2, i, ECO_MAX_KEY);
		grant->gold = a.given[3] ? DatumGetInt64(eco_array_value(&a, 3, i)) : 0;
		grant->xp = a.given[4] ? DatumGetInt64(eco_array_value(&a, 4, i)) : 0;
		grant->details = a.given[5] ? eco_array_object(&a, 5, i) : NULL;
		eco_grant_check(grant, i);
	}
}

/* A row for each, in the order of the batch. */
static void
make_all(Batch *batch, FunctionCallInfo fcinfo)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext part_context;

	PreventCommandIfReadOnly("economy.grant_rewards()");
	eco_result_set_begin(fcinfo, GRANT_TYPES);
	batch->context = CurrentMemoryContext;
	batch->desc = info->setDesc;
	batch->rows = palloc(sizeof(HeapTuple) * Max(batch->n, 1));
	batch->turns = eco_turns_make(batch->n);
	for (int i = 0; i < batch->n; i++)
	{
		batch->turns[i].user_id = batch->grants[i].user_id;
		batch->turns[i].number = i;
	}
	if (batch->n > PART)
		eco_turns_sort(batch->turns, batch->n);
	part_context = AllocSetContextCreate(batch->context, "economy grants", ALLOCSET_DEFAULT_SIZES);
	for (int start = 0; start < batch->n; start += PART)
	{
		MemoryContextSwitchTo(part_context);
		make_part(batch, batch->turns + start, Min(batch->n - start, PART));
		MemoryContextSwitchTo(batch->context);
		MemoryContextReset(part_context);
	}
	MemoryContextDelete(part_context);
	eco_batch_return(info, batch->rows, batch->n);
}

static void
make_part(Batch *batch, const EcoTurn *turns, int n)
{
	EcoCalls	calls = {
		.journal = &eco_rewards, .key = ECO_RWD_BY_EVENT, .ntexts = 2,
		.tables = eco_level_tables, .n = n
	};
	MemoryContext part_context = CurrentMemoryContext;
	MemoryContext one_context;

	calls.calls = palloc(sizeof(EcoCallOf) * n);
	for (int i = 0; i < n; i++)
	{
		const EcoGrant *grant = &batch->grants[turns[i].number];

		calls.calls[i].user_id = grant->user_id;
		calls.calls[i].texts[0] = grant->source;
		calls.calls[i].texts[1] = grant->event_id;
	}
	eco_calls_begin(&calls);
	one_context = AllocSetContextCreate(part_context, "economy grant", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < n; i++)
	{
		int			number = turns[i].number;

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(one_context);
		batch->rows[number] = make_one(batch, &calls, &calls.calls[i], &batch->grants[number]);
		MemoryContextSwitchTo(part_context);
		MemoryContextReset(one_context);
	}
	eco_calls_end(&calls);
}

static HeapTuple
make_one(Batch *batch, EcoCalls *calls, EcoCallOf *call, const EcoGrant *grant)
{
	EcoResult	result = {.desc = batch->desc};
	MemoryContext one_context;
	HeapTuple	row;

	memset(result.isnull, true, sizeof(result.isnull));
	switch (eco_calls_look(calls, call))
	{
		case ECO_CALL_REPLAY:
			eco_grant_replay(grant, call->same->first, &result);
			break;
		case ECO_CALL_NEW:
			if (eco_grant_try(grant, eco_calls_account(call), &result))
				post(calls, call, grant, &result);
			break;
		default:
			eco_grant_refuse(&result, "USER_NOT_FOUND", NULL);
	}
	one_context = MemoryContextSwitchTo(batch->context);
	row = heap_form_tuple(batch->desc, result.values, result.isnull);
	MemoryContextSwitchTo(one_context);
	return row;
}

static void
post(EcoCalls *calls, EcoCallOf *call, const EcoGrant *grant, EcoResult *result)
{
	MemoryContext one_context = MemoryContextSwitchTo(calls->context);
	EcoEntry   *entry = palloc(sizeof(EcoEntry));

	eco_grant_entry(grant, entry);
	eco_calls_book(calls, call, entry);
	MemoryContextSwitchTo(one_context);
	eco_grant_made(entry, result);
}
