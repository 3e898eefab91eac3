/*
 * order.c
 *		Orders, as a purchase sees them.
 *
 * Who places one holds the account, and has written it, so that a call above READ COMMITTED
 * sees all orders of its user or fails.  What becomes of an order is src/settle's.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "crash_point.h"
#include "errors.h"
#include "ledger/holdings.h"
#include "shop/order.h"

EcoTable	eco_payment_orders = {
	.name = "payment_orders",
	.only_read = true,
	.later = true,
	.ncolumns = ORD_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"product_id", TEXTOID, false},
		{"idempotency_key", TEXTOID, false},
		{"order_id", UUIDOID, false},
		{"provider", TEXTOID, false},
		{"quantity", INT4OID, false},
		{"amount", INT8OID, false},
		{"currency", TEXTOID, false},
		{"state", TEXTOID, false},
		{"is_open", BOOLOID, false},
		{"expires_at", TIMESTAMPTZOID, false},
		{"context", JSONBOID, ECO_NULLABLE},
	},
	.nkeys = 2,
	.keys = {
		{3, {ORD_USER_ID, ORD_PRODUCT_ID, ORD_KEY}},
		{2, {ORD_USER_ID, ORD_IS_OPEN}},
	},
};

#define BY_KEY 0
#define OF_USER 1				/* user_id, is_open */

/* opened, but read and written in SQL alone */
EcoTable	eco_payment_order_history = {
	.name = "payment_order_history",
	.only_read = true,
	.later = true,
	.ncolumns = 2,
	.columns = {
		{"order_id", UUIDOID, false},
		{"step", INT4OID, false},
	},
	.nkeys = 1,
	.keys = {{2, {0, 1}}},
};

EcoTable	eco_paying_providers = {
	.name = "payment_providers",
	.only_read = true,
	.later = true,
	.ncolumns = 1,
	.columns = {
		{"provider", TEXTOID, false},
	},
	.nkeys = 1,
	.keys = {{1, {0}}},
};

/* members of terms */
#define GRANTED_GOLD "granted_gold"
#define GRANTED_XP "granted_xp"
#define MONETARY "monetary"
#define CONTENTS "contents"
#define EFFECT_CODE "effect_code"
#define FULFILMENT "fulfilment"
#define LIMITED "limited"

bool
eco_order_find(int64 user_id, const EcoText *product_id, const EcoText *key, EcoRow *row)
{
	Datum		values[3] = {Int64GetDatum(user_id), product_id->datum, key->datum};

	return eco_row_find(&eco_payment_orders, user_id, BY_KEY, 3, values, row);
}

bool
eco_order_is_open(const EcoRow *row)
{
	return DatumGetBool(row->values[ORD_IS_OPEN]);
}

int
eco_orders_open(int64 user_id, const EcoText *product_id, int64 *units)
{
	Datum		values[2] = {Int64GetDatum(user_id), BoolGetDatum(true)};
	EcoScan    *scan = eco_scan_begin(&eco_payment_orders, user_id, OF_USER, 2, values);
	EcoRow		row;
	int			n = 0;

	*units = 0;
	while (eco_scan_next(scan, &row))
	{
		EcoText		product = eco_text_in(row.values[ORD_PRODUCT_ID]);

		CHECK_FOR_INTERRUPTS();
		n++;
		if (product.len == product_id->len &&
			memcmp(product.data, product_id->data, product.len) == 0)
			*units += DatumGetInt32(row.values[ORD_QUANTITY]);
	}
	eco_scan_end(scan);
	return n;
}

static void
tell_text(EcoDetail *detail, const char *key, const EcoRow *row, int column)
{
	EcoText text = eco_text_in(row->values[column]);

	eco_detail_text(detail, key, text.data, text.len);
}

void
eco_order_tell(EcoDetail *detail, const EcoRow *row)
{
	eco_detail_open_object(detail, "order", strlen("order"));
	eco_detail_str(detail, "order_id",
				   DatumGetCString(DirectFunctionCall1(uuid_out, row->values[ORD_ORDER_ID])));
	tell_text(detail, "state", row, ORD_STATE);
	tell_text(detail, "provider", row, ORD_PROVIDER);
	eco_detail_int(detail, "amount", eco_row_int(row, ORD_AMOUNT));
	tell_text(detail, "currency", row, ORD_CURRENCY);
	eco_detail_moment(detail, "expires_at", DatumGetTimestampTz(row->values[ORD_EXPIRES_AT]));
	eco_detail_close_object(detail);
}

static Datum
terms_of(const EcoProduct *product)
{
	EcoDetail	terms = {0};

	eco_detail_int(&terms, GRANTED_GOLD, product->granted_gold);
	eco_detail_int(&terms, MONETARY, product->monetary);
	if (product->granted_xp > 0)
		eco_detail_int(&terms, GRANTED_XP, product->granted_xp);
	if (product->contents != (Datum) 0)
		eco_detail_json(&terms, CONTENTS, DatumGetJsonbP(product->contents));
	if (product->effect_code != (Datum) 0)
		eco_detail_str(&terms, EFFECT_CODE, TextDatumGetCString(product->effect_code));
	if (product->fulfilment)
		eco_detail_bool(&terms, FULFILMENT, true);
	if (product->has_stock)
		eco_detail_bool(&terms, LIMITED, true);
	return eco_detail_end(&terms);
}

void
eco_order_place(const EcoOrder *order, EcoDetail *detail)
{
	static const Oid types[] = {
		INT8OID, TEXTOID, TEXTOID, TEXTOID, INT4OID, INT8OID, JSONBOID, JSONBOID, INT2OID
	};
	Datum		values[lengthof(types)] = {
		Int64GetDatum(order->user_id), order->product_id.datum, order->key.datum,
		order->product->settlement, Int32GetDatum(order->quantity), Int64GetDatum(order->amount),
		terms_of(order->product),
		order->context != NULL ? JsonbPGetDatum(order->context) :
		DirectFunctionCall1(jsonb_in, CStringGetDatum("null")),
		Int16GetDatum(order->stock_slot)
	};
	EcoRow		row;

	ECO_CRASH_POINT("order:before_row");
	(void) eco_run_as_owner("SELECT economy_internal.place_order($1, $2, $3, $4, $5, $6, $7, "
							"$8, $9)", lengthof(types), types, values);
	ECO_CRASH_POINT("order:after_row");
	eco_snapshot_renew();
	if (!eco_order_find(order->user_id, &order->product_id, &order->key, &row))
		ECO_ERROR(ECO_SCHEMA_DAMAGED,
				  errmsg("an order is not there after it was placed"),
				  errhint("Look for a trigger or a rule on economy.payment_orders."));
	eco_order_tell(detail, &row);
}

static bool
term(Jsonb *terms, const char *name, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(&terms->root, name, strlen(name), value) != NULL;
}

static int64
number_of(Jsonb *terms, const char *name)
{
	JsonbValue	value;

	if (!term(terms, name, &value) || value.type != jbvNumeric)
		return 0;
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value.val.numeric)));
}

void
eco_order_terms(Jsonb *terms, EcoProduct *product)
{
	JsonbValue	value;

	product->is_conversion = true;
	product->price_gold = 0;
	product->price_items = (Datum) 0;
	product->granted_gold = number_of(terms, GRANTED_GOLD);
	product->monetary = number_of(terms, MONETARY);
	product->granted_xp = number_of(terms, GRANTED_XP);
	product->contents = term(terms, CONTENTS, &value) ?
		JsonbPGetDatum(JsonbValueToJsonb(&value)) : (Datum) 0;
	product->has_stock = product->has_stock && term(terms, LIMITED, &value);
	product->fulfilment = term(terms, FULFILMENT, &value);
	product->effect_code = term(terms, EFFECT_CODE, &value) && value.type == jbvString ?
		PointerGetDatum(cstring_to_text_with_len(value.val.string.val, value.val.string.len)) :
		(Datum) 0;
	product->gives_freezes = product->effect_code != (Datum) 0 &&
		eco_product_is_freeze(product->effect_code);
}
