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
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "errors.h"
#include "ledger/args.h"
#include "ledger/result.h"
#include "segment/fold.h"
#include "segment/rows.h"

PG_FUNCTION_INFO_V1(eco_rfm_renew);

#define BATCH 64				/* rows of history that are written at once */
#define FIRST_ROOM 1024			/* users who wait */

enum
{
	RENEWED_USER_ID,
	RENEWED_SINCE,
	RENEWED_BEFORE,
	RENEWED_SEGMENT,
	RENEWED_COLUMNS
};

typedef struct Renewal
{
	const EcoCompiled *compiled;
	TimestampTz as_of;
	int64		snapshot_id;
	const EcoText *never;		/* segment of who never bought; NULL: none */
	ReturnSetInfo *info;

	EcoFold    *fold;
	EcoFolded	fresh;			/* the next user with new purchases */
	bool		has_fresh;
	const int64 *due;			/* users, rising */
	int			ndue;
	int			passed;			/* of them */

	EcoDue	   *awaited;		/* who is to be put into rfm_due */
	size_t		nawaited;
	size_t		room;
	int			nmoved;			/* rows of history that are not written yet */
	EcoRow		moved[BATCH];

	MemoryContext context;
	MemoryContext row_context;	/* reset from user to user */
	MemoryContext moved_context;	/* of what moved points to */
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
		if (r->never != NULL)
			eco_row_set(row, ECO_SEG_SEGMENT, r->never->datum);
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

/* Score the row; whether it moves from one segment to another. */
static bool
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
	return moved && had_one;
}

static void
write_moved(Renewal *r)
{
	EcoRow	   *rows[BATCH];

	if (r->nmoved == 0)
		return;
	for (int i = 0; i < r->nmoved; i++)
		rows[i] = &r->moved[i];
	eco_rows_insert(rows, r->nmoved, eco_row_int(rows[0], ECO_SEH_USER_ID));
	r->nmoved = 0;
	MemoryContextReset(r->moved_context);
}

/* Remember in the history that the row, as it is now, moved from there. */
static void
remember(Renewal *r, const EcoRow *row, Datum before)
{
	MemoryContext old = MemoryContextSwitchTo(r->moved_context);
	EcoRow	   *moved = &r->moved[r->nmoved++];

	eco_row_init(moved, &eco_segment_history);
	eco_row_set(moved, ECO_SEH_USER_ID, row->values[ECO_SEG_USER_ID]);
	eco_row_set(moved, ECO_SEH_CHANGE_NO, row->values[ECO_SEG_CHANGES]);
	eco_row_set(moved, ECO_SEH_FROM, datumCopy(before, false, -1));
	/* of the snapshot's names, which stay */
	eco_row_set(moved, ECO_SEH_TO, row->values[ECO_SEG_SEGMENT]);
	eco_row_set(moved, ECO_SEH_CHANGED_AT, TimestampTzGetDatum(r->as_of));
	eco_row_set(moved, ECO_SEH_SNAPSHOT_ID, Int64GetDatum(r->snapshot_id));
	MemoryContextSwitchTo(old);
}

/* Have rfm_due hold the user. */
static void
await(Renewal *r, int64 user_id, TimestampTz hour)
{
	if (r->nawaited == r->room)
	{
		r->room = r->room == 0 ? FIRST_ROOM : r->room * 2;
		r->awaited = r->awaited == NULL ?
			MemoryContextAllocHuge(r->context, r->room * sizeof(EcoDue)) :
			repalloc_huge(r->awaited, r->room * sizeof(EcoDue));
	}
	r->awaited[r->nawaited++] = (EcoDue)
	{
		.hour = hour, .user_id = user_id
	};
}

/* When the row is to change; who has none, or no score yet, waits for a full refresh. */
static TimestampTz
awaited_at(const EcoRow *row, bool has_row)
{
	if (!has_row || row->isnull[ECO_SEG_NEXT_CHANGE_AT])
		return DT_NOEND;
	return DatumGetTimestampTz(row->values[ECO_SEG_NEXT_CHANGE_AT]);
}

/* Score and write the row of a user, since when it waited, and tell of it. */
static void
renew_row(Renewal *r, EcoRow *row, bool has_row, int64 user_id, TimestampTz since)
{
	Datum		values[RENEWED_COLUMNS] = {Int64GetDatum(user_id), TimestampTzGetDatum(since)};
	bool		isnull[RENEWED_COLUMNS] = {false, false, true, true};
	Datum		before = row->values[ECO_SEG_SEGMENT];

	if (score(r, row, user_id))
	{
		remember(r, row, before);
		values[RENEWED_BEFORE] = before;
		values[RENEWED_SEGMENT] = row->values[ECO_SEG_SEGMENT];
		isnull[RENEWED_BEFORE] = isnull[RENEWED_SEGMENT] = false;
	}
	if (has_row)
		eco_row_update(row, user_id);
	else
		eco_row_insert(row, user_id);
	tuplestore_putvalues(r->info->setResult, r->info->setDesc, values, isnull);
}

static void
renew(Renewal *r, int64 user_id, bool is_fresh)
{
	EcoRow		row;
	bool		has_row = find_row(r, user_id, &row);
	TimestampTz before = awaited_at(&row, has_row);
	TimestampTz next = before;
	TimestampTz since = before;
	bool		takes_up = is_fresh && take_up(r, &row, has_row, &since);

	if (takes_up || before <= r->as_of)
	{
		renew_row(r, &row, has_row, user_id, since);
		next = DatumGetTimestampTz(row.values[ECO_SEG_NEXT_CHANGE_AT]);
	}
	/* the hours up to as_of have been taken out of rfm_due */
	if (!TIMESTAMP_IS_NOEND(next) &&
		(eco_rfm_hour(before) != eco_rfm_hour(next) || eco_rfm_hour(before) <= r->as_of))
		await(r, user_id, eco_rfm_hour(next));
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
		if (r->nmoved == BATCH)
			write_moved(r);
		MemoryContextSwitchTo(old);
		MemoryContextReset(r->row_context);
		if (is_fresh)
			r->has_fresh = eco_fold_next(r->fold, &r->fresh);
	}
	if (r->scan != NULL)
		eco_scan_end(r->scan);
	write_moved(r);
	eco_due_write(r->awaited, r->nawaited);
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
 *				 segments text[], snapshot_id bigint)
 *		returns setof (user_id, since, before, segment)
 *		Scores the users with purchases of that transaction and later ones, and those of
 *		due who are: since when it waited, and the segment before and now when it is
 *		another.  Writes segment_history, and into rfm_due whom it is to hold.
 */
Datum
eco_rfm_renew(PG_FUNCTION_ARGS)
{
	static EcoTable *const tables[] = {
		&eco_user_segments, &eco_segment_history, &eco_rfm_due, NULL
	};
	Renewal		r = {.info = (ReturnSetInfo *) fcinfo->resultinfo};
	EcoOpenTables *open;
	int64		transaction;

	eco_result_set_begin(fcinfo, "lztt");
	eco_require_arg(fcinfo, 0, "transaction");
	eco_require_arg(fcinfo, 2, "as_of");
	eco_require_arg(fcinfo, 5, "snapshot_id");
	transaction = PG_GETARG_INT64(0);
	due_arg(fcinfo, 1, &r);
	r.as_of = PG_GETARG_TIMESTAMPTZ(2);
	r.compiled = eco_rfm_compiled(fcinfo, 3, 4);
	r.never = eco_rfm_never_bought(r.compiled);
	r.snapshot_id = PG_GETARG_INT64(5);
	r.context = CurrentMemoryContext;
	r.row_context = AllocSetContextCreate(CurrentMemoryContext, "economy renewal",
										  ALLOCSET_DEFAULT_SIZES);
	r.moved_context = AllocSetContextCreate(CurrentMemoryContext, "economy moved",
											ALLOCSET_DEFAULT_SIZES);
	open = eco_tables_open(ECO_WRITE, tables);
	r.fold = eco_fold_begin(transaction, transaction == 0);
	r.has_fresh = eco_fold_next(r.fold, &r.fresh);
	renew_all(&r);
	eco_fold_end(r.fold);
	eco_tables_close(open);
	MemoryContextDelete(r.row_context);
	MemoryContextDelete(r.moved_context);
	return (Datum) 0;
}
