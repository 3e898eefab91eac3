/*
 * installation.c
 *		Which life of the data this is, and positions in the feed.
 *
 * Keeps: whoever has posted an entry has recorded the installation, in the same
 * transaction or an earlier one.  Several may record it at once: rows of the
 * same number are as good as one, so nobody waits for anybody.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type_d.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/inval.h"

#include "errors.h"
#include "ledger/args.h"
#include "ledger/installation.h"
#include "ledger/journal.h"
#include "ledger/rows.h"

/* the installation's number; when it is not recorded, the next one, negated */
static const char *const number_sql =
"SELECT CASE WHEN n.mine > n.others THEN n.mine ELSE -(n.others + 1) END FROM (SELECT"
" coalesce(max(i.number) FILTER (WHERE (i.system, i.database, i.extension) = ($1, $2, $3)), 0),"
" coalesce(max(i.number) FILTER (WHERE (i.system, i.database, i.extension) <> ($1, $2, $3)), 0)"
" FROM economy.installations i) n (mine, others)";

static const char *const record_sql =
"INSERT INTO economy.installations (system, database, extension, number, xact)"
" VALUES ($1, $2, $3, $4, $5)"
" RETURNING number";

static const char *const feed_sql =
"UPDATE economy.installations i SET pruned_xact = greatest(i.pruned_xact, $2),"
" pruned_by = pg_catalog.pg_current_xact_id()::text::bigint"
" WHERE i.number = $1";

/* written by feed_sql alone */
EcoTable	eco_feeds_to_tell = {.name = "installations"};

/* the installation that this backend last posted to; number 0: look it up */
static EcoInstallation known = {0};
static Oid	known_table = InvalidOid;
static uint64 recorded_by = 0;	/* our transaction that recorded it, until it
								 * ends */

PG_FUNCTION_INFO_V1(eco_position_of);

static void forget(Datum arg, Oid relid);
static void at_end(XactEvent event, void *arg);
static void at_end_of_savepoint(SubXactEvent event, SubTransactionId mine,
								SubTransactionId parent, void *arg);
static int64 look_up(EcoInstallation *here);
static void record(EcoInstallation *here, uint64 xid);

int64
eco_position_to_post(uint64 xid)
{
	static bool watching = false;

	if (known.number == 0)
	{
		EcoInstallation here;
		int64		number = look_up(&here);

		if (!watching)
		{
			CacheRegisterRelcacheCallback(forget, (Datum) 0);
			RegisterXactCallback(at_end, NULL);
			RegisterSubXactCallback(at_end_of_savepoint, NULL);
			watching = true;
		}
		if (number < 0)
			record(&here, xid);
		known_table = eco_table_oid("installations");
		known = here;
	}
	return ECO_FIRST_POSITION(known.number) + (int64) xid;
}

void
eco_installation_read(EcoInstallation *here)
{
	(void) look_up(here);
}

int64
eco_position_of_xid(int64 xid)
{
	EcoInstallation here;

	eco_installation_read(&here);
	return ECO_FIRST_POSITION(here.number) + xid;
}

/*
 * Fill in the installation; returns its number, negated when it is not recorded.
 */
static int64
look_up(EcoInstallation *here)
{
	Oid			types[3] = {INT8OID, OIDOID, OIDOID};
	Datum		values[3];
	int64		number;

	here->system = (int64) GetSystemIdentifier();
	here->database = MyDatabaseId;
	here->extension = get_extension_oid("economy", false);
	values[0] = Int64GetDatum(here->system);
	values[1] = ObjectIdGetDatum(here->database);
	values[2] = ObjectIdGetDatum(here->extension);
	number = DatumGetInt64(eco_run_as_owner(number_sql, 3, types, values));
	here->number = number < 0 ? -number : number;
	return number;
}

static void
record(EcoInstallation *here, uint64 xid)
{
	Oid			types[5] = {INT8OID, OIDOID, OIDOID, INT8OID, INT8OID};
	Datum		values[5] = {
		Int64GetDatum(here->system), ObjectIdGetDatum(here->database),
		ObjectIdGetDatum(here->extension), Int64GetDatum(here->number), Int64GetDatum((int64) xid)
	};

	(void) eco_run_as_owner(record_sql, 5, types, values);
	recorded_by = xid;
}

static void
forget(Datum arg, Oid relid)
{
	(void) arg;
	if (relid == InvalidOid || relid == known_table)
		known.number = 0;
}

static void
at_end(XactEvent event, void *arg)
{
	(void) arg;
	if (recorded_by == 0 || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
							 event != XACT_EVENT_PREPARE))
		return;
	recorded_by = 0;
	known.number = 0;
}

/* The row of a new installation may have been rolled back with the savepoint. */
static void
at_end_of_savepoint(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	(void) mine;
	(void) parent;
	(void) arg;
	if (event != SUBXACT_EVENT_ABORT_SUB || recorded_by == 0)
		return;
	recorded_by = 0;
	known.number = 0;
}

/*
 * eco_position_of(xact bigint) returns bigint
 *		The least position that entries of this transaction and later ones have;
 *		0, before all of them, for 0.
 */
Datum
eco_position_of(PG_FUNCTION_ARGS)
{
	int64		xid;

	eco_require_arg(fcinfo, 0, "xact");
	xid = PG_GETARG_INT64(0);
	PG_RETURN_INT64(xid == 0 ? 0 : eco_position_of_xid(xid));
}

void
eco_gone_feed_begin(EcoGoneFeed *feed)
{
	EcoInstallation here;

	eco_installation_read(&here);
	feed->installation = here.number;
	feed->newest = 0;
}

int64
eco_gone_feed_xact(const EcoGoneFeed *feed, const EcoRow *row)
{
	int64		first = ECO_FIRST_POSITION(feed->installation) + 1;

	return eco_row_int(row, ECO_COL_POSITION) >= first ? eco_row_int(row, ECO_COL_XACT) : 0;
}

void
eco_gone_feed_tell(const EcoGoneFeed *feed)
{
	Oid			types[2] = {INT8OID, INT8OID};
	Datum		values[2] = {Int64GetDatum(feed->installation), Int64GetDatum(feed->newest)};

	if (feed->newest > 0)
		(void) eco_run_as_owner(feed_sql, 2, types, values);
}
