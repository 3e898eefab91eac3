/*
 * rows.c
 *		Row access: the choice between the direct and the SQL way, and the cached
 *		facts about relations that the choice rests on.
 *
 * Relations are resolved by name and columns by name within the opened
 * relation, so nothing here depends on attribute numbers or index names.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "errors.h"
#include "ledger/rows_private.h"
#include "ledger/version.h"
#include "settings.h"

#define MAX_TABLES 32

static EcoTable *known_tables[MAX_TABLES];
static int	n_known_tables = 0;
static MemoryContext rows_context = NULL;

static EcoTableCache *cache_get(EcoTable *table);
static void cache_build(EcoTable *table);
static void cache_forget(Datum arg, Oid relid);
static void cache_forget_all(Datum arg, int cacheid, uint32 hashvalue);
static void find_columns(EcoTable *table, EcoTableCache *cache, Relation rel);
static bool find_indexes(EcoTable *table, EcoTableCache *cache, Relation rel);
static bool direct_possible(EcoTable *table, EcoTableCache *cache, Relation rel);
static void prepare_constraints(EcoTableCache *cache, Relation rel);

void
eco_snapshot_push(void)
{
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
eco_snapshot_pop(void)
{
	PopActiveSnapshot();
}

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
	Relation	rel = eco_open_direct(table, user_id, AccessShareLock);

	Assert(nvalues + (after != NULL) <= table->keys[key].ncolumns);
	scan->table = table;
	scan->key = key;
	scan->nvalues = nvalues;
	scan->context = CurrentMemoryContext;
	if (rel != NULL)
		eco_direct_scan_begin(scan, rel, values, after);
	else
		eco_sql_scan_begin(scan, values, after);
	return scan;
}

EcoScan *
eco_scan_begin(EcoTable *table, int64 user_id, int key, int nvalues,
			   const Datum *values)
{
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
	if (scan->rel != NULL)
		return eco_direct_scan_next(scan, row);
	return eco_sql_scan_next(scan, row);
}

void
eco_scan_again(EcoScan *scan, const Datum *values)
{
	MemoryContext caller = MemoryContextSwitchTo(scan->context);

	if (scan->rel != NULL)
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
	if (scan->rel != NULL)
		eco_direct_scan_end(scan);
	else
		eco_sql_scan_end(scan);
	pfree(scan);
}

EcoLock
eco_row_lock(EcoRow *row, int64 user_id, EcoWait wait)
{
	Relation	rel = eco_open_direct(row->table, user_id, RowExclusiveLock);

	if (rel != NULL)
		return eco_direct_lock(row, rel, wait);

	/*
	 * SQL has no way to try a row and keep no lock when it turns out to have
	 * changed, and a kept one would break the lock order.
	 */
	return wait == ECO_SKIP ? ECO_LOCK_BUSY : eco_sql_lock(row);
}

void
eco_row_update(EcoRow *row, int64 user_id)
{
	Relation	rel = eco_open_direct(row->table, user_id, RowExclusiveLock);

	if (rel == NULL)
		eco_sql_update(row);
	else
		eco_direct_update(row, rel);
}

void
eco_row_insert(EcoRow *row, int64 user_id)
{
	eco_rows_insert(&row, 1, user_id);
}

void
eco_rows_insert(EcoRow **rows, int n, int64 user_id)
{
	Relation	rel = eco_open_direct(rows[0]->table, user_id, RowExclusiveLock);

	if (rel != NULL)
		eco_direct_insert(rows, n, rel);
	else
		for (int i = 0; i < n; i++)
			eco_sql_insert(rows[i]);
}

Datum
eco_bytea(const uint8 *bytes, size_t len)
{
	bytea	   *result = palloc(VARHDRSZ + len);

	SET_VARSIZE(result, VARHDRSZ + len);
	memcpy(VARDATA(result), bytes, len);
	return PointerGetDatum(result);
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

void
eco_serialization_failure(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent update")));
}

/*
 * The resolver: which relation holds this user's rows of the table.  Today
 * there is one for all users; user_id is where a distributed table will choose.
 *
 * The lock may let in an invalidation of what we knew, hence the loop.
 */
Relation
eco_open_direct(EcoTable *table, int64 user_id, LOCKMODE mode)
{
	(void) user_id;
	if (eco_row_access == ECO_ROW_ACCESS_SQL)
		return NULL;
	for (;;)
	{
		EcoTableCache *cache = cache_get(table);
		Relation	rel;

		if (!cache->direct)
			return NULL;
		rel = try_relation_open(cache->relid, mode);
		if (rel != NULL && !cache->stale)
			return rel;
		if (rel != NULL)
			relation_close(rel, mode);
		cache->stale = true;
	}
}

static EcoTableCache *
cache_get(EcoTable *table)
{
	if (table->cache == NULL || table->cache->stale)
		cache_build(table);
	return table->cache;
}

static void
cache_build(EcoTable *table)
{
	MemoryContext context;
	MemoryContext old_context;
	EcoTableCache *cache;
	Relation	rel;
	int			i;

	if (rows_context == NULL)
	{
		rows_context = AllocSetContextCreate(CacheMemoryContext, "economy rows",
											 ALLOCSET_DEFAULT_SIZES);
		CacheRegisterRelcacheCallback(cache_forget, (Datum) 0);
		/* compiled CHECK constraints may have inlined a function */
		CacheRegisterSyscacheCallback(PROCOID, cache_forget_all, (Datum) 0);
	}
	for (i = 0; i < n_known_tables && known_tables[i] != table; i++)
		;
	if (i == n_known_tables)
	{
		if (n_known_tables == MAX_TABLES)
			ECO_ERROR(ECO_SCHEMA_DAMAGED, errmsg("too many tables"));
		known_tables[n_known_tables++] = table;
	}

	/*
	 * The old facts may be in use further up the stack (a CHECK constraint
	 * may call a function of ours), so they live until the transaction ends.
	 */
	if (table->cache != NULL)
		MemoryContextSetParent(table->cache->context, TopTransactionContext);
	table->cache = NULL;

	context = AllocSetContextCreate(CurrentMemoryContext, "economy table",
									ALLOCSET_SMALL_SIZES);
	old_context = MemoryContextSwitchTo(context);
	cache = palloc0(sizeof(EcoTableCache));
	cache->context = context;
	cache->relid = eco_table_oid(table->name);

	rel = relation_open(cache->relid, AccessShareLock);
	find_columns(table, cache, rel);
	cache->direct = direct_possible(table, cache, rel);
	if (cache->direct)
		prepare_constraints(cache, rel);
	relation_close(rel, AccessShareLock);
	MemoryContextSwitchTo(old_context);

	/* complete: from here on an error elsewhere does not lose it */
	MemoryContextSetParent(context, rows_context);
	table->cache = cache;
}

static void
cache_forget(Datum arg, Oid relid)
{
	(void) arg;
	for (int i = 0; i < n_known_tables; i++)
	{
		EcoTableCache *cache = known_tables[i]->cache;

		if (cache != NULL && (relid == InvalidOid || relid == cache->relid))
			cache->stale = true;
	}
}

static void
cache_forget_all(Datum arg, int cacheid, uint32 hashvalue)
{
	(void) cacheid;
	(void) hashvalue;
	cache_forget(arg, InvalidOid);
}

static void
find_columns(EcoTable *table, EcoTableCache *cache, Relation rel)
{
	for (int i = 0; i < table->ncolumns; i++)
	{
		EcoColumn  *column = &table->columns[i];
		AttrNumber	attno = get_attnum(cache->relid, column->name);

		if (attno == InvalidAttrNumber ||
			TupleDescAttr(RelationGetDescr(rel), attno - 1)->atttypid != column->type)
			ECO_ERROR(ECO_SCHEMA_DAMAGED,
					  errmsg("column \"%s\" of table economy.%s is missing or has another type",
							 column->name, table->name),
					  errhint("%s", eco_version_hint()));
		cache->attno[i] = attno;
		get_typlenbyval(column->type, &cache->typlen[i], &cache->typbyval[i]);
	}
}

/*
 * What the executor would do for this table and the direct way does not: row
 * and statement triggers, rules, defaults and generated values of columns we
 * do not know, inheritance, other kinds of tables and indexes.
 */
static bool
direct_possible(EcoTable *table, EcoTableCache *cache, Relation rel)
{
	TriggerDesc *trig = rel->trigdesc;
	TupleDesc	desc = RelationGetDescr(rel);
	bool		updated = false;

	if (rel->rd_rel->relkind != RELKIND_RELATION ||
		rel->rd_rel->relhassubclass || rel->rd_rel->relispartition ||
		rel->rd_rules != NULL ||
		rel->rd_tableam != GetHeapamTableAmRoutine())
		return false;
	if (table->only_read)
		return find_indexes(table, cache, rel);
	for (int i = 0; i < table->ncolumns; i++)
		updated |= table->columns[i].is_mutable;
	if (trig != NULL &&
		(trig->trig_insert_before_row || trig->trig_insert_after_row ||
		 trig->trig_insert_before_statement || trig->trig_insert_after_statement))
		return false;
	if (trig != NULL && updated &&
		(trig->trig_update_before_row || trig->trig_update_after_row ||
		 trig->trig_update_before_statement || trig->trig_update_after_statement))
		return false;
	if (desc->constr != NULL && desc->constr->has_generated_stored)
		return false;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		bool		known = false;

		for (int c = 0; c < table->ncolumns; c++)
			known |= cache->attno[c] == att->attnum;
		if (!known && !att->attisdropped && (att->atthasdef || att->attidentity))
			return false;
	}
	return find_indexes(table, cache, rel);
}

static bool
find_indexes(EcoTable *table, EcoTableCache *cache, Relation rel)
{
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		IndexInfo  *info = BuildIndexInfo(index);
		bool		plain = info->ii_Expressions == NIL &&
		info->ii_Predicate == NIL && info->ii_ExclusionOps == NULL &&
		index->rd_index->indimmediate;
		bool		readable = plain && index->rd_index->indisvalid &&
		index->rd_rel->relam == BTREE_AM_OID;

		for (int k = 0; readable && k < table->nkeys; k++)
		{
			EcoKey	   *key = &table->keys[k];
			bool		leads = key->ncolumns <= info->ii_NumIndexKeyAttrs;

			for (int c = 0; leads && c < key->ncolumns; c++)
				leads = info->ii_IndexAttrNumbers[c] == cache->attno[key->columns[c]];
			if (leads && !OidIsValid(cache->key_index[k]))
				cache->key_index[k] = RelationGetRelid(index);
		}
		index_close(index, AccessShareLock);
		if (table->only_read)
			continue;
		if (!plain || cache->nindexes == ECO_MAX_INDEXES)
			return false;
		cache->index[cache->nindexes] = lfirst_oid(lc);
		cache->index_info[cache->nindexes++] = info;
	}
	for (int k = 0; k < table->nkeys; k++)
		if (!OidIsValid(cache->key_index[k]))
			return false;
	return true;
}

static void
prepare_constraints(EcoTableCache *cache, Relation rel)
{
	cache->desc = CreateTupleDescCopy(RelationGetDescr(rel));
	cache->estate = CreateExecutorState();
	cache->result_rel = makeNode(ResultRelInfo);
	InitResultRelInfo(cache->result_rel, rel, 0, NULL, 0);
}
