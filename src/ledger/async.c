/*
 * async.c
 *		Which transactions may commit without waiting for the disk.
 *
 * economy.async_commit names a class of entries.  A transaction that has made such
 * entries and has written nothing else at all commits as with synchronous_commit =
 * off: what stands beside them, a row of the app, a user, a product, a key, is never
 * less durable than it would be without the setting.  Written is what put records
 * into WAL; those between the opening and the closing of a call's tables are of its
 * entries, if it made any.
 *
 * A crash then takes the newest commits, and all that follows one that it takes: WAL
 * has one order, so no chain and no balance is ever torn.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/instrument.h"
#include "utils/guc.h"

#include "ledger/async.h"
#include "settings.h"

/* of the current transaction */
static uint64 entries = 0;
static bool others = false;		/* something else was written */
static bool only_light = true;	/* all entries are of the class `actions` */

static uint64 entries_before = 0;	/* when the call began */
static int64 records_before = 0;
static int64 records_known = 0; /* of the calls, and of transactions before */

static void at_end_of_transaction(XactEvent event, void *arg);

void
eco_async_install(void)
{
	RegisterXactCallback(at_end_of_transaction, NULL);
}

void
eco_async_enter(void)
{
	others |= pgWalUsage.wal_records != records_known;
	records_before = pgWalUsage.wal_records;
	entries_before = entries;
}

void
eco_async_leave(bool may_write)
{
	records_known = pgWalUsage.wal_records;
	others |= may_write && entries == entries_before && records_known != records_before;
}

void
eco_async_note(const EcoJournal *journal)
{
	entries++;
	only_light &= journal->light;
}

void
eco_async_forbid(void)
{
	others = true;
	ForceSyncCommit();
}

static bool
may_be_async(void)
{
	if (entries == 0 || others || pgWalUsage.wal_records != records_known)
		return false;
	return eco_async_commit == ECO_ASYNC_ALL ||
		(eco_async_commit == ECO_ASYNC_ACTIONS && only_light);
}

static void
at_end_of_transaction(XactEvent event, void *arg)
{
	(void) arg;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (may_be_async() && synchronous_commit > SYNCHRONOUS_COMMIT_OFF)
				(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
										 GUC_ACTION_LOCAL, true, 0, false);
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			entries = 0;
			others = false;
			only_light = true;
			records_known = pgWalUsage.wal_records;
			break;
		default:
			break;
	}
}
