/*
 * rows_direct.c
 *		Row access without SQL: index scan, tuple lock, HOT update, insert, delete.
 *
 * Does for one row what the executor does for a plan node: constraints, index
 * entries, snapshots, serializable conflict checks (inside the table and
 * index access methods), logical replication (inside heap_insert, update, delete).
 * Anything else a table may ask for keeps it away from here, see
 * direct_possible() in rows_relation.c.
 *
 * Relation locks are kept to the end of the transaction, as the executor does.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am_d.h"
#include "executor/executor.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
#include "storage/procarray.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "catalog/pg_type_d.h"

#include "compat.h"
#include "errors.h"
#include "ledger/rows_private.h"

#define INSERT_ROWS 64			/* to the heap at once */
#define ROOM_FOR_VERSIONS (BLCKSZ / 6)	/* of rows that change, on a page */

static RegProcedure equality_of(Oid type);
static int	set_keys(EcoScan *scan, const Datum *values);
static bool index_is_complete(Relation index);
static EcoLock lock_version(EcoRow *row, EcoOpenTable *open, TupleTableSlot *slot,
							LockWaitPolicy policy, uint8 flags);
static bool fetch_version(EcoScan *scan, HeapTuple tuple);
static void prune_when_full(Relation rel, Buffer buffer);
static void copy_out(const EcoOpenTable *open, HeapTuple tuple, EcoRow *row);
static bool copy_of_group(const EcoOpenTable *open, int nvalues, const Datum *key,
						  HeapTuple tuple, EcoRow *row);
static void check_constraints(EcoTableCache *cache, Relation rel, TupleTableSlot *slot);
static void check_apart(Relation rel, TupleTableSlot *slot);
static TupleTableSlot *fill_slot(EcoTableCache *cache, Relation rel, const EcoRow *row);
static void insert_index_entries(EcoTableCache *cache, Relation rel, TupleTableSlot **slots, int n);

bool
eco_direct_scan_begin(EcoScan *scan, const Datum *values)
{
	Relation	rel = scan->open->rel;
	int			nkeys;

	/*
	 * many databases have no experiment, and ask at every call which there
	 * are
	 */
	if (scan->nvalues == 0 && RelationGetNumberOfBlocks(rel) == 0)
	{
		PredicateLockRelation(rel, GetActiveSnapshot());
		return true;
	}

	/*
	 * Locked, for the table's lock does not guard it: REINDEX lets the table
	 * be read, and ALTER INDEX SET TABLESPACE does not lock it. In the mode
	 * that an insert needs, which is a lock less.
	 */
	scan->index = index_open(scan->open->cache->key_index[scan->key], scan->open->mode);
	if (!index_is_complete(scan->index))
	{
		index_close(scan->index, NoLock);
		return false;
	}
	nkeys = set_keys(scan, values);
	scan->desc = eco_index_beginscan(rel, scan->index, GetActiveSnapshot(), nkeys);
	index_rescan(scan->desc, scan->keys, nkeys, NULL, 0);
	return true;
}

static void
set_bound(EcoScan *scan, int nkey, int column, StrategyNumber strategy, RegProcedure compare,
		  int64 value)
{
	ScanKeyEntryInitialize(&scan->keys[nkey], 0, column, strategy, InvalidOid, InvalidOid,
						   compare, Int64GetDatum(value));
}

/* What the index is asked for; the number of conditions. */
static int
set_keys(EcoScan *scan, const Datum *values)
{
	const EcoTable *table = scan->table;
	bool		by_digest = eco_scan_by_digest(scan);
	int			n = by_digest ? 1 : scan->nvalues;

	for (int i = 0; i < n; i++)
	{
		Oid			type = table->columns[table->keys[scan->key].columns[i]].type;

		ScanKeyEntryInitialize(&scan->keys[i], 0, i + 1, BTEqualStrategyNumber,
							   InvalidOid, scan->index->rd_indcollation[i],
							   equality_of(type), values[i]);
	}
	if (by_digest && scan->least == scan->most)
		set_bound(scan, n++, 2, BTEqualStrategyNumber, F_INT8EQ, scan->least);
	else if (by_digest)
	{
		set_bound(scan, n++, 2, BTGreaterEqualStrategyNumber, F_INT8GE, scan->least);
		set_bound(scan, n++, 2, BTLessEqualStrategyNumber, F_INT8LE, scan->most);
	}
	if (scan->bound == ECO_AFTER)
		set_bound(scan, n, n + 1, BTGreaterStrategyNumber, F_INT8GT, scan->limit);
	else if (scan->bound == ECO_BEFORE)
		set_bound(scan, n, n + 1, BTLessStrategyNumber, F_INT8LT, scan->limit);
	return n + (scan->bound != ECO_UNBOUNDED);
}

/*
 * Of the index of digests alone: whatever version of a row a snapshot sees has its entry
 * there.  Who finds a digest looks for the row.  False: that is not known.
 */
static bool
digests_begin(EcoScan *scan, int64 user_id)
{
	EcoOpenTable *open = scan->open;
	Datum		user = Int64GetDatum(user_id);

	scan->table = open->table;
	scan->key = ECO_DIGESTED_KEY;
	scan->index = index_open(open->cache->key_index[ECO_DIGESTED_KEY], open->mode);
	if (!index_is_complete(scan->index))
	{
		index_close(scan->index, NoLock);
		return false;
	}
	scan->desc = eco_index_beginscan(open->rel, scan->index, GetActiveSnapshot(),
									 set_keys(scan, &user));
	scan->desc->xs_want_itup = true;
	index_rescan(scan->desc, scan->keys, scan->desc->numberOfKeys, NULL, 0);
	return true;
}

static bool
digests_next(EcoScan *scan, int64 *digest)
{
	bool		isnull;

	CHECK_FOR_INTERRUPTS();
	if (index_getnext_tid(scan->desc, ForwardScanDirection) == NULL)
		return false;
	*digest = DatumGetInt64(index_getattr(scan->desc->xs_itup, 2, scan->desc->xs_itupdesc,
										  &isnull));
	return true;
}

static void
digests_end(EcoScan *scan)
{
	index_endscan(scan->desc);
	index_close(scan->index, NoLock);
}

bool
eco_direct_digests_find(EcoOpenTable *open, int64 user_id, const int64 *digests, int n,
						bool *found)
{
	EcoScan		scan = {.open = open, .nvalues = 2, .least = digests[0], .most = digests[n - 1]};
	int64		digest;
	int			i = 0;

	if (!digests_begin(&scan, user_id))
		return false;
	while (i < n && digests_next(&scan, &digest))
	{
		while (i < n && digests[i] < digest)
			i++;
		for (; i < n && digests[i] == digest; i++)
			found[i] = true;
	}
	digests_end(&scan);
	return true;
}

int
eco_direct_digests_read(EcoOpenTable *open, int64 user_id, int64 *digests, int most)
{
	EcoScan		scan = {.open = open, .nvalues = 1};
	int64		digest;
	int			n = 0;

	if (!digests_begin(&scan, user_id))
		return -1;
	while (n >= 0 && digests_next(&scan, &digest))
	{
		if (n == most)
			n = -1;
		else
			digests[n++] = digest;
	}
	digests_end(&scan);
	return n;
}

/*
 * An index that was built over broken HOT chains lacks versions that older
 * snapshots see; the planner asks the same question.
 */
static bool
index_is_complete(Relation index)
{
	return !index->rd_index->indcheckxmin ||
		TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data),
							  TransactionXmin);
}

void
eco_direct_scan_again(EcoScan *scan, const Datum *values)
{
	if (scan->desc != NULL)
		index_rescan(scan->desc, scan->keys, set_keys(scan, values), NULL, 0);
}

bool
eco_direct_scan_next(EcoScan *scan, EcoRow *row)
{
	MemoryContext caller = MemoryContextSwitchTo(scan->context);
	HeapTupleData tuple;
	bool		found = false;

	while (!found && scan->desc != NULL &&
		   index_getnext_tid(scan->desc, scan->bound == ECO_BEFORE ?
							 BackwardScanDirection : ForwardScanDirection) != NULL)
		found = fetch_version(scan, &tuple);
	MemoryContextSwitchTo(caller);
	if (found)
		copy_out(scan->open, &tuple, row);
	return found;
}

/*
 * The version that the snapshot sees, of what the index points to; its page stays
 * pinned.  This is index_fetch_heap(), but for the pruning, and without a slot.
 */
static bool
fetch_version(EcoScan *scan, HeapTuple tuple)
{
	IndexScanDesc desc = scan->desc;
	Relation	rel = scan->open->rel;
	Buffer		before = scan->buffer;
	bool		all_dead = false;
	bool		found;

	scan->buffer = ReleaseAndReadBuffer(before, rel, ItemPointerGetBlockNumber(&desc->xs_heaptid));
	if (scan->buffer != before)
		prune_when_full(rel, scan->buffer);
	scan->root = desc->xs_heaptid;
	LockBuffer(scan->buffer, BUFFER_LOCK_SHARE);
	found = heap_hot_search_buffer(&desc->xs_heaptid, rel, scan->buffer, desc->xs_snapshot, tuple,
								   &all_dead, true);
	LockBuffer(scan->buffer, BUFFER_LOCK_UNLOCK);
	if (found)
		pgstat_count_heap_fetch(desc->indexRelation);
	if (!desc->xactStartedInRecovery)
		desc->kill_prior_tuple = all_dead;
	return found;
}

/*
 * heap_page_prune_opt() by itself goes by the fillfactor: as soon as less than that is
 * free, which on a page of accounts is at every call, for the one version of the call
 * before.  Here some versions gather first.
 */
static void
prune_when_full(Relation rel, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);

	if (PageIsFull(page) || PageGetHeapFreeSpace(page) < ROOM_FOR_VERSIONS)
		heap_page_prune_opt(rel, buffer);
}

bool
eco_direct_find_again(EcoOpenTable *open, const Datum *values, EcoRow *row)
{
	HeapTupleData tuple;
	Buffer		buffer;

	if (!open->direct || !eco_place_look(open, values, &tuple, &buffer))
		return false;
	copy_out(open, &tuple, row);
	ReleaseBuffer(buffer);
	return true;
}

bool
eco_direct_find_all_again(EcoOpenTable *open, int nvalues, const Datum *values,
						  int n, EcoRow *rows)
{
	const EcoGroup *group = eco_group_look(open, nvalues, values, n);
	HeapTupleData tuples[ECO_MAX_GROUP];
	BlockNumber nblocks = group == NULL ? 0 : RelationGetNumberOfBlocks(open->rel);
	bool		found = group != NULL;
	int			end;

	for (int i = 0; found && i < n; i = end)
	{
		BlockNumber block = ItemPointerGetBlockNumber(&group->roots[i]);
		Buffer		buffer;

		for (end = i + 1; end < n && ItemPointerGetBlockNumber(&group->roots[end]) == block; end++)
			;
		if (block >= nblocks)
			return false;		/* the table was truncated since */
		buffer = ReadBuffer(open->rel, block);
		prune_when_full(open->rel, buffer);
		found = eco_group_read(open, group->roots + i, end - i, buffer, tuples);
		for (int k = i; found && k < end; k++)
			found = copy_of_group(open, nvalues, values, &tuples[k - i], &rows[k]);
		ReleaseBuffer(buffer);
	}
	return found;
}

void
eco_direct_found(EcoScan *scan, const Datum *values)
{
	if (scan->direct && scan->index->rd_index->indisunique &&
		scan->index->rd_index->indnkeyatts == scan->nvalues)
		eco_place_keep(scan->open, values, &scan->root);
}

void
eco_direct_scan_end(EcoScan *scan)
{
	if (scan->desc == NULL)
		return;
	index_endscan(scan->desc);
	if (BufferIsValid(scan->buffer))
		ReleaseBuffer(scan->buffer);
	index_close(scan->index, NoLock);
}

EcoLock
eco_direct_lock(EcoRow *row, EcoOpenTable *open, EcoWait wait)
{
	TupleTableSlot *slot = table_slot_create(open->rel, NULL);
	EcoLock		answer = lock_version(row, open, slot, LockWaitSkip, 0);

	if (answer == ECO_LOCK_BUSY && wait == ECO_WAIT)
	{
		answer = lock_version(row, open, slot, LockWaitBlock,
							  IsolationUsesXactSnapshot() ? 0 : TUPLE_LOCK_FLAG_FIND_LAST_VERSION);
		if (answer == ECO_LOCKED)
			answer = ECO_LOCKED_AGAIN;
	}
	ExecDropSingleTupleTableSlot(slot);
	return answer;
}

static EcoLock
lock_version(EcoRow *row, EcoOpenTable *open, TupleTableSlot *slot, LockWaitPolicy policy,
			 uint8 flags)
{
	TM_FailureData tmfd;

	switch (table_tuple_lock(open->rel, &row->tid, GetActiveSnapshot(), slot,
							 GetCurrentCommandId(false), LockTupleNoKeyExclusive,
							 policy, flags, &tmfd))
	{
		case TM_Ok:
			return ECO_LOCKED;
		case TM_WouldBlock:
			return ECO_LOCK_BUSY;
		case TM_Updated:
			if (policy == LockWaitBlock)
				eco_serialization_failure(row->table);
			return ECO_LOCK_BUSY;
		case TM_Deleted:
			if (IsolationUsesXactSnapshot())
				eco_serialization_failure(row->table);
			return ECO_LOCK_GONE;
		default:
			/* our own newer version: the caller read with an old snapshot */
			eco_row_moved(row->table);
	}
	return ECO_LOCK_GONE;
}

/*
 * Whether row->tid is still the newest version that this transaction knows of: user code
 * that it runs, a trigger or a CHECK, may have made another, in a command of its own.
 */
bool
eco_direct_is_newest(Relation rel, const EcoRow *row)
{
	ItemPointerData tid = row->tid;
	TupleTableSlot *slot;
	bool		found;

	if (row->read_at == GetCurrentCommandId(false))
		return true;
	slot = table_slot_create(rel, NULL);
	found = table_tuple_fetch_row_version(rel, &tid, SnapshotSelf, slot);
	ExecDropSingleTupleTableSlot(slot);
	return found;
}

bool
eco_row_is_committed(const EcoRow *row, int64 user_id)
{
	Relation	rel = eco_relation_for(row->table, user_id)->rel;
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	ItemPointerData tid = row->tid;
	bool		committed = false;

	if (table_tuple_fetch_row_version(rel, &tid, GetActiveSnapshot(), slot))
	{
		bool		isnull;
		Datum		xmin = slot_getsysattr(slot, MinTransactionIdAttributeNumber, &isnull);

		committed = !isnull && !TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
	}
	ExecDropSingleTupleTableSlot(slot);
	return committed;
}

/*
 * The next version of a row that has columns unknown to us, which keep their values; NULL:
 * it is not the newest any more.
 */
static TupleTableSlot *
fill_from_last(EcoTableCache *cache, Relation rel, const EcoRow *row)
{
	const EcoTable *table = row->table;
	TupleTableSlot *last = table_slot_create(rel, NULL);
	TupleTableSlot *slot = NULL;
	ItemPointerData tid = row->tid;

	if (table_tuple_fetch_row_version(rel, &tid, SnapshotSelf, last))
	{
		slot = MakeSingleTupleTableSlot(cache->desc, &TTSOpsVirtual);
		ExecCopySlot(slot, last);
	}
	ExecDropSingleTupleTableSlot(last);
	if (slot == NULL)
		return NULL;
	for (int i = 0; i < table->ncolumns; i++)
	{
		if (!(table->columns[i].is & ECO_MUTABLE))
			continue;
		slot->tts_values[cache->attno[i] - 1] = row->values[i];
		slot->tts_isnull[cache->attno[i] - 1] = row->isnull[i];
	}
	slot->tts_tableOid = RelationGetRelid(rel);
	check_constraints(cache, rel, slot);
	return slot;
}

/*
 * Of a locked row only user code can have made a newer version, which a CHECK here still
 * may: false.  Of one that is not, others can, who are not waited for.  What happened to
 * it is told apart by heap_update() under the lock of the page, as it is for a lock.
 */
bool
eco_direct_update(EcoRow *row, EcoOpenTable *open, bool is_locked)
{
	EcoTableCache *cache = open->cache;
	Relation	rel = open->rel;
	TupleTableSlot *slot;
	TM_FailureData tmfd;
	LockTupleMode lockmode;
	EcoUpdateIndexes update_indexes;
	bool		done;

	CheckCmdReplicaIdentity(rel, CMD_UPDATE);
	slot = cache->is_whole ? fill_slot(cache, rel, row) : fill_from_last(cache, rel, row);
	done = slot != NULL && eco_direct_is_newest(rel, row) &&
		table_tuple_update(rel, &row->tid, slot, GetCurrentCommandId(true),
						   GetActiveSnapshot(), InvalidSnapshot, is_locked,
						   &tmfd, &lockmode, &update_indexes) == TM_Ok;
	if (done && (ECO_NEEDS_INDEX_ENTRIES(update_indexes) || ECO_NEEDS_SUMMARIES(update_indexes)))
		insert_index_entries(cache, rel, &slot, 1);
	CommandCounterIncrement();
	if (done)
	{
		row->tid = slot->tts_tid;
		row->read_at = GetCurrentCommandId(false);
	}
	if (slot != NULL)
		ExecDropSingleTupleTableSlot(slot);
	return done;
}

/* Rows of one table; several go to the heap a page at a time. */
void
eco_direct_insert(EcoRow **rows, int n, EcoOpenTable *open)
{
	EcoTableCache *cache = open->cache;
	Relation	rel = open->rel;
	TupleTableSlot *slots[INSERT_ROWS];

	for (int start = 0; start < n; start += INSERT_ROWS)
	{
		int			count = Min(n - start, INSERT_ROWS);

		for (int i = 0; i < count; i++)
			slots[i] = fill_slot(cache, rel, rows[start + i]);
		if (count == 1)
			table_tuple_insert(rel, slots[0], GetCurrentCommandId(true), 0, NULL);
		else
			table_multi_insert(rel, slots, count, GetCurrentCommandId(true), 0, NULL);
		insert_index_entries(cache, rel, slots, count);
		for (int i = 0; i < count; i++)
		{
			rows[start + i]->tid = slots[i]->tts_tid;
			ExecDropSingleTupleTableSlot(slots[i]);
		}
	}
	CommandCounterIncrement();
}

void
eco_direct_delete(EcoRow **rows, int n, EcoOpenTable *open)
{
	EcoTable   *table = rows[0]->table;
	Relation	rel = open->rel;
	TM_FailureData tmfd;

	CheckCmdReplicaIdentity(rel, CMD_DELETE);
	for (int i = 0; i < n; i++)
	{
		if (table_tuple_delete(rel, &rows[i]->tid, GetCurrentCommandId(true),
							   GetActiveSnapshot(), InvalidSnapshot, true, &tmfd, false) == TM_Ok)
			continue;
		if (IsolationUsesXactSnapshot())
			eco_serialization_failure(table);
		eco_row_not_one(table, 0);
	}
	CommandCounterIncrement();
}

static TupleTableSlot *
fill_slot(EcoTableCache *cache, Relation rel, const EcoRow *row)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(cache->desc, &TTSOpsVirtual);

	memset(slot->tts_isnull, true, cache->desc->natts);
	for (int i = 0; i < row->table->ncolumns; i++)
	{
		int			att = cache->attno[i] - 1;

		if (att < 0 && !row->isnull[i])
			eco_column_lacks(row->table, i);
		if (att < 0)
			continue;
		slot->tts_values[att] = row->values[i];
		slot->tts_isnull[att] = row->isnull[i];
	}
	ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(rel);
	check_constraints(cache, rel, slot);
	return slot;
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
		case TIMESTAMPTZOID:
			return F_TIMESTAMPTZ_EQ;
		case TEXTOID:
			return F_TEXTEQ;
		case BOOLOID:
			return F_BOOLEQ;
		case UUIDOID:
			return F_UUID_EQ;
	}
	ECO_ERROR(ECO_SCHEMA_DAMAGED, errmsg("no key of type %u is expected", type));
	return InvalidOid;
}

/*
 * Whether it seems that nobody has the row: a guess, for its page is not locked, which an
 * update puts to the proof.  A version that was made under a lock keeps that lock's name.
 */
static bool
is_free(HeapTupleHeader header)
{
	uint16		infomask = header->t_infomask;

	return (infomask & HEAP_XMAX_INVALID) != 0 ||
		(HEAP_XMAX_IS_LOCKED_ONLY(infomask) && (infomask & HEAP_XMAX_IS_MULTI) == 0 &&
		 !TransactionIdIsInProgress(HeapTupleHeaderGetRawXmax(header)));
}

static void
copy_columns(const EcoOpenTable *open, HeapTuple tuple, const Datum *values, const bool *isnull,
			 EcoRow *row)
{
	EcoTable   *table = open->table;
	EcoTableCache *cache = open->cache;

	row->table = table;
	row->tid = tuple->t_self;
	row->read_at = GetCurrentCommandId(false);
	row->is_free = ECO_UPDATES_WITHOUT_WAIT && is_free(tuple->t_data);
	for (int i = 0; i < table->ncolumns; i++)
	{
		int			att = cache->attno[i] - 1;

		row->isnull[i] = att < 0 || isnull[att];
		row->values[i] = row->isnull[i] ? (Datum) 0 :
			cache->typbyval[i] ? values[att] :
			datumCopy(values[att], false, cache->typlen[i]);
	}
}

static void
copy_out(const EcoOpenTable *open, HeapTuple tuple, EcoRow *row)
{
	Datum		values[MaxTupleAttributeNumber];
	bool		isnull[MaxTupleAttributeNumber];

	heap_deform_tuple(tuple, RelationGetDescr(open->rel), values, isnull);
	copy_columns(open, tuple, values, isnull, row);
}

/* False when it does not begin with the group's key, which is not copied for each row. */
static bool
copy_of_group(const EcoOpenTable *open, int nvalues, const Datum *key, HeapTuple tuple,
			  EcoRow *row)
{
	EcoTableCache *cache = open->cache;
	const int  *columns = open->table->keys[0].columns;
	Datum		values[MaxTupleAttributeNumber];
	bool		isnull[MaxTupleAttributeNumber];

	heap_deform_tuple(tuple, RelationGetDescr(open->rel), values, isnull);
	for (int i = 0; i < nvalues; i++)
	{
		int			att = cache->attno[columns[i]] - 1;

		if (isnull[att] || !datum_image_eq(values[att], key[i], cache->typbyval[columns[i]],
										   cache->typlen[columns[i]]))
			return false;
		isnull[att] = true;
	}
	copy_columns(open, tuple, values, isnull, row);
	for (int i = 0; i < nvalues; i++)
		eco_row_set(row, columns[i], key[i]);
	return true;
}

/*
 * A CHECK may call a function that comes back here while the compiled
 * constraints are in use: that call compiles its own.
 */
static void
check_constraints(EcoTableCache *cache, Relation rel, TupleTableSlot *slot)
{
	EState	   *estate = cache->estate;

	if (RelationGetDescr(rel)->constr == NULL)
		return;
	if (estate == NULL)
	{
		check_apart(rel, slot);
		return;
	}
	cache->estate = NULL;
	PG_TRY();
	{
		/* the relcache entry may have moved since they were compiled */
		cache->result_rel->ri_RelationDesc = rel;
		ExecConstraints(cache->result_rel, slot, estate);
		ResetPerTupleExprContext(estate);
	}
	PG_FINALLY();
	{
		cache->estate = estate;
	}
	PG_END_TRY();
}

static void
check_apart(Relation rel, TupleTableSlot *slot)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *result_rel = makeNode(ResultRelInfo);

	InitResultRelInfo(result_rel, rel, 0, NULL, 0);
	ExecConstraints(result_rel, slot, estate);
	FreeExecutorState(estate);
}

/*
 * Whether two rows are the same to an index that sums up blocks (BRIN): it has a value of a
 * block once it was told of it.
 */
static bool
summed_up(Relation index, TupleTableSlot *const *slots, Datum values[2][INDEX_MAX_KEYS],
		  bool isnull[2][INDEX_MAX_KEYS])
{
	if (index->rd_rel->relam != BRIN_AM_OID ||
		ItemPointerGetBlockNumber(&slots[0]->tts_tid) !=
		ItemPointerGetBlockNumber(&slots[1]->tts_tid))
		return false;
	for (int i = 0; i < index->rd_att->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(index->rd_att, i);

		if (isnull[0][i] != isnull[1][i] ||
			(!isnull[0][i] &&
			 !datumIsEqual(values[0][i], values[1][i], att->attbyval, att->attlen)))
			return false;
	}
	return true;
}

/* The entries of a row, values[k % 2] being its own in an index and the others the last one's. */
static void
insert_index_entries(EcoTableCache *cache, Relation rel, TupleTableSlot **slots, int n)
{
	Datum		values[2][INDEX_MAX_KEYS];
	bool		isnull[2][INDEX_MAX_KEYS];

	for (int i = 0; i < cache->nindexes; i++)
	{
		Relation	index = index_open(cache->index[i], RowExclusiveLock);
		IndexInfo  *info = cache->index_info[i];

		/* what the access method keeps there points into the opened index */
		info->ii_AmCache = NULL;
		info->ii_Context = CurrentMemoryContext;
		/* an index whose build has not got that far takes no entries yet */
		for (int k = 0; index->rd_index->indisready && k < n; k++)
		{
			FormIndexDatum(info, slots[k], NULL, values[k % 2], isnull[k % 2]);
			if (k > 0 && summed_up(index, &slots[k - 1], values, isnull))
				continue;
			index_insert(index, values[k % 2], isnull[k % 2], &slots[k]->tts_tid, rel,
						 index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
						 false, info);
		}
		eco_index_insert_cleanup(index, info);
		index_close(index, NoLock);
	}
}
