/*
 * calendar.c
 *		What each day of a streak pays: by the calendar in economy.daily_rewards, or by the
 *		formula where there is none.
 *
 * The calendar is configuration.  It is replaced as a whole, so what a snapshot sees of it
 * is one calendar.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"

#include "errors.h"
#include "reward/calendar.h"

enum
{
	DRW_DAY,
	DRW_GOLD,
	DRW_XP,
	DRW_CONTENTS,
	DRW_CONTINUES_AT,
	DRW_COLUMNS
};

EcoTable	eco_daily_rewards = {
	.name = "daily_rewards",
	.later = true,
	.only_read = true,
	.ncolumns = DRW_COLUMNS,
	.columns = {
		{"reward_day", INT8OID, false},
		{"gold", INT8OID, false},
		{"xp", INT8OID, false},
		{"contents", JSONBOID, ECO_NULLABLE},
		{"continues_at", INT8OID, ECO_NULLABLE},
	},
	.nkeys = 1,
	.keys = {{1, {DRW_DAY}}},
};

/* The row of this day, or that of the last day when the calendar ends before it. */
static bool
find_day(int32 day, EcoRow *row)
{
	EcoScan    *scan = eco_scan_begin_before(&eco_daily_rewards, 0, 0, 0, NULL, (int64) day + 1);
	bool		found = eco_scan_next(scan, row);

	eco_scan_end(scan);
	return found;
}

static bool
find_in_calendar(int32 streak_day, EcoRow *row)
{
	int64		last_day;
	int64		next_day;

	if (!eco_table_is_open(&eco_daily_rewards) || !find_day(streak_day, row))
		return false;
	last_day = eco_row_int(row, DRW_DAY);
	if (last_day >= streak_day || row->isnull[DRW_CONTINUES_AT])
		return true;
	next_day = eco_row_int(row, DRW_CONTINUES_AT);
	if (next_day < 1 || next_day > last_day)
		ECO_ERROR(ECO_SCHEMA_DAMAGED,
				  errmsg("the daily rewards cannot continue at day %lld after day %lld",
						 (long long) next_day, (long long) last_day),
				  errhint("Who changed them by hand? economy.set_daily_rewards() sets them."));
	return find_day(eco_streak_calendar_day((int32) last_day, (int32) next_day, streak_day), row);
}

void
eco_day_reward(const EcoStreakPolicy *policy, int32 streak_day, EcoDayReward *reward)
{
	EcoRow		row;

	if (find_in_calendar(streak_day, &row))
	{
		reward->day = (int32) eco_row_int(&row, DRW_DAY);
		reward->gold = eco_row_int(&row, DRW_GOLD);
		reward->xp = eco_row_int(&row, DRW_XP);
		reward->contents = row.isnull[DRW_CONTENTS] ? NULL :
			DatumGetJsonbP(row.values[DRW_CONTENTS]);
		return;
	}
	reward->day = eco_streak_reward_day(policy, streak_day);
	reward->gold = eco_streak_gold(reward->day);
	reward->xp = eco_streak_xp(reward->day);
	reward->contents = NULL;
}
