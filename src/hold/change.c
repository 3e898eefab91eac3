/*
 * change.c
 *		spend(), consume() and grant_items(): what users use up and get outside the shop and
 *		the rewards; and the gold of debts.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "crash_point.h"
#include "errors.h"
#include "hold/journal.h"
#include "ledger/args.h"
#include "ledger/call.h"
#include "ledger/holdings.h"
#include "ledger/result.h"

/* A call, and its answer. */
typedef struct Change
{
	const char *operation;		/* a word of the journal */
	int64		user_id;
	EcoText		key;
	EcoText		reason;
	int64		gold;			/* spent */
	EcoHoldings items;
	Jsonb	   *context;
	bool		dry_run;
	bool		is_owed;		/* it is taken from who is suspended, too */
	EcoResult	result;
	EcoDetail	detail;
} Change;

PG_FUNCTION_INFO_V1(eco_spend);
PG_FUNCTION_INFO_V1(eco_consume);
PG_FUNCTION_INFO_V1(eco_grant_items);
PG_FUNCTION_INFO_V1(eco_take_debt);

static void read_common(Change *c, FunctionCallInfo fcinfo, int key, int context);
static Datum change(Change *c, FunctionCallInfo fcinfo, const char *function);
static bool do_change(Change *c, FunctionCallInfo fcinfo, bool in_passing);
static void post(Change *c, EcoAccount *account);
static void make_entry(const Change *c, EcoEntry *entry);
static const char *refusal_of(Change *c, const EcoAccount *account);
static void replay(Change *c, const EcoRow *first);

/*
 * eco_spend(user_id, gold, reason, idempotency_key, items, context, dry_run)
 */
Datum
eco_spend(PG_FUNCTION_ARGS)
{
	Change		c = {.operation = "spend"};

	read_common(&c, fcinfo, 3, 5);
	eco_require_arg(fcinfo, 1, "gold");
	c.gold = PG_GETARG_INT64(1);
	if (c.gold < 0 || c.gold > ECO_MAX_AMOUNT)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("gold must be from 0 to 2^53-1"));
	c.reason = eco_text_arg(fcinfo, 2, "reason", ECO_MAX_NAME);
	eco_holdings_arg(fcinfo, 4, "items", ECO_HOLDING_USE_UP, &c.items);
	if (c.gold == 0 && c.items.n == 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("nothing is spent"),
				  errhint("Give gold above 0, or items."));
	return change(&c, fcinfo, "economy.spend()");
}

/*
 * eco_consume(user_id, item_id, idempotency_key, quantity, reason, context, dry_run)
 */
Datum
eco_consume(PG_FUNCTION_ARGS)
{
	Change		c = {.operation = "consume"};
	EcoHolding *one = &c.items.of[0];

	read_common(&c, fcinfo, 2, 5);
	c.items.n = 1;
	one->item_id = eco_text_arg(fcinfo, 1, "item_id", ECO_MAX_NAME);
	one->use = ECO_HOLDING_USE_UP;
	eco_require_arg(fcinfo, 3, "quantity");
	one->amount = PG_GETARG_INT64(3);
	if (one->amount < 1 || one->amount > ECO_MAX_AMOUNT)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("quantity must be from 1 to 2^53-1"));
	c.reason = eco_text_arg(fcinfo, 4, "reason", ECO_MAX_NAME);
	return change(&c, fcinfo, "economy.consume()");
}

/*
 * eco_grant_items(user_id, items, reason, idempotency_key, context, dry_run)
 */
Datum
eco_grant_items(PG_FUNCTION_ARGS)
{
	Change		c = {.operation = "grant"};

	read_common(&c, fcinfo, 3, 4);
	eco_require_arg(fcinfo, 1, "items");
	eco_holdings_arg(fcinfo, 1, "items", ECO_HOLDING_GIVE, &c.items);
	c.reason = eco_text_arg(fcinfo, 2, "reason", ECO_MAX_NAME);
	return change(&c, fcinfo, "economy.grant_items()");
}

/*
 * eco_take_debt(user_id, gold, refund, idempotency_key)
 */
Datum
eco_take_debt(PG_FUNCTION_ARGS)
{
	Change		c = {.operation = ECO_DEBT, .is_owed = true};

	eco_require_arg(fcinfo, 0, "user_id");
	c.user_id = PG_GETARG_INT64(0);
	eco_require_arg(fcinfo, 1, "gold");
	c.gold = PG_GETARG_INT64(1);
	if (c.gold < 1 || c.gold > ECO_MAX_AMOUNT)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("gold must be from 1 to 2^53-1"));
	c.reason = eco_text_arg(fcinfo, 2, "refund", ECO_MAX_NAME);
	c.key = eco_text_arg(fcinfo, 3, "idempotency_key", ECO_MAX_KEY);
	return change(&c, fcinfo, "economy_internal.take_debt()");
}

/* The arguments that the others have; the last one is dry_run, behind the context. */
static void
read_common(Change *c, FunctionCallInfo fcinfo, int key, int context)
{
	eco_require_arg(fcinfo, 0, "user_id");
	c->user_id = PG_GETARG_INT64(0);
	c->key = eco_text_arg(fcinfo, key, "idempotency_key", ECO_MAX_KEY);
	c->context = eco_object_arg(fcinfo, context, "context");
	eco_require_arg(fcinfo, context + 1, "dry_run");
	c->dry_run = PG_GETARG_BOOL(context + 1);
}

static Datum
change(Change *c, FunctionCallInfo fcinfo, const char *function)
{
	if (!c->dry_run)
		PreventCommandIfReadOnly(function);
	if (!do_change(c, fcinfo, true))
		(void) do_change(c, fcinfo, false);
	return eco_result_row(&c->result);
}

/* In passing when it is of gold alone: items may stand in rows, which the lock guards. */
static bool
do_change(Change *c, FunctionCallInfo fcinfo, bool in_passing)
{
	static EcoTable *const tables[] = {&eco_items, &eco_user_holdings_more, NULL};
	EcoCall		call;
	Datum		detail;

	eco_result_begin(&c->result, fcinfo, HOLDING_TYPES);
	c->detail = (EcoDetail)
	{
		.open = false
	};
	eco_call_init(&call, &eco_holding_changes, c->user_id, NULL);
	call.tables_of_new = c->items.n > 0 ? tables : NULL;
	call.in_passing = in_passing && c->items.n == 0;
	call.key = ECO_HCH_BY_KEY;
	call.texts[call.ntexts++] = eco_text_of(c->operation);
	call.texts[call.ntexts++] = c->key;
	call.dry_run = c->dry_run;
	switch (eco_call_begin(&call))
	{
		case ECO_CALL_NEW:
			post(c, &call.account);
			break;
		case ECO_CALL_REPLAY:
			replay(c, &call.first);
			break;
		case ECO_CALL_BUSY:
			eco_result_busy(&c->result, HOLDING_RETRY_AFTER_MS);
			break;
		case ECO_CALL_ARCHIVED: /* none of them leaves its journal */
		case ECO_CALL_NO_USER:
			eco_result_outcome(&c->result, "refused", "USER_NOT_FOUND");
			break;
	}
	eco_call_end(&call);
	if (c->dry_run)
		eco_detail_bool(&c->detail, "dry_run", true);
	detail = eco_detail_end(&c->detail);
	if (detail != (Datum) 0)
		eco_result_set(&c->result, HOLDING_DETAIL, detail);
	return eco_call_passed(&call);
}

static void
post(Change *c, EcoAccount *account)
{
	EcoEntry	entry;
	const char *refusal = refusal_of(c, account);

	if (refusal != NULL)
	{
		eco_account_hold(account);
		eco_result_outcome(&c->result, "refused", refusal);
		eco_result_set(&c->result, HOLDING_GOLD, Int64GetDatum(account->gold));
		return;
	}
	make_entry(c, &entry);
	if (c->dry_run)
	{
		eco_row_set(&entry.row, ECO_COL_GOLD_DELTA, Int64GetDatum(-c->gold));
		eco_row_set(&entry.row, ECO_COL_GOLD, Int64GetDatum(account->gold - c->gold));
		eco_hch_answer(&c->result, "new", &entry.row);
		return;
	}
	eco_entry_prepare(account, &entry);
	eco_holdings_save(&c->items, account);
	(void) eco_holdings_write(&c->items, account->user_id);
	if (!eco_account_write(account))
		return;
	eco_entry_write(&entry);
	ECO_CRASH_POINT("holding:after_entry");
	eco_hch_answer(&c->result, "new", &entry.row);
	eco_result_entry(&c->result, &eco_holding_changes, &entry.row);
}

static const char *
refusal_of(Change *c, const EcoAccount *account)
{
	const char *refusal;

	if (account->suspended && !c->is_owed)
		return "USER_SUSPENDED";
	refusal = eco_amount_refusal(account, -c->gold, 0);
	if (refusal != NULL)
		eco_detail_int(&c->detail, "needed", c->gold);
	else if (c->items.n > 0)
		refusal = eco_holdings_refusal(&c->items, account, &c->detail);
	return refusal;
}

static void
make_entry(const Change *c, EcoEntry *entry)
{
	EcoRow	   *row = &entry->row;

	eco_entry_init(entry, &eco_holding_changes);
	entry->gold_delta = -c->gold;
	eco_row_set(row, HCH_OPERATION, eco_text_of(c->operation).datum);
	eco_row_set(row, HCH_KEY, c->key.datum);
	eco_row_set(row, HCH_REASON, c->reason.datum);
	if (c->items.n > 0)
	{
		entry->at = c->items.at;
		eco_row_set(row, HCH_ITEMS, eco_holdings_json(&c->items));
	}
	if (c->context != NULL)
		eco_row_set(row, HCH_CONTEXT, JsonbPGetDatum(c->context));
}

/* What is compared of a retry: all of it. */
static bool
same_payload(Change *c, const EcoRow *first)
{
	EcoText		reason = eco_text_in(first->values[HCH_REASON]);

	if (eco_row_int(first, ECO_COL_GOLD_DELTA) != -c->gold)
	{
		eco_detail_field(&c->detail, "gold", first, ECO_COL_GOLD_DELTA);
		eco_detail_int(&c->detail, "now", -c->gold);
		return false;
	}
	if (!eco_holdings_same(&c->items, eco_hch_items(first)))
	{
		eco_detail_field(&c->detail, "items", first, HCH_ITEMS);
		return false;
	}
	return eco_hch_same_text(&c->detail, "reason", &reason, &c->reason) &&
		eco_hch_same_context(&c->detail, first, c->context);
}

static void
replay(Change *c, const EcoRow *first)
{
	if (same_payload(c, first))
		eco_hch_answer(&c->result, "reuse", first);
	else
		eco_result_outcome(&c->result, "refused", "IDEMPOTENCY_MISMATCH");
	eco_result_entry(&c->result, &eco_holding_changes, first);
}
