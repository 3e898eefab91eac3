/*
 * reserve.c
 *		economy.reserve(): stock that is held for a user for a time (I5).
 *
 * Units that are reserved have left the slots and are in the reservation's row, in one
 * transaction, and go from there into an entry or back.  So that a call above READ
 * COMMITTED sees the reservations of its user or fails, this one writes the account,
 * though it changes nothing in it.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "crash_point.h"
#include "errors.h"
#include "ledger/call.h"
#include "shop/journal.h"
#include "shop/purchase.h"
#include "shop/reservation.h"

#define MAX_HOURS 24

/* columns of economy.reservation_result after the common ones */
enum
{
	RES_PRODUCT_ID = ECO_RES_OWN,
	RES_QUANTITY,
	RES_STATUS,
	RES_EXPIRES_AT,
	RES_STOCK_REMAINING,
	RES_USER_LIMIT_REMAINING,
	RES_DETAIL
};
#define RESERVATION_TYPES "bttttitzllj"

/* A reservation on its way from the arguments to the row that answers it. */
typedef struct Reserve
{
	EcoPurchase p;				/* what it would be to buy it */
	EcoText		key;
	int64		ttl;			/* microseconds */
	EcoResult	result;
} Reserve;

PG_FUNCTION_INFO_V1(eco_reserve);

static void read_arguments(Reserve *r, FunctionCallInfo fcinfo);
static void answer(Reserve *r, EcoCall *call);
static void answer_again(Reserve *r, const EcoRow *row);
static void make(Reserve *r, EcoCall *call);
static void refuse(Reserve *r, const char *code);

/*
 * eco_reserve(user_id bigint, product_id text, idempotency_key text, quantity integer,
 *		ttl interval, dry_run boolean) returns economy.reservation_result
 */
Datum
eco_reserve(PG_FUNCTION_ARGS)
{
	Reserve		r;
	EcoCall		call;
	Datum		detail;

	memset(&r, 0, sizeof(r));
	read_arguments(&r, fcinfo);
	if (!r.p.dry_run)
		PreventCommandIfReadOnly("economy.reserve()");
	eco_result_begin(&r.result, fcinfo, RESERVATION_TYPES);
	eco_purchase_begin(&r.p);
	eco_result_set(&r.result, ECO_RES_TRANSACTION_ID, r.key.datum);
	eco_result_set(&r.result, RES_PRODUCT_ID, r.p.product_id.datum);
	eco_result_set(&r.result, RES_QUANTITY, Int32GetDatum(r.p.quantity));

	eco_call_init(&call, &eco_purchases, r.p.user_id, NULL);
	call.tables_of_new = eco_purchase_tables(&r.p);
	call.dry_run = r.p.dry_run;
	answer(&r, &call);
	eco_call_end(&call);
	if (r.p.dry_run)
		eco_detail_bool(&r.p.detail, "dry_run", true);
	detail = eco_detail_end(&r.p.detail);
	if (detail != (Datum) 0)
		eco_result_set(&r.result, RES_DETAIL, detail);
	PG_RETURN_DATUM(eco_result_row(&r.result));
}

static void
read_arguments(Reserve *r, FunctionCallInfo fcinfo)
{
	EcoPurchase *p = &r->p;

	eco_require_arg(fcinfo, 0, "user_id");
	p->user_id = PG_GETARG_INT64(0);
	p->product_id = eco_text_arg(fcinfo, 1, "product_id", ECO_MAX_NAME);
	r->key = eco_text_arg(fcinfo, 2, "idempotency_key", ECO_MAX_KEY);
	eco_require_arg(fcinfo, 3, "quantity");
	p->quantity = PG_GETARG_INT32(3);
	if (p->quantity < 1 || p->quantity > ECO_MAX_QUANTITY)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("quantity %d is out of range", p->quantity),
				  errdetail("A reservation is of 1 to %d units.", ECO_MAX_QUANTITY));
	r->ttl = eco_seconds_arg(fcinfo, 4, "ttl", MAX_HOURS) * USECS_PER_SEC;
	eco_require_arg(fcinfo, 5, "dry_run");
	p->dry_run = PG_GETARG_BOOL(5);
	p->reserves = true;
}

static void
answer(Reserve *r, EcoCall *call)
{
	EcoRow		row;

	if (eco_call_begin(call) != ECO_CALL_NEW)
		refuse(r, "USER_NOT_FOUND");
	else if (eco_reservation_find(r->p.user_id, &r->key, &row))
		answer_again(r, &row);
	else
		make(r, call);
}

static void
refuse(Reserve *r, const char *code)
{
	eco_result_outcome(&r->result, "refused", code);
}

/* False: the detail says what differs from the first call. */
static bool
is_same(Reserve *r, const EcoRow *row)
{
	EcoDetail  *detail = &r->p.detail;
	EcoText		product = eco_text_in(row->values[RSV_PRODUCT_ID]);
	int64		ttl = eco_reservation_moment(row, RSV_EXPIRES_AT) -
	eco_reservation_moment(row, RSV_MADE_AT);

	if (product.len != r->p.product_id.len ||
		memcmp(product.data, r->p.product_id.data, product.len) != 0)
	{
		eco_detail_field(detail, "product_id", row, RSV_PRODUCT_ID);
		eco_detail_text(detail, "now", r->p.product_id.data, r->p.product_id.len);
		return false;
	}
	if (DatumGetInt32(row->values[RSV_QUANTITY]) != r->p.quantity)
	{
		eco_detail_field(detail, "quantity", row, RSV_QUANTITY);
		eco_detail_int(detail, "now", r->p.quantity);
		return false;
	}
	if (ttl == r->ttl)
		return true;
	eco_detail_str(detail, "field", "ttl");
	eco_detail_int(detail, "first", ttl / USECS_PER_SEC);
	eco_detail_int(detail, "now", r->ttl / USECS_PER_SEC);
	return false;
}

static void
answer_again(Reserve *r, const EcoRow *row)
{
	eco_result_set(&r->result, RES_STATUS, eco_reservation_status(row, eco_now()));
	eco_result_set(&r->result, RES_EXPIRES_AT, row->values[RSV_EXPIRES_AT]);
	if (is_same(r, row))
		eco_result_outcome(&r->result, "reuse", "OK");
	else
		refuse(r, "IDEMPOTENCY_MISMATCH");
}

/* How many the user has, and how many units of the product; both count against him. */
static int
count_held(EcoPurchase *p, TimestampTz at)
{
	Datum		values[2] = {Int64GetDatum(p->user_id), CStringGetTextDatum(ECO_RESERVATION_HELD)};
	EcoScan    *scan = eco_scan_begin(&eco_shop_reservations, p->user_id, RSV_OF_USER, 2, values);
	EcoRow		row;
	int			n = 0;

	p->held = 0;
	while (eco_scan_next(scan, &row))
	{
		EcoText		product = eco_text_in(row.values[RSV_PRODUCT_ID]);

		CHECK_FOR_INTERRUPTS();
		if (eco_reservation_moment(&row, RSV_EXPIRES_AT) <= at)
			continue;
		n++;
		if (product.len == p->product_id.len &&
			memcmp(product.data, p->product_id.data, product.len) == 0)
			p->held += DatumGetInt32(row.values[RSV_QUANTITY]);
	}
	eco_scan_end(scan);
	return n;
}

static void
insert(const Reserve *r, int64 after_seq, TimestampTz at)
{
	EcoRow		row;

	eco_row_init(&row, &eco_shop_reservations);
	eco_row_set(&row, RSV_USER_ID, Int64GetDatum(r->p.user_id));
	eco_row_set(&row, RSV_KEY, r->key.datum);
	eco_row_set(&row, RSV_PRODUCT_ID, r->p.product_id.datum);
	eco_row_set(&row, RSV_QUANTITY, Int32GetDatum(r->p.quantity));
	eco_row_set(&row, RSV_STOCK_SLOT, Int16GetDatum(r->p.stock_slot));
	eco_row_set(&row, RSV_AFTER_SEQ, Int64GetDatum(after_seq));
	eco_row_set(&row, RSV_STATE, CStringGetTextDatum(ECO_RESERVATION_HELD));
	eco_row_set(&row, RSV_MADE_AT, TimestampTzGetDatum(at));
	eco_row_set(&row, RSV_EXPIRES_AT, TimestampTzGetDatum(at + r->ttl));
	eco_row_set(&row, RSV_DUE_AT, TimestampTzGetDatum(at + r->ttl));
	ECO_CRASH_POINT("reserve:before_row");
	eco_row_insert(&row, r->p.user_id);
	ECO_CRASH_POINT("reserve:after_row");
}

/* What would be left to others, and to the user. */
static void
tell_left(Reserve *r, const char *refusal)
{
	const EcoPurchase *p = &r->p;
	int64		limit = p->user_limit_left - p->held - (refusal == NULL ? p->quantity : 0);

	if (p->stock_left >= 0)
		eco_result_set(&r->result, RES_STOCK_REMAINING, Int64GetDatum(p->stock_left));
	if (p->user_limit_left >= 0)
		eco_result_set(&r->result, RES_USER_LIMIT_REMAINING, Int64GetDatum(Max(limit, 0)));
}

static void
tell_new(Reserve *r, TimestampTz at)
{
	eco_result_outcome(&r->result, "new", "OK");
	eco_result_set(&r->result, RES_STATUS, CStringGetTextDatum(ECO_RESERVATION_HELD));
	eco_result_set(&r->result, RES_EXPIRES_AT, TimestampTzGetDatum(at + r->ttl));
}

static void
make(Reserve *r, EcoCall *call)
{
	EcoPurchase *p = &r->p;
	const char *refusal;
	TimestampTz at;

	p->open = call->open;
	if (count_held(p, eco_now()) >= ECO_MAX_RESERVATIONS)
	{
		eco_detail_int(&p->detail, "at_most", ECO_MAX_RESERVATIONS);
		refuse(r, "RESERVATION_LIMIT");
		return;
	}
	refusal = eco_purchase_reserve(p, &call->account);

	/*
	 * its time begins when it has the units, however long it has waited for
	 * them
	 */
	at = eco_now();
	tell_left(r, refusal);
	if (refusal == NULL)
		tell_new(r, at);
	else
		refuse(r, refusal);
	if (p->dry_run)
		return;
	/* what was counted in the journal is kept, as a purchase does */
	if (eco_purchase_save_units(p, &call->account, NULL))
		eco_units_write(&p->units);
	else if (refusal != NULL)
		return;
	eco_account_flush(&call->account);
	if (refusal == NULL)
		insert(r, call->account.seq, at);
}
