/*
 * rows.c
 *		The rows that refreshes write from C: user_segments, its history, and who is due.
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

EcoTable	eco_segment_history = {
	.name = "segment_history",
	.ncolumns = ECO_SEH_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"change_no", INT4OID, false},
		{"from_segment", TEXTOID, false},
		{"to_segment", TEXTOID, false},
		{"changed_at", TIMESTAMPTZOID, false},
		{"snapshot_id", INT8OID, false},
	},
	.nkeys = 1,
	.keys = {{2, {ECO_SEH_USER_ID, ECO_SEH_CHANGE_NO}}},
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

#define ST_SORT sort_due
#define ST_ELEMENT_TYPE EcoDue
#define ST_COMPARE(a, b) \
	((a)->hour != (b)->hour ? ((a)->hour < (b)->hour ? -1 : 1) : \
	 (a)->user_id < (b)->user_id ? -1 : (a)->user_id > (b)->user_id)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/* Of an hour; 0: it has none. */
static int64
last_chunk(TimestampTz hour)
{
	Datum		key = TimestampTzGetDatum(hour);
	EcoScan    *scan = eco_scan_begin_before(&eco_rfm_due, 0, 0, 1, &key, PG_INT64_MAX);
	EcoRow		row;
	int64		last = eco_scan_next(scan, &row) ? eco_row_int(&row, DUE_CHUNK) : 0;

	eco_scan_end(scan);
	return last;
}

/* Insert a chunk of users, who are of one hour. */
static void
insert_chunk(const EcoDue *due, size_t n)
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
		ids[i] = due[i].user_id;
	eco_row_init(&row, &eco_rfm_due);
	eco_row_set(&row, DUE_HOUR, TimestampTzGetDatum(due->hour));
	eco_row_set(&row, DUE_CHUNK, Int64GetDatum(last_chunk(due->hour) + 1));
	eco_row_set(&row, DUE_USERS, PointerGetDatum(array));
	eco_row_insert(&row, 0);
	pfree(array);
}

void
eco_due_write(EcoDue *due, size_t n)
{
	size_t		end;

	if (n > 1)
		sort_due(due, n);
	for (size_t start = 0; start < n; start = end)
	{
		for (end = start + 1; end < n && due[end].hour == due[start].hour; end++)
			;
		insert_chunk(&due[start], end - start);
	}
}
