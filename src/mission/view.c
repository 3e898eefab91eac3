/*
 * view.c
 *		What views, publication, the audit and corrections ask of missions.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "ledger/args.h"
#include "ledger/result.h"
#include "ledger/sections.h"
#include "ledger/stream.h"
#include "mission/observe.h"

PG_FUNCTION_INFO_V1(eco_mission_progress_of);
PG_FUNCTION_INFO_V1(eco_mission_progress_sound);
PG_FUNCTION_INFO_V1(eco_with_mission_progress);
PG_FUNCTION_INFO_V1(eco_with_further_mission_progress);
PG_FUNCTION_INFO_V1(eco_check_mission_condition);
PG_FUNCTION_INFO_V1(eco_mission_counts_field);
PG_FUNCTION_INFO_V1(eco_mission_condition_of);
PG_FUNCTION_INFO_V1(eco_mission_period_at);
PG_FUNCTION_INFO_V1(eco_mission_period_key);
PG_FUNCTION_INFO_V1(eco_mission_period_starts);
PG_FUNCTION_INFO_V1(eco_mission_period_ends);
PG_FUNCTION_INFO_V1(eco_mission_replay);

static void
put_record(ReturnSetInfo *info, const EcoProgress *record, bool unearned)
{
	Datum		values[] = {
		Int32GetDatum(record->number), Int64GetDatum(record->period),
		Int64GetDatum(record->progress), Int32GetDatum(record->state),
		Int64GetDatum(record->since), PointerGetDatum(NULL), BoolGetDatum(unearned)
	};
	bool		isnull[lengthof(values)] = {[5] = record->kept_len == 0};

	if (record->kept_len > 0)
		values[5] = eco_bytea(record->kept, record->kept_len);

	/* mission_progress_of() has no last column */
	tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
}

/* Of sections and the row of further progress, either of which may be null; false: damage. */
static bool
read_both(FunctionCallInfo fcinfo, EcoProgresses *all)
{
	bytea	   *sections = PG_ARGISNULL(0) ? NULL : PG_GETARG_BYTEA_PP(0);
	EcoSection	section;

	return eco_sections_get(sections, ECO_SECTION_MISSIONS, &section) &&
		eco_progress_read(&section, all) && all->has_row == !PG_ARGISNULL(1) &&
		(!all->has_row || eco_progress_read_row(PG_GETARG_BYTEA_PP(1), all));
}

/* eco_mission_progress_of(sections bytea, further bytea) returns table; none of damaged ones */
Datum
eco_mission_progress_of(PG_FUNCTION_ARGS)
{
	EcoProgresses all = {.context = CurrentMemoryContext};

	InitMaterializedSRF(fcinfo, 0);
	if (read_both(fcinfo, &all))
		for (int i = 0; i < all.n; i++)
			put_record((ReturnSetInfo *) fcinfo->resultinfo, &all.records[i], false);
	return (Datum) 0;
}

/* eco_mission_progress_sound(sections bytea, further bytea) returns boolean; null: none */
Datum
eco_mission_progress_sound(PG_FUNCTION_ARGS)
{
	EcoProgresses all = {.context = CurrentMemoryContext};

	PG_RETURN_BOOL(read_both(fcinfo, &all));
}

static void
set_record(EcoProgresses *all, FunctionCallInfo fcinfo)
{
	int32		number = PG_GETARG_INT32(1);
	int64		period = PG_GETARG_INT64(2);
	EcoProgress *record = eco_progress_find(all, number, period);
	bytea	   *kept = PG_ARGISNULL(6) ? NULL : PG_GETARG_BYTEA_PP(6);

	if (PG_ARGISNULL(3))
	{
		if (record != NULL)
		{
			memmove(record, record + 1,
					sizeof(EcoProgress) * (&all->records[all->n] - (record + 1)));
			all->n--;
		}
		return;
	}
	eco_require_arg(fcinfo, 4, "state");
	eco_require_arg(fcinfo, 5, "since");
	if (number < 1 || number >= ECO_PROGRESS_NUMBERS || period < PG_INT32_MIN ||
		period > PG_INT32_MAX || PG_GETARG_INT64(3) < 0 ||
		PG_GETARG_INT64(3) > ECO_MAX_AMOUNT || PG_GETARG_INT32(4) < 0 ||
		PG_GETARG_INT32(4) >= ECO_MISSION_STATES || PG_GETARG_INT64(5) < 0 ||
		(kept != NULL && (VARSIZE_ANY_EXHDR(kept) == 0 ||
						  VARSIZE_ANY_EXHDR(kept) > ECO_PROGRESS_KEPT)))
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("there is no such progress"));
	if (record == NULL)
		record = eco_progress_add(all, number, period);
	record->progress = PG_GETARG_INT64(3);
	record->state = (EcoProgressState) PG_GETARG_INT32(4);
	record->since = PG_GETARG_INT64(5);
	eco_progress_keep_nothing(record);
	if (kept != NULL)
	{
		record->kept_len = (int) VARSIZE_ANY_EXHDR(kept);
		record->kept = (uint8 *) VARDATA_ANY(kept);
	}
}

/*
 * eco_with_mission_progress(sections bytea, number integer, period bigint, progress bigint,
 * state integer, since bigint, kept bytea) returns bytea
 *		Null sections are none; progress null takes the record out.
 */
Datum
eco_with_mission_progress(PG_FUNCTION_ARGS)
{
	bytea	   *sections = PG_ARGISNULL(0) ? NULL : PG_GETARG_BYTEA_PP(0);
	EcoSection	section;
	EcoProgresses all = {.context = CurrentMemoryContext};
	uint8		payload[ECO_PROGRESS_ROOM];
	bytea	   *result;

	eco_require_arg(fcinfo, 1, "number");
	eco_require_arg(fcinfo, 2, "period");
	if (!eco_sections_get(sections, ECO_SECTION_MISSIONS, &section) ||
		!eco_progress_read(&section, &all))
		ECO_ERROR(ECO_LEDGER_DAMAGED, errmsg("this progress of missions is damaged"),
				  errhint("Begin with sections that are null, and add what else the user has."));
	set_record(&all, fcinfo);
	section.version = ECO_PROGRESS_VERSION;
	section.data = payload;
	section.len = eco_progress_write(&all, payload);
	for (int i = 0; i < all.n; i++)
		if (all.records[i].in_row)
			ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("there is no room for this progress"),
					  errhint("It stands in economy_internal.mission_progress_more."));
	result = eco_sections_set(sections, ECO_SECTION_MISSIONS, &section);
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(result);
}

/*
 * eco_with_further_mission_progress(further bytea, number integer, period bigint,
 * progress bigint, state integer, since bigint, kept bytea) returns bytea
 *		The same of a row of mission_progress_more.
 */
Datum
eco_with_further_mission_progress(PG_FUNCTION_ARGS)
{
	EcoProgresses all = {.context = CurrentMemoryContext};

	eco_require_arg(fcinfo, 1, "number");
	eco_require_arg(fcinfo, 2, "period");
	if (!PG_ARGISNULL(0) && !eco_progress_read_row(PG_GETARG_BYTEA_PP(0), &all))
		ECO_ERROR(ECO_LEDGER_DAMAGED, errmsg("this progress of missions is damaged"),
				  errhint("Begin with null, and add what else the user has there."));
	set_record(&all, fcinfo);
	for (int i = 0; i < all.n; i++)
		all.records[i].in_row = true;
	PG_RETURN_BYTEA_P(eco_progress_write_row(&all));
}

static const EcoTrigger *
trigger_arg(FunctionCallInfo fcinfo, int argno)
{
	EcoText		word = eco_text_arg(fcinfo, argno, "trigger", ECO_MAX_NAME);
	const EcoTrigger *trigger = eco_trigger_of(word.data, word.len);

	if (trigger == NULL)
		ECO_ERROR(ECO_INVALID_MISSION,
				  errmsg("there is no trigger \"%.*s\"", word.len, word.data),
				  errhint("There are purchase, action, reward and entry."));
	return trigger;
}

static const EcoCondition *
condition_arg(FunctionCallInfo fcinfo, int argno, const EcoTrigger *trigger)
{
	Jsonb	   *json = eco_object_arg(fcinfo, argno, "condition");
	EcoFault	fault;
	const EcoCondition *condition;

	if (json == NULL)
		return NULL;
	condition = eco_condition_compile(trigger, json, &fault);
	if (condition == NULL)
		ECO_ERROR(ECO_INVALID_MISSION, errmsg("the condition is not valid"),
				  errdetail("%s: %s.", fault.path, fault.says),
				  fault.hint == NULL ? 0 : errhint("%s", fault.hint));
	return condition;
}

/* eco_check_mission_condition(trigger text, condition jsonb) returns void; null: all entries */
Datum
eco_check_mission_condition(PG_FUNCTION_ARGS)
{
	(void) condition_arg(fcinfo, 1, trigger_arg(fcinfo, 0));
	PG_RETURN_VOID();
}

/* eco_mission_counts_field(trigger text, progress text, field text) returns boolean, STRICT */
Datum
eco_mission_counts_field(PG_FUNCTION_ARGS)
{
	const EcoTrigger *trigger = trigger_arg(fcinfo, 0);
	EcoText		word = eco_text_arg(fcinfo, 1, "progress", ECO_MAX_NAME);
	EcoText		path = eco_text_arg(fcinfo, 2, "field", ECO_MAX_KEY);
	EcoCounting counting;
	EcoFact		fact;

	PG_RETURN_BOOL(eco_mission_counting(word.data, word.len, &counting) &&
				   eco_mission_has_field(counting) &&
				   eco_fact_of(trigger, path.data, path.len, &fact) &&
				   eco_mission_counts(counting, &fact));
}

/*
 * eco_mission_condition_of(trigger text, condition jsonb, user_id bigint, seq bigint)
 * returns boolean
 *		What a condition is of an entry; null: unknown.
 */
Datum
eco_mission_condition_of(PG_FUNCTION_ARGS)
{
	const EcoTrigger *trigger = trigger_arg(fcinfo, 0);
	const EcoCondition *condition = condition_arg(fcinfo, 1, trigger);
	const EcoJournal *journal = eco_journal_of(trigger->letter);
	EcoTable   *tables[] = {NULL, NULL};
	EcoOpenTables *open;
	EcoRow		row;
	Datum		key[2];
	EcoTruth	truth = ECO_UNKNOWN;

	eco_require_arg(fcinfo, 2, "user_id");
	eco_require_arg(fcinfo, 3, "seq");
	if (journal == NULL || condition == NULL)
		ECO_ERROR(ECO_INVALID_MISSION, errmsg("a condition of one journal's entries is asked"));
	tables[0] = journal->table;
	key[0] = Int64GetDatum(PG_GETARG_INT64(2));
	key[1] = Int64GetDatum(PG_GETARG_INT64(3));
	open = eco_tables_open(ECO_READ, tables);
	if (!eco_row_find(journal->table, PG_GETARG_INT64(2), 0, 2, key, &row))
		ECO_ERROR(ECO_ENTRY_NOT_FOUND, errmsg("there is no such entry"));
	truth = eco_condition_of(condition, &row);
	eco_tables_close(open);
	if (truth == ECO_UNKNOWN)
		PG_RETURN_NULL();
	PG_RETURN_BOOL(truth == ECO_TRUE);
}

static bool
cycle_arg(FunctionCallInfo fcinfo, int argno, EcoCycle *cycle)
{
	EcoText		word = eco_text_arg(fcinfo, argno, "period", ECO_MAX_NAME);

	return eco_cycle_of(word.data, word.len, cycle);
}

/* eco_mission_period_at(period text, at timestamptz) returns bigint, STRICT; null: no calendar's */
Datum
eco_mission_period_at(PG_FUNCTION_ARGS)
{
	EcoCycle	cycle;

	if (!cycle_arg(fcinfo, 0, &cycle) || cycle.anew != ECO_ANEW_BY_CALENDAR)
		PG_RETURN_NULL();
	PG_RETURN_INT64(eco_period_of(cycle.period, PG_GETARG_TIMESTAMPTZ(1)));
}

static int64
number_arg(FunctionCallInfo fcinfo, int argno, const EcoCycle *cycle)
{
	int64		number = PG_GETARG_INT64(argno);
	int64		most = cycle->anew == ECO_ANEW_BY_CALENDAR ? 1000000 : PG_INT32_MAX;

	/* of days, weeks too: some thousands of years */
	if (number < -most || number > most)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("there is no such period"));
	return number;
}

/*
 * eco_mission_period_key(period text, version integer, number bigint) returns text, STRICT;
 * null: there is no such period
 */
Datum
eco_mission_period_key(PG_FUNCTION_ARGS)
{
	EcoCycle	cycle;
	int64		number;

	if (!cycle_arg(fcinfo, 0, &cycle))
		PG_RETURN_NULL();
	number = number_arg(fcinfo, 2, &cycle);
	PG_RETURN_TEXT_P(cstring_to_text(eco_mission_key(&cycle, PG_GETARG_INT32(1), number)));
}

/*
 * eco_mission_period_starts(period text, number bigint) returns timestamptz, STRICT; null: it
 * is not known
 */
Datum
eco_mission_period_starts(PG_FUNCTION_ARGS)
{
	EcoCycle	cycle;
	int64		number;

	if (!cycle_arg(fcinfo, 0, &cycle) || eco_cycle_ends(&cycle, 0) == DT_NOEND)
		PG_RETURN_NULL();
	number = number_arg(fcinfo, 1, &cycle);
	PG_RETURN_TIMESTAMPTZ(cycle.anew == ECO_ANEW_AFTER_HOURS ? number * USECS_PER_SEC :
						  eco_period_start(cycle.period, number));
}

/*
 * eco_mission_period_ends(period text, number bigint) returns timestamptz, STRICT; null: it
 * does not
 */
Datum
eco_mission_period_ends(PG_FUNCTION_ARGS)
{
	EcoCycle	cycle;
	TimestampTz ends;

	if (!cycle_arg(fcinfo, 0, &cycle))
		PG_RETURN_NULL();
	ends = eco_cycle_ends(&cycle, number_arg(fcinfo, 1, &cycle));
	if (ends == DT_NOEND)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(ends);
}

/* Count all that there is of the user's entries. */
static void
replay(ReturnSetInfo *info, EcoObservation *o, int64 user_id)
{
	MemoryContext each = AllocSetContextCreate(CurrentMemoryContext, "economy missions replay",
											   ALLOCSET_SMALL_SIZES);
	EcoStream  *stream = eco_stream_begin(user_id, ECO_STREAM_ALL);
	EcoProgress unearned = {0};
	const EcoJournal *journal;
	const EcoRow *row;

	while ((row = eco_stream_next(stream, &journal)) != NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(each);

		eco_missions_observe(o, journal, row);
		MemoryContextSwitchTo(caller);
		if (o->unearned != 0)
		{
			unearned.number = o->unearned;
			put_record(info, &unearned, true);
		}
		MemoryContextReset(each);
	}
	eco_stream_end(stream);
	MemoryContextDelete(each);
	for (int i = 0; i < o->progress.n; i++)
		put_record(info, &o->progress.records[i], false);
}

/*
 * eco_mission_replay(user_id bigint, reading integer) returns table, STRICT
 *		The user's progress, counted again from the entries.
 */
Datum
eco_mission_replay(PG_FUNCTION_ARGS)
{
	Snapshot	of_caller = GetActiveSnapshot();
	EcoOpenTables *open;
	EcoObservation o = {.reading = (EcoReading) PG_GETARG_INT32(1), .everything = true,
	.progress = {.context = CurrentMemoryContext}};

	InitMaterializedSRF(fcinfo, 0);
	open = eco_stream_open(ECO_READ, PG_GETARG_INT64(0), NULL);
	o.missions = eco_missions();

	/*
	 * what a DBA has changed meanwhile would be a reason for a newer
	 * snapshot; what is counted is compared with accounts of the caller's,
	 * whose tables were open before
	 */
	PushActiveSnapshot(of_caller);
	if (o.missions != NULL)
		replay((ReturnSetInfo *) fcinfo->resultinfo, &o, PG_GETARG_INT64(0));
	PopActiveSnapshot();
	eco_tables_close(open);
	return (Datum) 0;
}
