/*
 * rfm.c
 *		SQL faces of core/rfm.h: merging daily buckets of purchases, and reading
 *		recency, frequency, monetary value, scores and segment out of them.
 *
 * Buckets answer alone for whole days.  A day that the edge of a window cuts is
 * read from the journal, by the entry numbers that its bucket keeps.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/date.h"
#include "utils/tuplestore.h"

#include "errors.h"
#include "ledger/archive.h"
#include "ledger/args.h"
#include "ledger/result.h"
#include "segment/rfm.h"

PG_FUNCTION_INFO_V1(eco_rfm_merge);
PG_FUNCTION_INFO_V1(eco_rfm_buckets);
PG_FUNCTION_INFO_V1(eco_rfm_window);
PG_FUNCTION_INFO_V1(eco_rfm_assess);

EcoTable	eco_rfm_purchases = {
	.name = "shop_transactions",
	.only_read = true,
	.ncolumns = ECO_BUY_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"seq", INT8OID, false},
		{"created_at", TIMESTAMPTZOID, false},
		{"monetary", INT8OID, false},
		{"status", TEXTOID, false},
	},
	.nkeys = 1,
	.keys = {{2, {ECO_BUY_USER_ID, ECO_BUY_SEQ}}},
};

static EcoTable reversals = {
	.name = "rfm_reversals",
	.internal = true,
	.only_read = true,
	.ncolumns = 2,
	.columns = {
		{"user_id", INT8OID, false},
		{"seq", INT8OID, false},
	},
	.nkeys = 1,
	.keys = {{2, {0, 1}}},
};

#define ASSESSMENT_COLUMNS 8

void
eco_not_buckets(void)
{
	ECO_ERROR(ECO_INVALID_ARGUMENT,
			  errmsg("buckets must be what economy_internal.rfm_pack() makes"));
}

/* The packed buckets of a bytea argument. */
static const uint8 *
buckets_arg(FunctionCallInfo fcinfo, int argno, size_t *len)
{
	bytea	   *packed;

	eco_require_arg(fcinfo, argno, "buckets");
	packed = PG_GETARG_BYTEA_PP(argno);
	*len = VARSIZE_ANY_EXHDR(packed);
	return (const uint8 *) VARDATA_ANY(packed);
}

/*
 * eco_rfm_merge(a bytea, b bytea) returns bytea
 */
Datum
eco_rfm_merge(PG_FUNCTION_ARGS)
{
	size_t		alen;
	size_t		blen;
	const uint8 *a = buckets_arg(fcinfo, 0, &alen);
	const uint8 *b = buckets_arg(fcinfo, 1, &blen);
	bytea	   *merged = palloc(VARHDRSZ + ECO_MERGED_MAX(alen, blen));
	size_t		len = eco_buckets_merge(a, alen, b, blen, (uint8 *) VARDATA(merged));

	if (len == SIZE_MAX)
		eco_not_buckets();
	SET_VARSIZE(merged, VARHDRSZ + len);
	PG_RETURN_BYTEA_P(merged);
}

/*
 * eco_rfm_buckets(buckets bytea) returns setof a row
 *		A row per day, the newest first.
 */
Datum
eco_rfm_buckets(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	EcoBucketReader reader;
	EcoBucket	bucket;
	size_t		len;
	const uint8 *packed = buckets_arg(fcinfo, 0, &len);

	InitMaterializedSRF(fcinfo, 0);
	eco_buckets_read(&reader, packed, len);
	while (eco_buckets_next(&reader, &bucket))
	{
		bool		isnull[7] = {false};
		Datum		values[7] = {
			DateADTGetDatum((DateADT) eco_utc_day(bucket.first_at)),
			Int64GetDatum(bucket.purchases),
			Int64GetDatum(bucket.monetary),
			TimestampTzGetDatum(bucket.first_at),
			TimestampTzGetDatum(bucket.last_at),
			Int64GetDatum(bucket.first_seq),
			Int64GetDatum(bucket.span == UINT32_MAX ? PG_INT64_MAX : bucket.first_seq + bucket.span)
		};

		tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
	}
	if (reader.in.damaged)
		eco_not_buckets();
	return (Datum) 0;
}

EcoOpenTables *
eco_rfm_journal_open(int64 user_id)
{
	static EcoTable *const tables[] = {
		&eco_rfm_purchases, &eco_archived_keys, &reversals, NULL
	};

	return eco_user_tables_open(ECO_READ, user_id, tables);
}

bool
eco_rfm_is_made(Datum status)
{
	text	   *packed = DatumGetTextPP(status);

	return VARSIZE_ANY_EXHDR(packed) == strlen("SUCCESS") &&
		memcmp(VARDATA_ANY(packed), "SUCCESS", strlen("SUCCESS")) == 0;
}

static bool
is_reversed(int64 user_id, int64 seq)
{
	Datum		key[2] = {Int64GetDatum(user_id), Int64GetDatum(seq)};
	EcoRow		reversal;

	return eco_row_find(&reversals, user_id, 0, 2, key, &reversal);
}

bool
eco_rfm_counts(const EcoRow *purchase)
{
	return eco_rfm_is_made(purchase->values[ECO_BUY_STATUS]) &&
		!is_reversed(eco_row_int(purchase, ECO_BUY_USER_ID), eco_row_int(purchase, ECO_BUY_SEQ));
}

static bool
is_behind(const EcoBucket *bucket, int64 seq)
{
	return bucket->span != UINT32_MAX && seq > bucket->first_seq + bucket->span;
}

static bool
is_of_day(const EcoBucket *bucket, TimestampTz at)
{
	return at >= bucket->first_at && at <= bucket->last_at;
}

/* Visit a day's purchases in the journal; how many there are. */
static uint32
visit_journal(int64 user_id, const EcoBucket *bucket, EcoPurchaseSeen seen, void *state)
{
	Datum		key[1] = {Int64GetDatum(user_id)};
	EcoScan    *scan = eco_scan_begin_after(&eco_rfm_purchases, user_id, 0, 1, key,
											bucket->first_seq - 1);
	EcoRow		row;
	uint32		n = 0;

	while (eco_scan_next(scan, &row) && !is_behind(bucket, eco_row_int(&row, ECO_BUY_SEQ)))
	{
		TimestampTz at = DatumGetTimestampTz(row.values[ECO_BUY_CREATED_AT]);

		if (!is_of_day(bucket, at) || !eco_rfm_counts(&row))
			continue;
		seen(state, at, eco_row_int(&row, ECO_BUY_MONETARY));
		n++;
	}
	eco_scan_end(scan);
	return n;
}

/* Visit those of them that were archived, which no index has by seq. */
static void
visit_archived(int64 user_id, const EcoBucket *bucket, EcoPurchaseSeen seen, void *state)
{
	EcoScan    *scan = eco_archived_begin(user_id, NULL);
	EcoRow		row;

	while (eco_scan_next(scan, &row))
	{
		int64		seq = eco_row_int(&row, AKY_SEQ);

		CHECK_FOR_INTERRUPTS();
		if (!row.isnull[AKY_CREATED_AT] && seq >= bucket->first_seq && !is_behind(bucket, seq) &&
			is_of_day(bucket, DatumGetTimestampTz(row.values[AKY_CREATED_AT])) &&
			!is_reversed(user_id, seq))
			seen(state, DatumGetTimestampTz(row.values[AKY_CREATED_AT]),
				 eco_row_int(&row, AKY_MONETARY));
	}
	eco_scan_end(scan);
}

/* Visit a day's purchases; arg is the user. */
static void
journal_source(void *arg, const EcoBucket *bucket, EcoPurchaseSeen seen, void *state)
{
	int64		user_id = *(const int64 *) arg;

	/* few users have a day that is cut, and for the others nothing is opened */
	EcoOpenTables *open = eco_rfm_journal_open(user_id);

	if (visit_journal(user_id, bucket, seen, state) < bucket->purchases)
		visit_archived(user_id, bucket, seen, state);
	eco_tables_close(open);
}

EcoRfmInputs
eco_rfm_read(int64 user_id, const uint8 *packed, size_t len, TimestampTz as_of, int64 window)
{
	EcoRfmInputs inputs = eco_rfm_inputs(packed, len, as_of, window, journal_source, &user_id);

	if (inputs.damaged)
		eco_not_buckets();
	return inputs;
}

static EcoRfmInputs
read_inputs(FunctionCallInfo fcinfo, int64 window)
{
	size_t		len;
	const uint8 *packed = buckets_arg(fcinfo, 1, &len);

	eco_require_arg(fcinfo, 0, "user_id");
	eco_require_arg(fcinfo, 2, "as_of");
	return eco_rfm_read(PG_GETARG_INT64(0), packed, len, PG_GETARG_TIMESTAMPTZ(2), window);
}

/*
 * eco_rfm_window(user_id bigint, buckets bytea, as_of timestamptz, window_us bigint)
 *		returns (last_on date, frequency bigint, monetary bigint)
 */
Datum
eco_rfm_window(PG_FUNCTION_ARGS)
{
	EcoResult	result;
	EcoRfmInputs inputs;

	eco_require_arg(fcinfo, 3, "window_us");
	inputs = read_inputs(fcinfo, PG_GETARG_INT64(3));
	eco_result_begin(&result, fcinfo, "dll");
	if (inputs.bought)
		eco_result_set(&result, 0, DateADTGetDatum((DateADT) inputs.last_day));
	eco_result_set(&result, 1, Int64GetDatum(inputs.frequency));
	eco_result_set(&result, 2, Int64GetDatum(inputs.monetary));
	return eco_result_row(&result);
}

static bool
same_bytes(const ArrayType *a, const ArrayType *b)
{
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

static ArrayType *
kept_array(const ArrayType *array, MemoryContext context)
{
	ArrayType  *copy = MemoryContextAlloc(context, VARSIZE(array));

	memcpy(copy, array, VARSIZE(array));
	return copy;
}

EcoCompiled *
eco_rfm_compile(const ArrayType *words, const ArrayType *names_array, MemoryContext context)
{
	EcoCompiled *compiled = MemoryContextAllocZero(context, sizeof(EcoCompiled));
	MemoryContext old = MemoryContextSwitchTo(context);
	Datum	   *names;
	bool	   *isnull;
	int			nnames;

	compiled->words = kept_array(words, context);
	compiled->names_array = kept_array(names_array, context);
	deconstruct_array(compiled->names_array, TEXTOID, -1, false, TYPALIGN_INT, &names, &isnull,
					  &nnames);
	if (ARR_HASNULL(words) || ARR_NDIM(words) != 1 || ARR_HASNULL(names_array) ||
		!eco_rfm_program((const int64 *) ARR_DATA_PTR(compiled->words),
						 (size_t) ARR_DIMS(words)[0], &compiled->program) ||
		compiled->program.nrules != nnames)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("program must be one made by economy_internal.rfm_program()"));
	compiled->names = palloc0(sizeof(EcoText) * (size_t) Max(nnames, 1));
	for (int i = 0; i < nnames; i++)
	{
		compiled->names[i].datum = names[i];
		compiled->names[i].data = VARDATA_ANY(DatumGetPointer(names[i]));
		compiled->names[i].len = VARSIZE_ANY_EXHDR(DatumGetPointer(names[i]));
	}
	MemoryContextSwitchTo(old);
	return compiled;
}

EcoCompiled *
eco_rfm_compiled(FunctionCallInfo fcinfo, int words_argno, int names_argno)
{
	EcoCompiled *compiled = fcinfo->flinfo->fn_extra;
	ArrayType  *words;
	ArrayType  *names_array;

	eco_require_arg(fcinfo, words_argno, "program");
	eco_require_arg(fcinfo, names_argno, "segments");
	words = PG_GETARG_ARRAYTYPE_P(words_argno);
	names_array = PG_GETARG_ARRAYTYPE_P(names_argno);
	if (compiled != NULL && same_bytes(words, compiled->words) &&
		same_bytes(names_array, compiled->names_array))
		return compiled;
	fcinfo->flinfo->fn_extra = NULL;
	compiled = eco_rfm_compile(words, names_array, fcinfo->flinfo->fn_mcxt);
	fcinfo->flinfo->fn_extra = compiled;
	return compiled;
}

EcoRfmScores
eco_rfm_judge(const EcoCompiled *compiled, int64 user_id, const EcoRfmInputs *inputs,
			  TimestampTz as_of)
{
	EcoRfmScores s = eco_rfm_score(&compiled->program, inputs, as_of);

	if (s.rule < 0)
		ECO_ERROR(ECO_NO_SEGMENT,
				  errmsg("no segment rule matches user %lld", (long long) user_id),
				  errdetail("Recency is %lld days, frequency %lld, monetary %lld.",
							(long long) s.recency, (long long) inputs->frequency,
							(long long) inputs->monetary),
				  errhint("Give the rules a last one without conditions, "
						  "with economy.set_segment_rules()."));
	return s;
}

const EcoText *
eco_rfm_never_bought(const EcoCompiled *compiled)
{
	static const EcoRfmInputs nothing = {.next_change_at = ECO_NEVER};
	EcoRfmScores s = eco_rfm_score(&compiled->program, &nothing, 0);

	return s.rule < 0 ? NULL : &compiled->names[s.rule];
}

/* The result of eco_rfm_assess(), looked up once. */
static TupleDesc
assessment(FunctionCallInfo fcinfo, EcoCompiled *compiled)
{
	MemoryContext old;

	if (compiled->result != NULL)
		return compiled->result;
	old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	if (get_call_result_type(fcinfo, NULL, &compiled->result) != TYPEFUNC_COMPOSITE ||
		compiled->result->natts != ASSESSMENT_COLUMNS)
		ECO_ERROR(ECO_SCHEMA_DAMAGED,
				  errmsg("the function's result type does not fit the library"),
				  errhint("Run ALTER EXTENSION economy UPDATE."));
	compiled->result = BlessTupleDesc(compiled->result);
	MemoryContextSwitchTo(old);
	return compiled->result;
}

static bool
same_int(FunctionCallInfo fcinfo, int argno, int64 value)
{
	return !PG_ARGISNULL(argno) && PG_GETARG_INT64(argno) == value;
}

/*
 * eco_rfm_assess(user_id bigint, buckets bytea, as_of timestamptz, program bigint[],
 *				  segments text[], frequency bigint, monetary bigint, r, f, m smallint,
 *				  segment text, next_change_at timestamptz)
 *		returns (frequency, monetary, r, f, m, segment, next_change_at, recency_days)
 *		The user's scores and segment; null when they are those of the arguments.
 */
Datum
eco_rfm_assess(PG_FUNCTION_ARGS)
{
	EcoCompiled *compiled = eco_rfm_compiled(fcinfo, 3, 4);
	TupleDesc	result = assessment(fcinfo, compiled);
	EcoRfmInputs inputs = read_inputs(fcinfo, compiled->program.window);
	EcoRfmScores s = eco_rfm_judge(compiled, PG_GETARG_INT64(0), &inputs,
								   PG_GETARG_TIMESTAMPTZ(2));
	TimestampTz next = eco_rfm_next_change(&s);
	const EcoText *segment;

	segment = &compiled->names[s.rule];
	if (same_int(fcinfo, 5, inputs.frequency) && same_int(fcinfo, 6, inputs.monetary) &&
		!PG_ARGISNULL(7) && PG_GETARG_INT16(7) == s.r &&
		!PG_ARGISNULL(8) && PG_GETARG_INT16(8) == s.f &&
		!PG_ARGISNULL(9) && PG_GETARG_INT16(9) == s.m &&
		!PG_ARGISNULL(11) && PG_GETARG_TIMESTAMPTZ(11) == next && !PG_ARGISNULL(10))
	{
		text	   *before = PG_GETARG_TEXT_PP(10);

		if ((int) VARSIZE_ANY_EXHDR(before) == segment->len &&
			memcmp(VARDATA_ANY(before), segment->data, (size_t) segment->len) == 0)
			PG_RETURN_NULL();
	}
	{
		Datum		values[ASSESSMENT_COLUMNS] = {
			Int64GetDatum(inputs.frequency),
			Int64GetDatum(inputs.monetary),
			Int16GetDatum((int16) s.r),
			Int16GetDatum((int16) s.f),
			Int16GetDatum((int16) s.m),
			segment->datum,
			TimestampTzGetDatum(next),
			Int32GetDatum((int32) s.recency)
		};
		bool		isnull[ASSESSMENT_COLUMNS] = {false};

		PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(result, values, isnull)));
	}
}
