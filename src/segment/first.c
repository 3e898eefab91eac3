/*
 * first.c
 *		The first refresh: folds the journal, measures what it finds, and writes
 *		each user's row once, scored.
 *
 * In between all users stand on disk, side by side, and what is measured of them in a
 * tuplestore, which the measuring query, that is SQL, knows as the relation fresh.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/buffile.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/tuplestore.h"

#include "errors.h"
#include "ledger/args.h"
#include "segment/fold.h"
#include "segment/rfm.h"
#include "segment/rows.h"

PG_FUNCTION_INFO_V1(eco_rfm_fill);

#define BATCH 64				/* rows that are written at once */

enum
{
	FRESH_LAST_ON,
	FRESH_FREQUENCY,
	FRESH_MONETARY,
	FRESH_COLUMNS
};

enum
{
	FILLED_BOUNDS,
	FILLED_PROGRAM,
	FILLED_SEGMENTS,
	FILLED_WRITTEN,
	FILLED_OLDEST,
	FILLED_COLUMNS
};

/* A user, as he is kept on disk: in front of so many bytes of buckets. */
typedef struct Kept
{
	int64		user_id;
	int64		seq;
	EcoRfmInputs inputs;
	size_t		len;
} Kept;

typedef struct Filling
{
	TimestampTz as_of;
	Tuplestorestate *fresh;
	TupleDesc	desc;
	BufFile    *users;
	int64		nusers;
	MemoryContext batch_context;
	int64		written;
	TimestampTz oldest;
	EcoDue	   *due;
	size_t		ndue;
} Filling;

static void
describe(Filling *f)
{
	static const struct
	{
		const char *name;
		Oid			type;
	}			columns[FRESH_COLUMNS] = {
		{"last_on", DATEOID}, {"frequency", INT8OID}, {"monetary", INT8OID}
	};

	f->desc = CreateTemplateTupleDesc(FRESH_COLUMNS);
	for (int i = 0; i < FRESH_COLUMNS; i++)
		TupleDescInitEntry(f->desc, (AttrNumber) (i + 1), columns[i].name, columns[i].type, -1, 0);
}

/* Visit a day's purchases of the user who is being folded. */
static void
folded_source(void *arg, const EcoBucket *bucket, EcoPurchaseSeen seen, void *state)
{
	const EcoFolded *user = arg;

	for (size_t i = 0; i < user->n; i++)
		if (user->purchases[i].at >= bucket->first_at && user->purchases[i].at <= bucket->last_at)
			seen(state, user->purchases[i].at, user->purchases[i].monetary);
}

/* Keep what the user's purchases say. */
static void
keep(Filling *f, EcoFolded *user, int64 window)
{
	bytea	   *buckets = eco_packing_end(user->packing);
	Kept		kept = {
		.user_id = user->user_id, .seq = user->seq, .len = VARSIZE(buckets) - VARHDRSZ
	};

	kept.inputs = eco_rfm_inputs((const uint8 *) VARDATA(buckets), kept.len, f->as_of, window,
								 folded_source, user);
	BufFileWrite(f->users, &kept, sizeof(Kept));
	BufFileWrite(f->users, VARDATA(buckets), kept.len);
	f->nusers++;
	f->oldest = Min(f->oldest, user->since);
	if (kept.inputs.bought)
	{
		bool		isnull[FRESH_COLUMNS] = {false};
		Datum		values[FRESH_COLUMNS] = {
			DateADTGetDatum((DateADT) kept.inputs.last_day),
			Int64GetDatum(kept.inputs.frequency),
			Int64GetDatum(kept.inputs.monetary)
		};

		tuplestore_putvalues(f->fresh, f->desc, values, isnull);
	}
}

static void
fold_all(Filling *f, int64 window)
{
	EcoFold    *fold = eco_fold_begin(0, false);
	EcoFolded	user;

	f->oldest = DT_NOEND;
	while (eco_fold_next(fold, &user))
	{
		MemoryContext old = MemoryContextSwitchTo(f->batch_context);

		keep(f, &user, window);
		MemoryContextSwitchTo(old);
		MemoryContextReset(f->batch_context);
	}
	eco_fold_end(fold);
}

/* Run the query: bounds, program and segments, in the current memory context. */
static void
measure(FunctionCallInfo fcinfo, Filling *f, Datum *values)
{
	EphemeralNamedRelationData enr = {
		.md = {.name = "fresh", .tupdesc = f->desc, .enrtype = ENR_NAMED_TUPLESTORE,
		.enrtuples = (double) tuplestore_tuple_count(f->fresh)},
		.reldata = f->fresh
	};
	Oid			types[3];
	Datum		args[3];

	for (int i = 0; i < 3; i++)
	{
		eco_require_arg(fcinfo, i + 2, "argument");
		types[i] = get_fn_expr_argtype(fcinfo->flinfo, i + 2);
		args[i] = PG_GETARG_DATUM(i + 2);
	}
	SPI_connect();
	SPI_register_relation(&enr);
	if (SPI_execute_with_args(text_to_cstring(PG_GETARG_TEXT_PP(0)), 3, types, args, NULL, true,
							  1) != SPI_OK_SELECT || SPI_processed != 1)
		ECO_ERROR(ECO_SCHEMA_DAMAGED, errmsg("the purchases cannot be measured"));
	for (int i = 0; i < 3; i++)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1,
										  &isnull);

		if (isnull)
			ECO_ERROR(ECO_SCHEMA_DAMAGED, errmsg("the purchases cannot be measured"));
		values[i] = SPI_datumTransfer(value, false, -1);
	}
	SPI_finish();
}

static void
read_back(Filling *f, void *to, size_t len)
{
	if (BufFileRead(f->users, to, len) != len)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not read a temporary file")));
}

/* The row of the next user. */
static void
fill_row(Filling *f, const EcoCompiled *compiled, EcoRow *row)
{
	Kept		kept;
	bytea	   *buckets;
	EcoRfmScores s;
	TimestampTz next;

	read_back(f, &kept, sizeof(Kept));
	buckets = palloc(VARHDRSZ + kept.len);
	SET_VARSIZE(buckets, VARHDRSZ + kept.len);
	read_back(f, VARDATA(buckets), kept.len);
	s = eco_rfm_judge(compiled, kept.user_id, &kept.inputs, f->as_of);
	next = eco_rfm_next_change(&s);
	eco_row_init(row, &eco_user_segments);
	eco_row_set(row, ECO_SEG_USER_ID, Int64GetDatum(kept.user_id));
	eco_row_set(row, ECO_SEG_SEQ, Int64GetDatum(kept.seq));
	eco_row_set(row, ECO_SEG_SINCE, TimestampTzGetDatum(f->as_of));
	eco_row_set(row, ECO_SEG_CHANGES, Int32GetDatum(0));
	eco_row_set(row, ECO_SEG_BUCKETS, PointerGetDatum(buckets));
	eco_segment_row_score(row, compiled, &kept.inputs, &s);
	if (!TIMESTAMP_IS_NOEND(next))
		f->due[f->ndue++] = (EcoDue)
	{
		.hour = eco_rfm_hour(next), .user_id = kept.user_id
	};
}

static void
write_rows(Filling *f, const EcoCompiled *compiled)
{
	EcoRow	   *rows = palloc(sizeof(EcoRow) * BATCH);
	EcoRow	   *batch[BATCH];

	f->due = MemoryContextAllocHuge(CurrentMemoryContext,
									sizeof(EcoDue) * ((Size) f->nusers + 1));
	if (BufFileSeek(f->users, 0, 0, SEEK_SET) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not rewind a temporary file")));
	while (f->written < f->nusers)
	{
		MemoryContext old = MemoryContextSwitchTo(f->batch_context);
		int			n = (int) Min(BATCH, f->nusers - f->written);

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < n; i++)
		{
			batch[i] = &rows[i];
			fill_row(f, compiled, batch[i]);
		}
		eco_rows_insert(batch, n, 0);
		f->written += n;
		MemoryContextSwitchTo(old);
		MemoryContextReset(f->batch_context);
	}
	BufFileClose(f->users);
}

/*
 * eco_rfm_fill(query text, window_us bigint, as_of timestamptz, model rfm_models,
 *				snapshot rfm_snapshots)
 *		returns (bounds, program, segments, written, oldest)
 *		The query is given the last three, and has (bounds, program, segments).
 */
Datum
eco_rfm_fill(PG_FUNCTION_ARGS)
{
	static EcoTable *const tables[] = {&eco_user_segments, &eco_rfm_due, NULL};
	Filling		f = {0};
	Datum		values[FILLED_COLUMNS];
	bool		isnull[FILLED_COLUMNS] = {false};
	EcoOpenTables *open;
	TupleDesc	result;

	eco_require_arg(fcinfo, 0, "query");
	eco_require_arg(fcinfo, 1, "window_us");
	eco_require_arg(fcinfo, 2, "as_of");
	if (get_call_result_type(fcinfo, NULL, &result) != TYPEFUNC_COMPOSITE ||
		result->natts != FILLED_COLUMNS)
		ECO_ERROR(ECO_SCHEMA_DAMAGED,
				  errmsg("the function's result type does not fit the library"),
				  errhint("Run ALTER EXTENSION economy UPDATE."));
	f.as_of = PG_GETARG_TIMESTAMPTZ(2);
	f.batch_context = AllocSetContextCreate(CurrentMemoryContext, "economy filling",
											ALLOCSET_DEFAULT_SIZES);
	describe(&f);
	f.fresh = tuplestore_begin_heap(true, false, work_mem);
	f.users = BufFileCreateTemp(false);
	open = eco_tables_open(ECO_WRITE, tables);
	fold_all(&f, PG_GETARG_INT64(1));
	measure(fcinfo, &f, values);
	write_rows(&f, eco_rfm_compile(DatumGetArrayTypeP(values[FILLED_PROGRAM]),
								   DatumGetArrayTypeP(values[FILLED_SEGMENTS]),
								   CurrentMemoryContext));
	eco_due_write(f.due, f.ndue);
	eco_tables_close(open);
	tuplestore_end(f.fresh);
	values[FILLED_WRITTEN] = Int64GetDatum(f.written);
	values[FILLED_OLDEST] = TimestampTzGetDatum(f.oldest);
	isnull[FILLED_OLDEST] = f.written == 0;
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(result), values, isnull));
}
