/*
 * refunds.c
 *		The journal of refunds, and what of purchases they have left.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "crash_point.h"
#include "event/event.h"
#include "ledger/level.h"
#include "ledger/args.h"
#include "shop/journal.h"
#include "shop/refunds.h"

EcoTable	eco_shop_refunds = {
	.name = "shop_refunds",
	.later = true,
	.ncolumns = RFD_COLUMNS,
	.columns = {
		ECO_JOURNAL_HEADER,
		{"key_digest", INT8OID, false},
		{"reverses", INT8OID, false},
		{"quantity", INT4OID, false},
		{"restocked", INT4OID, false},
		{"asked", INT4OID, ECO_NULLABLE},
		{"monetary", INT8OID, false},
		{"debt_gold", INT8OID, false},
		{"purchase", TEXTOID, false},
		{"idempotency_key", TEXTOID, false},
		{"product_id", TEXTOID, false},
		{"policy", TEXTOID, false},
		{"actor", TEXTOID, false},
		{"reason", TEXTOID, false},
		{"detail", JSONBOID, ECO_NULLABLE},
		{"items", JSONBOID, ECO_NULLABLE},
	},
	.nkeys = 2,
	.keys = {
		{2, {ECO_COL_USER_ID, ECO_COL_SEQ}},
		{3, {ECO_COL_USER_ID, RFD_PURCHASE, RFD_KEY}},
	},
	.digest = RFD_DIGEST,
};

enum
{
	DBT_USER_ID,
	DBT_SEQ,
	DBT_GOLD,
	DBT_COLUMNS
};

EcoTable	eco_shop_debts = {
	.name = "shop_debts",
	.later = true,
	.ncolumns = DBT_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"seq", INT8OID, false},
		{"gold", INT8OID, ECO_MUTABLE},
	},
	.nkeys = 1,
	.keys = {{2, {DBT_USER_ID, DBT_SEQ}}},
};

static void tell(const EcoRow *row, const void *beside, EcoListener *listener);

const EcoJournal eco_refunds = {
	.letter = 'B',				/* money back */
	.noun = "refund",
	.table = &eco_shop_refunds,
	.shown = {
		[ECO_SHOWN_PRODUCT] = RFD_PRODUCT_ID,[ECO_SHOWN_SOURCE] = RFD_PURCHASE,
		[ECO_SHOWN_REASON] = RFD_REASON,[ECO_SHOWN_ITEMS] = RFD_ITEMS
	},
	.tell_tables = eco_level_tables,
	.tell = tell,
	.types = ECO_TYPE_BIT(ECO_PURCHASE_REFUNDED) | ECO_TYPE_BIT(ECO_PROFILE_UPDATE),
};

static void
tell(const EcoRow *row, const void *beside, EcoListener *listener)
{
	EcoEvent	event;

	eco_event_begin(&event, ECO_PURCHASE_REFUNDED, NULL, &eco_refunds, row);
	eco_event_text(&event, "purchase", row, RFD_PURCHASE);
	eco_event_text(&event, "product_id", row, RFD_PRODUCT_ID);
	eco_json_int(&event.json, "quantity", DatumGetInt32(row->values[RFD_QUANTITY]));
	eco_json_int(&event.json, "debt_gold", eco_row_int(row, RFD_DEBT_GOLD));
	eco_event_text(&event, "reason", row, RFD_REASON);
	eco_event_text(&event, "idempotency_key", row, RFD_KEY);
	eco_event_items(&event, row, RFD_ITEMS);
	eco_event_end(&event, row, listener);
	eco_tell_step(&eco_refunds, row, beside, listener);
}

void
eco_debt_add(int64 user_id, int64 seq, int64 gold)
{
	EcoRow		row;

	eco_row_init(&row, &eco_shop_debts);
	eco_row_set(&row, DBT_USER_ID, Int64GetDatum(user_id));
	eco_row_set(&row, DBT_SEQ, Int64GetDatum(seq));
	eco_row_set(&row, DBT_GOLD, Int64GetDatum(gold));
	eco_row_insert(&row, user_id);
	ECO_CRASH_POINT("refund:after_debt");
}

/* Its place among them, or where it belongs. */
static int
place_of(const EcoTakenBack *all, int64 seq)
{
	int			low = 0;
	int			high = all->n;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (all->of[middle].seq < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int64
eco_taken_back_of(const EcoTakenBack *all, int64 seq)
{
	int			place = place_of(all, seq);

	return place < all->n && all->of[place].seq == seq ? all->of[place].units : 0;
}

void
eco_taken_back_add(EcoTakenBack *all, int64 seq, int64 units)
{
	int			place = place_of(all, seq);

	if (place < all->n && all->of[place].seq == seq)
	{
		all->of[place].units += units;
		return;
	}
	if (all->n == all->room)
	{
		all->room = Max(2 * all->room, 8);
		all->of = all->of == NULL ? palloc(sizeof(*all->of) * all->room) :
			repalloc(all->of, sizeof(*all->of) * all->room);
	}
	memmove(&all->of[place + 1], &all->of[place], sizeof(*all->of) * (all->n - place));
	all->of[place].seq = seq;
	all->of[place].units = units;
	all->n++;
}

EcoTakenBack
eco_taken_back(int64 user_id, const EcoText *product_id)
{
	Datum		user = Int64GetDatum(user_id);
	EcoTakenBack all = {.is_known = true};
	EcoScan    *scan;
	EcoRow		row;

	if (!eco_table_is_open(&eco_shop_refunds))
		return all;
	scan = eco_scan_begin(&eco_shop_refunds, user_id, ECO_RFD_BY_SEQ, 1, &user);
	while (eco_scan_next(scan, &row))
	{
		EcoText		product = eco_text_in(row.values[RFD_PRODUCT_ID]);

		CHECK_FOR_INTERRUPTS();
		if (product_id == NULL || (product.len == product_id->len &&
								   memcmp(product.data, product_id->data, product.len) == 0))
			eco_taken_back_add(&all, eco_row_int(&row, RFD_REVERSES),
							   DatumGetInt32(row.values[RFD_QUANTITY]));
	}
	eco_scan_end(scan);
	return all;
}
