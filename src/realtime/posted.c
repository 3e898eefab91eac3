/*
 * posted.c
 *		The entries that the current transaction has posted, until it ends.
 *
 * Nothing is told of rolled-back work: a savepoint's entries leave the list
 * with it.  Just before the commit what is left goes into the relay's ring, or
 * is told by NOTIFY here, as economy.notify was when it was posted.
 *
 * With an entry its row is kept, so that nobody has to read it to tell of it.
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
#include "ledger/flat.h"
#include "ledger/stream.h"
#include "realtime/posted.h"
#include "realtime/ring.h"
#include "settings.h"

#define FIRST_CAPACITY 16
#define FIRST_ROOM (ECO_FLAT_MAX * 2)
#define ROWS_OF_ITEM 65536		/* in one piece */
#define QUEUE_FULL 0.99
#define RING_TRIES 3

/* of the current transaction; memory of TopTransactionContext */
static EcoPosted *posted = NULL;
static int *levels = NULL;		/* nesting level of the savepoint of each */
static int	n_posted = 0;
static int	capacity = 0;
static char *rows = NULL;		/* kept, where the items say */
static Size rows_room = 0;
static bool has_live = false;	/* some of them are for the relay */
static EcoRing *woken = NULL;	/* to be woken after the commit */

static bool is_live(void);
static void note(const EcoEntry *entry);
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

/* Bytes of rows that are kept: those of the last item stand last. */
static Size
kept_bytes(void)
{
	return n_posted > 0 ? posted[n_posted - 1].rows + posted[n_posted - 1].rows_bytes : 0;
}

/* Room for another row, as long as the ring could take all of them. */
static bool
make_room(void)
{
	Size		need = kept_bytes() + ECO_FLAT_MAX;

	if (need <= rows_room)
		return true;
	if (need > (Size) ECO_RING_ROW_BYTES * eco_ring_size)
		return false;
	if (rows == NULL)
		rows = MemoryContextAlloc(TopTransactionContext, FIRST_ROOM);
	else
		rows = repalloc_huge(rows, rows_room * 2);
	rows_room = Max(rows_room * 2, FIRST_ROOM);
	return true;
}

/* Keep the row behind the others; its bytes, or 0 when it is to be read. */
static uint32
keep(const EcoEntry *entry)
{
	if (!make_room())
		return 0;
	return (uint32) eco_flat_write(entry, rows + kept_bytes());
}

/* Let the last item have another entry; false when it is none that follows. */
static bool
append(const EcoPosted *next, int level)
{
	EcoPosted  *last = n_posted > 0 ? &posted[n_posted - 1] : NULL;

	if (last == NULL || last->user_id != next->user_id || last->last + 1 != next->first ||
		last->live != next->live || levels[n_posted - 1] != level ||
		(last->rows_bytes == 0) != (next->rows_bytes == 0) ||
		last->rows_bytes + next->rows_bytes > ROWS_OF_ITEM)
		return false;
	last->last = next->last;
	last->rows_bytes += next->rows_bytes;
	if (last->journal != next->journal)
		last->journal = 0;
	return true;
}

static void
note(const EcoEntry *entry)
{
	const EcoRow *row = &entry->row;
	int			level = GetCurrentTransactionNestLevel();
	EcoPosted	next;

	if (eco_notify == ECO_NOTIFY_OFF)
		return;
	next = (EcoPosted)
	{
		.user_id = eco_row_int(row, ECO_COL_USER_ID), .journal = entry->journal->letter
	};
	next.first = next.last = eco_row_int(row, ECO_COL_SEQ);
	next.live = DatumGetBool(row->values[ECO_COL_LIVE]);
	next.rows = kept_bytes();
	next.rows_bytes = keep(entry);
	has_live |= next.live;
	if (append(&next, level))
		return;
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
	levels[n_posted] = level;
	posted[n_posted++] = next;
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
		if (eco_ring_put(ring, posted, n, rows))
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
		if (!eco_is_deaf_to(&notifier, posted[i].journal, posted[i].rows_bytes == 0))
			return true;
	return false;
}

/* Whose they are, from this one on, or ECO_ALL_USERS. */
static int64
one_user(int first)
{
	for (int i = first + 1; i < n_posted; i++)
		if (posted[i].user_id != posted[first].user_id)
			return ECO_ALL_USERS;
	return posted[first].user_id;
}

static void
tell_here(const EcoPosted *item, EcoListener *listener)
{
	EcoEntries	entries = {
		.user_id = item->user_id, .first = item->first, .last = item->last,
		.letter = item->journal, .rows = item->rows_bytes > 0 ? rows + item->rows : NULL
	};

	eco_tell_entries(&entries, listener);
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
	open = eco_told_open(ECO_READ, one_user(first));
	for (int i = first; i < n_posted; i++)
		tell_here(&posted[i], &notifier);
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
	rows = NULL;
	rows_room = 0;
	woken = NULL;
}
