/*
 * daily.c
 *		claim_daily_reward(), and the streak as it stands now.
 *
 * The rule is core/streak.c; here are its inputs: the local date of a moment in
 * the user's zone, and which dates existed between two claims.
 *
 * A claim commits the user's zone: from then on no change is pending.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "core/streak.h"
#include "crash_point.h"
#include "ledger/args.h"
#include "ledger/call.h"
#include "ledger/result.h"
#include "ledger/user.h"
#include "reward/reward.h"
#include "settings.h"

#define MAX_PREVIEW_DAYS 366
#define NEXT_CLAIM_SEARCH_H 72	/* the next date begins within this */

enum
{
	STR_USER_ID,
	STR_DAY,
	STR_BEST,
	STR_LAST_CLAIM,
	STR_LAST_GRACE,
	STR_EXCUSED_TO,
	STR_LAST_SEQ,
	STR_TIMEZONE,
	STR_COLUMNS
};

static EcoTable streaks = {
	.name = "streaks",
	.ncolumns = STR_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"streak_day", INT4OID, true},
		{"best", INT4OID, true},
		{"last_claim_on", DATEOID, true},
		{"last_grace_on", DATEOID, true},
		{"excused_to", DATEOID, true},
		{"last_seq", INT8OID, true},
		{"timezone", TEXTOID, true},
	},
	.nkeys = 1,
	.keys = {{1, {STR_USER_ID}}},
};

/* columns of economy.claim_result after the common ones */
enum
{
	RES_STREAK_DAY = ECO_RES_OWN,
	RES_CLAIM_DATE,
	RES_GRACE_USED,
	RES_FREEZES_USED,
	RES_GOLD_DELTA,
	RES_XP_DELTA,
	RES_GOLD,
	RES_XP,
	RES_LEVEL,
	RES_LEVELED_UP,
	RES_NEXT_CLAIM_AT,
	RES_DETAIL,
	RES_COLUMNS
};

/* A user's streak with what is needed to go on with it. */
typedef struct Daily
{
	int64		user_id;
	EcoRow		row;
	bool		exists;			/* there is a streak row */
	EcoStreakPolicy policy;
	EcoStreak	streak;
	char	   *user_zone_name;
	pg_tz	   *user_zone;
	pg_tz	   *claim_zone;		/* of the last claim; user_zone before the
								 * first */
	int64		last_seq;
} Daily;

/* The dates of a moment. */
typedef struct ClaimDay
{
	int32		booked;			/* what a claim is for */
	int32		in_user_zone;
} ClaimDay;

PG_FUNCTION_INFO_V1(eco_claim_daily_reward);
PG_FUNCTION_INFO_V1(eco_streak_reward_sql);
PG_FUNCTION_INFO_V1(eco_streak_preview);
PG_FUNCTION_INFO_V1(eco_streak_state);

static bool daily_load(Daily *d, int64 user_id, int32 freezes);
static EcoClaim daily_decide(const Daily *d, ClaimDay day, EcoStreak *after);
static ClaimDay claim_day(const Daily *d, TimestampTz at);
static int32 local_date(TimestampTz at, pg_tz *zone);
static bool date_exists(int32 date, void *zone);
static TimestampTz next_claim_at(const Daily *d, TimestampTz after);
static pg_tz *zone_of(const char *name);
static char *iso_date(int32 date);
static void set_streak(EcoRow *row, const Daily *d, const EcoStreak *after);
static void set_date(EcoRow *row, int column, int32 date);
static int32 get_date(const EcoRow *row, int column);
static void claim(Daily *d, EcoAccount *account, EcoResult *result);
static void already_claimed(Daily *d, EcoResult *result);
static void set_reward(EcoResult *result, const EcoRow *row);
static void daily_store(Daily *d, const EcoStreak *after, int64 seq);

/*
 * eco_claim_daily_reward(user_id bigint) returns claim_result
 */
Datum
eco_claim_daily_reward(PG_FUNCTION_ARGS)
{
	Daily		d;
	EcoCall		call;
	EcoResult	result;
	EcoStreak	after;

	eco_require_arg(fcinfo, 0, "user_id");
	PreventCommandIfReadOnly("economy.claim_daily_reward()");
	eco_result_begin(&result, fcinfo, RES_COLUMNS);

	/* a second claim of the day is a read */
	eco_snapshot_push();
	if (daily_load(&d, PG_GETARG_INT64(0), 0) &&
		daily_decide(&d, claim_day(&d, eco_now()), &after) == ECO_CLAIM_ALREADY)
	{
		already_claimed(&d, &result);
		eco_snapshot_pop();
		return eco_result_row(&result);
	}
	eco_snapshot_pop();

	eco_call_init(&call, ECO_JOURNAL_REWARD, &eco_reward_audit, PG_GETARG_INT64(0));
	if (eco_call_begin(&call) == ECO_CALL_NO_USER ||
		!daily_load(&d, call.user_id, call.account.freezes))
		eco_result_outcome(&result, "refused", "USER_NOT_FOUND");
	else if (call.account.suspended)
		eco_result_outcome(&result, "refused", "USER_SUSPENDED");
	else
		claim(&d, &call.account, &result);
	eco_call_end(&call);
	return eco_result_row(&result);
}

static void
claim(Daily *d, EcoAccount *account, EcoResult *result)
{
	ClaimDay	today = claim_day(d, eco_now());
	EcoStreak	after;
	EcoClaim	what = daily_decide(d, today, &after);
	int32		reward_day;
	const char *refusal;
	EcoEntry	entry;

	if (what == ECO_CLAIM_ALREADY)
	{
		already_claimed(d, result);
		return;
	}
	reward_day = eco_streak_reward_day(&d->policy, after.day);
	refusal = eco_amount_refusal(account, eco_streak_gold(reward_day), eco_streak_xp(reward_day));
	if (refusal != NULL)
	{
		eco_result_outcome(result, "refused", refusal);
		return;
	}
	eco_entry_init(&entry, ECO_JOURNAL_REWARD, &eco_reward_audit);
	entry.gold_delta = eco_streak_gold(reward_day);
	entry.xp_delta = eco_streak_xp(reward_day);
	entry.freezes_delta = after.freezes - d->streak.freezes;
	eco_row_set(&entry.row, RWD_SOURCE, eco_text_of(ECO_SOURCE_STREAK).datum);
	eco_row_set(&entry.row, RWD_EVENT_ID, CStringGetTextDatum(iso_date(today.booked)));
	eco_row_set(&entry.row, RWD_REWARD_DAY, Int32GetDatum(reward_day));
	set_streak(&entry.row, d, &after);
	eco_row_set(&entry.row, RWD_GRACE_USED, BoolGetDatum(what == ECO_CLAIM_GRACE));
	eco_row_set(&entry.row, RWD_FREEZES_USED, Int32GetDatum(-entry.freezes_delta));
	eco_entry_post(account, &entry);
	ECO_CRASH_POINT("daily:after_entry");
	daily_store(d, &after, entry.seq);
	ECO_CRASH_POINT("daily:after_streak");

	eco_result_outcome(result, "new", "CLAIMED");
	set_reward(result, &entry.row);
	eco_result_set(result, RES_NEXT_CLAIM_AT, TimestampTzGetDatum(next_claim_at(d, eco_now())));
}

/* The date as a key: the same whatever DateStyle the session has. */
static char *
iso_date(int32 date)
{
	int			year;
	int			month;
	int			day;

	j2date(date + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	return psprintf("%04d-%02d-%02d", year, month, day);
}

/* The streak as it stands after an entry. */
static void
set_streak(EcoRow *row, const Daily *d, const EcoStreak *after)
{
	eco_row_set(row, RWD_STREAK_DAY, Int32GetDatum(after->day));
	eco_row_set(row, RWD_BEST, Int32GetDatum(after->best));
	set_date(row, RWD_CLAIM_DATE, after->last_claim);
	set_date(row, RWD_LAST_GRACE, after->last_grace);
	set_date(row, RWD_EXCUSED_TO, after->excused_to);
	eco_row_set(row, RWD_TIMEZONE, CStringGetTextDatum(d->user_zone_name));
	if (d->exists)
		eco_row_set(row, RWD_STREAK_BEFORE, Int64GetDatum(d->last_seq));
}

static void
set_date(EcoRow *row, int column, int32 date)
{
	row->isnull[column] = date == ECO_NO_DAY;
	row->values[column] = DateADTGetDatum(date);
}

static int32
get_date(const EcoRow *row, int column)
{
	return row->isnull[column] ? ECO_NO_DAY : DatumGetDateADT(row->values[column]);
}

/* The stored result of the last claim. */
static void
already_claimed(Daily *d, EcoResult *result)
{
	Datum		values[2] = {Int64GetDatum(d->user_id), Int64GetDatum(d->last_seq)};
	EcoRow		row;

	eco_result_outcome(result, "reuse", "ALREADY_CLAIMED");
	if (!eco_row_find(&eco_reward_audit, d->user_id, ECO_RWD_BY_SEQ, 2, values, &row))
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("the last claim of user %lld is missing in reward_audit",
						 (long long) d->user_id));
	set_reward(result, &row);
	eco_result_set(result, RES_NEXT_CLAIM_AT, TimestampTzGetDatum(next_claim_at(d, eco_now())));
}

static void
set_reward(EcoResult *result, const EcoRow *row)
{
	bool		leveled_up;
	int32		level = eco_reward_level(row, &leveled_up);

	eco_result_text(result, ECO_RES_TRANSACTION_ID,
					eco_transaction_id(ECO_JOURNAL_REWARD,
									   eco_row_int(row, ECO_COL_USER_ID),
									   eco_row_int(row, ECO_COL_SEQ)));
	eco_result_set(result, RES_STREAK_DAY, row->values[RWD_STREAK_DAY]);
	eco_result_set(result, RES_CLAIM_DATE, row->values[RWD_CLAIM_DATE]);
	eco_result_set(result, RES_GRACE_USED, row->values[RWD_GRACE_USED]);
	eco_result_set(result, RES_FREEZES_USED, row->values[RWD_FREEZES_USED]);
	eco_result_set(result, RES_GOLD_DELTA, row->values[ECO_COL_GOLD_DELTA]);
	eco_result_set(result, RES_XP_DELTA, row->values[ECO_COL_XP_DELTA]);
	eco_result_set(result, RES_GOLD, row->values[ECO_COL_GOLD]);
	eco_result_set(result, RES_XP, row->values[ECO_COL_XP]);
	eco_result_set(result, RES_LEVEL, Int32GetDatum(level));
	eco_result_set(result, RES_LEVELED_UP, BoolGetDatum(leveled_up));
}

/* Reads under the active snapshot; false for an unknown user. */
static bool
daily_load(Daily *d, int64 user_id, int32 freezes)
{
	Datum		key = Int64GetDatum(user_id);

	memset(d, 0, sizeof(*d));
	d->user_id = user_id;
	d->policy = (EcoStreakPolicy)
	{
		eco_streak_grace_days, eco_streak_dormancy_days,
			(EcoStreakCap) eco_streak_cap, eco_streak_cap_day
	};
	d->streak.last_claim = ECO_NO_DAY;
	d->streak.last_grace = ECO_NO_DAY;
	d->streak.excused_to = ECO_NO_DAY;
	d->streak.freezes = freezes;
	d->user_zone_name = eco_user_timezone(user_id);
	if (d->user_zone_name == NULL)
		return false;
	d->user_zone = zone_of(d->user_zone_name);
	d->claim_zone = d->user_zone;
	d->exists = eco_row_find(&streaks, user_id, 0, 1, &key, &d->row);
	if (!d->exists)
		return true;
	d->streak.day = DatumGetInt32(d->row.values[STR_DAY]);
	d->streak.best = DatumGetInt32(d->row.values[STR_BEST]);
	d->streak.last_claim = DatumGetDateADT(d->row.values[STR_LAST_CLAIM]);
	d->streak.last_grace = get_date(&d->row, STR_LAST_GRACE);
	d->streak.excused_to = get_date(&d->row, STR_EXCUSED_TO);
	d->last_seq = eco_row_int(&d->row, STR_LAST_SEQ);
	d->claim_zone = zone_of(TextDatumGetCString(d->row.values[STR_TIMEZONE]));
	return true;
}

/* The account lock covers the row. */
static void
daily_store(Daily *d, const EcoStreak *after, int64 seq)
{
	if (!d->exists)
		eco_row_init(&d->row, &streaks);
	eco_row_set(&d->row, STR_USER_ID, Int64GetDatum(d->user_id));
	eco_row_set(&d->row, STR_DAY, Int32GetDatum(after->day));
	eco_row_set(&d->row, STR_BEST, Int32GetDatum(after->best));
	eco_row_set(&d->row, STR_LAST_CLAIM, DateADTGetDatum(after->last_claim));
	set_date(&d->row, STR_LAST_GRACE, after->last_grace);
	set_date(&d->row, STR_EXCUSED_TO, after->excused_to);
	eco_row_set(&d->row, STR_LAST_SEQ, Int64GetDatum(seq));
	eco_row_set(&d->row, STR_TIMEZONE, CStringGetTextDatum(d->user_zone_name));
	if (d->exists)
		eco_row_update(&d->row, d->user_id);
	else
		eco_row_insert(&d->row, d->user_id);
	d->streak = *after;
	d->claim_zone = d->user_zone;
}

static EcoClaim
daily_decide(const Daily *d, ClaimDay day, EcoStreak *after)
{
	int32		missed_day;
	int32		missed = eco_streak_missed(&d->policy, &d->streak, day.booked,
										   date_exists, d->claim_zone, &missed_day);

	return eco_streak_claim(&d->policy, &d->streak, day.booked, day.in_user_zone,
							missed, missed_day, after);
}

static ClaimDay
claim_day(const Daily *d, TimestampTz at)
{
	ClaimDay	day;

	day.in_user_zone = local_date(at, d->user_zone);
	day.booked = day.in_user_zone;
	if (d->claim_zone != d->user_zone)
		day.booked = eco_streak_booked(day.in_user_zone, local_date(at, d->claim_zone));
	return day;
}

static int32
local_date(TimestampTz at, pg_tz *zone)
{
	pg_time_t	seconds = timestamptz_to_time_t(at - eco_streak_day_offset * USECS_PER_HOUR);
	struct pg_tm *tm = pg_localtime(&seconds, zone);

	if (tm == NULL)
		ECO_ERROR(ECO_INVALID_TIMEZONE, errmsg("moment is out of the calendar's range"));
	return date2j(tm->tm_year + 1900, tm->tm_mon + 1, tm->tm_mday) - POSTGRES_EPOCH_JDATE;
}

/* A zone that jumped over the date line skipped a whole date; its noon lies elsewhere. */
static bool
date_exists(int32 date, void *arg)
{
	pg_tz	   *zone = arg;
	struct pg_tm tm = {0};
	pg_time_t	noon;
	struct pg_tm *there;

	j2date(date + POSTGRES_EPOCH_JDATE, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	tm.tm_hour = 12;
	tm.tm_isdst = -1;
	noon = ((pg_time_t) date + POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY +
		12 * SECS_PER_HOUR + DetermineTimeZoneOffset(&tm, zone);
	there = pg_localtime(&noon, zone);
	return there != NULL &&
		date2j(there->tm_year + 1900, there->tm_mon + 1, there->tm_mday) -
		POSTGRES_EPOCH_JDATE == date;
}

/*
 * The first moment after `after`, to the second, at which a claim would be for
 * a later date than the last one.  Found by asking the same question that the
 * claim asks, so it holds through zone changes and clock changes.
 */
static TimestampTz
next_claim_at(const Daily *d, TimestampTz after)
{
	TimestampTz low = after - after % USECS_PER_SEC;
	TimestampTz high = low;

	/*
	 * a claim may be behind the calendar by more than a day after a zone
	 * change
	 */
	do
		high += NEXT_CLAIM_SEARCH_H * USECS_PER_HOUR;
	while (claim_day(d, high).booked <= d->streak.last_claim);
	while (high - low > USECS_PER_SEC)
	{
		TimestampTz middle = low + (high - low) / 2;

		middle -= middle % USECS_PER_SEC;
		if (claim_day(d, middle).booked > d->streak.last_claim)
			high = middle;
		else
			low = middle;
	}
	return high;
}

static pg_tz *
zone_of(const char *name)
{
	pg_tz	   *zone = pg_tzset(name);

	if (zone == NULL)
		ECO_ERROR(ECO_INVALID_TIMEZONE,
				  errmsg("time zone \"%s\" is not known to this server", name),
				  errhint("Its time zone data may be older than the one the zone was validated with."));
	return zone;
}

/*
 * eco_streak_reward_sql(day int) returns (gold bigint, xp bigint)
 */
Datum
eco_streak_reward_sql(PG_FUNCTION_ARGS)
{
	EcoResult	result;
	int32		day;

	eco_require_arg(fcinfo, 0, "day");
	day = PG_GETARG_INT32(0);
	if (day < 1)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("day must be 1 or more"));
	eco_result_begin(&result, fcinfo, 2);
	eco_result_set(&result, 0, Int64GetDatum(eco_streak_gold(day)));
	eco_result_set(&result, 1, Int64GetDatum(eco_streak_xp(day)));
	return eco_result_row(&result);
}

/*
 * eco_streak_preview(user_id bigint, days int) returns setof
 *		(claim_date date, outcome text, streak_day int, gold bigint, xp bigint)
 *		The rewards of the coming days if the user claims on each of them.
 */
Datum
eco_streak_preview(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	EcoAccount	account;
	Daily		d;
	int32		ndays;
	ClaimDay	today;

	eco_require_arg(fcinfo, 0, "user_id");
	eco_require_arg(fcinfo, 1, "days");
	ndays = PG_GETARG_INT32(1);
	if (ndays < 1 || ndays > MAX_PREVIEW_DAYS)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("days must be from 1 to %d", MAX_PREVIEW_DAYS));
	InitMaterializedSRF(fcinfo, 0);
	if (eco_account_read(PG_GETARG_INT64(0), &account) &&
		daily_load(&d, account.user_id, account.freezes))
	{
		today = claim_day(&d, eco_now());
		if (d.streak.last_claim != ECO_NO_DAY && today.booked <= d.streak.last_claim)
			today.booked = d.streak.last_claim + 1;
		for (int shown = 0; shown < ndays; today.booked++)
		{
			EcoStreak	after;
			EcoClaim	what;
			int32		reward_day;
			Datum		values[5];
			bool		isnull[5] = {false};

			if (!date_exists(today.booked, d.user_zone))
				continue;
			what = daily_decide(&d, today, &after);
			reward_day = eco_streak_reward_day(&d.policy, after.day);
			values[0] = DateADTGetDatum(today.booked);
			values[1] = CStringGetTextDatum(eco_claim_name(what));
			values[2] = Int32GetDatum(after.day);
			values[3] = Int64GetDatum(eco_streak_gold(reward_day));
			values[4] = Int64GetDatum(eco_streak_xp(reward_day));
			tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
			d.streak = after;
			d.claim_zone = d.user_zone; /* a claim commits a pending zone */
			shown++;
		}
	}
	return (Datum) 0;
}

/*
 * eco_streak_state(user_id bigint) returns (streak_day int, best int,
 *		last_claim_on date, next_outcome text, freezes int, next_claim_at timestamptz)
 *		Evaluated now: a streak that the next claim would not continue is 0.
 */
Datum
eco_streak_state(PG_FUNCTION_ARGS)
{
	EcoResult	result;
	EcoAccount	account;
	Daily		d;
	EcoStreak	after;
	EcoClaim	what;
	bool		alive;
	TimestampTz now = eco_now();

	eco_require_arg(fcinfo, 0, "user_id");
	eco_result_begin(&result, fcinfo, 6);
	if (eco_account_read(PG_GETARG_INT64(0), &account) &&
		daily_load(&d, account.user_id, account.freezes))
	{
		what = daily_decide(&d, claim_day(&d, now), &after);
		alive = what == ECO_CLAIM_ALREADY || after.day > 1;
		eco_result_set(&result, 0, Int32GetDatum(alive ? d.streak.day : 0));
		eco_result_set(&result, 1, Int32GetDatum(d.streak.best));
		if (d.exists)
			eco_result_set(&result, 2, DateADTGetDatum(d.streak.last_claim));
		eco_result_text(&result, 3, eco_claim_name(what));
		eco_result_set(&result, 4, Int32GetDatum(account.freezes));
		eco_result_set(&result, 5,
					   TimestampTzGetDatum(what == ECO_CLAIM_ALREADY ? next_claim_at(&d, now) : now));
	}
	return eco_result_row(&result);
}
