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

#include "access/htup_details.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "errors.h"
#include "ledger/batch.h"
#include "ledger/calls.h"
#include "ledger/lock.h"
#include "shop/global_key.h"
#include "shop/journal.h"
#include "shop/purchase.h"
#include "shop/stock.h"

#define MAX_PURCHASES 8190

/* What is wanted beyond user, product and key. */
typedef struct Order
{
	int32		quantity;
	Jsonb	   *context;
	Datum		expected_price;
} Order;

typedef struct Batch
{
	EcoCalls	calls;
	Order	   *orders;			/* of calls.calls[] */
	EcoUnits  **units;			/* that a user has of a product, by the number
								 * of the first such call; or NULL */
	EcoReserved **reserved;		/* of calls.calls[], or NULL */
	List	   *stock;			/* all of them */
} Batch;

static const char *const members[] = {
	"user_id", "product_id", "idempotency_key", "quantity", "context", NULL
};

PG_FUNCTION_INFO_V1(eco_purchases_json);
PG_FUNCTION_INFO_V1(eco_purchases_arrays);

static void parse_order(JsonbContainer *object, int number, void *arg);
static void read_arrays(Batch *batch, FunctionCallInfo fcinfo);
static void check_order(Order *order, int number);
static void make_all(Batch *batch, FunctionCallInfo fcinfo);
static void reserve(Batch *batch);
static void reserve_product(Batch *batch, EcoCallOf **wanted, int n, bool lock_keys);
static HeapTuple make_one(Batch *batch, EcoCallOf *call, TupleDesc desc);
static void post(Batch *batch, EcoCallOf *call, EcoPurchase *p);
static void keep_stock(Batch *batch, EcoCallOf **wanted, int n, EcoReserved *reserved);
static void write_stock(Batch *batch);
static void keep_units(Batch *batch, const EcoCallOf *call, EcoPurchase *p);
static void write_units(Batch *batch);

/* eco_purchases_json(purchases jsonb) returns setof purchase_result */
Datum
eco_purchases_json(PG_FUNCTION_ARGS)
{
	Batch		batch = {0};
	Jsonb	   *array;

	eco_require_arg(fcinfo, 0, "purchases");
	array = PG_GETARG_JSONB_P(0);
	batch.calls.n = eco_batch_size(array, "purchases", MAX_PURCHASES);
	batch.calls.calls = palloc(sizeof(EcoCallOf) * Max(batch.calls.n, 1));
	batch.orders = palloc(sizeof(Order) * Max(batch.calls.n, 1));
	eco_batch_read(array, "purchase", parse_order, &batch);
	make_all(&batch, fcinfo);
	return (Datum) 0;
}

/*
 * eco_purchases_arrays(user_ids bigint[], product_ids text[], idempotency_keys text[],
 *						quantities integer[], contexts jsonb[]) returns setof purchase_result
 */
Datum
eco_purchases_arrays(PG_FUNCTION_ARGS)
{
	Batch		batch = {0};

	read_arrays(&batch, fcinfo);
	make_all(&batch, fcinfo);
	return (Datum) 0;
}

static void
parse_order(JsonbContainer *object, int number, void *arg)
{
	Batch	   *batch = arg;
	EcoCallOf  *call = &batch->calls.calls[number];
	Order	   *order = &batch->orders[number];
	EcoMembers	m;
	int64		quantity;

	eco_members_read(&m, "purchase", object, number, members);
	call->user_id = eco_member_int(&m, 0, NULL);
	call->texts[0] = eco_member_text(&m, 1, ECO_MAX_NAME, NULL);
	call->texts[1] = eco_member_text(&m, 2, ECO_MAX_KEY, NULL);
	quantity = eco_member_int(&m, 3, "1");
	/* what does not fit an integer is out of range too */
	order->quantity = (int32) Max(Min(quantity, ECO_MAX_QUANTITY + 1), 0);
	order->context = eco_member_object(&m, 4);
	check_order(order, number);
}

static void
read_arrays(Batch *batch, FunctionCallInfo fcinfo)
{
	static const char *const names[] = {
		"user_ids", "product_ids", "idempotency_keys", "quantities", "contexts", NULL
	};
	EcoArrays	a;
	int			n;

	eco_arrays_read(&a, fcinfo, "purchase", names, members, 3, MAX_PURCHASES);
	n = batch->calls.n = a.n;
	batch->calls.calls = palloc(sizeof(EcoCallOf) * Max(n, 1));
	batch->orders = palloc(sizeof(Order) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		EcoCallOf  *call = &batch->calls.calls[i];
		Order	   *order = &batch->orders[i];

		CHECK_FOR_INTERRUPTS();
		call->user_id = DatumGetInt64(eco_array_value(&a, 0, i));
		call->texts[0] = eco_array_text(&a, 1, i, ECO_MAX_NAME);
		call->texts[1] = eco_array_text(&a, 2, i, ECO_MAX_KEY);
		order->quantity = a.given[3] ? DatumGetInt32(eco_array_value(&a, 3, i)) : 1;
		order->context = a.given[4] ? eco_array_object(&a, 4, i) : NULL;
		check_order(order, i);
	}
}

static void
check_order(Order *order, int number)
{
	if (order->quantity < 1 || order->quantity > ECO_MAX_QUANTITY)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("purchase %d: quantity must be from 1 to %d", number + 1,
						 ECO_MAX_QUANTITY));
	if (!eco_purchase_expected(order->context, &order->expected_price))
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("purchase %d: context.expected_price must be a number", number + 1));
}

/* A row for each, in the order of the batch. */
static void
make_all(Batch *batch, FunctionCallInfo fcinfo)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	EcoCalls   *calls = &batch->calls;
	EcoPurchase any = {0};
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext one_context;
	HeapTuple  *rows;

	PreventCommandIfReadOnly("economy.purchases()");
	eco_result_set_begin(fcinfo, ECO_PURCHASE_TYPES);
	rows = palloc(sizeof(HeapTuple) * Max(calls->n, 1));
	batch->units = palloc0(sizeof(EcoUnits *) * Max(calls->n, 1));
	batch->reserved = palloc0(sizeof(EcoReserved *) * Max(calls->n, 1));
	calls->journal = &eco_purchases;
	calls->key = ECO_TXN_BY_KEY;
	calls->ntexts = 2;
	calls->tables = eco_purchase_tables(&any);
	eco_calls_begin(calls);
	reserve(batch);
	one_context = AllocSetContextCreate(caller, "economy purchase", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < calls->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(one_context);
		rows[i] = make_one(batch, &calls->calls[i], info->setDesc);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(one_context);
	}
	MemoryContextDelete(one_context);
	write_stock(batch);
	write_units(batch);
	eco_calls_end(calls);
	eco_batch_return(info, rows, calls->n);
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
reserve(Batch *batch)
{
	EcoCalls   *calls = &batch->calls;
	EcoCallOf **wanted = palloc(sizeof(EcoCallOf *) * Max(calls->n, 1));
	int			n = 0;
	int			end;
	bool		lock_keys;

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
		reserve_product(batch, wanted + start, end - start, lock_keys);
	}
	pfree(wanted);
}

static void
reserve_product(Batch *batch, EcoCallOf **wanted, int n, bool lock_keys)
{
	EcoProduct	product;
	int64		units = 0;

	if (!eco_product_read(&wanted[0]->texts[0], &product))
		return;
	for (int i = 0; i < n; i++)
		units += batch->orders[wanted[i]->number].quantity;
	if (product.global_key)
		eco_global_keys_apart(&product.product_id, lock_keys);
	if (product.has_stock)
		keep_stock(batch, wanted, n, eco_stock_reserve(&product.product_id, units));
	else if (product.global_key)
		eco_snapshot_renew();
}

/* Where user code runs at writes, the slots are only locked: it may buy of them too. */
static void
keep_stock(Batch *batch, EcoCallOf **wanted, int n, EcoReserved *reserved)
{
	if (batch->calls.one_by_one)
		return;
	for (int i = 0; i < n; i++)
		batch->reserved[wanted[i]->number] = reserved;
	batch->stock = lappend(batch->stock, reserved);
}

static void
write_stock(Batch *batch)
{
	ListCell   *lc;

	foreach(lc, batch->stock)
		eco_stock_write(lfirst(lc));
}

static HeapTuple
make_one(Batch *batch, EcoCallOf *call, TupleDesc desc)
{
	const Order *order = &batch->orders[call->number];
	EcoPurchase p = {
		.user_id = call->user_id, .product_id = call->texts[0], .key = call->texts[1],
		.quantity = order->quantity, .context = order->context,
		.expected_price = order->expected_price,
		.calls = &batch->calls, .call = call, .reserved = batch->reserved[call->number]
	};
	EcoUnits   *units = batch->units[call->like->number];
	MemoryContext old_context;
	HeapTuple	row;

	memset(p.result.isnull, true, sizeof(p.result.isnull));
	p.result.desc = desc;
	p.open = batch->calls.open;
	(void) eco_purchase_tables(&p);
	eco_purchase_begin(&p);
	if (units != NULL)
	{
		p.units = *units;
		p.units_known = true;
	}
	switch (eco_calls_look(&batch->calls, call))
	{
		case ECO_CALL_REPLAY:
			eco_purchase_replay(&p, call->same->first);
			break;
		case ECO_CALL_NEW:
			if (eco_purchase_try(&p, eco_calls_account(call)))
				post(batch, call, &p);
			keep_units(batch, call, &p);
			/* what was written is seen by the next one */
			if ((p.product.has_stock && p.reserved == NULL) || p.product.global_key)
				eco_snapshot_renew();
			break;
		default:
			eco_purchase_refuse(&p, "USER_NOT_FOUND");
	}
	eco_purchase_end(&p);
	old_context = MemoryContextSwitchTo(batch->calls.context);
	row = heap_form_tuple(desc, p.result.values, p.result.isnull);
	MemoryContextSwitchTo(old_context);
	return row;
}

static void
post(Batch *batch, EcoCallOf *call, EcoPurchase *p)
{
	MemoryContext old_context = MemoryContextSwitchTo(batch->calls.context);
	EcoEntry   *entry = palloc(sizeof(EcoEntry));

	eco_purchase_entry(p, entry);
	eco_calls_book(&batch->calls, call, entry);
	MemoryContextSwitchTo(old_context);
	if (p->product.counted)
		eco_units_add(&p->units, p->quantity, entry->created_at);
	eco_purchase_made(p, entry);
}

/* For the next one; but where user code runs at writes, it must find them written. */
static void
keep_units(Batch *batch, const EcoCallOf *call, EcoPurchase *p)
{
	EcoUnits  **units = &batch->units[call->like->number];

	if (p->units.row.table == NULL)
		return;					/* they were not read */
	if (batch->calls.one_by_one)
	{
		if (p->units.changed)
			eco_units_write(&p->units);
		return;
	}
	if (*units == NULL)
		*units = MemoryContextAlloc(batch->calls.context, sizeof(EcoUnits));
	**units = p->units;
}

static void
write_units(Batch *batch)
{
	for (int i = 0; i < batch->calls.n; i++)
	{
		EcoUnits   *units = batch->units[batch->calls.order[i]->number];

		CHECK_FOR_INTERRUPTS();
		if (units != NULL && units->changed)
			eco_units_write(units);
	}
}
