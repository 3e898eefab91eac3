/*
 * ring.c
 *		Shared memory between the backends that post entries and the relay.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/twophase.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "realtime/ring.h"
#include "realtime/snapshot.h"
#include "settings.h"

#define TRANCHE "economy_ring"

/* a relay that has not come up after so long is started again */
#define START_PATIENCE_MS 10000

/* an item whose transaction is not seen to end for so long is left to the journals */
#define PATIENCE_MS 5000

struct EcoRing
{
	LWLock	   *lock;
	Oid			database;		/* InvalidOid: free */
	int			relay_pid;
	Latch	   *relay_latch;
	TimestampTz started_at;		/* a relay was asked for; 0: was not */
	bool		dismissed;
	uint64		head;			/* items ever put in */
	uint64		tail;			/* items ever taken out */
	uint64		rows_end;		/* bytes of rows ever put in, and skipped */
	uint64		late;			/* see above; 0: none */
	TimestampTz late_since;
	EcoRingCounters counters;

	/* the cursor; once there is a relay, only it writes here */
	EcoStage	stage;
	EcoPlace	told;
	EcoSnapshot *old;
	EcoSnapshot *new;

	EcoPosted	items[FLEXIBLE_ARRAY_MEMBER];	/* then rows, and the two
												 * snapshots */
};

static void request_memory(void);
static void start_up(void);
static EcoRing *ring_number(int i);
static EcoRing *find(Oid database);
static EcoRing *occupy(Oid database);
static bool begin(EcoRing *ring, Oid dropped, Oid database, const EcoSnapshot *now);
static bool needs_relay(EcoRing *ring);
static bool start_relay(EcoRing *ring);

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;
static char *rings = NULL;
static EcoRing *my_ring = NULL;

static Size
items_bytes(void)
{
	return MAXALIGN(offsetof(EcoRing, items) + mul_size(sizeof(EcoPosted), eco_ring_size));
}

static Size
rows_bytes(void)
{
	return mul_size(ECO_RING_ROW_BYTES, eco_ring_size);
}

/* As many transactions as can run at once. */
static Size
snapshot_bytes(void)
{
	return MAXALIGN(eco_snapshot_bytes(MaxBackends + NUM_AUXILIARY_PROCS + max_prepared_xacts + 1));
}

static Size
ring_bytes(void)
{
	return add_size(add_size(items_bytes(), rows_bytes()), mul_size(snapshot_bytes(), 2));
}

void
eco_ring_install(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_up;
}

static void
request_memory(void)
{
	if (previous_request_hook != NULL)
		previous_request_hook();
	RequestAddinShmemSpace(mul_size(ring_bytes(), eco_relay_databases));
	RequestNamedLWLockTranche(TRANCHE, eco_relay_databases + 1);
}

static void
start_up(void)
{
	LWLockPadded *locks;
	bool		found;

	if (previous_startup_hook != NULL)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	rings = ShmemInitStruct("economy rings", mul_size(ring_bytes(), eco_relay_databases), &found);
	locks = GetNamedLWLockTranche(TRANCHE);
	for (int i = 0; !found && i < eco_relay_databases; i++)
	{
		EcoRing    *ring = ring_number(i);

		memset(ring, 0, offsetof(EcoRing, items));
		ring->old = (EcoSnapshot *) ((char *) ring + items_bytes() + rows_bytes());
		ring->new = (EcoSnapshot *) ((char *) ring->old + snapshot_bytes());
		/* the first lock guards who has which ring */
		ring->lock = &locks[i + 1].lock;
	}
	LWLockRelease(AddinShmemInitLock);
}

static EcoRing *
ring_number(int i)
{
	return (EcoRing *) (rings + i * ring_bytes());
}

static LWLock *
directory_lock(void)
{
	return &GetNamedLWLockTranche(TRANCHE)[0].lock;
}

bool
eco_ring_available(void)
{
	return rings != NULL;
}

int
eco_ring_count(void)
{
	return rings == NULL ? 0 : eco_relay_databases;
}

static EcoRing *
find(Oid database)
{
	for (int i = 0; i < eco_ring_count(); i++)
		if (ring_number(i)->database == database)
			return ring_number(i);
	return NULL;
}

EcoRing *
eco_ring_attach(void)
{
	bool		ask;

	if (rings == NULL)
		return NULL;
	if (my_ring == NULL || my_ring->database != MyDatabaseId)
	{
		my_ring = find(MyDatabaseId);
		if (my_ring == NULL)
			my_ring = occupy(MyDatabaseId);
		if (my_ring == NULL)
			return NULL;
	}
	if (my_ring->relay_pid != 0)
		return my_ring;
	LWLockAcquire(my_ring->lock, LW_EXCLUSIVE);
	ask = needs_relay(my_ring);
	LWLockRelease(my_ring->lock);
	return !ask || start_relay(my_ring) ? my_ring : NULL;
}

/* Whether to start a relay: true for one caller, until START_PATIENCE_MS; locked. */
static bool
needs_relay(EcoRing *ring)
{
	TimestampTz now = GetCurrentTimestamp();

	if (ring->relay_pid != 0 ||
		(ring->started_at != 0 &&
		 !TimestampDifferenceExceeds(ring->started_at, now, START_PATIENCE_MS)))
		return false;
	ring->started_at = now;
	/* its database is in use, so it was not dropped */
	ring->dismissed = false;
	return true;
}

static bool
is_idle(EcoRing *ring)
{
	return ring->head == ring->tail && ring->late == 0 && ring->stage == ECO_STAGE_NONE;
}

/*
 * Whether the ring may be given away: it has no database, or no relay and
 * either nothing to tell or a database that is gone (dropped); locked.
 */
static bool
is_free(EcoRing *ring, Oid dropped)
{
	if (!OidIsValid(ring->database))
		return true;
	return ring->relay_pid == 0 &&
		((is_idle(ring) && ring->started_at == 0) || ring->database == dropped);
}

/* The databases of the rings, where they do not exist any more. */
static Oid *
dropped_databases(void)
{
	Oid		   *dropped = palloc0(sizeof(Oid) * eco_ring_count());

	for (int i = 0; i < eco_ring_count(); i++)
	{
		Oid			database = ring_number(i)->database;

		if (OidIsValid(database) &&
			!SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database)))
			dropped[i] = database;
	}
	return dropped;
}

/*
 * Give the database a ring, if there is one.  Catalogs are read before the lock
 * is taken: under it nothing may wait, or fail.
 */
static EcoRing *
occupy(Oid database)
{
	Oid		   *dropped = dropped_databases();
	EcoSnapshot *now;
	EcoRing    *ring;

	PushActiveSnapshot(GetTransactionSnapshot());
	now = eco_snapshot_take();
	PopActiveSnapshot();
	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	ring = find(database);
	for (int i = 0; ring == NULL && i < eco_ring_count(); i++)
		if (begin(ring_number(i), dropped[i], database, now))
			ring = ring_number(i);
	LWLockRelease(directory_lock());
	return ring;
}

static void
set_snapshot(EcoSnapshot *place, const EcoSnapshot *snapshot)
{
	Assert(eco_snapshot_bytes(snapshot->n) <= snapshot_bytes());
	memcpy(place, snapshot, eco_snapshot_bytes(snapshot->n));
}

/* Some transaction up to `late` may still post, or become visible; locked. */
static bool
awaits_late(const EcoRing *ring)
{
	return ring->late >= ring->old->xmax ||
		(ring->old->n > 0 && ring->old->running[0] <= ring->late);
}

/* Transactions up to this one may have posted what the ring does not hold. */
static void
set_late(EcoRing *ring, uint64 xid, TimestampTz at)
{
	if (ring->late == 0)
		ring->late_since = at;
	ring->late = Max(ring->late, xid);
}

static void
forget_late(EcoRing *ring)
{
	if (!awaits_late(ring))
		ring->late = 0;
}

/*
 * Begin a free ring anew; false when it is not free.  What the snapshot sees ended
 * without this ring, and is not told.  Transactions that run in it count as late: one
 * may have been prepared before there was a ring, or have posted before it found this
 * one.
 */
static bool
begin(EcoRing *ring, Oid dropped, Oid database, const EcoSnapshot *now)
{
	uint64		mine = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	bool		free;

	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	free = is_free(ring, dropped);
	if (free)
	{
		ring->dismissed = false;
		ring->relay_pid = 0;
		ring->relay_latch = NULL;
		ring->started_at = 0;
		ring->head = ring->tail = 0;
		ring->rows_end = 0;
		memset(&ring->counters, 0, sizeof(ring->counters));
		ring->stage = ECO_STAGE_NONE;
		set_snapshot(ring->old, now);
		ring->late = 0;
		for (int i = 0; i < now->n; i++)
			if (now->running[i] != mine)
				set_late(ring, now->running[i], GetCurrentTimestamp());
		ring->database = database;
	}
	LWLockRelease(ring->lock);
	return free;
}

static bool
start_relay(EcoRing *ring)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	worker.bgw_main_arg = ObjectIdGetDatum(ring->database);
	strlcpy(worker.bgw_library_name, "economy", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "eco_relay_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "economy relay", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "economy relay", BGW_MAXLEN);
	if (RegisterDynamicBackgroundWorker(&worker, NULL))
		return true;
	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	ring->started_at = 0;
	ring->counters.unserved++;
	LWLockRelease(ring->lock);
	return false;
}

static EcoPosted *
item_at(EcoRing *ring, uint64 number)
{
	return &ring->items[number % eco_ring_size];
}

static char *
rows_at(EcoRing *ring, uint64 place)
{
	return (char *) ring + items_bytes() + place % rows_bytes();
}

/*
 * Find room for rows in one piece, between those that were put in last and those of the
 * oldest item; locked.
 */
static bool
find_room(EcoRing *ring, uint32 bytes)
{
	Size		size = rows_bytes();
	uint64		start = ring->rows_end;
	uint64		oldest;

	if (start % size + bytes > size)
		start += size - start % size;
	oldest = ring->head == ring->tail ? start : item_at(ring, ring->tail)->rows;
	if (start + bytes > oldest + size)
		return false;
	ring->rows_end = start;
	return true;
}

/* Put an item in, there being room for it; locked. */
static void
put_item(EcoRing *ring, const EcoPosted *item, const char *rows)
{
	bool		has_rows = item->rows_bytes > 0 && find_room(ring, item->rows_bytes);
	EcoPosted  *place = item_at(ring, ring->head);

	*place = *item;
	place->rows = ring->rows_end;
	place->rows_bytes = has_rows ? item->rows_bytes : 0;
	if (has_rows)
		memcpy(rows_at(ring, place->rows), rows + item->rows, item->rows_bytes);
	ring->rows_end += place->rows_bytes;
	ring->head++;
}

bool
eco_ring_put(EcoRing *ring, const EcoPosted *items, int n, const char *rows)
{
	bool		ask;

	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	if (ring->database != MyDatabaseId)
	{
		LWLockRelease(ring->lock);
		return false;
	}
	if (ring->head - ring->tail + n > (uint64) eco_ring_size)
	{
		set_late(ring, items[0].xid, items[0].at);
		ring->counters.overflowed++;
	}
	else
	{
		for (int i = 0; i < n; i++)
			put_item(ring, &items[i], rows);
		ring->counters.queued += n;
	}
	/* the relay may have gone to rest since we attached */
	ask = needs_relay(ring);
	LWLockRelease(ring->lock);
	if (ask)
		(void) start_relay(ring);
	return true;
}

void
eco_ring_wake(EcoRing *ring)
{
	Latch	   *latch = ring->relay_latch;

	if (latch != NULL)
		SetLatch(latch);
}

bool
eco_ring_busy(void)
{
	EcoRing    *ring = find(MyDatabaseId);
	bool		busy;

	if (ring == NULL)
		return false;
	LWLockAcquire(ring->lock, LW_SHARED);
	busy = ring->database == MyDatabaseId && !is_idle(ring);
	LWLockRelease(ring->lock);
	return busy;
}

static void
set_dismissed(Oid database, bool dismissed)
{
	EcoRing    *ring = find(database);
	bool		ask = false;

	if (ring == NULL)
		return;
	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	if (ring->database == database)
	{
		ring->dismissed = dismissed;
		ask = !dismissed && !is_idle(ring) && needs_relay(ring);
	}
	LWLockRelease(ring->lock);
	if (ask)
		(void) start_relay(ring);
	eco_ring_wake(ring);
}

void
eco_ring_dismiss(Oid database)
{
	set_dismissed(database, true);
}

void
eco_ring_recall(Oid database)
{
	set_dismissed(database, false);
}

bool
eco_ring_state(int i, EcoRingState *state)
{
	EcoRing    *ring = ring_number(i);

	LWLockAcquire(ring->lock, LW_SHARED);
	state->database = ring->database;
	state->relay_pid = ring->relay_pid;
	state->waiting = (int) (ring->head - ring->tail);
	state->counters = ring->counters;
	LWLockRelease(ring->lock);
	return OidIsValid(state->database);
}

EcoRing *
eco_ring_take(Oid database)
{
	EcoRing    *ring = find(database);

	if (ring == NULL)
		return NULL;
	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	if (ring->database != database || ring->relay_pid != 0 || ring->dismissed)
	{
		if (ring->database == database && ring->relay_pid == 0)
			ring->started_at = 0;
		LWLockRelease(ring->lock);
		return NULL;
	}
	ring->relay_pid = MyProcPid;
	ring->relay_latch = MyLatch;
	ring->counters.unserved = 0;
	LWLockRelease(ring->lock);
	return ring;
}

bool
eco_ring_leave(EcoRing *ring, EcoLeave how)
{
	bool		leaves;

	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	leaves = how == ECO_LEAVE || how == ECO_LEAVE_RESTARTED || is_idle(ring);
	ring->started_at = 0;
	if (leaves)
	{
		ring->relay_pid = 0;
		ring->relay_latch = NULL;
		if (how == ECO_LEAVE_RESTARTED)
			ring->started_at = GetCurrentTimestamp();
		if (how == ECO_LEAVE_FOR_GOOD)
			ring->database = InvalidOid;
	}
	LWLockRelease(ring->lock);
	return leaves;
}

bool
eco_ring_dismissed(EcoRing *ring)
{
	return ring->dismissed;
}

bool
eco_ring_waits(EcoRing *ring)
{
	bool		waits;

	LWLockAcquire(ring->lock, LW_SHARED);
	waits = !is_idle(ring);
	LWLockRelease(ring->lock);
	return waits;
}

EcoStage
eco_ring_cursor(EcoRing *ring, EcoCursor *cursor)
{
	cursor->old = eco_snapshot_copy(ring->old);
	cursor->new = ring->stage == ECO_STAGE_NONE ? NULL : eco_snapshot_copy(ring->new);
	cursor->told = ring->told;
	return ring->stage;
}

EcoStage
eco_ring_begin(EcoRing *ring, const EcoSnapshot *now)
{
	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	if (ring->late != 0 && eco_snapshot_news_up_to(ring->old, now, ring->late))
	{
		ring->stage = ECO_STAGE_JOURNALS;
		ring->told = eco_place_before_all;
		ring->counters.fallbacks++;
	}
	else if (ring->head != ring->tail)
		ring->stage = ECO_STAGE_RING;
	if (ring->stage == ECO_STAGE_NONE)
	{
		set_snapshot(ring->old, now);
		forget_late(ring);
	}
	else
		set_snapshot(ring->new, now);
	LWLockRelease(ring->lock);
	return ring->stage;
}

static void
count(EcoRing *ring, const EcoSent *sent, TimestampTz oldest)
{
	EcoRingCounters *counters = &ring->counters;

	counters->sent += sent->events;
	counters->read_back += sent->read_back;
	counters->batches += sent->events > 0;
	if (sent->events == 0)
		return;
	counters->lag_us = GetCurrentTimestamp() - oldest;
	counters->max_lag_us = Max(counters->max_lag_us, counters->lag_us);
}

void
eco_ring_reached(EcoRing *ring, const EcoPlace *place, const EcoSent *sent)
{
	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	ring->told = *place;
	count(ring, sent, ring->late_since);
	LWLockRelease(ring->lock);
}

static bool
is_told(const EcoPosted *item)
{
	return item->first > item->last;
}

/* Take told items out at the start of the ring; locked. */
static void
trim(EcoRing *ring)
{
	while (ring->tail < ring->head && is_told(item_at(ring, ring->tail)))
		ring->tail++;
}

int
eco_ring_peek(EcoRing *ring, uint64 *from, EcoPosted *items, int max)
{
	int			n = 0;

	LWLockAcquire(ring->lock, LW_SHARED);
	*from = Max(*from, ring->tail);
	for (uint64 i = *from; n < max && i < ring->head; i++)
		items[n++] = *item_at(ring, i);
	LWLockRelease(ring->lock);
	return n;
}

const char *
eco_ring_rows(EcoRing *ring, const EcoPosted *item)
{
	return rows_at(ring, item->rows);
}

void
eco_ring_told(EcoRing *ring, uint64 from, const EcoPosted *items, int n, const EcoSent *sent)
{
	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	for (int i = 0; i < n; i++)
		*item_at(ring, from + i) = items[i];
	trim(ring);
	count(ring, sent, sent->oldest);
	LWLockRelease(ring->lock);
}

/* Take told items out between those that wait, so that the ring does not fill; locked. */
static void
compact(EcoRing *ring)
{
	uint64		start = ring->head;

	for (uint64 i = ring->head; i-- > ring->tail;)
		if (!is_told(item_at(ring, i)))
			*item_at(ring, --start) = *item_at(ring, i);
	ring->tail = start;
}

/*
 * Take out the items that the snapshot sees, which are told, and those that have
 * waited for too long, whose transactions are late from now on; locked.
 */
static void
settle(EcoRing *ring, const EcoSnapshot *told)
{
	TimestampTz now = GetCurrentTimestamp();

	for (uint64 i = ring->tail; i < ring->head; i++)
	{
		EcoPosted  *item = item_at(ring, i);

		if (is_told(item))
			continue;
		if (!eco_snapshot_sees(told, item->xid))
		{
			if (!TimestampDifferenceExceeds(item->at, now, PATIENCE_MS))
				continue;
			set_late(ring, item->xid, now);
		}
		item->first = item->last + 1;
	}
	compact(ring);
	if (told != ring->old)
		set_snapshot(ring->old, told);
	if (ring->stage == ECO_STAGE_JOURNALS)
		ring->late_since = now;
	ring->stage = ECO_STAGE_NONE;
	forget_late(ring);
}

void
eco_ring_finish(EcoRing *ring)
{
	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	settle(ring, ring->new);
	LWLockRelease(ring->lock);
}

void
eco_ring_pass_over(EcoRing *ring, const EcoSnapshot *now)
{
	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	settle(ring, now);
	LWLockRelease(ring->lock);
}
