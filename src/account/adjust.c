/*
 * adjust.c
 *		Changes of gold by admins, and their journal.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "account/account.h"
#include "crash_point.h"
#include "errors.h"
#include "event/event.h"
#include "ledger/args.h"
#include "ledger/call.h"
#include "ledger/entry.h"
#include "ledger/result.h"

enum
{
	ADJ_KEY = ECO_HEADER_COLUMNS,
	ADJ_ACTOR,
	ADJ_REASON,
	ADJ_COLUMNS
};

static EcoTable gold_adjustments = {
	.name = "gold_adjustments",
	.ncolumns = ADJ_COLUMNS,
	.columns = {
		ECO_JOURNAL_HEADER,
		{"idempotency_key", TEXTOID, false},
		{"actor", TEXTOID, false},
		{"reason", TEXTOID, false},
	},
	.nkeys = 2,
	.keys = {
		{2, {ECO_COL_USER_ID, ECO_COL_SEQ}},
		{2, {ECO_COL_USER_ID, ADJ_KEY}},
	},
};

/* columns of economy.adjust_result after the common ones */
enum
{
	ADJUST_GOLD_DELTA = ECO_RES_OWN,
	ADJUST_GOLD,
	ADJUST_RETRY_AFTER_MS,
	ADJUST_DETAIL
};

#define KEY_BY_IDEMPOTENCY 1
#define MAX_REASON 1000
#define MAX_ACTOR 255

PG_FUNCTION_INFO_V1(eco_adjust_gold);

static void tell(const EcoRow *row, const void *beside, EcoListener *listener);

const EcoJournal eco_adjustments = {
	.letter = 'G',
	.noun = "adjustment",
	.leaves = true,
	.table = &gold_adjustments,
	.shown = {[ECO_SHOWN_REASON] = ADJ_REASON},
	.tell = tell,
	.types = ECO_TYPE_BIT(ECO_PROFILE_UPDATE),
};

static void
set_entry(EcoResult *result, const EcoRow *row)
{
	eco_result_entry(result, &eco_adjustments, row);
	eco_result_set(result, ADJUST_GOLD_DELTA, row->values[ECO_COL_GOLD_DELTA]);
	eco_result_set(result, ADJUST_GOLD, row->values[ECO_COL_GOLD]);
}

static void
replay(EcoResult *result, const EcoRow *first, int64 delta)
{
	EcoDetail	detail = {0};

	if (eco_row_int(first, ECO_COL_GOLD_DELTA) == delta)
	{
		eco_result_outcome(result, "reuse", "OK");
		set_entry(result, first);
		return;
	}
	eco_result_outcome(result, "refused", "IDEMPOTENCY_MISMATCH");
	eco_result_entry(result, &eco_adjustments, first);
	eco_detail_field(&detail, "delta", first, ECO_COL_GOLD_DELTA);
	eco_detail_int(&detail, "now", delta);
	eco_result_set(result, ADJUST_DETAIL, eco_detail_end(&detail));
}

static void
adjust(EcoResult *result, EcoAccount *account, int64 delta, const EcoText *key,
	   const EcoText *reason, const EcoText *actor)
{
	EcoEntry	entry;
	const char *refusal = eco_amount_refusal(account, delta, 0);

	if (refusal != NULL)
	{
		eco_result_outcome(result, "refused", refusal);
		eco_result_set(result, ADJUST_GOLD, Int64GetDatum(account->gold));
		return;
	}
	eco_entry_init(&entry, &eco_adjustments);
	entry.gold_delta = delta;
	eco_row_set(&entry.row, ADJ_KEY, key->datum);
	eco_row_set(&entry.row, ADJ_ACTOR, actor->datum);
	eco_row_set(&entry.row, ADJ_REASON, reason->datum);
	(void) eco_entry_post(account, &entry);
	ECO_CRASH_POINT("adjust:after_entry");
	eco_result_outcome(result, "new", "OK");
	set_entry(result, &entry.row);
}

/*
 * eco_adjust_gold(user_id, delta, idempotency_key, reason, actor)
 *		An admin's change of a balance, with who and why.
 */
Datum
eco_adjust_gold(PG_FUNCTION_ARGS)
{
	EcoText		key;
	EcoText		reason;
	EcoText		actor;
	int64		delta;
	EcoResult	result;
	EcoCall		call;

	eco_require_arg(fcinfo, 0, "user_id");
	eco_require_arg(fcinfo, 1, "delta");
	delta = PG_GETARG_INT64(1);
	key = eco_text_arg(fcinfo, 2, "idempotency_key", ECO_MAX_KEY);
	reason = eco_text_arg(fcinfo, 3, "reason", MAX_REASON);
	actor = eco_text_arg(fcinfo, 4, "actor", MAX_ACTOR);
	if (delta == 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("delta must not be zero"));
	PreventCommandIfReadOnly("economy.adjust_gold()");

	eco_result_begin(&result, fcinfo, "btttllij");
	eco_call_init(&call, &eco_adjustments, PG_GETARG_INT64(0), NULL);
	call.key = KEY_BY_IDEMPOTENCY;
	call.texts[call.ntexts++] = key;
	switch (eco_call_begin(&call))
	{
		case ECO_CALL_NEW:
			adjust(&result, &call.account, delta, &key, &reason, &actor);
			break;
		case ECO_CALL_REPLAY:
			replay(&result, &call.first, delta);
			break;
		case ECO_CALL_ARCHIVED:
			eco_result_archived(&result, ADJUST_DETAIL, &eco_adjustments, call.user_id,
								call.archived_seq);
			break;
		case ECO_CALL_BUSY:
			eco_result_busy(&result, ADJUST_RETRY_AFTER_MS);
			break;
		case ECO_CALL_NO_USER:
			eco_result_outcome(&result, "refused", "USER_NOT_FOUND");
			break;
	}
	eco_call_end(&call);
	PG_RETURN_DATUM(eco_result_row(&result));
}

/* Who did it and why is not for listeners. */
static void
tell(const EcoRow *row, const void *beside, EcoListener *listener)
{
	EcoEvent	event;

	(void) beside;
	eco_event_begin(&event, ECO_PROFILE_UPDATE, NULL, &eco_adjustments, row);
	eco_json_str(&event.json, "field", "gold");
	eco_json_int(&event.json, "before",
				 eco_row_int(row, ECO_COL_GOLD) - eco_row_int(row, ECO_COL_GOLD_DELTA));
	eco_json_int(&event.json, "after", eco_row_int(row, ECO_COL_GOLD));
	eco_event_end(&event, row, listener);
}
