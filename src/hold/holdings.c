/*
 * holdings.c
 *		holdings() and holds(): what a user has.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "errors.h"
#include "ledger/args.h"
#include "ledger/holdings.h"
#include "ledger/result.h"

/* columns of economy.holding */
enum
{
	HOL_ITEM_ID,
	HOL_KIND,
	HOL_QUANTITY,
	HOL_ENDS_AT,
	HOL_CONSUMABLE,
	HOL_TRADABLE,
	HOL_TEXTS,
	HOL_EXTRA,
	HOL_COLUMNS
};

PG_FUNCTION_INFO_V1(eco_holdings);
PG_FUNCTION_INFO_V1(eco_holds);

static EcoTable *const tables[] = {
	&eco_accounts, &eco_user_holdings_more, &eco_items, NULL
};

/* Of an item that the catalogue does not know, which only damage makes, nothing but its id. */
static void
put_holding(void *state, const EcoText *item_id, int64 balance, bool is_pass)
{
	ReturnSetInfo *info = state;
	Datum		values[HOL_COLUMNS] = {[HOL_ITEM_ID] = item_id->datum};
	bool		isnull[HOL_COLUMNS];
	EcoRow		item;

	memset(isnull, true, sizeof(isnull));
	isnull[HOL_ITEM_ID] = false;
	isnull[is_pass ? HOL_ENDS_AT : HOL_QUANTITY] = false;
	values[HOL_QUANTITY] = Int64GetDatum(balance);
	if (is_pass)
		values[HOL_ENDS_AT] = TimestampTzGetDatum(time_t_to_timestamptz((pg_time_t) balance));
	if (eco_item_find(item_id, &item))
	{
		values[HOL_KIND] = item.values[ITM_KIND];
		values[HOL_CONSUMABLE] = item.values[ITM_CONSUMABLE];
		values[HOL_TRADABLE] = item.values[ITM_TRADABLE];
		/* whole, not where to find them */
		values[HOL_TEXTS] = PointerGetDatum(PG_DETOAST_DATUM(item.values[ITM_TEXTS]));
		values[HOL_EXTRA] = PointerGetDatum(PG_DETOAST_DATUM(item.values[ITM_EXTRA]));
		isnull[HOL_KIND] = isnull[HOL_CONSUMABLE] = isnull[HOL_TRADABLE] = false;
		isnull[HOL_TEXTS] = isnull[HOL_EXTRA] = false;
	}
	tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
}

/*
 * eco_holdings(user_id bigint) returns setof economy.holding
 */
Datum
eco_holdings(PG_FUNCTION_ARGS)
{
	EcoOpenTables *open;
	EcoAccount	account;

	eco_result_set_begin(fcinfo, "ttlzbbjj");
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	open = eco_user_tables_open(ECO_READ, PG_GETARG_INT64(0), tables);
	if (eco_account_read(PG_GETARG_INT64(0), &account))
		eco_holdings_each(&account, put_holding, fcinfo->resultinfo);
	eco_tables_close(open);
	return (Datum) 0;
}

/*
 * eco_holds(user_id bigint, item_id text, quantity bigint) returns boolean
 *		A pass has no quantity: it is held until it ends.
 */
Datum
eco_holds(PG_FUNCTION_ARGS)
{
	EcoOpenTables *open;
	EcoAccount	account;
	EcoText		item_id;
	bool		holds = false;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	item_id = eco_text_arg(fcinfo, 1, "item_id", ECO_MAX_NAME);
	eco_require_arg(fcinfo, 2, "quantity");
	if (PG_GETARG_INT64(2) < 1)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("quantity must be 1 or more"));
	open = eco_user_tables_open(ECO_READ, PG_GETARG_INT64(0), tables);
	if (eco_account_read(PG_GETARG_INT64(0), &account))
		holds = eco_holding_is(&account, &item_id, PG_GETARG_INT64(2));
	eco_tables_close(open);
	PG_RETURN_BOOL(holds);
}
