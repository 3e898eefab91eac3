/*
 * rows.c
 *		Row access: the choice between the direct and the SQL way.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "errors.h"
#include "ledger/rows_private.h"

static EcoScan *scan_begin(EcoTable *table, int64 user_id, int key, int nvalues,
						   const Datum *values, EcoBound bound, int64 limit);

void
eco_row_init(EcoRow *row, EcoTable *table)
{
	row->table = table;
	ItemPointerSetInvalid(&row->tid);
	row->read_at = InvalidCommandId;
	row->is_free = false;
	memset(row->values, 0, sizeof(row->values));
	memset(row->isnull, true, sizeof(row->isnull));
}

bool
eco_row_find(EcoTable *table, int64 user_id, int key, int nvalues,
			 const Datum *values, EcoRow *row)
{
	bool		may_be_known = table->only_read && key == 0 &&
	nvalues == table->keys[0].ncolumns;
	EcoScan    *scan;
	bool		found;

	if (eco_must_be_newest(table))
		eco_rows_must_be_newest(table, user_id, key, nvalues, values);
	if (may_be_known && eco_direct_find_again(eco_relation_for(table, user_id), values, row))
		return true;
	scan = scan_begin(table, user_id, key, nvalues, values, ECO_UNBOUNDED, 0);
	found = eco_scan_next(scan, row);
	if (found && may_be_known)
		eco_direct_found(scan, values);
	eco_scan_end(scan);
	return found;
}

int
eco_rows_find(EcoTable *table, int64 user_id, int nvalues, const Datum *values,
			  int known, EcoRow *rows)
{
	EcoOpenTable *open = eco_relation_for(table, user_id);
	ItemPointerData roots[ECO_MAX_GROUP];
	EcoScan    *scan;
	int			n = 0;

	if (open->direct && eco_direct_find_all_again(open, nvalues, values, known, rows))
		return known;
	for (scan = eco_scan_begin(table, user_id, 0, nvalues, values);
		 n < ECO_MAX_GROUP && eco_scan_next(scan, &rows[n]); n++)
		roots[n] = scan->root;
	if (scan->direct && n == known)
		eco_group_keep(open, nvalues, values, roots, n);
	eco_scan_end(scan);
	return n;
}

static void
note_digest(EcoScan *scan, const Datum *values)
{
	if (!eco_scan_by_digest(scan))
		return;
	memcpy(scan->values, values, sizeof(Datum) * scan->nvalues);
	eco_digest_range(scan->nvalues, values, &scan->least, &scan->most);
}

bool
eco_row_find_next(EcoScan **kept, EcoTable *table, int64 user_id, int key,
				  int nvalues, const Datum *values, EcoRow *row)
{
	/*
	 * the user's rows may be in another partition than those of the user
	 * before
	 */
	if (*kept != NULL && (*kept)->open != eco_relation_for(table, user_id))
	{
		eco_scan_end(*kept);
		*kept = NULL;
	}
	if (*kept == NULL)
		*kept = eco_scan_begin(table, user_id, key, nvalues, values);
	else
		eco_scan_again(*kept, values);
	return eco_scan_next(*kept, row);
}

bool
eco_digests_find(EcoTable *table, int64 user_id, const int64 *digests, int n, bool *found)
{
	EcoOpenTable *open = eco_relation_for(table, user_id);

	return table->digest != 0 && open->direct &&
		eco_direct_digests_find(open, user_id, digests, n, found);
}

int
eco_digests_read(EcoTable *table, int64 user_id, int64 *digests, int most)
{
	EcoOpenTable *open = eco_relation_for(table, user_id);

	return table->digest != 0 && open->direct ?
		eco_direct_digests_read(open, user_id, digests, most) : -1;
}

static EcoScan *
scan_begin(EcoTable *table, int64 user_id, int key, int nvalues,
		   const Datum *values, EcoBound bound, int64 limit)
{
	EcoScan    *scan = palloc0(sizeof(EcoScan));

	Assert(nvalues + (bound != ECO_UNBOUNDED) <= table->keys[key].ncolumns);
	scan->table = table;
	scan->open = eco_relation_for(table, user_id);
	scan->key = key;
	scan->nvalues = nvalues;
	scan->bound = bound;
	scan->limit = limit;
	scan->context = CurrentMemoryContext;
	note_digest(scan, values);
	scan->direct = scan->open->direct && eco_direct_scan_begin(scan, values);
	if (!scan->direct)
		eco_sql_scan_begin(scan, values);
	return scan;
}

static void
must_be_newest(EcoTable *table, int64 user_id, int key, int nvalues, const Datum *values,
			   EcoBound bound, int64 limit)
{
	EcoScan    *seen;
	EcoScan    *newest;
	EcoRow		row;
	EcoRow		latest;
	bool		more = true;

	if (!IsolationUsesXactSnapshot())
		return;
	seen = scan_begin(table, user_id, key, nvalues, values, bound, limit);
	PushActiveSnapshot(GetLatestSnapshot());
	newest = scan_begin(table, user_id, key, nvalues, values, bound, limit);
	while (more)
	{
		more = eco_scan_next(seen, &row);
		if (more != eco_scan_next(newest, &latest) ||
			(more && !ItemPointerEquals(&row.tid, &latest.tid)))
			eco_serialization_failure(table);
	}
	eco_scan_end(newest);
	eco_scan_end(seen);
	PopActiveSnapshot();		/* a scan has no copy of its own */
}

void
eco_rows_must_be_newest(EcoTable *table, int64 user_id, int key, int nvalues, const Datum *values)
{
	must_be_newest(table, user_id, key, nvalues, values, ECO_UNBOUNDED, 0);
}

/* Of configuration a scan reads the newest that there is, or raises 40001. */
static EcoScan *
begin_of_newest(EcoTable *table, int64 user_id, int key, int nvalues, const Datum *values,
				EcoBound bound, int64 limit)
{
	if (eco_must_be_newest(table))
		must_be_newest(table, user_id, key, nvalues, values, bound, limit);
	return scan_begin(table, user_id, key, nvalues, values, bound, limit);
}

EcoScan *
eco_scan_begin(EcoTable *table, int64 user_id, int key, int nvalues,
			   const Datum *values)
{
	return begin_of_newest(table, user_id, key, nvalues, values, ECO_UNBOUNDED, 0);
}

EcoScan *
eco_scan_begin_after(EcoTable *table, int64 user_id, int key, int nvalues,
					 const Datum *values, int64 after)
{
	return begin_of_newest(table, user_id, key, nvalues, values, ECO_AFTER, after);
}

EcoScan *
eco_scan_begin_before(EcoTable *table, int64 user_id, int key, int nvalues,
					  const Datum *values, int64 before)
{
	return begin_of_newest(table, user_id, key, nvalues, values, ECO_BEFORE, before);
}

bool
eco_scan_next(EcoScan *scan, EcoRow *row)
{
	bool		found;

	do
		found = scan->direct ? eco_direct_scan_next(scan, row) : eco_sql_scan_next(scan, row);
	while (found && eco_scan_by_digest(scan) && !eco_digest_meant(scan, row));
	return found;
}

void
eco_scan_again(EcoScan *scan, const Datum *values)
{
	MemoryContext caller = MemoryContextSwitchTo(scan->context);

	note_digest(scan, values);
	if (scan->direct)
		eco_direct_scan_again(scan, values);
	else
	{
		eco_sql_scan_end(scan);
		eco_sql_scan_begin(scan, values);
	}
	MemoryContextSwitchTo(caller);
}

void
eco_scan_end(EcoScan *scan)
{
	if (scan->direct)
		eco_direct_scan_end(scan);
	else
		eco_sql_scan_end(scan);
	pfree(scan);
}

EcoLock
eco_row_lock(EcoRow *row, int64 user_id, EcoWait wait)
{
	EcoOpenTable *open = eco_relation_for(row->table, user_id);

	if (open->direct)
		return eco_direct_lock(row, open, wait);
	return eco_sql_lock(row, wait);
}

void
eco_row_update(EcoRow *row, int64 user_id)
{
	EcoOpenTable *open = eco_relation_for(row->table, user_id);

	if (!open->direct)
		eco_sql_update(row, open->rel);
	else if (!eco_direct_update(row, open, true))
		eco_row_moved(row->table);
}

bool
eco_row_try_update(EcoRow *row, int64 user_id)
{
	return eco_direct_update(row, eco_relation_for(row->table, user_id), false);
}

void
eco_row_insert(EcoRow *row, int64 user_id)
{
	eco_rows_insert(&row, 1, user_id);
}

static void
insert_into(EcoOpenTable *open, EcoRow **rows, int n)
{
	if (open->direct)
		eco_direct_insert(rows, n, open);
	else
		for (int i = 0; i < n; i++)
			eco_sql_insert(rows[i]);
}

/* A row, and the relation that it is for. */
typedef struct Homed
{
	EcoRow	   *row;
	EcoOpenTable *open;
	int			number;
} Homed;

static int
by_home(const void *a, const void *b)
{
	const Homed *x = a;
	const Homed *y = b;

	if (x->open->cache->relid != y->open->cache->relid)
		return x->open->cache->relid < y->open->cache->relid ? -1 : 1;
	return x->number - y->number;
}

/* A partition at a time, and the rows of each in their order. */
static void
insert_spread(EcoRow **rows, int n)
{
	const EcoTable *table = rows[0]->table;
	EcoRow	  **sorted = palloc(sizeof(EcoRow *) * n);
	Homed	   *homed = palloc(sizeof(Homed) * n);
	int			end;

	for (int i = 0; i < n; i++)
		homed[i] = (Homed)
	{
		.row = rows[i], .number = i,
			.open = eco_relation_for(table, eco_row_int(rows[i], table->keys[0].columns[0]))
	};
	qsort(homed, n, sizeof(Homed), by_home);
	for (int i = 0; i < n; i++)
		sorted[i] = homed[i].row;
	for (int start = 0; start < n; start = end)
	{
		for (end = start + 1; end < n && homed[end].open == homed[start].open; end++)
			;
		insert_into(homed[start].open, sorted + start, end - start);
	}
	pfree(homed);
	pfree(sorted);
}

void
eco_rows_insert(EcoRow **rows, int n, int64 user_id)
{
	if (n > 1 && eco_whole_of(rows[0]->table)->is_spread)
		insert_spread(rows, n);
	else
		insert_into(eco_relation_for(rows[0]->table, user_id), rows, n);
}

void
eco_rows_delete(EcoRow **rows, int n, int64 user_id)
{
	EcoOpenTable *open = eco_relation_for(rows[0]->table, user_id);

	if (open->direct && open->cache->deletes_direct)
		eco_direct_delete(rows, n, open);
	else
		eco_sql_delete(rows, n);
}

Datum
eco_bytea(const uint8 *bytes, size_t len)
{
	bytea	   *result = palloc(VARHDRSZ + len);

	SET_VARSIZE(result, VARHDRSZ + len);
	memcpy(VARDATA(result), bytes, len);
	return PointerGetDatum(result);
}

char *
eco_hex(const uint8 *bytes, size_t len)
{
	char	   *digits = palloc(len * 2 + 1);

	digits[hex_encode((const char *) bytes, len, digits)] = '\0';
	return digits;
}
