/*
 * profile.c
 *		profile(): who a user is.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/tuplestore.h"

#include "clock.h"
#include "ledger/result.h"
#include "ledger/user.h"

/* columns of economy.user_profile */
enum
{
	PRO_USER_ID,
	PRO_EXTERNAL_ID,
	PRO_STATUS,
	PRO_TIMEZONE,
	PRO_LOCAL_DATE,
	PRO_PROFILE,
	PRO_CREATED_AT,
	PRO_COLUMNS
};

PG_FUNCTION_INFO_V1(eco_profile);

static void
put_profile(ReturnSetInfo *info, const EcoRow *user, const EcoAccount *account)
{
	char	   *zone = TextDatumGetCString(user->values[USR_TIMEZONE]);
	bool		isnull[PRO_COLUMNS] = {[PRO_EXTERNAL_ID] = user->isnull[USR_EXTERNAL_ID]};
	Datum		values[PRO_COLUMNS] = {
		[PRO_USER_ID] = user->values[USR_USER_ID],
		[PRO_EXTERNAL_ID] = user->values[USR_EXTERNAL_ID],
		[PRO_STATUS] = CStringGetTextDatum(account->suspended ? "suspended" : "active"),
		[PRO_TIMEZONE] = user->values[USR_TIMEZONE],
		[PRO_LOCAL_DATE] = DateADTGetDatum(eco_local_date(eco_now(), eco_zone_or_utc(zone))),
		/* whole, not where to find it */
		[PRO_PROFILE] = PointerGetDatum(PG_DETOAST_DATUM(user->values[USR_PROFILE])),
		[PRO_CREATED_AT] = user->values[USR_CREATED_AT],
	};

	tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
}

/*
 * eco_profile(user_id bigint)
 *		returns setof economy.user_profile, at most one
 */
Datum
eco_profile(PG_FUNCTION_ARGS)
{
	static EcoTable *const tables[] = {&eco_user_records, &eco_accounts, NULL};
	EcoOpenTables *open;
	EcoAccount	account;
	EcoRow		user;
	Datum		id;

	eco_result_set_begin(fcinfo, "ltttdjz");
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	id = PG_GETARG_DATUM(0);
	open = eco_user_tables_open(ECO_READ, PG_GETARG_INT64(0), tables);
	if (eco_row_find(&eco_user_records, PG_GETARG_INT64(0), 0, 1, &id, &user) &&
		eco_account_read(PG_GETARG_INT64(0), &account))
		put_profile((ReturnSetInfo *) fcinfo->resultinfo, &user, &account);
	eco_tables_close(open);
	return (Datum) 0;
}
