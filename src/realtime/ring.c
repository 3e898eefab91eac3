/*
 * ring.c
 *		Shared memory between the backends that post entries and the relay.
 */
#include "postgres.h"

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

/* after this a worker that did not report is asked for again */
#define START_PATIENCE_MS 10000

struct EcoRing
{
	LWLock	   *lock;
	Oid			database;		/* InvalidOid: free */
	int			relay_pid;
	Latch	   *relay_latch;
	TimestampTz started_at;		/* a relay was asked for; 0: was not */
	bool		dismissed;
	bool		knows_prepared;
	uint64		head;			/* items ever put in */
	uint64		tail;			/* items ever taken out */
	uint64		lost;			/* see eco_ring_peek() */
	uint64		kept;			/* see eco_ring_keeping() */
	EcoRingCounters counters;
	char		covered[ECO_COVERED_BYTES];
	EcoPosted	items[FLEXIBLE_ARRAY_MEMBER];
};

static void request_memory(void);
static void start_up(void);
static EcoRing *ring_number(int i);
static EcoRing *find(Oid database);
static EcoRing *occupy(Oid database);
static bool begin(EcoRing *ring, Oid dropped, Oid database, const char *snapshot);
static bool needs_relay(EcoRing *ring);
static bool start_relay(EcoRing *ring);

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;
static char *rings = NULL;
static EcoRing *my_ring = NULL;

static Size
ring_bytes(void)
{
	return MAXALIGN(offsetof(EcoRing, items) + mul_size(sizeof(EcoPosted), eco_ring_size));
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

/* True at most once until the relay is there or patience is over; locked. */
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
	return ring->head == ring->tail && ring->lost == 0 && ring->kept == 0 && ring->started_at == 0;
}

/* Nobody's, or nobody would miss it; locked.  dropped: a database that is gone. */
static bool
is_free(EcoRing *ring, Oid dropped)
{
	if (!OidIsValid(ring->database))
		return true;
	return ring->relay_pid == 0 && (is_idle(ring) || ring->database == dropped);
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
 * Give the database a ring, if there is one.  What is visible in the snapshot
 * needs not be sent by its relay.  Catalogs are read before the lock is taken:
 * under it nothing may wait, or fail.
 */
static EcoRing *
occupy(Oid database)
{
	Oid		   *dropped = dropped_databases();
	char	   *snapshot;
	EcoRing    *ring;

	PushActiveSnapshot(GetTransactionSnapshot());
	snapshot = eco_snapshot_text();
	PopActiveSnapshot();
	LWLockAcquire(directory_lock(), LW_EXCLUSIVE);
	ring = find(database);
	for (int i = 0; ring == NULL && i < eco_ring_count(); i++)
		if (begin(ring_number(i), dropped[i], database, snapshot))
			ring = ring_number(i);
	LWLockRelease(directory_lock());
	return ring;
}

/* Begin a free ring anew; false when it is not free. */
static bool
begin(EcoRing *ring, Oid dropped, Oid database, const char *snapshot)
{
	int			xmin_len = (int) strcspn(snapshot, ":");
	bool		free;

	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	free = is_free(ring, dropped);
	if (free)
	{
		ring->dismissed = false;
		ring->knows_prepared = false;
		ring->relay_pid = 0;
		ring->relay_latch = NULL;
		ring->started_at = 0;
		ring->head = ring->tail = 0;
		ring->lost = ring->kept = 0;
		memset(&ring->counters, 0, sizeof(ring->counters));

		/*
		 * one that does not fit: that all is told from the oldest on is as
		 * true
		 */
		snprintf(ring->covered, ECO_COVERED_BYTES, "%.*s:%.*s:", xmin_len, snapshot, xmin_len, snapshot);
		eco_ring_cover(ring, snapshot);
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
	LWLockRelease(ring->lock);
	return false;
}

bool
eco_ring_put(EcoRing *ring, const EcoPosted *items, int n)
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
		ring->lost = Max(ring->lost, items[0].xid);
		ring->counters.overflowed++;
	}
	else
	{
		for (int i = 0; i < n; i++)
			ring->items[ring->head++ % eco_ring_size] = items[i];
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

void
eco_ring_dismiss(Oid database)
{
	EcoRing    *ring = find(database);

	if (ring == NULL)
		return;
	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	if (ring->database == database)
		ring->dismissed = true;
	LWLockRelease(ring->lock);
	eco_ring_wake(ring);
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
	/* what the relay before us kept went with it */
	ring->lost = Max(ring->lost, ring->kept);
	ring->kept = 0;
	LWLockRelease(ring->lock);
	return ring;
}

bool
eco_ring_leave(EcoRing *ring, EcoLeave how)
{
	bool		leaves;

	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	ring->started_at = 0;
	if (how == ECO_LEAVE_IF_IDLE)
		leaves = is_idle(ring);
	else
		leaves = how == ECO_LEAVE_RESTARTED || ring->head == ring->tail;
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

int
eco_ring_peek(EcoRing *ring, EcoPosted *items, int max, uint64 *lost)
{
	int			n = 0;

	LWLockAcquire(ring->lock, LW_SHARED);
	*lost = ring->lost;
	while (n < max && ring->tail + n < ring->head)
	{
		items[n] = ring->items[(ring->tail + n) % eco_ring_size];
		n++;
	}
	LWLockRelease(ring->lock);
	return n;
}

void
eco_ring_done(EcoRing *ring, int n, uint64 sent, int64 lag_us, bool fallback)
{
	EcoRingCounters *counters = &ring->counters;

	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	ring->tail += n;
	counters->sent += sent;
	counters->batches += sent > 0;
	counters->fallbacks += fallback;
	if (lag_us >= 0)
	{
		counters->lag_us = lag_us;
		counters->max_lag_us = Max(counters->max_lag_us, lag_us);
	}
	LWLockRelease(ring->lock);
}

void
eco_ring_lose(EcoRing *ring, uint64 xid)
{
	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	ring->lost = Max(ring->lost, xid);
	LWLockRelease(ring->lock);
}

void
eco_ring_note_prepared(EcoRing *ring)
{
	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	ring->knows_prepared = true;
	LWLockRelease(ring->lock);
}

bool
eco_ring_knows_prepared(void)
{
	EcoRing    *ring = find(MyDatabaseId);

	return ring != NULL && ring->knows_prepared;
}

void
eco_ring_found(EcoRing *ring, uint64 lost)
{
	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	if (ring->lost == lost)
		ring->lost = 0;
	LWLockRelease(ring->lock);
}

void
eco_ring_keeping(EcoRing *ring, uint64 xid)
{
	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	ring->kept = xid;
	LWLockRelease(ring->lock);
}

/* Only the relay reads and writes it, once there is one. */
void
eco_ring_covered(EcoRing *ring, char *snapshot)
{
	strlcpy(snapshot, ring->covered, ECO_COVERED_BYTES);
}

/* One that does not fit is left out: an older snapshot is as true. */
void
eco_ring_cover(EcoRing *ring, const char *snapshot)
{
	if (strlen(snapshot) < ECO_COVERED_BYTES)
		strcpy(ring->covered, snapshot);
}
