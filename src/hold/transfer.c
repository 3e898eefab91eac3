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
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "core/period.h"
#include "crash_point.h"
#include "errors.h"
#include "hold/journal.h"
#include "hold/sent.h"
#include "ledger/args.h"
#include "ledger/call.h"
#include "ledger/holdings.h"
#include "ledger/result.h"

#define REASON		"transfer"	/* of both entries */
#define MAX_NOTE	255			/* bytes */
#define PER_MILLE	1000

/* members of the entries' detail */
#define TRANSFER	"transfer"	/* the name of the sender's entry */
#define TO			"to"
#define FROM		"from"
#define GOLD		"gold"		/* that arrives */
#define FEE			"fee"		/* that nobody gets */
#define NOTE		"note"

/* columns of economy.transfer_rules */
enum
{
	TRR_RULES,
	TRR_ENABLED,
	TRR_FEE,
	TRR_DAILY_GOLD,
	TRR_MINIMUM_AGE,
	TRR_COLUMNS
};

/* One row, or none: then nothing is transferred. */
static EcoTable transfer_rules = {
	.name = "transfer_rules",
	.only_read = true,
	.ncolumns = TRR_COLUMNS,
	.columns = {
		{"rules", TEXTOID, false},
		{"enabled", BOOLOID, false},
		{"fee_per_mille", INT4OID, false},
		{"daily_gold", INT8OID, ECO_NULLABLE},
		{"minimum_age_hours", INT4OID, false},
	},
	.nkeys = 1,
	.keys = {{1, {TRR_RULES}}},
};

/* Of users, when they came. */
enum
{
	BRN_USER_ID,
	BRN_CREATED_AT,
	BRN_COLUMNS
};

static EcoTable registrations = {
	.name = "users",
	.only_read = true,
	.ncolumns = BRN_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"created_at", TIMESTAMPTZOID, false},
	},
	.nkeys = 1,
	.keys = {{1, {BRN_USER_ID}}},
};

/* Whether the sender's age was asked for in this session: it will be again. */
static bool asks_age = false;

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
static void answer(Transfer *t, const char *state, const EcoRow *row);
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
	EcoTable   *tables[] = {&transfer_rules, NULL, NULL, NULL, NULL};
	int			ntables = 1;
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
	if (asks_age)
		tables[ntables++] = &registrations;
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
		answer(t, "new", &out.row);
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
	answer(t, "new", &out.row);
	eco_result_set(&t->result, HOLDING_DETAIL, out.row.values[HCH_DETAIL]);
	eco_result_entry(&t->result, &eco_holding_changes, &out.row);
}

static void
set_sent(const Transfer *t, EcoAccount *from)
{
	uint8		payload[ECO_SENT_MAX];
	EcoSection	section = {
		.version = ECO_SENT_VERSION, .data = payload, .len = eco_sent_write(&t->sent, payload)
	};

	eco_account_set_section(from, ECO_SECTION_SENT, &section);
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
		set_sent(t, from);
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
check_age(Transfer *t, int32 hours)
{
	static EcoTable *const tables[] = {&registrations, NULL};
	Datum		key = Int64GetDatum(t->from);
	EcoRow		row;
	TimestampTz from;

	if (hours == 0)
		return NULL;
	asks_age = true;
	(void) eco_tables_add(t->open, tables);
	/* an account without a user, which only damage makes, is of no age */
	from = eco_row_find(&registrations, t->from, 0, 1, &key, &row) ?
		DatumGetTimestampTz(row.values[BRN_CREATED_AT]) : DT_NOEND;
	if (!TIMESTAMP_NOT_FINITE(from))
		from += hours * USECS_PER_HOUR;
	if (t->at >= from)
		return NULL;
	(void) about(t, t->from, "TRANSFER_TOO_YOUNG");
	eco_detail_moment(&t->detail, "allowed_at", from);
	return "TRANSFER_TOO_YOUNG";
}

static const char *
check_day(Transfer *t, const EcoAccount *from, const EcoRow *rules)
{
	EcoSection	section;
	int64		before;

	if (t->gold == 0)
		return NULL;
	(void) eco_account_section(from, ECO_SECTION_SENT, &section);
	if (!eco_sent_read(&section, &t->sent))
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("account of user %lld has a damaged count of what was sent",
						 (long long) from->user_id));
	eco_sent_add(&t->sent, t->at, t->gold);
	before = t->sent.gold - t->gold;
	if (rules->isnull[TRR_DAILY_GOLD] || t->sent.gold <= eco_row_int(rules, TRR_DAILY_GOLD))
		return NULL;
	eco_detail_int(&t->detail, "sent", before);
	eco_detail_int(&t->detail, "limit", eco_row_int(rules, TRR_DAILY_GOLD));
	eco_detail_moment(&t->detail, "renews_at",
					  eco_period_start(ECO_PERIOD_DAY, t->sent.day + 1));
	return "TRANSFER_DAILY_LIMIT";
}

/* The fee is rounded up; nothing overflows: gold is below 2^53. */
static const char *
check_gold(Transfer *t, const EcoAccount *from, const EcoAccount *to, int32 per_mille)
{
	const char *refusal;

	t->fee = (t->gold * per_mille + PER_MILLE - 1) / PER_MILLE;
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
	EcoText		which = eco_text_of("all");
	EcoRow		rules;
	const char *refusal;

	if (!eco_row_find(&transfer_rules, 0, 0, 1, &which.datum, &rules) ||
		!DatumGetBool(rules.values[TRR_ENABLED]))
		return "TRANSFERS_OFF";
	if (from->suspended)
		return about(t, from->user_id, "USER_SUSPENDED");
	if (to->suspended)
		return about(t, to->user_id, "USER_SUSPENDED");
	refusal = check_age(t, DatumGetInt32(rules.values[TRR_MINIMUM_AGE]));
	if (refusal == NULL)
		refusal = check_day(t, from, &rules);
	if (refusal == NULL)
		refusal = check_gold(t, from, to, DatumGetInt32(rules.values[TRR_FEE]));
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

static void
answer(Transfer *t, const char *state, const EcoRow *row)
{
	eco_result_outcome(&t->result, state, "OK");
	if (!row->isnull[HCH_ITEMS])
		eco_result_set(&t->result, HOLDING_ITEMS, row->values[HCH_ITEMS]);
	eco_result_set(&t->result, HOLDING_GOLD_DELTA, row->values[ECO_COL_GOLD_DELTA]);
	eco_result_set(&t->result, HOLDING_GOLD, row->values[ECO_COL_GOLD]);
}

/* Retries */

/* A number of the first entry's detail; -1: it has none, which only damage makes. */
static int64
first_int(const Jsonb *detail, const char *key)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(&unconstify(Jsonb *, detail)->root, key, strlen(key),
									 &value) == NULL || value.type != jbvNumeric)
		return -1;
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value.val.numeric)));
}

static EcoText
first_note(const Jsonb *detail)
{
	EcoText		note = {.data = NULL};
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(&unconstify(Jsonb *, detail)->root, NOTE, strlen(NOTE),
									 &value) != NULL && value.type == jbvString)
	{
		note.data = value.val.string.val;
		note.len = value.val.string.len;
	}
	return note;
}

static bool
same_int(Transfer *t, const char *field, int64 first, int64 now)
{
	if (first == now)
		return true;
	eco_detail_str(&t->detail, "field", field);
	eco_detail_int(&t->detail, "first", first);
	eco_detail_int(&t->detail, "now", now);
	return false;
}

static void
detail_note(EcoDetail *detail, const char *key, const EcoText *note)
{
	if (note->data != NULL)
		eco_detail_text(detail, key, note->data, note->len);
	else
		eco_detail_json(detail, key, NULL);
}

static bool
same_note(Transfer *t, const EcoText *first)
{
	if ((first->data == NULL) == (t->note.data == NULL) && first->len == t->note.len &&
		(first->len == 0 || memcmp(first->data, t->note.data, first->len) == 0))
		return true;
	eco_detail_str(&t->detail, "field", "note");
	detail_note(&t->detail, "first", first);
	detail_note(&t->detail, "now", &t->note);
	return false;
}

/* What is compared of a retry: all of it. */
static bool
same_payload(Transfer *t, const EcoRow *first, const Jsonb *detail)
{
	EcoText		note = first_note(detail);

	if (!same_int(t, "to_user_id", first_int(detail, TO), t->to) ||
		!same_int(t, "gold", first_int(detail, GOLD), t->gold))
		return false;
	if (!eco_holdings_same(&t->items,
						   first->isnull[HCH_ITEMS] ? (Datum) 0 : first->values[HCH_ITEMS]))
	{
		eco_detail_field(&t->detail, "items", first, HCH_ITEMS);
		return false;
	}
	if (!same_note(t, &note))
		return false;
	if (eco_same_object(first, HCH_CONTEXT, t->context))
		return true;
	eco_detail_field(&t->detail, "context", first, HCH_CONTEXT);
	eco_detail_json(&t->detail, "now", t->context);
	return false;
}

static void
replay(Transfer *t, const EcoRow *first)
{
	Jsonb	   *detail;

	if (first->isnull[HCH_DETAIL] || !JB_ROOT_IS_OBJECT(DatumGetJsonbP(first->values[HCH_DETAIL])))
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("a transfer of user %lld has no detail", (long long) t->from));
	detail = DatumGetJsonbP(first->values[HCH_DETAIL]);
	if (same_payload(t, first, detail))
	{
		t->fee = first_int(detail, FEE);
		add_particulars(&t->detail, t,
						eco_transaction_id(&eco_holding_changes, t->from,
										   eco_row_int(first, ECO_COL_SEQ)), true);
		answer(t, "reuse", first);
	}
	else
		eco_result_outcome(&t->result, "refused", "IDEMPOTENCY_MISMATCH");
	eco_result_entry(&t->result, &eco_holding_changes, first);
}
