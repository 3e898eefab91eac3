/*
 * reward.c
 *		The reward journal, and what every entry in it has in common.
 *
 * The row in reward_audit is the grant: it is the entry of the user's stream
 * that moves the gold and XP, so there is no audit trail that could differ.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "event/event.h"
#include "ledger/args.h"
#include "ledger/level.h"
#include "reward/reward.h"

EcoTable	eco_reward_audit = {
	.name = "reward_audit",
	.ncolumns = RWD_COLUMNS,
	.columns = {
		ECO_JOURNAL_HEADER,
		{"key_digest", INT8OID, false},
		{"reverses", INT8OID, ECO_NULLABLE},
		{"streak_day", INT4OID, ECO_NULLABLE},
		{"reward_day", INT4OID, ECO_NULLABLE},
		{"claim_date", DATEOID, ECO_NULLABLE},
		{"grace_used", BOOLOID, ECO_NULLABLE},
		{"freezes_used", INT4OID, ECO_NULLABLE},
		{"best", INT4OID, ECO_NULLABLE},
		{"last_grace_on", DATEOID, ECO_NULLABLE},
		{"excused_to", DATEOID, ECO_NULLABLE},
		{"timezone", TEXTOID, ECO_NULLABLE},
		{"streak_before", INT8OID, ECO_NULLABLE},
		{"source", TEXTOID, false},
		{"external_event_id", TEXTOID, false},
		{"actor", TEXTOID, ECO_NULLABLE},
		{"reason", TEXTOID, ECO_NULLABLE},
		{"details", JSONBOID, ECO_NULLABLE},
		{"items", JSONBOID, ECO_NULLABLE | ECO_LATER},
	},
	.nkeys = 2,
	.keys = {
		{2, {ECO_COL_USER_ID, ECO_COL_SEQ}},
		{3, {ECO_COL_USER_ID, RWD_SOURCE, RWD_EVENT_ID}},
	},
	.digest = RWD_DIGEST,
};

static void tell(const EcoRow *row, const void *beside, EcoListener *listener);

const EcoJournal eco_rewards = {
	.letter = 'R',
	.noun = "reward",
	.leaves = true,
	.table = &eco_reward_audit,
	.shown = {
		[ECO_SHOWN_SOURCE] = RWD_SOURCE,[ECO_SHOWN_REASON] = RWD_REASON,
		[ECO_SHOWN_ITEMS] = RWD_ITEMS
	},
	.tell_tables = eco_level_tables,
	.tell = tell,
	.types = ECO_TYPE_BIT(ECO_REWARD_GRANTED) | ECO_TYPE_BIT(ECO_PROFILE_UPDATE),
};

void
eco_reward_answer(EcoResult *result, int column, const EcoRow *row)
{
	int32		before;
	int32		level = eco_level_change(row, &before);

	eco_result_entry(result, &eco_rewards, row);
	eco_result_set(result, column++, row->values[ECO_COL_GOLD_DELTA]);
	eco_result_set(result, column++, row->values[ECO_COL_XP_DELTA]);
	eco_result_set(result, column++, row->values[ECO_COL_GOLD]);
	eco_result_set(result, column++, row->values[ECO_COL_XP]);
	eco_result_set(result, column++, Int32GetDatum(level));
	eco_result_set(result, column, BoolGetDatum(level > before));
}

static void
tell(const EcoRow *row, const void *beside, EcoListener *listener)
{
	EcoEvent	event;
	int32		before;
	int32		level = eco_level_change(row, &before);

	(void) beside;
	eco_event_begin(&event, ECO_REWARD_GRANTED, NULL, &eco_rewards, row);
	eco_event_text(&event, "source", row, RWD_SOURCE);
	eco_event_text(&event, "external_event_id", row, RWD_EVENT_ID);
	if (row->isnull[RWD_STREAK_DAY])
		eco_json_null(&event.json, "streak_day");
	else
		eco_json_int(&event.json, "streak_day", DatumGetInt32(row->values[RWD_STREAK_DAY]));
	eco_json_int(&event.json, "level", level);
	eco_json_bool(&event.json, "leveled_up", level > before);
	eco_event_items(&event, row, RWD_ITEMS);
	eco_event_end(&event, row, listener);
	if (level != before)
		eco_tell_level(&eco_rewards, row, before, level, listener);
}

char *
eco_reversal_source(const char *transaction_id)
{
	return psprintf("%s:%s", ECO_SOURCE_REVERSAL, transaction_id);
}

static void
add_reversal(EcoReversed *sum, const EcoRow *row, int64 before_seq)
{
	if (eco_row_int(row, ECO_COL_SEQ) >= before_seq)
		return;
	sum->reversals++;
	sum->gold -= eco_row_int(row, ECO_COL_GOLD_DELTA);
	sum->xp -= eco_row_int(row, ECO_COL_XP_DELTA);
	sum->gave_back |= !row->isnull[RWD_STREAK_DAY];
	if (!row->isnull[RWD_ITEMS])
		sum->items = lappend(sum->items, DatumGetPointer(row->values[RWD_ITEMS]));
}

EcoReversed
eco_reward_reversed(const EcoRow *reward, int64 before_seq)
{
	EcoReversed sum = {0};
	int64		user_id = eco_row_int(reward, ECO_COL_USER_ID);
	char	   *name = eco_transaction_id(&eco_rewards, user_id,
										  eco_row_int(reward, ECO_COL_SEQ));
	Datum		key[3] = {Int64GetDatum(user_id)};
	EcoScan    *scan;
	EcoRow		row;

	key[1] = eco_text_of(ECO_SOURCE_REVERSAL).datum;
	key[2] = CStringGetTextDatum(name);
	if (eco_row_find(&eco_reward_audit, user_id, ECO_RWD_BY_EVENT, 3, key, &row))
		add_reversal(&sum, &row, before_seq);
	key[1] = CStringGetTextDatum(eco_reversal_source(name));
	scan = eco_scan_begin(&eco_reward_audit, user_id, ECO_RWD_BY_EVENT, 2, key);
	while (eco_scan_next(scan, &row))
	{
		CHECK_FOR_INTERRUPTS();
		add_reversal(&sum, &row, before_seq);
	}
	eco_scan_end(scan);
	return sum;
}

void
eco_reward_gave(const EcoRow *reward, EcoHoldings *gave)
{
	eco_holdings_given_by(reward->isnull[RWD_ITEMS] ? (Datum) 0 : reward->values[RWD_ITEMS], gave);
}

bool
eco_reward_left(const EcoRow *reward, const EcoReversed *reversed, EcoHoldings *left)
{
	ListCell   *lc;
	bool		any = false;

	eco_reward_gave(reward, left);
	foreach(lc, reversed->items)
		eco_holdings_less(left, PointerGetDatum(lfirst(lc)));
	for (int i = 0; i < left->n; i++)
		any |= left->of[i].amount > 0;
	return any;
}
