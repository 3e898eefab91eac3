/*
 * escrow_close.c
 *		release_escrow(), capture_escrow(), the end of one whose time is over, and of a round.
 *
 * All three make the one entry that closes an escrow: it gives the holder back what nobody
 * got.  That is never refused for a maximum of an item, for transfers that are off, or to who
 * is suspended.  A capture is a transfer: the other user's entry is of the same moment, both
 * accounts are locked, the lesser id first, and both are written before either entry is.
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

#define MAX_NOTE	255			/* bytes */

/* A call, and its answer. */
typedef struct Closing
{
	const char *how;
	bool		of_round;
	EcoText		reason;			/* of the entries */
	EcoEscrow	escrow;

	int64		to;				/* a capture's */
	int64		gold;			/* asked for; -1: all */
	EcoHoldings asked;
	bool		all_items;
	EcoText		note;			/* data NULL: none */

	int64		fee;			/* of the gold that is captured */
	EcoHoldings captured;
	EcoHoldings back;
	TimestampTz at;
	EcoSent		sent;
	EcoResult	result;
	EcoDetail	detail;
} Closing;

PG_FUNCTION_INFO_V1(eco_release_escrow);
PG_FUNCTION_INFO_V1(eco_capture_escrow);
PG_FUNCTION_INFO_V1(eco_expire_escrow);
PG_FUNCTION_INFO_V1(eco_close_round);

static void read_escrow_id(Closing *c, FunctionCallInfo fcinfo, EcoText *id);
static Datum close_it(Closing *c, FunctionCallInfo fcinfo, const EcoText *id,
					  const char *function);
static void make(Closing *c);
static void post(Closing *c, EcoAccount *holder, EcoAccount *to);
static const char *refusal_of(Closing *c, const EcoAccount *holder, const EcoAccount *to);
static void write_all(Closing *c, EcoAccount *holder, EcoAccount *to, EcoEntry *closing,
					  EcoEntry *in);
static void make_entry(const Closing *c, EcoEntry *entry, const char *operation,
					   const EcoHoldings *items);
static void add_particulars(EcoDetail *detail, const Closing *c, bool is_in);
static const char *share_out(Closing *c);
static void replay(Closing *c, const EcoRow *first);

static inline bool
is_capture(const Closing *c)
{
	return strcmp(c->how, ESCROW_CAPTURED) == 0;
}

/* eco_release_escrow(user_id, escrow_id, reason) */
Datum
eco_release_escrow(PG_FUNCTION_ARGS)
{
	Closing		c = {.how = ESCROW_RELEASED};
	EcoText		id;

	read_escrow_id(&c, fcinfo, &id);
	c.reason = eco_text_arg(fcinfo, 2, "reason", ECO_MAX_NAME);
	return close_it(&c, fcinfo, &id, "economy.release_escrow()");
}

/* eco_expire_escrow(user_id, escrow_id) */
Datum
eco_expire_escrow(PG_FUNCTION_ARGS)
{
	Closing		c = {.how = ESCROW_EXPIRED, .reason = eco_text_of("expiry")};
	EcoText		id;

	read_escrow_id(&c, fcinfo, &id);
	return close_it(&c, fcinfo, &id, "economy_internal.expire_escrow()");
}

/*
 * eco_close_round(user_id, round_id, reason)
 *		Gives the bet back, of which settle_action() takes what was lost.
 */
Datum
eco_close_round(PG_FUNCTION_ARGS)
{
	Closing		c = {.how = ESCROW_RELEASED, .of_round = true};
	EcoText		id;

	read_escrow_id(&c, fcinfo, &id);
	c.reason = eco_text_arg(fcinfo, 2, "reason", ECO_MAX_NAME);
	return close_it(&c, fcinfo, &id, "economy_internal.close_round()");
}

/* eco_capture_escrow(user_id, escrow_id, to_user_id, gold, items, note) */
Datum
eco_capture_escrow(PG_FUNCTION_ARGS)
{
	Closing		c = {.how = ESCROW_CAPTURED, .reason = eco_text_of("capture"), .gold = -1};
	EcoText		id;
	Jsonb	   *items;

	read_escrow_id(&c, fcinfo, &id);
	eco_require_arg(fcinfo, 2, "to_user_id");
	c.to = PG_GETARG_INT64(2);
	if (!PG_ARGISNULL(3))
	{
		c.gold = PG_GETARG_INT64(3);
		if (c.gold < 0 || c.gold > ECO_MAX_AMOUNT)
			ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("gold must be from 0 to 2^53-1"));
	}
	items = eco_object_arg(fcinfo, 4, "items");
	c.all_items = items == NULL;
	if (items != NULL)
		eco_holdings_in(&items->root, "items", ECO_HOLDING_RECEIVE, &c.asked);
	if (!PG_ARGISNULL(5))
		c.note = eco_text_arg(fcinfo, 5, "note", MAX_NOTE);
	return close_it(&c, fcinfo, &id, "economy.capture_escrow()");
}

static void
read_escrow_id(Closing *c, FunctionCallInfo fcinfo, EcoText *id)
{
	eco_require_arg(fcinfo, 0, "user_id");
	c->escrow.user_id = PG_GETARG_INT64(0);
	*id = eco_text_arg(fcinfo, 1, "escrow_id", ECO_MAX_KEY);
}

static Datum
close_it(Closing *c, FunctionCallInfo fcinfo, const EcoText *id, const char *function)
{
	Datum		detail;

	PreventCommandIfReadOnly(function);
	eco_result_begin(&c->result, fcinfo, HOLDING_TYPES);
	if (is_capture(c) && c->to == c->escrow.user_id)
		eco_result_outcome(&c->result, "refused", "SAME_USER");
	else if (!eco_escrow_name(&c->escrow, c->escrow.user_id, id))
		eco_result_outcome(&c->result, "refused", "ESCROW_NOT_FOUND");
	else
		make(c);
	detail = eco_detail_end(&c->detail);
	if (detail != (Datum) 0)
		eco_result_set(&c->result, HOLDING_DETAIL, detail);
	return eco_result_row(&c->result);
}

static void
make(Closing *c)
{
	EcoTable   *tables[ECO_TRANSFER_TABLES + 4] = {NULL};
	int			ntables = is_capture(c) ? eco_transfer_tables(tables) : 0;
	EcoCall		call;

	tables[ntables++] = &eco_escrows;
	tables[ntables++] = &eco_items;
	tables[ntables++] = &eco_user_holdings_more;
	eco_call_init(&call, &eco_holding_changes, c->escrow.user_id, NULL);
	call.tables_of_new = tables;
	call.of_two = is_capture(c);
	call.other_id = c->to;
	call.key = ECO_HCH_BY_KEY;
	call.texts[call.ntexts++] = eco_text_of(ECO_ESCROW_CLOSE);
	call.texts[call.ntexts++] = c->escrow.id;
	switch (eco_call_begin(&call))
	{
		case ECO_CALL_NEW:
			post(c, &call.account, &call.other);
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
			eco_detail_int(&c->detail, "user_id", call.missing_id);
			break;
	}
	eco_call_end(&call);
}

static void
post(Closing *c, EcoAccount *holder, EcoAccount *to)
{
	EcoDetail	said = {.open = false};
	EcoDetail	said_in = {.open = false};
	EcoEntry	closing;
	EcoEntry	in;
	const char *refusal;

	c->at = eco_now();
	refusal = refusal_of(c, holder, to);
	if (refusal != NULL)
	{
		eco_result_outcome(&c->result, "refused", refusal);
		eco_result_set(&c->result, HOLDING_GOLD, Int64GetDatum(holder->gold));
		return;
	}
	make_entry(c, &closing, ECO_ESCROW_CLOSE, &c->back);
	closing.gold_delta = c->escrow.gold + c->escrow.fee - (c->gold + c->fee);
	add_particulars(&said, c, false);
	eco_row_set(&closing.row, HCH_DETAIL, eco_detail_end(&said));
	if (is_capture(c))
	{
		make_entry(c, &in, ECO_ESCROW_IN, &c->captured);
		in.gold_delta = c->gold;
		add_particulars(&said_in, c, true);
		eco_row_set(&in.row, HCH_DETAIL, eco_detail_end(&said_in));
	}
	write_all(c, holder, is_capture(c) ? to : NULL, &closing, &in);
	add_particulars(&c->detail, c, false);
	eco_hch_answer(&c->result, "new", &closing.row);
	eco_result_entry(&c->result, &eco_holding_changes, &closing.row);
}

static void
write_all(Closing *c, EcoAccount *holder, EcoAccount *to, EcoEntry *closing, EcoEntry *in)
{
	EcoEntry   *entries[] = {closing, in};

	eco_entry_prepare(holder, closing);
	eco_holdings_save(&c->back, holder);
	(void) eco_holdings_write(&c->back, holder->user_id);
	if (to != NULL)
	{
		eco_entry_prepare(to, in);
		if (c->gold > 0)
			eco_sent_set(&c->sent, holder);
		eco_holdings_save(&c->captured, to);
		(void) eco_holdings_write(&c->captured, to->user_id);
		eco_account_flush(to);
		ECO_CRASH_POINT("escrow:between_accounts");
	}
	eco_account_flush(holder);
	eco_escrow_closed(&c->escrow);
	eco_entries_write(entries, to != NULL ? 2 : 1);
	ECO_CRASH_POINT("escrow:after_close");
}

/* Refusals, in the order of the reference */

/* About which of the two. */
static const char *
about(Closing *c, int64 user_id, const char *refusal)
{
	if (refusal != NULL)
		eco_detail_int(&c->detail, "user_id", user_id);
	return refusal;
}

/* What may not be passed on; it may still be given back. */
static const char *
check_capture(Closing *c, const EcoAccount *holder, const EcoAccount *to)
{
	EcoTransferRules rules;
	const char *refusal;

	if (!eco_transfer_rules(&rules))
		return "TRANSFERS_OFF";
	if (holder->suspended)
		return about(c, holder->user_id, "USER_SUSPENDED");
	if (to->suspended)
		return about(c, to->user_id, "USER_SUSPENDED");
	if (c->at >= c->escrow.expires_at)
	{
		eco_detail_moment(&c->detail, ESCROW_EXPIRES, c->escrow.expires_at);
		return "ESCROW_EXPIRED";
	}
	refusal = share_out(c);
	if (refusal == NULL && c->gold > 0)
		refusal = eco_transfer_day(&rules, holder, c->at, c->gold, &c->sent, &c->detail);
	if (refusal == NULL)
		refusal = about(c, to->user_id, eco_amount_refusal(to, c->gold, 0));
	if (refusal == NULL && c->captured.n > 0)
		refusal = about(c, to->user_id,
						eco_holdings_refusal(&c->captured, to, &c->detail));
	return refusal;
}

static const char *
refusal_of(Closing *c, const EcoAccount *holder, const EcoAccount *to)
{
	int64		back;
	const char *refusal = NULL;

	if (!eco_escrow_read(&c->escrow))
		return "ESCROW_NOT_FOUND";
	/* expiry is for both */
	if (c->escrow.is_round != c->of_round && strcmp(c->how, ESCROW_EXPIRED) != 0)
		return "ESCROW_NOT_FOUND";
	if (is_capture(c))
		refusal = check_capture(c, holder, to);
	else if (strcmp(c->how, ESCROW_EXPIRED) == 0 && c->at < c->escrow.expires_at)
		refusal = "ESCROW_NOT_EXPIRED";
	else
	{
		c->gold = 0;
		c->back = c->escrow.items;
	}
	if (refusal != NULL)
		return refusal;
	back = c->escrow.gold + c->escrow.fee - (c->gold + c->fee);

	/*
	 * a balance has a greatest number: there is room again when something was
	 * spent
	 */
	refusal = eco_amount_refusal(holder, back, 0);
	if (refusal == NULL && c->back.n > 0)
		refusal = eco_holdings_refusal(&c->back, holder, &c->detail);
	return about(c, holder->user_id, refusal);
}

/* What of it is asked for */

static const char *
refuse_more(Closing *c, const char *what, int len, int64 held, int64 asked)
{
	if (what != NULL)
		eco_detail_text(&c->detail, "item", what, len);
	eco_detail_int(&c->detail, "held", held);
	eco_detail_int(&c->detail, "asked", asked);
	return "EXCEEDS_ESCROW";
}

/* That an item is among those that are asked for, all of which are when nothing is said. */
static int64
asked_of(Closing *c, const EcoHolding *held)
{
	const EcoHolding *one = c->all_items ? held : eco_holdings_find(&c->asked, &held->item_id);

	return one == NULL ? 0 : one->amount;
}

static void
put(EcoHoldings *all, const EcoHolding *held, EcoHoldingUse use, int64 amount)
{
	EcoHolding *one = &all->of[all->n];

	if (amount == 0)
		return;
	one->item_id = held->item_id;
	one->use = use;
	one->amount = amount;
	all->n++;
}

/* Which items are captured, and which are given back. */
static const char *
share_items(Closing *c)
{
	EcoHoldings *held = &c->escrow.items;

	for (int i = 0; i < c->asked.n; i++)
	{
		const EcoHolding *one = &c->asked.of[i];
		const EcoHolding *there = eco_holdings_find(held, &one->item_id);
		int64		most = there == NULL ? 0 : there->amount;

		if (one->amount > most)
			return refuse_more(c, one->item_id.data, one->item_id.len, most, one->amount);
	}
	for (int i = 0; i < held->n; i++)
	{
		int64		asked = asked_of(c, &held->of[i]);

		put(&c->captured, &held->of[i], ECO_HOLDING_RECEIVE, asked);
		put(&c->back, &held->of[i], ECO_HOLDING_GET_BACK, held->of[i].amount - asked);
	}
	return NULL;
}

static const char *
share_out(Closing *c)
{
	const char *refusal;

	if (c->gold < 0)
		c->gold = c->escrow.gold;
	if (c->gold > c->escrow.gold)
		return refuse_more(c, NULL, 0, c->escrow.gold, c->gold);
	refusal = share_items(c);
	if (refusal == NULL && c->gold == 0 && c->captured.n == 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("nothing is captured"),
				  errhint("release_escrow() gives all back."));
	/* no more than was put aside for all of it */
	c->fee = eco_transfer_fee(c->gold, c->escrow.fee_per_mille);
	return refusal;
}

/* Entries */

static void
make_entry(const Closing *c, EcoEntry *entry, const char *operation, const EcoHoldings *items)
{
	EcoRow	   *row = &entry->row;

	eco_entry_init(entry, &eco_holding_changes);
	entry->at = c->at;
	eco_row_set(row, HCH_OPERATION, eco_text_of(operation).datum);
	eco_row_set(row, HCH_KEY, c->escrow.id.datum);
	eco_row_set(row, HCH_REASON, c->reason.datum);
	if (items->n > 0)
		eco_row_set(row, HCH_ITEMS, eco_holdings_json(items));
}

static void
add_particulars(EcoDetail *detail, const Closing *c, bool is_in)
{
	eco_detail_text(detail, ESCROW, c->escrow.id.data, c->escrow.id.len);
	if (!is_in)
		eco_detail_str(detail, ESCROW_HOW, c->how);
	if (!is_capture(c))
		return;
	eco_detail_int(detail, is_in ? ESCROW_FROM : ESCROW_TO, is_in ? c->escrow.user_id : c->to);
	eco_detail_int(detail, ESCROW_GOLD, c->gold);
	if (!is_in)
		eco_detail_int(detail, ESCROW_FEE, c->fee);
	if (c->note.data != NULL)
		eco_detail_text(detail, ESCROW_NOTE, c->note.data, c->note.len);
}

/* Of what is closed already */

static bool
was(const Jsonb *detail, const char *how)
{
	EcoText		first = eco_hch_text(detail, ESCROW_HOW);

	return first.data != NULL && first.len == (int) strlen(how) &&
		memcmp(first.data, how, first.len) == 0;
}

/* Whether the items that were not given back then are those that are asked for now. */
static bool
same_items(Closing *c, const EcoRow *first)
{
	EcoHoldings back;
	EcoHoldings *held = &c->escrow.items;
	bool		same = true;

	eco_holdings_given_by(eco_hch_items(first), &back);
	for (int i = 0; i < c->asked.n; i++)
		same &= eco_holdings_find(held, &c->asked.of[i].item_id) != NULL;
	for (int i = 0; i < held->n; i++)
	{
		const EcoHolding *one = eco_holdings_find(&back, &held->of[i].item_id);

		same &= held->of[i].amount - (one == NULL ? 0 : one->amount) ==
			asked_of(c, &held->of[i]);
	}
	if (!same)
		eco_detail_str(&c->detail, "field", "items");
	return same;
}

/* What is compared of a capture: all of it. */
static bool
same_capture(Closing *c, const EcoRow *first, const Jsonb *detail)
{
	EcoText		note = eco_hch_text(detail, ESCROW_NOTE);

	if (!eco_escrow_read(&c->escrow))
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("escrow %.*s is closed and was never opened", c->escrow.id.len,
						 c->escrow.id.data));
	if (c->gold < 0)
		c->gold = c->escrow.gold;
	return eco_hch_same_int(&c->detail, "to_user_id", eco_hch_int(detail, ESCROW_TO), c->to) &&
		eco_hch_same_int(&c->detail, "gold", eco_hch_int(detail, ESCROW_GOLD), c->gold) &&
		same_items(c, first) && eco_hch_same_text(&c->detail, ESCROW_NOTE, &note, &c->note);
}

/* Given back is given back, whoever came first; but not what somebody else has. */
static void
replay(Closing *c, const EcoRow *first)
{
	const Jsonb *detail = eco_hch_detail(first);

	eco_result_entry(&c->result, &eco_holding_changes, first);
	if (was(detail, ESCROW_CAPTURED) != is_capture(c))
	{
		eco_result_outcome(&c->result, "refused", "ESCROW_CLOSED");
		eco_result_set(&c->result, HOLDING_DETAIL, first->values[HCH_DETAIL]);
	}
	else if (is_capture(c) && !same_capture(c, first, detail))
		eco_result_outcome(&c->result, "refused", "IDEMPOTENCY_MISMATCH");
	else
	{
		eco_hch_answer(&c->result, "reuse", first);
		eco_result_set(&c->result, HOLDING_DETAIL, first->values[HCH_DETAIL]);
	}
}
