/*
 * limit.c
 *		How much of a product a user bought, for limits per user (I5).
 *
 * The units stand in a row per user and product, ever and for the day, week and
 * month of the newest purchase, so that a limit costs the same after one
 * purchase and after a million.  The row is written with every purchase of a
 * product that ever had a limit (shop_products.counted), and what it says is
 * what the entries add up to.  Where there is none yet, and for a period before
 * the newest purchase's (a clock that was set back), the entries are counted.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "crash_point.h"
#include "shop/journal.h"
#include "shop/limit.h"

enum
{
	UNI_USER_ID,
	UNI_PRODUCT_ID,
	UNI_UNITS,
	UNI_DAY,					/* in the order of EcoPeriod */
	UNI_WEEK,
	UNI_MONTH,
	UNI_LAST_AT,
	UNI_COLUMNS
};

EcoTable	eco_shop_user_units = {
	.name = "shop_user_units",
	.internal = true,
	.ncolumns = UNI_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"product_id", TEXTOID, false},
		{"units", INT8OID, true},
		{"day_units", INT8OID, true},
		{"week_units", INT8OID, true},
		{"month_units", INT8OID, true},
		{"last_at", TIMESTAMPTZOID, true},
	},
	.nkeys = 1,
	.keys = {{2, {UNI_USER_ID, UNI_PRODUCT_ID}}},
};

static void
count(EcoRow *row, int32 quantity, TimestampTz at)
{
	bool		first = row->isnull[UNI_LAST_AT];
	TimestampTz last = first ? at : DatumGetTimestampTz(row->values[UNI_LAST_AT]);

	for (int period = ECO_PERIOD_EVER; period <= ECO_PERIOD_MONTH; period++)
	{
		int			column = UNI_UNITS + period;
		int64		now = eco_period_of(period, at);
		int64		before = eco_period_of(period, last);
		int64		units = first || now > before ? 0 : eco_row_int(row, column);

		eco_row_set(row, column, Int64GetDatum(units + (now >= before ? quantity : 0)));
	}
	eco_row_set(row, UNI_LAST_AT, TimestampTzGetDatum(Max(last, at)));
}

static EcoScan *
purchases(int64 user_id, Datum product_id)
{
	Datum		values[2] = {Int64GetDatum(user_id), product_id};

	return eco_scan_begin(&eco_shop_transactions, user_id, ECO_TXN_BY_KEY, 2, values);
}

static bool
find(EcoUnits *units, int64 user_id, Datum product_id)
{
	Datum		key[2] = {Int64GetDatum(user_id), product_id};

	units->exists = eco_row_find(&eco_shop_user_units, user_id, 0, 2, key, &units->row);
	/* lives as long as what was asked for, not as what was read */
	if (units->exists)
		units->row.values[UNI_PRODUCT_ID] = product_id;
	return units->exists;
}

static void
count_all(EcoRow *row, int64 user_id, Datum product_id)
{
	EcoScan    *scan = purchases(user_id, product_id);
	EcoRow		entry;

	eco_row_init(row, &eco_shop_user_units);
	eco_row_set(row, UNI_USER_ID, Int64GetDatum(user_id));
	eco_row_set(row, UNI_PRODUCT_ID, product_id);
	while (eco_scan_next(scan, &entry))
	{
		CHECK_FOR_INTERRUPTS();
		count(row, DatumGetInt32(entry.values[TXN_QUANTITY]),
			  DatumGetTimestampTz(entry.values[ECO_COL_CREATED_AT]));
	}
	eco_scan_end(scan);
}

void
eco_units_load(EcoUnits *units, int64 user_id, const EcoText *product_id, bool keep)
{
	units->changed = false;
	if (find(units, user_id, product_id->datum))
		return;
	count_all(&units->row, user_id, product_id->datum);
	if (units->row.isnull[UNI_LAST_AT] || !keep)
		return;
	eco_row_insert(&units->row, user_id);
	eco_snapshot_renew();
	(void) find(units, user_id, product_id->datum);
}

/* Count the units of a period that is over; only a clock that was set back asks. */
static int64
count_past(const EcoUnits *units, EcoPeriod period, int64 number)
{
	int64		total = 0;
	EcoScan    *scan = purchases(eco_row_int(&units->row, UNI_USER_ID),
								 units->row.values[UNI_PRODUCT_ID]);
	EcoRow		entry;

	while (eco_scan_next(scan, &entry))
	{
		CHECK_FOR_INTERRUPTS();
		if (eco_period_of(period, DatumGetTimestampTz(entry.values[ECO_COL_CREATED_AT])) == number)
			total += DatumGetInt32(entry.values[TXN_QUANTITY]);
	}
	eco_scan_end(scan);
	return total;
}

int64
eco_units_in(const EcoUnits *units, EcoPeriod period, TimestampTz at)
{
	int64		number = eco_period_of(period, at);
	int64		last;

	if (units->row.isnull[UNI_LAST_AT])
		return 0;
	last = eco_period_of(period, DatumGetTimestampTz(units->row.values[UNI_LAST_AT]));
	if (number > last)
		return 0;
	return number == last ? eco_row_int(&units->row, UNI_UNITS + period) :
		count_past(units, period, number);
}

void
eco_units_add(EcoUnits *units, int32 quantity, TimestampTz at)
{
	count(&units->row, quantity, at);
	units->changed = true;
}

void
eco_units_write(EcoUnits *units)
{
	int64		user_id = eco_row_int(&units->row, UNI_USER_ID);

	ECO_CRASH_POINT("limit:before_units");
	if (units->exists)
		eco_row_update(&units->row, user_id);
	else
		eco_row_insert(&units->row, user_id);
	units->changed = false;
	ECO_CRASH_POINT("limit:after_units");
}

bool
eco_units_any(int64 user_id, const EcoText *product_id)
{
	EcoScan    *scan = purchases(user_id, product_id->datum);
	EcoRow		entry;
	bool		any = eco_scan_next(scan, &entry);

	eco_scan_end(scan);
	return any;
}
