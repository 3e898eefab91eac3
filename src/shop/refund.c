/*
 * refund.c
 *		refund_purchase(): what a purchase moved is moved back, all of it or a part.
 *
 * The refund is an entry of its own, and the purchase stays.  Refunds of a purchase are
 * added up under the account's lock, and never take back more units than it bought.  Of
 * gold, XP and value a part is what the units up to it come to, less what those before it
 * do, so that the parts are exactly the whole, however it does not divide.
 *
 * What the user has spent or used up since is either a refusal, or, by the policy
 * take_available, left out and told: no balance goes below zero.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "crash_point.h"
#include "errors.h"
#include "ledger/archive.h"
#include "ledger/args.h"
#include "ledger/call.h"
#include "ledger/holdings.h"
#include "ledger/result.h"
#include "shop/fulfilment.h"
#include "shop/journal.h"
#include "shop/limit.h"
#include "shop/promo.h"
#include "shop/purchase.h"
#include "shop/refunds.h"
#include "shop/stock.h"

#define MAX_REASON 1000
#define MAX_ACTOR 255

/* columns of economy.refund_result after the common ones */
enum
{
	REFUND_QUANTITY = ECO_RES_OWN,
	REFUND_QUANTITY_LEFT,
	REFUND_GOLD_DELTA,
	REFUND_GOLD,
	REFUND_RETRY_AFTER_MS,
	REFUND_DETAIL,
	REFUND_ITEMS
};
#define REFUND_TYPES "bttt" "iill" "ijj"

/* What a purchase moved, or units of it did: as it was then, not as it is taken back. */
typedef struct Moved
{
	int64		gold;
	int64		xp;
	int64		monetary;
	EcoHoldings items;			/* that are to be taken back, or given back */
} Moved;

typedef struct Refund
{
	EcoText		transaction_id; /* of the purchase */
	EcoText		key;
	EcoText		reason;
	EcoText		actor;
	EcoText		policy;
	bool		take;			/* policy: take what is there */
	bool		restock;
	int32		asked;			/* units; 0: all that are left */

	EcoRow		purchase;
	EcoText		product_id;
	int32		bought;			/* units */
	int32		before;			/* that earlier refunds took back */
	int			nbefore;		/* so many of them */
	int32		units;			/* of this refund */
	Moved		moved;			/* by these */
	int64		gold_delta;		/* that this refund makes */
	int64		xp_delta;
	int64		debt_gold;
	int32		restocked;
	EcoResult	result;
	EcoDetail	detail;
} Refund;

PG_FUNCTION_INFO_V1(eco_refund_purchase);

static EcoTable *const tables[] = {
	&eco_shop_transactions, &eco_archives, &eco_archived_keys, &eco_items,
	&eco_user_holdings_more, &eco_shop_user_units_more, &eco_fulfilments, &eco_shop_stock,
	&eco_shop_debts, NULL
};

static void read_arguments(Refund *r, FunctionCallInfo fcinfo);
static void answer(Refund *r, EcoCall *call, EcoCallState state);
static const char *find_purchase(Refund *r, int64 user_id);
static void refund(Refund *r, EcoAccount *account);
static const char *refusal_of(Refund *r, EcoAccount *account);
static const char *check_units(Refund *r);
static void count_moved(Refund *r);
static const char *check_amounts(Refund *r, const EcoAccount *account);
static const char *check_items(Refund *r, const EcoAccount *account);
static const char *check_worker(Refund *r);
static void give_stock_back(Refund *r);
static void post(Refund *r, EcoAccount *account);
static void make_entry(Refund *r, EcoEntry *entry);
static void replay(Refund *r, const EcoRow *first);
static void answer_with(Refund *r, const char *state, const EcoRow *entry);
static void refuse(Refund *r, const char *code);

/*
 * eco_refund_purchase(user_id, transaction_id, idempotency_key, quantity, reason, actor,
 *		policy, restock)
 */
Datum
eco_refund_purchase(PG_FUNCTION_ARGS)
{
	Refund		r;
	EcoCall		call;
	Datum		detail;

	memset(&r, 0, sizeof(r));
	eco_require_arg(fcinfo, 0, "user_id");
	read_arguments(&r, fcinfo);
	PreventCommandIfReadOnly("economy.refund_purchase()");
	eco_result_begin(&r.result, fcinfo, REFUND_TYPES);

	eco_call_init(&call, &eco_refunds, PG_GETARG_INT64(0), tables);
	call.key = ECO_RFD_BY_KEY;
	call.texts[call.ntexts++] = r.transaction_id;
	call.texts[call.ntexts++] = r.key;
	answer(&r, &call, eco_call_begin(&call));
	eco_call_end(&call);
	detail = eco_detail_end(&r.detail);
	if (detail != (Datum) 0)
		eco_result_set(&r.result, REFUND_DETAIL, detail);
	PG_RETURN_DATUM(eco_result_row(&r.result));
}

static void
read_arguments(Refund *r, FunctionCallInfo fcinfo)
{
	r->transaction_id = eco_text_arg(fcinfo, 1, "transaction_id", ECO_MAX_KEY);
	r->key = eco_text_arg(fcinfo, 2, "idempotency_key", ECO_MAX_KEY);
	r->asked = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT32(3);
	if (!PG_ARGISNULL(3) && (r->asked < 1 || r->asked > ECO_MAX_QUANTITY))
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("quantity %d is out of range", r->asked),
				  errdetail("A refund is of 1 to %d units.", ECO_MAX_QUANTITY),
				  errhint("Leave it out for all that are left."));
	r->reason = eco_text_arg(fcinfo, 4, "reason", MAX_REASON);
	r->actor = eco_text_arg(fcinfo, 5, "actor", MAX_ACTOR);
	r->take = eco_takes_available(fcinfo, 6);
	r->policy = eco_text_of(r->take ? ECO_TAKE_AVAILABLE : ECO_REFUSE);
	eco_require_arg(fcinfo, 7, "restock");
	r->restock = PG_GETARG_BOOL(7);
}

static void
answer(Refund *r, EcoCall *call, EcoCallState state)
{
	const char *refusal;

	switch (state)
	{
		case ECO_CALL_BUSY:
			eco_result_busy(&r->result, REFUND_RETRY_AFTER_MS);
			break;
		case ECO_CALL_ARCHIVED: /* none of them leaves its journal */
		case ECO_CALL_NO_USER:
			refuse(r, "USER_NOT_FOUND");
			break;
		case ECO_CALL_REPLAY:
			replay(r, &call->first);
			break;
		case ECO_CALL_NEW:
			refusal = find_purchase(r, call->user_id);
			if (refusal == NULL)
			{
				eco_promo_open(call->open, &r->purchase, TXN_CONTEXT);
				refund(r, &call->account);
			}
			else
				refuse(r, refusal);
			break;
	}
}

static void
refuse(Refund *r, const char *code)
{
	eco_result_outcome(&r->result, "refused", code);
	eco_result_set(&r->result, REFUND_GOLD_DELTA, Int64GetDatum(0));
}

/* The code of why it cannot be found, or NULL. */
static const char *
find_purchase(Refund *r, int64 user_id)
{
	const EcoJournal *journal;
	int64		owner;
	Datum		key[2] = {Int64GetDatum(user_id)};
	int64		seq;

	if (!eco_transaction_id_parse(pnstrdup(r->transaction_id.data, r->transaction_id.len),
								  &journal, &owner, &seq) || owner != user_id)
		return "PURCHASE_NOT_FOUND";
	if (journal != &eco_purchases)
	{
		eco_detail_str(&r->detail, "is", journal->noun != NULL ? journal->noun : "entry");
		return "PURCHASE_NOT_FOUND";
	}
	key[1] = Int64GetDatum(seq);
	if (eco_row_find(&eco_shop_transactions, user_id, ECO_TXN_BY_SEQ, 2, key, &r->purchase))
	{
		r->product_id = eco_text_in(r->purchase.values[TXN_PRODUCT_ID]);
		r->bought = DatumGetInt32(r->purchase.values[TXN_QUANTITY]);
		return NULL;
	}
	if (!eco_archive_passed(journal, user_id, seq))
		return "PURCHASE_NOT_FOUND";
	eco_detail_str(&r->detail, "reason", "archived");
	return "RESYNC_REQUIRED";
}

/*
 * Units and refunds are counted in the journals: one that user code makes while the newest
 * entry of the user is not in its journal yet would count without it.
 */
static void
must_see_newest(const EcoAccount *account)
{
	Oid			types[2] = {INT8OID, INT8OID};
	Datum		values[2] = {Int64GetDatum(account->user_id), Int64GetDatum(account->seq)};

	if (!eco_tables_are_inner() || account->seq == 0)
		return;
	if (eco_run_as_owner("SELECT 1 FROM economy.ledger l WHERE l.user_id = $1 AND l.seq = $2",
						 2, types, values) == (Datum) 0)
		eco_row_moved(&eco_accounts);
}

static void
refund(Refund *r, EcoAccount *account)
{
	const char *refusal;

	must_see_newest(account);
	refusal = refusal_of(r, account);

	eco_result_set(&r->result, REFUND_GOLD, Int64GetDatum(account->gold));
	if (refusal != NULL)
		refuse(r, refusal);
	else
		post(r, account);
}

/* What the worker has to do comes last: it is written. */
static const char *
refusal_of(Refund *r, EcoAccount *account)
{
	const char *refusal;

	if ((refusal = check_units(r)) != NULL)
		return refusal;
	count_moved(r);
	if ((refusal = check_amounts(r, account)) != NULL ||
		(refusal = check_items(r, account)) != NULL ||
		(refusal = check_worker(r)) != NULL)
		return refusal;
	return NULL;
}

/* Units that refunds of the purchase took back. */
static int32
count_before(Refund *r)
{
	int64		user_id = eco_row_int(&r->purchase, ECO_COL_USER_ID);
	Datum		key[2] = {Int64GetDatum(user_id), r->transaction_id.datum};
	EcoScan    *scan = eco_scan_begin(&eco_shop_refunds, user_id, ECO_RFD_BY_KEY,
									  ECO_RFD_OF_PURCHASE, key);
	EcoRow		row;
	int32		units = 0;

	while (eco_scan_next(scan, &row))
	{
		CHECK_FOR_INTERRUPTS();
		units += DatumGetInt32(row.values[RFD_QUANTITY]);
		r->nbefore++;
	}
	eco_scan_end(scan);
	return units;
}

static const char *
check_units(Refund *r)
{
	int32		left;

	r->before = count_before(r);
	left = r->bought - r->before;
	r->units = r->asked == 0 ? left : r->asked;
	eco_result_set(&r->result, REFUND_QUANTITY_LEFT, Int32GetDatum(left));
	if (r->units > 0 && r->units <= left)
		return NULL;
	eco_detail_int(&r->detail, "bought", r->bought);
	eco_detail_int(&r->detail, "refunded", r->before);
	return "EXCEEDS_PURCHASE";
}

/* What these units are of a whole: up to the last of them, less up to the one before. */
static int64
share(const Refund *r, int64 whole)
{
	int128		upto = (int128) whole * (r->before + r->units) / r->bought;
	int128		before = (int128) whole * r->before / r->bought;

	return (int64) (upto - before);
}

/* Of what is to be moved back so: whole amounts of all units, made those of these. */
static void
add_share(const Refund *r, const EcoHoldings *whole, EcoHoldings *all)
{
	for (int i = 0; i < whole->n; i++)
	{
		EcoHolding *one = &all->of[all->n];

		*one = whole->of[i];
		one->amount = share(r, whole->of[i].amount);
		all->n += one->amount > 0;
	}
}

static bool
gave_freezes(const EcoRow *purchase)
{
	return !purchase->isnull[TXN_EFFECT_CODE] &&
		strcmp(TextDatumGetCString(purchase->values[TXN_EFFECT_CODE]),
			   ECO_ITEM_STREAK_FREEZE) == 0;
}

static void
count_moved(Refund *r)
{
	const EcoRow *row = &r->purchase;
	Datum		items = row->isnull[TXN_ITEMS] ? (Datum) 0 : row->values[TXN_ITEMS];
	EcoHoldings whole;

	r->moved.gold = share(r, eco_row_int(row, ECO_COL_GOLD_DELTA));
	r->moved.xp = share(r, eco_row_int(row, ECO_COL_XP_DELTA));
	r->moved.monetary = share(r, eco_row_int(row, TXN_MONETARY));
	eco_holdings_given_by(items, &whole);
	for (int i = 0; r->take && i < whole.n; i++)
		whole.of[i].use = ECO_HOLDING_TAKE_REST;
	add_share(r, &whole, &r->moved.items);
	eco_holdings_taken_by(items, ECO_HOLDING_GET_BACK, &whole);
	add_share(r, &whole, &r->moved.items);
	/* a purchase of before there were items does not say them */
	if (gave_freezes(row))
		eco_holdings_add_freezes(r->units,
								 r->take ? ECO_HOLDING_TAKE_REST : ECO_HOLDING_TAKE_BACK,
								 &r->moved.items);
}

/* What is there of an amount that is to be taken; the rest is missing. */
static int64
take(int64 moved, int64 held)
{
	return moved > 0 ? -Min(moved, held) : -moved;
}

static const char *
check_amounts(Refund *r, const EcoAccount *account)
{
	const Moved *moved = &r->moved;
	int64		debt_xp;

	r->gold_delta = take(moved->gold, account->gold);
	r->xp_delta = take(moved->xp, account->xp);
	r->debt_gold = moved->gold + r->gold_delta;
	debt_xp = moved->xp + r->xp_delta;
	if (!r->take && (r->debt_gold > 0 || debt_xp > 0))
	{
		eco_detail_int(&r->detail, "needed", Max(moved->gold, 0));
		eco_detail_int(&r->detail, "needed_xp", Max(moved->xp, 0));
		return "INSUFFICIENT_GOLD";
	}
	if (r->debt_gold > 0)
		eco_detail_int(&r->detail, "debt_gold", r->debt_gold);
	if (debt_xp > 0)
		eco_detail_int(&r->detail, "debt_xp", debt_xp);
	return eco_amount_refusal(account, r->gold_delta, r->xp_delta);
}

static const char *
check_items(Refund *r, const EcoAccount *account)
{
	EcoHoldings *items = &r->moved.items;
	EcoHoldings taken = {.n = 0};
	const char *refusal = eco_holdings_refusal(items, account, &r->detail);

	if (refusal != NULL)
		return refusal;
	for (int i = 0; i < items->n; i++)
		if (items->of[i].use == ECO_HOLDING_TAKE_REST)
			taken.of[taken.n++] = items->of[i];
	eco_holdings_detail_rest(&r->detail, "already_used", &taken);
	return NULL;
}

/* One that waits for a worker waits no more, unless one is at it. */
static const char *
check_worker(Refund *r)
{
	Oid			types[3] = {INT8OID, INT8OID, BOOLOID};
	Datum		values[3] = {
		r->purchase.values[ECO_COL_USER_ID], r->purchase.values[ECO_COL_SEQ],
		BoolGetDatum(r->before + r->units == r->bought)
	};
	Datum		is = eco_run_as_owner("SELECT economy_internal.refund_fulfilment($1, $2, $3)",
									  3, types, values);
	char	   *state = is == (Datum) 0 ? NULL : TextDatumGetCString(is);

	ECO_CRASH_POINT("refund:after_fulfilment");
	if (state == NULL)
		return NULL;
	if (strcmp(state, "leased") == 0)
		return "LEASED";
	eco_detail_str(&r->detail, "fulfilment", state);
	return NULL;
}

/* To the product's stock, if it has one that can take them. */
static void
give_stock_back(Refund *r)
{
	Oid			types[3] = {TEXTOID, INT8OID, INT2OID};
	Datum		values[3] = {r->product_id.datum, Int64GetDatum(r->units)};

	if (!r->restock || r->purchase.isnull[TXN_STOCK_SLOT])
		return;
	values[2] = r->purchase.values[TXN_STOCK_SLOT];
	if (DatumGetBool(eco_run_as_owner("SELECT economy_internal.restock($1, $2, $3)", 3, types,
									  values)))
		r->restocked = r->units;
	ECO_CRASH_POINT("refund:after_stock");
}

/* The score of a customer forgets a purchase of which nothing is left. */
static void
forget_value(const Refund *r)
{
	Oid			types[2] = {INT8OID, INT8OID};
	Datum		values[2] = {
		r->purchase.values[ECO_COL_USER_ID], r->purchase.values[ECO_COL_SEQ]
	};

	if (r->before + r->units < r->bought)
		return;
	(void) eco_run_as_owner("SELECT economy_internal.rfm_reverse($1, $2)", 2, types, values);
	ECO_CRASH_POINT("refund:after_value");
}

static void
post(Refund *r, EcoAccount *account)
{
	EcoUnits	units = {.product_id = r->product_id};
	EcoEntry	entry;

	give_stock_back(r);
	if (r->before + r->units == r->bought)
		eco_promo_give_back(&r->purchase, TXN_CONTEXT);
	forget_value(r);
	make_entry(r, &entry);
	eco_entry_prepare(account, &entry);
	eco_units_take_back(&units, account, eco_row_int(&r->purchase, ECO_COL_SEQ), r->units,
						entry.created_at);
	eco_units_write(&units);
	eco_holdings_save(&r->moved.items, account);
	(void) eco_holdings_write(&r->moved.items, account->user_id);
	eco_account_flush(account);
	if (r->debt_gold > 0)
		eco_debt_add(account->user_id, entry.seq, r->debt_gold);
	eco_entry_write(&entry);
	ECO_CRASH_POINT("refund:after_entry");
	answer_with(r, "new", &entry.row);
	eco_result_set(&r->result, REFUND_QUANTITY_LEFT,
				   Int32GetDatum(r->bought - r->before - r->units));
}

static void
make_entry(Refund *r, EcoEntry *entry)
{
	EcoRow	   *row = &entry->row;
	Datum		items = eco_holdings_json(&r->moved.items);
	Datum		detail = eco_detail_end(&r->detail);

	eco_entry_init(entry, &eco_refunds);
	entry->gold_delta = r->gold_delta;
	entry->xp_delta = r->xp_delta;
	/* user code that took units back meanwhile did not know of these */
	entry->alone_by = ECO_RFD_OF_PURCHASE;
	entry->beside_it = r->nbefore;
	eco_row_set(row, RFD_REVERSES, r->purchase.values[ECO_COL_SEQ]);
	eco_row_set(row, RFD_QUANTITY, Int32GetDatum(r->units));
	eco_row_set(row, RFD_RESTOCKED, Int32GetDatum(r->restocked));
	if (r->asked > 0)
		eco_row_set(row, RFD_ASKED, Int32GetDatum(r->asked));
	eco_row_set(row, RFD_MONETARY, Int64GetDatum(r->moved.monetary));
	eco_row_set(row, RFD_DEBT_GOLD, Int64GetDatum(r->debt_gold));
	eco_row_set(row, RFD_PURCHASE, r->transaction_id.datum);
	eco_row_set(row, RFD_KEY, r->key.datum);
	eco_row_set(row, RFD_PRODUCT_ID, r->product_id.datum);
	eco_row_set(row, RFD_POLICY, r->policy.datum);
	eco_row_set(row, RFD_ACTOR, r->actor.datum);
	eco_row_set(row, RFD_REASON, r->reason.datum);
	if (detail != (Datum) 0)
		eco_row_set(row, RFD_DETAIL, detail);
	if (items == (Datum) 0)
		return;
	entry->at = r->moved.items.at;
	eco_row_set(row, RFD_ITEMS, items);
}

static void
answer_with(Refund *r, const char *state, const EcoRow *entry)
{
	eco_result_outcome(&r->result, state, "OK");
	eco_result_entry(&r->result, &eco_refunds, entry);
	eco_result_set(&r->result, REFUND_QUANTITY, entry->values[RFD_QUANTITY]);
	eco_result_set(&r->result, REFUND_GOLD_DELTA, entry->values[ECO_COL_GOLD_DELTA]);
	eco_result_set(&r->result, REFUND_GOLD, entry->values[ECO_COL_GOLD]);
	if (!entry->isnull[RFD_DETAIL])
		eco_result_set(&r->result, REFUND_DETAIL, entry->values[RFD_DETAIL]);
	if (!entry->isnull[RFD_ITEMS])
		eco_result_set(&r->result, REFUND_ITEMS, entry->values[RFD_ITEMS]);
}

/* What is compared of a retry is what it asked for. */
static void
replay(Refund *r, const EcoRow *first)
{
	int32		asked = first->isnull[RFD_ASKED] ? 0 : DatumGetInt32(first->values[RFD_ASKED]);

	if (asked == r->asked)
	{
		answer_with(r, "reuse", first);
		return;
	}
	eco_result_entry(&r->result, &eco_refunds, first);
	refuse(r, "IDEMPOTENCY_MISMATCH");
	eco_detail_field(&r->detail, "quantity", first, RFD_ASKED);
	if (r->asked > 0)
		eco_detail_int(&r->detail, "now", r->asked);
	else
		eco_detail_json(&r->detail, "now", NULL);
}
