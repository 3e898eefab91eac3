/*
 * fulfilment.c
 *		Purchases that somebody has to fulfil.
 *
 * The row is written with the purchase, so that none is forgotten; who takes it, and who
 * says that it is done, does so in SQL.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"

#include "crash_point.h"
#include "shop/fulfilment.h"
#include "shop/journal.h"

/* columns of economy.fulfilments */
enum
{
	FUL_USER_ID,
	FUL_SEQ,
	FUL_PRODUCT_ID,
	FUL_DUE_AT,
	FUL_VISIBLE_AT,
	FUL_ATTEMPTS,
	FUL_COLUMNS
};

EcoTable	eco_fulfilments = {
	.name = "fulfilments",
	.later = true,
	.ncolumns = FUL_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"seq", INT8OID, false},
		{"product_id", TEXTOID, false},
		{"due_at", TIMESTAMPTZOID, false},
		{"visible_at", TIMESTAMPTZOID, false},
		{"attempts", INT4OID, false},
	},
	.nkeys = 1,
	.keys = {{2, {FUL_USER_ID, FUL_SEQ}}},
};

void
eco_fulfilment_add(const EcoEntry *entry)
{
	const EcoRow *purchase = &entry->row;
	EcoRow		row;

	eco_row_init(&row, &eco_fulfilments);
	eco_row_set(&row, FUL_USER_ID, purchase->values[ECO_COL_USER_ID]);
	eco_row_set(&row, FUL_SEQ, purchase->values[ECO_COL_SEQ]);
	eco_row_set(&row, FUL_PRODUCT_ID, purchase->values[TXN_PRODUCT_ID]);
	eco_row_set(&row, FUL_DUE_AT, purchase->values[ECO_COL_CREATED_AT]);
	eco_row_set(&row, FUL_VISIBLE_AT, purchase->values[ECO_COL_CREATED_AT]);
	eco_row_set(&row, FUL_ATTEMPTS, Int32GetDatum(0));
	eco_row_insert(&row, eco_row_int(purchase, ECO_COL_USER_ID));
	ECO_CRASH_POINT("purchase:after_fulfilment");
}
