/*
 * product.c
 *		Reads a product for a purchase.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/timestamp.h"

#include "ledger/holdings.h"
#include "ledger/rows.h"
#include "shop/product.h"

#define COLUMNS_OF_A_PURCHASE \
	{"product_id", TEXTOID, false}, \
	{"category", TEXTOID, false}, \
	{"price_gold", INT8OID, false}, \
	{"source_points", INT8OID, false}, \
	{"granted_gold", INT8OID, false}, \
	{"monetary", INT8OID, false}, \
	{"limit_once", BOOLOID, false}, \
	{"per_user_limit", INT4OID, ECO_NULLABLE}, \
	{"limit_period", TEXTOID, false}, \
	{"counted", BOOLOID, false}, \
	{"global_key", BOOLOID, false}, \
	{"starts_at", TIMESTAMPTZOID, ECO_NULLABLE}, \
	{"ends_at", TIMESTAMPTZOID, ECO_NULLABLE}, \
	{"active", BOOLOID, false}, \
	{"stock_slots", INT2OID, false}, \
	{"effect_code", TEXTOID, ECO_NULLABLE}, \
	{"contents", JSONBOID, ECO_NULLABLE | ECO_LATER}, \
	{"price_items", JSONBOID, ECO_NULLABLE | ECO_LATER}, \
	{"fulfilment", BOOLOID, ECO_NULLABLE | ECO_LATER}, \
	{"granted_xp", INT8OID, ECO_NULLABLE | ECO_LATER}, \
	{"settlement", TEXTOID, ECO_NULLABLE | ECO_LATER}

EcoTable	eco_shop_products = {
	.name = "shop_products",
	.only_read = true,
	.ncolumns = PRD_COLUMNS,
	.columns = {COLUMNS_OF_A_PURCHASE},
	.nkeys = 1,
	.keys = {{1, {PRD_ID}}},
};

EcoTable	eco_shop_shelf = {
	.name = "shop_products",
	.only_read = true,
	.ncolumns = PRD_SHELF_COLUMNS,
	.columns = {
		COLUMNS_OF_A_PURCHASE,
		{"extra", JSONBOID, false},
		{"tags", TEXTARRAYOID, false},
		{"position", INT4OID, false},
		{"texts", JSONBOID, false},
	},
	.nkeys = 1,
	.keys = {{1, {PRD_ID}}},
};

/* A CHECK keeps the column to four words, whose first letters differ. */
static EcoPeriod
period_of_word(const text *word)
{
	switch (VARDATA_ANY(word)[0])
	{
		case 'd':
			return ECO_PERIOD_DAY;
		case 'w':
			return ECO_PERIOD_WEEK;
		case 'm':
			return ECO_PERIOD_MONTH;
		default:
			return ECO_PERIOD_EVER;
	}
}

const char *
eco_period_word(EcoPeriod period)
{
	static const char *const words[] = {"ever", "day", "week", "month"};

	return words[period];
}

bool
eco_product_read(const EcoText *product_id, EcoProduct *product)
{
	EcoRow		row;

	if (!eco_row_find(&eco_shop_products, 0, 0, 1, &product_id->datum, &row))
		return false;
	eco_product_of(row.values, row.isnull, product);
	/* lives as long as what was asked for, not as what was read */
	product->product_id = *product_id;
	return true;
}

bool
eco_product_is_freeze(Datum effect_code)
{
	const EcoText code = eco_text_in(effect_code);

	return code.len == (int) strlen(ECO_ITEM_STREAK_FREEZE) &&
		memcmp(code.data, ECO_ITEM_STREAK_FREEZE, code.len) == 0;
}

void
eco_product_of(const Datum *values, const bool *isnull, EcoProduct *product)
{
	text	   *category = DatumGetTextPP(values[PRD_CATEGORY]);

	product->product_id = eco_text_in(values[PRD_ID]);
	product->is_conversion = VARDATA_ANY(category)[0] == 'c';
	product->price_gold = DatumGetInt64(values[PRD_PRICE_GOLD]);
	product->source_points = DatumGetInt64(values[PRD_SOURCE_POINTS]);
	product->granted_gold = DatumGetInt64(values[PRD_GRANTED_GOLD]);
	product->monetary = DatumGetInt64(values[PRD_MONETARY]);
	product->limit_once = DatumGetBool(values[PRD_LIMIT_ONCE]);
	product->per_user_limit = isnull[PRD_PER_USER_LIMIT] ? 0 :
		DatumGetInt32(values[PRD_PER_USER_LIMIT]);
	product->limit_period = period_of_word(DatumGetTextPP(values[PRD_LIMIT_PERIOD]));
	product->counted = DatumGetBool(values[PRD_COUNTED]);
	product->global_key = DatumGetBool(values[PRD_GLOBAL_KEY]);
	product->active = DatumGetBool(values[PRD_ACTIVE]);
	product->starts_at = isnull[PRD_STARTS_AT] ? DT_NOBEGIN :
		DatumGetTimestampTz(values[PRD_STARTS_AT]);
	product->ends_at = isnull[PRD_ENDS_AT] ? DT_NOEND :
		DatumGetTimestampTz(values[PRD_ENDS_AT]);
	product->stock_slots = DatumGetInt16(values[PRD_STOCK_SLOTS]);
	product->has_stock = product->stock_slots > 0;
	product->effect_code = isnull[PRD_EFFECT_CODE] ? (Datum) 0 :
		values[PRD_EFFECT_CODE];
	product->contents = isnull[PRD_CONTENTS] ? (Datum) 0 : values[PRD_CONTENTS];
	product->price_items = isnull[PRD_PRICE_ITEMS] ? (Datum) 0 :
		values[PRD_PRICE_ITEMS];
	product->fulfilment = !isnull[PRD_FULFILMENT] &&
		DatumGetBool(values[PRD_FULFILMENT]);
	product->gives_freezes = product->effect_code != (Datum) 0 &&
		eco_product_is_freeze(product->effect_code);
	product->settlement = isnull[PRD_SETTLEMENT] ? (Datum) 0 : values[PRD_SETTLEMENT];
	product->granted_xp = isnull[PRD_GRANTED_XP] ? 0 : DatumGetInt64(values[PRD_GRANTED_XP]);
}

const char *
eco_product_not_on_sale(const EcoProduct *product, TimestampTz at)
{
	if (!product->active)
		return "inactive";
	if (at < product->starts_at)
		return "not_started";
	if (at >= product->ends_at)
		return "ended";
	return NULL;
}

TimestampTz
eco_product_renews_at(const EcoProduct *product, TimestampTz at)
{
	return eco_period_start(product->limit_period, eco_period_of(product->limit_period, at) + 1);
}
