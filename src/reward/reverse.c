/*
 * reverse.c
 *		revoke_reward(): a compensating entry, once per reward.
 *
 * The name of the reversed entry is the reversal's idempotency key, so a
 * reward cannot be taken back twice.  Balances never go below zero: what is
 * not there is either a refusal or a debt that is reported.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "crash_point.h"
#include "ledger/args.h"
#include "ledger/call.h"
#include "ledger/result.h"
#include "reward/reward.h"

#define MAX_REASON 1000
#define MAX_ACTOR 255

typedef struct Reversal
{
	EcoText		transaction_id;
	EcoText		reason;
	EcoText		actor;
	int64		gold;			/* asked for; -1: all of it */
	int64		xp;
	bool		take;			/* policy: take what is there */
	EcoRow		reward;			/* the entry to reverse */
} Reversal;

PG_FUNCTION_INFO_V1(eco_revoke_reward);

static void read_arguments(Reversal *r, FunctionCallInfo fcinfo);
static bool find_reward(Reversal *r, int64 user_id);
static void settle_amounts(Reversal *r);
static void post_reversal(const Reversal *r, EcoAccount *account, EcoResult *result);
static void replay_reversal(const Reversal *r, const EcoRow *first, EcoResult *result);

/*
 * eco_revoke_reward(user_id, transaction_id, reason, actor, gold, xp, policy)
 */
Datum
eco_revoke_reward(PG_FUNCTION_ARGS)
{
	Reversal	r;
	EcoCall		call;
	EcoCallState state;
	EcoResult	result;

	eco_require_arg(fcinfo, 0, "user_id");
	read_arguments(&r, fcinfo);
	PreventCommandIfReadOnly("economy.revoke_reward()");
	eco_result_begin(&result, fcinfo, GRANT_COLUMNS);

	eco_call_init(&call, ECO_JOURNAL_REWARD, &eco_reward_audit, PG_GETARG_INT64(0));
	call.key = ECO_RWD_BY_EVENT;
	call.texts[call.ntexts++] = eco_text_of(ECO_SOURCE_REVERSAL);
	call.texts[call.ntexts++] = r.transaction_id;
	state = eco_call_begin(&call);
	if (state == ECO_CALL_BUSY)
		eco_grant_busy(&result);
	else if (state == ECO_CALL_NO_USER)
		eco_grant_refuse(&result, "USER_NOT_FOUND", NULL);
	else if (!find_reward(&r, call.user_id))
		eco_grant_refuse(&result, "REWARD_NOT_FOUND", NULL);
	else
	{
		settle_amounts(&r);
		if (state == ECO_CALL_REPLAY)
			replay_reversal(&r, &call.first, &result);
		else
			post_reversal(&r, &call.account, &result);
	}
	eco_call_end(&call);
	return eco_result_row(&result);
}

static void
read_arguments(Reversal *r, FunctionCallInfo fcinfo)
{
	char	   *policy;

	r->transaction_id = eco_text_arg(fcinfo, 1, "transaction_id", ECO_MAX_KEY);
	r->reason = eco_text_arg(fcinfo, 2, "reason", MAX_REASON);
	r->actor = eco_text_arg(fcinfo, 3, "actor", MAX_ACTOR);
	r->gold = PG_ARGISNULL(4) ? -1 : PG_GETARG_INT64(4);
	r->xp = PG_ARGISNULL(5) ? -1 : PG_GETARG_INT64(5);
	if ((!PG_ARGISNULL(4) && r->gold < 0) || (!PG_ARGISNULL(5) && r->xp < 0))
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("gold and xp must not be negative"));
	eco_require_arg(fcinfo, 6, "policy");
	policy = text_to_cstring(PG_GETARG_TEXT_PP(6));
	r->take = strcmp(policy, "take") == 0;
	if (!r->take && strcmp(policy, "refuse") != 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("policy \"%s\" is not known", policy),
				  errhint("It is refuse, or take: take what is there and report the debt."));
}

/* A reversal is no reward, so it cannot be reversed. */
static bool
find_reward(Reversal *r, int64 user_id)
{
	EcoJournal	journal;
	int64		owner;
	int64		seq;
	Datum		values[2];

	if (!eco_transaction_id_parse(pnstrdup(r->transaction_id.data, r->transaction_id.len),
								  &journal, &owner, &seq) ||
		journal != ECO_JOURNAL_REWARD || owner != user_id)
		return false;
	values[0] = Int64GetDatum(user_id);
	values[1] = Int64GetDatum(seq);
	return eco_row_find(&eco_reward_audit, user_id, ECO_RWD_BY_SEQ, 2, values, &r->reward) &&
		r->reward.isnull[RWD_REVERSES];
}

static void
settle_amounts(Reversal *r)
{
	int64		gold = eco_row_int(&r->reward, ECO_COL_GOLD_DELTA);
	int64		xp = eco_row_int(&r->reward, ECO_COL_XP_DELTA);

	if (r->gold < 0)
		r->gold = gold;
	if (r->xp < 0)
		r->xp = xp;
	if (r->gold > gold || r->xp > xp)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("a reversal cannot take more than the reward gave"),
				  errdetail("The reward was %lld gold and %lld XP.",
							(long long) gold, (long long) xp));
}

static void
post_reversal(const Reversal *r, EcoAccount *account, EcoResult *result)
{
	int64		gold = Min(r->gold, account->gold);
	int64		xp = Min(r->xp, account->xp);
	EcoDetail	detail = {0};
	EcoEntry	entry;

	eco_detail_int(&detail, "gold", r->gold);
	eco_detail_int(&detail, "xp", r->xp);
	eco_detail_int(&detail, "debt_gold", r->gold - gold);
	eco_detail_int(&detail, "debt_xp", r->xp - xp);
	eco_result_set(result, GRANT_DETAIL, eco_detail_end(&detail));
	if (!r->take && (gold < r->gold || xp < r->xp))
	{
		eco_grant_refuse(result, "INSUFFICIENT_GOLD", account);
		return;
	}
	eco_entry_init(&entry, ECO_JOURNAL_REWARD, &eco_reward_audit);
	entry.gold_delta = -gold;
	entry.xp_delta = -xp;
	eco_row_set(&entry.row, RWD_REVERSES, r->reward.values[ECO_COL_SEQ]);
	eco_row_set(&entry.row, RWD_SOURCE, eco_text_of(ECO_SOURCE_REVERSAL).datum);
	eco_row_set(&entry.row, RWD_EVENT_ID, r->transaction_id.datum);
	eco_row_set(&entry.row, RWD_ACTOR, r->actor.datum);
	eco_row_set(&entry.row, RWD_REASON, r->reason.datum);
	eco_row_set(&entry.row, RWD_DETAILS, result->values[GRANT_DETAIL]);
	eco_entry_post(account, &entry);
	ECO_CRASH_POINT("reverse:after_entry");
	eco_result_outcome(result, "new", "OK");
	eco_grant_set_entry(result, &entry.row);
}

/* A number that post_reversal() stored. */
static int64
stored_int(const EcoRow *row, const char *key)
{
	Jsonb	   *details = DatumGetJsonbP(row->values[RWD_DETAILS]);
	JsonbValue	value;
	JsonbValue *found = getKeyJsonValueFromContainer(&details->root, key,
													 (int) strlen(key), &value);

	if (found == NULL || found->type != jbvNumeric)
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("details of a reversal lack \"%s\"", key));
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(found->val.numeric)));
}

static void
replay_reversal(const Reversal *r, const EcoRow *first, EcoResult *result)
{
	if (stored_int(first, "gold") != r->gold)
		eco_grant_mismatch(result, "gold");
	else if (stored_int(first, "xp") != r->xp)
		eco_grant_mismatch(result, "xp");
	else
	{
		eco_result_outcome(result, "reuse", "OK");
		eco_grant_set_entry(result, first);
		eco_result_set(result, GRANT_DETAIL, first->values[RWD_DETAILS]);
	}
}
