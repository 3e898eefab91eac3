/*
 * renew.c
 *		The incremental refresh: users with new purchases, and those whose time has
 *		come, one after the other in the order of users.
 *
 * Few of many users: each row is looked up, scored and written where it lies.  No index
 * holds what is written, so that the new version stays on the page; who is due, and
 * when, is in economy_internal.rfm_due.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "errors.h"
#include "ledger/args.h"
#include "ledger/result.h"
#include "segment/fold.h"
#include "segment/rows.h"

PG_FUNCTION_INFO_V1(eco_rfm_renew);

enum
{
	RENEWED_USER_ID,
	RENEWED_SINCE,
	RENEWED_SCORED,
	RENEWED_BEFORE,
	RENEWED_SEGMENT,
	RENEWED_CHANGES,
	RENEWED_DUE_HOUR,
	RENEWED_COLUMNS
};

typedef struct Renewal
{
	const EcoCompiled *compiled;
	TimestampTz as_of;
	Datum		never;			/* segment of who never bought; 0: none */
	ReturnSetInfo *info;

	EcoFold    *fold;
	EcoFolded	fresh;			/* the next user with new purchases */
	bool		has_fresh;
	const int64 *due;			/* users, rising */
	int			ndue;
	int			passed;			/* of them */

	MemoryContext context;
	MemoryContext row_context;	/* reset from user to user */
	EcoScan    *scan;			/* of rows by user */
} Renewal;

static bool
find_row(Renewal *r, int64 user_id, EcoRow *row)
{
	Datum		key = Int64GetDatum(user_id);

	if (r->scan == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(r->context);

		r->scan = eco_scan_begin(&eco_user_segments, user_id, 0, 1, &key);
		MemoryContextSwitchTo(old);
	}
	else
		eco_scan_again(r->scan, &key);
	return eco_scan_next(r->scan, row);
}

/*
 * The user's purchases after that entry, for one of whom some of the fold are held already:
 * a transaction that was open for long has the purchases of others read again.
 */
static bytea *
pack_unheld(int64 user_id, int64 after, TimestampTz *since)
{
	EcoOpenTables *open = eco_rfm_journal_open(user_id);
	EcoPacking *packing = eco_packing_make();
	Datum		key = Int64GetDatum(user_id);
	EcoScan    *scan = eco_scan_begin_after(&eco_rfm_purchases, user_id, 0, 1, &key, after);
	EcoRow		row;

	*since = DT_NOEND;
	while (eco_scan_next(scan, &row))
	{
		TimestampTz at = DatumGetTimestampTz(row.values[ECO_BUY_CREATED_AT]);

		if (!eco_rfm_counts(&row))
			continue;
		*since = Min(*since, at);
		eco_packing_add(packing, at, eco_row_int(&row, ECO_BUY_MONETARY),
						eco_row_int(&row, ECO_BUY_SEQ));
	}
	eco_scan_end(scan);
	eco_tables_close(open);
	return eco_packing_end(packing);
}

static Datum
merged(Datum held, bytea *added)
{
	bytea	   *before = DatumGetByteaPP(held);
	size_t		blen = VARSIZE_ANY_EXHDR(before);
	size_t		alen = VARSIZE_ANY_EXHDR(added);
	bytea	   *result = palloc(VARHDRSZ + ECO_MERGED_MAX(blen, alen));
	size_t		len = eco_buckets_merge((const uint8 *) VARDATA_ANY(before), blen,
										(const uint8 *) VARDATA_ANY(added), alen,
										(uint8 *) VARDATA(result));

	if (len == SIZE_MAX)
		eco_not_buckets();
	SET_VARSIZE(result, VARHDRSZ + len);
	return PointerGetDatum(result);
}

/* Put the user's new purchases into the row, or make one; false when it holds them. */
static bool
take_up(Renewal *r, EcoRow *row, bool has_row, TimestampTz *since)
{
	EcoFolded  *fresh = &r->fresh;
	bytea	   *added;

	if (has_row && fresh->seq <= eco_row_int(row, ECO_SEG_SEQ))
		return false;
	*since = fresh->since;
	if (has_row && fresh->first_seq <= eco_row_int(row, ECO_SEG_SEQ))
		added = pack_unheld(fresh->user_id, eco_row_int(row, ECO_SEG_SEQ), since);
	else
		added = eco_packing_end(fresh->packing);
	if (!has_row)
	{
		eco_row_init(row, &eco_user_segments);
		eco_row_set(row, ECO_SEG_USER_ID, Int64GetDatum(fresh->user_id));
		eco_row_set(row, ECO_SEG_CHANGES, Int32GetDatum(0));
		if (r->never != (Datum) 0)
			eco_row_set(row, ECO_SEG_SEGMENT, r->never);
	}
	eco_row_set(row, ECO_SEG_BUCKETS,
				has_row ? merged(row->values[ECO_SEG_BUCKETS], added) : PointerGetDatum(added));
	eco_row_set(row, ECO_SEG_SEQ, Int64GetDatum(fresh->seq));
	return true;
}

static bool
same_text(Datum value, const EcoText *text)
{
	struct varlena *packed = PG_DETOAST_DATUM_PACKED(value);

	return (int) VARSIZE_ANY_EXHDR(packed) == text->len &&
				memcmp(VARDATA_ANY(packed), text->data, (size_t) text->len) == 0;
}

/* Score the row. */
static void
score(Renewal *r, EcoRow *row, int64 user_id)
{
	const EcoCompiled *compiled = r->compiled;
	bytea	   *buckets = DatumGetByteaPP(row->values[ECO_SEG_BUCKETS]);
	EcoRfmInputs inputs = eco_rfm_read(user_id, (const uint8 *) VARDATA_ANY(buckets),
									   VARSIZE_ANY_EXHDR(buckets), r->as_of,
									   compiled->program.window);
	EcoRfmScores s = eco_rfm_judge(compiled, user_id, &inputs, r->as_of);
	const EcoText *segment = &compiled->names[s.rule];
	bool		had_one = !row->isnull[ECO_SEG_SEGMENT];
	bool		moved = !had_one || !same_text(row->values[ECO_SEG_SEGMENT], segment);

	if (moved)
	{
		eco_row_set(row, ECO_SEG_SINCE, TimestampTzGetDatum(r->as_of));
		if (had_one)
			eco_row_set(row, ECO_SEG_CHANGES,
						Int32GetDatum(DatumGetInt32(row->values[ECO_SEG_CHANGES]) + 1));
	}
	eco_segment_row_score(row, compiled, &inputs, &s);
}

/* When the row is to change; who has none, or no score yet, waits for a full refresh. */
static TimestampTz
awaited_at(const EcoRow *row, bool has_row)
{
	if (!has_row || row->isnull[ECO_SEG_NEXT_CHANGE_AT])
		return DT_NOEND;
	return DatumGetTimestampTz(row->values[ECO_SEG_NEXT_CHANGE_AT]);
}

/* Renew one user, and tell what came of it. */
static void
renew(Renewal *r, int64 user_id, bool is_fresh)
{
	Datum		values[RENEWED_COLUMNS] = {Int64GetDatum(user_id)};
	bool		isnull[RENEWED_COLUMNS];
	EcoRow		row;
	bool		has_row = find_row(r, user_id, &row);
	TimestampTz before = awaited_at(&row, has_row);
	TimestampTz next = before;
	TimestampTz since = before;
	bool		scored;

	memset(isnull, true, sizeof(isnull));
	isnull[RENEWED_USER_ID] = isnull[RENEWED_SCORED] = false;

	/*
	 * not in one expression: what is fresh is taken up whether it was due or
	 * not
	 */
	scored = is_fresh && take_up(r, &row, has_row, &since);
	scored = scored || before <= r->as_of;
	values[RENEWED_SCORED] = BoolGetDatum(scored);
	if (scored)
	{
		if (!row.isnull[ECO_SEG_SEGMENT])
		{
			values[RENEWED_BEFORE] = row.values[ECO_SEG_SEGMENT];
			isnull[RENEWED_BEFORE] = false;
		}
		score(r, &row, user_id);
		next = DatumGetTimestampTz(row.values[ECO_SEG_NEXT_CHANGE_AT]);
		values[RENEWED_SEGMENT] = row.values[ECO_SEG_SEGMENT];
		values[RENEWED_CHANGES] = row.values[ECO_SEG_CHANGES];
		values[RENEWED_SINCE] = TimestampTzGetDatum(since);
		isnull[RENEWED_SEGMENT] = isnull[RENEWED_CHANGES] = isnull[RENEWED_SINCE] = false;
		if (has_row)
			eco_row_update(&row, user_id);
		else
			eco_row_insert(&row, user_id);
	}
	/* the hours up to as_of have been taken out of rfm_due */
	if (!TIMESTAMP_IS_NOEND(next) &&
		(eco_rfm_hour(before) != eco_rfm_hour(next) || eco_rfm_hour(before) <= r->as_of))
	{
		values[RENEWED_DUE_HOUR] = TimestampTzGetDatum(eco_rfm_hour(next));
		isnull[RENEWED_DUE_HOUR] = false;
	}
	if (scored || !isnull[RENEWED_DUE_HOUR])
		tuplestore_putvalues(r->info->setResult, r->info->setDesc, values, isnull);
}

/* The next user in either list. */
static bool
next_user(Renewal *r, int64 *user_id, bool *is_fresh)
{
	bool		has_due = r->passed < r->ndue;

	*is_fresh = r->has_fresh && (!has_due || r->fresh.user_id <= r->due[r->passed]);
	if (!*is_fresh && !has_due)
		return false;
	*user_id = *is_fresh ? r->fresh.user_id : r->due[r->passed];
	if (has_due && r->due[r->passed] == *user_id)
		r->passed++;
	return true;
}

static void
renew_all(Renewal *r)
{
	int64		user_id;
	bool		is_fresh;

	while (next_user(r, &user_id, &is_fresh))
	{
		MemoryContext old = MemoryContextSwitchTo(r->row_context);

		CHECK_FOR_INTERRUPTS();
		renew(r, user_id, is_fresh);
		MemoryContextSwitchTo(old);
		MemoryContextReset(r->row_context);
		if (is_fresh)
			r->has_fresh = eco_fold_next(r->fold, &r->fresh);
	}
	if (r->scan != NULL)
		eco_scan_end(r->scan);
}

/* The users that are due, which rise. */
static void
due_arg(FunctionCallInfo fcinfo, int argno, Renewal *r)
{
	ArrayType  *users;

	eco_require_arg(fcinfo, argno, "due");
	users = PG_GETARG_ARRAYTYPE_P(argno);
	r->due = (const int64 *) ARR_DATA_PTR(users);
	r->ndue = ARR_NDIM(users) == 1 ? ARR_DIMS(users)[0] : 0;
	for (int i = 0; i < r->ndue; i++)
		if (ARR_HASNULL(users) || (i > 0 && r->due[i] <= r->due[i - 1]))
			ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("due must be users, each once, that rise"));
}

/*
 * eco_rfm_renew(transaction bigint, due bigint[], as_of timestamptz, program bigint[],
 *				 segments text[], never text)
 *		returns setof (user_id, since, scored, before, segment, changes, due_hour)
 *		Scores the users with purchases of that transaction and later ones, and those of
 *		due who are: since when it waited, the segment before and now, how many changes,
 *		and where rfm_due is to hold the user, or null.
 */
Datum
eco_rfm_renew(PG_FUNCTION_ARGS)
{
	static EcoTable *const tables[] = {&eco_user_segments, NULL};
	Renewal		r = {.info = (ReturnSetInfo *) fcinfo->resultinfo};
	EcoOpenTables *open;
	int64		transaction;

	eco_require_arg(fcinfo, 0, "transaction");
	eco_require_arg(fcinfo, 2, "as_of");
	transaction = PG_GETARG_INT64(0);
	due_arg(fcinfo, 1, &r);
	r.as_of = PG_GETARG_TIMESTAMPTZ(2);
	r.compiled = eco_rfm_compiled(fcinfo, 3, 4);
	r.never = PG_ARGISNULL(5) ? (Datum) 0 : PointerGetDatum(PG_GETARG_TEXT_PP(5));
	eco_result_set_begin(fcinfo, "lzbttiz");
	r.context = CurrentMemoryContext;
	r.row_context = AllocSetContextCreate(CurrentMemoryContext, "economy renewal",
										  ALLOCSET_DEFAULT_SIZES);
	open = eco_tables_open(ECO_WRITE, tables);
	r.fold = eco_fold_begin(transaction, transaction == 0);
	r.has_fresh = eco_fold_next(r.fold, &r.fresh);
	renew_all(&r);
	eco_fold_end(r.fold);
	eco_tables_close(open);
	MemoryContextDelete(r.row_context);
	return (Datum) 0;
}
