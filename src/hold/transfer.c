/*
 * transfer.c
 *		transfer(): gold and items from one user to another.
 *
 * It is two entries: transfer_out of the sender, whose key is the caller's, and
 * transfer_in of the receiver, whose key is the name of the first.  Both accounts are
 * locked, the lesser id first, before anything is decided, and both are written before
 * either entry is: a trigger finds them moved on.  The fee is part of what the sender's
 * entry takes and of nobody's gain.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "crash_point.h"
#include "errors.h"
#include "hold/journal.h"
#include "hold/sent.h"
#include "hold/transfer_rules.h"
#include "ledger/args.h"
#include "ledger/call.h"
#include "ledger/holdings.h"
#include "ledger/result.h"

#define REASON		"transfer"	/* of both entries */
#define MAX_NOTE	255			/* bytes */

/* members of the entries' detail */
#define TRANSFER	"transfer"	/* the name of the sender's entry */
#define TO			"to"
#define FROM		"from"
#define GOLD		"gold"		/* that arrives */
#define FEE			"fee"		/* that nobody gets */
#define NOTE		"note"

/* A call, and its answer. */
typedef struct Transfer
{
	int64		from;
	int64		to;
	EcoText		key;
	EcoText		note;			/* data NULL: none */
	int64		gold;
	int64		fee;
	EcoHoldings items;			/* of the sender */
	EcoHoldings received;		/* the same of the receiver */
	Jsonb	   *context;
	bool		dry_run;
	TimestampTz at;
	EcoSent		sent;
	EcoOpenTables *open;
	EcoResult	result;
	EcoDetail	detail;
} Transfer;

PG_FUNCTION_INFO_V1(eco_transfer);

static void read_arguments(Transfer *t, FunctionCallInfo fcinfo);
static bool make(Transfer *t, bool in_passing);
static void post(Transfer *t, EcoAccount *from, EcoAccount *to);
static const char *refusal_of(Transfer *t, const EcoAccount *from, const EcoAccount *to);
static void make_entry(const Transfer *t, EcoEntry *entry, const char *operation,
					   const EcoText *key, const EcoHoldings *items);
static Datum particulars(const Transfer *t, const char *id, bool sent);
static void add_particulars(EcoDetail *detail, const Transfer *t, const char *id, bool sent);
static bool write_both(Transfer *t, EcoAccount *from, EcoAccount *to, EcoEntry *out, EcoEntry *in);
static void replay(Transfer *t, const EcoRow *first);

/*
 * eco_transfer(from_user_id, to_user_id, idempotency_key, gold, items, note, context, dry_run)
 */
Datum
eco_transfer(PG_FUNCTION_ARGS)
{
	Transfer	t = {.from = 0};
	Datum		detail;

	read_arguments(&t, fcinfo);
	if (!t.dry_run)
		PreventCommandIfReadOnly("economy.transfer()");
	eco_result_begin(&t.result, fcinfo, HOLDING_TYPES);
	if (t.from == t.to)
		eco_result_outcome(&t.result, "refused", "SAME_USER");
	else if (!make(&t, true))
		(void) make(&t, false);
	if (t.dry_run)
		eco_detail_bool(&t.detail, "dry_run", true);
	detail = eco_detail_end(&t.detail);
	if (detail != (Datum) 0)
		eco_result_set(&t.result, HOLDING_DETAIL, detail);
	return eco_result_row(&t.result);
}

static void
read_arguments(Transfer *t, FunctionCallInfo fcinfo)
{
	eco_require_arg(fcinfo, 0, "from_user_id");
	t->from = PG_GETARG_INT64(0);
	eco_require_arg(fcinfo, 1, "to_user_id");
	t->to = PG_GETARG_INT64(1);
	t->key = eco_text_arg(fcinfo, 2, "idempotency_key", ECO_MAX_KEY);
	eco_require_arg(fcinfo, 3, "gold");
	t->gold = PG_GETARG_INT64(3);
	if (t->gold < 0 || t->gold > ECO_MAX_AMOUNT)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("gold must be from 0 to 2^53-1"));
	eco_holdings_arg(fcinfo, 4, "items", ECO_HOLDING_SEND, &t->items);
	if (t->gold == 0 && t->items.n == 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("nothing is transferred"),
				  errhint("Give gold above 0, or items."));
	if (!PG_ARGISNULL(5))
		t->note = eco_text_arg(fcinfo, 5, "note", MAX_NOTE);
	t->context = eco_object_arg(fcinfo, 6, "context");
	eco_require_arg(fcinfo, 7, "dry_run");
	t->dry_run = PG_GETARG_BOOL(7);
}

/* In passing when it is of gold alone: items may stand in rows, which the lock guards. */
static bool
make(Transfer *t, bool in_passing)
{
	EcoTable   *tables[ECO_TRANSFER_TABLES + 3] = {NULL};
	int			ntables = eco_transfer_tables(tables);
	EcoCall		call;

	t->detail = (EcoDetail)
	{
		.open = false
	};
	if (t->items.n > 0)
	{
		tables[ntables++] = &eco_items;
		tables[ntables++] = &eco_user_holdings_more;
	}
	eco_call_init(&call, &eco_holding_changes, t->from, NULL);
	call.tables_of_new = tables;
	call.of_two = true;
	call.other_id = t->to;
	call.in_passing = in_passing && t->items.n == 0;
	call.key = ECO_HCH_BY_KEY;
	call.texts[call.ntexts++] = eco_text_of(ECO_TRANSFER_OUT);
	call.texts[call.ntexts++] = t->key;
	call.dry_run = t->dry_run;
	t->open = NULL;
	switch (eco_call_begin(&call))
	{
		case ECO_CALL_NEW:
			t->open = call.open;
			post(t, &call.account, &call.other);
			break;
		case ECO_CALL_REPLAY:
			replay(t, &call.first);
			break;
		case ECO_CALL_BUSY:
			eco_result_busy(&t->result, HOLDING_RETRY_AFTER_MS);
			break;
		case ECO_CALL_ARCHIVED: /* none of them leaves its journal */
		case ECO_CALL_NO_USER:
			eco_result_outcome(&t->result, "refused", "USER_NOT_FOUND");
			eco_detail_int(&t->detail, "user_id", call.missing_id);
			break;
	}
	eco_call_end(&call);
	return eco_call_passed(&call);
}

static void
post(Transfer *t, EcoAccount *from, EcoAccount *to)
{
	EcoEntry	out;
	EcoEntry	in;
	EcoText		id = eco_text_of(eco_transaction_id(&eco_holding_changes, from->user_id,
													from->seq + 1));
	const char *refusal;

	t->at = eco_now();
	refusal = refusal_of(t, from, to);
	if (refusal != NULL)
	{
		eco_account_hold(from);
		eco_account_hold(to);
		eco_result_outcome(&t->result, "refused", refusal);
		eco_result_set(&t->result, HOLDING_GOLD, Int64GetDatum(from->gold));
		return;
	}
	make_entry(t, &out, ECO_TRANSFER_OUT, &t->key, &t->items);
	out.gold_delta = -(t->gold + t->fee);
	if (t->dry_run)
	{
		eco_row_set(&out.row, ECO_COL_GOLD_DELTA, Int64GetDatum(out.gold_delta));
		eco_row_set(&out.row, ECO_COL_GOLD, Int64GetDatum(from->gold + out.gold_delta));
		add_particulars(&t->detail, t, NULL, true);
		eco_hch_answer(&t->result, "new", &out.row);
		return;
	}
	eco_row_set(&out.row, HCH_DETAIL, particulars(t, id.data, true));
	if (t->context != NULL)
		eco_row_set(&out.row, HCH_CONTEXT, JsonbPGetDatum(t->context));
	make_entry(t, &in, ECO_TRANSFER_IN, &id, &t->received);
	in.gold_delta = t->gold;
	eco_row_set(&in.row, HCH_DETAIL, particulars(t, id.data, false));
	if (!write_both(t, from, to, &out, &in))
		return;
	eco_hch_answer(&t->result, "new", &out.row);
	eco_result_set(&t->result, HOLDING_DETAIL, out.row.values[HCH_DETAIL]);
	eco_result_entry(&t->result, &eco_holding_changes, &out.row);
}

/* False: the account that was taken in passing is another one, and nothing was written. */
static bool
write_both(Transfer *t, EcoAccount *from, EcoAccount *to, EcoEntry *out, EcoEntry *in)
{
	EcoEntry   *both[] = {out, in};
	bool		from_first = from->user_id > to->user_id;

	eco_entry_prepare(from, out);
	eco_entry_prepare(to, in);
	if (t->gold > 0)
		eco_sent_set(&t->sent, from);
	eco_holdings_save(&t->items, from);
	eco_holdings_save(&t->received, to);
	(void) eco_holdings_write(&t->items, from->user_id);
	(void) eco_holdings_write(&t->received, to->user_id);
	if (!eco_account_write(from_first ? from : to))
		return false;
	ECO_CRASH_POINT("transfer:between_accounts");
	eco_account_flush(from_first ? to : from);
	eco_entries_write(both, lengthof(both));
	ECO_CRASH_POINT("transfer:after_entries");
	return true;
}

/* Refusals, in the order of the reference */

/* About which of the two. */
static const char *
about(Transfer *t, int64 user_id, const char *refusal)
{
	if (refusal != NULL)
		eco_detail_int(&t->detail, "user_id", user_id);
	return refusal;
}

static const char *
check_gold(Transfer *t, const EcoAccount *from, const EcoAccount *to, int32 per_mille)
{
	const char *refusal;

	t->fee = eco_transfer_fee(t->gold, per_mille);
	refusal = eco_amount_refusal(from, -(t->gold + t->fee), 0);
	if (refusal == NULL)
		return about(t, to->user_id, eco_amount_refusal(to, t->gold, 0));
	eco_detail_int(&t->detail, "needed", t->gold + t->fee);
	eco_detail_int(&t->detail, FEE, t->fee);
	return about(t, from->user_id, refusal);
}

static const char *
check_items(Transfer *t, const EcoAccount *from, const EcoAccount *to)
{
	const char *refusal;

	if (t->items.n == 0)
		return NULL;
	refusal = eco_holdings_refusal(&t->items, from, &t->detail);
	if (refusal != NULL)
		return about(t, from->user_id, refusal);
	t->received = t->items;
	for (int i = 0; i < t->received.n; i++)
		t->received.of[i].use = ECO_HOLDING_RECEIVE;
	return about(t, to->user_id, eco_holdings_refusal(&t->received, to, &t->detail));
}

static const char *
refusal_of(Transfer *t, const EcoAccount *from, const EcoAccount *to)
{
	EcoTransferRules rules;
	const char *refusal;

	if (!eco_transfer_rules(&rules))
		return "TRANSFERS_OFF";
	if (from->suspended)
		return about(t, from->user_id, "USER_SUSPENDED");
	if (to->suspended)
		return about(t, to->user_id, "USER_SUSPENDED");
	refusal = about(t, from->user_id,
					eco_transfer_age(&rules, from->user_id, t->at, t->open, &t->detail));
	if (refusal == NULL && t->gold > 0)
		refusal = eco_transfer_day(&rules, from, t->at, t->gold, &t->sent, &t->detail);
	if (refusal == NULL)
		refusal = check_gold(t, from, to, rules.fee_per_mille);
	if (refusal == NULL)
		refusal = check_items(t, from, to);
	return refusal;
}

/* Entries and answers */

static void
make_entry(const Transfer *t, EcoEntry *entry, const char *operation, const EcoText *key,
		   const EcoHoldings *items)
{
	EcoRow	   *row = &entry->row;

	eco_entry_init(entry, &eco_holding_changes);
	entry->at = t->at;
	eco_row_set(row, HCH_OPERATION, eco_text_of(operation).datum);
	eco_row_set(row, HCH_KEY, key->datum);
	eco_row_set(row, HCH_REASON, eco_text_of(REASON).datum);
	if (items->n > 0)
		eco_row_set(row, HCH_ITEMS, eco_holdings_json(items));
}

/* What the entry says, of the sender or of the receiver. */
static Datum
particulars(const Transfer *t, const char *id, bool sent)
{
	EcoDetail	detail = {.open = false};

	add_particulars(&detail, t, id, sent);
	return eco_detail_end(&detail);
}

static void
add_particulars(EcoDetail *detail, const Transfer *t, const char *id, bool sent)
{
	if (id != NULL)
		eco_detail_str(detail, TRANSFER, id);
	eco_detail_int(detail, sent ? TO : FROM, sent ? t->to : t->from);
	eco_detail_int(detail, GOLD, t->gold);
	if (sent)
		eco_detail_int(detail, FEE, t->fee);
	if (t->note.data != NULL)
		eco_detail_text(detail, NOTE, t->note.data, t->note.len);
}

/* Retries */

/* What is compared of a retry: all of it. */
static bool
same_payload(Transfer *t, const EcoRow *first, const Jsonb *detail)
{
	EcoText		note = eco_hch_text(detail, NOTE);

	if (!eco_hch_same_int(&t->detail, "to_user_id", eco_hch_int(detail, TO), t->to) ||
		!eco_hch_same_int(&t->detail, "gold", eco_hch_int(detail, GOLD), t->gold))
		return false;
	if (!eco_holdings_same(&t->items, eco_hch_items(first)))
	{
		eco_detail_field(&t->detail, "items", first, HCH_ITEMS);
		return false;
	}
	return eco_hch_same_text(&t->detail, "note", &note, &t->note) &&
		eco_hch_same_context(&t->detail, first, t->context);
}

static void
replay(Transfer *t, const EcoRow *first)
{
	const Jsonb *detail = eco_hch_detail(first);

	if (same_payload(t, first, detail))
	{
		t->fee = eco_hch_int(detail, FEE);
		add_particulars(&t->detail, t,
						eco_transaction_id(&eco_holding_changes, t->from,
										   eco_row_int(first, ECO_COL_SEQ)), true);
		eco_hch_answer(&t->result, "reuse", first);
	}
	else
		eco_result_outcome(&t->result, "refused", "IDEMPOTENCY_MISMATCH");
	eco_result_entry(&t->result, &eco_holding_changes, first);
}
