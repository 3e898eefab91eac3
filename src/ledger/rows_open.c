/*
 * rows_open.c
 *		Opening the tables of a call before its snapshot is taken (I10; the rule
 *		stands in rows.h).
 *
 * A table counts as changed when its row in pg_class is newer than the snapshot:
 * a rewrite (ALTER TABLE, SET UNLOGGED, pg_repack, TRUNCATE) gives it another file,
 * whose rows the old snapshot cannot see.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/relation.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "errors.h"
#include "ledger/args.h"
#include "ledger/async.h"
#include "ledger/rows_private.h"
#include "settings.h"

/* What is open, innermost last; the memory is kept for the next call. */
static EcoOpenTables **open_stack = NULL;
static int	max_open = 0;
static int	n_open = 0;

PG_FUNCTION_INFO_V1(eco_open_tables);

static void open_one(EcoOpenTables *open, EcoTable *table);
static EcoTable named_table(const char *name);
static void push_snapshot(EcoOpenTables *open);
static const EcoTable *changed_table(EcoOpenTables *open, Snapshot snapshot);
static bool any_newer(Oid relid, LOCKMODE mode, Snapshot snapshot);
static void forget_transaction(XactEvent event, void *arg);
static void forget_savepoint(SubXactEvent event, SubTransactionId mine,
							 SubTransactionId parent, void *arg);

static inline bool
writes(const EcoOpenTables *open)
{
	return open->access == ECO_WRITE || open->access == ECO_WRITE_LATEST;
}

static EcoOpenTables *
next_free(void)
{
	if (open_stack == NULL)
	{
		RegisterXactCallback(forget_transaction, NULL);
		RegisterSubXactCallback(forget_savepoint, NULL);
	}
	if (n_open == max_open)
	{
		int			more = Max(4, max_open * 2);
		EcoOpenTables **stack = MemoryContextAllocZero(CacheMemoryContext, sizeof(*stack) * more);

		if (open_stack != NULL)
		{
			memcpy(stack, open_stack, sizeof(*stack) * max_open);
			pfree(open_stack);
		}
		open_stack = stack;
		max_open = more;
	}
	if (open_stack[n_open] == NULL)
		open_stack[n_open] = MemoryContextAlloc(CacheMemoryContext, sizeof(EcoOpenTables));
	return open_stack[n_open];
}

EcoOpenTables *
eco_tables_open(EcoAccess access, EcoTable *const *tables)
{
	return eco_user_tables_open(access, ECO_ALL_USERS, tables);
}

static EcoOpenTables *
open_tables(EcoAccess access, int64 user_id, EcoTable *const *tables, bool is_part)
{
	EcoOpenTables *open = next_free();

	if (n_open == 0)
		eco_async_enter();
	open->access = access;
	open->level = GetCurrentTransactionNestLevel();
	open->has_inner = false;
	open->is_part = is_part;
	open->user_id = user_id;
	open->ntables = 0;
	if (n_open > 0 && writes(open) && !is_part)
		open_stack[n_open - 1]->has_inner = true;
	for (int i = 0; tables[i] != NULL; i++)
		open_one(open, tables[i]);
	push_snapshot(open);
	n_open++;
	return open;
}

EcoOpenTables *
eco_user_tables_open(EcoAccess access, int64 user_id, EcoTable *const *tables)
{
	return open_tables(access, user_id, tables, false);
}

EcoOpenTables *
eco_part_open(EcoAccess access, int64 user_id, EcoTable *const *tables)
{
	return open_tables(access, user_id, tables, true);
}

bool
eco_tables_add(EcoOpenTables *open, EcoTable *const *tables)
{
	int			before = open->ntables;

	for (int i = 0; tables[i] != NULL; i++)
		open_one(open, tables[i]);
	if (open->ntables == before || changed_table(open, GetActiveSnapshot()) == NULL)
		return false;
	eco_snapshot_renew();
	return true;
}

bool
eco_tables_plain(const EcoOpenTables *open)
{
	for (int i = 0; i < open->ntables; i++)
	{
		const EcoOpenTable *one = &open->tables[i];

		if (!one->table->only_read &&
			!(one->is_spread ? eco_spread_is_plain(one) : one->cache->direct))
			return false;
	}
	return true;
}

bool
eco_tables_had_inner(void)
{
	return open_stack[n_open - 1]->has_inner;
}

bool
eco_tables_are_inner(void)
{
	return n_open > 1;
}

void
eco_tables_close(EcoOpenTables *open)
{
	if (n_open == 0 || open_stack[n_open - 1] != open)
		ECO_ERROR(ECO_SCHEMA_DAMAGED, errmsg("tables are closed out of order"));
	PopActiveSnapshot();
	/* the locks stay to the end of the transaction, as the executor's do */
	for (int i = 0; i < open->ntables; i++)
	{
		if (open->tables[i].is_spread)
			eco_spread_close(&open->tables[i]);
		relation_close(open->tables[i].rel, NoLock);
	}
	if (open->is_part && open->has_inner && n_open > 1)
		open_stack[n_open - 2]->has_inner = true;
	if (--n_open == 0)
		eco_async_leave(writes(open));
}

void
eco_snapshot_renew(void)
{
	PopActiveSnapshot();
	push_snapshot(open_stack[n_open - 1]);
}

void
eco_attempt_begin(EcoAttempt *attempt)
{
	attempt->context = CurrentMemoryContext;
	attempt->owner = CurrentResourceOwner;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(attempt->context);
	attempt->open = true;
	/* one of its own, for its end takes that away */
	eco_snapshot_renew();
}

static void
attempt_is_over(EcoAttempt *attempt)
{
	MemoryContextSwitchTo(attempt->context);
	CurrentResourceOwner = attempt->owner;
	attempt->open = false;
}

void
eco_attempt_keep(EcoAttempt *attempt)
{
	ReleaseCurrentSubTransaction();
	attempt_is_over(attempt);
}

void
eco_attempt_undo(EcoAttempt *attempt)
{
	RollbackAndReleaseCurrentSubTransaction();
	attempt_is_over(attempt);
	push_snapshot(open_stack[n_open - 1]);
}

void
eco_attempt_fail(EcoAttempt *attempt)
{
	ErrorData  *error;

	if (!attempt->open)
		PG_RE_THROW();
	MemoryContextSwitchTo(attempt->context);
	error = CopyErrorData();
	FlushErrorState();
	RollbackAndReleaseCurrentSubTransaction();
	attempt_is_over(attempt);
	ReThrowError(error);
}

static inline EcoOpenTable *
look_for(const EcoTable *table)
{
	EcoOpenTables *open = n_open > 0 ? open_stack[n_open - 1] : NULL;

	for (int i = 0; open != NULL && i < open->ntables; i++)
		if (open->tables[i].table == table)
			return &open->tables[i];
	return NULL;
}

bool
eco_table_is_open(const EcoTable *table)
{
	return look_for(table) != NULL;
}

static inline EcoOpenTable *
find_open(const EcoTable *table)
{
	EcoOpenTable *one = look_for(table);

	if (one == NULL)
		ECO_ERROR(ECO_SCHEMA_DAMAGED,
				  errmsg("table %s.%s is not among those that the call has opened",
						 eco_schema_of(table), table->name));
	return one;
}

EcoOpenTable *
eco_relation_for(const EcoTable *table, int64 user_id)
{
	EcoOpenTable *one = find_open(table);

	return one->is_spread ? eco_spread_part_of(one, user_id) : one;
}

EcoOpenTable *
eco_whole_of(const EcoTable *table)
{
	return find_open(table);
}

bool
eco_must_be_newest(const EcoTable *table)
{
	return table->only_read && IsolationUsesXactSnapshot() && writes(open_stack[n_open - 1]);
}

void
eco_row_moved(const EcoTable *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("a row of %s.%s was changed in the middle of the call "
					"that was to change it",
					eco_schema_of(table), table->name),
			 errhint("A trigger or a constraint called a function of economy for the same user; "
					 "only AFTER triggers on its journals may.")));
}

/*
 * A DBA's trigger or rule may swallow a row.  Half an entry must not stand, nor a
 * checkpoint behind which nothing is gone, so that is an error and no quiet success.
 */
void
eco_row_not_one(const EcoTable *table, uint64 changed)
{
	ECO_ERROR(ECO_LEDGER_DAMAGED,
			  errmsg("a write to %s.%s changed %llu rows instead of one",
					 eco_schema_of(table), table->name, (unsigned long long) changed),
			  errhint("Look for a trigger or rule on the table that suppresses rows."));
}

/* Taking the lock may show that the table is another one by now: hence the loop. */
static void
open_one(EcoOpenTables *open, EcoTable *table)
{
	EcoOpenTable *one = &open->tables[open->ntables];
	LOCKMODE	mode = writes(open) && !table->only_read ? RowExclusiveLock : AccessShareLock;

	for (int i = 0; i < open->ntables; i++)
		if (open->tables[i].table == table)
			return;
	if (table->later && !eco_table_exists(table))
		return;
	if (open->ntables == ECO_MAX_OPEN)
		ECO_ERROR(ECO_SCHEMA_DAMAGED, errmsg("a call opens more than %d tables", ECO_MAX_OPEN));
	for (;;)
	{
		one->cache = eco_table_cache(table);
		one->mode = mode;
		one->is_spread = one->cache->spread != NULL;
		LockRelationOid(one->cache->relid, mode);
		if (one->is_spread)
			eco_spread_lock(one, open->user_id);
		if (!one->cache->stale)
			break;
		UnlockRelationOid(one->cache->relid, mode);
	}
	one->rel = RelationIdGetRelation(one->cache->relid);
	if (one->rel == NULL)
		ECO_ERROR(ECO_SCHEMA_DAMAGED,
				  errmsg("table %s.%s was dropped", eco_schema_of(table), table->name));
	if (one->cache->has_children)
		list_free(find_all_inheritors(one->cache->relid, mode, NULL));
	one->table = table;
	one->direct = one->cache->direct && eco_row_access != ECO_ROW_ACCESS_SQL;
	open->ntables++;
}

static void
push_snapshot(EcoOpenTables *open)
{
	Snapshot	snapshot;
	const EcoTable *changed;

	/* a parallel query has one snapshot for all its workers */
	if ((open->access == ECO_READ_LATEST || open->access == ECO_WRITE_LATEST) &&
		!IsInParallelMode())
	{
		PushActiveSnapshot(GetLatestSnapshot());
		return;
	}
	if (open->access == ECO_READ)
		PushActiveSnapshot(GetActiveSnapshot());
	else
		PushActiveSnapshot(GetTransactionSnapshot());
	snapshot = GetActiveSnapshot();
	if (open->access != ECO_READ && !IsolationUsesXactSnapshot())
		return;
	changed = changed_table(open, snapshot);
	if (changed == NULL)
		return;
	if (IsolationUsesXactSnapshot())
		eco_serialization_failure(changed);
	PopActiveSnapshot();
	PushActiveSnapshot(GetTransactionSnapshot());
}

static const EcoTable *
changed_table(EcoOpenTables *open, Snapshot snapshot)
{
	for (int i = 0; i < open->ntables; i++)
	{
		EcoTableCache *cache = open->tables[i].cache;

		if (TransactionIdIsValid(cache->changed_by) &&
			TransactionIdPrecedes(cache->changed_by, TransactionXmin))
			cache->changed_by = InvalidTransactionId;	/* old for ever */
		if (eco_is_newer(cache->changed_by, snapshot) ||
			(cache->spread != NULL && eco_spread_is_newer(&open->tables[i], snapshot)) ||
			(cache->has_children && any_newer(cache->relid, NoLock, snapshot)))
			return open->tables[i].table;
	}
	return NULL;
}

/*
 * Whether the relation, or one that inherits from it, was changed after the snapshot.
 * Those below are locked in this mode; NoLock: they already are.
 */
static bool
any_newer(Oid relid, LOCKMODE mode, Snapshot snapshot)
{
	bool		newer = false;
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, mode, NULL))
		newer |= eco_relation_is_newer(lfirst_oid(lc), snapshot);
	return newer;
}

/*
 * eco_open_tables(variadic tables text[])
 *		The same for functions in SQL, whose next statement takes the snapshot.
 */
Datum
eco_open_tables(PG_FUNCTION_ARGS)
{
	Datum	   *names;
	bool	   *nulls;
	int			n;

	eco_require_arg(fcinfo, 0, "tables");
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls,
					  &n);
	for (int i = 0; i < n; i++)
	{
		EcoTable	table = named_table(nulls[i] ? "" : TextDatumGetCString(names[i]));
		Oid			relid = eco_oid_of(&table);

		LockRelationOid(relid, AccessShareLock);
		if (any_newer(relid, AccessShareLock, GetActiveSnapshot()) && IsolationUsesXactSnapshot())
			eco_serialization_failure(&table);
	}
	PG_RETURN_VOID();
}

/* The table of a name: of schema economy it is bare, of economy_internal it has its schema. */
static EcoTable
named_table(const char *name)
{
	static const char schema[] = "economy_internal.";
	bool		internal = strncmp(name, schema, strlen(schema)) == 0;

	return (EcoTable)
	{
		.name = name + (internal ? strlen(schema) : 0), .internal = internal
	};
}

/* Forget what is open: the end of the transaction closes and frees it by itself. */
static void
forget_transaction(XactEvent event, void *arg)
{
	(void) arg;
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT)
		n_open = 0;
}

/* The transaction goes on, and may have as many savepoints as it likes. */
static void
forget_tables(EcoOpenTables *open)
{
	for (int i = 0; i < open->ntables; i++)
		if (open->tables[i].is_spread)
			eco_spread_forget(&open->tables[i]);
}

static void
forget_savepoint(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	(void) mine;
	(void) parent;
	(void) arg;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		while (n_open > 0 && open_stack[n_open - 1]->level >= GetCurrentTransactionNestLevel())
			forget_tables(open_stack[--n_open]);
}
