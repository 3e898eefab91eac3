/*
 * journal.c
 *		The journal of holdings, and what is told of its entries.
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "errors.h"
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
	.tell_tables = eco_level_tables,
	.beside_bytes = sizeof(EcoLevelStep),
	.beside_of_few = true,
	.tell = tell,
	.types = ECO_TYPE_BIT(ECO_HOLDING_UPDATE) | ECO_TYPE_BIT(ECO_PROFILE_UPDATE),
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

	eco_event_begin(&event, ECO_HOLDING_UPDATE, NULL, &eco_holding_changes, row);
	eco_event_text(&event, "operation", row, HCH_OPERATION);
	eco_event_text(&event, "idempotency_key", row, HCH_KEY);
	eco_event_text(&event, "reason", row, HCH_REASON);
	tell_json(&event, "items", row, HCH_ITEMS, "[]");
	tell_json(&event, "detail", row, HCH_DETAIL, "null");
	eco_event_end(&event, row, listener);
	eco_tell_step(&eco_holding_changes, row, beside, listener);
}

/* What entries say */

void
eco_hch_answer(EcoResult *result, const char *state, const EcoRow *entry)
{
	eco_result_outcome(result, state, "OK");
	if (!entry->isnull[HCH_ITEMS])
		eco_result_set(result, HOLDING_ITEMS, entry->values[HCH_ITEMS]);
	eco_result_set(result, HOLDING_GOLD_DELTA, entry->values[ECO_COL_GOLD_DELTA]);
	eco_result_set(result, HOLDING_GOLD, entry->values[ECO_COL_GOLD]);
}

Datum
eco_hch_items(const EcoRow *entry)
{
	return entry->isnull[HCH_ITEMS] ? (Datum) 0 : entry->values[HCH_ITEMS];
}

const Jsonb *
eco_hch_detail(const EcoRow *entry)
{
	if (entry->isnull[HCH_DETAIL] || !JB_ROOT_IS_OBJECT(DatumGetJsonbP(entry->values[HCH_DETAIL])))
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("entry %s has no detail",
						 eco_transaction_id(&eco_holding_changes,
											eco_row_int(entry, ECO_COL_USER_ID),
											eco_row_int(entry, ECO_COL_SEQ))));
	return DatumGetJsonbP(entry->values[HCH_DETAIL]);
}

static bool
member(const Jsonb *detail, const char *key, enum jbvType type, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(&unconstify(Jsonb *, detail)->root, key,
										(int) strlen(key), value) != NULL && value->type == type;
}

int64
eco_hch_int(const Jsonb *detail, const char *key)
{
	JsonbValue	value;

	if (!member(detail, key, jbvNumeric, &value))
		return -1;
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value.val.numeric)));
}

EcoText
eco_hch_text(const Jsonb *detail, const char *key)
{
	EcoText		found = {.data = NULL};
	JsonbValue	value;

	if (member(detail, key, jbvString, &value))
	{
		found.data = value.val.string.val;
		found.len = value.val.string.len;
	}
	return found;
}

bool
eco_hch_same_int(EcoDetail *detail, const char *field, int64 first, int64 now)
{
	if (first == now)
		return true;
	eco_detail_str(detail, "field", field);
	eco_detail_int(detail, "first", first);
	eco_detail_int(detail, "now", now);
	return false;
}

static void
detail_text(EcoDetail *detail, const char *key, const EcoText *text)
{
	if (text->data != NULL)
		eco_detail_text(detail, key, text->data, text->len);
	else
		eco_detail_json(detail, key, NULL);
}

bool
eco_hch_same_text(EcoDetail *detail, const char *field, const EcoText *first, const EcoText *now)
{
	if ((first->data == NULL) == (now->data == NULL) && first->len == now->len &&
		(first->len == 0 || memcmp(first->data, now->data, first->len) == 0))
		return true;
	eco_detail_str(detail, "field", field);
	detail_text(detail, "first", first);
	detail_text(detail, "now", now);
	return false;
}

bool
eco_hch_same_context(EcoDetail *detail, const EcoRow *first, Jsonb *now)
{
	if (eco_same_object(first, HCH_CONTEXT, now))
		return true;
	eco_detail_field(detail, "context", first, HCH_CONTEXT);
	eco_detail_json(detail, "now", now);
	return false;
}
