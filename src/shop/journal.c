/*
 * journal.c
 *		The purchase journal, and what is told of a purchase.
 */
#include "postgres.h"

#include "utils/datum.h"
#include "utils/timestamp.h"

#include "event/event.h"
#include "shop/journal.h"

EcoTable	eco_shop_transactions = {
	.name = "shop_transactions",
	.ncolumns = TXN_COLUMNS,
	.columns = {
		ECO_JOURNAL_HEADER,
		{"key_digest", INT8OID, false},
		{"quantity", INT4OID, false},
		{"stock_slot", INT2OID, ECO_NULLABLE},
		{"hash_algo_version", INT2OID, false},
		{"receipt_signature_version", INT4OID, false},
		{"monetary", INT8OID, false},
		{"category", TEXTOID, false},
		{"status", TEXTOID, false},
		{"product_id", TEXTOID, false},
		{"idempotency_key", TEXTOID, false},
		{"effect_code", TEXTOID, ECO_NULLABLE},
		{"context", JSONBOID, ECO_NULLABLE},
		{"receipt_signature", BYTEAOID, false},
		{"items", JSONBOID, ECO_NULLABLE | ECO_LATER},
	},
	.nkeys = 2,
	.keys = {
		{2, {ECO_COL_USER_ID, ECO_COL_SEQ}},
		{3, {ECO_COL_USER_ID, TXN_PRODUCT_ID, TXN_KEY}},
	},
	.digest = TXN_DIGEST,
};

static void keep(const EcoRow *row, EcoKept *kept);
static void tell(const EcoRow *row, const void *beside, EcoListener *listener);

const EcoJournal eco_purchases = {
	.letter = 'P',
	.noun = "purchase",
	.leaves = true,
	.keep = keep,
	.table = &eco_shop_transactions,
	.signature_column = TXN_SIGNATURE,
	.key_version_column = TXN_KEY_VERSION,
	.shown = {[ECO_SHOWN_PRODUCT] = TXN_PRODUCT_ID,[ECO_SHOWN_ITEMS] = TXN_ITEMS},
	.tell_tables = eco_level_tables,
	.beside_bytes = sizeof(EcoLevelStep),
	.beside_of_few = true,
	.tell = tell,
	.types = ECO_TYPE_BIT(ECO_PURCHASE_UPDATE) | ECO_TYPE_BIT(ECO_PROFILE_UPDATE),
};

/* Limits, stock and scores are recomputed from it. */
static void
keep(const EcoRow *row, EcoKept *kept)
{
	kept->product_id = datumCopy(row->values[TXN_PRODUCT_ID], false, -1);
	kept->created_at = DatumGetTimestampTz(row->values[ECO_COL_CREATED_AT]);
	kept->monetary = eco_row_int(row, TXN_MONETARY);
	kept->quantity = DatumGetInt32(row->values[TXN_QUANTITY]);
	kept->stock_units = row->isnull[TXN_STOCK_SLOT] ? 0 : kept->quantity;
}

static void
tell(const EcoRow *row, const void *beside, EcoListener *listener)
{
	EcoEvent	event;

	eco_event_begin(&event, ECO_PURCHASE_UPDATE, NULL, &eco_purchases, row);
	eco_event_text(&event, "product_id", row, TXN_PRODUCT_ID);
	eco_event_text(&event, "category", row, TXN_CATEGORY);
	eco_json_int(&event.json, "quantity", DatumGetInt32(row->values[TXN_QUANTITY]));
	eco_event_text(&event, "status", row, TXN_STATUS);
	eco_event_text(&event, "effect_code", row, TXN_EFFECT_CODE);
	eco_event_text(&event, "idempotency_key", row, TXN_KEY);
	eco_event_items(&event, row, TXN_ITEMS);
	eco_event_end(&event, row, listener);
	eco_tell_step(&eco_purchases, row, beside, listener);
}
