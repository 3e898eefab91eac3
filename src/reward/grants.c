/*
 * grants.c
 *		economy.grant_rewards(): many rewards in one call, each with its own outcome.
 *
 * They are made by the rules of a single reward, on accounts that are all locked
 * (calls.h), in the order of the batch.
 */
#include "postgres.h"

#include "errors.h"
#include "ledger/calls.h"
#include "ledger/level.h"
#include "reward/grant.h"
#include "reward/reward.h"

PG_FUNCTION_INFO_V1(eco_grant_rewards);
PG_FUNCTION_INFO_V1(eco_grant_prizes);

static void read_grant(EcoElement *element, void *into);
static void read_prize(EcoElement *element, void *into);
static void tell(EcoCallOf *call);
static void make(EcoCalls *calls, EcoCallOf *call, EcoCallState state, EcoResult *result);
static void post(EcoCalls *calls, EcoCallOf *call, const EcoGrant *grant, EcoHoldings *items,
				 EcoResult *result);

#define GRANT_BATCH(reader) { \
	.what = "reward", \
	.objects = "rewards", \
	.members = (const char *const[]) \
	{ \
		"user_id", "source", "external_event_id", "gold", "xp", "details", "items", NULL \
	}, \
	.arrays = (const char *const[]) \
	{ \
		"user_ids", "sources", "external_event_ids", "gold", "xp", "details", "items", NULL \
	}, \
	.required = 3, \
	.most = ECO_MAX_BATCH, \
	.size = sizeof(EcoGrant), \
	.read = (reader), \
}

#define GRANT_KIND(name, elements) { \
	.function = (name), \
	.result_types = GRANT_TYPES, \
	.batch = (elements), \
	.journal = &eco_rewards, \
	.key = ECO_RWD_BY_EVENT, \
	.tables = tables, \
	.tell = tell, \
	.make = make, \
}

static EcoTable *const tables[] = {
	ECO_LEVEL_TABLES, &eco_items, &eco_user_holdings_more, NULL
};

static const EcoBatch reward_batch = GRANT_BATCH(read_grant);
static const EcoBatch prize_batch = GRANT_BATCH(read_prize);
static const EcoCallKind rewards = GRANT_KIND("economy.grant_rewards()", &reward_batch);
static const EcoCallKind prizes = GRANT_KIND("economy_internal.grant_prizes()", &prize_batch);

/*
 * eco_grant_rewards(rewards jsonb)
 * eco_grant_rewards(user_ids bigint[], sources text[], external_event_ids text[],
 *					 gold bigint[], xp bigint[], details jsonb[], items jsonb[])
 *		returns setof grant_result
 */
Datum
eco_grant_rewards(PG_FUNCTION_ARGS)
{
	return eco_calls_function(&rewards, fcinfo);
}

/* eco_grant_prizes(..) as the arrays of eco_grant_rewards(), also of a reserved source */
Datum
eco_grant_prizes(PG_FUNCTION_ARGS)
{
	return eco_calls_function(&prizes, fcinfo);
}

static void
read_as(EcoElement *element, EcoGrant *grant, bool any_source)
{
	grant->user_id = eco_element_int(element, 0);
	grant->source = eco_element_text(element, 1, ECO_MAX_NAME);
	grant->event_id = eco_element_text(element, 2, ECO_MAX_KEY);
	grant->gold = eco_element_int_or(element, 3, 0);
	grant->xp = eco_element_int_or(element, 4, 0);
	grant->details = eco_element_object(element, 5);
	grant->items = eco_element_object(element, 6);
	eco_grant_check(grant, eco_element_number(element), any_source);
}

static void
read_grant(EcoElement *element, void *into)
{
	read_as(element, into, false);
}

static void
read_prize(EcoElement *element, void *into)
{
	read_as(element, into, true);
}

static void
tell(EcoCallOf *call)
{
	const EcoGrant *grant = call->item;

	call->user_id = grant->user_id;
	call->texts[0] = grant->source;
	call->texts[1] = grant->event_id;
}

static void
make(EcoCalls *calls, EcoCallOf *call, EcoCallState state, EcoResult *result)
{
	const EcoGrant *grant = call->item;
	EcoHoldings items;

	if (state == ECO_CALL_REPLAY)
		eco_grant_replay(grant, call->same->first, result);
	else if (state == ECO_CALL_ARCHIVED)
		eco_result_archived(result, GRANT_DETAIL, &eco_rewards, call->user_id,
							call->archived_seq);
	else if (state == ECO_CALL_NO_USER)
		eco_grant_refuse(result, "USER_NOT_FOUND", NULL);
	else if (eco_grant_try(grant, eco_calls_account(call), &items, result))
		post(calls, call, grant, &items, result);
}

static void
post(EcoCalls *calls, EcoCallOf *call, const EcoGrant *grant, EcoHoldings *items,
	 EcoResult *result)
{
	MemoryContext one_context = MemoryContextSwitchTo(calls->context);
	EcoEntry   *entry = palloc(sizeof(EcoEntry));

	eco_grant_entry(grant, items, entry);
	eco_calls_book(calls, call, entry);
	MemoryContextSwitchTo(one_context);
	eco_holdings_save(items, eco_calls_account(call));
	/* what was written is seen by the next one */
	if (eco_holdings_write(items, call->user_id))
		eco_snapshot_renew();
	eco_grant_made(entry, result);
}
