/*
 * guard.c
 *		Journals are append-only (I8) and do not vanish with DROP EXTENSION.
 *
 * The drop guard is an object access hook: it sees every way a journal can be
 * dropped, at a moment when its rows can still be read.  An event trigger on
 * the commands that can do it loads the library, so the hook is there also in
 * a session that has not used the extension.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/dependency.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class_d.h"
#include "catalog/namespace.h"
#include "commands/event_trigger.h"
#include "commands/trigger.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "errors.h"
#include "ledger/checkpoint.h"
#include "ledger/entry.h"
#include "ledger/guard.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(eco_forbid_change);
PG_FUNCTION_INFO_V1(eco_guard_drop);

static object_access_hook_type previous_hook = NULL;

static void
refuse_drop_with_rows(Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	TableScanDesc scan = table_beginscan(rel, GetLatestSnapshot(), 0, NULL);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	bool		has_rows = table_scan_getnextslot(scan, ForwardScanDirection, slot);

	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	if (has_rows)
		ECO_ERROR(ECO_DROP_REFUSED,
				  errmsg("journal economy.%s holds entries and would be lost",
						 RelationGetRelationName(rel)),
				  errhint("Back it up, then SET economy.allow_drop = on to drop it all the same."));
	table_close(rel, NoLock);
}

static void
guard_hook(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (previous_hook != NULL)
		previous_hook(access, class_id, object_id, sub_id, arg);
	if (access != OAT_DROP || class_id != RelationRelationId || sub_id != 0 ||
		eco_allow_drop)
		return;
	if (get_rel_namespace(object_id) != get_namespace_oid("economy", true) ||
		get_rel_relkind(object_id) != RELKIND_RELATION)
		return;
	for (int i = 0; i < eco_journal_count(); i++)
		if (strcmp(get_rel_name(object_id), eco_journal_get(i)->table->name) == 0)
			refuse_drop_with_rows(object_id);
}

void
eco_guard_install(void)
{
	previous_hook = object_access_hook;
	object_access_hook = guard_hook;
}

/* eco_guard_drop() returns event_trigger: being called loads the library. */
Datum
eco_guard_drop(PG_FUNCTION_ARGS)
{
	PG_RETURN_VOID();
}

/* eco_forbid_change() returns trigger: refuse a change to a journal. */
Datum
eco_forbid_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("this function is a trigger"));
	if (eco_pruning() && TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		return PointerGetDatum(NULL);	/* no tuple, and not an SQL null */
	ECO_ERROR(ECO_JOURNAL_APPEND_ONLY,
			  errmsg("journal %s is append-only",
					 RelationGetRelationName(trigger->tg_relation)),
			  errdetail("Entries are never changed or removed; a correction is a new entry."),
			  errhint("Use economy.adjust_gold() to correct a balance."));
	return PointerGetDatum(NULL);
}
