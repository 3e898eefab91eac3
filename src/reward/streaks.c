/*
 * streaks.c
 *		A user's daily streak as it is stored, and what a moment means for it.
 *
 * The rule is core/streak.c; here are its inputs: the local date of a moment in
 * a zone, which dates existed between two claims, and which were paid.  Every
 * entry that changes a streak holds the streak after it and names the entry it
 * went on from, so the streak in the account can be recomputed, and gone back from.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "ledger/args.h"
#include "ledger/level.h"
#include "ledger/user.h"
#include "reward/streak_section.h"
#include "reward/streaks.h"
#include "settings.h"

#define NEXT_CLAIM_SEARCH_H 72	/* the next date begins within this */

EcoTable   *const eco_daily_tables[] = {&eco_reward_audit, &eco_accounts, &eco_users,
ECO_LEVEL_TABLES, NULL};
EcoTable   *const eco_daily_seen_tables[] = {&eco_accounts, &eco_users,
&eco_level_experiments, NULL};

static void set_date(EcoRow *row, int column, int32 date);
static int32 get_date(const EcoRow *row, int column);
static bool is_paid(const EcoDaily *d, int32 date, EcoRow *entry, char **event_id);
static int32 local_date(TimestampTz at, pg_tz *zone);

bool
eco_daily_load(EcoDaily *d, const EcoAccount *account)
{
	EcoSection	section;
	EcoStoredStreak stored;

	memset(d, 0, sizeof(*d));
	d->user_id = account->user_id;
	d->policy = (EcoStreakPolicy)
	{
		eco_streak_grace_days, eco_streak_dormancy_days,
			(EcoStreakCap) eco_streak_cap, eco_streak_cap_day
	};
	d->streak.last_claim = ECO_NO_DAY;
	d->streak.last_grace = ECO_NO_DAY;
	d->streak.excused_to = ECO_NO_DAY;
	d->streak.freezes = account->freezes;
	d->paid_to = ECO_NO_DAY;
	d->user_zone_name = eco_user_timezone(account->user_id);
	if (d->user_zone_name == NULL)
		return false;
	d->user_zone = eco_zone_or_utc(d->user_zone_name);
	eco_daily_commit_zone(d);
	if (!eco_account_section(account, ECO_SECTION_STREAK, &section))
		return true;
	if (!eco_streak_read(&section, &stored))
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("account of user %lld has a damaged streak", (long long) d->user_id));
	d->streak.day = stored.day;
	d->streak.best = stored.best;
	d->streak.last_claim = stored.last_claim;
	d->streak.last_grace = stored.last_grace;
	d->streak.excused_to = stored.excused_to;
	d->paid_to = stored.paid_to;
	d->last_seq = stored.last_seq;
	if (d->streak.last_claim != ECO_NO_DAY)
	{
		d->claim_zone_name = pnstrdup(stored.zone, stored.zone_len);
		d->claim_zone = eco_zone_or_utc(d->claim_zone_name);
	}
	return true;
}

void
eco_daily_go_back(EcoDaily *d, const EcoRow *entry)
{
	Datum		values[2] = {Int64GetDatum(d->user_id), entry->values[RWD_STREAK_BEFORE]};
	EcoRow		before;

	d->streak.day = 0;
	d->streak.best = 0;
	d->streak.last_claim = ECO_NO_DAY;
	d->streak.last_grace = ECO_NO_DAY;
	d->streak.excused_to = ECO_NO_DAY;
	d->last_seq = 0;
	eco_daily_commit_zone(d);
	if (entry->isnull[RWD_STREAK_BEFORE])
		return;
	if (!eco_row_find(&eco_reward_audit, d->user_id, ECO_RWD_BY_SEQ, 2, values, &before) ||
		before.isnull[RWD_STREAK_DAY] || before.isnull[RWD_BEST] || before.isnull[RWD_TIMEZONE])
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("a claim of user %lld goes on from an entry that is missing in "
						 "reward_audit or has no streak",
						 (long long) d->user_id));
	d->streak.day = DatumGetInt32(before.values[RWD_STREAK_DAY]);
	d->streak.best = DatumGetInt32(before.values[RWD_BEST]);
	d->streak.last_claim = get_date(&before, RWD_CLAIM_DATE);
	d->streak.last_grace = get_date(&before, RWD_LAST_GRACE);
	d->streak.excused_to = get_date(&before, RWD_EXCUSED_TO);
	d->last_seq = eco_row_int(&before, ECO_COL_SEQ);
	d->claim_zone_name = TextDatumGetCString(before.values[RWD_TIMEZONE]);
	d->claim_zone = eco_zone_or_utc(d->claim_zone_name);
}

void
eco_daily_note(const EcoDaily *d, EcoRow *entry)
{
	eco_row_set(entry, RWD_STREAK_DAY, Int32GetDatum(d->streak.day));
	eco_row_set(entry, RWD_BEST, Int32GetDatum(d->streak.best));
	set_date(entry, RWD_CLAIM_DATE, d->streak.last_claim);
	set_date(entry, RWD_LAST_GRACE, d->streak.last_grace);
	set_date(entry, RWD_EXCUSED_TO, d->streak.excused_to);
	eco_row_set(entry, RWD_TIMEZONE, CStringGetTextDatum(d->claim_zone_name));
	if (d->last_seq != 0)
		eco_row_set(entry, RWD_STREAK_BEFORE, Int64GetDatum(d->last_seq));
}

void
eco_daily_put(const EcoDaily *d, EcoAccount *account)
{
	EcoStoredStreak stored = {
		.day = d->streak.day, .best = d->streak.best,
		.last_claim = d->streak.last_claim, .last_grace = d->streak.last_grace,
		.excused_to = d->streak.excused_to, .paid_to = d->paid_to,
		.last_seq = d->last_seq,
		.zone = d->claim_zone_name, .zone_len = (int) strlen(d->claim_zone_name)
	};
	uint8		payload[ECO_STREAK_MAX];
	EcoSection	section = {.version = ECO_STREAK_VERSION, .data = payload};

	/*
	 * it comes from the user or an entry, where anything may have been put by
	 * hand
	 */
	if (stored.zone_len < 1 || stored.zone_len > ECO_STREAK_ZONE)
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("daily streak of user %lld has a time zone that is none",
						 (long long) d->user_id));
	section.len = eco_streak_write(&stored, payload);
	eco_account_set_section(account, ECO_SECTION_STREAK, &section);
}

void
eco_daily_commit_zone(EcoDaily *d)
{
	d->claim_zone_name = d->user_zone_name;
	d->claim_zone = d->user_zone;
}

/* The second that a moment is in, also before 2000, where a division rounds up. */
static TimestampTz
whole_second(TimestampTz at)
{
	TimestampTz fraction = at % USECS_PER_SEC;

	return at - fraction - (fraction < 0 ? USECS_PER_SEC : 0);
}

EcoClaimDay
eco_daily_at(const EcoDaily *d, TimestampTz at)
{
	EcoClaimDay day;

	day.in_user_zone = local_date(at, d->user_zone);
	day.booked = day.in_user_zone;
	if (d->claim_zone != d->user_zone)
		day.booked = eco_streak_booked(day.in_user_zone, local_date(at, d->claim_zone));
	return day;
}

/* Whether the date counts as missed: it existed, and no claim was paid for it. */
static bool
could_be_missed(int32 date, void *arg)
{
	const EcoDaily *d = arg;
	EcoRow		entry;
	char	   *event_id;

	return eco_daily_date_exists(date, d->claim_zone) &&
		!(date <= d->paid_to && is_paid(d, date, &entry, &event_id));
}

void
eco_daily_decide(const EcoDaily *d, EcoClaimDay day, EcoDailyClaim *claim)
{
	int32		missed_day;
	int32		missed = eco_streak_missed(&d->policy, &d->streak, day.booked,
										   could_be_missed, (void *) d, &missed_day);

	claim->what = eco_streak_claim(&d->policy, &d->streak, day.booked, day.in_user_zone,
								   missed, missed_day, &claim->after);
	claim->paid = claim->what != ECO_CLAIM_ALREADY &&
		is_paid(d, day.booked, &claim->entry, &claim->event_id);
	if (claim->paid)
		claim->what = ECO_CLAIM_ALREADY;
}

int32
eco_daily_day_before(const EcoDaily *d, const EcoDailyClaim *claim)
{
	bool		alive = (claim->what == ECO_CLAIM_ALREADY && !claim->paid) || claim->after.day > 1;

	return alive ? d->streak.day : 0;
}

/*
 * Whether a claim was taken back: all that it gave, or its date, which is given back
 * also when the user did not have all of the gold any more.
 */
static bool
was_taken_back(const EcoRow *claim)
{
	EcoReversed reversed = eco_reward_reversed(claim, PG_INT64_MAX);
	EcoHoldings left;

	if (reversed.reversals == 0 || reversed.gave_back)
		return reversed.gave_back;
	return !eco_reward_left(claim, &reversed, &left) &&
		reversed.gold == eco_row_int(claim, ECO_COL_GOLD_DELTA) &&
		reversed.xp == eco_row_int(claim, ECO_COL_XP_DELTA);
}

/*
 * Whether the date was paid and not given back: *entry is the entry that paid it.  If
 * not, *event_id is what the entry of a claim on this date is to be called.  The
 * streak alone does not tell: set_streak() may have put it back before such a date.
 */
static bool
is_paid(const EcoDaily *d, int32 date, EcoRow *entry, char **event_id)
{
	Datum		key[3] = {Int64GetDatum(d->user_id), eco_text_of(ECO_SOURCE_STREAK).datum};

	/* a date that was given back is claimed again under another name */
	*event_id = eco_iso_date(date);
	for (int n = 2; date <= d->paid_to; n++)
	{
		key[2] = CStringGetTextDatum(*event_id);
		if (!eco_row_find(&eco_reward_audit, d->user_id, ECO_RWD_BY_EVENT, 3, key, entry))
			return false;
		if (!was_taken_back(entry))
			return true;
		*event_id = psprintf("%s/%d", eco_iso_date(date), n);
	}
	return false;
}

/* Dates after the last claim may be paid only where the streak was put back. */
bool
eco_daily_asks_journal(const EcoDaily *d)
{
	return d->paid_to > d->streak.last_claim;
}

/*
 * The next moment, at_most at the latest, at which the clock of the user's zone or of
 * the claim's zone is set forward or back.
 */
static TimestampTz
clock_change(const EcoDaily *d, TimestampTz after, TimestampTz at_most)
{
	pg_tz	   *zones[] = {d->user_zone, d->claim_zone};

	for (int i = 0; i < (zones[0] == zones[1] ? 1 : 2); i++)
	{
		pg_time_t	seconds = timestamptz_to_time_t(after - eco_streak_day_offset * USECS_PER_HOUR);
		pg_time_t	boundary;
		long		before_offset;
		long		after_offset;
		int			before_dst;
		int			after_dst;

		if (pg_next_dst_boundary(&seconds, &before_offset, &before_dst, &boundary,
								 &after_offset, &after_dst, zones[i]) == 1)
			at_most = Min(at_most,
						  time_t_to_timestamptz(boundary) + eco_streak_day_offset * USECS_PER_HOUR);
	}
	return at_most;
}

/*
 * The first second that is booked on a later date than this: low is not, high is, and
 * no clock is set between the two, so halving finds it.
 */
static TimestampTz
first_second(const EcoDaily *d, TimestampTz low, TimestampTz high, int32 date)
{
	while (high - low > USECS_PER_SEC)
	{
		TimestampTz middle = low + (high - low) / 2 / USECS_PER_SEC * USECS_PER_SEC;

		if (eco_daily_at(d, middle).booked > date)
			high = middle;
		else
			low = middle;
	}
	return high;
}

/*
 * The first moment that is booked on a later date: now, when that is one.  After it
 * a date begins with a second, between two changes of the clock or at one; a clock
 * set back over midnight begins a date twice.
 */
static TimestampTz
begin_of_next(const EcoDaily *d, TimestampTz after, int32 date)
{
	TimestampTz low = whole_second(after);

	if (eco_daily_at(d, after).booked > date)
		return after;
	for (;;)
	{
		/* after a change of zone a claim may be behind by more than a day */
		TimestampTz high = clock_change(d, low, low + NEXT_CLAIM_SEARCH_H * USECS_PER_HOUR);

		if (high - low > USECS_PER_SEC && eco_daily_at(d, high - USECS_PER_SEC).booked > date)
			return first_second(d, low, high - USECS_PER_SEC, date);
		if (eco_daily_at(d, high).booked > date)
			return high;
		CHECK_FOR_INTERRUPTS();
		low = high;
	}
}

/*
 * Asks for one date after the other what a claim would ask, so that the answer holds
 * through changes of zones and of clocks.
 */
TimestampTz
eco_daily_next_claim(const EcoDaily *d, TimestampTz after)
{
	int32		date = d->streak.last_claim;
	TimestampTz next;
	EcoRow		entry;
	char	   *event_id;

	do
	{
		next = begin_of_next(d, after, date);
		date = eco_daily_at(d, next).booked;
	} while (is_paid(d, date, &entry, &event_id));
	return next;
}

static int32
local_date(TimestampTz at, pg_tz *zone)
{
	return eco_local_date(whole_second(at) - eco_streak_day_offset * USECS_PER_HOUR, zone);
}

/*
 * False for a date that the zone skipped when it jumped over the date line: what would
 * be its noon lies on another date.
 */
bool
eco_daily_date_exists(int32 date, void *arg)
{
	pg_tz	   *zone = arg;
	struct pg_tm tm = {0};
	pg_time_t	noon;
	struct pg_tm *there;
	long		offset;

	if (pg_get_timezone_offset(zone, &offset))
		return true;			/* it never jumps */
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

/* The date as a key: the same whatever DateStyle the session has. */
char *
eco_iso_date(int32 date)
{
	int			year;
	int			month;
	int			day;

	j2date(date + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	return psprintf("%04d-%02d-%02d", year, month, day);
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
