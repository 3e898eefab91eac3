/*
 * rows_relation.c
 *		What is known of the relation behind an EcoTable: its columns, whether the
 *		direct way may be taken, and which index serves which key.
 *
 * Relations are resolved by name and columns by name within the opened
 * relation, so nothing here depends on attribute numbers or index names.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type_d.h"
#include "commands/defrem.h"
#include "executor/executor.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "errors.h"
#include "ledger/guard.h"
#include "ledger/rows_private.h"
#include "ledger/version.h"

static EcoTable *known_tables = NULL;	/* that have had a cache, linked */
static MemoryContext rows_context = NULL;

static void cache_build(EcoTable *table);
static EcoTableCache *cache_make(EcoTable *table, Oid relid, bool is_part);
static void cache_forget(Datum arg, Oid relid);
static void cache_forget_all(Datum arg, int cacheid, uint32 hashvalue);
static bool find_columns(EcoTable *table, EcoTableCache *cache, Relation rel);
static bool is_whole(const EcoTable *table, const EcoTableCache *cache, Relation rel);
static bool knows_column(const EcoTable *table, const EcoTableCache *cache, AttrNumber attno);
static bool direct_possible(EcoTable *table, EcoTableCache *cache, Relation rel, bool is_part);
static bool needs_executor(EcoTable *table, EcoTableCache *cache, Relation rel);
static bool deletes_plainly(Relation rel);
static bool find_indexes(EcoTable *table, EcoTableCache *cache, Relation rel);
static bool serves_key(const EcoTable *table, int key, const EcoTableCache *cache, Relation rel,
					   Relation index, const IndexInfo *info);
static EcoSpread *spread_of(Relation rel, AttrNumber user_column);
static void prepare_constraints(EcoTableCache *cache, Relation rel);
static TransactionId changed_by(Oid relid);

Oid
eco_table_oid(const char *name)
{
	const EcoTable table = {.name = name};

	return eco_oid_of(&table);
}

static Oid
look_up(const EcoTable *table)
{
	Oid			nsp = get_namespace_oid(eco_schema_of(table), true);

	return OidIsValid(nsp) ? get_relname_relid(table->name, nsp) : InvalidOid;
}

bool
eco_table_exists(const EcoTable *table)
{
	return (table->cache != NULL && !table->cache->stale) || OidIsValid(look_up(table));
}

Oid
eco_oid_of(const EcoTable *table)
{
	Oid			relid = look_up(table);

	if (!OidIsValid(relid))
		ECO_ERROR(ECO_SCHEMA_DAMAGED,
				  errmsg("table %s.%s does not exist", eco_schema_of(table), table->name),
				  errhint("Run CREATE EXTENSION economy in this database."));
	return relid;
}

void
eco_column_lacks(const EcoTable *table, int column)
{
	ECO_ERROR(ECO_SCHEMA_DAMAGED,
			  errmsg("table %s.%s has no column \"%s\"",
					 eco_schema_of(table), table->name, table->columns[column].name),
			  errhint("%s", eco_version_hint()));
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
eco_serialization_failure(const EcoTable *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent update"),
			 errdetail("Table %s.%s, or a row of it, has changed "
					   "since the transaction's snapshot.",
					   eco_schema_of(table), table->name),
			 errhint("The transaction might succeed if retried.")));
}

EcoTableCache *
eco_table_cache(EcoTable *table)
{
	if (table->cache == NULL || table->cache->stale)
		cache_build(table);
	return table->cache;
}

EcoTableCache *
eco_part_cache(EcoTable *table, EcoTableCache *whole, int part)
{
	EcoTableCache **kept = &whole->spread->caches[part];
	EcoTableCache *cache;

	if (*kept != NULL && !(*kept)->stale)
		return *kept;
	if (*kept != NULL)
		MemoryContextSetParent((*kept)->context, TopTransactionContext);
	*kept = NULL;
	cache = cache_make(table, whole->spread->oids[part], true);
	cache->direct &= whole->spread->plain;
	cache->deletes_direct &= whole->deletes_direct;
	MemoryContextSetParent(cache->context, whole->context);
	*kept = cache;
	return cache;
}

static void
cache_build(EcoTable *table)
{
	EcoTableCache *cache;

	if (rows_context == NULL)
	{
		rows_context = AllocSetContextCreate(CacheMemoryContext, "economy rows",
											 ALLOCSET_DEFAULT_SIZES);
		CacheRegisterRelcacheCallback(cache_forget, (Datum) 0);
		/* compiled CHECK constraints may have inlined a function */
		CacheRegisterSyscacheCallback(PROCOID, cache_forget_all, (Datum) 0);
	}
	if (!table->is_known)
	{
		table->next_known = known_tables;
		table->is_known = true;
		known_tables = table;
	}

	/*
	 * The old facts may be in use further up the stack (a CHECK constraint
	 * may call a function of ours), so they live until the transaction ends.
	 */
	if (table->cache != NULL)
		MemoryContextSetParent(table->cache->context, TopTransactionContext);
	table->cache = NULL;

	cache = cache_make(table, eco_oid_of(table), false);
	/* complete: from here on an error elsewhere does not lose it */
	MemoryContextSetParent(cache->context, rows_context);
	table->cache = cache;
}

/* The facts about a relation, in a context of their own in the current one. */
static EcoTableCache *
cache_make(EcoTable *table, Oid relid, bool is_part)
{
	MemoryContext context;
	MemoryContext old_context;
	EcoTableCache *cache;
	Relation	rel;

	context = AllocSetContextCreate(CurrentMemoryContext, "economy table",
									ALLOCSET_SMALL_SIZES);
	old_context = MemoryContextSwitchTo(context);
	cache = palloc0(sizeof(EcoTableCache));
	cache->context = context;
	cache->relid = relid;

	rel = relation_open(cache->relid, AccessShareLock);
	cache->changed_by = changed_by(cache->relid);
	cache->direct = find_columns(table, cache, rel) &&
		direct_possible(table, cache, rel, is_part);
	cache->is_whole = is_whole(table, cache, rel);
	cache->deletes_direct = deletes_plainly(rel);
	cache->spread = spread_of(rel, cache->attno[table->keys[0].columns[0]]);
	if (cache->spread != NULL)
		cache->spread->plain = rel->rd_rules == NULL &&
			(table->only_read || !needs_executor(table, cache, rel));
	cache->has_children = rel->rd_rel->relhassubclass && cache->spread == NULL;
	if (cache->direct)
		prepare_constraints(cache, rel);
	relation_close(rel, AccessShareLock);
	MemoryContextSwitchTo(old_context);
	return cache;
}

static void
cache_forget(Datum arg, Oid relid)
{
	(void) arg;
	for (EcoTable *table = known_tables; table != NULL; table = table->next_known)
	{
		EcoTableCache *cache = table->cache;

		if (cache == NULL)
			continue;
		if (relid == InvalidOid || relid == cache->relid)
			cache->stale = true;
		for (int p = 0; cache->spread != NULL && p < cache->spread->nparts; p++)
			if (cache->spread->caches[p] != NULL &&
				(relid == InvalidOid || relid == cache->spread->oids[p]))
				cache->spread->caches[p]->stale = true;
	}
}

static void
cache_forget_all(Datum arg, int cacheid, uint32 hashvalue)
{
	(void) cacheid;
	(void) hashvalue;
	cache_forget(arg, InvalidOid);
}

/* False when a column has a domain over its type: the SQL way knows its rules. */
static bool
find_columns(EcoTable *table, EcoTableCache *cache, Relation rel)
{
	bool		plain = true;

	StaticAssertStmt(ECO_MAX_COLUMNS <= 32, "a column has no bit");

	for (int i = 0; i < table->ncolumns; i++)
	{
		EcoColumn  *column = &table->columns[i];
		AttrNumber	attno = get_attnum(cache->relid, column->name);
		Oid			type = attno == InvalidAttrNumber ? InvalidOid :
		TupleDescAttr(RelationGetDescr(rel), attno - 1)->atttypid;

		get_typlenbyval(column->type, &cache->typlen[i], &cache->typbyval[i]);
		if (!OidIsValid(type) && (column->is & ECO_LATER))
		{
			cache->lacking |= (uint32) 1 << i;
			continue;
		}
		if (!OidIsValid(type) || getBaseType(type) != column->type)
			ECO_ERROR(ECO_SCHEMA_DAMAGED,
					  errmsg("column \"%s\" of table %s.%s is missing or has another type",
							 column->name, eco_schema_of(table), table->name),
					  errhint("%s", eco_version_hint()));
		if (!(column->is & (ECO_NULLABLE | ECO_LATER)) && rel->rd_rel->relkind != RELKIND_VIEW &&
			!TupleDescAttr(RelationGetDescr(rel), attno - 1)->attnotnull)
			ECO_ERROR(ECO_SCHEMA_DAMAGED,
					  errmsg("column \"%s\" of table %s.%s is no longer NOT NULL",
							 column->name, eco_schema_of(table), table->name),
					  errhint("Put it back: ALTER TABLE %s.%s ALTER %s SET NOT NULL.",
							  eco_schema_of(table), table->name, column->name));
		plain &= type == column->type;
		cache->attno[i] = attno;
	}
	return plain;
}

/*
 * Whether an EcoRow has all that its next version needs: there is no column that we do
 * not know, and those that are not written are no pointers, which need not outlive the
 * reading.
 */
static bool
is_whole(const EcoTable *table, const EcoTableCache *cache, Relation rel)
{
	for (int a = 0; a < RelationGetDescr(rel)->natts; a++)
		if (!TupleDescAttr(RelationGetDescr(rel), a)->attisdropped &&
			!knows_column(table, cache, a + 1))
			return false;
	for (int i = 0; i < table->ncolumns; i++)
		if (!(table->columns[i].is & ECO_MUTABLE) && !cache->typbyval[i])
			return false;
	return true;
}

static bool
knows_column(const EcoTable *table, const EcoTableCache *cache, AttrNumber attno)
{
	for (int i = 0; i < table->ncolumns; i++)
		if (cache->attno[i] == attno)
			return true;
	return false;
}

/* The direct way is for plain heap tables for which the executor would do no more. */
static bool
direct_possible(EcoTable *table, EcoTableCache *cache, Relation rel, bool is_part)
{
	if (rel->rd_rel->relkind != RELKIND_RELATION ||
		rel->rd_rel->relhassubclass || rel->rd_rel->relispartition != is_part ||
		rel->rd_rules != NULL ||
		rel->rd_tableam != GetHeapamTableAmRoutine())
		return false;
	if (!table->only_read && needs_executor(table, cache, rel))
		return false;
	return find_indexes(table, cache, rel);
}

/*
 * What the executor would do for a write and the direct way does not: row and
 * statement triggers, defaults and generated values of columns we do not know,
 * domains, whose rules can change without a word to the table.
 */
static bool
needs_executor(EcoTable *table, EcoTableCache *cache, Relation rel)
{
	TriggerDesc *trig = rel->trigdesc;
	TupleDesc	desc = RelationGetDescr(rel);
	bool		updated = false;

	for (int i = 0; i < table->ncolumns; i++)
		updated |= (table->columns[i].is & ECO_MUTABLE) != 0;
	if (trig != NULL &&
		(trig->trig_insert_before_row || trig->trig_insert_after_row ||
		 trig->trig_insert_before_statement || trig->trig_insert_after_statement))
		return true;
	if (trig != NULL && updated &&
		(trig->trig_update_before_row || trig->trig_update_after_row ||
		 trig->trig_update_before_statement || trig->trig_update_after_statement))
		return true;
	if (desc->constr != NULL && desc->constr->has_generated_stored)
		return true;
	for (int i = 0; desc->constr != NULL && i < desc->constr->num_check; i++)
		if (strstr(desc->constr->check[i].ccbin, "COERCETODOMAIN") != NULL)
			return true;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!knows_column(table, cache, att->attnum) && !att->attisdropped &&
			(att->atthasdef || att->attidentity || get_typtype(att->atttypid) == TYPTYPE_DOMAIN))
			return true;
	}
	return false;
}

/*
 * Whether a DELETE fires nothing, foreign keys to the table included, but the guard of a
 * journal: who deletes from C is who the guard would let pass.
 */
static bool
deletes_plainly(Relation rel)
{
	TriggerDesc *trig = rel->trigdesc;

	for (int i = 0; trig != NULL && i < trig->numtriggers; i++)
		if (TRIGGER_FOR_DELETE(trig->triggers[i].tgtype) &&
			!eco_guard_is(trig->triggers[i].tgfoid))
			return false;
	return true;
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

		for (int k = 0; plain && k < table->nkeys; k++)
			if (!OidIsValid(cache->key_index[k]) &&
				serves_key(table, k, cache, rel, index, info))
				cache->key_index[k] = RelationGetRelid(index);
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

/*
 * Whether a scan of the index finds what `column = value` means and in the order
 * that ORDER BY the key means: a DBA's index beside ours may compare by another
 * collation or operator class, or count down.
 */
static bool
serves_key(const EcoTable *table, int key, const EcoTableCache *cache, Relation rel,
		   Relation index, const IndexInfo *info)
{
	int			columns[ECO_MAX_KEY_COLUMNS];
	int			ncolumns = eco_key_in_index(table, key, columns);

	if (index->rd_rel->relam != BTREE_AM_OID || !index->rd_index->indisvalid ||
		ncolumns > info->ii_NumIndexKeyAttrs)
		return false;
	for (int c = 0; c < ncolumns; c++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel),
											  cache->attno[columns[c]] - 1);

		if (info->ii_IndexAttrNumbers[c] != att->attnum ||
			index->rd_indcollation[c] != att->attcollation ||
			index->rd_indoption[c] != 0 ||
			index->rd_opfamily[c] !=
			get_opclass_family(GetDefaultOpClass(att->atttypid, BTREE_AM_OID)))
			return false;
	}
	return true;
}

static bool
is_by_user(PartitionKey key, AttrNumber user_column)
{
	return key->strategy == PARTITION_STRATEGY_HASH && key->partnatts == 1 &&
		key->partattrs[0] == user_column;
}

/* How the relation is spread by user; NULL when it is not, or in another way. */
static EcoSpread *
spread_of(Relation rel, AttrNumber user_column)
{
	PartitionDesc desc;
	EcoSpread  *spread;

	/*
	 * of a partition of something else the bounds of that are to be checked
	 * as well
	 */
	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE || rel->rd_rel->relispartition ||
		!is_by_user(RelationGetPartitionKey(rel), user_column))
		return NULL;
	desc = RelationGetPartitionDesc(rel, false);
	/* one that is on its way out is there for some and not for others */
	if (desc->nparts == 0 || desc->detached_exist)
		return NULL;
	for (int i = 0; i < desc->nparts; i++)
		if (get_rel_relkind(desc->oids[i]) != RELKIND_RELATION)
			return NULL;
	spread = palloc0(sizeof(EcoSpread));
	spread->nparts = desc->nparts;
	spread->oids = palloc(sizeof(Oid) * desc->nparts);
	memcpy(spread->oids, desc->oids, sizeof(Oid) * desc->nparts);
	spread->caches = palloc0(sizeof(EcoTableCache *) * desc->nparts);
	spread->nhomes = desc->boundinfo->nindexes;
	spread->homes = palloc(sizeof(int) * spread->nhomes);
	memcpy(spread->homes, desc->boundinfo->indexes, sizeof(int) * spread->nhomes);
	fmgr_info_copy(&spread->hash, &RelationGetPartitionKey(rel)->partsupfunc[0],
				   CurrentMemoryContext);
	spread->collation = RelationGetPartitionKey(rel)->partcollation[0];
	return spread;
}

/* The transaction that wrote the table's row in pg_class. */
static TransactionId
changed_by(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	TransactionId xid;

	if (!HeapTupleIsValid(tuple))
		return InvalidTransactionId;
	xid = HeapTupleHeaderGetXmin(tuple->t_data);
	ReleaseSysCache(tuple);
	return TransactionIdIsNormal(xid) ? xid : InvalidTransactionId;
}

static void
prepare_constraints(EcoTableCache *cache, Relation rel)
{
	cache->desc = CreateTupleDescCopy(RelationGetDescr(rel));
	cache->estate = CreateExecutorState();
	cache->result_rel = makeNode(ResultRelInfo);
	InitResultRelInfo(cache->result_rel, rel, 0, NULL, 0);
}

bool
eco_relation_is_newer(Oid relid, Snapshot snapshot)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		newer;

	if (!HeapTupleIsValid(tuple))
		return false;
	newer = eco_is_newer(HeapTupleHeaderGetXmin(tuple->t_data), snapshot);
	ReleaseSysCache(tuple);
	return newer;
}
