/*
 * rows.c
 *		The rows that refreshes write from C: user_segments, and who is due.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "fmgr.h"

#include "ledger/args.h"
#include "segment/rows.h"

PG_FUNCTION_INFO_V1(eco_rfm_due_hour);

EcoTable	eco_user_segments = {
	.name = "user_segments",
	.ncolumns = ECO_SEG_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"seq", INT8OID, true},
		{"frequency", INT8OID, ECO_MUTABLE | ECO_NULLABLE},
		{"monetary", INT8OID, ECO_MUTABLE | ECO_NULLABLE},
		{"segment_since", TIMESTAMPTZOID, ECO_MUTABLE | ECO_NULLABLE},
		{"next_change_at", TIMESTAMPTZOID, ECO_MUTABLE | ECO_NULLABLE},
		{"changes", INT4OID, true},
		{"r", INT2OID, ECO_MUTABLE | ECO_NULLABLE},
		{"f", INT2OID, ECO_MUTABLE | ECO_NULLABLE},
		{"m", INT2OID, ECO_MUTABLE | ECO_NULLABLE},
		{"segment", TEXTOID, ECO_MUTABLE | ECO_NULLABLE},
		{"buckets", BYTEAOID, true},
	},
	.nkeys = 1,
	.keys = {{1, {ECO_SEG_USER_ID}}},
};

enum
{
	DUE_HOUR,
	DUE_CHUNK,
	DUE_USERS,
	DUE_COLUMNS
};

EcoTable	eco_rfm_due = {
	.name = "rfm_due",
	.internal = true,
	.ncolumns = DUE_COLUMNS,
	.columns = {
		{"due_hour", TIMESTAMPTZOID, false},
		{"chunk", INT8OID, false},
		{"users", INT8ARRAYOID, false},
	},
	.nkeys = 1,
	.keys = {{2, {DUE_HOUR, DUE_CHUNK}}},
};

void
eco_segment_row_score(EcoRow *row, const EcoCompiled *compiled, const EcoRfmInputs *inputs,
					  const EcoRfmScores *scores)
{
	eco_row_set(row, ECO_SEG_FREQUENCY, Int64GetDatum(inputs->frequency));
	eco_row_set(row, ECO_SEG_MONETARY, Int64GetDatum(inputs->monetary));
	eco_row_set(row, ECO_SEG_NEXT_CHANGE_AT, TimestampTzGetDatum(eco_rfm_next_change(scores)));
	eco_row_set(row, ECO_SEG_R, Int16GetDatum((int16) scores->r));
	eco_row_set(row, ECO_SEG_F, Int16GetDatum((int16) scores->f));
	eco_row_set(row, ECO_SEG_M, Int16GetDatum((int16) scores->m));
	eco_row_set(row, ECO_SEG_SEGMENT, compiled->names[scores->rule].datum);
}

TimestampTz
eco_rfm_hour(TimestampTz at)
{
	int64		into = at % USECS_PER_HOUR;

	if (TIMESTAMP_NOT_FINITE(at))
		return at;
	return at - (into < 0 ? into + USECS_PER_HOUR : into);
}

/*
 * eco_rfm_due_hour(at timestamptz) returns timestamptz
 */
Datum
eco_rfm_due_hour(PG_FUNCTION_ARGS)
{
	/* not STRICT: of a null the executor would ask no privilege */
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(eco_rfm_hour(PG_GETARG_TIMESTAMPTZ(0)));
}

void
eco_due_insert(TimestampTz hour, int64 chunk, const int64 *users, size_t stride, size_t n)
{
	size_t		size = ARR_OVERHEAD_NONULLS(1) + n * sizeof(int64);
	ArrayType  *array = MemoryContextAllocHuge(CurrentMemoryContext, size);
	int64	   *ids;
	EcoRow		row;

	memset(array, 0, ARR_OVERHEAD_NONULLS(1));
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = INT8OID;
	ARR_DIMS(array)[0] = (int) n;
	ARR_LBOUND(array)[0] = 1;
	ids = (int64 *) ARR_DATA_PTR(array);
	for (size_t i = 0; i < n; i++)
		ids[i] = *(const int64 *) ((const char *) users + i * stride);
	eco_row_init(&row, &eco_rfm_due);
	eco_row_set(&row, DUE_HOUR, TimestampTzGetDatum(hour));
	eco_row_set(&row, DUE_CHUNK, Int64GetDatum(chunk));
	eco_row_set(&row, DUE_USERS, PointerGetDatum(array));
	eco_row_insert(&row, 0);
	pfree(array);
}
