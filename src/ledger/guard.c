/*
 * guard.c
 *		Journals are append-only (I8), do not vanish with DROP EXTENSION, and are
 *		not exchanged for other tables.
 *
 * The drop guard is an object access hook: it sees every way a journal can be
 * dropped, at a moment when its rows can still be read.  An event trigger on
 * the commands that can do it loads the library, so the hook is there also in
 * a session that has not used the extension.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "nodes/parsenodes.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "errors.h"
#include "ledger/guard.h"
#include "ledger/journal.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(eco_forbid_change);
PG_FUNCTION_INFO_V1(eco_guard_drop);

static object_access_hook_type previous_hook = NULL;
static bool pruning = false;

static void guard_hook(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg);
static void guard_drop(Oid relid);
static void guard_detach(Oid child, Oid parent);
static void refuse_detach(Oid child, Oid journal);
static void guard_relation_name(Oid relid);
static void guard_schema_name(Oid nspid);
static bool is_installed(void);
static bool is_own_schema(Oid nspid);
static bool is_journal(Oid relid);
static Oid	journal_above(Oid relid);
static bool is_child(Oid child, Oid parent);
static Oid	parent_of(Oid relid);
static bool holds_rows(Oid relid);
static HeapTuple newest(Oid catalog, Oid index, AttrNumber column, Oid object_id);

static void
guard_hook(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (previous_hook != NULL)
		previous_hook(access, class_id, object_id, sub_id, arg);
	if (eco_allow_drop || sub_id != 0)
		return;
	if (access == OAT_DROP && class_id == RelationRelationId)
		guard_drop(object_id);
	else if (access == OAT_POST_ALTER && class_id == NamespaceRelationId)
		guard_schema_name(object_id);
	else if (access == OAT_POST_ALTER && class_id == RelationRelationId)
		guard_relation_name(object_id);
	else if (access == OAT_POST_ALTER && class_id == InheritsRelationId)
		guard_detach(object_id, ((ObjectAccessPostAlter *) arg)->auxiliary_id);
}

/* Refuse the DROP of a journal with entries, or of a child with some of them. */
static void
guard_drop(Oid relid)
{
	Oid			journal;

	if (get_rel_relkind(relid) != RELKIND_RELATION ||
		!OidIsValid(journal = journal_above(relid)) || !holds_rows(relid))
		return;
	ECO_ERROR(ECO_DROP_REFUSED,
			  errmsg("journal economy.%s holds entries and would be lost", get_rel_name(journal)),
			  errhint("Back it up, then SET economy.allow_drop = on to drop it all the same."));
}

/* Without rows too: users whose home it is would have none. */
static void
refuse_detach(Oid child, Oid journal)
{
	ECO_ERROR(ECO_DROP_REFUSED,
			  errmsg("partition %s of journal economy.%s cannot be detached", get_rel_name(child),
					 get_rel_name(journal)),
			  errhint("SET economy.allow_drop = on if the extension is not to be used again."));
}

/*
 * Refuse that a child with entries leaves its journal.  The hook is called for a
 * child that joins as well: that one is a child when the command has ended.
 */
static void
guard_detach(Oid child, Oid parent)
{
	Oid			journal = journal_above(parent);
	ListCell   *cell;

	if (!OidIsValid(journal) || is_child(child, parent))
		return;
	if (getExtensionOfObject(RelationRelationId, child) == get_extension_oid("economy", true))
		refuse_detach(child, journal);
	foreach(cell, find_all_inheritors(child, AccessShareLock, NULL))
		if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_RELATION && holds_rows(lfirst_oid(cell)))
		ECO_ERROR(ECO_DROP_REFUSED,
				  errmsg("table %s holds entries of journal economy.%s, which would be lost to it",
						 get_rel_name(lfirst_oid(cell)), get_rel_name(journal)),
				  errhint("Back it up, then SET economy.allow_drop = on to "
						  "detach it all the same."));
}

/*
 * Refuse a new name or schema.  C code finds a table by its name, views and SQL
 * bodies by its OID: after an exchange they would work on different tables.
 */
static void
guard_relation_name(Oid relid)
{
	HeapTuple	tuple;
	Form_pg_class form;
	Oid			schema = get_rel_namespace(relid);

	if (!is_own_schema(schema) ||
		getExtensionOfObject(RelationRelationId, relid) != get_extension_oid("economy", true))
		return;
	tuple = newest(RelationRelationId, ClassOidIndexId, Anum_pg_class_oid, relid);
	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (form->relnamespace != schema || strcmp(NameStr(form->relname), get_rel_name(relid)) != 0)
		ECO_ERROR(ECO_DROP_REFUSED,
				  errmsg("%s.%s cannot be renamed or moved", get_namespace_name(schema),
						 get_rel_name(relid)),
				  errdetail("The functions of the extension find it by its name, "
							"its views by itself."),
				  errhint("Its own table cannot be exchanged for another; "
						  "SET economy.allow_drop = on if the extension is not to be used again."));
}

static void
guard_schema_name(Oid nspid)
{
	HeapTuple	tuple;

	if (!is_own_schema(nspid))
		return;
	tuple = newest(NamespaceRelationId, NamespaceOidIndexId, Anum_pg_namespace_oid, nspid);
	if (HeapTupleIsValid(tuple) &&
		strcmp(NameStr(((Form_pg_namespace) GETSTRUCT(tuple))->nspname),
			   get_namespace_name(nspid)) != 0)
		ECO_ERROR(ECO_DROP_REFUSED,
				  errmsg("schema %s cannot be renamed", get_namespace_name(nspid)),
				  errdetail("The functions of the extension find its objects there."));
}

/* Where the extension is not, as beside a preloaded library, its names are anybody's. */
static bool
is_installed(void)
{
	return OidIsValid(get_extension_oid("economy", true));
}

static bool
is_own_schema(Oid nspid)
{
	return OidIsValid(nspid) && (nspid == get_namespace_oid("economy", true) ||
								 nspid == get_namespace_oid("economy_internal", true)) &&
		is_installed();
}

static bool
is_journal(Oid relid)
{
	if (get_rel_namespace(relid) != get_namespace_oid("economy", true) || !is_installed())
		return false;
	for (int i = 0; i < eco_journal_count(); i++)
		if (strcmp(get_rel_name(relid), eco_journal_get(i)->table->name) == 0)
			return true;
	return false;
}

/* The journal that the relation is, or holds entries of. */
static Oid
journal_above(Oid relid)
{
	while (OidIsValid(relid) && !is_journal(relid))
		relid = parent_of(relid);
	return relid;
}

/*
 * The first parent, or none.  Others are not looked at: a DBA has no reason to
 * let a table inherit from a journal and from something else.
 */
static Oid
parent_of(Oid relid)
{
	Relation	inherits = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			result = InvalidOid;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
		result = ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent;
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	return result;
}

/*
 * Whether it still is one when the running command has ended, whose changes only
 * SnapshotSelf sees.
 */
static bool
is_child(Oid child, Oid parent)
{
	Relation	inherits = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(child));
	scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, SnapshotSelf, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent == parent;
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	return found;
}

static bool
holds_rows(Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	TableScanDesc scan = table_beginscan(rel, GetLatestSnapshot(), 0, NULL);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	bool		result = table_scan_getnextslot(scan, ForwardScanDirection, slot);

	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	table_close(rel, NoLock);
	return result;
}

/* A catalog row as the command at work leaves it; the caches still have the old one. */
static HeapTuple
newest(Oid catalog, Oid index, AttrNumber column, Oid object_id)
{
	Relation	rel = table_open(catalog, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object_id));
	scan = systable_beginscan(rel, index, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return tuple;
}

void
eco_guard_let_prune(bool on)
{
	pruning = on;
}

bool
eco_guard_is(Oid function)
{
	char	   *name = get_func_name(function);

	return name != NULL && strcmp(name, "forbid_change") == 0 &&
		get_func_namespace(function) == get_namespace_oid("economy_internal", true);
}

void
eco_guard_install(void)
{
	previous_hook = object_access_hook;
	object_access_hook = guard_hook;
}

/*
 * DETACH PARTITION CONCURRENTLY tells no hook before its first transaction has committed,
 * and the partition is gone for all who look.
 */
static void
guard_concurrent_detach(const AlterTableStmt *statement)
{
	Oid			relid = RangeVarGetRelid(statement->relation, NoLock, true);
	ListCell   *lc;

	if (!OidIsValid(relid) || !is_journal(relid))
		return;
	foreach(lc, statement->cmds)
	{
		const AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_DetachPartition && castNode(PartitionCmd, cmd->def)->concurrent)
			refuse_detach(RangeVarGetRelid(castNode(PartitionCmd, cmd->def)->name, NoLock, false),
						  relid);
	}
}

/*
 * eco_guard_drop() returns event_trigger: being called loads the library, whose hook sees
 * all but that.
 */
Datum
eco_guard_drop(PG_FUNCTION_ARGS)
{
	if (CALLED_AS_EVENT_TRIGGER(fcinfo) && !eco_allow_drop)
	{
		const EventTriggerData *event = (const EventTriggerData *) fcinfo->context;

		if (IsA(event->parsetree, AlterTableStmt))
			guard_concurrent_detach((const AlterTableStmt *) event->parsetree);
	}
	PG_RETURN_VOID();
}

/* eco_forbid_change() returns trigger: refuse a change to a journal. */
Datum
eco_forbid_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("this function is a trigger"));
	if (pruning && TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		return PointerGetDatum(NULL);	/* no tuple, and not an SQL null */
	ECO_ERROR(ECO_JOURNAL_APPEND_ONLY,
			  errmsg("journal %s is append-only",
					 RelationGetRelationName(trigger->tg_relation)),
			  errdetail("Entries are never changed or removed; a correction is a new entry."),
			  errhint("Use economy.adjust_gold() to correct a balance."));
	return PointerGetDatum(NULL);
}
