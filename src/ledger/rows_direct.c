/*
 * rows_direct.c
 *		Row access without SQL: index scan, tuple lock, HOT update, insert.
 *
 * Does for one row what the executor does for a plan node: constraints, index
 * entries, snapshots, serializable conflict checks (inside the table and
 * index access methods), logical replication (inside heap_insert/update).
 * Anything else a table may ask for keeps it away from here, see
 * direct_possible() in rows.c.
 *
 * Relation locks are kept to the end of the transaction, as the executor does.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "catalog/pg_type_d.h"

#include "compat.h"
#include "errors.h"
#include "ledger/rows_private.h"

static RegProcedure equality_of(Oid type);
static void copy_out(EcoTable *table, TupleTableSlot *slot, EcoRow *row);
static void check_constraints(EcoTableCache *cache, Relation rel, TupleTableSlot *slot);
static void insert_index_entries(EcoTableCache *cache, Relation rel, TupleTableSlot *slot);

void
eco_direct_scan_begin(EcoScan *scan, Relation rel, int key, int nvalues,
					  const Datum *values, const int64 *after)
{
	EcoTable   *table = scan->table;
	ScanKeyData keys[ECO_MAX_KEY_COLUMNS];

	scan->context = CurrentMemoryContext;
	scan->rel = rel;
	scan->index = index_open(table->cache->key_index[key], AccessShareLock);
	scan->slot = table_slot_create(rel, NULL);
	for (int i = 0; i < nvalues; i++)
	{
		Oid			type = table->columns[table->keys[key].columns[i]].type;

		ScanKeyEntryInitialize(&keys[i], 0, i + 1, BTEqualStrategyNumber,
							   InvalidOid, scan->index->rd_indcollation[i],
							   equality_of(type), values[i]);
	}
	if (after != NULL)
	{
		ScanKeyEntryInitialize(&keys[nvalues], 0, nvalues + 1, BTGreaterStrategyNumber,
							   InvalidOid, InvalidOid, F_INT8GT, Int64GetDatum(*after));
		nvalues++;
	}
	scan->desc = eco_index_beginscan(rel, scan->index, GetActiveSnapshot(), nvalues);
	index_rescan(scan->desc, keys, nvalues, NULL, 0);
}

bool
eco_direct_scan_next(EcoScan *scan, EcoRow *row)
{
	MemoryContext caller = MemoryContextSwitchTo(scan->context);
	bool		found = index_getnext_slot(scan->desc, ForwardScanDirection, scan->slot);

	MemoryContextSwitchTo(caller);
	if (found)
		copy_out(scan->table, scan->slot, row);
	return found;
}

void
eco_direct_scan_end(EcoScan *scan)
{
	index_endscan(scan->desc);
	ExecDropSingleTupleTableSlot(scan->slot);
	index_close(scan->index, NoLock);
	table_close(scan->rel, NoLock);
}

EcoLock
eco_direct_lock(EcoRow *row, Relation rel, EcoWait wait)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TM_FailureData tmfd;
	TM_Result	result;
	EcoLock		answer = ECO_LOCKED;
	bool		follow = wait == ECO_WAIT && !IsolationUsesXactSnapshot();

	result = table_tuple_lock(rel, &row->tid, GetActiveSnapshot(), slot,
							  GetCurrentCommandId(false),
							  LockTupleNoKeyExclusive,
							  wait == ECO_WAIT ? LockWaitBlock : LockWaitSkip,
							  follow ? TUPLE_LOCK_FLAG_FIND_LAST_VERSION : 0,
							  &tmfd);
	switch (result)
	{
		case TM_Ok:
			if (follow && tmfd.traversed)
			{
				copy_out(row->table, slot, row);
				answer = ECO_LOCKED_NEWER;
			}
			break;
		case TM_WouldBlock:
			answer = ECO_LOCK_BUSY;
			break;
		case TM_Updated:
			if (wait == ECO_WAIT)
				eco_serialization_failure();
			answer = ECO_LOCK_BUSY;
			break;
		case TM_Deleted:
			if (IsolationUsesXactSnapshot())
				eco_serialization_failure();
			answer = ECO_LOCK_GONE;
			break;
		default:
			/* our own newer version: the caller read with an old snapshot */
			ereport(ERROR,
					(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
					 errmsg("row of economy.%s was already changed by the current command",
							row->table->name)));
	}
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	return answer;
}

/*
 * The row is locked, so its newest version is row->tid.  Columns unknown to us
 * keep their values.
 */
void
eco_direct_update(EcoRow *row, Relation rel)
{
	EcoTable   *table = row->table;
	EcoTableCache *cache = table->cache;
	TupleTableSlot *old_slot = table_slot_create(rel, NULL);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(cache->desc, &TTSOpsVirtual);
	TM_FailureData tmfd;
	LockTupleMode lockmode;
	EcoUpdateIndexes update_indexes;

	CheckCmdReplicaIdentity(rel, CMD_UPDATE);
	if (!table_tuple_fetch_row_version(rel, &row->tid, SnapshotAny, old_slot))
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("locked row of economy.%s is gone", table->name));
	ExecCopySlot(slot, old_slot);
	for (int i = 0; i < table->ncolumns; i++)
	{
		if (!table->columns[i].is_mutable)
			continue;
		slot->tts_values[cache->attno[i] - 1] = row->values[i];
		slot->tts_isnull[cache->attno[i] - 1] = row->isnull[i];
	}
	slot->tts_tableOid = RelationGetRelid(rel);
	check_constraints(cache, rel, slot);
	if (table_tuple_update(rel, &row->tid, slot, GetCurrentCommandId(true),
						   GetActiveSnapshot(), InvalidSnapshot, true,
						   &tmfd, &lockmode, &update_indexes) != TM_Ok)
		eco_serialization_failure();
	if (ECO_NEEDS_INDEX_ENTRIES(update_indexes) || ECO_NEEDS_SUMMARIES(update_indexes))
		insert_index_entries(cache, rel, slot);
	row->tid = slot->tts_tid;
	ExecDropSingleTupleTableSlot(slot);
	ExecDropSingleTupleTableSlot(old_slot);
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

void
eco_direct_insert(EcoRow *row, Relation rel)
{
	EcoTable   *table = row->table;
	EcoTableCache *cache = table->cache;
	TupleTableSlot *slot = MakeSingleTupleTableSlot(cache->desc, &TTSOpsVirtual);

	memset(slot->tts_isnull, true, cache->desc->natts);
	for (int i = 0; i < table->ncolumns; i++)
	{
		slot->tts_values[cache->attno[i] - 1] = row->values[i];
		slot->tts_isnull[cache->attno[i] - 1] = row->isnull[i];
	}
	ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(rel);
	check_constraints(cache, rel, slot);
	table_tuple_insert(rel, slot, GetCurrentCommandId(true), 0, NULL);
	insert_index_entries(cache, rel, slot);
	row->tid = slot->tts_tid;
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

static RegProcedure
equality_of(Oid type)
{
	switch (type)
	{
		case INT8OID:
			return F_INT8EQ;
		case INT4OID:
			return F_INT4EQ;
		case INT2OID:
			return F_INT2EQ;
		case DATEOID:
			return F_DATE_EQ;
		case TEXTOID:
			return F_TEXTEQ;
	}
	ECO_ERROR(ECO_SCHEMA_DAMAGED, errmsg("no key of type %u is expected", type));
	return InvalidOid;
}

static void
copy_out(EcoTable *table, TupleTableSlot *slot, EcoRow *row)
{
	EcoTableCache *cache = table->cache;

	slot_getallattrs(slot);
	row->table = table;
	row->tid = slot->tts_tid;
	for (int i = 0; i < table->ncolumns; i++)
	{
		int			att = cache->attno[i] - 1;

		row->isnull[i] = slot->tts_isnull[att];
		row->values[i] = row->isnull[i] ? (Datum) 0 :
			datumCopy(slot->tts_values[att], cache->typbyval[i], cache->typlen[i]);
	}
}

static void
check_constraints(EcoTableCache *cache, Relation rel, TupleTableSlot *slot)
{
	if (RelationGetDescr(rel)->constr == NULL)
		return;
	/* the relcache entry may have moved since the constraints were compiled */
	cache->result_rel->ri_RelationDesc = rel;
	ExecConstraints(cache->result_rel, slot, cache->estate);
	ResetPerTupleExprContext(cache->estate);
}

static void
insert_index_entries(EcoTableCache *cache, Relation rel, TupleTableSlot *slot)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];

	for (int i = 0; i < cache->nindexes; i++)
	{
		Relation	index = index_open(cache->index[i], RowExclusiveLock);

		/* an index whose build has not got that far takes no entries yet */
		if (index->rd_index->indisready)
		{
			FormIndexDatum(cache->index_info[i], slot, NULL, values, isnull);
			/* BRIN and GIN keep pointers to the opened relation there */
			cache->index_info[i]->ii_AmCache = NULL;
			cache->index_info[i]->ii_Context = CurrentMemoryContext;
			index_insert(index, values, isnull, &slot->tts_tid, rel,
						 index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
						 false, cache->index_info[i]);
		}
		index_close(index, NoLock);
	}
}
