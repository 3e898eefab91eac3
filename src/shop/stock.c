/*
 * stock.c
 *		Units of limited products, spread over slots so that buyers do not queue on
 *		one row (I5).
 *
 * First pass: starting at a random slot, take one that holds enough and that
 * nobody else is changing; never wait, never keep a lock that was not used.
 * Second pass, when no slot is free: gather from those that are, in an attempt.
 * When they hold too little, it is taken back, and one of the others is waited for
 * with empty hands.  That one is kept, and the purchase looks at everything anew,
 * the product too.  So buyers of one product cannot deadlock, and nobody, whatever
 * he asks for, holds what others could buy while he waits or is refused.
 *
 * "Sold out" is said when too little is left in a snapshot taken under the account's
 * lock: a running transaction that takes units can give back no more than what
 * the snapshot still sees there.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "common/pg_prng.h"

#include "crash_point.h"
#include "ledger/rows.h"
#include "shop/stock.h"

#define MAX_SLOTS ECO_MAX_SLOTS

enum
{
	STK_PRODUCT_ID,
	STK_SLOT,
	STK_REMAINING,
	STK_COLUMNS
};

typedef struct Locked
{
	int			n;
	int16		slot[MAX_SLOTS];	/* ascending */
} Locked;

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

static int	read_slots(EcoTable *table, const EcoText *name, int known, EcoRow *slots,
					   int64 *total);
static bool take_free(EcoRow *slots, int nslots, int64 units, int16 *slot);
static EcoStock gather(EcoRow *slots, int nslots, int64 units, EcoStockHow how,
					   EcoAttempt *attempt, int16 *slot);
static void take_parts(EcoRow *slots, int nslots, const bool *locked, int64 wanted, int16 *slot);
static void write_slot(EcoRow *row, int64 units);

EcoStock
eco_stock_take(EcoTable *table, const EcoText *name, int known, int64 units, EcoStockHow how,
			   EcoAttempt *attempt, int64 *remaining, int16 *slot)
{
	EcoRow	   *slots = palloc(sizeof(EcoRow) * MAX_SLOTS);
	int			nslots = read_slots(table, name, known, slots, remaining);
	bool		take = how != ECO_STOCK_LOOK;
	EcoStock	answer = *remaining >= units ? ECO_STOCK_TAKEN : ECO_STOCK_SOLD_OUT;

	if (answer == ECO_STOCK_TAKEN && take && !take_free(slots, nslots, units, slot))
		answer = gather(slots, nslots, units, how, attempt, slot);
	if (answer == ECO_STOCK_TAKEN)
		*remaining -= units;
	if (take && answer == ECO_STOCK_SOLD_OUT)
		eco_rows_must_be_newest(table, 0, 0, 1, &name->datum);
	pfree(slots);
	return answer;
}

/* known: how many there are, or 0 */
static int
read_slots(EcoTable *table, const EcoText *name, int known, EcoRow *slots, int64 *total)
{
	int			n = eco_rows_find(table, 0, 1, &name->datum, known, slots);

	*total = 0;
	for (int i = 0; i < n; i++)
		*total += eco_row_int(&slots[i], STK_REMAINING);
	return n;
}

static bool
take_free(EcoRow *slots, int nslots, int64 units, int16 *slot)
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

/*
 * Take the units from several slots: lock those that nobody else has, and change one
 * only when the locked ones hold enough together.  In the snapshot all slots together
 * do; so when the locked ones do not, somebody has another that holds units, and
 * that one is waited for.
 */
static EcoStock
gather(EcoRow *slots, int nslots, int64 units, EcoStockHow how,
	   EcoAttempt *attempt, int16 *slot)
{
	bool		locked[MAX_SLOTS] = {false};
	int64		gathered = 0;
	int			held = 0;
	int			nheld = 0;

	if (!attempt->open)
		eco_attempt_begin(attempt);
	for (int i = 0; i < nslots && gathered < units; i++)
	{
		if (eco_row_int(&slots[i], STK_REMAINING) == 0)
			continue;
		locked[i] = eco_row_lock(&slots[i], 0, ECO_SKIP) == ECO_LOCKED;
		if (locked[i])
			gathered += eco_row_int(&slots[i], STK_REMAINING);
		else if (pg_prng_uint64_range(&pg_global_prng_state, 0, nheld++) == 0)
			held = i;
	}
	if (gathered >= units)
	{
		take_parts(slots, nslots, locked, units, slot);
		return ECO_STOCK_TAKEN;
	}
	eco_attempt_undo(attempt);
	if (how == ECO_STOCK_TRY)
		return ECO_STOCK_BUSY;
	eco_attempt_begin(attempt);
	(void) eco_row_lock(&slots[held], 0, ECO_WAIT);
	return ECO_STOCK_AGAIN;
}

static void
take_parts(EcoRow *slots, int nslots, const bool *locked, int64 wanted, int16 *slot)
{
	*slot = -1;
	for (int i = 0; i < nslots && wanted > 0; i++)
	{
		int64		part = locked[i] ? Min(wanted, eco_row_int(&slots[i], STK_REMAINING)) : 0;

		if (part == 0)
			continue;
		if (*slot < 0)
			*slot = DatumGetInt16(slots[i].values[STK_SLOT]);
		write_slot(&slots[i], part);
		wanted -= part;
	}
}

static void
write_slot(EcoRow *row, int64 units)
{
	row->values[STK_REMAINING] = Int64GetDatum(eco_row_int(row, STK_REMAINING) - units);
	eco_row_update(row, 0);
	ECO_CRASH_POINT("stock:after_slot");
}

/*
 * Lock slots that hold so many units together: those that nobody has, or, with
 * ECO_WAIT, all that hold any.  False: there are fewer.
 */
static bool
lock_slots(const EcoText *product_id, int64 units, EcoWait wait, Locked *locked)
{
	EcoRow	   *slots = palloc(sizeof(EcoRow) * MAX_SLOTS);
	int64		total;
	int			nslots = read_slots(&eco_shop_stock, product_id, 0, slots, &total);
	int64		held = 0;

	locked->n = 0;
	for (int i = 0; i < nslots && (wait == ECO_WAIT || held < units); i++)
	{
		if (eco_row_int(&slots[i], STK_REMAINING) == 0 ||
			eco_row_lock(&slots[i], 0, wait) == ECO_LOCK_BUSY)
			continue;
		locked->slot[locked->n++] = DatumGetInt16(slots[i].values[STK_SLOT]);
		held += eco_row_int(&slots[i], STK_REMAINING);
	}
	pfree(slots);
	return held >= units;
}

/* The locked slots as they are now. */
static EcoReserved *
read_reserved(const EcoText *product_id, const Locked *locked)
{
	EcoReserved *reserved = palloc0(sizeof(EcoReserved));
	EcoRow	   *slots = palloc(sizeof(EcoRow) * MAX_SLOTS);
	int			nslots = read_slots(&eco_shop_stock, product_id, 0, slots, &reserved->others);

	reserved->product_id = *product_id;
	reserved->slots = slots;
	for (int i = 0, k = 0; i < nslots && k < locked->n; i++)
	{
		/* both are in the order of the slots */
		while (k < locked->n && locked->slot[k] < DatumGetInt16(slots[i].values[STK_SLOT]))
			k++;
		if (k == locked->n || locked->slot[k] != DatumGetInt16(slots[i].values[STK_SLOT]))
			continue;
		slots[reserved->nslots] = slots[i];
		reserved->left[reserved->nslots] = eco_row_int(&slots[i], STK_REMAINING);
		reserved->units += reserved->left[reserved->nslots++];
	}
	reserved->others -= reserved->units;
	return reserved;
}

EcoReserved *
eco_stock_reserve(const EcoText *product_id, int64 units)
{
	EcoAttempt	attempt = {0};
	Locked		locked;

	PG_TRY();
	{
		eco_attempt_begin(&attempt);
		if (lock_slots(product_id, units, ECO_SKIP, &locked))
			eco_attempt_keep(&attempt);
		else
		{
			eco_attempt_undo(&attempt);
			(void) lock_slots(product_id, units, ECO_WAIT, &locked);
		}
	}
	PG_CATCH();
	{
		eco_attempt_fail(&attempt);
	}
	PG_END_TRY();
	eco_snapshot_renew();
	return read_reserved(product_id, &locked);
}

EcoStock
eco_stock_take_reserved(EcoReserved *reserved, int32 units, int64 *remaining, int16 *slot)
{
	int64		wanted = units;
	int			n = reserved->nslots;
	int			start;

	*remaining = reserved->others + reserved->units;
	if (*remaining < units)
	{
		eco_rows_must_be_newest(&eco_shop_stock, 0, 0, 1, &reserved->product_id.datum);
		return ECO_STOCK_SOLD_OUT;
	}
	if (reserved->units < units)
		return ECO_STOCK_BUSY;
	memcpy(reserved->before, reserved->left, sizeof(reserved->left));
	start = (int) pg_prng_uint64_range(&pg_global_prng_state, 0, n - 1);
	for (int i = 0; i < n; i++)
		if (reserved->left[(start + i) % n] >= units)
		{
			start = (start + i) % n;
			break;
		}
	*slot = -1;
	for (int i = 0; wanted > 0; i++)
	{
		int64	   *left = &reserved->left[(start + i) % n];
		int64		part = Min(wanted, *left);

		if (*slot < 0 && part > 0)
			*slot = DatumGetInt16(reserved->slots[(start + i) % n].values[STK_SLOT]);
		*left -= part;
		wanted -= part;
	}
	reserved->units -= units;
	*remaining -= units;
	return ECO_STOCK_TAKEN;
}

void
eco_stock_give_back(EcoReserved *reserved, int32 units)
{
	memcpy(reserved->left, reserved->before, sizeof(reserved->left));
	reserved->units += units;
}

void
eco_stock_write(EcoReserved *reserved)
{
	for (int i = 0; i < reserved->nslots; i++)
	{
		int64		sold = eco_row_int(&reserved->slots[i], STK_REMAINING) - reserved->left[i];

		if (sold > 0)
			write_slot(&reserved->slots[i], sold);
	}
}
