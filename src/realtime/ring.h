/*
 * ring.h
 *		Shared memory between the backends that post entries and the relay.
 *
 * One ring per database, of references to entries: a backend puts them in just
 * before its transaction commits, while it still holds the account, so a
 * user's entries stand in the ring in the order of seq; and whatever a
 * snapshot sees was put in before that snapshot was taken.  The relay sends an
 * item when its own snapshot sees the transaction.
 */
#ifndef ECO_RING_H
#define ECO_RING_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* a snapshot as text: room for some 3,000 running transactions */
#define ECO_COVERED_BYTES 65536

/* A user's entries first to last, posted by one transaction. */
typedef struct EcoPosted
{
	uint64		xid;			/* of the top transaction, with epoch */
	int64		user_id;
	int64		first;
	int64		last;
	TimestampTz at;
	char		journal;		/* 0: of several */
} EcoPosted;

typedef struct EcoRing EcoRing;

typedef struct EcoRingCounters
{
	uint64		queued;			/* items */
	uint64		overflowed;		/* transactions that found the ring full */
	uint64		sent;			/* events */
	uint64		batches;		/* transactions of the relay that sent */
	uint64		fallbacks;		/* times it read the journals */
	int64		lag_us;			/* commit to NOTIFY, of the newest batch */
	int64		max_lag_us;
} EcoRingCounters;

typedef struct EcoRingState
{
	Oid			database;
	int			relay_pid;		/* 0: none */
	int			waiting;		/* items in the ring */
	EcoRingCounters counters;
} EcoRingState;

/* Reserve the shared memory; only while shared_preload_libraries load. */
extern void eco_ring_install(void);

/* The library was preloaded, so there are rings. */
extern bool eco_ring_available(void);

/*
 * The current database's ring with a relay at it, started if need be, or NULL
 * when that is not possible (no preload, all rings taken, no worker to have).
 */
extern EcoRing *eco_ring_attach(void);

/* False when the ring was given to another database meanwhile. */
extern bool eco_ring_put(EcoRing *ring, const EcoPosted *items, int n);
extern void eco_ring_wake(EcoRing *ring);

/* Ask a database's relay to end, because the database goes. */
extern void eco_ring_dismiss(Oid database);

/* Copies the state of ring number i; false at the end or for a free one. */
extern bool eco_ring_state(int i, EcoRingState *state);
extern int	eco_ring_count(void);

/* The relay's side. */

/* Take a database's ring; NULL when it has none or another relay is at it. */
extern EcoRing *eco_ring_take(Oid database);

typedef enum EcoLeave
{
	ECO_LEAVE_IF_IDLE,			/* only when nothing is left to do */
	ECO_LEAVE,					/* when it is empty; the next event starts
								 * another relay */
	ECO_LEAVE_RESTARTED,		/* the postmaster will start it again */
	ECO_LEAVE_FOR_GOOD			/* when it is empty; the extension is gone:
								 * give the ring up */
} EcoLeave;

/* False: it was not idle or empty, and this relay goes on. */
extern bool eco_ring_leave(EcoRing *ring, EcoLeave how);
extern bool eco_ring_dismissed(EcoRing *ring);

/*
 * Copy up to max items from the start of the ring.  *lost: entries of
 * transactions up to this one are missing from it (0: none).
 */
extern int	eco_ring_peek(EcoRing *ring, EcoPosted *items, int max, uint64 *lost);

/* Drop n items that have been dealt with, and count. */
extern void eco_ring_done(EcoRing *ring, int n, uint64 sent, int64 lag_us, bool fallback);

/* Entries of transactions up to this one are missing from the ring. */
extern void eco_ring_lose(EcoRing *ring, uint64 xid);

/*
 * Whether the relay has looked for transactions that were prepared before the
 * ring began, whose entries are missing too.  Knows: of the current database.
 */
extern void eco_ring_note_prepared(EcoRing *ring);
extern bool eco_ring_knows_prepared(void);

/* Nothing of transactions up to this one is missing any more. */
extern void eco_ring_found(EcoRing *ring, uint64 lost);

/*
 * Items that the relay took out but keeps because their transactions have not
 * ended: up to this xid they would be lost with it.
 */
extern void eco_ring_keeping(EcoRing *ring, uint64 xid);

/* One of these: everything visible in it has been sent. */
extern void eco_ring_covered(EcoRing *ring, char *snapshot);
extern void eco_ring_cover(EcoRing *ring, const char *snapshot);

#endif
