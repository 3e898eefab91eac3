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
#include "ledger/result.h"
#include "reward/level.h"
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

static void put_account(ReturnSetInfo *info, const EcoAccount *account);

/*
 * eco_account(user_id bigint)
 *		returns setof economy.account_status, at most one
 */
Datum
eco_account(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	EcoOpenTables *open;
	EcoAccount	account;

	eco_result_set_begin(fcinfo, "lllilllid");
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	open = eco_tables_open(ECO_READ, eco_daily_tables);
	if (eco_account_read(PG_GETARG_INT64(0), &account))
		put_account(info, &account);
	eco_tables_close(open);
	return (Datum) 0;
}

static void
put_account(ReturnSetInfo *info, const EcoAccount *account)
{
	Datum		values[OUT_COLUMNS] = {0};
	bool		isnull[OUT_COLUMNS] = {false};
	EcoLevel	at = eco_level_at(eco_level_curve_of(account->user_id), account->xp);
	EcoDaily	d;
	EcoDailyClaim next;
	bool		has_streak = eco_daily_load(&d, account->user_id, account->freezes);

	values[OUT_USER_ID] = Int64GetDatum(account->user_id);
	values[OUT_GOLD] = Int64GetDatum(account->gold);
	values[OUT_XP] = Int64GetDatum(account->xp);
	values[OUT_LEVEL] = Int32GetDatum(at.level);
	values[OUT_XP_INTO_LEVEL] = Int64GetDatum(at.xp_into_level);
	values[OUT_XP_TO_NEXT] = Int64GetDatum(at.xp_to_next);
	isnull[OUT_XP_TO_NEXT] = at.xp_to_next < 0;
	values[OUT_SEQ] = Int64GetDatum(account->seq);
	if (has_streak)
	{
		eco_daily_decide(&d, eco_daily_at(&d, eco_now()), &next);
		values[OUT_STREAK_DAY] = Int32GetDatum(eco_daily_day_before(&d, &next));
		values[OUT_LAST_CLAIM_ON] = DateADTGetDatum(d.streak.last_claim);
	}
	isnull[OUT_STREAK_DAY] = !has_streak;
	isnull[OUT_LAST_CLAIM_ON] = !has_streak || d.streak.last_claim == ECO_NO_DAY;
	tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
}
