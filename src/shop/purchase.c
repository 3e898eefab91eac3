/*
 * purchase.c
 *		economy.purchase(): points into gold, gold into items, limited stock; and the rules
 *		that one of many purchases has with it.
 *
 * One call is one transaction's worth of work: the key is looked up, the
 * account locked, the rules checked, stock taken, the entry posted and the
 * event published.  Every expected "no" is returned, never raised.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "common/int.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "crash_point.h"
#include "errors.h"
#include "ledger/args.h"
#include "ledger/call.h"
#include "ledger/level.h"
#include "settings.h"
#include "shop/fulfilment.h"
#include "shop/global_key.h"
#include "shop/journal.h"
#include "shop/order.h"
#include "shop/promo.h"
#include "shop/purchase.h"
#include "shop/refunds.h"
#include "shop/reservation.h"
#include "shop/stock.h"

#define MAX_DIGITS 16			/* of a price that is given as text */
#define EXPECTED_PRICE "expected_price"
#define RESERVATION "reservation"
#define IN_PROGRESS "IN_PROGRESS"
#define PENDING "PENDING"
#define APPLY "apply"

/* columns of economy.purchase_result after the common ones */
enum
{
	PURCHASE_QUANTITY = ECO_RES_OWN,
	PURCHASE_GOLD_DELTA,
	PURCHASE_GOLD,
	PURCHASE_STOCK_REMAINING,
	PURCHASE_USER_LIMIT_REMAINING,
	PURCHASE_RETRY_AFTER_MS,
	PURCHASE_DETAIL,
	PURCHASE_ITEMS
};

PG_FUNCTION_INFO_V1(eco_purchase);
PG_FUNCTION_INFO_V1(eco_purchase_probe);
PG_FUNCTION_INFO_V1(eco_give_order);

/* Tables that only some products need; that of units only some users of them. */
#define NEEDS_STOCK	1
#define NEEDS_UNITS 2
#define NEEDS_KEYS	4
#define NEEDS_ITEMS 8
#define NEEDS_QUEUE 16
#define NEEDS_REFUNDS 32		/* of who has bought it before */
#define NEEDS_ALL \
	(NEEDS_STOCK | NEEDS_UNITS | NEEDS_KEYS | NEEDS_ITEMS | NEEDS_QUEUE | NEEDS_REFUNDS)
#define NEEDS_KNOWN 64
#define NEEDS_LOCK	128			/* of the account, beforehand */
#define NEEDS_RESERVATIONS 256	/* the call does, not the product */
#define NEEDS_LEVELS 512		/* of an account that is read alone, too */
#define NEEDS_ORDERS 1024
#define NEEDS_PROMO 2048

/*
 * What products have needed here, by a hash of their names.  Nothing hangs on it but how
 * many tables a call opens before it has locked the account and read the product: a
 * further one that the product needs is opened then, see open_what_it_needs().
 */
static uint16 needed[256];

static bool purchase(EcoPurchase *p, FunctionCallInfo fcinfo, bool in_passing);
static void read_arguments(EcoPurchase *p, FunctionCallInfo fcinfo);
static EcoTable *const *tables_for(EcoPurchase *p, uint16 needs);
static uint16 *needed_by(const EcoPurchase *p);
static bool open_what_it_needs(EcoPurchase *p, const EcoAccount *account);
static const char *check_rules(EcoPurchase *p, const EcoAccount *account);
static const char *check_all(EcoPurchase *p, const EcoAccount *account);
static const char *check_product(EcoPurchase *p, const EcoAccount *account);
static bool needs_account_alone(const EcoProduct *product);
static bool has_booked(const EcoPurchase *p);
static void settle_booked(EcoPurchase *p);
static const char *check_sale(EcoPurchase *p);
static const char *check_expected_price(EcoPurchase *p);
static bool expected_number(const JsonbValue *value, Datum *number);
static const char *check_global_key(EcoPurchase *p);
static const char *check_user_limit(EcoPurchase *p, const EcoAccount *account);
static bool count_user_limit(EcoPurchase *p, const EcoAccount *account);
static bool count_once(EcoPurchase *p, const EcoAccount *account);
static bool load_units(EcoPurchase *p, const EcoAccount *account);
static int	count_taken_back(const EcoPurchase *p);
static void describe_renewal(EcoPurchase *p, TimestampTz now);
static const char *check_freezes(EcoPurchase *p, const EcoAccount *account);
static const char *check_amounts(EcoPurchase *p, const EcoAccount *account);
static const char *check_xp(EcoPurchase *p, const EcoAccount *account);
static const char *check_items(EcoPurchase *p, const EcoAccount *account);
static const char *take_units(EcoPurchase *p, const EcoAccount *account);
static const char *use_reservation(EcoPurchase *p, const EcoAccount *account);
static const char *take_stock(EcoPurchase *p);
static const char *check_promo(EcoPurchase *p, const EcoAccount *account);
static bool takes_several(const EcoPurchase *p);
static const char *take_promo(EcoPurchase *p);
static const char *take_of_promo(EcoPurchase *p, const EcoText *name, int64 units,
								 const char *refusal);
static const char *check_order(EcoPurchase *p, const EcoAccount *account);
static const char *check_paid(EcoPurchase *p, const EcoAccount *account);
static EcoStock look_again(EcoPurchase *p);
static bool got_back(EcoPurchase *p);

/* what check_rules() returns when it has waited for a slot: read the rules again */
static const char *const waited = "waited";

/* and when there is an order with this key already */
static const char *const ordered = "ordered";

static void post(EcoPurchase *p, EcoAccount *account);
static void place_order(EcoPurchase *p, EcoAccount *account);
static void answer_order(EcoPurchase *p);
static void stay(EcoPurchase *p, EcoAccount *account);
static void keep_units(EcoPurchase *p, EcoAccount *account);
static void describe_effect(EcoPurchase *p, bool is_conversion, Datum effect_code, Datum items,
							bool gives_xp);
static bool same_as_first(EcoPurchase *p, const EcoRow *first, int quantity, int context);
static void tell_promo(EcoPurchase *p, Jsonb *use);
static void come_again(EcoPurchase *p);

/*
 * eco_purchase(user_id, product_id, idempotency_key, quantity, context, dry_run)
 */
Datum
eco_purchase(PG_FUNCTION_ARGS)
{
	EcoPurchase p;

	if (!purchase(&p, fcinfo, true))
		(void) purchase(&p, fcinfo, false);
	PG_RETURN_DATUM(eco_result_row(&p.result));
}

/* In passing as far as the product is known to need nothing but the account. */
static bool
purchase(EcoPurchase *p, FunctionCallInfo fcinfo, bool in_passing)
{
	EcoCall		call;
	uint16		known;

	memset(p, 0, sizeof(*p));
	read_arguments(p, fcinfo);
	if (!p->dry_run)
		PreventCommandIfReadOnly("economy.purchase()");
	eco_result_begin(&p->result, fcinfo, ECO_PURCHASE_TYPES);
	eco_purchase_begin(p);

	eco_call_init(&call, &eco_purchases, p->user_id, NULL);
	known = *needed_by(p);
	call.tables_of_new = tables_for(p, (known & NEEDS_KNOWN ? known & (NEEDS_ALL | NEEDS_LEVELS) :
										NEEDS_ALL) |
									(p->reservation.datum != (Datum) 0 ? NEEDS_RESERVATIONS : 0) |
									(p->promo_typed.datum != (Datum) 0 ?
									 NEEDS_PROMO | NEEDS_REFUNDS : 0));
	call.in_passing = in_passing && (p->opened & ~NEEDS_LEVELS) == 0 && !(known & NEEDS_LOCK);
	call.key = ECO_TXN_BY_KEY;
	call.texts[call.ntexts++] = p->product_id;
	call.texts[call.ntexts++] = p->key;
	call.dry_run = p->dry_run;
	switch (eco_call_begin(&call))
	{
		case ECO_CALL_NEW:
			p->open = call.open;
			if (!eco_purchase_try(p, &call.account))
				stay(p, &call.account);
			else if (p->product.settlement != (Datum) 0)
				place_order(p, &call.account);
			else
				post(p, &call.account);
			break;
		case ECO_CALL_REPLAY:
			p->open = call.open;
			eco_purchase_replay(p, &call.first);
			break;
		case ECO_CALL_BUSY:
			come_again(p);
			break;
		case ECO_CALL_ARCHIVED:
			eco_purchase_archived(p, call.archived_seq);
			break;
		case ECO_CALL_NO_USER:
			eco_purchase_refuse(p, "USER_NOT_FOUND");
			break;
	}
	eco_call_end(&call);
	eco_purchase_end(p);
	return eco_call_passed(&call);
}

/*
 * eco_purchase_probe(user_id bigint, product_id text) returns text
 *		The code that a purchase of one unit with a new key would get.
 */
Datum
eco_purchase_probe(PG_FUNCTION_ARGS)
{
	EcoPurchase p;
	EcoCall		call;
	const char *code = "USER_NOT_FOUND";

	memset(&p, 0, sizeof(p));
	eco_require_arg(fcinfo, 0, "user_id");
	p.user_id = PG_GETARG_INT64(0);
	p.product_id = eco_text_arg(fcinfo, 1, "product_id", ECO_MAX_NAME);
	p.quantity = 1;
	p.dry_run = true;
	eco_call_init(&call, &eco_purchases, p.user_id, NULL);
	call.tables_of_new = tables_for(&p, NEEDS_ALL | NEEDS_RESERVATIONS | NEEDS_LEVELS |
									NEEDS_ORDERS);
	call.dry_run = true;
	if (eco_call_begin(&call) == ECO_CALL_NEW)
		code = check_rules(&p, &call.account);
	eco_call_end(&call);
	PG_RETURN_TEXT_P(cstring_to_text(code == NULL ? "OK" : code));
}

/*
 * eco_give_order(user_id bigint, product_id text, idempotency_key text, quantity integer,
 *		context jsonb, terms jsonb, stock_slot smallint) returns economy.purchase_result
 *		The purchase of an order that is paid.  Whoever calls has the account and the order,
 *		so the key is not announced: that would be the wrong order of locks.
 */
Datum
eco_give_order(PG_FUNCTION_ARGS)
{
	EcoPurchase p;
	EcoCall		call;

	memset(&p, 0, sizeof(p));
	p.user_id = PG_GETARG_INT64(0);
	p.product_id = eco_text_arg(fcinfo, 1, "product_id", ECO_MAX_NAME);
	p.key = eco_text_arg(fcinfo, 2, "idempotency_key", ECO_MAX_KEY);
	p.quantity = PG_GETARG_INT32(3);
	p.context = PG_ARGISNULL(4) ? NULL : PG_GETARG_JSONB_P(4);
	p.terms = PG_GETARG_JSONB_P(5);
	p.paid_slot = PG_ARGISNULL(6) ? -1 : PG_GETARG_INT16(6);
	eco_result_begin(&p.result, fcinfo, ECO_PURCHASE_TYPES);
	eco_purchase_begin(&p);
	eco_call_init(&call, &eco_purchases, p.user_id, NULL);
	call.tables_of_new = tables_for(&p, NEEDS_ALL | NEEDS_LEVELS);
	if (eco_call_begin(&call) == ECO_CALL_NEW)
	{
		p.open = call.open;
		if (eco_purchase_try(&p, &call.account))
			post(&p, &call.account);
		else
			keep_units(&p, &call.account);
	}
	else
		eco_purchase_refuse(&p, "USER_NOT_FOUND");
	eco_call_end(&call);
	eco_purchase_end(&p);
	PG_RETURN_DATUM(eco_result_row(&p.result));
}

static void
read_arguments(EcoPurchase *p, FunctionCallInfo fcinfo)
{
	eco_require_arg(fcinfo, 0, "user_id");
	p->user_id = PG_GETARG_INT64(0);
	p->product_id = eco_text_arg(fcinfo, 1, "product_id", ECO_MAX_NAME);
	p->key = eco_text_arg(fcinfo, 2, "idempotency_key", ECO_MAX_KEY);
	eco_require_arg(fcinfo, 3, "quantity");
	p->quantity = PG_GETARG_INT32(3);
	if (p->quantity < 1 || p->quantity > ECO_MAX_QUANTITY)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("quantity %d is out of range", p->quantity),
				  errdetail("A purchase is of 1 to %d units.", ECO_MAX_QUANTITY));
	p->context = eco_object_arg(fcinfo, 4, "context");
	if (!eco_purchase_expected(p->context, &p->expected_price))
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("context.expected_price must be a number"));
	if (!eco_purchase_reserved(p->context, &p->reservation))
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("context.reservation must be a text of 1 to %d bytes", ECO_MAX_KEY));
	if (!eco_promo_in(p->context, &p->promo_typed))
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("context.promo must be a text"),
				  errdetail("context.promo_use is written by economy.purchase()."));
	eco_require_arg(fcinfo, 5, "dry_run");
	p->dry_run = PG_GETARG_BOOL(5);
}

void
eco_purchase_begin(EcoPurchase *p)
{
	p->stock_slot = -1;
	p->user_limit_left = -1;
	p->stock_left = -1;
	eco_result_set(&p->result, PURCHASE_QUANTITY, Int32GetDatum(p->quantity));
}

EcoTable   *const *
eco_purchase_tables(EcoPurchase *p)
{
	return tables_for(p, NEEDS_ALL | (p->reserves ? NEEDS_RESERVATIONS : NEEDS_LEVELS));
}

static EcoTable *const *
tables_for(EcoPurchase *p, uint16 needs)
{
	int			n = 0;

	p->tables[n++] = &eco_shop_products;
	if (needs & NEEDS_STOCK)
		p->tables[n++] = &eco_shop_stock;
	if (needs & NEEDS_UNITS)
		p->tables[n++] = &eco_shop_user_units_more;
	if (needs & NEEDS_KEYS)
		p->tables[n++] = &eco_shop_keys;
	if (needs & NEEDS_ITEMS)
	{
		p->tables[n++] = &eco_items;
		p->tables[n++] = &eco_user_holdings_more;
	}
	if (needs & NEEDS_QUEUE)
		p->tables[n++] = &eco_fulfilments;
	if (needs & NEEDS_REFUNDS)
		p->tables[n++] = &eco_shop_refunds;
	if (needs & NEEDS_RESERVATIONS)
		p->tables[n++] = &eco_shop_reservations;
	if (needs & NEEDS_LEVELS)
	{
		p->tables[n++] = &eco_level_curves;
		p->tables[n++] = &eco_level_experiments;
	}
	if (needs & NEEDS_ORDERS)
	{
		p->tables[n++] = &eco_payment_orders;
		p->tables[n++] = &eco_payment_order_history;
		p->tables[n++] = &eco_paying_providers;
	}
	if (needs & NEEDS_PROMO)
	{
		p->tables[n++] = &eco_promo_codes;
		p->tables[n++] = &eco_promo_stock;
		p->tables[n++] = &eco_promo_uses;
	}
	p->tables[n] = NULL;
	p->opened = needs;
	return p->tables;
}

static inline bool
moves_items(const EcoProduct *product)
{
	return product->contents != (Datum) 0 || product->price_items != (Datum) 0 ||
		product->gives_freezes;
}

static uint16 *
needed_by(const EcoPurchase *p)
{
	return &needed[hash_bytes((const unsigned char *) p->product_id.data, p->product_id.len) %
				   lengthof(needed)];
}

/*
 * Opens what the product needs and the call has not opened, because it was changed since
 * it was bought here.  True then: the snapshot is older than these locks (I10), so the
 * rules are to be read again under a new one.
 */
static bool
open_what_it_needs(EcoPurchase *p, const EcoAccount *account)
{
	uint16		needs = (p->product.has_stock ? NEEDS_STOCK : 0) |
	(p->product.counted && eco_units_need_row(account, &p->product_id) ? NEEDS_UNITS : 0) |
	(p->product.global_key ? NEEDS_KEYS : 0) |
	(moves_items(&p->product) ? NEEDS_ITEMS : 0) |
	(p->product.fulfilment ? NEEDS_QUEUE : 0) |
	(p->product.settlement != (Datum) 0 ? NEEDS_ORDERS : 0) |
	(p->product.granted_xp > 0 && !p->reserves ? NEEDS_LEVELS : 0);

	*needed_by(p) |= needs | NEEDS_KNOWN | (needs_account_alone(&p->product) ? 0 : NEEDS_LOCK);
	needs |= p->opened;
	if (needs == p->opened)
		return false;
	/* its end would close what is opened within it */
	if (p->attempt.open)
		eco_attempt_undo(&p->attempt);
	(void) eco_tables_add(p->open, tables_for(p, needs));
	return true;
}

/* The code of the rule that refuses the purchase; NULL: stock and global key are taken. */
static const char *
decide(EcoPurchase *p, const EcoAccount *account)
{
	const char *refusal;

	while ((refusal = check_rules(p, account)) == waited)
	{
		CHECK_FOR_INTERRUPTS();
		eco_snapshot_renew();
	}
	if (refusal == NULL && p->product.global_key && !p->dry_run && !p->reserves &&
		!eco_global_key_use(&p->product_id, &p->key, p->user_id, account->seq + 1))
	{
		refusal = "KEY_USED";
		/* what is left is as if these were sold */
		p->stock_left = -1;
		if (p->reserved != NULL && p->product.has_stock)
			eco_stock_give_back(p->reserved, p->quantity);
	}
	if (p->attempt.open && refusal == NULL)
		eco_attempt_keep(&p->attempt);
	else if (p->attempt.open)
		eco_attempt_undo(&p->attempt);
	return refusal;
}

/* The same, when an error is raised in the middle of it, too. */
static const char *
try_to_decide(EcoPurchase *p, const EcoAccount *account)
{
	const char *volatile refusal = NULL;

	PG_TRY();
	{
		refusal = decide(p, account);
	}
	PG_CATCH();
	{
		eco_attempt_fail(&p->attempt);
	}
	PG_END_TRY();
	return refusal;
}

const char *
eco_purchase_reserve(EcoPurchase *p, const EcoAccount *account)
{
	return try_to_decide(p, account);
}

bool
eco_purchase_try(EcoPurchase *p, const EcoAccount *account)
{
	const char *refusal = try_to_decide(p, account);

	eco_result_set(&p->result, PURCHASE_GOLD, Int64GetDatum(account->gold));
	if (p->user_limit_left >= 0)
		eco_result_set(&p->result, PURCHASE_USER_LIMIT_REMAINING,
					   Int64GetDatum(p->user_limit_left - (refusal == NULL ? p->quantity : 0)));
	if (p->stock_left >= 0)
		eco_result_set(&p->result, PURCHASE_STOCK_REMAINING, Int64GetDatum(p->stock_left));
	if (refusal == ordered)
		answer_order(p);
	else if (refusal != NULL && strcmp(refusal, IN_PROGRESS) == 0)
		come_again(p);
	else if (refusal != NULL)
		eco_purchase_refuse(p, refusal);
	else if (p->dry_run && p->product.settlement != (Datum) 0)
	{
		eco_result_outcome(&p->result, "new", PENDING);
		eco_result_set(&p->result, PURCHASE_GOLD_DELTA, Int64GetDatum(0));
	}
	else if (p->dry_run)
	{
		eco_result_outcome(&p->result, "new", "OK");
		eco_result_set(&p->result, PURCHASE_GOLD_DELTA, Int64GetDatum(p->gold_delta));
		eco_result_set(&p->result, PURCHASE_GOLD, Int64GetDatum(account->gold + p->gold_delta));
		tell_promo(p, p->promo == NULL ? NULL : p->promo->use);
		if (p->xp_delta > 0)
			(void) eco_level_foretold(&p->detail, p->user_id, p->xp_delta,
									  account->xp + p->xp_delta);
		describe_effect(p, p->product.is_conversion, p->product.effect_code,
						p->items == NULL ? (Datum) 0 : eco_holdings_json(p->items),
						p->xp_delta > 0);
	}
	return refusal == NULL && !p->dry_run;
}

/*
 * The code of the first rule that refuses, or NULL.  Stock comes last: it is taken.
 * Read again after a wait, nothing stays of what the product was before.
 */
static const char *
check_rules(EcoPurchase *p, const EcoAccount *account)
{
	p->user_limit_left = -1;
	p->stock_left = -1;
	p->xp_delta = 0;
	p->stock_slot = -1;
	p->items = NULL;
	p->promo = NULL;
	p->ordered = 0;
	if (account->suspended && p->key.datum == (Datum) 0)
		return "USER_SUSPENDED";
	if (!eco_product_read(&p->product_id, &p->product))
		return account->suspended ? "USER_SUSPENDED" : "PRODUCT_NOT_FOUND";
	if (p->terms != NULL)
		eco_order_terms(p->terms, &p->product);
	/* whose order is there already is told what became of it */
	if (account->suspended && (p->product.settlement == (Datum) 0 || p->terms != NULL))
		return "USER_SUSPENDED";
	if (account->is_unlocked && !needs_account_alone(&p->product))
		return IN_PROGRESS;		/* told nobody: the call begins anew */
	if (open_what_it_needs(p, account))
		return waited;
	if (p->terms != NULL)
		return check_paid(p, account);
	return check_all(p, account);
}

static const char *
check_all(EcoPurchase *p, const EcoAccount *account)
{
	const char *refusal = p->product.settlement == (Datum) 0 ? NULL : check_order(p, account);

	return refusal != NULL ? refusal : check_product(p, account);
}

static const char *
check_product(EcoPurchase *p, const EcoAccount *account)
{
	const char *refusal;

	if ((refusal = check_sale(p)) != NULL ||
		(refusal = check_global_key(p)) != NULL ||
		(refusal = check_expected_price(p)) != NULL ||
		(refusal = check_user_limit(p, account)) != NULL ||
		(refusal = check_freezes(p, account)) != NULL ||
		(refusal = check_promo(p, account)) != NULL ||
	/* it is paid when it is bought */
		(!p->reserves && (refusal = check_amounts(p, account)) != NULL) ||
		(!p->reserves && (refusal = check_xp(p, account)) != NULL) ||
		(!p->reserves && (refusal = check_items(p, account)) != NULL) ||
		(refusal = take_units(p, account)) != NULL ||
		(refusal = take_promo(p)) != NULL)
		return refusal;
	return NULL;
}

const char *
eco_purchase_look(EcoPurchase *p, const EcoAccount *account)
{
	const char *refusal;

	p->quantity = 1;
	p->dry_run = true;
	eco_purchase_begin(p);
	if (account == NULL)
		refusal = check_sale(p);
	else
		refusal = account->suspended ? "USER_SUSPENDED" : check_all(p, account);
	/* what the rules have not come to */
	if (account != NULL && p->user_limit_left < 0)
		(void) count_user_limit(p, account);
	if (p->product.has_stock)
	{
		const char *sold_out = p->stock_left < 0 ? take_stock(p) : refusal;

		/* it says what this purchase would leave */
		if (sold_out == NULL)
			p->stock_left += p->quantity;
		if (refusal == NULL)
			refusal = sold_out;
	}
	return refusal;
}

/* Of a product that money from outside pays for. */
static const char *
check_order(EcoPurchase *p, const EcoAccount *account)
{
	EcoRow		row;

	if (!eco_table_is_open(&eco_payment_orders))
		return NULL;
	if (p->key.datum != (Datum) 0 &&
		eco_order_find(p->user_id, &p->product_id, &p->key, &row))
	{
		p->order = palloc(sizeof(EcoRow));
		*p->order = row;
		return ordered;
	}
	if (account->suspended)
		return "USER_SUSPENDED";
	if (p->calls != NULL)
		return "SETTLED_ALONE";
	if (p->product.source_points > ECO_MAX_AMOUNT / p->quantity)
		return "GOLD_OVERFLOW";
	if (eco_orders_open(p->user_id, &p->product_id, &p->ordered) < ECO_MAX_ORDERS)
		return NULL;
	eco_detail_int(&p->detail, "at_most", ECO_MAX_ORDERS);
	return "ORDER_LIMIT";
}

/*
 * It is paid: it is given as it was promised, whatever it costs by now, who may buy it, and
 * how often.
 */
static const char *
check_paid(EcoPurchase *p, const EcoAccount *account)
{
	EcoScan    *scan = NULL;
	EcoText		texts[2] = {p->product_id, p->key};
	const char *refusal;
	EcoRow		row;
	bool		found = eco_key_find(&scan, &eco_purchases, ECO_TXN_BY_KEY, p->user_id, texts, 2,
									 &row);

	eco_scan_end(scan);
	if (found)
		return "KEY_USED";
	if (p->product.counted && !p->units_known && load_units(p, account))
		return waited;
	p->product.limit_once = false;
	if ((refusal = check_amounts(p, account)) != NULL ||
		(refusal = check_xp(p, account)) != NULL ||
		(refusal = check_items(p, account)) != NULL)
		return refusal;
	p->stock_slot = p->paid_slot;
	return p->paid_slot >= 0 || !p->product.has_stock ? NULL : take_stock(p);
}

static bool
needs_account_alone(const EcoProduct *product)
{
	return !product->has_stock && !product->counted && !product->global_key &&
		!product->limit_once && !moves_items(product) && product->settlement == (Datum) 0;
}

/* Whether one before it of many bought the product, and is not in the journal yet. */
static bool
has_booked(const EcoPurchase *p)
{
	return p->calls != NULL && p->call->like->unwritten > 0;
}

/* Before purchases are counted in the journal. */
static void
settle_booked(EcoPurchase *p)
{
	if (has_booked(p))
		eco_calls_settle(p->calls, p->call);
}

static const char *
check_sale(EcoPurchase *p)
{
	const char *reason = eco_product_not_on_sale(&p->product, eco_now());

	if (reason == NULL)
		return NULL;
	eco_detail_str(&p->detail, "reason", reason);
	return "NOT_ON_SALE";
}

static const char *
check_global_key(EcoPurchase *p)
{
	/* a probe has no key: that of the purchase will be a new one */
	if (!p->product.global_key || p->key.datum == (Datum) 0)
		return NULL;
	switch (eco_global_key_look(&p->product_id, &p->key, !p->dry_run))
	{
		case ECO_GLOBAL_KEY_USED:
			return "KEY_USED";
		case ECO_GLOBAL_KEY_BUSY:
			return IN_PROGRESS;
		case ECO_GLOBAL_KEY_FREE:
			break;
	}
	return NULL;
}

/*
 * context.expected_price: what the client showed its user as the price of a
 * unit, in gold, or for a conversion in outside points.
 */
static const char *
check_expected_price(EcoPurchase *p)
{
	int64		price = p->product.is_conversion ? p->product.source_points : p->product.price_gold;

	/* compared as numeric: 100.5 is not 100, and a huge number is no overflow */
	if (p->expected_price == (Datum) 0 ||
		DatumGetBool(DirectFunctionCall2(numeric_eq, p->expected_price,
										 NumericGetDatum(int64_to_numeric(price)))))
		return NULL;
	eco_detail_int(&p->detail, p->product.is_conversion ? "source_points" : "price_gold", price);
	return "PRICE_CHANGED";
}

bool
eco_purchase_expected(Jsonb *context, Datum *price)
{
	JsonbValue	value;

	*price = (Datum) 0;
	if (context == NULL ||
		getKeyJsonValueFromContainer(&context->root, EXPECTED_PRICE,
									 strlen(EXPECTED_PRICE), &value) == NULL ||
		value.type == jbvNull)
		return true;
	return expected_number(&value, price);
}

bool
eco_purchase_reserved(Jsonb *context, EcoText *reservation)
{
	JsonbValue	value;

	if (context == NULL ||
		getKeyJsonValueFromContainer(&context->root, RESERVATION, strlen(RESERVATION),
									 &value) == NULL ||
		value.type == jbvNull)
		return true;
	if (value.type != jbvString || value.val.string.len < 1 || value.val.string.len > ECO_MAX_KEY)
		return false;
	*reservation = eco_text_in(PointerGetDatum(cstring_to_text_with_len(value.val.string.val,
																		value.val.string.len)));
	return true;
}

/* A number, or the text of one, as some drivers send it. */
static bool
expected_number(const JsonbValue *value, Datum *number)
{
	const char *digits = value->type == jbvString ? value->val.string.val : NULL;
	int			len = digits == NULL ? 0 : value->val.string.len;

	if (value->type == jbvNumeric)
	{
		*number = NumericGetDatum(value->val.numeric);
		return true;
	}
	if (len == 0 || len > MAX_DIGITS || (int) strspn(pnstrdup(digits, len), "0123456789") != len)
		return false;
	*number = NumericGetDatum(int64_to_numeric(strtoll(pnstrdup(digits, len), NULL, 10)));
	return true;
}

/* Limits per user; the account lock keeps what the user bought from changing. */
static const char *
check_user_limit(EcoPurchase *p, const EcoAccount *account)
{
	if (count_user_limit(p, account))
		return waited;
	if (p->user_limit_left > 0)
		p->user_limit_left = Max(p->user_limit_left - p->ordered, 0);
	if (p->user_limit_left < 0 || p->quantity <= p->user_limit_left - p->held)
		return NULL;
	if (p->product.limit_once)
		return "LIMIT_ONCE";
	if (p->product.limit_period != ECO_PERIOD_EVER)
		describe_renewal(p, eco_now());
	return "USER_LIMIT";
}

/* Known without a look for its entries. */
static bool
never_bought(const EcoPurchase *p, const EcoAccount *account)
{
	return p->bought != NULL && !eco_bought_perhaps(p->bought, account, &p->product_id);
}

/*
 * Before purchases are counted in the journal: what was taken back of them is no use of a
 * limit.  True: the rules are to be read again.  Who only looks has opened all there is.
 */
static bool
open_refunds(EcoPurchase *p)
{
	if (p->open == NULL || (p->opened & NEEDS_REFUNDS))
		return false;
	/* its end would close what is opened within it */
	if (p->attempt.open)
		eco_attempt_undo(&p->attempt);
	return eco_tables_add(p->open, tables_for(p, p->opened | NEEDS_REFUNDS));
}

static bool
count_user_limit(EcoPurchase *p, const EcoAccount *account)
{
	const EcoProduct *product = &p->product;

	if (product->counted && !p->units_known && load_units(p, account))
		return true;
	if (product->limit_once)
		return count_once(p, account);
	if (product->per_user_limit > 0)
	{
		TimestampTz now = eco_now();

		if (eco_units_are_past(&p->units, product->limit_period, now))
		{
			if (open_refunds(p))
				return true;
			settle_booked(p);
		}
		p->user_limit_left = Max(product->per_user_limit -
								 eco_units_in(&p->units, product->limit_period, now), 0);
	}
	return false;
}

static bool
count_once(EcoPurchase *p, const EcoAccount *account)
{
	bool		bought = p->product.counted ? eco_units_ever(&p->units) :
	has_booked(p) || (!never_bought(p, account) && eco_units_any(account, &p->product_id));

	if (bought && !p->product.counted && !has_booked(p))
	{
		if (open_refunds(p))
			return true;
		bought = eco_units_any(account, &p->product_id);
	}
	p->user_limit_left = bought ? 0 : 1;
	return false;
}

static bool
load_units(EcoPurchase *p, const EcoAccount *account)
{
	if (eco_units_load(&p->units, account, &p->product_id) || never_bought(p, account))
		return false;
	if (open_refunds(p))
		return true;
	/* it was limited in the middle of the call: the others are counted, too */
	settle_booked(p);
	eco_units_count_all(&p->units);
	return false;
}

static void
describe_renewal(EcoPurchase *p, TimestampTz now)
{
	eco_detail_int(&p->detail, "limit", p->product.per_user_limit);
	eco_detail_str(&p->detail, "period", eco_period_word(p->product.limit_period));
	eco_detail_moment(&p->detail, "renews_at", eco_product_renews_at(&p->product, now));
}

/* Streak freezes are held up to a limit, which those that the user has reserved count for. */
static const char *
check_freezes(EcoPurchase *p, const EcoAccount *account)
{
	int64		most;

	if (!p->product.gives_freezes)
		return NULL;
	most = eco_holdings_most_freezes();
	if (account->freezes + p->held + p->ordered + p->quantity <= most)
		return NULL;
	eco_detail_int(&p->detail, "held", account->freezes);
	eco_detail_int(&p->detail, "at_most", most);
	return "USER_LIMIT";
}

static const char *
check_amounts(EcoPurchase *p, const EcoAccount *account)
{
	int64		unit = p->product.is_conversion ? p->product.granted_gold : -p->product.price_gold;
	const char *refusal;

	if (pg_mul_s64_overflow(p->product.monetary, p->quantity, &p->monetary) ||
		p->monetary > ECO_MAX_AMOUNT)
		return "GOLD_OVERFLOW";
	/* whose value is what is paid for it */
	if (p->promo != NULL && unit < 0)
		p->monetary = (int64) ((int128) p->monetary *
							   (p->product.price_gold * p->quantity - p->promo->gold) /
							   (p->product.price_gold * p->quantity));
	if (pg_mul_s64_overflow(unit, p->quantity, &p->gold_delta) ||
		(p->promo != NULL && pg_add_s64_overflow(p->gold_delta, p->promo->gold, &p->gold_delta)))
		refusal = unit > 0 ? "GOLD_OVERFLOW" : "INSUFFICIENT_GOLD";
	else
		refusal = eco_amount_refusal(account, p->gold_delta, 0);
	if (refusal != NULL && unit < 0)
	{
		eco_detail_int(&p->detail, "price_gold", p->product.price_gold);
		eco_detail_int(&p->detail, "gold", account->gold);
	}
	return refusal;
}

static const char *
check_xp(EcoPurchase *p, const EcoAccount *account)
{
	if (p->product.granted_xp == 0 ||
		(!pg_mul_s64_overflow(p->product.granted_xp, p->quantity, &p->xp_delta) &&
		 eco_amount_refusal(account, 0, p->xp_delta) == NULL))
		return NULL;
	eco_detail_int(&p->detail, "experience_points", account->xp);
	eco_detail_int(&p->detail, "at_most", ECO_MAX_AMOUNT);
	return "GOLD_OVERFLOW";
}

/* What it costs beside gold, and what it gives; the account's lock guards both. */
static const char *
check_items(EcoPurchase *p, const EcoAccount *account)
{
	const EcoProduct *product = &p->product;

	if (!moves_items(product))
		return NULL;
	p->items = palloc(sizeof(EcoHoldings));
	p->items->n = 0;
	if (product->price_items != (Datum) 0)
		eco_holdings_add(DatumGetJsonbP(product->price_items), p->quantity, ECO_HOLDING_USE_UP,
						 p->items);
	if (product->contents != (Datum) 0)
		eco_holdings_add(DatumGetJsonbP(product->contents), p->quantity, ECO_HOLDING_GIVE,
						 p->items);
	if (product->gives_freezes)
		eco_holdings_add_freezes(p->quantity, ECO_HOLDING_GIVE, p->items);
	return eco_holdings_refusal(p->items, account, &p->detail);
}

static const char *
take_units(EcoPurchase *p, const EcoAccount *account)
{
	bool		reserved = p->reservation.datum != (Datum) 0;

	/* whoever has to wait for one of them lets go of all */
	if (p->promo != NULL && takes_several(p) && !p->dry_run && !p->attempt.open)
		eco_attempt_begin(&p->attempt);
	if (!reserved && !p->product.has_stock)
		return p->reserves ? "UNLIMITED_STOCK" : NULL;
	/* whose the key is, eco_global_key_use() says when it is taken */
	if (p->product.global_key && p->reserved == NULL && !p->dry_run && !p->attempt.open)
		eco_attempt_begin(&p->attempt);
	return reserved ? use_reservation(p, account) : take_stock(p);
}

/* Also of a product that has no stock any more: what was taken from it is sold. */
static const char *
use_reservation(EcoPurchase *p, const EcoAccount *account)
{
	EcoReservationUse use = {
		.user_id = p->user_id, .name = p->reservation, .product_id = p->product_id,
		.quantity = p->quantity, .seq = p->dry_run ? 0 : account->seq + 1,
		.ordered = p->product.settlement != (Datum) 0
	};
	const char *refusal;

	if (!eco_table_is_open(&eco_shop_reservations))
		return "RESERVATION_NOT_FOUND";
	return eco_reservation_use(&use, &p->detail, &refusal, &p->stock_slot) ? refusal : waited;
}

static const char *
take_stock(EcoPurchase *p)
{
	EcoStock	stock;

	if (p->reserved != NULL)
		stock = eco_stock_take_reserved(p->reserved, p->quantity, &p->stock_left, &p->stock_slot);
	else
		stock = eco_stock_take(&eco_shop_stock, &p->product_id, p->product.stock_slots,
							   p->quantity, p->dry_run ? ECO_STOCK_LOOK :
							   p->calls != NULL ? ECO_STOCK_TRY : ECO_STOCK_TAKE,
							   &p->attempt, &p->stock_left, &p->stock_slot);
	if (stock == ECO_STOCK_SOLD_OUT && p->dry_run)
		stock = look_again(p);
	else if (stock == ECO_STOCK_SOLD_OUT && p->calls == NULL && got_back(p))
		stock = ECO_STOCK_AGAIN;
	if (stock == ECO_STOCK_AGAIN)
		return waited;
	if (stock == ECO_STOCK_BUSY)
	{
		p->stock_left = -1;
		return IN_PROGRESS;
	}
	return stock == ECO_STOCK_TAKEN ? NULL : "SOLD_OUT";
}

/* What the code takes off the price, or gives beside; nothing is taken from its sums yet. */
static const char *
check_promo(EcoPurchase *p, const EcoAccount *account)
{
	EcoPromoAsk ask = {
		.typed = p->promo_typed, .account = account, .product = &p->product,
		.quantity = p->quantity
	};
	EcoPromo   *promo;
	const char *refusal;

	if (p->promo_typed.datum == (Datum) 0)
		return NULL;
	promo = palloc0(sizeof(EcoPromo));
	refusal = eco_promo_check(&ask, promo, &p->detail);
	if (refusal == NULL)
		p->promo = promo;
	return refusal;
}

/* Whether one thing that it takes may be there, and another not. */
static bool
takes_several(const EcoPurchase *p)
{
	int			places = (p->product.has_stock || p->reservation.datum != (Datum) 0) +
	p->product.global_key + p->promo->has_max + p->promo->has_budget;

	return places > 1;
}

/* Behind the units of the product: first a use, then its gold. */
static const char *
take_promo(EcoPurchase *p)
{
	const char *refusal = NULL;
	EcoText		uses;
	EcoText		gold;

	if (p->promo == NULL)
		return NULL;
	uses = eco_promo_uses_of(p->promo);
	gold = eco_promo_gold_of(p->promo);
	if (p->promo->has_max)
		refusal = take_of_promo(p, &uses, 1, "PROMO_USED_UP");
	if (refusal == NULL && p->promo->has_budget)
		refusal = take_of_promo(p, &gold, p->promo->gold, "PROMO_BUDGET");
	/* units of the product that were taken are given back with the attempt */
	if (refusal != NULL)
		p->stock_left = -1;
	return refusal;
}

static const char *
take_of_promo(EcoPurchase *p, const EcoText *name, int64 units, const char *refusal)
{
	int64		left;
	int16		slot;

	switch (eco_stock_take(&eco_promo_stock, name, ECO_PROMO_SLOTS, units,
						   p->dry_run ? ECO_STOCK_LOOK : ECO_STOCK_TAKE, &p->attempt, &left,
						   &slot))
	{
		case ECO_STOCK_TAKEN:
			return NULL;
		case ECO_STOCK_SOLD_OUT:
			eco_detail_int(&p->detail, "needed", units);
			eco_detail_int(&p->detail, "left", left);
			return refusal;
		case ECO_STOCK_AGAIN:
		case ECO_STOCK_BUSY:	/* only who tries */
			break;
	}
	return waited;
}

/* Of use when too little is left; who only looks has opened all there is to see. */
static bool
open_reservations(EcoPurchase *p)
{
	if (p->open != NULL && !(p->opened & NEEDS_RESERVATIONS))
	{
		/* its end would close what is opened within it */
		if (p->attempt.open)
			eco_attempt_undo(&p->attempt);
		(void) eco_tables_add(p->open, tables_for(p, p->opened | NEEDS_RESERVATIONS));
	}
	return eco_table_is_open(&eco_shop_reservations);
}

/* With what whoever buys would get back. */
static EcoStock
look_again(EcoPurchase *p)
{
	if (open_reservations(p))
		p->stock_left += eco_reservations_over(&p->product_id);
	if (p->stock_left < p->quantity)
		return ECO_STOCK_SOLD_OUT;
	p->stock_left -= p->quantity;
	return ECO_STOCK_TAKEN;
}

/*
 * Whether there are reservations whose time is over, so that the rules are to be read
 * again: those that nobody has are for sale now.  When others have all of them, one of
 * these is waited for with empty hands, as for a slot, for who has it may use little of
 * it, or nothing.  One of many does without: it must not wait.
 */
static bool
got_back(EcoPurchase *p)
{
	EcoGivenBack given;

	if (!open_reservations(p) || eco_reservations_over(&p->product_id) == 0)
		return false;
	if (!p->attempt.open)
		eco_attempt_begin(&p->attempt);
	given = eco_reservations_give_back(&p->product_id);
	if (given != ECO_GIVEN_BUSY)
		return given == ECO_GIVEN_BACK;
	eco_attempt_undo(&p->attempt);
	eco_attempt_begin(&p->attempt);
	eco_reservations_await(&p->product_id);
	eco_attempt_undo(&p->attempt);
	return true;
}

/* The account is written so that whoever has an older snapshot sees the order, or fails. */
static void
place_order(EcoPurchase *p, EcoAccount *account)
{
	EcoOrder	order = {
		.user_id = p->user_id, .product_id = p->product_id, .key = p->key,
		.quantity = p->quantity, .context = p->context, .stock_slot = p->stock_slot,
		.amount = p->product.source_points * p->quantity, .product = &p->product
	};

	if (eco_purchase_save_units(p, account, NULL))
		eco_units_write(&p->units);
	eco_account_flush(account);
	eco_order_place(&order, &p->detail);
	eco_result_outcome(&p->result, "new", PENDING);
	eco_result_set(&p->result, PURCHASE_GOLD_DELTA, Int64GetDatum(0));
}

/* To a call whose key has an order, which is no purchase yet, or will never be one. */
static void
answer_order(EcoPurchase *p)
{
	const EcoRow *row = p->order;

	if (!same_as_first(p, row, ORD_QUANTITY, ORD_CONTEXT))
		eco_purchase_refuse(p, "IDEMPOTENCY_MISMATCH");
	else if (eco_order_is_open(row))
	{
		eco_result_outcome(&p->result, "reuse", PENDING);
		eco_result_set(&p->result, PURCHASE_GOLD_DELTA, Int64GetDatum(0));
	}
	else
		eco_purchase_refuse(p, "ORDER_CLOSED");
	eco_order_tell(&p->detail, row);
}

static void
post(EcoPurchase *p, EcoAccount *account)
{
	EcoEntry	entry;

	eco_purchase_entry(p, &entry);
	ECO_CRASH_POINT("purchase:before_entry");
	eco_entry_prepare(account, &entry);
	if (eco_purchase_save_units(p, account, &entry))
		eco_units_write(&p->units);
	(void) eco_purchase_save_items(p, account);
	if (!eco_account_write(account))
		return;
	if (p->product.fulfilment)
		eco_fulfilment_add(&entry);
	if (p->promo != NULL)
		eco_promo_note(p->promo, &entry);
	eco_purchase_made(p, &entry);
	eco_entry_write(&entry);
	ECO_CRASH_POINT("purchase:after_entry");
}

/* Of a purchase that is refused, or only tried, the account stays as it was. */
static void
stay(EcoPurchase *p, EcoAccount *account)
{
	if (needs_account_alone(&p->product))
		eco_account_hold(account);
	else
		keep_units(p, account);
}

/* What was counted in the journal is kept. */
static void
keep_units(EcoPurchase *p, EcoAccount *account)
{
	if (!eco_purchase_save_units(p, account, NULL))
		return;
	eco_units_write(&p->units);
	eco_account_flush(account);
}

bool
eco_purchase_save_units(EcoPurchase *p, EcoAccount *account, const EcoEntry *entry)
{
	TimestampTz at = entry == NULL ? eco_now() : entry->created_at;

	if (entry != NULL && p->product.counted)
		eco_units_add(&p->units, p->quantity, at);
	if (!p->units.changed || p->dry_run)
		return false;
	eco_units_save(&p->units, account, at);
	return true;
}

/* So often the user had bought it, and all of it was taken back. */
static int
count_taken_back(const EcoPurchase *p)
{
	Datum		key[2] = {Int64GetDatum(p->user_id), p->product_id.datum};
	EcoScan    *scan;
	EcoRow		row;
	int			n = 0;

	if (eco_taken_back(p->user_id, &p->product_id).n == 0)
		return 0;
	scan = eco_scan_begin(&eco_shop_transactions, p->user_id, ECO_TXN_BY_KEY,
						  ECO_TXN_OF_PRODUCT, key);
	while (eco_scan_next(scan, &row))
	{
		CHECK_FOR_INTERRUPTS();
		n++;
	}
	eco_scan_end(scan);
	return n;
}

void
eco_purchase_entry(const EcoPurchase *p, EcoEntry *entry)
{
	EcoRow	   *row = &entry->row;

	eco_entry_init(entry, &eco_purchases);
	entry->gold_delta = p->gold_delta;
	entry->xp_delta = p->xp_delta;
	if (p->xp_delta > 0)
		entry->beside = palloc(sizeof(EcoLevelStep));
	if (p->product.limit_once)
	{
		entry->alone_by = ECO_TXN_OF_PRODUCT;
		entry->beside_it = count_taken_back(p);
	}
	eco_row_set(row, TXN_QUANTITY, Int32GetDatum(p->quantity));
	if (p->stock_slot >= 0)
		eco_row_set(row, TXN_STOCK_SLOT, Int16GetDatum(p->stock_slot));
	eco_row_set(row, TXN_HASH_ALGO_VERSION, Int16GetDatum(ECO_HASH_ALGO_VERSION));
	eco_row_set(row, TXN_MONETARY, Int64GetDatum(p->monetary));
	eco_row_set(row, TXN_CATEGORY,
				CStringGetTextDatum(p->product.is_conversion ? "conversion" : "item"));
	eco_row_set(row, TXN_STATUS, CStringGetTextDatum("SUCCESS"));
	eco_row_set(row, TXN_PRODUCT_ID, p->product_id.datum);
	eco_row_set(row, TXN_KEY, p->key.datum);
	/* a copy: an entry of many outlives the reading of its product */
	if (p->product.effect_code != (Datum) 0)
		eco_row_set(row, TXN_EFFECT_CODE, datumCopy(p->product.effect_code, false, -1));
	if (p->context != NULL)
		eco_row_set(row, TXN_CONTEXT,
					JsonbPGetDatum(p->promo == NULL ? p->context :
								   eco_promo_context(p->promo, p->context)));
	if (p->items != NULL)
		entry->at = p->items->at;
	/* objects of an older release know what an effect code gives */
	if (p->items != NULL && eco_table_is_open(&eco_items))
		eco_row_set(row, TXN_ITEMS, eco_holdings_json(p->items));
}

bool
eco_purchase_save_items(EcoPurchase *p, EcoAccount *account)
{
	if (p->items == NULL)
		return false;
	eco_holdings_save(p->items, account);
	return eco_holdings_write(p->items, account->user_id);
}

static inline Datum
items_of(const EcoRow *row)
{
	return row->isnull[TXN_ITEMS] ? (Datum) 0 : row->values[TXN_ITEMS];
}

void
eco_purchase_made(EcoPurchase *p, EcoEntry *entry)
{
	if (entry->xp_delta > 0)
		*(EcoLevelStep *) entry->beside = eco_level_detail(&p->detail, &entry->row);
	eco_result_outcome(&p->result, "new", "OK");
	eco_result_entry(&p->result, &eco_purchases, &entry->row);
	eco_result_set(&p->result, PURCHASE_GOLD_DELTA, Int64GetDatum(entry->gold_delta));
	eco_result_set(&p->result, PURCHASE_GOLD, Int64GetDatum(entry->gold));
	tell_promo(p, p->promo == NULL ? NULL : p->promo->use);
	describe_effect(p, p->product.is_conversion, p->product.effect_code, items_of(&entry->row),
					entry->xp_delta > 0);
}

/* The detail of an item without an effect, which nearly all have: made once. */
static Datum
plain_detail(void)
{
	static Datum kept = (Datum) 0;
	MemoryContext old_context = MemoryContextSwitchTo(CacheMemoryContext);
	EcoDetail	detail = {0};

	if (kept == (Datum) 0)
	{
		eco_detail_bool(&detail, APPLY, true);
		kept = eco_detail_end(&detail);
	}
	MemoryContextSwitchTo(old_context);
	return kept;
}

/* What a promo code gave, if one was used. */
static void
tell_promo(EcoPurchase *p, Jsonb *use)
{
	if (use != NULL)
		eco_detail_json(&p->detail, ECO_PROMO, use);
}

/*
 * What is left to the app: a conversion charges no outside points, unless an order did, and
 * an item's effect is applied by the app, unless it is that the user holds its contents now.
 */
static void
describe_effect(EcoPurchase *p, bool is_conversion, Datum effect_code, Datum items, bool gives_xp)
{
	if (items != (Datum) 0)
		eco_result_set(&p->result, PURCHASE_ITEMS, items);
	if (is_conversion)
	{
		eco_detail_bool(&p->detail, "charge_outside", p->product.settlement == (Datum) 0);
		return;
	}
	if (effect_code == (Datum) 0 && items == (Datum) 0 && !p->dry_run && !p->detail.open)
	{
		eco_result_set(&p->result, PURCHASE_DETAIL, plain_detail());
		return;
	}
	eco_detail_bool(&p->detail, APPLY,
					effect_code != (Datum) 0 || !(gives_xp || eco_holdings_give(items)));
	if (effect_code != (Datum) 0)
		eco_detail_str(&p->detail, "effect_code", TextDatumGetCString(effect_code));
}

void
eco_purchase_replay(EcoPurchase *p, const EcoRow *first)
{
	static EcoTable *const products[] = {&eco_shop_products, NULL};
	bool		gives_xp = eco_row_int(first, ECO_COL_XP_DELTA) > 0;
	bool		is_conversion;

	eco_result_entry(&p->result, &eco_purchases, first);
	if (!same_as_first(p, first, TXN_QUANTITY, TXN_CONTEXT))
	{
		eco_purchase_refuse(p, "IDEMPOTENCY_MISMATCH");
		return;
	}
	is_conversion = VARDATA_ANY(DatumGetTextPP(first->values[TXN_CATEGORY]))[0] == 'c';
	/* whether an order has charged for it, the product knows for ever */
	if (is_conversion)
	{
		(void) eco_tables_add(p->open, products);
		(void) eco_product_read(&p->product_id, &p->product);
	}
	eco_result_outcome(&p->result, "reuse", "OK");
	eco_result_set(&p->result, PURCHASE_GOLD_DELTA, first->values[ECO_COL_GOLD_DELTA]);
	eco_result_set(&p->result, PURCHASE_GOLD, first->values[ECO_COL_GOLD]);
	tell_promo(p, first->isnull[TXN_CONTEXT] ? NULL :
			   eco_promo_used(DatumGetJsonbP(first->values[TXN_CONTEXT])));
	if (gives_xp)
	{
		(void) eco_tables_add(p->open, eco_level_tables);
		(void) eco_level_detail(&p->detail, first);
	}
	describe_effect(p, is_conversion,
					first->isnull[TXN_EFFECT_CODE] ? (Datum) 0 : first->values[TXN_EFFECT_CODE],
					items_of(first), gives_xp);
}

static Jsonb *
without(Jsonb *context, const char *name)
{
	JsonbValue	value;

	if (context == NULL ||
		getKeyJsonValueFromContainer(&context->root, name, strlen(name), &value) == NULL)
		return context;
	context = DatumGetJsonbP(DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(context),
												 CStringGetTextDatum(name)));
	return JB_ROOT_COUNT(context) == 0 ? NULL : context;
}

/*
 * The context as a retry is compared with it: without expected_price, which is a condition
 * of the call and no part of what was bought, and what an entry says of a promo code.
 */
static Jsonb *
without_conditions(Jsonb *context)
{
	return without(without(context, EXPECTED_PRICE), ECO_PROMO_USE);
}

/* Of what was bought or ordered with the key: the columns are those of its row. */
static bool
same_as_first(EcoPurchase *p, const EcoRow *first, int quantity, int context)
{
	Jsonb	   *now = without_conditions(p->context);
	Jsonb	   *before = first->isnull[context] ? NULL :
	without_conditions(DatumGetJsonbP(first->values[context]));

	if (DatumGetInt32(first->values[quantity]) != p->quantity)
	{
		eco_detail_field(&p->detail, "quantity", first, quantity);
		eco_detail_int(&p->detail, "now", p->quantity);
		return false;
	}
	if (eco_same_json(before, now))
		return true;
	eco_detail_field(&p->detail, "context", first, context);
	eco_detail_json(&p->detail, "now", p->context);
	return false;
}

void
eco_purchase_refuse(EcoPurchase *p, const char *code)
{
	eco_result_outcome(&p->result, "refused", code);
	eco_result_set(&p->result, PURCHASE_GOLD_DELTA, Int64GetDatum(0));
}

void
eco_purchase_archived(EcoPurchase *p, int64 seq)
{
	eco_purchase_refuse(p, "RESYNC_REQUIRED");
	eco_detail_str(&p->detail, "reason", "archived");
	eco_result_text(&p->result, ECO_RES_TRANSACTION_ID,
					eco_transaction_id(&eco_purchases, p->user_id, seq));
}

/* Answer in_progress: another transaction is in this call, or uses this global key. */
static void
come_again(EcoPurchase *p)
{
	eco_result_busy(&p->result, PURCHASE_RETRY_AFTER_MS);
}

void
eco_purchase_end(EcoPurchase *p)
{
	Datum		detail;

	if (p->dry_run)
		eco_detail_bool(&p->detail, "dry_run", true);
	detail = eco_detail_end(&p->detail);
	if (detail != (Datum) 0)
		eco_result_set(&p->result, PURCHASE_DETAIL, detail);
}
