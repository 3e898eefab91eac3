/*
 * ring.h
 *		Shared memory between the backends that post entries and the relay.
 *
 * One ring per database, of references to entries, and the relay's cursor.  A
 * backend puts its items in just before its transaction commits, while it still
 * holds the account, so a user's entries stand in the ring in the order of seq;
 * and whatever a snapshot sees was put in before that snapshot was taken.
 *
 * Beside the items stand the rows of their entries, as they were inserted, so that the
 * relay need not read them: by either way of row access what is inserted is what is
 * stored, or the call fails.  They are told by the same functions as rows that are read,
 * and nothing depends on their being here: an entry whose row is too large (flat.h), or
 * for which there is no room, is an item without rows, which are read.  Only the relay
 * frees what it reads, so it reads them where they are.
 *
 * The ring is only a fast way to what the journals say.  What it has no room
 * for, or no time to wait for, leaves a mark: transactions up to `late` may
 * have posted what it does not hold.  When one of them becomes visible the
 * relay reads the journals instead.  An item stays until it has been told, so
 * a relay that ends loses nothing.
 */
#ifndef ECO_RING_H
#define ECO_RING_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "realtime/cursor.h"

/* A user's entries first to last, posted by one transaction. */
typedef struct EcoPosted
{
	uint64		xid;			/* of the top transaction, with epoch */
	int64		user_id;
	int64		first;			/* rises as they are told; beyond last when
								 * all are */
	int64		last;
	TimestampTz at;
	uint64		rows;			/* where they are, in the order of seq: in the
								 * ring, or yet in the transaction's memory */
	uint32		rows_bytes;		/* 0: they are to be read */
	char		journal;		/* 0: of several */
	bool		live;			/* for the relay; else for NOTIFY at commit */
} EcoPosted;

/* A database's ring has room for so many bytes of rows, for each of its items. */
#define ECO_RING_ROW_BYTES 256

typedef struct EcoRing EcoRing;

typedef struct EcoRingCounters
{
	uint64		queued;			/* items */
	uint64		overflowed;		/* transactions that found the ring full */
	uint64		sent;			/* events */
	uint64		batches;		/* transactions of the relay that sent */
	uint64		fallbacks;		/* times it read the journals */
	uint64		read_back;		/* entries whose rows it has read */
	uint64		unserved;		/* times since the last relay that no worker
								 * was to be had */
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

/* The current database's ring has something to tell. */
extern bool eco_ring_busy(void);

/*
 * The current database's ring with a relay at it, started if need be, or NULL
 * when that is not possible (no preload, all rings taken, no worker to have).
 */
extern EcoRing *eco_ring_attach(void);

/*
 * Put items in, and their rows, from the memory that they are in, as far as there is room.
 * False when the ring was given to another database meanwhile.
 */
extern bool eco_ring_put(EcoRing *ring, const EcoPosted *items, int n, const char *rows);
extern void eco_ring_wake(EcoRing *ring);

/*
 * Ask a database's relay to end, because the database is to be dropped; and take that
 * back when the drop has failed.
 */
extern void eco_ring_dismiss(Oid database);
extern void eco_ring_recall(Oid database);

/* Copies the state of ring number i; false at the end or for a free one. */
extern bool eco_ring_state(int i, EcoRingState *state);
extern int	eco_ring_count(void);

/* The relay's side. */

/* Take a database's ring; NULL when it has none or another relay is at it. */
extern EcoRing *eco_ring_take(Oid database);

typedef enum EcoLeave
{
	ECO_LEAVE_IF_IDLE,			/* only when nothing is left to do */
	ECO_LEAVE,					/* the next event starts another relay */
	ECO_LEAVE_RESTARTED,		/* the postmaster will start it again */
	ECO_LEAVE_FOR_GOOD			/* the extension is gone: give the ring up,
								 * when nothing is left to do */
} EcoLeave;

/* False: it was not idle, and this relay goes on. */
extern bool eco_ring_leave(EcoRing *ring, EcoLeave how);
extern bool eco_ring_dismissed(EcoRing *ring);

/* Some of what was posted has not been told. */
extern bool eco_ring_waits(EcoRing *ring);

/* How the pair of the cursor is worked off. */
typedef enum EcoStage
{
	ECO_STAGE_NONE,				/* there is no pair: all that `old` sees was
								 * told */
	ECO_STAGE_RING,				/* what `new` sees is told from the ring */
	ECO_STAGE_JOURNALS			/* from the journals */
} EcoStage;

/* The cursor, copied into the current memory context. */
extern EcoStage eco_ring_cursor(EcoRing *ring, EcoCursor *cursor);

/*
 * Begin a pair, unless there is nothing to tell: then the cursor moves on and
 * there is none.  The snapshot is older than this call.
 */
extern EcoStage eco_ring_begin(EcoRing *ring, const EcoSnapshot *now);

/* What a transaction of the relay has sent; noted in the ring after its commit. */
typedef struct EcoSent
{
	uint64		events;
	uint64		read_back;
	TimestampTz oldest;			/* when the oldest was posted; 0: not known */
} EcoSent;

/* ECO_STAGE_JOURNALS: all entries of the pair up to this place were sent. */
extern void eco_ring_reached(EcoRing *ring, const EcoPlace *place, const EcoSent *sent);

/*
 * Copy up to max items, told ones too.  The first is number *from, or the oldest
 * that is still there, whose number is *from then.
 */
extern int	eco_ring_peek(EcoRing *ring, uint64 *from, EcoPosted *items, int max);

/* Rows of an item, which stay there until eco_ring_told() or eco_ring_finish(). */
extern const char *eco_ring_rows(EcoRing *ring, const EcoPosted *item);

/*
 * ECO_STAGE_RING: these items, which eco_ring_peek() copied from number `from`, were
 * sent as far as their `first` and `rows` say.
 */
extern void eco_ring_told(EcoRing *ring, uint64 from, const EcoPosted *items, int n,
						  const EcoSent *sent);

/*
 * All that `new` sees was told: the pair is over.  Its items leave the ring, and so
 * do those that have waited for too long, which the journals tell instead.
 */
extern void eco_ring_finish(EcoRing *ring);

/* Nobody is there to be told: what this snapshot sees counts as told. */
extern void eco_ring_pass_over(EcoRing *ring, const EcoSnapshot *now);

#endif
