/*
 * observe.c
 *		What an entry is to the missions of its user.
 *
 * Progress is a function of the user's entries, in their order, and of the missions as they
 * were published: nothing else is asked.  So the audit can count again.  It goes into the
 * account with the entry, in the same update, and no lock is taken for it.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "core/varint.h"
#include "errors.h"
#include "mission/distinct.h"
#include "mission/observe.h"

#define SOURCE_LEN ((int) strlen(ECO_SOURCE_MISSION))

enum
{
	MORE_USER_ID,
	MORE_PROGRESS,
	MORE_COLUMNS
};

static EcoTable mission_progress_more = {
	.name = "mission_progress_more",
	.internal = true,
	.later = true,
	.ncolumns = MORE_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"progress", BYTEAOID, ECO_MUTABLE},
	},
	.nkeys = 1,
	.keys = {{1, {MORE_USER_ID}}},
};

static int64
floor_div(int64 a, int64 b)
{
	return a / b - (a % b < 0);
}

/*
 * The row as it is.  The account's lock guards it, or that nobody has changed the account
 * since it was read, which its write proves.
 */
static bool
find_row(const EcoAccount *account, EcoAccess access, EcoRow *row)
{
	EcoTable   *const tables[] = {&mission_progress_more, NULL};
	Datum		key = Int64GetDatum(account->user_id);
	EcoOpenTables *open;
	bool		found;

	if (account->put_row != NULL)
	{
		*row = *account->put_row;
		return true;
	}
	open = eco_part_open(access, account->user_id, tables);
	found = eco_row_find(&mission_progress_more, account->user_id, 0, 1, &key, row);
	if (found)
		row->values[MORE_PROGRESS] = PointerGetDatum(DatumGetByteaPP(row->values[MORE_PROGRESS]));
	eco_tables_close(open);
	return found;
}

bool
eco_missions_read(const EcoAccount *account, EcoAccess access, EcoProgresses *progress,
				  EcoRow *row)
{
	EcoSection	section;

	(void) eco_account_section(account, ECO_SECTION_MISSIONS, &section);
	return eco_progress_read(&section, progress) &&
		(!progress->has_row ||
		 (find_row(account, access, row) &&
		  eco_progress_read_row(DatumGetByteaPP(row->values[MORE_PROGRESS]), progress)));
}

static void
damaged(int64 user_id)
{
	ECO_ERROR(ECO_LEDGER_DAMAGED,
			  errmsg("account of user %lld has damaged progress of missions",
					 (long long) user_id));
}

static void
read_progress(EcoObservation *o)
{
	if (o->account == NULL)
		return;
	/* the row in the mode of its write, which may follow */
	if (!eco_missions_read(o->account, ECO_WRITE_LATEST, &o->progress, &o->row))
		damaged(o->account->user_id);
	o->account = NULL;
}

/* What has found no room in the section, when it is another than the row has. */
static void
put_row(EcoAccount *account, EcoObservation *o, bool is_read)
{
	bytea	   *now = eco_progress_write_row(&o->progress);

	/* one that nobody says there is may stand there all the same */
	if (!is_read && !find_row(account, ECO_WRITE_LATEST, &o->row))
	{
		eco_row_init(&o->row, &mission_progress_more);
		eco_row_set(&o->row, MORE_USER_ID, Int64GetDatum(account->user_id));
	}
	else if (is_read)
	{
		const bytea *was = DatumGetByteaPP(o->row.values[MORE_PROGRESS]);

		if (VARSIZE_ANY_EXHDR(was) == VARSIZE_ANY_EXHDR(now) &&
			memcmp(VARDATA_ANY(was), VARDATA_ANY(now), VARSIZE_ANY_EXHDR(now)) == 0)
		{
			pfree(now);
			return;
		}
	}
	eco_row_set(&o->row, MORE_PROGRESS, PointerGetDatum(now));
	eco_account_put_row(account, &o->row);
	pfree(now);
}

/* Whether the mission counts what is done at that moment. */
static bool
is_open(const EcoMission *mission, TimestampTz at, EcoReading reading)
{
	if (at < mission->starts_at)
		return false;
	if (reading == ECO_READ_LEAST && at < mission->published_at + ECO_HEARD_WITHIN)
		return false;
	if (reading == ECO_READ_MOST && mission->ends_at == mission->retired_at)
		return mission->retired_at == DT_NOEND || at < mission->retired_at + ECO_HEARD_WITHIN;
	return at < mission->ends_at;
}

/* Whether it is the reward of a mission, of whichever. */
static bool
is_claim(const EcoRow *entry)
{
	int			column = eco_column_named(entry->table, "source");
	text	   *source;

	if (entry->table != eco_journal_of('R')->table)
		return false;
	source = DatumGetTextPP(entry->values[column]);
	return (int) VARSIZE_ANY_EXHDR(source) > SOURCE_LEN &&
		memcmp(VARDATA_ANY(source), ECO_SOURCE_MISSION, SOURCE_LEN) == 0;
}

/* What an entry adds; 0: it does not count. */
static int64
increment_of(const EcoMission *mission, const EcoRow *entry)
{
	int64		number = 1;

	if (mission->condition != NULL && eco_condition_of(mission->condition, entry) != ECO_TRUE)
		return 0;
	if (mission->counting == ECO_DISTINCT)
	{
		EcoDistinct value;

		eco_distinct_of(&mission->field, entry, &value);
		return value.len > 0;
	}
	if (eco_mission_has_field(mission->counting) && !eco_fact_int(&mission->field, entry, &number))
		return 0;
	return Min(Max(number, 0), Min(mission->increment_cap, mission->target));
}

/*
 * Before the entry: what completes one mission is not counted for the next.  A version that
 * was over when the next was published is not meant: who had completed it has it no more.
 */
static bool
is_completed(EcoObservation *o, const EcoMission *next, int mission)
{
	for (int i = 0; i < o->progress.n; i++)
	{
		const EcoProgress *record = &o->progress.records[i];
		const EcoMission *of = eco_mission_of(o->missions, record->number);

		if (of != NULL && of->mission == mission && record->state != ECO_MISSION_ACTIVE &&
			!record->just_now && eco_mission_opens(of, next))
			return true;
	}
	return false;
}

static bool
is_unlocked(EcoObservation *o, const EcoMission *mission)
{
	for (int i = 0; i < mission->nrequires; i++)
		if (!is_completed(o, mission, mission->requires[i]))
			return false;
	return true;
}

/* The run that is under way, or another one, when the last one is claimed. */
static EcoProgress *
run_for(EcoObservation *o, const EcoMission *mission)
{
	EcoProgress *last = eco_progress_last(&o->progress, mission->number);

	if (last == NULL)
		return eco_progress_add(&o->progress, mission->number, 1);
	if (last->state != ECO_MISSION_CLAIMED)
		return last;
	if (last->period >= mission->cycle.n)
		return NULL;
	/* there is one at a time, so it stays in its place */
	*last = (EcoProgress)
	{
		.number = last->number, .period = last->period + 1, .in_row = last->in_row,
			.state = ECO_MISSION_ACTIVE, .is_new = true
	};
	return last;
}

/* The window that the moment lies in. */
static EcoProgress *
window_of(EcoObservation *o, const EcoMission *mission, TimestampTz at)
{
	EcoProgress *last = eco_progress_last(&o->progress, mission->number);

	return last != NULL && at >= last->period * USECS_PER_SEC &&
		at < eco_cycle_ends(&mission->cycle, last->period) ? last : NULL;
}

/* The streak whose last period the moment lies in. */
static EcoProgress *
streak_of(EcoObservation *o, const EcoMission *mission, TimestampTz at)
{
	EcoProgress *last = eco_progress_last(&o->progress, mission->number);

	return last != NULL && last->progress > 0 &&
		eco_period_of(mission->cycle.period, at) == last->period + last->progress - 1 ?
		last : NULL;
}

/* The streak that the moment's period is the last of, or goes on with, or another one. */
static EcoProgress *
streak_for(EcoObservation *o, const EcoMission *mission, TimestampTz at)
{
	EcoProgress *last = eco_progress_last(&o->progress, mission->number);
	int64		period = eco_period_of(mission->cycle.period, at);

	if (last != NULL && period < last->period + Max(last->progress - 1, 0))
		return NULL;
	if (last == NULL || period > last->period + Min(last->progress, mission->target - 1))
		return eco_progress_add(&o->progress, mission->number, period);
	return last;
}

/* The record that an entry of that moment was counted in, if it was; NULL: there is none. */
static EcoProgress *
record_of(EcoObservation *o, const EcoMission *mission, TimestampTz at)
{
	if (mission->counting == ECO_STREAK)
		return streak_of(o, mission, at);
	switch (mission->cycle.anew)
	{
		case ECO_ANEW_AFTER_CLAIM:
			return eco_progress_last(&o->progress, mission->number);
		case ECO_ANEW_AFTER_HOURS:
			return window_of(o, mission, at);
		case ECO_ANEW_BY_CALENDAR:
			break;
	}
	return eco_progress_find(&o->progress, mission->number,
							 eco_period_of(mission->cycle.period, at));
}

/*
 * The record that an entry is counted in, or NULL.  None is begun for the period before one
 * that has begun: a clock was set back, and what it had is forgotten.  A day or week that is
 * further ahead was begun by a clock that was wrong, and is waited for by nobody.
 */
static EcoProgress *
record_for(EcoObservation *o, const EcoMission *mission, TimestampTz at)
{
	EcoProgress *record;
	int64		period;

	if (mission->counting == ECO_STREAK)
		return streak_for(o, mission, at);
	if (mission->cycle.anew == ECO_ANEW_AFTER_CLAIM)
		return run_for(o, mission);
	record = record_of(o, mission, at);
	if (record != NULL)
		return record;
	if (mission->cycle.anew == ECO_ANEW_BY_CALENDAR)
	{
		period = eco_period_of(mission->cycle.period, at);
		if (eco_progress_find(&o->progress, mission->number, period + 1) != NULL)
			return NULL;
	}
	else
	{
		const EcoProgress *last = eco_progress_last(&o->progress, mission->number);

		period = floor_div(at, USECS_PER_SEC);
		if (last != NULL && last->period >= period)
			return NULL;
	}
	return eco_progress_add(&o->progress, mission->number, period);
}

/* Count a value, or take one back: so many more there are, or less. */
static int
move_distinct(EcoObservation *o, const EcoMission *mission, EcoProgress *record,
			  const EcoRow *entry, bool back)
{
	uint8	   *kept = eco_progress_keep(&o->progress, record);
	EcoDistinct value;

	if (eco_distinct_count(kept, record->kept_len) != record->progress)
		damaged(eco_row_int(entry, ECO_COL_USER_ID));
	eco_distinct_of(&mission->field, entry, &value);
	return back ? eco_distinct_take(kept, &record->kept_len, &value) :
		eco_distinct_add(kept, &record->kept_len, &value);
}

/*
 * What is kept of a streak is by how many entries its last period counts; nothing, when a
 * period behind it was taken back.
 */
static void
keep_times(EcoObservation *o, EcoProgress *record, uint64 times)
{
	uint8	   *end;

	if (times == 0)
	{
		eco_progress_keep_nothing(record);
		return;
	}
	end = eco_progress_keep(&o->progress, record);
	eco_varint_write(&end, times);
	record->kept_len = (int) (end - record->kept);
}

static uint64
kept_times(const EcoProgress *record, const EcoRow *entry)
{
	EcoReader	reader = {.at = record->kept, .end = record->kept + record->kept_len};
	uint64		times;

	if (record->kept_len == 0)
		return 0;
	times = eco_varint_read(&reader, PG_INT32_MAX);
	if (times == 0 || reader.damaged || reader.at != reader.end)
		damaged(eco_row_int(entry, ECO_COL_USER_ID));
	return times;
}

/* One period more, or another entry in the last one. */
static void
advance_streak(EcoObservation *o, const EcoMission *mission, EcoProgress *record,
			   const EcoRow *entry)
{
	TimestampTz at = DatumGetTimestampTz(entry->values[ECO_COL_CREATED_AT]);
	uint64		times = kept_times(record, entry);

	if (eco_period_of(mission->cycle.period, at) == record->period + record->progress)
	{
		record->progress++;
		keep_times(o, record, 1);
	}
	else if (times > 0 && times < PG_INT32_MAX)
		keep_times(o, record, times + 1);
}

/* The last period, when no other entry counts in it; one before it stays. */
static void
take_back_streak(EcoObservation *o, EcoProgress *record, const EcoRow *entry)
{
	uint64		times = kept_times(record, entry);

	if (times == 0)
		return;
	keep_times(o, record, times - 1);
	if (times == 1)
		record->progress--;
	o->changed = true;
}

/* Progress with the entry, which ends at the target. */
static void
advance(EcoObservation *o, const EcoMission *mission, EcoProgress *record, int64 increment,
		const EcoRow *entry)
{
	if (mission->counting == ECO_MAX)
		record->progress = Max(record->progress, increment);
	else if (mission->counting == ECO_STREAK)
		advance_streak(o, mission, record, entry);
	else
	{
		if (mission->counting == ECO_DISTINCT)
			increment = move_distinct(o, mission, record, entry, false);
		record->progress = Min(record->progress + increment, mission->target);
	}
}

static void
count(EcoObservation *o, const EcoMission *mission, int64 increment, const EcoRow *entry)
{
	TimestampTz at = DatumGetTimestampTz(entry->values[ECO_COL_CREATED_AT]);
	EcoProgress *record;

	read_progress(o);
	if (!is_unlocked(o, mission))
		return;
	record = record_for(o, mission, at);
	/* what is completed has all that it is paid for */
	if (record == NULL || record->state != ECO_MISSION_ACTIVE)
		return;
	/* before it was unlocked, or has begun, what looks the same did not count */
	if (record->is_new && (mission->nrequires > 0 || mission->counting == ECO_STREAK ||
						   mission->cycle.anew != ECO_ANEW_BY_CALENDAR))
		record->since = eco_row_int(entry, ECO_COL_SEQ);
	record->is_new = false;
	advance(o, mission, record, increment, entry);
	record->just_now = record->progress >= mission->target;
	if (record->just_now)
	{
		record->state = ECO_MISSION_COMPLETED;
		record->since = eco_row_int(entry, ECO_COL_SEQ);
		/* nothing is taken back of it any more */
		eco_progress_keep_nothing(record);
		o->completed = true;
	}
	o->changed = true;
}

/* A greatest value stays: which one was the second is not known. */
static void
take_back(EcoObservation *o, const EcoMission *mission, int64 increment, const EcoRow *entry)
{
	TimestampTz at = DatumGetTimestampTz(entry->values[ECO_COL_CREATED_AT]);
	EcoProgress *record;

	if (mission->counting == ECO_MAX)
		return;
	read_progress(o);
	record = record_of(o, mission, at);
	if (record == NULL || record->state != ECO_MISSION_ACTIVE ||
		eco_row_int(entry, ECO_COL_SEQ) < record->since)
		return;
	if (mission->counting == ECO_STREAK)
	{
		take_back_streak(o, record, entry);
		return;
	}
	if (mission->counting == ECO_DISTINCT)
		increment = move_distinct(o, mission, record, entry, true);
	record->progress = Max(record->progress - increment, 0);
	o->changed = true;
}

static void
count_for(EcoObservation *o, const EcoMission *mission, const EcoRow *entry, bool back)
{
	int64		increment;

	if (!is_open(mission, DatumGetTimestampTz(entry->values[ECO_COL_CREATED_AT]), o->reading))
		return;
	increment = increment_of(mission, entry);
	if (increment <= 0)
		return;

	/*
	 * else what a mission pays would begin it, or another one, again and
	 * again
	 */
	if (mission->cycle.anew == ECO_ANEW_AFTER_CLAIM && is_claim(entry))
		return;
	if (back)
		take_back(o, mission, increment, entry);
	else
		count(o, mission, increment, entry);
}

static bool
is_text(Datum value, const char *chars, int len)
{
	text	   *have = DatumGetTextPP(value);

	return (int) VARSIZE_ANY_EXHDR(have) == len && memcmp(VARDATA_ANY(have), chars, len) == 0;
}

/* What is held comes back, or goes to another with an entry of its own: none is spent yet. */
static bool
is_held(const EcoWatch *watch, const EcoRow *entry)
{
	static const char *const operations[] = {"escrow_hold", "escrow_close", "round_open"};

	if (watch->operation < 0)
		return false;
	for (int i = 0; i < (int) lengthof(operations); i++)
		if (is_text(entry->values[watch->operation], operations[i], (int) strlen(operations[i])))
			return true;
	return false;
}

/* Count the entry, or take one that it reverses back, where it was counted. */
static void
count_all(EcoObservation *o, const EcoWatch *watch, const EcoRow *entry, bool back)
{
	if (is_held(watch, entry))
		return;
	/* a clock that was set back asks for those that had ended */
	if (o->everything ||
		DatumGetTimestampTz(entry->values[ECO_COL_CREATED_AT]) < watch->since)
	{
		for (int i = 0; i < watch->nall; i++)
			count_for(o, watch->all[i], entry, back);
		return;
	}
	for (int i = 0; i < watch->ncurrent && watch->current[i]->lifted == NULL; i++)
		count_for(o, watch->current[i], entry, back);
	for (int k = 0; k < watch->nlifted; k++)
	{
		const EcoLifted *lifted = &watch->lifted[k];
		EcoValue text;

		eco_fact_read(lifted->fact, entry, &text);
		if (text.kind != ECO_VALUE_TEXT)
			continue;
		for (int i = eco_lifted_from(watch, lifted, &text);
			 i < lifted->end && eco_lifted_compare(watch->current[i], &text) == 0; i++)
			count_for(o, watch->current[i], entry, back);
	}
}

/* What a journal says of an entry by that name, or 0. */
static int64
units_of(const EcoRow *row)
{
	int			column = eco_column_named(row->table, "quantity");

	return column < 0 || row->isnull[column] ? 0 : DatumGetInt32(row->values[column]);
}

/* Of an entry that takes another one back in part, that one goes on to count. */
static void
reverse_in(EcoObservation *o, const EcoWatch *watch, const EcoRow *entry, Datum seq)
{
	Datum		key[] = {entry->values[ECO_COL_USER_ID], seq};
	EcoRow		reversed;

	if (watch != NULL && eco_table_is_open(watch->journal->table) &&
		eco_row_find(watch->journal->table, DatumGetInt64(key[0]), 0, 2, key, &reversed) &&
		eco_row_int(&reversed, ECO_COL_GOLD_DELTA) == -eco_row_int(entry, ECO_COL_GOLD_DELTA) &&
		eco_row_int(&reversed, ECO_COL_XP_DELTA) == -eco_row_int(entry, ECO_COL_XP_DELTA) &&
		units_of(&reversed) == units_of(entry))
		count_all(o, watch, &reversed, true);
}

/* It is of the same journal, or a purchase, whose refunds have a journal of their own. */
static void
reverse(EcoObservation *o, const EcoWatch *watch, const EcoRow *entry)
{
	Datum		seq = entry->values[watch->reverses];
	const EcoJournal *purchases = eco_journal_of('P');

	reverse_in(o, watch, entry, seq);
	if (watch->journal != purchases)
		reverse_in(o, eco_missions_watch(o->missions, purchases), entry, seq);
}

char *
eco_mission_key(const EcoCycle *cycle, int32 version, int64 number)
{
	int			year;
	int			month;
	int			day;
	int64		date;
	int			seconds;

	if (cycle->anew == ECO_ANEW_AFTER_CLAIM)
		return psprintf("%d.%lld", version, (long long) number);
	if (cycle->anew == ECO_ANEW_BY_CALENDAR && cycle->period == ECO_PERIOD_EVER)
		return pstrdup("once");
	date = cycle->anew == ECO_ANEW_AFTER_HOURS ? floor_div(number, SECS_PER_DAY) :
		eco_period_start(cycle->period, number) / USECS_PER_DAY;
	j2date((int) date + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	if (cycle->anew == ECO_ANEW_AFTER_HOURS)
	{
		seconds = (int) (number - date * SECS_PER_DAY);
		return psprintf("%04d-%02d-%02dT%02d:%02d:%02dZ", year, month, day,
						seconds / SECS_PER_HOUR, seconds / SECS_PER_MINUTE % MINS_PER_HOUR,
						seconds % SECS_PER_MINUTE);
	}
	if (cycle->period == ECO_PERIOD_DAY)
		return psprintf("%04d-%02d-%02d", year, month, day);
	return psprintf("%04d-W%02d", date2isoyear(year, month, day),
					date2isoweek(year, month, day));
}

/* Whose claim a reward is; NULL: it is of no mission that there was. */
static const EcoMission *
claimed_mission(const EcoMissions *missions, const char *name, int len, int64 version)
{
	for (int i = 1; i < missions->n; i++)
	{
		const EcoMission *of = missions->by_number[i];

		if (of != NULL && of->version == version && (int) strlen(of->name) == len &&
			memcmp(of->name, name, len) == 0)
			return of;
	}
	return NULL;
}

static void
claim(EcoObservation *o, const EcoMission *mission, const EcoRow *entry, const EcoWatch *watch)
{
	read_progress(o);
	for (int i = 0; i < o->progress.n; i++)
	{
		EcoProgress *record = &o->progress.records[i];
		char	   *key;

		if (record->number != mission->number || record->state != ECO_MISSION_COMPLETED)
			continue;
		key = eco_mission_key(&mission->cycle, mission->version, record->period);
		if (is_text(entry->values[watch->event_id], key, (int) strlen(key)))
		{
			record->state = ECO_MISSION_CLAIMED;
			o->changed = true;
			return;
		}
	}
	o->unearned = mission->number;
}

static void
claim_if_one(EcoObservation *o, const EcoWatch *watch, const EcoRow *entry)
{
	text	   *source;
	int64		version;
	const EcoMission *mission;

	if (!is_claim(entry) || watch->source < 0 || watch->event_id < 0)
		return;
	source = DatumGetTextPP(entry->values[watch->source]);
	if (!eco_fact_int(&watch->version, entry, &version))
		return;
	mission = claimed_mission(o->missions, VARDATA_ANY(source) + SOURCE_LEN,
							  (int) VARSIZE_ANY_EXHDR(source) - SOURCE_LEN, version);
	if (mission != NULL)
		claim(o, mission, entry, watch);
}

/* Whether nobody can do anything with it any more. */
static bool
is_over(const EcoMission *mission, const EcoProgress *record, TimestampTz at, EcoReading reading)
{
	TimestampTz ends;

	if (mission == NULL)
		return true;
	ends = eco_mission_ends(mission, record);
	if (ends == DT_NOEND || (mission->is_required && eco_mission_is_once(mission)))
		return false;
	/* of what is claimed it is known as long that it was completed */
	if (record->state != ECO_MISSION_ACTIVE)
		ends += mission->claim_hours * USECS_PER_HOUR;
	if (reading == ECO_READ_MOST)
		ends += ECO_HEARD_WITHIN;
	return at >= ends;
}

static void
forget_what_is_over(EcoObservation *o, TimestampTz at)
{
	EcoProgresses *all = &o->progress;
	int			n = 0;

	for (int i = 0; i < all->n; i++)
	{
		EcoProgress *record = &all->records[i];

		record->just_now = false;
		if (!is_over(eco_mission_of(o->missions, record->number), record, at, o->reading))
			all->records[n++] = *record;
		else
			eco_progress_keep_nothing(record);
	}
	all->n = n;
}

void
eco_missions_observe(EcoObservation *o, const EcoJournal *journal, const EcoRow *entry)
{
	const EcoWatch *watch = eco_missions_watch(o->missions, journal);

	o->changed = false;
	o->completed = false;
	o->unearned = 0;
	if (watch == NULL)
		return;
	if (watch->reverses >= 0 && !entry->isnull[watch->reverses])
		reverse(o, watch, entry);
	else
	{
		claim_if_one(o, watch, entry);
		count_all(o, watch, entry, false);
	}
	if (o->changed)
		forget_what_is_over(o, DatumGetTimestampTz(entry->values[ECO_COL_CREATED_AT]));
}

bool
eco_missions_observe_new(EcoAccount *account, const EcoEntry *entry)
{
	EcoObservation o;
	EcoSection	section = {.version = ECO_PROGRESS_VERSION};
	uint8		payload[ECO_PROGRESS_ROOM];
	bool		had_row;

	o.missions = eco_missions();
	if (o.missions == NULL)
		return false;
	o.reading = ECO_READ_AS_MADE;
	o.everything = false;
	o.account = account;
	o.progress.context = CurrentMemoryContext;
	o.progress.n = 0;
	o.progress.room = 0;
	o.progress.records = NULL;
	eco_missions_observe(&o, entry->journal, &entry->row);
	if (o.changed)
	{
		had_row = o.progress.has_row;
		section.data = payload;
		section.len = eco_progress_write(&o.progress, payload);
		/* first: what is kept of a record may stand in the section that was */
		if (o.progress.has_row)
			put_row(account, &o, had_row);
		eco_account_put_section(account, ECO_SECTION_MISSIONS, &section);
	}
	eco_progress_clear(&o.progress);
	if (o.progress.records != NULL)
		pfree(o.progress.records);
	return o.completed;
}
