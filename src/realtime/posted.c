/*
 * posted.c
 *		The entries that the current transaction has posted, until it ends.
 *
 * Nothing is told of rolled-back work: a savepoint's entries leave the list
 * with it.  Just before the commit what is left goes into the relay's ring, or
 * is told by NOTIFY here, as economy.notify was when it was posted.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "fmgr.h"
#include "storage/proc.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "crash_point.h"
#include "event/event.h"
#include "ledger/async.h"
#include "ledger/stream.h"
#include "realtime/posted.h"
#include "realtime/ring.h"
#include "settings.h"

#define FIRST_CAPACITY 16
#define QUEUE_FULL 0.99
#define RING_TRIES 3

/* of the current transaction; memory of TopTransactionContext */
static EcoPosted *posted = NULL;
static int *levels = NULL;		/* nesting level of the savepoint of each */
static int	n_posted = 0;
static int	capacity = 0;
static bool has_live = false;	/* some of them are for the relay */
static EcoRing *woken = NULL;	/* to be woken after the commit */

static bool is_live(void);
static void note(const EcoJournal *journal, int64 user_id, int64 seq, bool live);
static void at_end_of_transaction(XactEvent event, void *arg);
static void at_end_of_savepoint(SubXactEvent event, SubTransactionId mine,
								SubTransactionId parent, void *arg);
static void hand_over(bool can_notify);
static void forget(void);

void
eco_posted_install(void)
{
	eco_entry_live_hook = is_live;
	eco_entry_posted_hook = note;
	RegisterXactCallback(at_end_of_transaction, NULL);
	RegisterSubXactCallback(at_end_of_savepoint, NULL);
}

/*
 * Whether the relay is to tell the entry.  With economy.notify = inline it is not,
 * unless others still wait for the relay, which this one must not overtake.  Those of
 * a batch are all asked about before the first is noted.
 */
static bool
is_live(void)
{
	if (eco_notify == ECO_NOTIFY_INLINE)
	{
		has_live = has_live || eco_ring_busy();
		return has_live;
	}
	return eco_notify == ECO_NOTIFY_RELAY && eco_ring_available();
}

static void
note(const EcoJournal *journal, int64 user_id, int64 seq, bool live)
{
	int			level = GetCurrentTransactionNestLevel();
	EcoPosted  *last = n_posted > 0 ? &posted[n_posted - 1] : NULL;

	if (eco_notify == ECO_NOTIFY_OFF)
		return;
	if (last != NULL && last->user_id == user_id && last->last + 1 == seq && last->live == live &&
		levels[n_posted - 1] == level)
	{
		last->last = seq;
		if (last->journal != journal->letter)
			last->journal = 0;
		return;
	}
	if (posted == NULL)
	{
		capacity = FIRST_CAPACITY;
		posted = MemoryContextAlloc(TopTransactionContext, sizeof(EcoPosted) * capacity);
		levels = MemoryContextAlloc(TopTransactionContext, sizeof(int) * capacity);
	}
	else if (n_posted == capacity)
	{
		/* a failing second repalloc must not leave a capacity that one lacks */
		posted = repalloc_huge(posted, sizeof(EcoPosted) * capacity * 2);
		levels = repalloc_huge(levels, sizeof(int) * capacity * 2);
		capacity *= 2;
	}
	has_live |= live;
	levels[n_posted] = level;
	posted[n_posted++] = (EcoPosted)
	{
		.user_id = user_id, .first = seq, .last = seq, .journal = journal->letter, .live = live
	};
}

static void
at_end_of_savepoint(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	(void) mine;
	(void) parent;
	(void) arg;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		while (n_posted > 0 && levels[n_posted - 1] >= level)
			n_posted--;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		for (int i = n_posted - 1; i >= 0 && levels[i] >= level; i--)
			levels[i] = level - 1;
}

static void
at_end_of_transaction(XactEvent event, void *arg)
{
	(void) arg;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			hand_over(true);
			ECO_CRASH_POINT("commit:before");
			break;
		case XACT_EVENT_PRE_PREPARE:

			/*
			 * NOTIFY cannot be prepared: without a relay it is left to
			 * replay()
			 */
			hand_over(false);
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			ECO_CRASH_POINT("commit:after");
			if (woken != NULL)
				eco_ring_wake(woken);
			forget();
			break;
		case XACT_EVENT_ABORT:
			forget();
			break;
		default:
			break;
	}
}

/* Those for the relay come first; returns how many. */
static int
put_live_first(void)
{
	EcoPosted  *sorted;
	int			n = 0;
	int			live = 0;

	for (int i = 0; i < n_posted; i++)
		live += posted[i].live;
	if (live == 0 || live == n_posted)
		return live;
	sorted = MemoryContextAllocHuge(TopTransactionContext, sizeof(EcoPosted) * n_posted);
	for (int i = 0; i < n_posted; i++)
		if (posted[i].live)
			sorted[n++] = posted[i];
	for (int i = 0; i < n_posted; i++)
		if (!posted[i].live)
			sorted[n++] = posted[i];
	posted = sorted;
	return live;
}

/* Put the first n into the ring; false when there is no relay to be had. */
static bool
hand_to_relay(int n)
{
	uint64		xid = U64FromFullTransactionId(GetTopFullTransactionId());
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < n; i++)
	{
		posted[i].xid = xid;
		posted[i].at = now;
	}
	/* a relay that is quick to find nothing gives its ring up before we put */
	for (int tries = 0; woken == NULL && tries < RING_TRIES; tries++)
	{
		EcoRing    *ring = eco_ring_attach();

		if (ring == NULL)
			return false;
		if (eco_ring_put(ring, posted, n))
			woken = ring;
	}
	return woken != NULL;
}

/*
 * Whether NOTIFY's queue has room.  With a full one the commit would fail, and what
 * was done counts for more than telling it, which replay() can do later.  Asked once
 * in a transaction.
 */
bool
eco_notify_has_room(void)
{
	static LocalTransactionId asked = InvalidLocalTransactionId;
	static bool room;

	if (asked == eco_my_lxid)
		return room;
	room = DatumGetFloat8(DirectFunctionCall1(pg_notification_queue_usage, (Datum) 0)) < QUEUE_FULL;
	asked = eco_my_lxid;
	if (!room)
		ereport(WARNING,
				(errmsg("the queue of NOTIFY is full: events are not sent"),
				 errhint("End the session that listens and is idle in a transaction; "
						 "clients read on with economy.replay() or economy.changes().")));
	return room;
}

/* Whether NOTIFY has something to tell of those from this one on. */
static bool
has_news(int first)
{
	EcoListener notifier = eco_notifier();

	for (int i = first; i < n_posted; i++)
		if (!eco_is_deaf_to(&notifier, posted[i].journal))
			return true;
	return false;
}

static void
hand_over(bool can_notify)
{
	EcoListener notifier = eco_notifier();
	EcoOpenTables *open;
	int			first;

	if (n_posted == 0)
		return;
	first = put_live_first();
	if (first > 0 && !hand_to_relay(first))
		first = 0;
	if (!can_notify || eco_notify == ECO_NOTIFY_OFF || !has_news(first) || !eco_notify_has_room())
		return;
	eco_async_forbid();
	PushActiveSnapshot(GetTransactionSnapshot());
	open = eco_told_open(ECO_READ);
	for (int i = first; i < n_posted; i++)
		eco_tell_entries(posted[i].journal, posted[i].user_id, posted[i].first,
						 posted[i].last, &notifier);
	eco_tables_close(open);
	PopActiveSnapshot();
}

static void
forget(void)
{
	posted = NULL;
	levels = NULL;
	n_posted = 0;
	has_live = false;
	capacity = 0;
	woken = NULL;
}
