/*
 * dry_run.c
 *		What a mission that is not published would have been to users.
 *
 * The entries are shown to the observer that they were shown to when they were made, with
 * no missions but this one and those that it requires, and nothing is kept of a user but
 * what is added up.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "ledger/args.h"
#include "ledger/result.h"
#include "ledger/stream.h"
#include "mission/observe.h"

PG_FUNCTION_INFO_V1(eco_mission_would_be);

enum
{
	RES_USERS,
	RES_ENTRIES,
	RES_INCOMPLETE,
	RES_PROGRESSED,
	RES_COMPLETED,
	RES_COMPLETIONS,
	RES_COLUMNS
};

typedef struct DryRun
{
	EcoObservation o;
	const EcoMission *mission;
	TimestampTz since;			/* of entries that may count, or open it */
	MemoryContext each;			/* of an entry */
	int64		sums[RES_COLUMNS];
} DryRun;

/* Leave none but the mission and, one behind the other, what is required. */
static void
keep_needed(EcoMissions *missions, const EcoMission *mission)
{
	bool	   *needed = palloc0(sizeof(bool) * missions->n);
	bool		more = true;

	needed[mission->number] = true;
	while (more)
	{
		more = false;
		for (int i = 0; i < missions->n; i++)
			for (int k = 0; needed[i] && k < missions->by_number[i]->nrequires; k++)
				for (int of = 0; of < missions->n; of++)
					if (!needed[of] && missions->by_number[of] != NULL &&
						missions->by_number[of]->mission == missions->by_number[i]->requires[k])
						needed[of] = more = true;
	}
	for (int w = 0; w < missions->nwatches; w++)
	{
		EcoWatch   *watch = &missions->watches[w];
		int			n = 0;

		for (int i = 0; i < watch->nall; i++)
			if (needed[watch->all[i]->number])
				watch->all[n++] = watch->all[i];
		watch->nall = n;
	}
	for (int i = 0; i < missions->n; i++)
		if (!needed[i])
			missions->by_number[i] = NULL;
	pfree(needed);
}

/* What the entry was to the mission. */
static void
judge(DryRun *run, const EcoRow *entry, bool *progressed, bool *completed)
{
	EcoProgresses *all = &run->o.progress;

	for (int i = 0; i < all->n; i++)
	{
		EcoProgress *record = &all->records[i];

		if (record->number != run->mission->number)
			continue;
		*progressed = true;
		if (!run->o.completed || record->state == ECO_MISSION_ACTIVE ||
			record->since != eco_row_int(entry, ECO_COL_SEQ))
			continue;
		*completed = true;
		run->sums[RES_COMPLETIONS]++;
		/* as if it were claimed at once */
		if (run->mission->cycle.anew == ECO_ANEW_AFTER_CLAIM)
			record->state = ECO_MISSION_CLAIMED;
	}
}

/*
 * Whether entries are gone between two of a user that might have counted.  Their times lie
 * between those of the two, unless a clock was set back.
 */
static bool
might_count(const DryRun *run, TimestampTz before, TimestampTz behind)
{
	return before < run->mission->ends_at && behind >= run->since;
}

static void
replay(DryRun *run, const EcoAccount *account)
{
	EcoStream  *stream = eco_stream_begin(account->user_id, ECO_STREAM_ALL);
	const EcoJournal *journal;
	const EcoRow *entry;
	bool		progressed = false;
	bool		completed = false;
	bool		incomplete = false;
	int64		seq = 0;
	TimestampTz at = DT_NOBEGIN;

	eco_progress_clear(&run->o.progress);
	while ((entry = eco_stream_next(stream, &journal)) != NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(run->each);
		TimestampTz before = at;

		at = DatumGetTimestampTz(entry->values[ECO_COL_CREATED_AT]);
		if (eco_row_int(entry, ECO_COL_SEQ) != seq + 1)
			incomplete |= might_count(run, before, at);
		seq = eco_row_int(entry, ECO_COL_SEQ);
		run->sums[RES_ENTRIES]++;
		eco_missions_observe(&run->o, journal, entry);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(run->each);
		if (run->o.changed)
			judge(run, entry, &progressed, &completed);
	}
	eco_stream_end(stream);
	if (seq < account->seq)
		incomplete |= might_count(run, at, DT_NOEND);
	run->sums[RES_USERS]++;
	run->sums[RES_INCOMPLETE] += incomplete;
	run->sums[RES_PROGRESSED] += progressed;
	run->sums[RES_COMPLETED] += completed;
}

static void
begin(DryRun *run, HeapTupleHeader template, TimestampTz since, TimestampTz until)
{
	EcoMission *mission;
	EcoMissions *missions = eco_missions_with(template, &mission);

	mission->published_at = mission->starts_at = since;
	mission->ends_at = until;
	mission->retired_at = DT_NOEND;
	keep_needed(missions, mission);
	run->mission = mission;
	run->since = mission->nrequires > 0 ? DT_NOBEGIN : since;
	run->o.missions = missions;
	run->o.everything = true;
	run->o.progress.context = CurrentMemoryContext;
	run->each = AllocSetContextCreate(CurrentMemoryContext, "economy dry run",
									  ALLOCSET_SMALL_SIZES);
}

/*
 * eco_mission_would_be(mission economy.mission_templates, since timestamptz,
 * until timestamptz, user_ids bigint[]) returns record
 *		What it would have been to these users.
 */
Datum
eco_mission_would_be(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"mission", "since", "until", "user_ids"};
	DryRun		run = {.o = {.reading = ECO_READ_AS_MADE}};
	EcoResult	result;
	EcoOpenTables *open;
	EcoAccount	account;
	Datum	   *users;
	bool	   *nulls;
	int			n;

	for (int i = 0; i < (int) lengthof(names); i++)
		eco_require_arg(fcinfo, i, names[i]);
	eco_result_begin(&result, fcinfo, "llllll");
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(3), INT8OID, sizeof(int64), true, TYPALIGN_DOUBLE,
					  &users, &nulls, &n);
	begin(&run, PG_GETARG_HEAPTUPLEHEADER(0), PG_GETARG_TIMESTAMPTZ(1), PG_GETARG_TIMESTAMPTZ(2));
	open = eco_stream_open(ECO_READ, ECO_ALL_USERS, NULL);
	for (int i = 0; i < n; i++)
		if (!nulls[i] && eco_account_read(DatumGetInt64(users[i]), &account))
			replay(&run, &account);
	eco_tables_close(open);
	for (int i = 0; i < RES_COLUMNS; i++)
		eco_result_set(&result, i, Int64GetDatum(run.sums[i]));
	return eco_result_row(&result);
}
