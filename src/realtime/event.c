/*
 * event.c
 *		Events: CloudEvents 1.0 structured JSON, and their way to listeners.
 *
 * The envelope follows the CloudEvents 1.0.2 specification, JSON event format;
 * "sequence" is its sequence extension: the user's seq, zero-padded so that it
 * also sorts as text.  NOTIFY is the fast path only: what was missed is read
 * from the journals (I7).
 */
#include "postgres.h"

#include "commands/async.h"
#include "datatype/timestamp.h"
#include "pgtime.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "realtime/event.h"
#include "settings.h"

/* RFC 3339 in UTC, microseconds */
static void
format_time(TimestampTz at, char *buf, size_t size)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		ECO_ERROR(ECO_LEDGER_DAMAGED, errmsg("entry has an impossible time"));
	snprintf(buf, size, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ",
			 tm.tm_year, tm.tm_mon, tm.tm_mday,
			 tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fsec);
}

bool
eco_event_begin(EcoEvent *event, const char *type, const char *aspect,
				EcoJournal journal, int64 user_id, int64 seq, TimestampTz at)
{
	EcoJson    *json = &event->json;
	char		buf[ECO_EVENT_ID_MAX];

	if (eco_notify == ECO_NOTIFY_OFF)
		return false;
	event->type = type;
	eco_json_begin(json, event->payload, sizeof(event->payload));
	eco_json_open(json, NULL, '{');
	eco_json_str(json, "specversion", "1.0");
	snprintf(buf, sizeof(buf), "%c%lld-%lld%s%s", journal, (long long) user_id,
			 (long long) seq, aspect != NULL ? "/" : "", aspect != NULL ? aspect : "");
	eco_json_str(json, "id", buf);
	snprintf(buf, sizeof(buf), "/economy/node/%d", eco_node_id);
	eco_json_str(json, "source", buf);
	eco_json_str(json, "type", type);
	snprintf(buf, sizeof(buf), "%lld", (long long) user_id);
	eco_json_str(json, "subject", buf);
	format_time(at, buf, sizeof(buf));
	eco_json_str(json, "time", buf);
	snprintf(buf, sizeof(buf), "%020lld", (long long) seq);
	eco_json_str(json, "sequence", buf);
	eco_json_str(json, "datacontenttype", "application/json");
	eco_json_open(json, "data", '{');
	return true;
}

void
eco_event_publish(EcoEvent *event)
{
	eco_json_close(&event->json, '}');
	eco_json_close(&event->json, '}');
	/* all texts in events are bounded, so this is a defect here */
	if (event->json.overflow)
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("event of type %s exceeds %d bytes", event->type, ECO_EVENT_MAX - 1));
	Async_Notify(event->type, event->payload);
}
