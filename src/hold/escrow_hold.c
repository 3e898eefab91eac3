/*
 * escrow_hold.c
 *		hold_escrow(): gold and items that a user puts aside; and the bet of an open round.
 *
 * They leave the user's balance with the entry, so nothing else can spend them.  The fee for
 * passing all of it on is put aside with it, at the rate of that moment: a capture needs no
 * gold of the holder's.  A round is passed on to nobody: rules of transfers are none of it.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "crash_point.h"
#include "errors.h"
#include "hold/escrow.h"
#include "hold/transfer_rules.h"
#include "ledger/args.h"
#include "ledger/call.h"
#include "ledger/result.h"

#define MAX_TTL_HOURS	(366 * HOURS_PER_DAY)

/* A call, and its answer. */
typedef struct Hold
{
	const char *operation;
	EcoText		key;
	EcoText		reason;
	EcoEscrow	escrow;
	int64		ttl_seconds;
	Jsonb	   *context;
	bool		dry_run;
	TimestampTz at;
	EcoOpenTables *open;
	EcoResult	result;
	EcoDetail	detail;
} Hold;

PG_FUNCTION_INFO_V1(eco_hold_escrow);
PG_FUNCTION_INFO_V1(eco_hold_round);

static Datum answer(Hold *h);
static void read_arguments(Hold *h, FunctionCallInfo fcinfo);
static bool make(Hold *h, bool in_passing);
static void post(Hold *h, EcoAccount *account);
static const char *refusal_of(Hold *h, const EcoAccount *account);
static const char *check_bet(Hold *h, const EcoAccount *account);
static void make_entry(const Hold *h, EcoEntry *entry);
static void add_particulars(EcoDetail *detail, const Hold *h);
static void replay(Hold *h, const EcoRow *first);

/*
 * eco_hold_escrow(user_id, idempotency_key, gold, items, ttl, reason, context, dry_run)
 */
Datum
eco_hold_escrow(PG_FUNCTION_ARGS)
{
	Hold		h = {.operation = ECO_ESCROW_HOLD};

	read_arguments(&h, fcinfo);
	if (!h.dry_run)
		PreventCommandIfReadOnly("economy.hold_escrow()");
	eco_result_begin(&h.result, fcinfo, HOLDING_TYPES);
	return answer(&h);
}

/*
 * eco_hold_round(user_id, key, bet, ttl, context, details)
 *		Of open_action(), which has looked at what it gives but for these.
 */
Datum
eco_hold_round(PG_FUNCTION_ARGS)
{
	Hold		h = {.operation = ECO_ROUND_OPEN, .reason = eco_text_of("bet")};

	PreventCommandIfReadOnly("economy.open_action()");
	h.escrow.user_id = PG_GETARG_INT64(0);
	h.key = eco_text_in(PG_GETARG_DATUM(1));
	h.escrow.gold = PG_GETARG_INT64(2);
	if (h.escrow.gold < 1 || h.escrow.gold > ECO_MAX_AMOUNT)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("bet must be from 1 to 2^53-1"),
				  errhint("record_action() is for what nothing is bet on."));
	h.ttl_seconds = eco_seconds_arg(fcinfo, 3, "ttl", MAX_TTL_HOURS);
	h.context = PG_GETARG_JSONB_P(4);
	(void) eco_object_arg(fcinfo, 5, "details");
	eco_result_begin(&h.result, fcinfo, HOLDING_TYPES);
	return answer(&h);
}

static Datum
answer(Hold *h)
{
	Datum		detail;

	if (!make(h, true))
		(void) make(h, false);
	if (h->dry_run)
		eco_detail_bool(&h->detail, "dry_run", true);
	detail = eco_detail_end(&h->detail);
	if (detail != (Datum) 0)
		eco_result_set(&h->result, HOLDING_DETAIL, detail);
	return eco_result_row(&h->result);
}

static inline bool
is_round(const Hold *h)
{
	return strcmp(h->operation, ECO_ROUND_OPEN) == 0;
}

static void
read_arguments(Hold *h, FunctionCallInfo fcinfo)
{
	eco_require_arg(fcinfo, 0, "user_id");
	h->escrow.user_id = PG_GETARG_INT64(0);
	h->key = eco_text_arg(fcinfo, 1, "idempotency_key", ECO_MAX_KEY);
	eco_require_arg(fcinfo, 2, "gold");
	h->escrow.gold = PG_GETARG_INT64(2);
	if (h->escrow.gold < 0 || h->escrow.gold > ECO_MAX_AMOUNT)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("gold must be from 0 to 2^53-1"));
	eco_holdings_arg(fcinfo, 3, "items", ECO_HOLDING_SEND, &h->escrow.items);
	if (h->escrow.gold == 0 && h->escrow.items.n == 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("nothing is held"),
				  errhint("Give gold above 0, or items."));
	h->ttl_seconds = eco_seconds_arg(fcinfo, 4, "ttl", MAX_TTL_HOURS);
	h->reason = eco_text_arg(fcinfo, 5, "reason", ECO_MAX_NAME);
	h->context = eco_object_arg(fcinfo, 6, "context");
	eco_require_arg(fcinfo, 7, "dry_run");
	h->dry_run = PG_GETARG_BOOL(7);
}

/* In passing when it is of gold alone: items may stand in rows, which the lock guards. */
static bool
make(Hold *h, bool in_passing)
{
	EcoTable   *tables[ECO_TRANSFER_TABLES + 4] = {NULL};
	int			ntables = is_round(h) ? 0 : eco_transfer_tables(tables);
	EcoCall		call;

	h->detail = (EcoDetail)
	{
		.open = false
	};
	tables[ntables++] = &eco_escrows;
	if (h->escrow.items.n > 0)
	{
		tables[ntables++] = &eco_items;
		tables[ntables++] = &eco_user_holdings_more;
	}
	eco_call_init(&call, &eco_holding_changes, h->escrow.user_id, NULL);
	call.tables_of_new = tables;
	call.in_passing = in_passing && h->escrow.items.n == 0;
	call.key = ECO_HCH_BY_KEY;
	call.texts[call.ntexts++] = eco_text_of(h->operation);
	call.texts[call.ntexts++] = h->key;
	call.dry_run = h->dry_run;
	switch (eco_call_begin(&call))
	{
		case ECO_CALL_NEW:
			h->open = call.open;
			post(h, &call.account);
			break;
		case ECO_CALL_REPLAY:
			replay(h, &call.first);
			break;
		case ECO_CALL_BUSY:
			eco_result_busy(&h->result, HOLDING_RETRY_AFTER_MS);
			break;
		case ECO_CALL_ARCHIVED: /* none of them leaves its journal */
		case ECO_CALL_NO_USER:
			eco_result_outcome(&h->result, "refused", "USER_NOT_FOUND");
			break;
	}
	eco_call_end(&call);
	return eco_call_passed(&call);
}

static void
post(Hold *h, EcoAccount *account)
{
	EcoEscrow  *escrow = &h->escrow;
	const char *refusal;
	EcoEntry	entry;

	h->at = eco_now();
	refusal = is_round(h) ? check_bet(h, account) : refusal_of(h, account);
	if (refusal != NULL)
	{
		eco_account_hold(account);
		eco_result_outcome(&h->result, "refused", refusal);
		eco_result_set(&h->result, HOLDING_GOLD, Int64GetDatum(account->gold));
		return;
	}
	escrow->expires_at = h->at + h->ttl_seconds * USECS_PER_SEC;
	make_entry(h, &entry);
	add_particulars(&h->detail, h);
	if (h->dry_run)
	{
		eco_row_set(&entry.row, ECO_COL_GOLD_DELTA, Int64GetDatum(entry.gold_delta));
		eco_row_set(&entry.row, ECO_COL_GOLD, Int64GetDatum(account->gold + entry.gold_delta));
		eco_hch_answer(&h->result, "new", &entry.row);
		return;
	}
	eco_entry_prepare(account, &entry);
	eco_holdings_save(&escrow->items, account);
	(void) eco_holdings_write(&escrow->items, account->user_id);
	if (!eco_account_write(account))
		return;
	escrow->seq = entry.seq;
	eco_escrow_opened(escrow);
	eco_entry_write(&entry);
	ECO_CRASH_POINT("escrow:after_hold");
	eco_hch_answer(&h->result, "new", &entry.row);
	eco_result_entry(&h->result, &eco_holding_changes, &entry.row);
}

/* In the order of the reference. */
static const char *
refusal_of(Hold *h, const EcoAccount *account)
{
	EcoEscrow  *escrow = &h->escrow;
	EcoTransferRules rules;
	const char *refusal;

	if (!eco_transfer_rules(&rules))
		return "TRANSFERS_OFF";
	if (account->suspended)
		return "USER_SUSPENDED";
	refusal = eco_transfer_age(&rules, escrow->user_id, h->at, h->open, &h->detail);
	if (refusal != NULL)
		return refusal;
	escrow->fee_per_mille = rules.fee_per_mille;
	escrow->fee = eco_transfer_fee(escrow->gold, rules.fee_per_mille);
	refusal = eco_amount_refusal(account, -(escrow->gold + escrow->fee), 0);
	if (refusal != NULL)
	{
		eco_detail_int(&h->detail, "needed", escrow->gold + escrow->fee);
		eco_detail_int(&h->detail, ESCROW_FEE, escrow->fee);
		return refusal;
	}
	return escrow->items.n == 0 ? NULL :
		eco_holdings_refusal(&escrow->items, account, &h->detail);
}

static const char *
check_bet(Hold *h, const EcoAccount *account)
{
	const char *refusal;

	if (account->suspended)
		return "USER_SUSPENDED";
	refusal = eco_amount_refusal(account, -h->escrow.gold, 0);
	if (refusal != NULL)
		eco_detail_int(&h->detail, "needed", h->escrow.gold);
	return refusal;
}

/* Entries and retries */

static void
make_entry(const Hold *h, EcoEntry *entry)
{
	EcoDetail	detail = {.open = false};
	EcoRow	   *row = &entry->row;

	eco_entry_init(entry, &eco_holding_changes);
	entry->at = h->at;
	entry->gold_delta = -(h->escrow.gold + h->escrow.fee);
	eco_row_set(row, HCH_OPERATION, eco_text_of(h->operation).datum);
	eco_row_set(row, HCH_KEY, h->key.datum);
	eco_row_set(row, HCH_REASON, h->reason.datum);
	if (h->escrow.items.n > 0)
		eco_row_set(row, HCH_ITEMS, eco_holdings_json(&h->escrow.items));
	if (h->context != NULL)
		eco_row_set(row, HCH_CONTEXT, JsonbPGetDatum(h->context));
	add_particulars(&detail, h);
	eco_row_set(row, HCH_DETAIL, eco_detail_end(&detail));
}

static void
add_particulars(EcoDetail *detail, const Hold *h)
{
	eco_detail_int(detail, ESCROW_GOLD, h->escrow.gold);
	eco_detail_int(detail, ESCROW_FEE, h->escrow.fee);
	eco_detail_int(detail, ESCROW_PER_MILLE, h->escrow.fee_per_mille);
	eco_detail_int(detail, ESCROW_TTL, h->ttl_seconds);
	eco_detail_moment(detail, ESCROW_EXPIRES, h->escrow.expires_at);
}

/* What is compared of a retry: all of it. */
static bool
same_payload(Hold *h, const EcoRow *first, const Jsonb *detail)
{
	EcoText		reason = eco_text_in(first->values[HCH_REASON]);

	if (!eco_hch_same_int(&h->detail, is_round(h) ? "bet" : "gold",
						  eco_hch_int(detail, ESCROW_GOLD), h->escrow.gold))
		return false;
	if (!eco_holdings_same(&h->escrow.items, eco_hch_items(first)))
	{
		eco_detail_field(&h->detail, "items", first, HCH_ITEMS);
		return false;
	}
	return eco_hch_same_int(&h->detail, "ttl", eco_hch_int(detail, ESCROW_TTL),
							h->ttl_seconds) &&
		eco_hch_same_text(&h->detail, "reason", &reason, &h->reason) &&
		eco_hch_same_context(&h->detail, first, h->context);
}

static void
replay(Hold *h, const EcoRow *first)
{
	const Jsonb *detail = eco_hch_detail(first);

	if (same_payload(h, first, detail))
	{
		h->escrow.fee = eco_hch_int(detail, ESCROW_FEE);
		h->escrow.fee_per_mille = (int32) eco_hch_int(detail, ESCROW_PER_MILLE);
		h->escrow.expires_at = DatumGetTimestampTz(first->values[ECO_COL_CREATED_AT]) +
			h->ttl_seconds * USECS_PER_SEC;
		add_particulars(&h->detail, h);
		eco_hch_answer(&h->result, "reuse", first);
	}
	else
		eco_result_outcome(&h->result, "refused", "IDEMPOTENCY_MISMATCH");
	eco_result_entry(&h->result, &eco_holding_changes, first);
}
