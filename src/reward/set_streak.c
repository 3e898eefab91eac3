/*
 * set_streak.c
 *		set_streak(): an operator's correction of a daily streak, as an entry.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"

#include "clock.h"
#include "crash_point.h"
#include "errors.h"
#include "ledger/args.h"
#include "ledger/call.h"
#include "ledger/result.h"
#include "reward/streaks.h"

#define MAX_REASON 1000
#define MAX_ACTOR 255

/* the source of a correction without a key, whose event id is its seq */
#define SOURCE_WITHOUT_KEY ECO_SOURCE_SET_STREAK ":once"

/* columns of economy.streak_change after the common ones */
enum
{
	SET_STREAK_DAY = ECO_RES_OWN,
	SET_BEST,
	SET_LAST_CLAIM_ON,
	SET_RETRY_AFTER_MS,
	SET_DETAIL
};

typedef struct Correction
{
	int32		day;
	int32		last_claim;		/* ECO_NO_DAY with day 0 */
	EcoText		reason;
	EcoText		actor;
	bool		has_key;
	EcoText		key;
} Correction;

PG_FUNCTION_INFO_V1(eco_set_streak);

static void read_arguments(Correction *c, FunctionCallInfo fcinfo);
static void correct(const Correction *c, EcoDaily *d, EcoAccount *account, EcoResult *result);
static void replay(const Correction *c, const EcoRow *first, EcoResult *result);
static void set_entry(EcoResult *result, const EcoRow *row);

/*
 * eco_set_streak(user_id bigint, day int, last_claim_on date, reason text,
 *		actor text, idempotency_key text) returns streak_change
 */
Datum
eco_set_streak(PG_FUNCTION_ARGS)
{
	Correction	c;
	EcoCall		call;
	EcoResult	result;
	EcoDaily	d;

	eco_require_arg(fcinfo, 0, "user_id");
	read_arguments(&c, fcinfo);
	PreventCommandIfReadOnly("economy.set_streak()");
	eco_result_begin(&result, fcinfo, "btttiidij");

	eco_call_init(&call, &eco_rewards, PG_GETARG_INT64(0),
				  eco_daily_tables);
	if (c.has_key)
	{
		call.key = ECO_RWD_BY_EVENT;
		call.texts[call.ntexts++] = eco_text_of(ECO_SOURCE_SET_STREAK);
		call.texts[call.ntexts++] = c.key;
	}
	switch (eco_call_begin(&call))
	{
		case ECO_CALL_NEW:
			if (eco_daily_load(&d, &call.account))
				correct(&c, &d, &call.account, &result);
			else
				eco_result_outcome(&result, "refused", "USER_NOT_FOUND");
			break;
		case ECO_CALL_REPLAY:
			replay(&c, &call.first, &result);
			break;
		case ECO_CALL_ARCHIVED:
			eco_result_archived(&result, SET_DETAIL, &eco_rewards, call.user_id,
								call.archived_seq);
			break;
		case ECO_CALL_BUSY:
			eco_result_busy(&result, SET_RETRY_AFTER_MS);
			break;
		case ECO_CALL_NO_USER:
			eco_result_outcome(&result, "refused", "USER_NOT_FOUND");
			break;
	}
	eco_call_end(&call);
	return eco_result_row(&result);
}

static void
read_arguments(Correction *c, FunctionCallInfo fcinfo)
{
	eco_require_arg(fcinfo, 1, "day");
	c->day = PG_GETARG_INT32(1);
	if (c->day < 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("day must be 0 or more"));
	if (c->day > 0)
		eco_require_arg(fcinfo, 2, "last_claim_on");
	else if (!PG_ARGISNULL(2))
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("last_claim_on must be null with day 0"),
				  errdetail("A streak of 0 days has no claim."));
	c->last_claim = PG_ARGISNULL(2) ? ECO_NO_DAY : PG_GETARG_DATEADT(2);
	if (!PG_ARGISNULL(2) && DATE_NOT_FINITE(c->last_claim))
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("last_claim_on must be finite"));
	c->reason = eco_text_arg(fcinfo, 3, "reason", MAX_REASON);
	c->actor = eco_text_arg(fcinfo, 4, "actor", MAX_ACTOR);
	c->has_key = !PG_ARGISNULL(5);
	if (c->has_key)
		c->key = eco_text_arg(fcinfo, 5, "idempotency_key", ECO_MAX_KEY);
}

/*
 * Set the streak.  Dates that a change of zone excused, and a grace after the new last
 * claim, belong to the streak that is replaced: both are forgotten.
 */
static void
correct(const Correction *c, EcoDaily *d, EcoAccount *account, EcoResult *result)
{
	EcoEntry	entry;
	char	   *seq;

	if (c->last_claim > eco_daily_at(d, eco_now()).in_user_zone)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("last_claim_on must not be after the date of now"),
				  errdetail("The user could not claim until then."));
	d->streak.day = c->day;
	d->streak.best = Max(d->streak.best, c->day);
	d->streak.last_claim = c->last_claim;
	d->streak.excused_to = ECO_NO_DAY;
	if (d->streak.last_grace >= c->last_claim)
		d->streak.last_grace = ECO_NO_DAY;
	eco_daily_commit_zone(d);

	eco_entry_init(&entry, &eco_rewards);
	eco_daily_note(d, &entry.row);
	seq = psprintf("%lld", (long long) account->seq + 1);
	eco_row_set(&entry.row, RWD_SOURCE,
				eco_text_of(c->has_key ? ECO_SOURCE_SET_STREAK : SOURCE_WITHOUT_KEY).datum);
	eco_row_set(&entry.row, RWD_EVENT_ID, c->has_key ? c->key.datum : CStringGetTextDatum(seq));
	eco_row_set(&entry.row, RWD_ACTOR, c->actor.datum);
	eco_row_set(&entry.row, RWD_REASON, c->reason.datum);
	eco_entry_prepare(account, &entry);
	d->last_seq = entry.seq;
	eco_daily_put(d, account);
	eco_account_flush(account);
	eco_entry_write(&entry);
	ECO_CRASH_POINT("set_streak:after_entry");
	eco_result_outcome(result, "new", "OK");
	set_entry(result, &entry.row);
}

static void
replay(const Correction *c, const EcoRow *first, EcoResult *result)
{
	EcoDetail	detail = {0};
	int32		day = DatumGetInt32(first->values[RWD_STREAK_DAY]);
	int32		last_claim = first->isnull[RWD_CLAIM_DATE] ? ECO_NO_DAY :
	DatumGetDateADT(first->values[RWD_CLAIM_DATE]);

	set_entry(result, first);
	if (day == c->day && last_claim == c->last_claim)
	{
		eco_result_outcome(result, "reuse", "OK");
		return;
	}
	eco_result_outcome(result, "refused", "IDEMPOTENCY_MISMATCH");
	if (day != c->day)
	{
		eco_detail_field(&detail, "day", first, RWD_STREAK_DAY);
		eco_detail_int(&detail, "now", c->day);
	}
	else
	{
		eco_detail_str(&detail, "field", "last_claim_on");
		eco_detail_str(&detail, "first", eco_iso_date(last_claim));
		eco_detail_str(&detail, "now", eco_iso_date(c->last_claim));
	}
	eco_result_set(result, SET_DETAIL, eco_detail_end(&detail));
}

static void
set_entry(EcoResult *result, const EcoRow *row)
{
	eco_result_entry(result, &eco_rewards, row);
	eco_result_set(result, SET_STREAK_DAY, row->values[RWD_STREAK_DAY]);
	eco_result_set(result, SET_BEST, row->values[RWD_BEST]);
	if (!row->isnull[RWD_CLAIM_DATE])
		eco_result_set(result, SET_LAST_CLAIM_ON, row->values[RWD_CLAIM_DATE]);
}
