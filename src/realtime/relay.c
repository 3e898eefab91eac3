/*
 * relay.c
 *		The background worker that tells a database's listeners.
 *
 * It sends NOTIFY, many in one transaction, so that no purchase ever meets
 * NOTIFY's lock.  Its cursor is that of every reader of the journals: what
 * `old` sees was told.  With a new snapshot the pair is worked off, by the
 * items of the ring, or by the journals when something that the snapshot sees
 * may be missing there.  One step is one transaction; in between it looks for
 * whatever wants it to leave.
 *
 * What it sends is on disk: an event never tells of what a crash takes.
 *
 * What one step sends is noted in the ring after its commit: a relay that dies
 * in between sends it again, and a client knows it by its sequence.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_database.h"
#include "commands/async.h"
#include "commands/extension.h"
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
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "event/event.h"
#include "ledger/flat.h"
#include "ledger/installation.h"
#include "ledger/stream.h"
#include "realtime/feed.h"
#include "realtime/flush.h"
#include "realtime/relay.h"
#include "realtime/ring.h"
#include "settings.h"

#define BATCH_ITEMS		4096	/* read from the ring at once */
#define BATCH_ENTRIES	2000	/* told in one transaction */
#define LINGER_MS		2		/* between steps, so that they fill */
#define WAITING_MS		100		/* look at unfinished transactions */
#define IDLE_MS			1000	/* look whether anybody is left */

/* What entries are told from, beside the rows that were handed over. */
typedef enum Needs
{
	NEEDS_NOTHING,
	NEEDS_TABLES,				/* such as level curves */
	NEEDS_JOURNALS				/* the rows are to be read */
} Needs;

typedef struct Relay
{
	EcoRing    *ring;
	MemoryContext step_context; /* reset with every step */
	EcoPosted  *items;			/* BATCH_ITEMS */

	/* the pair on its way; shared memory knows it too */
	EcoStage	stage;
	EcoCursor	cursor;			/* memory of pair_context */
	MemoryContext pair_context;
	EcoFeed    *feed;			/* its reader, or NULL */
	uint64		next;			/* number of its next item of the ring */

	/* the step on its way */
	Needs		needs;			/* what is open for what has been gathered */
	EcoOpenTables *open;		/* NULL: nothing */
	EcoEntries	entries[ECO_TOLD_AT_ONCE];	/* to be told next */
	int			nentries;
	EcoSent		sent;
	XLogRecPtr	upto;			/* on disk before it is sent */

	bool		in_trouble;		/* the last step failed, and that was said */
	TimestampTz alone_since;	/* 0: somebody is connected */
} Relay;

PG_FUNCTION_INFO_V1(eco_relay_status);

static void run(Relay *relay);
static bool leaves(Relay *relay);
static void rest(Relay *relay, bool more);
static bool try_step(Relay *relay);
static bool step(Relay *relay);
static void open_for(Relay *relay, Needs needs);
static void end_transaction(Relay *relay);
static bool extension_exists(void);
static void forget_extension(Datum arg, Oid relation);
static bool without_extension(Relay *relay, const EcoSnapshot *now);
static void begin_pair(Relay *relay);
static void end_pair(Relay *relay);
static bool tell_from_ring(Relay *relay);
static bool tell_from_journals(Relay *relay);
static void count_and_notify(EcoListener *listener, const EcoEvent *event);
static void leave_ring(int code, Datum ring);
static void recall_at_abort(XactEvent event, void *arg);
static void dismiss_hook(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id,
						 void *arg);
static void utility_hook(PlannedStmt *statement, const char *query, bool read_only_tree,
						 ProcessUtilityContext context, ParamListInfo params,
						 QueryEnvironment *environment, DestReceiver *dest,
						 QueryCompletion *completion);

static bool extension_found = false;
static object_access_hook_type previous_hook = NULL;
static ProcessUtility_hook_type previous_utility_hook = NULL;

void
eco_relay_install(void)
{
	previous_hook = object_access_hook;
	object_access_hook = dismiss_hook;
	RegisterXactCallback(recall_at_abort, NULL);
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = utility_hook;
}

/* the database that the current transaction drops */
static Oid	dropping = InvalidOid;

/* Dismiss the relay of a dropped database, for which DROP DATABASE waits some seconds. */
static void
dismiss_hook(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (previous_hook != NULL)
		previous_hook(access, class_id, object_id, sub_id, arg);
	if (access != OAT_DROP || class_id != DatabaseRelationId)
		return;
	dropping = object_id;
	eco_ring_dismiss(object_id);
}

static void
recall_at_abort(XactEvent event, void *arg)
{
	(void) arg;
	if (event == XACT_EVENT_ABORT && OidIsValid(dropping))
		eco_ring_recall(dropping);
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT)
		dropping = InvalidOid;
}

static bool
is_commit_prepared(const PlannedStmt *statement)
{
	return IsA(statement->utilityStmt, TransactionStmt) &&
		((TransactionStmt *) statement->utilityStmt)->kind == TRANS_STMT_COMMIT_PREPARED;
}

/*
 * COMMIT PREPARED puts nothing into the ring, and after a restart there is none
 * that knows what was prepared: begin one, before it commits.
 */
static void
utility_hook(PlannedStmt *statement, const char *query, bool read_only_tree,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	EcoRing    *ring = NULL;

	if (is_commit_prepared(statement) && eco_notify == ECO_NOTIFY_RELAY &&
		OidIsValid(get_extension_oid("economy", true)))
		ring = eco_ring_attach();
	(previous_utility_hook != NULL ? previous_utility_hook : standard_ProcessUtility)
		(statement, query, read_only_tree, context, params, environment, dest, completion);
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
	/* the database may have a role for those who connect */
	SetConfigOption("role", "none", PGC_SUSET, PGC_S_OVERRIDE);

	CacheRegisterRelcacheCallback(forget_extension, (Datum) 0);
	relay.step_context = AllocSetContextCreate(TopMemoryContext, "economy relay step",
											   ALLOCSET_DEFAULT_SIZES);
	relay.pair_context = AllocSetContextCreate(TopMemoryContext, "economy relay pair",
											   ALLOCSET_DEFAULT_SIZES);
	relay.items = MemoryContextAlloc(TopMemoryContext, sizeof(EcoPosted) * BATCH_ITEMS);
	/* what a relay before us has begun */
	begin_pair(&relay);
	run(&relay);
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
		bool		more;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (leaves(relay))
			proc_exit(0);
		more = try_step(relay);
		MemoryContextReset(relay->step_context);
		rest(relay, more);
	}
}

/*
 * Whether something wants the relay to leave.  DROP DATABASE asks for it.  RENAME and
 * CREATE DATABASE ... TEMPLATE wait some seconds until nobody is connected: without
 * other sessions nobody listens, and the ring keeps what it has for the next relay.
 */
static bool
leaves(Relay *relay)
{
	TimestampTz now = GetCurrentTimestamp();

	if (eco_ring_dismissed(relay->ring))
		return eco_ring_leave(relay->ring, ECO_LEAVE);
	if (CountDBConnections(MyDatabaseId) > 0)
	{
		relay->alone_since = 0;
		return false;
	}
	if (relay->alone_since == 0)
		relay->alone_since = now;
	return eco_ring_leave(relay->ring, ECO_LEAVE_IF_IDLE) ||
		(TimestampDifferenceExceeds(relay->alone_since, now, IDLE_MS) &&
		 eco_ring_leave(relay->ring, ECO_LEAVE));
}

static void
rest(Relay *relay, bool more)
{
	bool		waiting = relay->stage != ECO_STAGE_NONE || eco_ring_waits(relay->ring);

	if (more)
		/* not by the latch: it would only be set again at once */
		(void) WaitLatch(NULL, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LINGER_MS, PG_WAIT_EXTENSION);
	else
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 waiting && !relay->in_trouble ? WAITING_MS : IDLE_MS, PG_WAIT_EXTENSION);
}

/*
 * Do a step; true when there is more to do at once.  One that fails, for instance
 * because NOTIFY's queue is full, is done again later: the ring has not noted it.
 */
static bool
try_step(Relay *relay)
{
	volatile bool more = false;

	pgstat_report_activity(STATE_RUNNING, "sending events");
	SetCurrentStatementStartTimestamp();
	PG_TRY();
	{
		more = step(relay);
		relay->in_trouble = false;
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		if (!relay->in_trouble)
			EmitErrorReport();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(TopMemoryContext);
		FlushErrorState();
		relay->open = NULL;
		relay->needs = NEEDS_NOTHING;
		begin_pair(relay);
		relay->in_trouble = true;
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	pgstat_report_activity(relay->in_trouble ? STATE_IDLEINTRANSACTION_ABORTED : STATE_IDLE, NULL);
	return more;
}

/*
 * One transaction.  Returns whether there is more to do at once.  The snapshot
 * is taken before the ring is read: whatever it sees was put in before.
 */
static bool
step(Relay *relay)
{
	EcoSnapshot *now;
	bool		more;

	relay->sent = (EcoSent)
	{
		0
	};
	relay->upto = InvalidXLogRecPtr;
	relay->nentries = 0;
	StartTransactionCommand();

	/*
	 * a full queue finds out that it has room when somebody asks, and else
	 * never
	 */
	if (relay->in_trouble)
		(void) DirectFunctionCall1(pg_notification_queue_usage, (Datum) 0);
	MemoryContextSwitchTo(relay->step_context);
	PushActiveSnapshot(GetTransactionSnapshot());
	now = eco_snapshot_take();
	PopActiveSnapshot();
	if (!extension_exists())
		return without_extension(relay, now);
	if (relay->stage == ECO_STAGE_NONE && eco_ring_begin(relay->ring, now) != ECO_STAGE_NONE)
		begin_pair(relay);
	if (relay->stage == ECO_STAGE_RING)
		more = tell_from_ring(relay);
	else if (relay->stage == ECO_STAGE_JOURNALS)
		more = tell_from_journals(relay);
	else
	{
		more = false;
		end_transaction(relay);
	}
	return more;
}

/*
 * Open what is needed, under a snapshot that is taken behind its locks: it sees what the
 * pair's does, and tables that were rewritten since.
 */
static void
open_for(Relay *relay, Needs needs)
{
	if (relay->open != NULL)
		eco_tables_close(relay->open);
	relay->open = NULL;
	relay->needs = NEEDS_NOTHING;
	if (needs == NEEDS_TABLES)
		relay->open = eco_tell_open(ECO_READ_FRESH);
	else if (needs == NEEDS_JOURNALS)
		relay->open = eco_told_open(ECO_READ_FRESH, ECO_ALL_USERS);
	relay->needs = needs;
}

static void
end_transaction(Relay *relay)
{
	open_for(relay, NEEDS_NOTHING);
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
}

/*
 * Looked up again when a relation has changed: an extension that goes takes its tables
 * with it, and of that everybody is told.
 */
static bool
extension_exists(void)
{
	AcceptInvalidationMessages();
	if (!extension_found)
		extension_found = OidIsValid(get_extension_oid("economy", true));
	return extension_found;
}

static void
forget_extension(Datum arg, Oid relation)
{
	(void) arg;
	(void) relation;
	extension_found = false;
}

/*
 * A step without the extension, which was dropped, or which a transaction that has not
 * ended creates.  What the step's snapshot sees counts as told: it is older than the
 * look for the extension, so a creation that it sees would have been found.
 */
static bool
without_extension(Relay *relay, const EcoSnapshot *now)
{
	eco_ring_pass_over(relay->ring, now);
	end_transaction(relay);
	begin_pair(relay);
	if (eco_ring_leave(relay->ring, ECO_LEAVE_FOR_GOOD))
		proc_exit(0);
	return false;
}

/* Go on with the pair that the ring holds, if any, of which nothing is read yet. */
static void
begin_pair(Relay *relay)
{
	MemoryContext old_context;

	if (relay->feed != NULL)
		eco_feed_end(relay->feed);
	relay->feed = NULL;
	relay->next = 0;
	MemoryContextReset(relay->pair_context);
	old_context = MemoryContextSwitchTo(relay->pair_context);
	relay->stage = eco_ring_cursor(relay->ring, &relay->cursor);
	MemoryContextSwitchTo(old_context);
}

static void
end_pair(Relay *relay)
{
	eco_ring_finish(relay->ring);
	begin_pair(relay);
}

static void
tell_gathered(Relay *relay)
{
	EcoListener listener = {count_and_notify, relay, eco_types_not_sent};

	if (relay->nentries > 0)
		eco_feed_tell(relay->entries, relay->nentries, &listener);
	relay->nentries = 0;
}

static Needs
needs_of(const EcoEntries *entries)
{
	const EcoJournal *journal = entries->letter == 0 ? NULL : eco_journal_of(entries->letter);

	if (entries->rows == NULL)
		return NEEDS_JOURNALS;
	return journal == NULL || eco_journal_reads_to_tell(journal) ? NEEDS_TABLES : NEEDS_NOTHING;
}

/* Tell entries, some at once; tell_gathered() tells the last ones. */
static void
gather(Relay *relay, const EcoEntries *entries)
{
	const EcoListener listener = {.deaf = eco_types_not_sent};

	if (eco_is_deaf_to(&listener, entries->letter, entries->rows == NULL))
		return;
	if (relay->nentries == ECO_TOLD_AT_ONCE)
		tell_gathered(relay);
	if (needs_of(entries) > relay->needs)
		open_for(relay, needs_of(entries));
	relay->entries[relay->nentries++] = *entries;
	if (entries->rows == NULL)
		relay->sent.read_back += entries->last - entries->first + 1;
}

/* Tell the entries of an item, at most *budget; those of an aborted transaction go. */
static void
tell_item(Relay *relay, EcoPosted *item, int *budget)
{
	EcoEntries	entries = {.user_id = item->user_id, .first = item->first, .letter = item->journal};
	int			n;

	if (!TransactionIdDidCommit(XidFromFullTransactionId(FullTransactionIdFromU64(item->xid))))
	{
		item->first = item->last + 1;
		return;
	}
	relay->upto = Max(relay->upto, eco_commit_place(item->xid));
	if (relay->sent.oldest == 0 || item->at < relay->sent.oldest)
		relay->sent.oldest = item->at;
	n = (int) Min(item->last - item->first + 1, *budget);
	*budget -= n;
	entries.last = item->first + n - 1;
	if (item->rows_bytes > 0)
		entries.rows = eco_ring_rows(relay->ring, item);
	gather(relay, &entries);
	if (item->rows_bytes > 0)
	{
		uint32		told = (uint32) (eco_flat_skip(entries.rows, n) - entries.rows);

		item->rows += told;
		item->rows_bytes -= told;
	}
	item->first += n;
}

static bool
tell_from_ring(Relay *relay)
{
	uint64		from = relay->next;
	int			n = eco_ring_peek(relay->ring, &from, relay->items, BATCH_ITEMS);
	int			budget = BATCH_ENTRIES;
	int			done = 0;

	while (done < n && budget > 0)
	{
		EcoPosted  *item = &relay->items[done];

		if (item->first <= item->last && eco_snapshot_sees(relay->cursor.new, item->xid))
			tell_item(relay, item, &budget);
		/* or the rest of it is for the next step */
		if (item->first > item->last || !eco_snapshot_sees(relay->cursor.new, item->xid))
			done++;
	}
	tell_gathered(relay);
	if (relay->sent.events > 0)
		XLogFlush(relay->upto);
	end_transaction(relay);
	eco_ring_told(relay->ring, from, relay->items, Min(done + 1, n), &relay->sent);
	relay->next = from + (uint64) done;
	if (done == n && n < BATCH_ITEMS)
		end_pair(relay);
	return relay->sent.events > 0 || relay->stage != ECO_STAGE_NONE;
}

static bool
tell_from_journals(Relay *relay)
{
	const EcoFeedEntry *entry = NULL;
	EcoPlace	place = relay->cursor.told;

	open_for(relay, NEEDS_JOURNALS);
	if (relay->feed == NULL)
	{
		EcoInstallation here;

		eco_installation_read(&here);
		relay->feed = eco_feed_begin(&relay->cursor, here.number, true);
	}
	for (int n = 0; n < BATCH_ENTRIES && (entry = eco_feed_next(relay->feed)) != NULL; n++)
	{
		EcoEntries	entries = eco_feed_entries(entry);

		gather(relay, &entries);
		place = entry->place;
	}
	tell_gathered(relay);
	if (relay->sent.events > 0)
		eco_flush_all();
	end_transaction(relay);
	eco_ring_reached(relay->ring, &place, &relay->sent);
	relay->cursor.told = place;
	if (entry == NULL)
		end_pair(relay);
	return true;
}

static void
count_and_notify(EcoListener *listener, const EcoEvent *event)
{
	Relay	   *relay = listener->arg;
	EcoListener notifier = eco_notifier();

	notifier.hear(&notifier, event);
	relay->sent.events++;
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
		Datum		values[12];
		bool		isnull[12] = {false};
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
		values[10] = Int64GetDatum((int64) c->unserved);
		values[11] = Int64GetDatum((int64) c->read_back);
		tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
	}
	return (Datum) 0;
}
