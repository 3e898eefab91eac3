/*
 * changes.c
 *		economy.changes(): the feed of all users, for servers.
 *
 * A session that reads on keeps the reader of its last page, so that what was
 * read and sorted for it is not read again; any other session begins one at
 * the same cursor, and first looks whether it is of this data's past.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "errors.h"
#include "ledger/args.h"
#include "ledger/installation.h"
#include "ledger/result.h"
#include "ledger/stream.h"
#include "realtime/feed.h"
#include "realtime/witness.h"

#define CHANGES_MAX 10000

enum
{
	CHG_CODE,
	CHG_USER_ID,
	CHG_SEQ,
	CHG_TYPE,
	CHG_EVENT,
	CHG_NEXT_CURSOR,
	CHG_COLUMNS
};

/* What one call works with. */
typedef struct Call
{
	ReturnSetInfo *info;
	char	   *cursor_text;
	int			max;
	char	   *here;
	int64		number;
	EcoSnapshot *now;
	EcoCursor	cursor;
} Call;

PG_FUNCTION_INFO_V1(eco_changes);

/* the next_cursor of this session's last page, and the reader behind it if that says MORE */
static char *given = NULL;
static EcoFeed *kept = NULL;

static bool is_missed(const Call *call);
static bool is_spoiled(const Call *call);
static bool is_given(const Call *call);
static void begin_now(Call *call);
static void give(const Call *call);
static void tell_page(Call *call);
static void take_feed(Call *call);
static const EcoFeedEntry *next_entry(Call *call);
static void drop_feed(void);
static void put_event(EcoListener *listener, const EcoEvent *event);
static void put_end(Call *call, const char *code);

/*
 * eco_changes(cursor text, max integer) returns setof (code text,
 *		user_id bigint, seq bigint, type text, event json, next_cursor text)
 */
Datum
eco_changes(PG_FUNCTION_ARGS)
{
	Call		call = {.info = (ReturnSetInfo *) fcinfo->resultinfo};
	EcoCursorRead read = ECO_CURSOR_FOREIGN;
	EcoOpenTables *open;

	eco_require_arg(fcinfo, 1, "max");
	call.max = PG_GETARG_INT32(1);
	if (call.max < 1 || call.max > CHANGES_MAX)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("max must be from 1 to %d", CHANGES_MAX));
	eco_result_set_begin(fcinfo, "tlltJt");
	open = eco_told_open(ECO_READ_FRESH, ECO_ALL_USERS);
	call.now = eco_snapshot_take();
	call.here = eco_cursor_here(&call.number);
	if (!PG_ARGISNULL(0))
	{
		call.cursor_text = text_to_cstring(PG_GETARG_TEXT_PP(0));
		read = eco_cursor_parse(call.cursor_text, call.here, &call.cursor);
	}
	if (read == ECO_CURSOR_NONE)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("this is no cursor of economy.changes()"),
				  errhint("Pass next_cursor of the last row of the call before, null to begin now, "
						  "or start to begin with the first entry."));
	if (read == ECO_CURSOR_FOREIGN || is_missed(&call))
	{
		begin_now(&call);
		put_end(&call, PG_ARGISNULL(0) ? "CAUGHT_UP" : "RESYNC_REQUIRED");
	}
	else
		tell_page(&call);
	eco_tables_close(open);
	return (Datum) 0;
}

/* Whether the cursor has seen more than we do: on a standby, or with an old snapshot. */
static bool
lags_behind(const Call *call)
{
	const EcoSnapshot *told = call->cursor.new != NULL ? call->cursor.new : call->cursor.old;

	return !eco_snapshot_covers(call->now, told);
}

/* The cursor is of a time that was set back, or entries after it are gone. */
static bool
is_missed(const Call *call)
{
	const EcoCursor *cursor = &call->cursor;

	if (cursor->new != NULL && !eco_snapshot_covers(cursor->new, cursor->old))
		return true;
	if (lags_behind(call))
		return !RecoveryInProgress() && !IsolationUsesXactSnapshot();
	return is_spoiled(call);
}

/*
 * The snapshot that says whether a transaction was told: within a pair it is
 * `new` for those before the place that was reached, else `old`.
 */
static const EcoSnapshot *
told_up_to(const Call *call, uint64 xact)
{
	const EcoCursor *cursor = &call->cursor;

	if (cursor->new != NULL &&
		ECO_FIRST_POSITION(call->number) + (int64) xact < cursor->told.position)
		return cursor->new;
	return cursor->old;
}

/*
 * Whether an action was pruned before the cursor was told of it, or the cursor is of
 * another past than this data; one that this session has returned is not.
 */
static bool
is_spoiled(const Call *call)
{
	static const char *const sql =
	"SELECT max(i.pruned_by), max(i.pruned_xact) FROM economy.installations i"
	" WHERE i.number OPERATOR(pg_catalog.=) $1 AND i.pruned_by IS NOT NULL";
	const EcoCursor *cursor = &call->cursor;
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(call->number)};
	uint64		by = 0;
	uint64		xact = 0;
	bool		isnull;

	SPI_connect();
	if (SPI_execute_with_args(sql, 1, types, values, NULL, true, 1) != SPI_OK_SELECT)
		ECO_ERROR(ECO_SCHEMA_DAMAGED, errmsg("installations cannot be read"));
	if (SPI_processed == 1)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		by = (uint64) DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
		if (!isnull)
			xact = (uint64) DatumGetInt64(SPI_getbinval(row, desc, 2, &isnull));
	}
	SPI_finish();
	if (xact != 0 && !eco_snapshot_is_nowhere(cursor->old) && !eco_snapshot_sees(cursor->old, by) &&
		eco_snapshot_news_up_to(told_up_to(call, xact), call->now, xact))
		return true;
	return !is_given(call) && !eco_witness_holds(cursor, call->number, xact);
}

static bool
is_given(const Call *call)
{
	return given != NULL && strcmp(given, call->cursor_text) == 0;
}

static void
begin_now(Call *call)
{
	call->cursor = (EcoCursor)
	{
		.old = call->now, .newest = eco_witness_newest(call->now, call->number)
	};
	drop_feed();
	give(call);
}

/*
 * Remember the cursor that this call returns.  Whoever comes back with it need not be
 * asked again whether it is of this data's past.
 */
static void
give(const Call *call)
{
	if (given != NULL)
		pfree(given);
	given = NULL;
	given = MemoryContextStrdup(TopMemoryContext, eco_cursor_text(&call->cursor, call->here));
}

static void
tell_page(Call *call)
{
	EcoCursor  *cursor = &call->cursor;
	EcoListener listener = {put_event, call->info, 0};
	EcoEntries	entries[ECO_TOLD_AT_ONCE];
	const EcoFeedEntry *entry = NULL;
	EcoFeedEntry newest = {.place = eco_place_before_all};
	int			told;
	int			n = 0;

	if (lags_behind(call))
	{
		put_end(call, "CAUGHT_UP");
		return;
	}
	if (cursor->new == NULL)
		cursor->new = call->now;
	take_feed(call);
	for (told = 0; told < call->max && (entry = next_entry(call)) != NULL; told++)
	{
		if (n == ECO_TOLD_AT_ONCE)
		{
			eco_feed_tell(entries, n, &listener);
			n = 0;
		}
		entries[n++] = eco_feed_entries(entry);
		cursor->told = entry->place;
		if (eco_place_compare(&entry->place, &newest.place) > 0)
			newest = *entry;
	}
	if (n > 0)
		eco_feed_tell(entries, n, &listener);
	if (eco_place_compare(&newest.place, &cursor->newest.place) > 0)
		cursor->newest = eco_witness_of(&newest);
	if (told < call->max)
	{
		drop_feed();
		cursor->old = cursor->new;
		cursor->new = NULL;
	}
	give(call);
	put_end(call, told == call->max ? "MORE" : "CAUGHT_UP");
}

static void
take_feed(Call *call)
{
	if (kept == NULL || !is_given(call))
	{
		drop_feed();
		kept = eco_feed_begin(&call->cursor, call->number, false);
	}
	/* what an error leaves behind is of no cursor */
	if (given != NULL)
		pfree(given);
	given = NULL;
}

/*
 * The next entry of the pair.  At its end, when this call sees more than the pair,
 * which may have begun some calls ago, go on with a new pair.  NULL: all is told.
 */
static const EcoFeedEntry *
next_entry(Call *call)
{
	EcoCursor  *cursor = &call->cursor;
	const EcoFeedEntry *entry;

	while ((entry = eco_feed_next(kept)) == NULL && !eco_snapshot_covers(cursor->new, call->now))
	{
		drop_feed();
		cursor->old = cursor->new;
		cursor->new = call->now;
		cursor->told = eco_place_before_all;
		kept = eco_feed_begin(cursor, call->number, false);
	}
	return entry;
}

static void
drop_feed(void)
{
	if (kept != NULL)
		eco_feed_end(kept);
	kept = NULL;
}

static void
put_event(EcoListener *listener, const EcoEvent *event)
{
	ReturnSetInfo *info = listener->arg;
	Datum		values[CHG_COLUMNS] = {0};
	bool		isnull[CHG_COLUMNS] = {false};

	values[CHG_CODE] = CStringGetTextDatum("EVENT");
	values[CHG_USER_ID] = Int64GetDatum(event->user_id);
	values[CHG_SEQ] = Int64GetDatum(event->seq);
	values[CHG_TYPE] = CStringGetTextDatum(event->type);
	values[CHG_EVENT] = CStringGetTextDatum(event->payload);
	isnull[CHG_NEXT_CURSOR] = true;
	tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
	for (int i = 0; i < CHG_COLUMNS; i++)
		if (i != CHG_USER_ID && i != CHG_SEQ && i != CHG_NEXT_CURSOR)
			pfree(DatumGetPointer(values[i]));
}

static void
put_end(Call *call, const char *code)
{
	Datum		values[CHG_COLUMNS] = {0};
	bool		isnull[CHG_COLUMNS] = {false, true, true, true, true, false};

	values[CHG_CODE] = CStringGetTextDatum(code);
	values[CHG_NEXT_CURSOR] = CStringGetTextDatum(eco_cursor_text(&call->cursor, call->here));
	tuplestore_putvalues(call->info->setResult, call->info->setDesc, values, isnull);
}
