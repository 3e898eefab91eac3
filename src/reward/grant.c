/*
 * grant.c
 *		grant_reward() and grant_rewards().
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "crash_point.h"
#include "errors.h"
#include "ledger/args.h"
#include "ledger/batch.h"
#include "ledger/call.h"
#include "ledger/result.h"
#include "reward/level.h"
#include "reward/reward.h"

typedef struct Grant
{
	int64		user_id;
	EcoText		source;
	EcoText		event_id;
	int64		gold;
	int64		xp;
	Jsonb	   *details;
} Grant;

PG_FUNCTION_INFO_V1(eco_grant_reward);
PG_FUNCTION_INFO_V1(eco_grant_rewards);

static void check_grant(const Grant *grant);
static void do_grant(const Grant *grant, EcoResult *result);
static void post_grant(const Grant *grant, EcoAccount *account, EcoResult *result);
static void replay_grant(const Grant *grant, const EcoRow *first, EcoResult *result);
static void parse_grant(JsonbContainer *object, int number, void *arg);

/*
 * eco_grant_reward(user_id, source, external_event_id, gold, xp, details)
 */
Datum
eco_grant_reward(PG_FUNCTION_ARGS)
{
	Grant		grant;
	EcoResult	result;

	eco_require_arg(fcinfo, 0, "user_id");
	grant.user_id = PG_GETARG_INT64(0);
	grant.source = eco_text_arg(fcinfo, 1, "source", ECO_MAX_NAME);
	grant.event_id = eco_text_arg(fcinfo, 2, "external_event_id", ECO_MAX_KEY);
	eco_require_arg(fcinfo, 3, "gold");
	eco_require_arg(fcinfo, 4, "xp");
	grant.gold = PG_GETARG_INT64(3);
	grant.xp = PG_GETARG_INT64(4);
	grant.details = eco_object_arg(fcinfo, 5, "details");
	check_grant(&grant);
	PreventCommandIfReadOnly("economy.grant_reward()");

	eco_result_begin(&result, fcinfo, GRANT_TYPES);
	do_grant(&grant, &result);
	return eco_result_row(&result);
}

/*
 * eco_grant_rewards(rewards jsonb) returns setof grant_result
 *		A batch in one transaction.  Accounts are locked in the order of user_id,
 *		results come in the order of the batch.
 */
Datum
eco_grant_rewards(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	Grant	   *grants;
	EcoTurn    *turns;
	HeapTuple  *rows;
	int			count;
	MemoryContext batch_context = CurrentMemoryContext;
	MemoryContext row_context;

	eco_require_arg(fcinfo, 0, "rewards");
	count = eco_batch_size(PG_GETARG_JSONB_P(0), "rewards", ECO_MAX_BATCH);
	grants = palloc(sizeof(Grant) * Max(count, 1));
	eco_batch_read(PG_GETARG_JSONB_P(0), "reward", parse_grant, grants);
	PreventCommandIfReadOnly("economy.grant_rewards()");
	eco_result_set_begin(fcinfo, GRANT_TYPES);

	turns = eco_turns_make(count);
	rows = palloc(sizeof(HeapTuple) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		turns[i].user_id = grants[i].user_id;
		turns[i].number = i;
	}
	eco_turns_sort(turns, count);
	row_context = AllocSetContextCreate(batch_context, "economy grant",
										ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < count; i++)
	{
		EcoResult	result = {.desc = info->setDesc};

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(row_context);
		memset(result.isnull, true, sizeof(result.isnull));
		do_grant(&grants[turns[i].number], &result);
		MemoryContextSwitchTo(batch_context);
		rows[turns[i].number] = heap_form_tuple(result.desc, result.values, result.isnull);
		MemoryContextReset(row_context);
	}
	MemoryContextDelete(row_context);
	eco_batch_return(info, rows, count);
	return (Datum) 0;
}

static void
check_grant(const Grant *grant)
{
	if (grant->gold < 0 || grant->xp < 0 ||
		grant->gold > ECO_MAX_AMOUNT || grant->xp > ECO_MAX_AMOUNT)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("gold and xp must be from 0 to 2^53-1"),
				  errhint("economy.revoke_reward() takes a reward back."));
	if (grant->source.len >= (int) strlen(ECO_RESERVED_SOURCE) &&
		memcmp(grant->source.data, ECO_RESERVED_SOURCE, strlen(ECO_RESERVED_SOURCE)) == 0)
		ECO_ERROR(ECO_RESERVED_NAME,
				  errmsg("sources that begin with \"%s\" are reserved", ECO_RESERVED_SOURCE));
}

static void
do_grant(const Grant *grant, EcoResult *result)
{
	EcoCall		call;

	eco_call_init(&call, &eco_rewards, grant->user_id,
				  eco_level_tables);
	call.key = ECO_RWD_BY_EVENT;
	call.texts[call.ntexts++] = grant->source;
	call.texts[call.ntexts++] = grant->event_id;
	switch (eco_call_begin(&call))
	{
		case ECO_CALL_NEW:
			post_grant(grant, &call.account, result);
			break;
		case ECO_CALL_REPLAY:
			replay_grant(grant, &call.first, result);
			break;
		case ECO_CALL_BUSY:
			eco_result_busy(result, GRANT_RETRY_AFTER_MS);
			break;
		case ECO_CALL_NO_USER:
			eco_grant_refuse(result, "USER_NOT_FOUND", NULL);
			break;
	}
	eco_call_end(&call);
}

static void
post_grant(const Grant *grant, EcoAccount *account, EcoResult *result)
{
	EcoEntry	entry;
	const char *refusal = account->suspended ? "USER_SUSPENDED" :
	eco_amount_refusal(account, grant->gold, grant->xp);

	if (refusal != NULL)
	{
		eco_grant_refuse(result, refusal, account);
		return;
	}
	eco_entry_init(&entry, &eco_rewards);
	entry.gold_delta = grant->gold;
	entry.xp_delta = grant->xp;
	eco_row_set(&entry.row, RWD_SOURCE, grant->source.datum);
	eco_row_set(&entry.row, RWD_EVENT_ID, grant->event_id.datum);
	if (grant->details != NULL)
		eco_row_set(&entry.row, RWD_DETAILS, JsonbPGetDatum(grant->details));
	eco_entry_post(account, &entry);
	ECO_CRASH_POINT("grant:after_entry");
	eco_result_outcome(result, "new", "OK");
	eco_grant_set_entry(result, &entry.row);
}

static void
replay_grant(const Grant *grant, const EcoRow *first, EcoResult *result)
{
	EcoDetail	detail = {0};

	if (eco_row_int(first, ECO_COL_GOLD_DELTA) != grant->gold)
	{
		eco_detail_field(&detail, "gold", first, ECO_COL_GOLD_DELTA);
		eco_detail_int(&detail, "now", grant->gold);
	}
	else if (eco_row_int(first, ECO_COL_XP_DELTA) != grant->xp)
	{
		eco_detail_field(&detail, "xp", first, ECO_COL_XP_DELTA);
		eco_detail_int(&detail, "now", grant->xp);
	}
	else if (!eco_same_object(first, RWD_DETAILS, grant->details))
	{
		eco_detail_field(&detail, "details", first, RWD_DETAILS);
		eco_detail_json(&detail, "now", grant->details);
	}
	else
	{
		eco_result_outcome(result, "reuse", "OK");
		eco_grant_set_entry(result, first);
		return;
	}
	eco_grant_mismatch(result, first, &detail);
}

void
eco_grant_set_entry(EcoResult *result, const EcoRow *row)
{
	eco_reward_answer(result, GRANT_GOLD_DELTA, row);
}

void
eco_grant_refuse(EcoResult *result, const char *code, const EcoAccount *account)
{
	eco_result_outcome(result, "refused", code);
	if (account == NULL)
		return;
	eco_result_set(result, GRANT_GOLD, Int64GetDatum(account->gold));
	eco_result_set(result, GRANT_XP, Int64GetDatum(account->xp));
}

void
eco_grant_mismatch(EcoResult *result, const EcoRow *first, EcoDetail *detail)
{
	eco_result_outcome(result, "refused", "IDEMPOTENCY_MISMATCH");
	eco_result_entry(result, &eco_rewards, first);
	eco_result_set(result, GRANT_DETAIL, eco_detail_end(detail));
}

static void
parse_grant(JsonbContainer *object, int number, void *arg)
{
	static const char *const names[] = {
		"user_id", "source", "external_event_id", "gold", "xp", "details", NULL
	};
	EcoMembers	m;
	Grant	   *grant = (Grant *) arg + number;

	eco_members_read(&m, "reward", object, number, names);
	grant->user_id = eco_member_int(&m, 0, NULL);
	grant->source = eco_member_text(&m, 1, ECO_MAX_NAME, NULL);
	grant->event_id = eco_member_text(&m, 2, ECO_MAX_KEY, NULL);
	grant->gold = eco_member_int(&m, 3, "0");
	grant->xp = eco_member_int(&m, 4, "0");
	grant->details = eco_member_object(&m, 5);
	check_grant(grant);
}
