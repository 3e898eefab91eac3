/*
 * purchases.c
 *		economy.purchases(): many purchases in one call, each with its own outcome.
 *
 * They are made in the order of the batch, by the rules of a single purchase, on
 * accounts that are all locked (calls.h).  Nothing is waited for after the first unit or
 * key is taken: before that the stock that they want is reserved, product by product.
 * Lock order: accounts by user_id; then by product_id the use of its keys by batches, and
 * its slots.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "errors.h"
#include "ledger/calls.h"
#include "ledger/level.h"
#include "ledger/lock.h"
#include "shop/fulfilment.h"
#include "shop/global_key.h"
#include "shop/journal.h"
#include "shop/promo.h"
#include "shop/purchase.h"
#include "shop/refunds.h"
#include "shop/stock.h"

/* What is wanted. */
typedef struct Order
{
	int64		user_id;
	EcoText		product_id;
	EcoText		key;
	int32		quantity;
	Jsonb	   *context;
	Datum		expected_price;
} Order;

/* What is kept from one to the next, by the number of a call. */
typedef struct State
{
	EcoUnits  **units;			/* that have a row, which is written once: of
								 * the first such call; or NULL */
	EcoReserved **reserved;		/* or NULL */
	List	   *stock;			/* all of them */
} State;

PG_FUNCTION_INFO_V1(eco_purchases_many);

static void read_order(EcoElement *element, void *into);
static void tell(EcoCallOf *call);
static void reserve(EcoCalls *calls);
static void reserve_product(EcoCalls *calls, EcoCallOf **wanted, int n, bool lock_keys);
static void make(EcoCalls *calls, EcoCallOf *call, EcoCallState state, EcoResult *result);
static bool post(EcoCalls *calls, EcoCallOf *call, EcoPurchase *p);
static void keep_stock(EcoCalls *calls, EcoCallOf **wanted, int n, EcoReserved *reserved);
static void keep_row(EcoCalls *calls, const EcoCallOf *call, EcoPurchase *p);
static void write_state(EcoCalls *calls);

static EcoTable *const tables[] = {
	&eco_shop_products, &eco_shop_stock, &eco_shop_user_units_more, &eco_shop_keys, &eco_items,
	&eco_user_holdings_more, &eco_fulfilments, &eco_shop_refunds, ECO_LEVEL_TABLES, NULL
};

static const EcoBatch batch = {
	.what = "purchase",
	.objects = "purchases",
	.members = (const char *const[])
	{
		"user_id", "product_id", "idempotency_key", "quantity", "context", NULL
	},
	.arrays = (const char *const[])
	{
		"user_ids", "product_ids", "idempotency_keys", "quantities", "contexts", NULL
	},
	.required = 3,
	/* of one part: nothing is waited for after the first unit is taken */
	.most = ECO_CALLS_PART,
	.size = sizeof(Order),
	.read = read_order,
};

static const EcoCallKind purchases = {
	.function = "economy.purchases()",
	.result_types = ECO_PURCHASE_TYPES,
	.batch = &batch,
	.journal = &eco_purchases,
	.key = ECO_TXN_BY_KEY,
	.tables = tables,
	.tell = tell,
	.begin = reserve,
	.make = make,
	.end = write_state,
};

/*
 * eco_purchases_many(purchases jsonb)
 * eco_purchases_many(user_ids bigint[], product_ids text[], idempotency_keys text[],
 *					  quantities integer[], contexts jsonb[])
 *		returns setof purchase_result
 */
Datum
eco_purchases_many(PG_FUNCTION_ARGS)
{
	return eco_calls_function(&purchases, fcinfo);
}

static void
read_order(EcoElement *element, void *into)
{
	Order	   *order = into;
	int			number = eco_element_number(element) + 1;
	EcoText		reservation = {0};
	EcoText		promo = {0};
	int64		quantity;

	order->user_id = eco_element_int(element, 0);
	order->product_id = eco_element_text(element, 1, ECO_MAX_NAME);
	order->key = eco_element_text(element, 2, ECO_MAX_KEY);
	quantity = eco_element_int_or(element, 3, 1);
	order->context = eco_element_object(element, 4);
	if (quantity < 1 || quantity > ECO_MAX_QUANTITY)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("purchase %d: quantity must be from 1 to %d", number, ECO_MAX_QUANTITY));
	order->quantity = (int32) quantity;
	if (!eco_purchase_expected(order->context, &order->expected_price))
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("purchase %d: context.expected_price must be a number", number));
	if (!eco_purchase_reserved(order->context, &reservation) || reservation.datum != (Datum) 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("purchase %d: context.reservation is for economy.purchase()", number));
	if (!eco_promo_in(order->context, &promo) || promo.datum != (Datum) 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("purchase %d: context.promo is for economy.purchase()", number));
}

static void
tell(EcoCallOf *call)
{
	const Order *order = call->item;

	call->user_id = order->user_id;
	call->texts[0] = order->product_id;
	call->texts[1] = order->key;
}

static int
by_product(const void *a, const void *b, void *arg)
{
	const EcoCallOf *x = *(const EcoCallOf *const *) a;
	const EcoCallOf *y = *(const EcoCallOf *const *) b;
	int			order = memcmp(x->texts[0].data, y->texts[0].data,
							   Min(x->texts[0].len, y->texts[0].len));

	return order != 0 ? order : x->texts[0].len - y->texts[0].len;
}

/*
 * Lock what the new ones want of each product.  Those that are refused later want
 * something too: a few locks more are held.
 */
static void
reserve(EcoCalls *calls)
{
	EcoCallOf **wanted = palloc(sizeof(EcoCallOf *) * calls->n);
	State	   *state = palloc0(sizeof(State));
	int			n = 0;
	int			end;
	bool		lock_keys;

	calls->state = state;
	state->units = palloc0(sizeof(EcoUnits *) * calls->n);
	state->reserved = palloc0(sizeof(EcoReserved *) * calls->n);
	for (int i = 0; i < calls->n; i++)
		if (calls->calls[i].same->first == NULL)
			wanted[n++] = &calls->calls[i];
	qsort_interruptible(wanted, n, sizeof(EcoCallOf *), by_product, NULL);
	/* most batches have fewer keys than that, whatever the products */
	lock_keys = eco_locks_affordable(n);
	for (int start = 0; start < n; start = end)
	{
		for (end = start + 1; end < n && by_product(&wanted[start], &wanted[end], NULL) == 0; end++)
			;
		CHECK_FOR_INTERRUPTS();
		reserve_product(calls, wanted + start, end - start, lock_keys);
	}
	pfree(wanted);
}

static void
reserve_product(EcoCalls *calls, EcoCallOf **wanted, int n, bool lock_keys)
{
	EcoProduct	product;
	int64		units = 0;

	if (!eco_product_read(&wanted[0]->texts[0], &product))
		return;
	for (int i = 0; i < n; i++)
		units += ((const Order *) wanted[i]->item)->quantity;
	if (product.global_key)
		eco_global_keys_apart(&product.product_id, lock_keys);
	if (product.has_stock)
		keep_stock(calls, wanted, n, eco_stock_reserve(&product.product_id, units));
	else if (product.global_key)
		eco_snapshot_renew();
}

/* Where user code runs at writes, the slots are only locked: it may buy of them too. */
static void
keep_stock(EcoCalls *calls, EcoCallOf **wanted, int n, EcoReserved *reserved)
{
	State	   *state = calls->state;

	if (calls->one_by_one)
		return;
	for (int i = 0; i < n; i++)
		state->reserved[wanted[i]->number] = reserved;
	state->stock = lappend(state->stock, reserved);
}

static void
make(EcoCalls *calls, EcoCallOf *call, EcoCallState state, EcoResult *result)
{
	const State *kept = calls->state;
	const Order *order = call->item;
	EcoPurchase p = {
		.user_id = call->user_id, .product_id = call->texts[0], .key = call->texts[1],
		.quantity = order->quantity, .context = order->context,
		.expected_price = order->expected_price, .open = calls->open,
		.calls = calls, .call = call, .reserved = kept->reserved[call->number],
		.result = *result
	};
	const EcoUnits *units = kept->units[call->like->number];

	(void) eco_purchase_tables(&p);
	eco_purchase_begin(&p);
	if (units != NULL)
	{
		p.units = *units;
		p.units_known = true;
	}
	if (state == ECO_CALL_REPLAY)
		eco_purchase_replay(&p, call->same->first);
	else if (state == ECO_CALL_ARCHIVED)
		eco_purchase_archived(&p, call->archived_seq);
	else if (state == ECO_CALL_NO_USER)
		eco_purchase_refuse(&p, "USER_NOT_FOUND");
	else
	{
		bool		wrote_items = false;

		if (eco_purchase_try(&p, eco_calls_account(call)))
			wrote_items = post(calls, call, &p);
		else if (eco_purchase_save_units(&p, eco_calls_account(call), NULL))
			eco_calls_keep(calls, call);
		keep_row(calls, call, &p);
		/* what was written is seen by the next one */
		if ((p.product.has_stock && p.reserved == NULL) || p.product.global_key || wrote_items)
			eco_snapshot_renew();
	}
	eco_purchase_end(&p);
	*result = p.result;
}

/* True: items were written to rows. */
static bool
post(EcoCalls *calls, EcoCallOf *call, EcoPurchase *p)
{
	MemoryContext old_context = MemoryContextSwitchTo(calls->context);
	EcoEntry   *entry = palloc(sizeof(EcoEntry));
	bool		wrote_items;

	eco_purchase_entry(p, entry);
	eco_calls_book(calls, call, entry);
	MemoryContextSwitchTo(old_context);
	(void) eco_purchase_save_units(p, eco_calls_account(call), entry);
	wrote_items = eco_purchase_save_items(p, eco_calls_account(call));
	if (p->product.fulfilment)
		eco_fulfilment_add(entry);
	eco_purchase_made(p, entry);
	return wrote_items;
}

/*
 * Keep units that have a row for the next one, and the end; but where user code runs at
 * writes, it must find it written.
 */
static void
keep_row(EcoCalls *calls, const EcoCallOf *call, EcoPurchase *p)
{
	EcoUnits  **units = &((State *) calls->state)->units[call->like->number];

	if (!p->units.unwritten)
		return;
	if (calls->one_by_one)
	{
		eco_units_write(&p->units);
		return;
	}
	if (*units == NULL)
		*units = MemoryContextAlloc(calls->context, sizeof(EcoUnits));
	**units = p->units;
}

/* Stock by product, then rows of units by user. */
static void
write_state(EcoCalls *calls)
{
	const State *state = calls->state;
	ListCell   *lc;

	foreach(lc, state->stock)
		eco_stock_write(lfirst(lc));
	for (int i = 0; i < calls->n; i++)
	{
		EcoUnits   *units = state->units[calls->order[i]->number];

		CHECK_FOR_INTERRUPTS();
		if (units != NULL)
			eco_units_write(units);
	}
}
