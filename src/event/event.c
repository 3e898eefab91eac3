/*
 * event.c
 *		Events: CloudEvents 1.0 structured JSON, told from the rows of journals.
 *
 * The envelope follows the CloudEvents 1.0.2 specification, JSON event format;
 * "sequence" is its sequence extension: the user's seq, zero-padded so that it
 * also sorts as text.
 */
#include "postgres.h"

#include "commands/async.h"
#include "datatype/timestamp.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "event/event.h"
#include "ledger/flat.h"
#include "ledger/stream.h"
#include "settings.h"

static void tell_kept(const EcoEntries *entries, EcoListener *listener);
static void tell_found(const EcoEntries *entries, EcoListener *listener);
static void tell_stream(const EcoEntries *entries, EcoListener *listener);
static void tell(const EcoJournal *journal, const EcoRow *row, const void *beside,
				 bool was_read, EcoListener *listener);
static void notify(EcoListener *listener, const EcoEvent *event);

/* of entries of all journals */
#define TYPES_OF_ALL ECO_TYPE_BIT(ECO_MISSION_UPDATE)

void		(*eco_event_further) (const EcoJournal *journal, const EcoRow *row,
								  EcoListener *listener) = NULL;

#define ECO_SECOND_LEN 20		/* 2026-03-02T12:00:00. */
#define ECO_TIME_MAX 64
#define ECO_REFERENCE_MAX 1024	/* an envelope has no text of users */
#define ECO_ENVELOPE_MAX 512	/* of that, without the id */

/* Digits and the character behind them; returns the place behind that. */
static char *
put_digits(char *at, int value, size_t width, char after)
{
	at += eco_json_digits(at, value, width);
	*at++ = after;
	return at;
}

static bool
format_second(TimestampTz second, char *at)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(second, NULL, &tm, &fsec, NULL, NULL) != 0 || tm.tm_year < 1 ||
		tm.tm_year > 9999)
		return false;
	at = put_digits(at, tm.tm_year, 4, '-');
	at = put_digits(at, tm.tm_mon, 2, '-');
	at = put_digits(at, tm.tm_mday, 2, 'T');
	at = put_digits(at, tm.tm_hour, 2, ':');
	at = put_digits(at, tm.tm_min, 2, ':');
	(void) put_digits(at, tm.tm_sec, 2, '.');
	return true;
}

/*
 * Write a time as RFC 3339, in UTC and to the microsecond, and move on behind it; false:
 * it has no such form.  Those of a batch are mostly of one second, which is kept.
 */
static bool
format_time(TimestampTz time, char **at)
{
	static TimestampTz kept = DT_NOBEGIN;
	static char text[ECO_TIME_MAX];
	int			fraction = (int) ((time % USECS_PER_SEC + USECS_PER_SEC) % USECS_PER_SEC);

	if (TIMESTAMP_NOT_FINITE(time))
		return false;
	if (time - fraction != kept)
	{
		if (!format_second(time - fraction, text))
			return false;
		kept = time - fraction;
	}
	*at = (char *) memcpy(*at, text, ECO_SECOND_LEN) + ECO_SECOND_LEN;
	*at = put_digits(*at, fraction, 6, 'Z');
	return true;
}

static size_t
format_id(const EcoEvent *event, char letter, const char *aspect, char buf[ECO_EVENT_ID_MAX])
{
	char	   *at = buf;

	*at++ = letter;
	at += eco_json_digits(at, event->user_id, 1);
	*at++ = '-';
	at += eco_json_digits(at, event->seq, 1);
	if (aspect != NULL)
	{
		size_t		room = ECO_EVENT_ID_MAX - 1 - (at - buf);
		size_t		len = Min(strlen(aspect), room - 1);

		*at++ = '/';
		memcpy(at, aspect, len);
		at += len;
	}
	return at - buf;
}

#define PUT(at, literal) ((char *) memcpy(at, literal, sizeof(literal) - 1) + sizeof(literal) - 1)

/*
 * Write the members between the id and the data, which need no escape; there is always
 * room for them, and a check of each would cost more than they do.
 */
static char *
put_envelope(EcoEvent *event, const EcoRow *row, char *at)
{
	size_t		len = strlen(event->type);

	at = PUT(at, ",\"source\":\"/economy/node/");
	at += eco_json_digits(at, eco_node_id, 1);
	at = PUT(at, "\",\"type\":\"");
	at = (char *) memcpy(at, event->type, len) + len;
	at = PUT(at, "\",\"subject\":\"");
	at += eco_json_digits(at, event->user_id, 1);
	at = PUT(at, "\",\"time\":\"");
	event->has_time = format_time(DatumGetTimestampTz(row->values[ECO_COL_CREATED_AT]), &at);
	at = PUT(at, "\",\"sequence\":\"");
	at += eco_json_digits(at, event->seq, 20);
	return PUT(at, "\",\"datacontenttype\":\"application/json\",\"data\":{");
}

void
eco_event_begin(EcoEvent *event, EcoEventType type, const char *aspect,
				const EcoJournal *journal, const EcoRow *row)
{
	EcoJson    *json = &event->json;
	char		id[ECO_EVENT_ID_MAX];

	event->kind = type;
	event->type = eco_type_names[type];
	event->moves = aspect == NULL;
	event->user_id = eco_row_int(row, ECO_COL_USER_ID);
	event->seq = eco_row_int(row, ECO_COL_SEQ);
	eco_json_begin(json, event->payload, sizeof(event->payload));
	json->len = PUT(json->buf, "{\"specversion\":\"1.0\"") - json->buf;
	json->comma = true;
	eco_json_text(json, "id", id, format_id(event, journal->letter, aspect, id));
	StaticAssertStmt(ECO_EVENT_ID_MAX * 6 + ECO_ENVELOPE_MAX < ECO_EVENT_MAX, "no room");
	json->len = put_envelope(event, row, json->buf + json->len) - json->buf;
	json->buf[json->len] = '\0';
	json->comma = false;
}

void
eco_event_end(EcoEvent *event, const EcoRow *row, EcoListener *listener)
{
	EcoJson    *json = &event->json;

	if (eco_is_deaf(listener, event->kind))
		return;
	eco_json_int(json, "seq", event->seq);
	if (event->moves)
	{
		eco_json_int(json, "gold_delta", eco_row_int(row, ECO_COL_GOLD_DELTA));
		eco_json_int(json, "xp_delta", eco_row_int(row, ECO_COL_XP_DELTA));
	}
	eco_json_int(json, "gold", eco_row_int(row, ECO_COL_GOLD));
	eco_json_int(json, "experience_points", eco_row_int(row, ECO_COL_XP));
	eco_json_close(json, '}');
	eco_json_close(json, '}');
	if (event->has_time && !json->overflow)
		listener->hear(listener, event);
	else

		/*
		 * all texts in events are bounded: somebody has written the row by
		 * hand
		 */
		ereport(WARNING,
				(errcode(ECO_LEDGER_DAMAGED),
				 errmsg("entry %lld of user %lld cannot be told and is passed over: its %s",
						(long long) event->seq, (long long) event->user_id,
						event->has_time ? "event is too long" : "time is impossible")));
}

void
eco_event_text(EcoEvent *event, const char *key, const EcoRow *row, int column)
{
	text	   *value;

	if (row->isnull[column])
	{
		eco_json_null(&event->json, key);
		return;
	}
	value = DatumGetTextPP(row->values[column]);
	eco_json_text(&event->json, key, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

void
eco_event_items(EcoEvent *event, const EcoRow *row, int column)
{
	Jsonb	   *items;

	if (row->isnull[column])
		return;
	items = DatumGetJsonbP(row->values[column]);
	eco_json_raw(&event->json, "items", JsonbToCString(NULL, &items->root, VARSIZE(items)));
}

void
eco_tell_level(const EcoJournal *journal, const EcoRow *row, int32 before, int32 level,
			   EcoListener *listener)
{
	EcoEvent	event;

	eco_event_begin(&event, ECO_PROFILE_UPDATE, "level", journal, row);
	eco_json_str(&event.json, "field", "level");
	eco_json_int(&event.json, "before", before);
	eco_json_int(&event.json, "after", level);
	eco_event_end(&event, row, listener);
}

void
eco_tell_step(const EcoJournal *journal, const EcoRow *row, const EcoLevelStep *step,
			  EcoListener *listener)
{
	EcoLevelStep now;

	if (eco_row_int(row, ECO_COL_XP_DELTA) == 0 || eco_is_deaf(listener, ECO_PROFILE_UPDATE))
		return;
	if (step == NULL)
	{
		now.after = eco_level_change(row, &now.before);
		step = &now;
	}
	if (step->after != step->before)
		eco_tell_level(journal, row, step->before, step->after, listener);
}

void
eco_tell_entries(const EcoEntries *entries, EcoListener *listener)
{
	if (eco_is_deaf_to(listener, entries->letter, entries->rows == NULL))
		return;
	if (entries->rows != NULL)
		tell_kept(entries, listener);
	else if (entries->letter != 0 && entries->first == entries->last)
		tell_found(entries, listener);
	else
		tell_stream(entries, listener);
}

static void
tell_kept(const EcoEntries *entries, EcoListener *listener)
{
	const char *at = entries->rows;
	const EcoJournal *journal;
	const void *beside;
	EcoRow		row;

	for (int64 seq = entries->first; seq <= entries->last; seq++)
	{
		at = eco_flat_read(at, &journal, &row, &beside);
		tell(journal, &row, beside, false, listener);
	}
}

static void
tell_found(const EcoEntries *entries, EcoListener *listener)
{
	const EcoJournal *journal = eco_journal_of(entries->letter);
	Datum		key[2] = {Int64GetDatum(entries->user_id), Int64GetDatum(entries->first)};
	EcoRow		row;

	if (journal == NULL)
		ECO_ERROR(ECO_LEDGER_DAMAGED, errmsg("no journal has the letter \"%c\"", entries->letter));
	if (eco_row_find(journal->table, entries->user_id, 0, 2, key, &row))
		tell(journal, &row, NULL, true, listener);
}

static void
tell_stream(const EcoEntries *entries, EcoListener *listener)
{
	EcoStream  *stream = eco_stream_begin(entries->user_id, entries->first - 1);
	const EcoJournal *journal;
	const EcoRow *row;

	while ((row = eco_stream_next(stream, &journal)) != NULL &&
		   eco_row_int(row, ECO_COL_SEQ) <= entries->last)
		tell(journal, row, NULL, true, listener);
	eco_stream_end(stream);
}

/*
 * Tell one entry.  What that allocates goes with the next one, for there may be many, or
 * one that failed before.
 */
static void
tell(const EcoJournal *journal, const EcoRow *row, const void *beside, bool was_read,
	 EcoListener *listener)
{
	static MemoryContext context = NULL;
	MemoryContext old_context;

	if (eco_is_deaf_to(listener, journal->letter, was_read))
		return;
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "economy event", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(context);
	old_context = MemoryContextSwitchTo(context);
	if (!eco_is_deaf_to(listener, journal->letter, false))
		journal->tell(row, beside, listener);
	if (was_read && eco_event_further != NULL)
		eco_event_further(journal, row, listener);
	MemoryContextSwitchTo(old_context);
}

bool
eco_is_deaf_to(const EcoListener *listener, char letter, bool are_read)
{
	const EcoJournal *journal = listener->deaf == 0 || letter == 0 ? NULL : eco_journal_of(letter);

	return journal != NULL &&
		((journal->types | (are_read ? TYPES_OF_ALL : 0)) & ~listener->deaf) == 0;
}

/* Write the event as a reference: its envelope, with nothing but the seq in its data. */
static const char *
refer(const EcoEvent *event, char reference[ECO_REFERENCE_MAX])
{
	static const char data[] = "\"data\":{";
	const char *start = strstr(event->payload, data);

	Assert(start != NULL);
	snprintf(reference, ECO_REFERENCE_MAX, "%.*s\"seq\":%lld}}",
			 (int) (start - event->payload + strlen(data)), event->payload, (long long) event->seq);
	return reference;
}

EcoListener
eco_notifier(void)
{
	return (EcoListener)
	{
		notify, NULL, eco_types_not_sent
	};
}

static void
notify(EcoListener *listener, const EcoEvent *event)
{
	char		channel[NAMEDATALEN];
	char		reference[ECO_REFERENCE_MAX];
	const char *payload = event->payload;

	(void) listener;
	if (eco_notify_payload == ECO_PAYLOAD_REFERENCE)
		payload = refer(event, reference);
	Async_Notify(event->type, payload);
	if (!eco_notify_user_channels)
		return;
	snprintf(channel, sizeof(channel), "economy_user_%lld", (long long) event->user_id);
	Async_Notify(channel, payload);
}
