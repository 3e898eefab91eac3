/*
 * account.c
 *		account(): what a user has, as the apps show it.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/date.h"
#include "utils/tuplestore.h"

#include "clock.h"
#include "ledger/entry.h"
#include "ledger/level.h"
#include "ledger/result.h"
#include "reward/streaks.h"

enum
{
	OUT_USER_ID,
	OUT_GOLD,
	OUT_XP,
	OUT_LEVEL,
	OUT_XP_INTO_LEVEL,
	OUT_XP_TO_NEXT,
	OUT_SEQ,
	OUT_STREAK_DAY,
	OUT_LAST_CLAIM_ON,
	OUT_COLUMNS
};

PG_FUNCTION_INFO_V1(eco_account);

/* What is read of a user. */
typedef struct Status
{
	EcoAccount	account;
	const char *curve;
	EcoDaily	daily;
	bool		has_streak;
} Status;

static bool read_status(int64 user_id, Status *status);
static bool needs_more(const Status *status);
static void put_status(ReturnSetInfo *info, const Status *status);

/*
 * eco_account(user_id bigint)
 *		returns setof economy.account_status, at most one
 */
Datum
eco_account(PG_FUNCTION_ARGS)
{
	EcoOpenTables *open;
	Status		status;
	bool		found;

	eco_result_set_begin(fcinfo, "lllilllid");
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	open = eco_user_tables_open(ECO_READ, PG_GETARG_INT64(0), eco_daily_seen_tables);
	do
		found = read_status(PG_GETARG_INT64(0), &status);
	while (found && needs_more(&status) && eco_tables_add(open, eco_daily_tables));
	if (found)
		put_status((ReturnSetInfo *) fcinfo->resultinfo, &status);
	eco_tables_close(open);
	return (Datum) 0;
}

static bool
read_status(int64 user_id, Status *status)
{
	if (!eco_account_read(user_id, &status->account))
		return false;
	status->curve = eco_level_curve_of(user_id);
	status->has_streak = eco_daily_load(&status->daily, &status->account);
	return true;
}

/* Whether what is read next stands in a table that few users' status needs. */
static bool
needs_more(const Status *status)
{
	return strcmp(status->curve, ECO_LINEAR_CURVE) != 0 ||
		(status->has_streak && eco_daily_asks_journal(&status->daily));
}

static void
put_status(ReturnSetInfo *info, const Status *status)
{
	Datum		values[OUT_COLUMNS] = {0};
	bool		isnull[OUT_COLUMNS] = {false};
	const EcoAccount *account = &status->account;
	const EcoDaily *d = &status->daily;
	EcoLevel	at = eco_level_at(status->curve, account->xp);
	EcoDailyClaim next;

	values[OUT_USER_ID] = Int64GetDatum(account->user_id);
	values[OUT_GOLD] = Int64GetDatum(account->gold);
	values[OUT_XP] = Int64GetDatum(account->xp);
	values[OUT_LEVEL] = Int32GetDatum(at.level);
	values[OUT_XP_INTO_LEVEL] = Int64GetDatum(at.xp_into_level);
	values[OUT_XP_TO_NEXT] = Int64GetDatum(at.xp_to_next);
	isnull[OUT_XP_TO_NEXT] = at.xp_to_next < 0;
	values[OUT_SEQ] = Int64GetDatum(account->seq);
	if (status->has_streak)
	{
		eco_daily_decide(d, eco_daily_at(d, eco_now()), &next);
		values[OUT_STREAK_DAY] = Int32GetDatum(eco_daily_day_before(d, &next));
		values[OUT_LAST_CLAIM_ON] = DateADTGetDatum(d->streak.last_claim);
	}
	isnull[OUT_STREAK_DAY] = !status->has_streak;
	isnull[OUT_LAST_CLAIM_ON] = !status->has_streak || d->streak.last_claim == ECO_NO_DAY;
	tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
}
