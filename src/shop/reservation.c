/*
 * reservation.c
 *		How a purchase uses what is reserved, and what is over is given back (I5).
 *
 * The account's lock guards which reservations a user has; the row's own lock, which of
 * the ways one goes: used, released, or over.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "crash_point.h"
#include "shop/reservation.h"

/* how long the row of one that is over is kept, for retries */
#define KEEP_DAYS 30

EcoTable	eco_shop_reservations = {
	.name = "shop_reservations",
	.later = true,
	.ncolumns = RSV_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"idempotency_key", TEXTOID, false},
		{"product_id", TEXTOID, false},
		{"quantity", INT4OID, false},
		{"stock_slot", INT2OID, false},
		{"after_seq", INT8OID, false},
		{"state", TEXTOID, ECO_MUTABLE},
		{"made_at", TIMESTAMPTZOID, false},
		{"expires_at", TIMESTAMPTZOID, false},
		{"due_at", TIMESTAMPTZOID, ECO_MUTABLE},
		{"closed_at", TIMESTAMPTZOID, ECO_MUTABLE | ECO_NULLABLE},
		{"seq", INT8OID, ECO_MUTABLE | ECO_NULLABLE},
	},
	.nkeys = 3,
	.keys = {
		{2, {RSV_USER_ID, RSV_KEY}},
		{2, {RSV_USER_ID, RSV_STATE}},
		{3, {RSV_PRODUCT_ID, RSV_STATE, RSV_DUE_AT}},
	},
};

bool
eco_reservation_find(int64 user_id, const EcoText *name, EcoRow *row)
{
	Datum		values[2] = {Int64GetDatum(user_id), name->datum};

	return eco_row_find(&eco_shop_reservations, user_id, RSV_BY_NAME, 2, values, row);
}

static bool
is_held(EcoText state)
{
	return state.len == (int) strlen(ECO_RESERVATION_HELD) &&
		memcmp(state.data, ECO_RESERVATION_HELD, state.len) == 0;
}

Datum
eco_reservation_status(const EcoRow *row, TimestampTz at)
{
	if (is_held(eco_text_in(row->values[RSV_STATE])) &&
		eco_reservation_moment(row, RSV_EXPIRES_AT) <= at)
		return CStringGetTextDatum("expired");
	return row->values[RSV_STATE];
}

/* Why it cannot be used, or NULL. */
static const char *
refusal_of(const EcoReservationUse *use, const EcoRow *row, EcoDetail *detail)
{
	EcoText		product = eco_text_in(row->values[RSV_PRODUCT_ID]);
	int32		quantity = DatumGetInt32(row->values[RSV_QUANTITY]);
	EcoText		status;

	if (product.len != use->product_id.len ||
		memcmp(product.data, use->product_id.data, product.len) != 0)
	{
		eco_detail_str(detail, "field", "product_id");
		eco_detail_text(detail, "reserved", product.data, product.len);
		return "RESERVATION_MISMATCH";
	}
	if (quantity != use->quantity)
	{
		eco_detail_str(detail, "field", "quantity");
		eco_detail_int(detail, "reserved", quantity);
		return "RESERVATION_MISMATCH";
	}
	status = eco_text_in(eco_reservation_status(row, eco_now()));
	if (is_held(status))
		return NULL;
	eco_detail_text(detail, "status", status.data, status.len);
	eco_detail_moment(detail, "expires_at", eco_reservation_moment(row, RSV_EXPIRES_AT));
	return "RESERVATION_CLOSED";
}

static void
write_used(EcoRow *row, const EcoReservationUse *use)
{
	TimestampTz at = eco_now();

	eco_row_set(row, RSV_STATE, CStringGetTextDatum(use->ordered ? "ordered" : "used"));
	eco_row_set(row, RSV_CLOSED_AT, TimestampTzGetDatum(at));
	eco_row_set(row, RSV_DUE_AT, TimestampTzGetDatum(at + KEEP_DAYS * USECS_PER_DAY));
	if (!use->ordered)
		eco_row_set(row, RSV_SEQ, Int64GetDatum(use->seq));
	eco_row_update(row, use->user_id);
	ECO_CRASH_POINT("reserve:after_use");
}

bool
eco_reservation_use(const EcoReservationUse *use, EcoDetail *detail, const char **refusal,
					int16 *slot)
{
	EcoRow		row;

	if (!eco_reservation_find(use->user_id, &use->name, &row))
	{
		*refusal = "RESERVATION_NOT_FOUND";
		return true;
	}
	*refusal = refusal_of(use, &row, detail);
	if (*refusal != NULL || use->seq == 0)
		return true;
	if (eco_row_lock(&row, use->user_id, ECO_WAIT) != ECO_LOCKED)
		return false;
	*slot = DatumGetInt16(row.values[RSV_STOCK_SLOT]);
	write_used(&row, use);
	return true;
}

static EcoScan *
scan_held(const EcoText *product_id)
{
	Datum		values[2] = {product_id->datum, CStringGetTextDatum(ECO_RESERVATION_HELD)};

	return eco_scan_begin(&eco_shop_reservations, 0, RSV_OF_PRODUCT, 2, values);
}

static bool
next_over(EcoScan *scan, TimestampTz at, EcoRow *row)
{
	return eco_scan_next(scan, row) && eco_reservation_moment(row, RSV_DUE_AT) <= at;
}

int64
eco_reservations_over(const EcoText *product_id)
{
	TimestampTz at = eco_now();
	EcoScan    *scan = scan_held(product_id);
	EcoRow		row;
	int64		units = 0;

	while (next_over(scan, at, &row))
	{
		CHECK_FOR_INTERRUPTS();
		units += DatumGetInt32(row.values[RSV_QUANTITY]);
	}
	eco_scan_end(scan);
	return units;
}

EcoGivenBack
eco_reservations_give_back(const EcoText *product_id)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {product_id->datum};
	int64		number;

	number = DatumGetInt64(eco_run_as_owner("SELECT economy_internal.give_back_over($1)", 1,
											types, values));
	if (number < 0)
		return ECO_GIVEN_BUSY;
	return number > 0 ? ECO_GIVEN_BACK : ECO_GIVEN_NONE;
}

void
eco_reservations_await(const EcoText *product_id)
{
	EcoScan    *scan = scan_held(product_id);
	EcoRow		row;
	bool		found = next_over(scan, eco_now(), &row);

	eco_scan_end(scan);
	if (found)
		(void) eco_row_lock(&row, DatumGetInt64(row.values[RSV_USER_ID]), ECO_WAIT);
}
