/*
 * feed.c
 *		The reader of all journals, in linear work.
 *
 * The pair is read in windows of positions, each found by the BRIN indexes and
 * sorted alone.  The planner's statistics do not matter: a window's query has
 * one index to take and may not scan the table.  How wide a window is follows
 * from how many entries the one before had.
 */
#include "postgres.h"

#include "access/brin.h"
#include "access/brin_revmap.h"
#include "access/brin_tuple.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "errors.h"
#include "ledger/args.h"
#include "ledger/entry.h"
#include "ledger/installation.h"
#include "ledger/rows.h"
#include "ledger/stream.h"
#include "realtime/feed.h"

#define MAX_ENTRIES 131072		/* of a window, in memory: 4 MB */
#define MAX_OF_POSITION 2097152 /* of a window that cannot be narrower: 64 MB */
#define GOOD_ENTRIES 4096		/* to aim at in a window */
#define FIRST_WIDTH 1024
#define MAX_WIDTH (INT64CONST(1) << 62)

/* columns of a window's query */
enum
{
	COL_USER_ID,
	COL_SEQ,
	COL_POSITION,
	COL_XACT,
	COL_LIVE
};

struct EcoFeed
{
	MemoryContext context;
	EcoSnapshot *old;
	EcoSnapshot *new;
	bool		from_start;
	bool		live;
	int64		base;			/* first position of this installation */
	int64		end;			/* position behind the pair */

	int64		from;			/* where the next window begins */
	EcoPlace	after;			/* its entries up to here were handed out */

	/* the window: sorted, handed out up to next */
	EcoFeedEntry *entries;
	int			capacity;
	int			n;
	int			next;

	/* while a window is read */
	int			most;			/* entries that there may be room for */
	bool		cut;			/* it has more than there is room for, */
	EcoPlace	upto;			/* and is read up to here */
};

typedef struct Receiver
{
	DestReceiver dest;
	EcoFeed    *feed;
	char		journal;
} Receiver;

/* positions of the next window, by how full those before were, in earlier feeds too */
static int64 width = FIRST_WIDTH;

PG_FUNCTION_INFO_V1(eco_summarise_parts);

static void read_window(EcoFeed *feed);
static void query_journal(EcoFeed *feed, const EcoJournal *journal, int64 from, int64 to);
static bool receive(TupleTableSlot *slot, DestReceiver *self);
static void begin_nothing(DestReceiver *self, int operation, TupleDesc desc);
static void end_nothing(DestReceiver *self);
static void make_room(EcoFeed *feed);
static void summarise(Oid relid);
static void summarise_parts(Oid relid);
static void summarise_journal(Oid relid);

EcoFeed *
eco_feed_begin(const EcoCursor *cursor, int64 number, bool live)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "economy feed",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	EcoFeed    *feed = palloc0(sizeof(EcoFeed));

	Assert(cursor->new != NULL);
	feed->context = context;
	feed->old = eco_snapshot_copy(cursor->old);
	feed->new = eco_snapshot_copy(cursor->new);
	feed->from_start = eco_snapshot_is_nowhere(cursor->old);
	feed->live = live;
	feed->base = ECO_FIRST_POSITION(number);
	feed->end = feed->base + (int64) feed->new->xmax;
	if (!feed->from_start)
		feed->from = feed->base + (int64) eco_snapshot_first_news(feed->old, feed->new);
	feed->from = Max(feed->from, cursor->told.position);
	feed->after = cursor->told;
	feed->capacity = MAX_ENTRIES;
	feed->entries = palloc(sizeof(EcoFeedEntry) * feed->capacity);
	MemoryContextSwitchTo(old_context);
	if (feed->from < feed->end && !RecoveryInProgress())
		for (int i = 0; i < eco_journal_count(); i++)
			if (eco_journal_exists(eco_journal_get(i)))
				summarise_journal(eco_table_oid(eco_journal_get(i)->table->name));
	return feed;
}

void
eco_feed_end(EcoFeed *feed)
{
	MemoryContextDelete(feed->context);
}

const EcoFeedEntry *
eco_feed_next(EcoFeed *feed)
{
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (feed->next < feed->n)
			return &feed->entries[feed->next++];
		if (feed->from >= feed->end)
			return NULL;
		read_window(feed);
	}
}

static int
compare_entries(const void *a, const void *b)
{
	return eco_place_compare(&((const EcoFeedEntry *) a)->place,
							 &((const EcoFeedEntry *) b)->place);
}

static void
sort_entries(EcoFeed *feed)
{
	qsort(feed->entries, feed->n, sizeof(EcoFeedEntry), compare_entries);
}

static void
read_window(EcoFeed *feed)
{
	int64		from = feed->from;
	int64		to = feed->end - from > width ? from + width : feed->end;

	feed->n = feed->next = 0;
	feed->cut = false;
	feed->most = to - from > 1 ? MAX_ENTRIES : MAX_OF_POSITION;
	for (int i = 0; i < eco_journal_count(); i++)
		if (eco_journal_exists(eco_journal_get(i)))
			query_journal(feed, eco_journal_get(i), from, to);
	sort_entries(feed);
	if (feed->cut)
	{
		feed->after = feed->entries[feed->n - 1].place;
		feed->from = feed->after.position;
		width = Max((feed->from - from) / 2, 1);
		return;
	}
	feed->from = to;
	if (feed->n > GOOD_ENTRIES * 2)
		width = Max(width / (feed->n / GOOD_ENTRIES), 1);
	else if (feed->n < GOOD_ENTRIES / 2 && to < feed->end)
		width = Min(width, MAX_WIDTH / 16) * (feed->n == 0 ? 16 : 2);
}

/* The relation's one index on position finds the window, or there is a plain scan. */
static void
query_journal(EcoFeed *feed, const EcoJournal *journal, int64 from, int64 to)
{
	static const char *const settings[][2] = {
		{"enable_seqscan", "off"}, {"enable_bitmapscan", "on"},
		{"max_parallel_workers_per_gather", "0"},
		{"jit", "off"}
	};
	Receiver	receiver = {
		{receive, begin_nothing, end_nothing, end_nothing, DestTuplestore}, feed, journal->letter
	};
	SPIExecuteOptions options = {.read_only = true, .dest = &receiver.dest};
	int			guc_level = NewGUCNestLevel();
	char	   *sql;

	for (size_t i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	sql = psprintf("SELECT user_id, seq, position, xact, live FROM economy.%s"
				   " WHERE position OPERATOR(pg_catalog.>=) '%lld'::pg_catalog.int8"
				   " AND position OPERATOR(pg_catalog.<) '%lld'::pg_catalog.int8",
				   journal->table->name, (long long) from, (long long) to);
	SPI_connect();
	if (SPI_execute_extended(sql, &options) != SPI_OK_SELECT)
		ECO_ERROR(ECO_SCHEMA_DAMAGED, errmsg("journal %s cannot be read", journal->table->name));
	SPI_finish();
	pfree(sql);
	AtEOXact_GUC(true, guc_level);
}

static void
begin_nothing(DestReceiver *self, int operation, TupleDesc desc)
{
	(void) self;
	(void) operation;
	(void) desc;
}

static void
end_nothing(DestReceiver *self)
{
	(void) self;
}

static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	Receiver   *receiver = (Receiver *) self;
	EcoFeed    *feed = receiver->feed;
	EcoFeedEntry entry;
	uint64		xact;

	slot_getallattrs(slot);
	entry.place.user_id = DatumGetInt64(slot->tts_values[COL_USER_ID]);
	entry.place.seq = DatumGetInt64(slot->tts_values[COL_SEQ]);
	entry.place.position = DatumGetInt64(slot->tts_values[COL_POSITION]);
	entry.journal = receiver->journal;
	xact = (uint64) DatumGetInt64(slot->tts_values[COL_XACT]);
	if ((feed->live && !DatumGetBool(slot->tts_values[COL_LIVE])) ||
		eco_place_compare(&entry.place, &feed->after) <= 0 ||
		(feed->cut && eco_place_compare(&entry.place, &feed->upto) > 0))
		return true;
	/* what was restored is visible, whatever its transaction was elsewhere */
	if (entry.place.position < feed->base ? !feed->from_start :
		eco_snapshot_sees(feed->old, xact) || !eco_snapshot_sees(feed->new, xact))
		return true;
	if (feed->n == Min(feed->capacity, feed->most))
		make_room(feed);
	if (!feed->cut || eco_place_compare(&entry.place, &feed->upto) <= 0)
		feed->entries[feed->n++] = entry;
	return true;
}

/*
 * Enlarge a full window, up to its limit; beyond that keep its first half, and read
 * the rest again in another window.  A window of a single transaction has no limit:
 * each part of it would read all of it again.
 */
static void
make_room(EcoFeed *feed)
{
	if (feed->n < feed->most)
	{
		feed->capacity = Min(feed->capacity * 2, feed->most);
		feed->entries = repalloc(feed->entries, sizeof(EcoFeedEntry) * feed->capacity);
		return;
	}
	sort_entries(feed);
	feed->n /= 2;
	feed->cut = true;
	feed->upto = feed->entries[feed->n - 1].place;
}

/* The BRIN index on position; InvalidOid when a DBA has dropped it. */
static Oid
position_index(Relation rel, BlockNumber *range)
{
	AttrNumber	position = get_attnum(RelationGetRelid(rel), "position");
	Oid			found = InvalidOid;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		/*
		 * one that a REINDEX CONCURRENTLY left half made has not even a first
		 * page
		 */
		if (index->rd_rel->relam == BRIN_AM_OID && index->rd_index->indkey.values[0] == position &&
			index->rd_index->indisvalid)
		{
			found = RelationGetRelid(index);
			*range = BrinGetPagesPerRange(index);
		}
		index_close(index, AccessShareLock);
	}
	return found;
}

/*
 * The first page behind the last range that has a summary; 0 when none has.  A
 * placeholder is what a summariser that was cut off has left: it is none.
 */
static BlockNumber
unsummarised_from(Oid index_oid, BlockNumber end)
{
	Relation	index = index_open(index_oid, AccessShareLock);
	BlockNumber range;
	BrinRevmap *revmap = eco_brin_revmap(index, &range);
	BlockNumber block = end;
	Buffer		buffer = InvalidBuffer;
	OffsetNumber offset;

	while (block > 0)
	{
		BrinTuple  *tuple;
		bool		whole;

		CHECK_FOR_INTERRUPTS();
		tuple = eco_brin_tuple(revmap, block - range, &buffer, &offset);
		if (tuple != NULL)
		{
			whole = !BrinTupleIsPlaceholder(tuple);
			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
			if (whole)
				break;
		}
		block -= range;
	}
	if (BufferIsValid(buffer))
		ReleaseBuffer(buffer);
	brinRevmapTerminate(revmap);
	index_close(index, AccessShareLock);
	return block;
}

/*
 * One range, which cannot be cancelled: half done it would stay a placeholder, for
 * VACUUM too, and a scan that meets one reads all pages that follow.  Who holds the
 * table's lock finds only those that nobody works on.
 */
static void
summarise_range(Oid index, BlockNumber block)
{
	Datum		range = Int64GetDatum((int64) block);

	HOLD_INTERRUPTS();
	(void) DirectFunctionCall2(brin_desummarize_range, ObjectIdGetDatum(index), range);
	(void) DirectFunctionCall2(brin_summarize_range, ObjectIdGetDatum(index), range);
	RESUME_INTERRUPTS();
}

/*
 * A range of pages without a summary is read whatever the window, and nothing
 * but VACUUM makes one: make those that are missing at the end of the table.
 * From below, so that one that is cancelled leaves no gap that nobody looks for.
 * Never waits: whoever has the lock, VACUUM above all, summarises as well.
 */
static void
summarise(Oid relid)
{
	BlockNumber range = 0;
	BlockNumber block = 0;
	BlockNumber end = 0;
	Relation	rel;
	Oid			index;

	if (!ConditionalLockRelationOid(relid, ShareUpdateExclusiveLock))
		return;
	rel = try_table_open(relid, NoLock);
	if (rel == NULL)
	{
		/* a partition that was dropped before it could be locked */
		UnlockRelationOid(relid, ShareUpdateExclusiveLock);
		return;
	}
	index = rel->rd_rel->relkind == RELKIND_RELATION ? position_index(rel, &range) : InvalidOid;
	if (OidIsValid(index))
	{
		/* the last range is still being filled */
		end = RelationGetNumberOfBlocks(rel) / range * range;
		block = unsummarised_from(index, end);
	}
	table_close(rel, NoLock);
	if (block < end && ConditionalLockRelationOid(index, ShareUpdateExclusiveLock))
	{
		for (; block < end; block += range)
		{
			CHECK_FOR_INTERRUPTS();
			summarise_range(index, block);
		}
		UnlockRelationOid(index, ShareUpdateExclusiveLock);
	}
	UnlockRelationOid(relid, ShareUpdateExclusiveLock);
}

static void
summarise_parts(Oid relid)
{
	ListCell   *lc;

	foreach(lc, find_inheritance_children(relid, NoLock))
		summarise(lfirst_oid(lc));
}

/* The journal, or its partitions; those that inherit are the DBA's. */
static void
summarise_journal(Oid relid)
{
	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
		summarise_parts(relid);
	else
		summarise(relid);
}

/* eco_summarise_parts(journal): the same for the jobs, which need no feed. */
Datum
eco_summarise_parts(PG_FUNCTION_ARGS)
{
	eco_require_arg(fcinfo, 0, "journal");
	summarise_journal(PG_GETARG_OID(0));
	PG_RETURN_VOID();
}

/* An event as it was told, until its subtransaction has ended well. */
typedef struct Heard
{
	struct Heard *next;
	EcoEvent	event;			/* no more of it than there is */
} Heard;

typedef struct Collector
{
	EcoListener listener;
	MemoryContext context;
	Heard	   *first;
	Heard	  **last;
} Collector;

static void
collect(EcoListener *listener, const EcoEvent *event)
{
	Collector  *collector = listener->arg;
	Size		bytes = offsetof(EcoEvent, payload) + event->json.len + 1;
	Heard	   *heard = MemoryContextAlloc(collector->context, offsetof(Heard, event) + bytes);

	memcpy(&heard->event, event, bytes);
	heard->next = NULL;
	*collector->last = heard;
	collector->last = &heard->next;
}

/* Whether the error is the server's and not the entry's, so that a retry may help. */
static bool
is_general(int sqlerrcode)
{
	int			category = ERRCODE_TO_CATEGORY(sqlerrcode);

	return category == ERRCODE_OPERATOR_INTERVENTION ||
		category == ERRCODE_INSUFFICIENT_RESOURCES ||
		category == ERRCODE_TRANSACTION_ROLLBACK || category == ERRCODE_SYSTEM_ERROR ||
		sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
}

/* Whether it is a single entry that is read: what cannot be told then cannot be told. */
static inline bool
is_last_try(const EcoEntries *entries, int n)
{
	return n == 1 && entries->first == entries->last && entries->rows == NULL;
}

/* Tell these entries; false, with a warning, when they cannot be told. */
static bool
try_to_tell(const EcoEntries *entries, int n, EcoListener *listener)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool told = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		for (int i = 0; i < n; i++)
			eco_tell_entries(&entries[i], listener);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (is_general(error->sqlerrcode))
			ReThrowError(error);
		told = false;
		ereport(is_last_try(entries, n) ? WARNING : DEBUG1,
				(errcode(ECO_LEDGER_DAMAGED),
				 errmsg("entry %lld of user %lld cannot be told and is passed over: %s",
						(long long) entries->first, (long long) entries->user_id,
						error->message)));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	return told;
}

/* One by one, as they are read, to pass over those alone that cannot be told. */
static void
tell_apart(const EcoEntries *entries, EcoListener *listener)
{
	/* who has the rows need not have opened what they are read from */
	EcoOpenTables *open = entries->rows != NULL ?
	eco_told_open(ECO_READ_FRESH, entries->user_id) : NULL;
	EcoEntries	one = *entries;

	one.rows = NULL;
	for (one.first = entries->first; one.first <= entries->last; one.first++)
	{
		one.last = one.first;
		eco_feed_tell(&one, 1, listener);
	}
	if (open != NULL)
		eco_tables_close(open);
}

void
eco_feed_tell(const EcoEntries *entries, int n, EcoListener *listener)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "economy events heard",
												  ALLOCSET_DEFAULT_SIZES);
	Collector	collector = {.context = context, .last = &collector.first};
	bool		told;

	collector.listener = (EcoListener)
	{
		collect, &collector, listener->deaf
	};
	told = try_to_tell(entries, n, &collector.listener);
	for (Heard *heard = collector.first; told && heard != NULL; heard = heard->next)
		listener->hear(listener, &heard->event);
	MemoryContextDelete(context);
	for (int i = 0; !told && n > 1 && i < n; i++)
		eco_feed_tell(&entries[i], 1, listener);
	if (!told && n == 1 && !is_last_try(entries, n))
		tell_apart(entries, listener);
}
