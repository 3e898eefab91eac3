/*
 * relay.c
 *		The background worker that tells a database's listeners.
 *
 * It takes items out of the ring, reads the entries they name and sends NOTIFY,
 * many in one transaction, so that no purchase ever meets NOTIFY's lock.  An
 * item waits until its transaction is visible.  When the ring was full, the
 * missing entries are read from the journals: all that is visible now and was
 * not when everything had been sent.
 *
 * What one batch sends is deleted from the ring after its commit; a relay that
 * dies in between sends it again, and a client knows it by its sequence.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_database.h"
#include "commands/async.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "ledger/stream.h"
#include "realtime/event.h"
#include "realtime/relay.h"
#include "realtime/ring.h"
#include "realtime/snapshot.h"
#include "settings.h"

#define BATCH_ITEMS		4096	/* taken out of the ring at once */
#define BATCH_ENTRIES	2000	/* told in one transaction */
#define LINGER_MS		2		/* between batches, so that they fill */
#define KEEPING_MS		100		/* look at unfinished transactions */
#define IDLE_MS			1000	/* look whether anybody is left */

typedef struct Relay
{
	EcoRing    *ring;
	MemoryContext batch_context;	/* reset with every batch */

	/* taken out of the ring and not told yet, in order */
	EcoPosted  *kept;
	int			nkept;
	int			max_kept;
	bool		due;			/* some of it could be told at once */

	/* the batch on its way */
	uint64		sent;
	TimestampTz oldest;			/* of its items; 0: none */
} Relay;

PG_FUNCTION_INFO_V1(eco_relay_status);

static void note_prepared(Relay *relay);
static void run(Relay *relay);
static bool extension_exists(Relay *relay, bool *awaited);
static void batch(Relay *relay);
static TransactionId short_xid(uint64 xid);
static void take_items(Relay *relay, uint64 *lost, int *taken);
static void tell_kept(Relay *relay, Snapshot snapshot);
static bool tell_part(Relay *relay, EcoPosted *item, int *budget);
static void note_kept(Relay *relay);
static void tell_missing(Relay *relay, uint64 lost);
static uint64 drop_visible(Relay *relay, Snapshot snapshot);
static uint64 tell_page(Relay *relay, const char *old, const char *new,
						int64 *user_id, int64 *seq);
static void count_and_notify(EcoListener *listener, const EcoEvent *event);
static void leave_ring(int code, Datum ring);
static void dismiss_hook(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg);
static void utility_hook(PlannedStmt * statement, const char *text, bool read_only_tree,
						 ProcessUtilityContext context, ParamListInfo params,
						 QueryEnvironment * environment, DestReceiver * dest, QueryCompletion * completion);

static object_access_hook_type previous_hook = NULL;
static ProcessUtility_hook_type previous_utility_hook = NULL;

void
eco_relay_install(void)
{
	previous_hook = object_access_hook;
	object_access_hook = dismiss_hook;
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = utility_hook;
}

/* DROP DATABASE waits some seconds for other sessions to end. */
static void
dismiss_hook(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (previous_hook != NULL)
		previous_hook(access, class_id, object_id, sub_id, arg);
	if (access == OAT_DROP && class_id == DatabaseRelationId)
		eco_ring_dismiss(object_id);
}

static bool
is_commit_prepared(const PlannedStmt * statement)
{
	return IsA(statement->utilityStmt, TransactionStmt) &&
		((TransactionStmt *) statement->utilityStmt)->kind == TRANS_STMT_COMMIT_PREPARED;
}

static uint64
newest_xid(void)
{
	return U64FromFullTransactionId(ReadNextFullTransactionId()) - 1;
}

/*
 * COMMIT PREPARED of what was prepared before a restart: it puts nothing into
 * the ring, so without a relay that has looked for such there must be one that
 * reads the journals.
 */
static void
utility_hook(PlannedStmt * statement, const char *text, bool read_only_tree,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment * environment, DestReceiver * dest, QueryCompletion * completion)
{
	EcoRing    *ring = NULL;

	if (is_commit_prepared(statement) && eco_notify == ECO_NOTIFY_RELAY &&
		!eco_ring_knows_prepared() && OidIsValid(get_extension_oid("economy", true)))
		ring = eco_ring_attach();
	if (ring != NULL)
		eco_ring_lose(ring, newest_xid());
	(previous_utility_hook != NULL ? previous_utility_hook : standard_ProcessUtility)
		(statement, text, read_only_tree, context, params, environment, dest, completion);
	if (ring != NULL)
		eco_ring_wake(ring);
}

/*
 * Ends with 0 when there is nothing to do here any more; the postmaster starts
 * it again after any other end.
 */
void
eco_relay_main(Datum arg)
{
	Relay		relay = {0};

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	/* after a crash or DROP DATABASE nobody waits for this relay */
	relay.ring = eco_ring_take(DatumGetObjectId(arg));
	if (relay.ring == NULL)
		proc_exit(0);
	before_shmem_exit(leave_ring, PointerGetDatum(relay.ring));
	/* where nobody may connect, it would fail every second and never leave */
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid,
											  BGWORKER_BYPASS_ALLOWCONN);
	pgstat_report_appname("economy relay");
	/* a NOTIFY that is lost in a crash has no listener left */
	SetConfigOption("synchronous_commit", "off", PGC_SUSET, PGC_S_OVERRIDE);
	/* a serializable reader can make a writer fail */
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);

	relay.batch_context = AllocSetContextCreate(TopMemoryContext, "economy relay batch",
												ALLOCSET_DEFAULT_SIZES);
	note_prepared(&relay);
	run(&relay);
}

/*
 * The ring does not outlive the server, but prepared transactions do: entries
 * of those that were prepared before it are missing from the ring.
 */
static void
note_prepared(Relay *relay)
{
	bool		some;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	if (SPI_execute("SELECT FROM pg_catalog.pg_prepared_xacts"
					" WHERE database OPERATOR(pg_catalog.=) pg_catalog.current_database()", true, 1) != SPI_OK_SELECT)
		ECO_ERROR(ECO_SCHEMA_DAMAGED, errmsg("could not read pg_prepared_xacts"));
	some = SPI_processed > 0;
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	if (some)
		eco_ring_lose(relay->ring, newest_xid());
	eco_ring_note_prepared(relay->ring);
}

static void
leave_ring(int code, Datum ring)
{
	if (code != 0)
		(void) eco_ring_leave((EcoRing *) DatumGetPointer(ring), ECO_LEAVE_RESTARTED);
}

static void
run(Relay *relay)
{
	for (;;)
	{
		uint64		sent_before = relay->sent;
		bool		alone;
		bool		awaited;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		/* DROP DATABASE fails over an open or prepared transaction */
		if (eco_ring_dismissed(relay->ring) && relay->nkept == 0 &&
			eco_ring_leave(relay->ring, ECO_LEAVE))
			proc_exit(0);
		if (!extension_exists(relay, &awaited))
		{
			if (!awaited && eco_ring_leave(relay->ring, ECO_LEAVE_FOR_GOOD))
				proc_exit(0);
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 KEEPING_MS, PG_WAIT_EXTENSION);
			continue;
		}
		batch(relay);
		if (relay->sent != sent_before || relay->due)
		{
			/* not by the latch: it would only be set again at once */
			(void) WaitLatch(NULL, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LINGER_MS, PG_WAIT_EXTENSION);
			continue;
		}
		alone = CountDBConnections(MyDatabaseId) == 0;
		if (alone && relay->nkept == 0 && eco_ring_leave(relay->ring, ECO_LEAVE_IF_IDLE))
			proc_exit(0);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 relay->nkept > 0 ? KEEPING_MS : IDLE_MS, PG_WAIT_EXTENSION);
	}
}

/*
 * Awaited: it does not exist, but a transaction that posted entries has not
 * ended, so it creates it.  The snapshot is the older one: what ended in it
 * has created or dropped the extension by the time we look.
 */
static bool
extension_exists(Relay *relay, bool *awaited)
{
	bool		exists;
	uint64		lost;
	Snapshot	snapshot;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	snapshot = GetActiveSnapshot();
	exists = OidIsValid(get_extension_oid("economy", true));
	if (!exists)
	{
		lost = drop_visible(relay, snapshot);
		*awaited = relay->nkept > 0 ||
			(lost != 0 && !TransactionIdFollows(snapshot->xmin, short_xid(lost)));
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
	return exists;
}

/*
 * One round.  The snapshot is taken before the ring is read: whatever it sees
 * was put in before.
 */
static void
batch(Relay *relay)
{
	MemoryContext old_context;
	uint64		sent_before = relay->sent;
	uint64		lost;
	int			taken;
	char	   *covered;

	pgstat_report_activity(STATE_RUNNING, "sending events");
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	old_context = MemoryContextSwitchTo(relay->batch_context);
	covered = eco_snapshot_text();
	take_items(relay, &lost, &taken);
	relay->oldest = 0;
	if (lost == 0)
		tell_kept(relay, GetActiveSnapshot());
	MemoryContextSwitchTo(old_context);
	PopActiveSnapshot();
	CommitTransactionCommand();

	note_kept(relay);
	eco_ring_done(relay->ring, taken, relay->sent - sent_before,
				  relay->oldest == 0 ? -1 : GetCurrentTimestamp() - relay->oldest, false);
	if (lost != 0)
		tell_missing(relay, lost);
	else if (!relay->due)
		eco_ring_cover(relay->ring, covered);
	MemoryContextReset(relay->batch_context);
	pgstat_report_activity(STATE_IDLE, NULL);
}

static TransactionId
short_xid(uint64 xid)
{
	return XidFromFullTransactionId(FullTransactionIdFromU64(xid));
}

/* From the ring to what is kept; due tells whether the ring has more. */
static void
take_items(Relay *relay, uint64 *lost, int *taken)
{
	if (relay->max_kept - relay->nkept < BATCH_ITEMS)
	{
		relay->max_kept = relay->nkept + BATCH_ITEMS;
		relay->kept = relay->kept == NULL ?
			MemoryContextAlloc(TopMemoryContext, sizeof(EcoPosted) * relay->max_kept) :
			repalloc_huge(relay->kept, sizeof(EcoPosted) * relay->max_kept);
	}
	*taken = eco_ring_peek(relay->ring, relay->kept + relay->nkept, BATCH_ITEMS, lost);
	relay->nkept += *taken;
	relay->due = *taken == BATCH_ITEMS;
}

/*
 * Tell what is visible, in order, as far as a batch goes.  Transactions that
 * have not ended stay, prepared ones among them; aborted ones go.
 */
static void
tell_kept(Relay *relay, Snapshot snapshot)
{
	int			budget = BATCH_ENTRIES;
	int			n = 0;

	for (int i = 0; i < relay->nkept; i++)
	{
		EcoPosted  *item = &relay->kept[i];
		TransactionId xid = short_xid(item->xid);

		if (budget > 0 && !XidInMVCCSnapshot(xid, snapshot) &&
			(!TransactionIdDidCommit(xid) || tell_part(relay, item, &budget)))
			continue;
		relay->due |= budget <= 0;
		relay->kept[n++] = *item;
	}
	relay->nkept = n;
}

/* True when all entries of the item have been told. */
static bool
tell_part(Relay *relay, EcoPosted *item, int *budget)
{
	EcoListener listener = {count_and_notify, relay};
	int64		last = Min(item->last, item->first + *budget - 1);
	EcoOpenTables *open = eco_stream_open(ECO_READ, NULL);

	if (relay->oldest == 0 || item->at < relay->oldest)
		relay->oldest = item->at;
	eco_tell_entries(item->journal, item->user_id, item->first, last, &listener);
	eco_tables_close(open);
	*budget -= (int) (last - item->first + 1);
	item->first = last + 1;
	return item->first > item->last;
}

static void
count_and_notify(EcoListener *listener, const EcoEvent *event)
{
	Relay	   *relay = listener->arg;

	eco_notifier.hear(&eco_notifier, event);
	relay->sent++;
}

/* What is kept would be lost with this process. */
static void
note_kept(Relay *relay)
{
	uint64		xid = 0;

	for (int i = 0; i < relay->nkept; i++)
		xid = Max(xid, relay->kept[i].xid);
	eco_ring_keeping(relay->ring, xid);
}

/*
 * Entries of transactions up to `lost` are missing from the ring.  Tell what
 * became visible since everything had been told, page by page, and forget the
 * items that this covers.  Again next time, until no transaction up to `lost`
 * is under way.
 */
static void
tell_missing(Relay *relay, uint64 lost)
{
	char		old[ECO_COVERED_BYTES];
	char	   *new = NULL;
	int64		user_id = PG_INT64_MIN;
	int64		seq = 0;
	uint64		told;
	bool		all_ended = false;

	eco_ring_covered(relay->ring, old);
	do
	{
		uint64		sent_before = relay->sent;
		MemoryContext old_context;

		CHECK_FOR_INTERRUPTS();
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		old_context = MemoryContextSwitchTo(relay->batch_context);
		if (new == NULL)
		{
			new = eco_snapshot_text();
			all_ended = TransactionIdFollows(GetActiveSnapshot()->xmin, short_xid(lost));
			(void) drop_visible(relay, GetActiveSnapshot());
		}
		told = tell_page(relay, old, new, &user_id, &seq);
		MemoryContextSwitchTo(old_context);
		PopActiveSnapshot();
		CommitTransactionCommand();
		eco_ring_done(relay->ring, 0, relay->sent - sent_before, -1, false);
	} while (told > 0);
	note_kept(relay);
	eco_ring_cover(relay->ring, new);
	eco_ring_done(relay->ring, 0, 0, -1, true);
	if (all_ended)
		eco_ring_found(relay->ring, lost);
}

/*
 * Empty the ring too: the rest of it is visible in part.  Returns what
 * eco_ring_peek() says of losses.
 */
static uint64
drop_visible(Relay *relay, Snapshot snapshot)
{
	uint64		lost;
	int			n = 0;

	do
	{
		int			taken;

		take_items(relay, &lost, &taken);
		note_kept(relay);
		eco_ring_done(relay->ring, taken, 0, -1, false);
	} while (relay->due);
	for (int i = 0; i < relay->nkept; i++)
		if (XidInMVCCSnapshot(short_xid(relay->kept[i].xid), snapshot))
			relay->kept[n++] = relay->kept[i];
	relay->nkept = n;
	return lost;
}

/* Entries told; *user_id and *seq move on to the last of them. */
static uint64
tell_page(Relay *relay, const char *old, const char *new, int64 *user_id, int64 *seq)
{
	EcoListener listener = {count_and_notify, relay};
	Oid			types[5] = {TEXTOID, TEXTOID, INT8OID, INT8OID, INT4OID};
	Datum		values[5] = {
		CStringGetTextDatum(old), CStringGetTextDatum(new),
		Int64GetDatum(*user_id), Int64GetDatum(*seq), Int32GetDatum(BATCH_ENTRIES)
	};
	EcoOpenTables *open = eco_stream_open(ECO_READ, NULL);
	uint64		n;

	SPI_connect();
	if (SPI_execute_with_args("SELECT e.user_id, e.seq, e.journal FROM economy.entries_between("
							  "$1::pg_catalog.pg_snapshot, $2::pg_catalog.pg_snapshot, $3, $4, $5) e",
							  5, types, values, NULL, true, 0) != SPI_OK_SELECT)
		ECO_ERROR(ECO_LEDGER_DAMAGED, errmsg("could not read the journals"));
	n = SPI_processed;
	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;

		*user_id = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
		*seq = DatumGetInt64(SPI_getbinval(tuple, desc, 2, &isnull));
		eco_tell_entries(DatumGetChar(SPI_getbinval(tuple, desc, 3, &isnull)),
						 *user_id, *seq, *seq, &listener);
	}
	SPI_finish();
	eco_tables_close(open);
	return n;
}

/*
 * eco_relay_status() returns setof record
 *		One row per database with a ring.
 */
Datum
eco_relay_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	EcoRingState state;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < eco_ring_count(); i++)
	{
		Datum		values[10];
		bool		isnull[10] = {false};
		EcoRingCounters *c = &state.counters;

		if (!eco_ring_state(i, &state))
			continue;
		values[0] = ObjectIdGetDatum(state.database);
		values[1] = Int32GetDatum(state.relay_pid);
		isnull[1] = state.relay_pid == 0;
		values[2] = Int32GetDatum(state.waiting);
		values[3] = Int64GetDatum((int64) c->queued);
		values[4] = Int64GetDatum((int64) c->sent);
		values[5] = Int64GetDatum((int64) c->overflowed);
		values[6] = Int64GetDatum((int64) c->batches);
		values[7] = Int64GetDatum((int64) c->fallbacks);
		values[8] = Float8GetDatum((double) c->lag_us / 1000.0);
		values[9] = Float8GetDatum((double) c->max_lag_us / 1000.0);
		tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
	}
	return (Datum) 0;
}
