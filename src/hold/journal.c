/*
 * journal.c
 *		The journal of holdings, and what is told of its entries.
 */
#include "postgres.h"

#include "utils/jsonb.h"

#include "event/event.h"
#include "hold/journal.h"

static EcoTable holding_changes = {
	.name = "holding_changes",
	.later = true,
	.ncolumns = HCH_COLUMNS,
	.columns = {
		ECO_JOURNAL_HEADER,
		{"key_digest", INT8OID, false},
		{"operation", TEXTOID, false},
		{"idempotency_key", TEXTOID, false},
		{"reason", TEXTOID, false},
		{"items", JSONBOID, ECO_NULLABLE},
		{"context", JSONBOID, ECO_NULLABLE},
		{"detail", JSONBOID, ECO_NULLABLE},
	},
	.nkeys = 2,
	.keys = {
		{2, {ECO_COL_USER_ID, ECO_COL_SEQ}},
		{3, {ECO_COL_USER_ID, HCH_OPERATION, HCH_KEY}},
	},
	.digest = HCH_DIGEST,
};

static void tell(const EcoRow *row, const void *beside, EcoListener *listener);

const EcoJournal eco_holding_changes = {
	.letter = 'H',
	.noun = "change of holdings",
	.table = &holding_changes,
	.shown = {
		[ECO_SHOWN_SOURCE] = HCH_OPERATION,[ECO_SHOWN_REASON] = HCH_REASON,
		[ECO_SHOWN_ITEMS] = HCH_ITEMS
	},
	.tell = tell,
	.types = ECO_TYPE_BIT(ECO_HOLDING_UPDATE),
};

static void
tell_json(EcoEvent *event, const char *key, const EcoRow *row, int column, const char *none)
{
	Jsonb	   *value = row->isnull[column] ? NULL : DatumGetJsonbP(row->values[column]);

	eco_json_raw(&event->json, key,
				 value == NULL ? none : JsonbToCString(NULL, &value->root, VARSIZE(value)));
}

static void
tell(const EcoRow *row, const void *beside, EcoListener *listener)
{
	EcoEvent	event;

	(void) beside;
	eco_event_begin(&event, ECO_HOLDING_UPDATE, NULL, &eco_holding_changes, row);
	eco_event_text(&event, "operation", row, HCH_OPERATION);
	eco_event_text(&event, "idempotency_key", row, HCH_KEY);
	eco_event_text(&event, "reason", row, HCH_REASON);
	tell_json(&event, "items", row, HCH_ITEMS, "[]");
	tell_json(&event, "detail", row, HCH_DETAIL, "null");
	eco_event_end(&event, row, listener);
}
