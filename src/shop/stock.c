/*
 * stock.c
 *		Units of limited products, spread over slots so that buyers do not queue on
 *		one row (I5).
 *
 * First pass: starting at a random slot, take one that holds enough and that
 * nobody else is changing; never wait, never keep a lock that was not used.
 * Second pass, when no slot is free: lock slots in slot order, also those that
 * looked empty (a delivery may have evened them out meanwhile), and gather.  Only
 * that pass waits, for one slot; it keeps that, and the purchase looks at everything
 * anew, the product too.  What it holds of the product are the slots below the one
 * it waits for, so buyers of one product cannot deadlock.
 *
 * "Sold out" is said when nothing was left in a snapshot taken under the account's
 * lock, or when all slots, locked by us, hold too little together.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "common/pg_prng.h"

#include "crash_point.h"
#include "ledger/rows.h"
#include "shop/product.h"

#define MAX_SLOTS 64

enum
{
	STK_PRODUCT_ID,
	STK_SLOT,
	STK_REMAINING,
	STK_COLUMNS
};

EcoTable	eco_shop_stock = {
	.name = "shop_stock",
	.ncolumns = STK_COLUMNS,
	.columns = {
		{"product_id", TEXTOID, false},
		{"slot", INT2OID, false},
		{"remaining", INT8OID, true},
	},
	.nkeys = 1,
	.keys = {{2, {STK_PRODUCT_ID, STK_SLOT}}},
};

static int	read_slots(const EcoProduct *product, EcoRow *slots, int64 *total);
static bool take_free(EcoRow *slots, int nslots, int32 units, int16 *slot);
static EcoStock gather(EcoRow *slots, int nslots, int32 units,
					   int64 *remaining, int16 *slot);
static void write_slot(EcoRow *row, int64 units);

EcoStock
eco_stock_take(const EcoProduct *product, int32 units, bool take,
			   int64 *remaining, int16 *slot)
{
	EcoRow	   *slots = palloc(sizeof(EcoRow) * MAX_SLOTS);
	int			nslots = read_slots(product, slots, remaining);
	EcoStock	answer = *remaining >= units ? ECO_STOCK_TAKEN : ECO_STOCK_SOLD_OUT;

	if (answer == ECO_STOCK_TAKEN && (!take || take_free(slots, nslots, units, slot)))
		*remaining -= units;
	else if (take && *remaining > 0)
		answer = gather(slots, nslots, units, remaining, slot);
	if (take && answer == ECO_STOCK_SOLD_OUT)
		eco_rows_must_be_newest(&eco_shop_stock, 0, 0, 1, &product->product_id.datum);
	pfree(slots);
	return answer;
}

static int
read_slots(const EcoProduct *product, EcoRow *slots, int64 *total)
{
	EcoScan    *scan;
	int			n = 0;

	*total = 0;
	scan = eco_scan_begin(&eco_shop_stock, 0, 0, 1, &product->product_id.datum);
	while (n < MAX_SLOTS && eco_scan_next(scan, &slots[n]))
		*total += eco_row_int(&slots[n++], STK_REMAINING);
	eco_scan_end(scan);
	return n;
}

static bool
take_free(EcoRow *slots, int nslots, int32 units, int16 *slot)
{
	int			start = (int) pg_prng_uint64_range(&pg_global_prng_state, 0, nslots - 1);

	for (int i = 0; i < nslots; i++)
	{
		EcoRow	   *row = &slots[(start + i) % nslots];

		if (eco_row_int(row, STK_REMAINING) < units ||
			eco_row_lock(row, 0, ECO_SKIP) != ECO_LOCKED)
			continue;
		*slot = DatumGetInt16(row->values[STK_SLOT]);
		write_slot(row, units);
		return true;
	}
	return false;
}

/* Changes a slot only once it is certain that they hold enough together. */
static EcoStock
gather(EcoRow *slots, int nslots, int32 units, int64 *remaining, int16 *slot)
{
	int64		gathered = 0;
	int64		wanted = units;
	int			nlocked;

	for (nlocked = 0; nlocked < nslots && gathered < units; nlocked++)
	{
		if (eco_row_lock(&slots[nlocked], 0, ECO_WAIT) != ECO_LOCKED)
			return ECO_STOCK_AGAIN;
		gathered += eco_row_int(&slots[nlocked], STK_REMAINING);
	}
	if (gathered < units)
	{
		*remaining = gathered;
		return ECO_STOCK_SOLD_OUT;
	}
	*slot = -1;
	for (int i = 0; i < nlocked && wanted > 0; i++)
	{
		int64		part = Min(wanted, eco_row_int(&slots[i], STK_REMAINING));

		if (part == 0)
			continue;
		if (*slot < 0)
			*slot = DatumGetInt16(slots[i].values[STK_SLOT]);
		write_slot(&slots[i], part);
		wanted -= part;
	}
	*remaining = Max(*remaining - units, 0);
	return ECO_STOCK_TAKEN;
}

static void
write_slot(EcoRow *row, int64 units)
{
	row->values[STK_REMAINING] = Int64GetDatum(eco_row_int(row, STK_REMAINING) - units);
	eco_row_update(row, 0);
	ECO_CRASH_POINT("stock:after_slot");
}
