/*
 * reverse.c
 *		revoke_reward(): compensating entries, up to what the reward gave.
 *
 * A reward is taken back once without a key of its own, under its name, and any
 * number of times with one.  Reversals with a key have a source of their own
 * for each reward, so that a reward's reversals can be found: they are added up
 * under the account's lock, and never take more than the reward gave.  Balances
 * never go below zero: what is not there is either a refusal or a debt that is
 * reported.  So it is with items; of a pass what is there is the time that is left.
 *
 * Taking back all of the newest daily claim gives its date back: the streak is
 * again what it was before.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "crash_point.h"
#include "errors.h"
#include "ledger/archive.h"
#include "ledger/args.h"
#include "ledger/call.h"
#include "ledger/holdings.h"
#include "ledger/level.h"
#include "ledger/result.h"
#include "ledger/user.h"
#include "reward/streaks.h"

#define MAX_REASON 1000
#define MAX_ACTOR 255

typedef struct Reversal
{
	EcoText		transaction_id;
	EcoText		key;			/* the transaction_id when none was given */
	EcoText		source;
	EcoText		reason;
	EcoText		actor;
	int64		gold;			/* asked for; -1: all that is left */
	int64		xp;
	Jsonb	   *items;			/* asked for; NULL: all that are left */
	EcoHoldings taken;			/* asked for, or those */
	bool		take;			/* policy: take what is there */
	EcoRow		reward;			/* the entry to reverse */
} Reversal;

PG_FUNCTION_INFO_V1(eco_revoke_reward);

static EcoTable *const tables[] = {
	&eco_users, ECO_LEVEL_TABLES, &eco_items, &eco_user_holdings_more, NULL
};
static EcoTable *const archive_tables[] = {&eco_archives, &eco_archived_keys, NULL};

static void read_arguments(Reversal *r, FunctionCallInfo fcinfo);
static const char *find_reward(Reversal *r, int64 user_id);
static bool refuse_archived(const Reversal *r, EcoCall *call, EcoResult *result);
static void refuse_other(const char *what, EcoResult *result);
static void check_amounts(const Reversal *r);
static void ask_for_items(Reversal *r);
static void settle_amounts(Reversal *r, const EcoReversed *before);
static void reverse(Reversal *r, EcoAccount *account, EcoResult *result);
static bool refuse_excess(const Reversal *r, const EcoReversed *before, EcoAccount *account,
						  EcoResult *result);
static bool gives_date_back(Reversal *r, const EcoReversed *before, EcoAccount *account,
							EcoDaily *d);
static void post_reversal(Reversal *r, EcoAccount *account, EcoDaily *d, EcoResult *result);
static void replay_reversal(Reversal *r, const EcoRow *first, EcoResult *result);

/*
 * eco_revoke_reward(user_id, transaction_id, reason, actor, gold, xp, policy,
 *		idempotency_key, items)
 */
Datum
eco_revoke_reward(PG_FUNCTION_ARGS)
{
	Reversal	r;
	EcoCall		call;
	EcoCallState state;
	EcoResult	result;
	const char *other;

	eco_require_arg(fcinfo, 0, "user_id");
	read_arguments(&r, fcinfo);
	PreventCommandIfReadOnly("economy.revoke_reward()");
	eco_result_begin(&result, fcinfo, GRANT_TYPES);

	eco_call_init(&call, &eco_rewards, PG_GETARG_INT64(0), tables);
	call.key = ECO_RWD_BY_EVENT;
	call.texts[call.ntexts++] = r.source;
	call.texts[call.ntexts++] = r.key;
	state = eco_call_begin(&call);
	if (state == ECO_CALL_BUSY)
		eco_result_busy(&result, GRANT_RETRY_AFTER_MS);
	else if (state == ECO_CALL_NO_USER)
		eco_grant_refuse(&result, "USER_NOT_FOUND", NULL);
	else if (state == ECO_CALL_ARCHIVED)
		eco_result_archived(&result, GRANT_DETAIL, &eco_rewards, call.user_id,
							call.archived_seq);
	else if (refuse_archived(&r, &call, &result))
		 /* with the reason */ ;
	else if ((other = find_reward(&r, call.user_id)) != NULL)
		refuse_other(other, &result);
	else
	{
		check_amounts(&r);
		ask_for_items(&r);
		if (state == ECO_CALL_REPLAY)
			replay_reversal(&r, &call.first, &result);
		else
			reverse(&r, &call.account, &result);
	}
	eco_call_end(&call);
	return eco_result_row(&result);
}

static void
read_arguments(Reversal *r, FunctionCallInfo fcinfo)
{
	r->transaction_id = eco_text_arg(fcinfo, 1, "transaction_id", ECO_MAX_KEY);
	r->reason = eco_text_arg(fcinfo, 2, "reason", MAX_REASON);
	r->actor = eco_text_arg(fcinfo, 3, "actor", MAX_ACTOR);
	r->gold = PG_ARGISNULL(4) ? -1 : PG_GETARG_INT64(4);
	r->xp = PG_ARGISNULL(5) ? -1 : PG_GETARG_INT64(5);
	if ((!PG_ARGISNULL(4) && r->gold < 0) || (!PG_ARGISNULL(5) && r->xp < 0))
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("gold and xp must not be negative"));
	r->take = eco_takes_available(fcinfo, 6);
	/* objects of an older release do not give it */
	r->items = PG_NARGS() > 8 ? eco_object_arg(fcinfo, 8, "items") : NULL;
	r->key = r->transaction_id;
	r->source = eco_text_of(ECO_SOURCE_REVERSAL);
	if (PG_ARGISNULL(7))
		return;
	r->key = eco_text_arg(fcinfo, 7, "idempotency_key", ECO_MAX_KEY);
	r->source = eco_text_of(eco_reversal_source(pnstrdup(r->transaction_id.data,
														 r->transaction_id.len)));
}

/*
 * Find the reward.  NULL when the transaction is one of this user, else what it is
 * instead, or "" when the user has no such transaction.  A reversal is no reward, so
 * it cannot be reversed.
 */
static const char *
find_reward(Reversal *r, int64 user_id)
{
	const EcoJournal *journal;
	int64		owner;
	int64		seq;
	Datum		values[2];

	if (!eco_transaction_id_parse(pnstrdup(r->transaction_id.data, r->transaction_id.len),
								  &journal, &owner, &seq) || owner != user_id)
		return "";
	if (journal != &eco_rewards)
		return journal->noun != NULL ? journal->noun : "";
	values[0] = Int64GetDatum(user_id);
	values[1] = Int64GetDatum(seq);
	if (!eco_row_find(&eco_reward_audit, user_id, ECO_RWD_BY_SEQ, 2, values, &r->reward))
		return "";
	if (!r->reward.isnull[RWD_REVERSES])
		return "reversal";
	if (strncmp(TextDatumGetCString(r->reward.values[RWD_SOURCE]), ECO_SOURCE_SET_STREAK,
				strlen(ECO_SOURCE_SET_STREAK)) == 0)
		return "set_streak";
	return NULL;
}

/*
 * Refuse the reversal of a reward that went into an archive, or stayed in front of its
 * end: what was taken back of it may be in there.
 */
static bool
refuse_archived(const Reversal *r, EcoCall *call, EcoResult *result)
{
	const EcoJournal *journal;
	int64		owner;
	int64		seq;

	(void) eco_tables_add(call->open, archive_tables);
	if (!eco_transaction_id_parse(pnstrdup(r->transaction_id.data, r->transaction_id.len),
								  &journal, &owner, &seq) || owner != call->user_id ||
		journal != &eco_rewards || !eco_archive_passed(journal, owner, seq))
		return false;
	eco_result_archived(result, GRANT_DETAIL, journal, owner, seq);
	return true;
}

static void
refuse_other(const char *what, EcoResult *result)
{
	EcoDetail	detail = {0};

	eco_grant_refuse(result, "REWARD_NOT_FOUND", NULL);
	if (what[0] == '\0')
		return;
	eco_detail_str(&detail, "is", what);
	eco_result_set(result, GRANT_DETAIL, eco_detail_end(&detail));
}

/* What is asked for of items: none when that is an empty object. */
static void
ask_for_items(Reversal *r)
{
	EcoHoldings given;

	eco_reward_gave(&r->reward, &given);
	r->taken.n = 0;
	if (r->items == NULL || JB_ROOT_COUNT(r->items) == 0)
		return;
	eco_holdings_given(r->items, "items", ECO_HOLDING_TAKE_BACK, &r->taken);
	for (int i = 0; i < r->taken.n; i++)
	{
		const EcoHolding *one = &r->taken.of[i];
		const EcoHolding *gave = eco_holdings_find(&given, &one->item_id);

		if (gave == NULL || one->amount > gave->amount)
			ECO_ERROR(ECO_INVALID_ARGUMENT,
					  errmsg("a reversal cannot take more than the reward gave"),
					  errdetail("The reward gave %lld of \"%.*s\".",
								gave == NULL ? 0LL : (long long) gave->amount,
								one->item_id.len, one->item_id.data));
	}
}

static void
check_amounts(const Reversal *r)
{
	int64		gold = eco_row_int(&r->reward, ECO_COL_GOLD_DELTA);
	int64		xp = eco_row_int(&r->reward, ECO_COL_XP_DELTA);

	if (r->gold > gold || r->xp > xp)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("a reversal cannot take more than the reward gave"),
				  errdetail("The reward was %lld gold and %lld XP.",
							(long long) gold, (long long) xp));
}

static bool
takes_all(Reversal *r, const EcoHoldings *left)
{
	for (int i = 0; i < left->n; i++)
	{
		const EcoHolding *one = eco_holdings_find(&r->taken, &left->of[i].item_id);

		if (left->of[i].amount > (one == NULL ? 0 : one->amount))
			return false;
	}
	return true;
}

static void
settle_items(Reversal *r, const EcoReversed *before)
{
	EcoHoldings left;

	if (r->items == NULL)
	{
		(void) eco_reward_left(&r->reward, before, &left);
		for (int i = 0; i < left.n; i++)
			if (left.of[i].amount > 0)
				r->taken.of[r->taken.n++] = left.of[i];
	}
	for (int i = 0; r->take && i < r->taken.n; i++)
		r->taken.of[i].use = ECO_HOLDING_TAKE_REST;
}

static void
settle_amounts(Reversal *r, const EcoReversed *before)
{
	if (r->gold < 0)
		r->gold = eco_row_int(&r->reward, ECO_COL_GOLD_DELTA) - before->gold;
	if (r->xp < 0)
		r->xp = eco_row_int(&r->reward, ECO_COL_XP_DELTA) - before->xp;
	settle_items(r, before);
}

static void
reverse(Reversal *r, EcoAccount *account, EcoResult *result)
{
	EcoReversed before = eco_reward_reversed(&r->reward, PG_INT64_MAX);
	EcoDaily	d;

	settle_amounts(r, &before);
	if (!refuse_excess(r, &before, account, result))
		post_reversal(r, account, gives_date_back(r, &before, account, &d) ? &d : NULL, result);
}

static bool
refuse_excess(const Reversal *r, const EcoReversed *before, EcoAccount *account,
			  EcoResult *result)
{
	int64		gold = eco_row_int(&r->reward, ECO_COL_GOLD_DELTA) - before->gold;
	int64		xp = eco_row_int(&r->reward, ECO_COL_XP_DELTA) - before->xp;
	EcoDetail	detail = {0};
	EcoHoldings left;
	bool		any_left = eco_reward_left(&r->reward, before, &left);
	bool		too_many = false;

	for (int i = 0; i < r->taken.n; i++)
		too_many |= r->taken.of[i].amount >
			eco_holdings_find(&left, &r->taken.of[i].item_id)->amount;

	/*
	 * when nothing is left, not even nothing can be taken, but for the first
	 * time
	 */
	if (r->gold <= gold && r->xp <= xp && !too_many &&
		(gold > 0 || xp > 0 || any_left || before->reversals == 0))
		return false;
	eco_grant_refuse(result, "EXCEEDS_REWARD", account);
	eco_detail_int(&detail, "gold", r->gold);
	eco_detail_int(&detail, "xp", r->xp);
	eco_detail_int(&detail, "left_gold", gold);
	eco_detail_int(&detail, "left_xp", xp);
	eco_holdings_detail(&detail, "items", &r->taken);
	eco_holdings_detail(&detail, "left_items", &left);
	eco_result_set(result, GRANT_DETAIL, eco_detail_end(&detail));
	return true;
}

/*
 * Whether this reversal takes the rest of the daily claim that the streak stands at,
 * so that its date may be claimed again; *d is then the streak before that claim.
 */
static bool
gives_date_back(Reversal *r, const EcoReversed *before, EcoAccount *account,
				EcoDaily *d)
{
	EcoHoldings left;

	(void) eco_reward_left(&r->reward, before, &left);
	if (r->reward.isnull[RWD_CLAIM_DATE] || !takes_all(r, &left) ||
		r->gold < eco_row_int(&r->reward, ECO_COL_GOLD_DELTA) - before->gold ||
		r->xp < eco_row_int(&r->reward, ECO_COL_XP_DELTA) - before->xp ||
		!eco_daily_load(d, account) ||
		d->last_seq != eco_row_int(&r->reward, ECO_COL_SEQ))
		return false;
	eco_daily_go_back(d, &r->reward);
	return true;
}

/* The amounts asked for, and what of them is not there. */
static void
describe(Reversal *r, int64 gold, int64 xp, bool with_debt_of_items, EcoResult *result)
{
	EcoDetail	detail = {0};

	eco_detail_int(&detail, "gold", r->gold);
	eco_detail_int(&detail, "xp", r->xp);
	eco_detail_int(&detail, "debt_gold", r->gold - gold);
	eco_detail_int(&detail, "debt_xp", r->xp - xp);
	eco_holdings_detail(&detail, "items", &r->taken);
	if (with_debt_of_items)
		eco_holdings_detail_rest(&detail, "debt_items", &r->taken);
	eco_result_set(result, GRANT_DETAIL, eco_detail_end(&detail));
}

static void
post_reversal(Reversal *r, EcoAccount *account, EcoDaily *d, EcoResult *result)
{
	int64		gold = Min(r->gold, account->gold);
	int64		xp = Min(r->xp, account->xp);
	EcoDetail	of_items = {0};
	const char *refusal;
	EcoEntry	entry;
	Datum		items;

	/* the freezes that the claim used are there again */
	if (d != NULL)
		account->freezes += DatumGetInt32(r->reward.values[RWD_FREEZES_USED]);
	refusal = eco_holdings_refusal(&r->taken, account, &of_items);
	if (!r->take && (gold < r->gold || xp < r->xp))
	{
		describe(r, gold, xp, false, result);
		eco_grant_refuse(result, "INSUFFICIENT_GOLD", account);
		return;
	}
	if (refusal != NULL)
	{
		eco_result_set(result, GRANT_DETAIL, eco_detail_end(&of_items));
		eco_grant_refuse(result, refusal, account);
		return;
	}
	describe(r, gold, xp, true, result);
	eco_entry_init(&entry, &eco_rewards);
	entry.gold_delta = -gold;
	entry.xp_delta = -xp;
	items = eco_holdings_json(&r->taken);
	if (items != (Datum) 0)
	{
		entry.at = r->taken.at;
		eco_row_set(&entry.row, RWD_ITEMS, items);
	}
	eco_row_set(&entry.row, RWD_REVERSES, r->reward.values[ECO_COL_SEQ]);
	eco_row_set(&entry.row, RWD_SOURCE, r->source.datum);
	eco_row_set(&entry.row, RWD_EVENT_ID, r->key.datum);
	eco_row_set(&entry.row, RWD_ACTOR, r->actor.datum);
	eco_row_set(&entry.row, RWD_REASON, r->reason.datum);
	eco_row_set(&entry.row, RWD_DETAILS, result->values[GRANT_DETAIL]);
	if (d != NULL)
	{
		eco_row_set(&entry.row, RWD_FREEZES_USED,
					Int32GetDatum(-DatumGetInt32(r->reward.values[RWD_FREEZES_USED])));
		eco_daily_note(d, &entry.row);
	}
	eco_entry_prepare(account, &entry);
	if (d != NULL)
		eco_daily_put(d, account);
	eco_holdings_save(&r->taken, account);
	(void) eco_holdings_write(&r->taken, account->user_id);
	eco_account_flush(account);
	ECO_CRASH_POINT("reverse:after_streak");
	eco_entry_write(&entry);
	ECO_CRASH_POINT("reverse:after_entry");
	eco_result_outcome(result, "new", "OK");
	eco_grant_set_entry(result, &entry.row);
}

/* A number that post_reversal() stored. */
static int64
stored_int(const EcoRow *row, const char *key)
{
	JsonbValue	value;
	JsonbValue *found = NULL;

	if (!row->isnull[RWD_DETAILS])
		found = getKeyJsonValueFromContainer(&DatumGetJsonbP(row->values[RWD_DETAILS])->root,
											 key, (int) strlen(key), &value);

	if (found == NULL || found->type != jbvNumeric)
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("details of a reversal lack \"%s\"", key));
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(found->val.numeric)));
}

/* Refuse the retry, and return true, when the first call's number was another. */
static bool
differs(const char *field, int64 now, const EcoRow *first, EcoResult *result)
{
	EcoDetail	detail = {0};

	if (stored_int(first, field) == now)
		return false;
	eco_detail_str(&detail, "field", field);
	eco_detail_int(&detail, "first", stored_int(first, field));
	eco_detail_int(&detail, "now", now);
	eco_grant_mismatch(result, first, &detail);
	return true;
}

/* An object in an object; NULL: there is none. */
static Jsonb *
object_in(Datum object, const char *key)
{
	JsonbValue	value;
	JsonbValue *found = object == (Datum) 0 ? NULL :
	getKeyJsonValueFromContainer(&DatumGetJsonbP(object)->root, key, (int) strlen(key), &value);

	return found == NULL ? NULL : JsonbValueToJsonb(found);
}

/* The same of the items, of which it stored none when there were none. */
static bool
items_differ(const Reversal *r, const EcoRow *first, EcoResult *result)
{
	EcoDetail	asked = {0};
	EcoDetail	detail = {0};
	Jsonb	   *stored = object_in(first->values[RWD_DETAILS], "items");
	Jsonb	   *now;

	eco_holdings_detail(&asked, "items", &r->taken);
	now = object_in(eco_detail_end(&asked), "items");
	if (eco_same_json(stored, now))
		return false;
	eco_detail_str(&detail, "field", "items");
	eco_detail_json(&detail, "first", stored);
	eco_detail_json(&detail, "now", now);
	eco_grant_mismatch(result, first, &detail);
	return true;
}

static void
replay_reversal(Reversal *r, const EcoRow *first, EcoResult *result)
{
	/* all that was left means the same as it did then */
	EcoReversed before = eco_reward_reversed(&r->reward, eco_row_int(first, ECO_COL_SEQ));

	settle_amounts(r, &before);
	if (differs("gold", r->gold, first, result) || differs("xp", r->xp, first, result) ||
		items_differ(r, first, result))
		return;
	eco_result_outcome(result, "reuse", "OK");
	eco_grant_set_entry(result, first);
	eco_result_set(result, GRANT_DETAIL, first->values[RWD_DETAILS]);
}
