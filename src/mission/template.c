/*
 * template.c
 *		Missions as they were published, compiled and kept for the session.
 *
 * A trigger on the table tells every session of a change, by the invalidation that its
 * relation has when it is altered; who asks looks whether there is one.  So an entry costs
 * a look at a flag when nothing was published.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type_d.h"
#include "commands/trigger.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "clock.h"
#include "errors.h"
#include "ledger/args.h"
#include "mission/template.h"

PG_FUNCTION_INFO_V1(eco_missions_changed);

#define VERSION "event.details.version" /* in a claim */

enum
{
	MIS_MISSION,
	MIS_VERSION,
	MIS_NUMBER,
	MIS_TRIGGER,
	MIS_CONDITION,
	MIS_PROGRESS,
	MIS_FIELD,
	MIS_TARGET,
	MIS_INCREMENT_CAP,
	MIS_PERIOD,
	MIS_PUBLISHED_AT,
	MIS_STARTS_AT,
	MIS_ENDS_AT,
	MIS_RETIRED_AT,
	MIS_CLAIM_HOURS,
	MIS_REQUIRES,
	MIS_COLUMNS
};

static EcoTable mission_templates = {
	.name = "mission_templates",
	.later = true,
	.only_read = true,
	.ncolumns = MIS_COLUMNS,
	.columns = {
		{"mission", TEXTOID, false},
		{"version", INT4OID, false},
		{"number", INT4OID, false},
		{"trigger", TEXTOID, false},
		{"condition", JSONBOID, ECO_NULLABLE},
		{"progress", TEXTOID, false},
		{"field", TEXTOID, ECO_NULLABLE},
		{"target", INT8OID, false},
		{"increment_cap", INT8OID, ECO_NULLABLE},
		{"period", TEXTOID, false},
		{"published_at", TIMESTAMPTZOID, false},
		{"starts_at", TIMESTAMPTZOID, false},
		{"ends_at", TIMESTAMPTZOID, ECO_NULLABLE},
		{"retired_at", TIMESTAMPTZOID, ECO_NULLABLE},
		{"claim_hours", INT4OID, false},
		{"requires", TEXTARRAYOID, false},
	},
	.nkeys = 1,
	.keys = {{2, {MIS_MISSION, MIS_VERSION}}},
};

/* What is kept; its memory is that of the context, which goes with the next that is read. */
static struct
{
	bool		known;			/* nothing has changed since it was read */
	Oid			oid;			/* of the table; InvalidOid: there is none */
	MemoryContext context;
	const EcoMissions *missions;	/* NULL: none */
}			kept;

static void
forget(Datum arg, Oid relid)
{
	(void) arg;
	if (relid == kept.oid || relid == InvalidOid || kept.oid == InvalidOid)
		kept.known = false;
}

/* eco_missions_changed() returns trigger, of mission_templates */
Datum
eco_missions_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("not called by a trigger"));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	return PointerGetDatum(NULL);
}

typedef struct CycleWord
{
	const char *word;
	EcoAnew		anew;
	EcoPeriod	period;
} CycleWord;

/* The number behind the word; false: there is none. */
static bool
read_number(const char *at, const char *end, int64 *n)
{
	*n = 0;
	for (; at < end && *at >= '0' && *at <= '9' && *n < PG_INT32_MAX; at++)
		*n = *n * 10 + (*at - '0');
	return at == end && *n > 0;
}

bool
eco_cycle_of(const char *word, int len, EcoCycle *cycle)
{
	static const CycleWord words[] = {
		{"once", ECO_ANEW_BY_CALENDAR, ECO_PERIOD_EVER},
		{"daily", ECO_ANEW_BY_CALENDAR, ECO_PERIOD_DAY},
		{"weekly", ECO_ANEW_BY_CALENDAR, ECO_PERIOD_WEEK},
		{"repeat", ECO_ANEW_AFTER_CLAIM, ECO_PERIOD_EVER},
		{"repeat ", ECO_ANEW_AFTER_CLAIM, ECO_PERIOD_EVER},
		{"rolling ", ECO_ANEW_AFTER_HOURS, ECO_PERIOD_EVER},
	};

	for (int i = 0; i < (int) lengthof(words); i++)
	{
		int			words_len = (int) strlen(words[i].word);
		bool		counts = words[i].word[words_len - 1] == ' ';

		if (counts ? len <= words_len : len != words_len)
			continue;
		if (memcmp(word, words[i].word, words_len) != 0)
			continue;
		cycle->anew = words[i].anew;
		cycle->period = words[i].period;
		cycle->n = PG_INT32_MAX;
		return !counts || read_number(word + words_len, word + len, &cycle->n);
	}
	return false;
}

TimestampTz
eco_cycle_ends(const EcoCycle *cycle, int64 period)
{
	if (cycle->anew == ECO_ANEW_AFTER_HOURS)
		return period * USECS_PER_SEC + cycle->n * USECS_PER_HOUR;
	if (cycle->period == ECO_PERIOD_EVER)
		return DT_NOEND;
	return eco_period_start(cycle->period, period + 1);
}

bool
eco_mission_is_once(const EcoMission *mission)
{
	return mission->cycle.anew == ECO_ANEW_BY_CALENDAR && mission->cycle.period == ECO_PERIOD_EVER;
}

bool
eco_mission_counting(const char *word, int len, EcoCounting *counting)
{
	static const char *const words[] = {"count", "sum", "max", "distinct", "streak"};

	for (int i = 0; i < (int) lengthof(words); i++)
		if ((int) strlen(words[i]) == len && memcmp(word, words[i], len) == 0)
		{
			*counting = (EcoCounting) i;
			return true;
		}
	return false;
}

bool
eco_mission_has_field(EcoCounting counting)
{
	return counting != ECO_COUNT && counting != ECO_STREAK;
}

bool
eco_mission_counts(EcoCounting counting, const EcoFact *field)
{
	return counting == ECO_DISTINCT || field->kind != ECO_FACT_TEXT;
}

/* A streak ends with the next period, in which something must count. */
TimestampTz
eco_mission_ends(const EcoMission *mission, const EcoProgress *record)
{
	int64		last = record->period;

	if (mission->counting == ECO_STREAK)
		last += Min(record->progress, mission->target - 1);
	return Min(mission->ends_at, eco_cycle_ends(&mission->cycle, last));
}

bool
eco_mission_opens(const EcoMission *mission, const EcoMission *next)
{
	return eco_mission_is_once(mission) &&
		(mission->ends_at == DT_NOEND ||
		 mission->ends_at + mission->claim_hours * USECS_PER_HOUR > next->published_at);
}

static EcoText
text_in(const EcoRow *row, int column)
{
	return eco_text_in(row->isnull[column] ? PointerGetDatum(cstring_to_text("")) :
					   row->values[column]);
}

static TimestampTz
moment_in(const EcoRow *row, int column)
{
	return row->isnull[column] ? DT_NOEND : DatumGetTimestampTz(row->values[column]);
}

/* What it counts; false: the row was changed by hand, and it counts nothing. */
static bool
compile(const EcoRow *row, EcoMission *mission)
{
	EcoText		trigger = text_in(row, MIS_TRIGGER);
	EcoText		progress = text_in(row, MIS_PROGRESS);
	EcoText		field = text_in(row, MIS_FIELD);
	EcoText		period = text_in(row, MIS_PERIOD);
	EcoFault	fault;

	mission->trigger = eco_trigger_of(trigger.data, trigger.len);
	if (mission->trigger == NULL || !eco_cycle_of(period.data, period.len, &mission->cycle))
		return false;
	if (!row->isnull[MIS_CONDITION])
	{
		mission->condition = eco_condition_compile(mission->trigger,
												   DatumGetJsonbP(row->values[MIS_CONDITION]),
												   &fault);
		if (mission->condition == NULL)
			return false;
		if (!eco_condition_lifted(mission->condition, &mission->lifted, &mission->lifted_to))
			mission->lifted = NULL;
	}
	if (!eco_mission_counting(progress.data, progress.len, &mission->counting))
		return false;
	return !eco_mission_has_field(mission->counting) ||
		(eco_fact_of(mission->trigger, field.data, field.len, &mission->field) &&
		 eco_mission_counts(mission->counting, &mission->field));
}

static EcoMission *
read_mission(const EcoRow *row)
{
	EcoMission *mission = palloc0(sizeof(EcoMission));

	mission->number = DatumGetInt32(row->values[MIS_NUMBER]);
	mission->name = TextDatumGetCString(row->values[MIS_MISSION]);
	mission->version = DatumGetInt32(row->values[MIS_VERSION]);
	mission->target = eco_row_int(row, MIS_TARGET);
	mission->increment_cap = row->isnull[MIS_INCREMENT_CAP] ? PG_INT64_MAX :
		eco_row_int(row, MIS_INCREMENT_CAP);
	mission->published_at = moment_in(row, MIS_PUBLISHED_AT);
	mission->starts_at = moment_in(row, MIS_STARTS_AT);
	mission->retired_at = moment_in(row, MIS_RETIRED_AT);
	mission->ends_at = Min(moment_in(row, MIS_ENDS_AT), mission->retired_at);
	mission->claim_hours = DatumGetInt32(row->values[MIS_CLAIM_HOURS]);
	if (!compile(row, mission))
		mission->trigger = NULL;
	return mission;
}

static int
mission_named(EcoMissions *missions, const char *name)
{
	for (int i = 0; i < missions->n; i++)
		if (missions->by_number[i] != NULL && strcmp(missions->by_number[i]->name, name) == 0)
			return i;
	return -1;
}

/* Missions are known by the least number of their versions, also where they are required. */
static void
connect(EcoMissions *missions, EcoMission *mission, Datum requires)
{
	Datum	   *names;
	bool	   *nulls;
	int			n;

	deconstruct_array(DatumGetArrayTypeP(requires), TEXTOID, -1, false, TYPALIGN_INT, &names,
					  &nulls, &n);
	mission->mission = mission_named(missions, mission->name);
	for (int i = 0; i < Min(n, ECO_MISSION_REQUIRES); i++)
		mission->requires[mission->nrequires++] = nulls[i] ? -1 :
			mission_named(missions, TextDatumGetCString(names[i]));
}

/* All versions of what a mission requires. */
static void
mark_required(EcoMissions *missions, const EcoMission *by)
{
	for (int k = 0; k < by->nrequires; k++)
		for (int i = 0; i < missions->n; i++)
			if (missions->by_number[i] != NULL &&
				missions->by_number[i]->mission == by->requires[k])
				((EcoMission *) missions->by_number[i])->is_required = true;
}

int
eco_lifted_compare(const EcoMission *mission, const EcoValue *text)
{
	const EcoValue *to = mission->lifted_to;
	int			order = memcmp(to->text, text->text, Min(to->len, text->len));

	return order != 0 ? order : to->len - text->len;
}

int
eco_lifted_from(const EcoWatch *watch, const EcoLifted *lifted, const EcoValue *text)
{
	int			low = lifted->first;
	int			high = lifted->end;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (eco_lifted_compare(watch->current[middle], text) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Those that are not lifted, then by the fact's column, then by the text. */
static int
by_lifted(const void *a, const void *b)
{
	const EcoMission *x = *(const EcoMission *const *) a;
	const EcoMission *y = *(const EcoMission *const *) b;

	if (x->lifted == NULL || y->lifted == NULL)
		return (x->lifted != NULL) - (y->lifted != NULL);
	if (x->lifted->column != y->lifted->column)
		return x->lifted->column < y->lifted->column ? -1 : 1;
	return eco_lifted_compare(x, y->lifted_to);
}

/* No journal has more texts that are facts than there is room for. */
static void
lift(EcoWatch *w)
{
	qsort(w->current, w->ncurrent, sizeof(EcoMission *), by_lifted);
	for (int i = 0; i < w->ncurrent; i++)
	{
		const EcoFact *fact = w->current[i]->lifted;
		EcoLifted  *last = w->nlifted > 0 ? &w->lifted[w->nlifted - 1] : NULL;

		if (fact == NULL)
			continue;
		if (last != NULL && last->fact->column == fact->column)
			last->end = i + 1;
		else
		{
			Assert(w->nlifted < ECO_MISSION_LIFTED);
			w->lifted[w->nlifted++] = (EcoLifted)
			{
				.fact = fact, .first = i, .end = i + 1
			};
		}
	}
}

static void
watch(EcoMissions *missions, const EcoJournal *journal)
{
	EcoWatch   *w = &missions->watches[missions->nwatches++];

	w->journal = journal;
	w->since = eco_now() - USECS_PER_DAY;
	w->reverses = eco_column_named(journal->table, "reverses");
	w->operation = eco_column_named(journal->table, "operation");
	w->source = eco_column_named(journal->table, "source");
	w->event_id = eco_column_named(journal->table, "external_event_id");
	if (w->source >= 0 && w->event_id >= 0)
		(void) eco_fact_of(eco_trigger_of("reward", 6), VERSION, strlen(VERSION), &w->version);
	w->all = palloc(sizeof(EcoMission *) * missions->n);
	w->current = palloc(sizeof(EcoMission *) * missions->n);
	for (int i = 0; i < missions->n; i++)
	{
		const EcoMission *mission = missions->by_number[i];

		if (mission == NULL || mission->trigger == NULL ||
			(mission->trigger->letter != 0 && mission->trigger->letter != journal->letter))
			continue;
		w->all[w->nall++] = mission;
		if (mission->ends_at > w->since)
			w->current[w->ncurrent++] = mission;
	}
	lift(w);
}

static void
put_mission(EcoMissions *missions, EcoMission *mission)
{
	if (mission->number < 1 || mission->number >= ECO_PROGRESS_NUMBERS)
		return;
	if (mission->number >= missions->n)
	{
		int			n = mission->number + 1;

		if (missions->n == 0)
			missions->by_number = palloc(sizeof(EcoMission *) * n);
		else
			missions->by_number = repalloc(missions->by_number, sizeof(EcoMission *) * n);
		for (int i = missions->n; i < n; i++)
			missions->by_number[i] = NULL;
		missions->n = n;
	}
	missions->by_number[mission->number] = mission;
}

/* Read all into the current context, and one more, or NULL, which requires these. */
static EcoMissions *
read_missions(EcoMission *further, Datum its_requires)
{
	EcoMissions *missions = palloc0(sizeof(EcoMissions));
	EcoScan    *scan = eco_scan_begin(&mission_templates, 0, 0, 0, NULL);
	Datum	   *requires = palloc0(sizeof(Datum) * ECO_PROGRESS_NUMBERS);
	EcoRow		row;

	while (eco_scan_next(scan, &row))
	{
		EcoMission *mission = read_mission(&row);

		put_mission(missions, mission);
		if (mission->number > 0 && mission->number < ECO_PROGRESS_NUMBERS)
			requires[mission->number] = row.values[MIS_REQUIRES];
	}
	eco_scan_end(scan);
	if (further != NULL)
	{
		put_mission(missions, further);
		requires[further->number] = its_requires;
	}
	for (int i = 0; i < missions->n; i++)
		if (missions->by_number[i] != NULL)
			connect(missions, (EcoMission *) missions->by_number[i], requires[i]);
	pfree(requires);
	for (int i = 0; i < missions->n; i++)
		if (missions->by_number[i] != NULL)
			mark_required(missions, missions->by_number[i]);
	for (int i = 0; missions->n > 0 && i < eco_journal_count(); i++)
		watch(missions, eco_journal_get(i));
	return missions->n > 0 ? missions : NULL;
}

/* What is kept is exchanged at the end: an error in between leaves what there was. */
static void
renew(void)
{
	static EcoTable *const tables[] = {&mission_templates, NULL};
	static bool watching = false;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "economy missions",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	const EcoMissions *missions = NULL;

	if (!watching)
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
	watching = true;
	kept.oid = InvalidOid;
	/* what changes from here on is heard of */
	kept.known = true;
	PG_TRY();
	{
		if (eco_table_exists(&mission_templates))
		{
			EcoOpenTables *open;

			kept.oid = eco_oid_of(&mission_templates);
			open = eco_tables_open(ECO_READ_LATEST, tables);
			/* to open it may have told of what is seen by now */
			kept.known = true;
			missions = read_missions(NULL, (Datum) 0);
			MemoryContextSwitchTo(caller);
			eco_tables_close(open);
		}
	}
	PG_CATCH();
	{
		kept.known = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	MemoryContextSetParent(context, CacheMemoryContext);
	if (kept.context != NULL)
		MemoryContextDelete(kept.context);
	kept.context = context;
	kept.missions = missions;
}

const EcoMissions *
eco_missions(void)
{
	AcceptInvalidationMessages();
	if (!kept.known)
		renew();
	return kept.missions;
}

/* The row that a composite value of the table's type is; false: it could not be there. */
static bool
row_of(HeapTupleHeader header, EcoRow *row)
{
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
											  HeapTupleHeaderGetTypMod(header));
	bool		sound = true;

	eco_row_init(row, &mission_templates);
	for (int c = 0; c < mission_templates.ncolumns; c++)
		for (int a = 0; a < desc->natts; a++)
		{
			Form_pg_attribute attribute = TupleDescAttr(desc, a);
			bool		isnull;
			Datum		value;

			if (attribute->attisdropped ||
				strcmp(NameStr(attribute->attname), mission_templates.columns[c].name) != 0)
				continue;
			value = heap_getattr(&tuple, a + 1, desc, &isnull);
			if (!isnull)
				eco_row_set(row, c, value);
			else
				sound &= (mission_templates.columns[c].is & ECO_NULLABLE) != 0;
		}
	ReleaseTupleDesc(desc);
	return sound;
}

EcoMissions *
eco_missions_with(HeapTupleHeader template, EcoMission **further)
{
	static EcoTable *const tables[] = {&mission_templates, NULL};
	EcoOpenTables *open = eco_tables_open(ECO_READ_LATEST, tables);
	EcoMissions *missions;
	EcoRow		row;

	if (!row_of(template, &row) || DatumGetInt32(row.values[MIS_NUMBER]) < 1 ||
		DatumGetInt32(row.values[MIS_NUMBER]) >= ECO_PROGRESS_NUMBERS)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("this is no row of a mission"));
	*further = read_mission(&row);
	missions = read_missions(*further, row.values[MIS_REQUIRES]);
	eco_tables_close(open);
	return missions;
}

const EcoWatch *
eco_missions_watch(const EcoMissions *missions, const EcoJournal *journal)
{
	for (int i = 0; i < missions->nwatches; i++)
		if (missions->watches[i].journal == journal)
			return &missions->watches[i];
	return NULL;
}

const EcoMission *
eco_mission_of(const EcoMissions *missions, int32 number)
{
	return number > 0 && number < missions->n ? missions->by_number[number] : NULL;
}
