/*
 * rows.c
 *		Row access: the choice between the direct and the SQL way.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "errors.h"
#include "ledger/rows_private.h"

static EcoScan *scan_begin(EcoTable *table, int64 user_id, int key, int nvalues,
						   const Datum *values, const int64 *after);

void
eco_row_init(EcoRow *row, EcoTable *table)
{
	row->table = table;
	ItemPointerSetInvalid(&row->tid);
	memset(row->values, 0, sizeof(row->values));
	memset(row->isnull, true, sizeof(row->isnull));
}

bool
eco_row_find(EcoTable *table, int64 user_id, int key, int nvalues,
			 const Datum *values, EcoRow *row)
{
	EcoScan    *scan = eco_scan_begin(table, user_id, key, nvalues, values);
	bool		found = eco_scan_next(scan, row);

	eco_scan_end(scan);
	return found;
}

static EcoScan *
scan_begin(EcoTable *table, int64 user_id, int key, int nvalues,
		   const Datum *values, const int64 *after)
{
	EcoScan    *scan = palloc0(sizeof(EcoScan));

	(void) user_id;
	Assert(nvalues + (after != NULL) <= table->keys[key].ncolumns);
	scan->table = table;
	scan->open = eco_open_table(table);
	scan->key = key;
	scan->nvalues = nvalues;
	scan->context = CurrentMemoryContext;
	scan->direct = scan->open->direct && eco_direct_scan_begin(scan, values, after);
	if (!scan->direct)
		eco_sql_scan_begin(scan, values, after);
	return scan;
}

EcoScan *
eco_scan_begin_unchecked(EcoTable *table, int64 user_id, int key, int nvalues,
						 const Datum *values)
{
	return scan_begin(table, user_id, key, nvalues, values, NULL);
}

EcoScan *
eco_scan_begin(EcoTable *table, int64 user_id, int key, int nvalues,
			   const Datum *values)
{
	if (eco_must_be_newest(table))
		eco_rows_must_be_newest(table, user_id, key, nvalues, values);
	return scan_begin(table, user_id, key, nvalues, values, NULL);
}

EcoScan *
eco_scan_begin_after(EcoTable *table, int64 user_id, int key, int nvalues,
					 const Datum *values, int64 after)
{
	return scan_begin(table, user_id, key, nvalues, values, &after);
}

bool
eco_scan_next(EcoScan *scan, EcoRow *row)
{
	if (scan->direct)
		return eco_direct_scan_next(scan, row);
	return eco_sql_scan_next(scan, row);
}

void
eco_scan_again(EcoScan *scan, const Datum *values)
{
	MemoryContext caller = MemoryContextSwitchTo(scan->context);

	if (scan->direct)
		eco_direct_scan_again(scan, values);
	else
	{
		eco_sql_scan_end(scan);
		eco_sql_scan_begin(scan, values, NULL);
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
	EcoOpenTable *open = eco_open_table(row->table);

	(void) user_id;
	if (open->direct)
		return eco_direct_lock(row, open, wait);
	return eco_sql_lock(row, wait);
}

void
eco_row_update(EcoRow *row, int64 user_id)
{
	EcoOpenTable *open = eco_open_table(row->table);

	(void) user_id;
	if (open->direct)
		eco_direct_update(row, open);
	else
		eco_sql_update(row);
}

void
eco_row_insert(EcoRow *row, int64 user_id)
{
	eco_rows_insert(&row, 1, user_id);
}

void
eco_rows_insert(EcoRow **rows, int n, int64 user_id)
{
	EcoOpenTable *open = eco_open_table(rows[0]->table);

	(void) user_id;
	if (open->direct)
		eco_direct_insert(rows, n, open);
	else
		for (int i = 0; i < n; i++)
			eco_sql_insert(rows[i]);
}

void
eco_row_moved(const EcoTable *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("a row of economy.%s was changed in the middle of the call that was to change it",
					table->name),
			 errhint("A trigger or a constraint called a function of economy for the same user; only AFTER triggers on its journals may.")));
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

Oid
eco_table_oid(const char *name)
{
	Oid			nsp = get_namespace_oid("economy", true);
	Oid			relid = OidIsValid(nsp) ? get_relname_relid(name, nsp) : InvalidOid;

	if (!OidIsValid(relid))
		ECO_ERROR(ECO_SCHEMA_DAMAGED,
				  errmsg("table economy.%s does not exist", name),
				  errhint("Run CREATE EXTENSION economy in this database."));
	return relid;
}

Oid
eco_owner(void)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(eco_table_oid("accounts")));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ECO_ERROR(ECO_SCHEMA_DAMAGED, errmsg("table economy.accounts was dropped"));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}
