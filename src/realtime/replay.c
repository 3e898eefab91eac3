/*
 * replay.c
 *		Events on request: of a client that was away, and of one entry.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "clock.h"
#include "errors.h"
#include "event/event.h"
#include "ledger/args.h"
#include "ledger/result.h"
#include "ledger/stream.h"
#include "realtime/flush.h"
#include "realtime/posted.h"
#include "settings.h"

#define REPLAY_MAX 10000

/* columns of economy.replay() */
enum
{
	RPL_CODE,
	RPL_SEQ,
	RPL_TYPE,
	RPL_EVENT,
	RPL_COLUMNS
};

PG_FUNCTION_INFO_V1(eco_replay);
PG_FUNCTION_INFO_V1(eco_entry_events);
PG_FUNCTION_INFO_V1(eco_publish_profile);

static void put_replayed(EcoListener *listener, const EcoEvent *event);
static void put_event(EcoListener *listener, const EcoEvent *event);
static void put_end(ReturnSetInfo *info, const char *code, int64 seq);

static int64
last_of_page(const EcoAccount *account, int64 after, int32 max)
{
	return Min(account->seq, after + max);
}

/* Whether one of the user's entries up to last is gone. */
static bool
is_missing(int64 user_id, int64 after, int64 last)
{
	const EcoJournal *journal;
	const EcoRow *row = NULL;
	EcoStream  *stream;

	if (after >= last)
		return false;
	stream = eco_stream_begin(user_id, after);
	while (after < last && (row = eco_stream_next(stream, &journal)) != NULL &&
		   eco_row_int(row, ECO_COL_SEQ) == after + 1)
		after++;
	eco_stream_end(stream);
	return after < last;
}

/* Whether what we do not see may yet come: on a standby, or with an old snapshot. */
static bool
may_lag(void)
{
	return RecoveryInProgress() || IsolationUsesXactSnapshot();
}

/*
 * eco_replay(user_id bigint, after_seq bigint, max integer)
 *		returns setof economy.replayed_event
 *
 * The events of at most max entries, and a last row that says how it goes on.  Both are
 * on disk, the number of the last row also where no event is told: a client goes on
 * from it, and would never be told of another entry that got it after a crash.
 */
Datum
eco_replay(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	EcoListener listener = {put_replayed, info, 0};
	EcoOpenTables *open;
	EcoAccount	account;
	bool		known;
	int64		user_id;
	int64		after;
	int64		last;
	int32		max;

	eco_require_arg(fcinfo, 0, "user_id");
	eco_require_arg(fcinfo, 1, "after_seq");
	eco_require_arg(fcinfo, 2, "max");
	user_id = PG_GETARG_INT64(0);
	after = PG_GETARG_INT64(1);
	max = PG_GETARG_INT32(2);
	if (after < 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("after_seq must be 0 or more"));
	if (max < 1 || max > REPLAY_MAX)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("max must be from 1 to %d", REPLAY_MAX));
	eco_result_set_begin(fcinfo, "tltJ");
	open = eco_told_open(ECO_READ, user_id);
	known = eco_account_read(user_id, &account);
	eco_flush_all();
	if (!known)
		put_end(info, "USER_NOT_FOUND", 0);
	/* pruned, or from a database that went further than this one */
	else if ((after > account.seq && !may_lag()) ||
			 is_missing(user_id, after,
						Min(account.pruned_seq, last_of_page(&account, after, max))))
		put_end(info, "RESYNC_REQUIRED", account.seq);
	else
	{
		last = Max(after, last_of_page(&account, after, max));
		if (last > after)
		{
			EcoEntries	entries = {.user_id = user_id, .first = after + 1, .last = last};

			eco_tell_entries(&entries, &listener);
		}
		put_end(info, last < account.seq ? "MORE" : "CAUGHT_UP", last);
	}
	eco_tables_close(open);
	return (Datum) 0;
}

static void
put_replayed(EcoListener *listener, const EcoEvent *event)
{
	ReturnSetInfo *info = listener->arg;
	Datum		values[RPL_COLUMNS];
	bool		isnull[RPL_COLUMNS] = {false};

	values[RPL_CODE] = CStringGetTextDatum("EVENT");
	values[RPL_SEQ] = Int64GetDatum(event->seq);
	values[RPL_TYPE] = CStringGetTextDatum(event->type);
	values[RPL_EVENT] = CStringGetTextDatum(event->payload);
	tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
}

static void
put_end(ReturnSetInfo *info, const char *code, int64 seq)
{
	Datum		values[RPL_COLUMNS] = {0};
	bool		isnull[RPL_COLUMNS] = {false, false, true, true};

	values[RPL_CODE] = CStringGetTextDatum(code);
	values[RPL_SEQ] = Int64GetDatum(seq);
	tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
}

/*
 * eco_entry_events(user_id bigint, seq bigint, journal "char")
 *		returns setof (type text, event json)
 */
Datum
eco_entry_events(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	EcoListener listener = {put_event, info, 0};
	EcoEntries	entry = {0};
	EcoOpenTables *open;

	for (int i = 0; i < 3; i++)
		eco_require_arg(fcinfo, i, "argument");
	entry.user_id = PG_GETARG_INT64(0);
	entry.first = entry.last = PG_GETARG_INT64(1);
	entry.letter = PG_GETARG_CHAR(2);
	eco_result_set_begin(fcinfo, "tJ");
	open = eco_told_open(ECO_READ, entry.user_id);
	eco_tell_entries(&entry, &listener);
	eco_tables_close(open);
	return (Datum) 0;
}

static void
put_event(EcoListener *listener, const EcoEvent *event)
{
	ReturnSetInfo *info = listener->arg;
	Datum		values[2] = {CStringGetTextDatum(event->type), CStringGetTextDatum(event->payload)};
	bool		isnull[2] = {false, false};

	tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
}

/*
 * eco_publish_profile(user_id bigint, field text, before text, after text) returns void
 *		profile_update for a change that is no entry: it is sent by NOTIFY with
 *		the transaction and cannot be replayed; the state can be read.
 */
Datum
eco_publish_profile(PG_FUNCTION_ARGS)
{
	static EcoTable *const tables[] = {&eco_accounts, NULL};
	static const EcoJournal no_entry = {.letter = 'S'};
	EcoOpenTables *open;
	EcoAccount	account;
	bool		known;
	EcoEvent	event;
	EcoRow	   *row = &account.row;
	EcoText		field = eco_text_arg(fcinfo, 1, "field", ECO_MAX_NAME);
	EcoListener notifier = eco_notifier();

	eco_require_arg(fcinfo, 0, "user_id");
	if (eco_notify == ECO_NOTIFY_OFF || eco_is_deaf(&notifier, ECO_PROFILE_UPDATE) ||
		!eco_notify_has_room())
		PG_RETURN_VOID();
	open = eco_tables_open(ECO_READ, tables);
	known = eco_account_read(PG_GETARG_INT64(0), &account);
	eco_tables_close(open);
	if (!known)
		PG_RETURN_VOID();
	/* an entry that was not made: the account as it is, and no delta */
	row->values[ECO_COL_USER_ID] = Int64GetDatum(account.user_id);
	row->values[ECO_COL_SEQ] = Int64GetDatum(account.seq);
	row->values[ECO_COL_GOLD] = Int64GetDatum(account.gold);
	row->values[ECO_COL_XP] = Int64GetDatum(account.xp);
	row->values[ECO_COL_CREATED_AT] = TimestampTzGetDatum(eco_now());
	eco_event_begin(&event, ECO_PROFILE_UPDATE,
					psprintf("%.*s/%lld", field.len, field.data, (long long) GetCurrentTimestamp()),
					&no_entry, row);
	eco_json_text(&event.json, "field", field.data, field.len);
	for (int i = 2; i < 4; i++)
	{
		const char *key = i == 2 ? "before" : "after";

		if (PG_ARGISNULL(i))
			eco_json_null(&event.json, key);
		else
			eco_json_str(&event.json, key, text_to_cstring(PG_GETARG_TEXT_PP(i)));
	}
	eco_event_end(&event, row, &notifier);
	PG_RETURN_VOID();
}
