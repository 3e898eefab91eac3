/*
 * limit.c
 *		How much of a product a user bought, for limits per user (I5).
 *
 * The units stand in the user's account, or in a row of their own, ever and for the
 * day, week and month of the newest purchase, so that a limit costs the same after
 * one purchase and after a million.  They are written with every purchase of a product
 * that ever had a per_user_limit (shop_products.counted), and what they say is what the
 * entries add up to.  Where there are none yet, and for a period before the newest
 * purchase's (a clock that was set back), the entries are counted, and what stays of
 * those that were archived.
 *
 * limit_once keeps nothing: one look at the journal's index tells, next to where the
 * key was looked for.  A shop of a thousand things to have once would fill the account
 * with what no purchase ever counts again.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/date.h"
#include "utils/timestamp.h"

#include "core/digest.h"
#include "crash_point.h"
#include "errors.h"
#include "ledger/archive.h"
#include "shop/journal.h"
#include "shop/limit.h"
#include "shop/refunds.h"

enum
{
	UNI_USER_ID,
	UNI_PRODUCT_ID,
	UNI_UNITS,
	UNI_DAY,					/* in the order of EcoPeriod */
	UNI_WEEK,
	UNI_MONTH,
	UNI_LAST_ON,
	UNI_COLUMNS
};

EcoTable	eco_shop_user_units_more = {
	.name = "shop_user_units_more",
	.internal = true,
	.ncolumns = UNI_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"product_id", TEXTOID, false},
		{"units", INT8OID, true},
		{"day_units", INT8OID, true},
		{"week_units", INT8OID, true},
		{"month_units", INT8OID, true},
		{"last_on", DATEOID, true},
	},
	.nkeys = 1,
	.keys = {{2, {UNI_USER_ID, UNI_PRODUCT_ID}}},
};

ECO_NORETURN static void
damaged(int64 user_id)
{
	ECO_ERROR(ECO_LEDGER_DAMAGED,
			  errmsg("account of user %lld has damaged units of products", (long long) user_id));
}

static int32
date_of(TimestampTz at)
{
	return (int32) eco_period_of(ECO_PERIOD_DAY, at);
}

bool
eco_units_need_row(const EcoAccount *account, const EcoText *product_id)
{
	EcoSection	section;
	EcoReader	reader;
	bool		more;

	(void) eco_account_section(account, ECO_SECTION_UNITS, &section);
	eco_units_read(&reader, &section, &more);
	return more ||
		section.len + ECO_UNITS_MAX - ECO_UNITS_ID + product_id->len >= ECO_UNITS_ROOM;
}

/* In the account; false: not there, and *more says whether a row may have it. */
static bool
find_packed(EcoUnits *units, const EcoAccount *account, bool *more)
{
	const EcoText *id = &units->product_id;
	EcoUnitsOf	of = {.id = ""};
	EcoSection	section;
	EcoReader	reader;

	(void) eco_account_section(account, ECO_SECTION_UNITS, &section);
	eco_units_read(&reader, &section, more);
	while (eco_units_next(&reader, &of))
		if (of.len == id->len && memcmp(of.id, id->data, id->len) == 0)
		{
			units->of = of;
			return true;
		}
	if (reader.damaged)
		damaged(units->user_id);
	return false;
}

static bool
find_row(EcoUnits *units)
{
	Datum		key[2] = {Int64GetDatum(units->user_id), units->product_id.datum};
	EcoRow	   *row = &units->row;

	if (!eco_row_find(&eco_shop_user_units_more, units->user_id, 0, 2, key, row))
		return false;
	/* lives as long as what was asked for, not as what was read */
	row->values[UNI_PRODUCT_ID] = units->product_id.datum;
	for (int period = ECO_PERIOD_EVER; period <= ECO_PERIOD_MONTH; period++)
		units->of.units[period] = eco_row_int(row, UNI_UNITS + period);
	units->of.last_on = DatumGetDateADT(row->values[UNI_LAST_ON]);
	if (!eco_units_sound(&units->of))
		damaged(units->user_id);
	units->has_row = units->row_stored = true;
	return true;
}

bool
eco_units_load(EcoUnits *units, const EcoAccount *account, const EcoText *product_id)
{
	bool		more;
	bool		found;

	units->of = (EcoUnitsOf)
	{
		.last_on = 0
	};
	units->product_id = *product_id;
	units->user_id = account->user_id;
	units->has_archive = account->pruned_seq > 0;
	units->has_row = units->row_stored = false;
	units->changed = units->unwritten = false;
	units->refunded = 0;
	found = find_packed(units, account, &more) || (more && find_row(units));
	/* what was found in the section goes with it */
	units->of.id = product_id->data;
	units->of.len = product_id->len;
	return found;
}

static EcoScan *
purchases(int64 user_id, const EcoText *product_id)
{
	Datum		values[2] = {Int64GetDatum(user_id), product_id->datum};

	return eco_scan_begin(&eco_shop_transactions, user_id, ECO_TXN_BY_KEY, ECO_TXN_OF_PRODUCT,
						  values);
}

/* Told of the units of a purchase that were not taken back, if there are any; false: enough. */
typedef bool (*UnitsSeen) (void *state, int32 quantity, TimestampTz at);

/* Looked up with the first purchase: whoever has bought nothing has no refund. */
static const EcoTakenBack *
taken_back(EcoTakenBack *back, const EcoUnits *units)
{
	if (back->is_known)
		return back;
	*back = eco_taken_back(units->user_id, &units->product_id);
	if (units->refunded > 0)
		eco_taken_back_add(back, units->refunded_seq, units->refunded);
	return back;
}

static bool
see_left(const EcoTakenBack *back, int64 seq, int64 quantity, Datum created_at, UnitsSeen see,
		 void *state)
{
	int64		left = quantity - eco_taken_back_of(back, seq);

	CHECK_FOR_INTERRUPTS();
	return left <= 0 || see(state, (int32) left, DatumGetTimestampTz(created_at));
}

/* Those in the journal, and what stays of archived ones. */
static void
each_purchase(const EcoUnits *units, UnitsSeen see, void *state)
{
	EcoTakenBack back = {0};
	EcoScan    *scan = purchases(units->user_id, &units->product_id);
	EcoRow		entry;
	bool		more = true;

	while (more && eco_scan_next(scan, &entry))
		more = see_left(taken_back(&back, units), eco_row_int(&entry, ECO_COL_SEQ),
						DatumGetInt32(entry.values[TXN_QUANTITY]),
						entry.values[ECO_COL_CREATED_AT], see, state);
	eco_scan_end(scan);
	if (!more || !units->has_archive)
		return;
	scan = eco_archived_begin(units->user_id, &units->product_id);
	while (more && eco_scan_next(scan, &entry))
		more = see_left(taken_back(&back, units), eco_row_int(&entry, AKY_SEQ),
						eco_row_int(&entry, AKY_QUANTITY), entry.values[AKY_CREATED_AT],
						see, state);
	eco_scan_end(scan);
}

static bool
add_one(void *units, int32 quantity, TimestampTz at)
{
	eco_units_add(units, quantity, at);
	return true;
}

void
eco_units_count_all(EcoUnits *units)
{
	each_purchase(units, add_one, units);
}

typedef struct Past
{
	EcoPeriod	period;
	int64		number;
	int64		total;
} Past;

static bool
add_past(void *state, int32 quantity, TimestampTz at)
{
	Past	   *past = state;

	if (eco_period_of(past->period, at) == past->number)
		past->total += quantity;
	return true;
}

/* Count the units of a period in the entries; only a clock that was set back asks. */
static int64
count_past(const EcoUnits *units, EcoPeriod period, int64 number)
{
	Past		past = {.period = period, .number = number};

	each_purchase(units, add_past, &past);
	return past.total;
}

bool
eco_units_are_past(const EcoUnits *units, EcoPeriod period, TimestampTz at)
{
	const EcoUnitsOf *of = &units->of;
	int64		number = eco_period_of(period, at);
	int64		last = eco_period_of_day(period, of->last_on);

	return eco_units_ever(units) && (number < last || (number == last && of->units[period] == 0));
}

int64
eco_units_in(const EcoUnits *units, EcoPeriod period, TimestampTz at)
{
	const EcoUnitsOf *of = &units->of;
	int64		number = eco_period_of(period, at);

	if (eco_units_are_past(units, period, at))
		return count_past(units, period, number);
	return number > eco_period_of_day(period, of->last_on) ? 0 : of->units[period];
}

void
eco_units_add(EcoUnits *units, int32 quantity, TimestampTz at)
{
	eco_units_count(&units->of, quantity, date_of(at));
	units->changed = true;
}

/* The account with the product, or without it, and whether there are rows of others. */
static bool
pack(const EcoUnits *units, EcoAccount *account, TimestampTz at, bool keep, bool more)
{
	EcoSection	section;
	EcoReader	reader;
	bool		was_more;
	uint8		payload[ECO_UNITS_ROOM + 1 + ECO_UNITS_MAX];

	(void) eco_account_section(account, ECO_SECTION_UNITS, &section);
	eco_units_read(&reader, &section, &was_more);
	section.len = reader.damaged ? 0 :
		eco_units_put(&section, more, &units->of, keep, date_of(at), payload);
	if (section.len == 0)
		damaged(account->user_id);
	if (section.len > ECO_UNITS_ROOM)
		return false;
	/* who has bought none has no section */
	if (section.len == 1 && payload[0] == 0)
		section.len = 0;
	section.version = ECO_UNITS_VERSION;
	section.data = payload;
	eco_account_set_section(account, ECO_SECTION_UNITS, &section);
	return true;
}

static bool
has_rows(const EcoAccount *account)
{
	EcoSection	section;
	EcoReader	reader;
	bool		more;

	(void) eco_account_section(account, ECO_SECTION_UNITS, &section);
	eco_units_read(&reader, &section, &more);
	return more;
}

/* Whether the user has a row of another product. */
static bool
has_other_rows(const EcoUnits *units)
{
	Datum		user = Int64GetDatum(units->user_id);
	EcoScan    *scan = eco_scan_begin(&eco_shop_user_units_more, units->user_id, 0, 1, &user);
	EcoRow		row;
	bool		found = false;

	while (!found && eco_scan_next(scan, &row))
	{
		EcoText		other = eco_text_in(row.values[UNI_PRODUCT_ID]);

		CHECK_FOR_INTERRUPTS();
		found = other.len != units->product_id.len ||
			memcmp(other.data, units->product_id.data, other.len) != 0;
	}
	eco_scan_end(scan);
	return found;
}

/* None is left: nothing stands anywhere, as before the first purchase. */
static void
forget(EcoUnits *units, EcoAccount *account, TimestampTz at)
{
	units->unwritten = units->row_stored;
	(void) pack(units, account, at, false,
				units->row_stored ? has_other_rows(units) : has_rows(account));
}

void
eco_units_save(EcoUnits *units, EcoAccount *account, TimestampTz at)
{
	if (!units->changed)
		return;
	units->changed = false;
	if (!eco_units_ever(units))
	{
		forget(units, account, at);
		return;
	}
	if (!units->has_row && pack(units, account, at, true, has_rows(account)))
		return;
	if (!units->has_row)
		(void) pack(units, account, at, false, true);
	units->has_row = true;
	units->unwritten = true;
}

void
eco_units_take_back(EcoUnits *units, EcoAccount *account, int64 seq, int32 quantity,
					TimestampTz at)
{
	EcoText		product_id = units->product_id;

	if (!eco_units_load(units, account, &product_id))
		return;
	memset(units->of.units, 0, sizeof(units->of.units));
	units->refunded_seq = seq;
	units->refunded = quantity;
	eco_units_count_all(units);
	units->changed = true;
	eco_units_save(units, account, at);
}

void
eco_units_write(EcoUnits *units)
{
	EcoRow	   *row = &units->row;

	if (!units->unwritten)
		return;
	units->unwritten = false;
	if (!eco_units_ever(units))
	{
		eco_rows_delete(&row, 1, units->user_id);
		units->row_stored = units->has_row = false;
		return;
	}
	if (!units->row_stored)
	{
		eco_row_init(row, &eco_shop_user_units_more);
		eco_row_set(row, UNI_USER_ID, Int64GetDatum(units->user_id));
		eco_row_set(row, UNI_PRODUCT_ID, units->product_id.datum);
	}
	for (int period = ECO_PERIOD_EVER; period <= ECO_PERIOD_MONTH; period++)
		eco_row_set(row, UNI_UNITS + period, Int64GetDatum(units->of.units[period]));
	eco_row_set(row, UNI_LAST_ON, DateADTGetDatum(units->of.last_on));
	ECO_CRASH_POINT("limit:before_units");
	if (units->row_stored)
		eco_row_update(row, units->user_id);
	else
		eco_row_insert(row, units->user_id);
	units->row_stored = true;
	ECO_CRASH_POINT("limit:after_units");
}

static void
read_bought(EcoBought *bought, const EcoAccount *account)
{
	bought->is_read = true;
	bought->n = account->pruned_seq > 0 ? -1 :
		eco_digests_read(&eco_shop_transactions, account->user_id, bought->digests,
						 lengthof(bought->digests));
}

bool
eco_bought_perhaps(EcoBought *bought, const EcoAccount *account, const EcoText *product_id)
{
	int64		least = eco_digest_least(product_id->data, product_id->len);

	if (!bought->is_read)
		read_bought(bought, account);
	for (int i = 0; i < bought->n; i++)
		if (bought->digests[i] >= least && bought->digests[i] <= eco_digest_most(least))
			return true;
	return bought->n < 0;
}

static bool
note_any(void *any, int32 quantity, TimestampTz at)
{
	(void) quantity;
	(void) at;
	*(bool *) any = true;
	return false;
}

bool
eco_units_any(const EcoAccount *account, const EcoText *product_id)
{
	EcoUnits	units = {
		.user_id = account->user_id, .product_id = *product_id,
		.has_archive = account->pruned_seq > 0
	};
	bool		any = false;

	each_purchase(&units, note_any, &any);
	return any;
}
