/*
 * daily.c
 *		claim_daily_reward(), and the streak as it stands now.
 *
 * A claim commits the user's zone: from then on no change is pending.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "clock.h"
#include "crash_point.h"
#include "errors.h"
#include "ledger/archive.h"
#include "ledger/args.h"
#include "ledger/call.h"
#include "ledger/holdings.h"
#include "ledger/result.h"
#include "ledger/user.h"
#include "reward/calendar.h"
#include "reward/streaks.h"

#define MAX_PREVIEW_DAYS 366

/* columns of economy.claim_result after the common ones */
enum
{
	CLAIM_STREAK_DAY = ECO_RES_OWN,
	CLAIM_CLAIM_DATE,
	CLAIM_GRACE_USED,
	CLAIM_FREEZES_USED,
	CLAIM_GOLD_DELTA,
	CLAIM_XP_DELTA,
	CLAIM_GOLD,
	CLAIM_XP,
	CLAIM_LEVEL,
	CLAIM_LEVELED_UP,
	CLAIM_NEXT_CLAIM_AT,
	CLAIM_DETAIL,
	CLAIM_ITEMS
};

PG_FUNCTION_INFO_V1(eco_claim_daily_reward);
PG_FUNCTION_INFO_V1(eco_streak_reward_sql);
PG_FUNCTION_INFO_V1(eco_streak_preview);
PG_FUNCTION_INFO_V1(eco_streak_state);

static EcoTable *const calendar_tables[] = {&eco_daily_rewards, NULL};
static EcoTable *const item_tables[] = {&eco_items, &eco_user_holdings_more, NULL};
static EcoTable *const preview_tables[] = {
	&eco_reward_audit, &eco_accounts, &eco_users, &eco_daily_rewards, NULL
};

static void claim(EcoDaily *d, EcoCall *call, EcoResult *result);
static void post(EcoDaily *d, const EcoDailyClaim *c, const EcoDayReward *reward,
				 EcoHoldings *items, EcoAccount *account, EcoEntry *entry);
static void already_claimed(const EcoDaily *d, const EcoDailyClaim *c, TimestampTz now,
							EcoResult *result);
static void set_reward(EcoResult *result, const EcoRow *row);

/*
 * eco_claim_daily_reward(user_id bigint) returns claim_result
 */
Datum
eco_claim_daily_reward(PG_FUNCTION_ARGS)
{
	EcoDaily	d;
	EcoCall		call;
	EcoResult	result;
	EcoDailyClaim c;
	EcoOpenTables *open;
	EcoAccount	seen;
	TimestampTz now;

	eco_require_arg(fcinfo, 0, "user_id");
	PreventCommandIfReadOnly("economy.claim_daily_reward()");
	eco_result_begin(&result, fcinfo, "btttidbillllibzj+j");

	/* a second claim of the day is a read */
	open = eco_user_tables_open(ECO_WRITE, PG_GETARG_INT64(0), eco_daily_tables);
	now = eco_now();
	if (eco_account_read(PG_GETARG_INT64(0), &seen) && eco_daily_load(&d, &seen))
	{
		eco_daily_decide(&d, eco_daily_at(&d, now), &c);
		if (c.what == ECO_CLAIM_ALREADY)
		{
			already_claimed(&d, &c, now, &result);
			eco_tables_close(open);
			return eco_result_row(&result);
		}
	}
	eco_tables_close(open);

	eco_call_init(&call, &eco_rewards, PG_GETARG_INT64(0), eco_daily_tables);
	call.tables_of_new = calendar_tables;
	if (eco_call_begin(&call) == ECO_CALL_NO_USER ||
		!eco_daily_load(&d, &call.account))
		eco_result_outcome(&result, "refused", "USER_NOT_FOUND");
	else if (call.account.suspended)
		eco_result_outcome(&result, "refused", "USER_SUSPENDED");
	else
		claim(&d, &call, &result);
	eco_call_end(&call);
	return eco_result_row(&result);
}

/* Refuse a date that was paid by an entry in an archive: the clock was set back. */
static bool
refuse_archived(const EcoAccount *account, const char *event_id, EcoResult *result)
{
	static EcoTable *const tables[] = {&eco_archived_keys, NULL};
	EcoText		texts[2] = {eco_text_of(ECO_SOURCE_STREAK), eco_text_of(event_id)};
	EcoOpenTables *open;
	bool		archived;
	int64		seq;

	if (account->pruned_seq == 0)
		return false;
	open = eco_tables_open(ECO_READ_LATEST, tables);
	archived = eco_archive_has_key(account, &eco_rewards, texts, &seq);
	eco_tables_close(open);
	if (archived)
		eco_result_archived(result, CLAIM_DETAIL, &eco_rewards, account->user_id, seq);
	return archived;
}

/* The items of the day, as many as the user has room for: none is worth a lost streak. */
static void
give_items(const EcoDayReward *reward, const EcoAccount *account, EcoHoldings *items)
{
	EcoDetail	none = {0};

	items->n = 0;
	if (reward->contents == NULL)
		return;
	eco_holdings_add(reward->contents, 1, ECO_HOLDING_GIVE_SOME, items);
	(void) eco_holdings_refusal(items, account, &none);
}

static void
claim(EcoDaily *d, EcoCall *call, EcoResult *result)
{
	EcoAccount *account = &call->account;
	EcoDailyClaim c;
	EcoDayReward reward;
	EcoHoldings items;
	const char *refusal;
	EcoEntry	entry;

	/*
	 * date and next claim are of one moment, whatever midnight comes in
	 * between
	 */
	TimestampTz now = eco_now();

	eco_daily_decide(d, eco_daily_at(d, now), &c);
	if (c.what == ECO_CLAIM_ALREADY)
	{
		already_claimed(d, &c, now, result);
		return;
	}
	if (refuse_archived(account, c.event_id, result))
		return;
	/* of a calendar without items they need not be opened */
	do
		eco_day_reward(&d->policy, c.after.day, &reward);
	while (reward.contents != NULL && eco_tables_add(call->open, item_tables));
	refusal = eco_amount_refusal(account, reward.gold, reward.xp);
	if (refusal != NULL)
	{
		eco_result_outcome(result, "refused", refusal);
		return;
	}
	/* those that this claim uses are used before it gives any */
	account->freezes = c.after.freezes;
	give_items(&reward, account, &items);
	post(d, &c, &reward, &items, account, &entry);
	eco_result_outcome(result, "new", "CLAIMED");
	set_reward(result, &entry.row);
	eco_result_set(result, CLAIM_NEXT_CLAIM_AT,
				   TimestampTzGetDatum(eco_daily_next_claim(d, now)));
}

/* The items, and in the details what of them was not given. */
static void
note_items(const EcoHoldings *items, EcoEntry *entry)
{
	EcoDetail	detail = {0};
	Datum		carried = eco_holdings_json(items);

	eco_holdings_detail_rest(&detail, "not_given", items);
	if (detail.open)
		eco_row_set(&entry->row, RWD_DETAILS, eco_detail_end(&detail));
	if (carried == (Datum) 0)
		return;
	entry->at = items->at;
	eco_row_set(&entry->row, RWD_ITEMS, carried);
}

static void
post(EcoDaily *d, const EcoDailyClaim *c, const EcoDayReward *reward, EcoHoldings *items,
	 EcoAccount *account, EcoEntry *entry)
{
	int32		freezes_used;

	eco_entry_init(entry, &eco_rewards);
	entry->gold_delta = reward->gold;
	entry->xp_delta = reward->xp;
	freezes_used = d->streak.freezes - c->after.freezes;
	d->streak = c->after;
	eco_daily_commit_zone(d);
	eco_daily_note(d, &entry->row);
	eco_row_set(&entry->row, RWD_SOURCE, eco_text_of(ECO_SOURCE_STREAK).datum);
	eco_row_set(&entry->row, RWD_EVENT_ID, CStringGetTextDatum(c->event_id));
	eco_row_set(&entry->row, RWD_REWARD_DAY, Int32GetDatum(reward->day));
	eco_row_set(&entry->row, RWD_GRACE_USED, BoolGetDatum(c->what == ECO_CLAIM_GRACE));
	eco_row_set(&entry->row, RWD_FREEZES_USED, Int32GetDatum(freezes_used));
	note_items(items, entry);
	eco_entry_prepare(account, entry);
	d->last_seq = entry->seq;
	d->paid_to = Max(d->paid_to, d->streak.last_claim);
	eco_daily_put(d, account);
	eco_holdings_save(items, account);
	(void) eco_holdings_write(items, account->user_id);
	eco_account_flush(account);
	ECO_CRASH_POINT("daily:after_streak");
	eco_entry_write(entry);
	ECO_CRASH_POINT("daily:after_entry");
}

/*
 * The stored result: of the entry that paid the date, if it is given, else of
 * the one that the streak stands at.
 */
static void
already_claimed(const EcoDaily *d, const EcoDailyClaim *c, TimestampTz now, EcoResult *result)
{
	Datum		values[2] = {Int64GetDatum(d->user_id), Int64GetDatum(d->last_seq)};
	EcoRow		row;

	eco_result_outcome(result, "reuse", "ALREADY_CLAIMED");
	if (c->paid)
		row = c->entry;
	else if (!eco_row_find(&eco_reward_audit, d->user_id, ECO_RWD_BY_SEQ, 2, values, &row))
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("the last claim of user %lld is missing in reward_audit",
						 (long long) d->user_id));
	set_reward(result, &row);
	eco_result_set(result, CLAIM_NEXT_CLAIM_AT,
				   TimestampTzGetDatum(eco_daily_next_claim(d, now)));
}

static void
set_reward(EcoResult *result, const EcoRow *row)
{
	eco_reward_answer(result, CLAIM_GOLD_DELTA, row);
	eco_result_set(result, CLAIM_STREAK_DAY, row->values[RWD_STREAK_DAY]);
	eco_result_set(result, CLAIM_CLAIM_DATE, row->values[RWD_CLAIM_DATE]);
	eco_result_set(result, CLAIM_GRACE_USED, row->values[RWD_GRACE_USED]);
	eco_result_set(result, CLAIM_FREEZES_USED, row->values[RWD_FREEZES_USED]);
	if (!row->isnull[RWD_DETAILS])
		eco_result_set(result, CLAIM_DETAIL, row->values[RWD_DETAILS]);
	if (!row->isnull[RWD_ITEMS])
		eco_result_set(result, CLAIM_ITEMS, row->values[RWD_ITEMS]);
}

/*
 * eco_streak_reward_sql(day int) returns (gold bigint, xp bigint, items jsonb)
 */
Datum
eco_streak_reward_sql(PG_FUNCTION_ARGS)
{
	static const EcoStreakPolicy uncapped = {.cap = ECO_CAP_NONE};
	EcoResult	result;
	EcoOpenTables *open;
	EcoDayReward reward;
	int32		day;

	eco_require_arg(fcinfo, 0, "day");
	day = PG_GETARG_INT32(0);
	if (day < 1)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("day must be 1 or more"));
	eco_result_begin(&result, fcinfo, "ll+j");
	open = eco_tables_open(ECO_READ, calendar_tables);
	eco_day_reward(&uncapped, day, &reward);
	eco_tables_close(open);
	eco_result_set(&result, 0, Int64GetDatum(reward.gold));
	eco_result_set(&result, 1, Int64GetDatum(reward.xp));
	if (reward.contents != NULL)
		eco_result_set(&result, 2, JsonbPGetDatum(reward.contents));
	return eco_result_row(&result);
}

/*
 * eco_streak_preview(user_id bigint, days int) returns setof
 *		(claim_date date, outcome text, streak_day int, gold bigint, xp bigint, items jsonb)
 *		The rewards of the coming days if the user claims on each of them.
 */
Datum
eco_streak_preview(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	EcoOpenTables *open;
	EcoAccount	account;
	EcoDaily	d;
	EcoDailyClaim c;
	int32		ndays;
	EcoClaimDay today;
	int32		claimable;
	TimestampTz now = eco_now();

	eco_require_arg(fcinfo, 0, "user_id");
	eco_require_arg(fcinfo, 1, "days");
	ndays = PG_GETARG_INT32(1);
	if (ndays < 1 || ndays > MAX_PREVIEW_DAYS)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("days must be from 1 to %d", MAX_PREVIEW_DAYS));
	eco_result_set_begin(fcinfo, "dtill+j");
	open = eco_user_tables_open(ECO_READ, PG_GETARG_INT64(0), preview_tables);
	if (eco_account_read(PG_GETARG_INT64(0), &account) &&
		eco_daily_load(&d, &account))
	{
		today = eco_daily_at(&d, now);
		eco_daily_decide(&d, today, &c);
		if (c.what == ECO_CLAIM_ALREADY)
			today = eco_daily_at(&d, eco_daily_next_claim(&d, now));
		/* be it one that the zone moved to does not have */
		claimable = today.booked;
		for (int shown = 0; shown < ndays; today.booked++)
		{
			EcoDayReward reward;
			Datum		values[6];
			bool		isnull[6] = {false};

			CHECK_FOR_INTERRUPTS();
			eco_daily_decide(&d, today, &c);
			if (c.paid ||
				(today.booked != claimable && !eco_daily_date_exists(today.booked, d.user_zone)))
				continue;
			eco_day_reward(&d.policy, c.after.day, &reward);
			values[0] = DateADTGetDatum(today.booked);
			values[1] = CStringGetTextDatum(eco_claim_name(c.what));
			values[2] = Int32GetDatum(c.after.day);
			values[3] = Int64GetDatum(reward.gold);
			values[4] = Int64GetDatum(reward.xp);
			values[5] = JsonbPGetDatum(reward.contents);
			isnull[5] = reward.contents == NULL;
			tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
			d.streak = c.after;
			eco_daily_commit_zone(&d);
			shown++;
		}
	}
	eco_tables_close(open);
	return (Datum) 0;
}

/*
 * eco_streak_state(user_id bigint) returns (streak_day int, best int,
 *		last_claim_on date, next_outcome text, freezes int, next_claim_at timestamptz)
 *		Evaluated now: a streak that the next claim would not continue is 0.
 */
Datum
eco_streak_state(PG_FUNCTION_ARGS)
{
	EcoResult	result;
	EcoAccount	account;
	EcoDaily	d;
	EcoDailyClaim c;
	TimestampTz now = eco_now();
	EcoOpenTables *open;

	eco_require_arg(fcinfo, 0, "user_id");
	eco_result_begin(&result, fcinfo, "iidtiz");
	open = eco_user_tables_open(ECO_READ, PG_GETARG_INT64(0), eco_daily_tables);
	if (eco_account_read(PG_GETARG_INT64(0), &account) &&
		eco_daily_load(&d, &account))
	{
		eco_daily_decide(&d, eco_daily_at(&d, now), &c);
		eco_result_set(&result, 0, Int32GetDatum(eco_daily_day_before(&d, &c)));
		eco_result_set(&result, 1, Int32GetDatum(d.streak.best));
		if (d.streak.last_claim != ECO_NO_DAY)
			eco_result_set(&result, 2, DateADTGetDatum(d.streak.last_claim));
		eco_result_text(&result, 3, eco_claim_name(c.what));
		eco_result_set(&result, 4, Int32GetDatum(account.freezes));
		eco_result_set(&result, 5,
					   TimestampTzGetDatum(c.what == ECO_CLAIM_ALREADY ?
										   eco_daily_next_claim(&d, now) : now));
	}
	eco_tables_close(open);
	return eco_result_row(&result);
}
