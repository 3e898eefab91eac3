/*
 * event.c
 *		The event that tells a user's new segment.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/timestamp.h"

#include "ledger/args.h"
#include "realtime/event.h"

PG_FUNCTION_INFO_V1(eco_publish_segment_change);

/*
 * eco_publish_segment_change(user_id bigint, seq bigint, change_no integer, before text, after text, at timestamptz)
 *		returns void
 *		seq is the newest purchase that the change knows of.  A user's segment
 *		also changes by the passing of time, so the number of the change tells
 *		changes of one seq apart in the event's id.
 */
Datum
eco_publish_segment_change(PG_FUNCTION_ARGS)
{
	EcoText		before = eco_text_arg(fcinfo, 3, "before", ECO_MAX_NAME);
	EcoText		after = eco_text_arg(fcinfo, 4, "after", ECO_MAX_NAME);
	char		aspect[64];
	EcoEvent	event;

	eco_require_arg(fcinfo, 0, "user_id");
	eco_require_arg(fcinfo, 1, "seq");
	eco_require_arg(fcinfo, 2, "change_no");
	eco_require_arg(fcinfo, 5, "at");
	snprintf(aspect, sizeof(aspect), "segment-%d", (int) PG_GETARG_INT32(2));
	if (eco_event_begin(&event, "profile_update", aspect, ECO_JOURNAL_PURCHASE,
						PG_GETARG_INT64(0), PG_GETARG_INT64(1), PG_GETARG_TIMESTAMPTZ(5)))
	{
		eco_json_str(&event.json, "field", "segment");
		eco_json_str(&event.json, "before", pnstrdup(before.data, before.len));
		eco_json_str(&event.json, "after", pnstrdup(after.data, after.len));
		eco_json_int(&event.json, "seq", PG_GETARG_INT64(1));
		eco_event_publish(&event);
	}
	PG_RETURN_VOID();
}
