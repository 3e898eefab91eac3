/*
 * reward.c
 *		The reward journal, and what every entry in it has in common.
 *
 * The row in reward_audit is the grant: it is the entry of the user's stream
 * that moves the gold and XP, so there is no audit trail that could differ.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "journals.h"
#include "realtime/event.h"
#include "reward/level.h"
#include "reward/reward.h"

EcoTable	eco_reward_audit = {
	.name = "reward_audit",
	.ncolumns = RWD_COLUMNS,
	.columns = {
		ECO_JOURNAL_HEADER,
		{"reverses", INT8OID, false},
		{"streak_day", INT4OID, false},
		{"reward_day", INT4OID, false},
		{"claim_date", DATEOID, false},
		{"grace_used", BOOLOID, false},
		{"freezes_used", INT4OID, false},
		{"source", TEXTOID, false},
		{"external_event_id", TEXTOID, false},
		{"actor", TEXTOID, false},
		{"reason", TEXTOID, false},
		{"details", JSONBOID, false},
	},
	.nkeys = 2,
	.keys = {
		{2, {ECO_COL_USER_ID, ECO_COL_SEQ}},
		{3, {ECO_COL_USER_ID, RWD_SOURCE, RWD_EVENT_ID}},
	},
};

void
eco_reward_register(void)
{
	EcoJournalInfo info = {ECO_JOURNAL_REWARD, &eco_reward_audit, -1, -1};

	eco_journal_register(&info);
}

static void
put_text(EcoJson *json, const char *key, const EcoRow *row, int column)
{
	text	   *value;

	if (row->isnull[column])
	{
		eco_json_null(json, key);
		return;
	}
	value = DatumGetTextPP(row->values[column]);
	eco_json_text(json, key, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

static void
publish_grant(const EcoEntry *entry, int32 level, bool leveled_up)
{
	const EcoRow *row = &entry->row;
	EcoEvent	event;

	if (!eco_event_begin(&event, "reward_granted", NULL, ECO_JOURNAL_REWARD,
						 eco_row_int(row, ECO_COL_USER_ID), entry->seq,
						 entry->created_at))
		return;
	put_text(&event.json, "source", row, RWD_SOURCE);
	put_text(&event.json, "external_event_id", row, RWD_EVENT_ID);
	if (row->isnull[RWD_STREAK_DAY])
		eco_json_null(&event.json, "streak_day");
	else
		eco_json_int(&event.json, "streak_day", DatumGetInt32(row->values[RWD_STREAK_DAY]));
	eco_json_int(&event.json, "seq", entry->seq);
	eco_json_int(&event.json, "gold_delta", entry->gold_delta);
	eco_json_int(&event.json, "xp_delta", entry->xp_delta);
	eco_json_int(&event.json, "gold", entry->gold);
	eco_json_int(&event.json, "experience_points", entry->xp);
	eco_json_int(&event.json, "level", level);
	eco_json_bool(&event.json, "leveled_up", leveled_up);
	eco_event_publish(&event);
}

static void
publish_level(const EcoEntry *entry, int32 level, int32 level_before)
{
	EcoEvent	event;

	if (!eco_event_begin(&event, "profile_update", "level", ECO_JOURNAL_REWARD,
						 eco_row_int(&entry->row, ECO_COL_USER_ID), entry->seq,
						 entry->created_at))
		return;
	eco_json_str(&event.json, "field", "level");
	eco_json_int(&event.json, "before", level_before);
	eco_json_int(&event.json, "after", level);
	eco_json_int(&event.json, "seq", entry->seq);
	eco_json_int(&event.json, "experience_points", entry->xp);
	eco_event_publish(&event);
}

static int32
level_change(int64 user_id, int64 xp, int64 xp_delta, int32 *before)
{
	const char *curve = eco_level_curve_of(user_id);

	*before = eco_level_at(curve, xp - xp_delta).level;
	return eco_level_at(curve, xp).level;
}

int32
eco_reward_publish(const EcoEntry *entry, bool *leveled_up)
{
	int32		before;
	int32		level = level_change(eco_row_int(&entry->row, ECO_COL_USER_ID),
									 entry->xp, entry->xp_delta, &before);

	*leveled_up = level > before;
	publish_grant(entry, level, *leveled_up);
	if (level != before)
		publish_level(entry, level, before);
	return level;
}

int32
eco_reward_level(const EcoRow *row, bool *leveled_up)
{
	int32		before;
	int32		level = level_change(eco_row_int(row, ECO_COL_USER_ID),
									 eco_row_int(row, ECO_COL_XP),
									 eco_row_int(row, ECO_COL_XP_DELTA), &before);

	*leveled_up = level > before;
	return level;
}
