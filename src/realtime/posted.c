/*
 * posted.c
 *		The entries that the current transaction has posted, until it ends.
 *
 * Nothing is told of rolled-back work: a savepoint's entries leave the list
 * with it.  Just before the commit what is left goes into the relay's ring, or
 * is told by NOTIFY here (economy.notify).
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "crash_point.h"
#include "ledger/stream.h"
#include "realtime/event.h"
#include "realtime/posted.h"
#include "realtime/ring.h"
#include "settings.h"

#define FIRST_CAPACITY 16

/* of the current transaction; memory of TopTransactionContext */
static EcoPosted *posted = NULL;
static int *levels = NULL;		/* nesting level of the savepoint of each */
static int	n_posted = 0;
static int	capacity = 0;
static EcoRing *woken = NULL;	/* to be woken after the commit */

static bool is_live(void);
static void note(EcoJournal journal, int64 user_id, int64 seq, bool live);
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

static bool
is_live(void)
{
	return eco_notify == ECO_NOTIFY_RELAY && eco_ring_available();
}

static void
note(EcoJournal journal, int64 user_id, int64 seq, bool live)
{
	int			level = GetCurrentTransactionNestLevel();
	EcoPosted  *last = n_posted > 0 ? &posted[n_posted - 1] : NULL;

	if (eco_notify == ECO_NOTIFY_OFF)
		return;
	if (last != NULL && last->user_id == user_id && last->last + 1 == seq &&
		levels[n_posted - 1] == level)
	{
		last->last = seq;
		if (last->journal != (char) journal)
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
	levels[n_posted] = level;
	posted[n_posted++] = (EcoPosted)
	{
		.user_id = user_id,.first = seq,.last = seq,.journal = (char) journal
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

static void
hand_over(bool can_notify)
{
	EcoRing    *ring = NULL;
	EcoOpenTables *open;
	uint64		xid;
	TimestampTz now;

	if (n_posted == 0)
		return;
	if (eco_notify == ECO_NOTIFY_RELAY)
		ring = eco_ring_attach();
	if (ring != NULL)
	{
		xid = U64FromFullTransactionId(GetTopFullTransactionId());
		now = GetCurrentTimestamp();
		for (int i = 0; i < n_posted; i++)
		{
			posted[i].xid = xid;
			posted[i].at = now;
		}
		if (eco_ring_put(ring, posted, n_posted))
		{
			woken = ring;
			return;
		}
	}
	if (!can_notify)
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	open = eco_stream_open(ECO_READ, NULL);
	for (int i = 0; i < n_posted; i++)
		eco_tell_entries(posted[i].journal, posted[i].user_id, posted[i].first,
						 posted[i].last, &eco_notifier);
	eco_tables_close(open);
	PopActiveSnapshot();
}

static void
forget(void)
{
	posted = NULL;
	levels = NULL;
	n_posted = 0;
	capacity = 0;
	woken = NULL;
}
