/*
 * rows_sql.c
 *		Row access through kept SQL plans, generated from the table's description.
 *
 * Runs as the owner of the extension's tables with a pinned search_path, as a
 * SECURITY DEFINER function would; error recovery restores both.
 *
 * Scans use the active snapshot, like the direct way.  A statement that locks or
 * writes takes its own fresh one at READ COMMITTED; that the row moved on shows
 * in its ctid, which holds while the call keeps the table open.
 *
 * Which plan is taken does not hang on statistics, which may be of a time when the
 * table looked empty and one index as cheap as another: a scan asks for the order of
 * its key, which nothing but the key's index gives without a sort, and what sorts, or
 * reads more than an index does, is switched off.  A write goes to the version.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "errors.h"
#include "ledger/rows_private.h"

#define FETCH_ROWS 64			/* rows per trip to the cursor */

/* The caller's identity and settings, put back by leave_sql(). */
typedef struct SqlFrame
{
	Oid			user;
	int			security_context;
	int			guc_level;
	MemoryContext caller;
} SqlFrame;

static void enter_sql(SqlFrame *frame);
static void leave_sql(const SqlFrame *frame);
static void pin_plans(void);
static SPIPlanPtr plan_keep(EcoTable *table, int op, const char *sql,
							int nargs, const Oid *types);
static SPIPlanPtr kept_plan(EcoTable *table, int op);
static SPIPlanPtr scan_plan(EcoTable *table, int key, int nvalues, EcoBound bound);
static SPIPlanPtr digest_plan(const EcoScan *scan);
static SPIPlanPtr lock_plan(EcoTable *table, EcoPlanOp op);
static SPIPlanPtr update_plan(EcoTable *table);
static SPIPlanPtr insert_plan(EcoTable *table);
static SPIPlanPtr delete_plan(EcoTable *table);
static char *column_list(EcoTable *table, bool of_all);
static void append_stored(StringInfo sql, EcoTable *table, bool only_mutable, int first);
static char *key_condition(const EcoTable *table, int key, int nvalues, int first);
static char *ordered_condition(const EcoTable *table, int key, int nvalues);
static char *order_of(const EcoTable *table, int key, bool backwards);
static void copy_row(EcoTable *table, HeapTuple tuple, TupleDesc desc, EcoRow *row);
static bool lock_by_key(const EcoRow *row, EcoPlanOp op, ItemPointer tid);
static void read_ctid(ItemPointer tid);
static void run_write(EcoRow *row, Relation rel, SPIPlanPtr (*plan) (EcoTable *table),
					  const Datum *values, const char *nulls, int expected);
static void not_updated(EcoRow *row, Relation rel);
static void unexpected(const EcoTable *table, int result);

static inline bool
is_lacking(EcoTable *table, int column)
{
	return (eco_table_cache(table)->lacking & ((uint32) 1 << column)) != 0;
}

void
eco_sql_scan_begin(EcoScan *scan, const Datum *values)
{
	Datum		args[ECO_MAX_KEY_COLUMNS];
	SqlFrame	frame;

	for (int i = 0; i < scan->nvalues; i++)
		args[i] = values[i];
	if (scan->bound != ECO_UNBOUNDED)
		args[scan->nvalues] = Int64GetDatum(scan->limit);
	if (eco_scan_by_digest(scan))
	{
		args[1] = Int64GetDatum(scan->least);
		args[2] = Int64GetDatum(scan->most);
	}
	scan->next = scan->batch_rows = 0;
	scan->batch_context = AllocSetContextCreate(CurrentMemoryContext, "economy scan",
												ALLOCSET_DEFAULT_SIZES);
	enter_sql(&frame);
	pin_plans();
	scan->portal = SPI_cursor_open(NULL,
								   eco_scan_by_digest(scan) ? digest_plan(scan) :
								   scan_plan(scan->table, scan->key, scan->nvalues, scan->bound),
								   args, NULL, true);
	leave_sql(&frame);
}

bool
eco_sql_scan_next(EcoScan *scan, EcoRow *row)
{
	if (scan->next == scan->batch_rows)
	{
		SqlFrame	frame;
		MemoryContext spi_context;

		MemoryContextReset(scan->batch_context);
		scan->next = 0;
		enter_sql(&frame);
		SPI_cursor_fetch(scan->portal, true, FETCH_ROWS);
		scan->batch_rows = SPI_processed;
		spi_context = MemoryContextSwitchTo(scan->batch_context);
		scan->batch = palloc(sizeof(EcoRow) * Max(scan->batch_rows, 1));
		for (uint64 i = 0; i < scan->batch_rows; i++)
			copy_row(scan->table, SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
					 &scan->batch[i]);
		MemoryContextSwitchTo(spi_context);
		leave_sql(&frame);
		if (scan->batch_rows == 0)
			return false;
	}
	*row = scan->batch[scan->next++];
	/* the batch goes, the row stays */
	for (int i = 0; i < scan->table->ncolumns; i++)
	{
		int16		len;
		bool		byval;

		get_typlenbyval(scan->table->columns[i].type, &len, &byval);
		if (!row->isnull[i])
			row->values[i] = datumCopy(row->values[i], byval, len);
	}
	return true;
}

void
eco_sql_scan_end(EcoScan *scan)
{
	SqlFrame	frame;

	enter_sql(&frame);
	SPI_cursor_close(scan->portal);
	leave_sql(&frame);
	MemoryContextDelete(scan->batch_context);
}

/*
 * Lock the version that was read, without waiting.  When that fails, and the call
 * is to wait, lock the newest version and keep that lock whatever it is: SQL cannot
 * unlock a row that it finds changed.
 */
EcoLock
eco_sql_lock(EcoRow *row, EcoWait wait)
{
	ItemPointerData tid;

	if (lock_by_key(row, ECO_PLAN_TRY_LOCK, &tid))
		return ECO_LOCKED;
	if (wait != ECO_WAIT)
		return ECO_LOCK_BUSY;
	return lock_by_key(row, ECO_PLAN_LOCK, &tid) ? ECO_LOCKED_AGAIN : ECO_LOCK_GONE;
}

/*
 * Lock the row with this key; *tid is where it is now.  False when it is gone, or,
 * with ECO_PLAN_TRY_LOCK, when somebody else has it or has changed it.
 */
static bool
lock_by_key(const EcoRow *row, EcoPlanOp op, ItemPointer tid)
{
	EcoTable   *table = row->table;
	EcoKey	   *key = &table->keys[0];
	Datum		values[ECO_MAX_KEY_COLUMNS + 1];
	SqlFrame	frame;
	int			result;
	bool		locked;

	for (int i = 0; i < key->ncolumns; i++)
		values[i] = row->values[key->columns[i]];
	values[key->ncolumns] = PointerGetDatum(&row->tid);
	enter_sql(&frame);
	pin_plans();
	result = SPI_execute_plan(lock_plan(table, op), values, NULL, false, 1);
	if (result != SPI_OK_SELECT)
		unexpected(table, result);
	locked = SPI_processed == 1;
	if (locked)
		read_ctid(tid);
	leave_sql(&frame);
	return locked;
}

static void
read_ctid(ItemPointer tid)
{
	bool		isnull;

	*tid = *(ItemPointer) DatumGetPointer(SPI_getbinval(SPI_tuptable->vals[0],
														SPI_tuptable->tupdesc, 1, &isnull));
}

void
eco_sql_update(EcoRow *row, Relation rel)
{
	EcoTable   *table = row->table;
	EcoKey	   *key = &table->keys[0];
	Datum		values[ECO_MAX_COLUMNS + ECO_MAX_KEY_COLUMNS + 1];
	char		nulls[ECO_MAX_COLUMNS + ECO_MAX_KEY_COLUMNS + 2];
	int			n = 0;

	for (int i = 0; i < key->ncolumns; i++)
	{
		values[n] = row->values[key->columns[i]];
		nulls[n++] = ' ';
	}
	values[n] = PointerGetDatum(&row->tid);
	nulls[n++] = ' ';
	for (int i = 0; i < table->ncolumns; i++)
	{
		if (!(table->columns[i].is & ECO_MUTABLE))
			continue;
		values[n] = row->values[i];
		nulls[n++] = row->isnull[i] ? 'n' : ' ';
	}
	nulls[n] = '\0';
	run_write(row, rel, update_plan, values, nulls, SPI_OK_UPDATE_RETURNING);
}

void
eco_sql_insert(EcoRow *row)
{
	EcoTable   *table = row->table;
	char		nulls[ECO_MAX_COLUMNS + 1];

	for (int i = 0; i < table->ncolumns; i++)
	{
		if (!row->isnull[i] && is_lacking(table, i))
			eco_column_lacks(table, i);
		nulls[i] = row->isnull[i] ? 'n' : ' ';
	}
	nulls[table->ncolumns] = '\0';
	run_write(row, NULL, insert_plan, row->values, nulls, SPI_OK_INSERT_RETURNING);
}

Datum
eco_run_as_owner(const char *sql, int nargs, const Oid *types, const Datum *values)
{
	SqlFrame	frame;
	Datum		answer = (Datum) 0;
	bool		isnull;
	int			result;

	enter_sql(&frame);
	result = SPI_execute_with_args(sql, nargs, unconstify(Oid *, types),
								   unconstify(Datum *, values), NULL, false, 0);
	if (result < 0)
		ECO_ERROR(ECO_SCHEMA_DAMAGED,
				  errmsg("a statement of the extension failed: %s",
						 SPI_result_code_string(result)));
	if (result == SPI_OK_SELECT && SPI_processed > 0)
		answer = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	leave_sql(&frame);
	return answer;
}

/* rel: of an update */
static void
run_write(EcoRow *row, Relation rel, SPIPlanPtr (*plan) (EcoTable *table),
		  const Datum *values, const char *nulls, int expected)
{
	EcoTable   *table = row->table;
	ItemPointerData now_at;
	SqlFrame	frame;
	uint64		changed;
	bool		as_given = true;
	bool		isnull;
	int			result;

	enter_sql(&frame);
	result = SPI_execute_plan(plan(table), unconstify(Datum *, values), nulls, false, 0);
	if (result != expected)
		unexpected(table, result);
	changed = SPI_processed;
	if (changed == 1)
	{
		read_ctid(&now_at);
		as_given = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2,
											  &isnull));
	}
	leave_sql(&frame);
	CommandCounterIncrement();
	if (changed == 0 && rel != NULL)
		not_updated(row, rel);

	/* nor must an entry stand that is not what was hashed */
	if (!as_given)
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("a write to %s.%s would store another row than was given",
						 eco_schema_of(table), table->name),
				  errhint("Look for a BEFORE trigger or a rule on the table that changes values, "
						  "or a column of another precision."));
	if (changed != 1)
		eco_row_not_one(table, changed);
	row->tid = now_at;
}

/*
 * Why no row was updated, when it is another one by now.  A statement above READ COMMITTED
 * does not see a row that was read under a fresh snapshot, and is newer than its own.
 */
static void
not_updated(EcoRow *row, Relation rel)
{
	ItemPointerData now_at;

	if (lock_by_key(row, ECO_PLAN_LOCK, &now_at))
	{
		if (!ItemPointerEquals(&now_at, &row->tid))
			eco_row_moved(row->table);
		return;
	}
	if (IsolationUsesXactSnapshot() && eco_direct_is_newest(rel, row))
		eco_serialization_failure(row->table);
	eco_row_moved(row->table);
}

/*
 * A statement for each row: by key and version no other plan is cheaper than to go to
 * that version, whatever the statistics say, and of several rows one would be.
 */
void
eco_sql_delete(EcoRow **rows, int n)
{
	EcoTable   *table = rows[0]->table;
	EcoKey	   *key = &table->keys[0];
	Datum		values[ECO_MAX_KEY_COLUMNS + 1];
	SqlFrame	frame;
	uint64		changed = 1;

	enter_sql(&frame);
	for (int i = 0; changed == 1 && i < n; i++)
	{
		int			result;

		for (int c = 0; c < key->ncolumns; c++)
			values[c] = rows[i]->values[key->columns[c]];
		values[key->ncolumns] = PointerGetDatum(&rows[i]->tid);
		result = SPI_execute_plan(delete_plan(table), values, NULL, false, 0);
		if (result != SPI_OK_DELETE_RETURNING)
			unexpected(table, result);
		changed = SPI_processed;
	}
	leave_sql(&frame);
	if (changed != 1)
		eco_row_not_one(table, changed);
	CommandCounterIncrement();
}

static void
pin(const char *setting, const char *value)
{
	(void) set_config_option(setting, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
}

static void
enter_sql(SqlFrame *frame)
{
	frame->caller = CurrentMemoryContext;
	GetUserIdAndSecContext(&frame->user, &frame->security_context);
	SetUserIdAndSecContext(eco_owner(), frame->security_context |
						   SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	frame->guc_level = NewGUCNestLevel();
	pin("search_path", "pg_catalog, pg_temp");
	SPI_connect();
}

/*
 * As long as the frame lasts, for a kept plan may be made anew each time.  Not for what
 * writes: triggers of the DBA run in it.
 */
static void
pin_plans(void)
{
	pin("enable_indexscan", "on");
	pin("enable_seqscan", "off");
	pin("enable_bitmapscan", "off");
	pin("enable_sort", "off");
	pin("enable_incremental_sort", "off");
	pin("jit", "off");			/* which what is switched off would seem worth */
}

static void
leave_sql(const SqlFrame *frame)
{
	SPI_finish();
	AtEOXact_GUC(true, frame->guc_level);
	SetUserIdAndSecContext(frame->user, frame->security_context);
}

static SPIPlanPtr
plan_keep(EcoTable *table, int op, const char *sql, int nargs, const Oid *types)
{
	/*
	 * of partitions only a plan that is made for the user leaves the others
	 * alone
	 */
	int			options = eco_table_cache(table)->spread != NULL ? CURSOR_OPT_CUSTOM_PLAN : 0;
	SPIPlanPtr	plan = SPI_prepare_cursor(sql, nargs, unconstify(Oid *, types), options);

	if (plan == NULL || SPI_keepplan(plan) != 0)
		unexpected(table, SPI_result);
	table->plans[op] = plan;
	return plan;
}

/* NULL: it is to be made.  Those of before a column came, or went, are of another table. */
static SPIPlanPtr
kept_plan(EcoTable *table, int op)
{
	uint32		lacking = eco_table_cache(table)->lacking;

	for (int i = 0; lacking != table->planned_without && i < ECO_NPLANS; i++)
	{
		SPIPlanPtr	plan = table->plans[i];

		table->plans[i] = NULL;
		if (plan != NULL)
			SPI_freeplan(plan);
	}
	table->planned_without = lacking;
	return table->plans[op];
}

static SPIPlanPtr
scan_plan(EcoTable *table, int key, int nvalues, EcoBound bound)
{
	const EcoKey *columns = &table->keys[key];
	static const EcoPlanOp family[] = {ECO_PLAN_SCAN, ECO_PLAN_SCAN_AFTER, ECO_PLAN_SCAN_BEFORE};
	int			op = family[bound] + key * (ECO_MAX_KEY_COLUMNS + 1) + nvalues;
	int			nargs = nvalues + (bound != ECO_UNBOUNDED);
	Oid			types[ECO_MAX_KEY_COLUMNS];
	StringInfoData sql;

	if (kept_plan(table, op) != NULL)
		return table->plans[op];
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT ctid, %s FROM %s.%s WHERE %s",
					 column_list(table, true), eco_schema_of(table), table->name,
					 ordered_condition(table, key, nvalues));
	if (bound != ECO_UNBOUNDED)
		appendStringInfo(&sql, " AND %s %c $%d",
						 table->columns[columns->columns[nvalues]].name,
						 bound == ECO_AFTER ? '>' : '<', nargs);
	appendStringInfoString(&sql, order_of(table, key, bound == ECO_BEFORE));
	for (int i = 0; i < nargs; i++)
		types[i] = table->columns[columns->columns[i]].type;
	return plan_keep(table, op, sql.data, nargs, types);
}

/* For one text of the key and for both: the index is asked for a range of digests. */
static SPIPlanPtr
digest_plan(const EcoScan *scan)
{
	EcoTable   *table = scan->table;
	int			op = ECO_PLAN_SCAN + scan->key * (ECO_MAX_KEY_COLUMNS + 1) + scan->nvalues;
	static const Oid types[3] = {INT8OID, INT8OID, INT8OID};
	const char *digest = table->columns[table->digest].name;
	char	   *sql;

	if (kept_plan(table, op) != NULL)
		return table->plans[op];
	sql = psprintf("SELECT ctid, %s FROM %s.%s WHERE %s AND %s >= $2 AND %s <= $3%s",
				   column_list(table, true), eco_schema_of(table), table->name,
				   key_condition(table, scan->key, 1, 1), digest, digest,
				   order_of(table, scan->key, false));
	return plan_keep(table, op, sql, lengthof(types), types);
}

static SPIPlanPtr
lock_plan(EcoTable *table, EcoPlanOp op)
{
	EcoKey	   *key = &table->keys[0];
	Oid			types[ECO_MAX_KEY_COLUMNS + 1];
	bool		try_only = op == ECO_PLAN_TRY_LOCK;
	char	   *which;

	if (kept_plan(table, op) != NULL)
		return table->plans[op];
	for (int i = 0; i < key->ncolumns; i++)
		types[i] = table->columns[key->columns[i]].type;
	types[key->ncolumns] = TIDOID;
	which = try_only ? psprintf("%s AND ctid = $%d", key_condition(table, 0, key->ncolumns, 1),
								key->ncolumns + 1) :
		psprintf("%s%s", ordered_condition(table, 0, key->ncolumns), order_of(table, 0, false));
	return plan_keep(table, op,
					 psprintf("SELECT ctid FROM %s.%s WHERE %s FOR NO KEY UPDATE%s",
							  eco_schema_of(table), table->name, which,
							  try_only ? " SKIP LOCKED" : ""),
					 key->ncolumns + (try_only ? 1 : 0), types);
}

static SPIPlanPtr
update_plan(EcoTable *table)
{
	EcoKey	   *key = &table->keys[0];
	Oid			types[ECO_MAX_COLUMNS + ECO_MAX_KEY_COLUMNS + 1];
	StringInfoData sql;
	int			first;
	int			n = 0;

	if (kept_plan(table, ECO_PLAN_UPDATE) != NULL)
		return table->plans[ECO_PLAN_UPDATE];
	for (int i = 0; i < key->ncolumns; i++)
		types[n++] = table->columns[key->columns[i]].type;
	types[n++] = TIDOID;
	first = n;
	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE %s.%s SET ", eco_schema_of(table), table->name);
	for (int i = 0; i < table->ncolumns; i++)
	{
		if (!(table->columns[i].is & ECO_MUTABLE))
			continue;
		appendStringInfo(&sql, "%s%s = $%d", n == first ? "" : ", ",
						 table->columns[i].name, n + 1);
		types[n++] = table->columns[i].type;
	}
	appendStringInfo(&sql, " WHERE %s AND ctid = $%d RETURNING ctid",
					 key_condition(table, 0, key->ncolumns, 1), first);
	append_stored(&sql, table, true, first + 1);
	return plan_keep(table, ECO_PLAN_UPDATE, sql.data, n, types);
}

static SPIPlanPtr
insert_plan(EcoTable *table)
{
	Oid			types[ECO_MAX_COLUMNS];
	StringInfoData sql;

	if (kept_plan(table, ECO_PLAN_INSERT) != NULL)
		return table->plans[ECO_PLAN_INSERT];
	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s.%s (%s) VALUES (",
					 eco_schema_of(table), table->name, column_list(table, false));
	for (int i = 0; i < table->ncolumns; i++)
	{
		types[i] = table->columns[i].type;
		if (!is_lacking(table, i))
			appendStringInfo(&sql, "%s$%d", i == 0 ? "" : ", ", i + 1);
	}
	appendStringInfoString(&sql, ") RETURNING ctid");
	append_stored(&sql, table, false, 1);
	return plan_keep(table, ECO_PLAN_INSERT, sql.data, table->ncolumns, types);
}

static SPIPlanPtr
delete_plan(EcoTable *table)
{
	EcoKey	   *key = &table->keys[0];
	Oid			types[ECO_MAX_KEY_COLUMNS + 1];

	if (kept_plan(table, ECO_PLAN_DELETE) != NULL)
		return table->plans[ECO_PLAN_DELETE];
	for (int i = 0; i < key->ncolumns; i++)
		types[i] = table->columns[key->columns[i]].type;
	types[key->ncolumns] = TIDOID;

	/*
	 * a rule is an error with RETURNING, without it a plan that does nothing
	 * for ever
	 */
	return plan_keep(table, ECO_PLAN_DELETE,
					 psprintf("DELETE FROM %s.%s WHERE %s AND ctid = $%d RETURNING ctid",
							  eco_schema_of(table), table->name,
							  key_condition(table, 0, key->ncolumns, 1), key->ncolumns + 1),
					 key->ncolumns + 1, types);
}

/* Append a column that says whether the very bytes of the parameters were stored. */
static void
append_stored(StringInfo sql, EcoTable *table, bool only_mutable, int first)
{
	StringInfoData given;
	const char *comma = "";

	initStringInfo(&given);
	appendStringInfoString(sql, ", ROW(");
	for (int i = 0; i < table->ncolumns; i++)
	{
		if (only_mutable && !(table->columns[i].is & ECO_MUTABLE))
			continue;
		/* a domain over the type is no record of the same type */
		if (is_lacking(table, i))
		{
			first++;
			continue;
		}
		appendStringInfo(sql, "%s%s::%s", comma, table->columns[i].name,
						 format_type_be_qualified(table->columns[i].type));
		appendStringInfo(&given, "%s$%d", comma, first++);
		comma = ", ";
	}
	appendStringInfo(sql, ")::record OPERATOR(pg_catalog.*=) ROW(%s)::record", given.data);
}

/* Of all, null stands for those that are not there. */
static char *
column_list(EcoTable *table, bool of_all)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < table->ncolumns; i++)
	{
		const char *comma = i == 0 ? "" : ", ";

		if (!is_lacking(table, i))
			appendStringInfo(&list, "%s%s", comma, table->columns[i].name);
		else if (of_all)
			appendStringInfo(&list, "%sNULL::%s", comma,
							 format_type_be_qualified(table->columns[i].type));
	}
	return list.data;
}

static char *
key_condition(const EcoTable *table, int key, int nvalues, int first)
{
	StringInfoData list;

	initStringInfo(&list);
	if (nvalues == 0)
		appendStringInfoString(&list, "true");
	for (int i = 0; i < nvalues; i++)
		appendStringInfo(&list, "%s%s = $%d", i == 0 ? "" : " AND ",
						 table->columns[table->keys[key].columns[i]].name, first + i);
	return list.data;
}

/*
 * The same for a scan: where all columns are given, the last by a range of one value,
 * for of equals there is no order to ask for.
 */
static char *
ordered_condition(const EcoTable *table, int key, int nvalues)
{
	const EcoKey *columns = &table->keys[key];
	const char *last;

	if (nvalues == 0 || nvalues < columns->ncolumns)
		return key_condition(table, key, nvalues, 1);
	last = table->columns[columns->columns[nvalues - 1]].name;
	return psprintf("%s AND %s >= $%d AND %s <= $%d", key_condition(table, key, nvalues - 1, 1),
					last, nvalues, last, nvalues);
}

static char *
order_of(const EcoTable *table, int key, bool backwards)
{
	StringInfoData list;
	int			columns[ECO_MAX_KEY_COLUMNS];
	int			ncolumns = eco_key_in_index(table, key, columns);

	initStringInfo(&list);
	for (int i = 0; i < ncolumns; i++)
		appendStringInfo(&list, "%s%s%s", i == 0 ? " ORDER BY " : ", ",
						 table->columns[columns[i]].name, backwards ? " DESC" : "");
	return list.data;
}

/* The statement's columns are ctid, then ours in our order. */
static void
copy_row(EcoTable *table, HeapTuple tuple, TupleDesc desc, EcoRow *row)
{
	bool		isnull;

	row->table = table;
	row->tid = *(ItemPointer) DatumGetPointer(SPI_getbinval(tuple, desc, 1, &isnull));
	row->read_at = InvalidCommandId;
	row->is_free = false;
	for (int i = 0; i < table->ncolumns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i + 1);
		Datum		value = SPI_getbinval(tuple, desc, i + 2, &row->isnull[i]);

		row->values[i] = row->isnull[i] ? (Datum) 0 :
			datumCopy(value, att->attbyval, att->attlen);
	}
}

static void
unexpected(const EcoTable *table, int result)
{
	ECO_ERROR(ECO_SCHEMA_DAMAGED,
			  errmsg("access to %s.%s by SQL failed: %s",
					 eco_schema_of(table), table->name, SPI_result_code_string(result)));
}
