/*
 * purchases_of.c
 *		purchases_of(): what a user bought, the newest first.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "errors.h"
#include "ledger/entry.h"
#include "ledger/result.h"
#include "shop/journal.h"
#include "shop/refunds.h"

#define PURCHASES_MAX 10000

/* columns of economy.purchase_line */
enum
{
	PLN_SEQ,
	PLN_TRANSACTION_ID,
	PLN_PRODUCT_ID,
	PLN_CATEGORY,
	PLN_QUANTITY,
	PLN_GOLD_DELTA,
	PLN_GOLD,
	PLN_STATUS,
	PLN_EFFECT_CODE,
	PLN_CONTEXT,
	PLN_CREATED_AT,
	PLN_ITEMS,
	PLN_XP_DELTA,
	PLN_REFUNDED,
	PLN_COLUMNS
};

PG_FUNCTION_INFO_V1(eco_purchases_of);

static void
put_purchase(ReturnSetInfo *info, const EcoRow *row, const EcoTakenBack *back)
{
	char	   *id = eco_transaction_id(&eco_purchases, eco_row_int(row, ECO_COL_USER_ID),
										eco_row_int(row, ECO_COL_SEQ));
	bool		isnull[PLN_COLUMNS] = {
		[PLN_EFFECT_CODE] = row->isnull[TXN_EFFECT_CODE],
		[PLN_CONTEXT] = row->isnull[TXN_CONTEXT],
		[PLN_ITEMS] = row->isnull[TXN_ITEMS],
	};
	Datum		values[PLN_COLUMNS] = {
		[PLN_SEQ] = row->values[ECO_COL_SEQ],
		[PLN_TRANSACTION_ID] = CStringGetTextDatum(id),
		[PLN_PRODUCT_ID] = row->values[TXN_PRODUCT_ID],
		[PLN_CATEGORY] = row->values[TXN_CATEGORY],
		[PLN_QUANTITY] = row->values[TXN_QUANTITY],
		[PLN_GOLD_DELTA] = row->values[ECO_COL_GOLD_DELTA],
		[PLN_GOLD] = row->values[ECO_COL_GOLD],
		[PLN_STATUS] = row->values[TXN_STATUS],
		[PLN_EFFECT_CODE] = row->values[TXN_EFFECT_CODE],
		[PLN_CREATED_AT] = row->values[ECO_COL_CREATED_AT],
		[PLN_XP_DELTA] = row->values[ECO_COL_XP_DELTA],
		[PLN_REFUNDED] = Int32GetDatum((int32) eco_taken_back_of(back,
																 eco_row_int(row, ECO_COL_SEQ))),
	};

	/* whole, not where to find it */
	if (!isnull[PLN_CONTEXT])
		values[PLN_CONTEXT] = PointerGetDatum(PG_DETOAST_DATUM(row->values[TXN_CONTEXT]));
	if (!isnull[PLN_ITEMS])
		values[PLN_ITEMS] = PointerGetDatum(PG_DETOAST_DATUM(row->values[TXN_ITEMS]));
	tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
}

static void
put_purchases(ReturnSetInfo *info, int64 user_id, int64 before, int max)
{
	MemoryContext each = AllocSetContextCreate(CurrentMemoryContext, "economy purchase",
											   ALLOCSET_DEFAULT_SIZES);
	Datum		user = Int64GetDatum(user_id);
	EcoTakenBack back = eco_taken_back(user_id, NULL);
	EcoScan    *scan = eco_scan_begin_before(&eco_shop_transactions, user_id, ECO_TXN_BY_SEQ, 1,
											 &user, before);
	MemoryContext caller = MemoryContextSwitchTo(each);
	EcoRow		row;

	for (int n = 0; n < max && eco_scan_next(scan, &row); n++)
	{
		CHECK_FOR_INTERRUPTS();
		put_purchase(info, &row, &back);
		MemoryContextReset(each);
	}
	MemoryContextSwitchTo(caller);
	eco_scan_end(scan);
	MemoryContextDelete(each);
}

/*
 * eco_purchases_of(user_id bigint, before_seq bigint, max int)
 *		returns setof economy.purchase_line; before_seq null: the newest
 */
Datum
eco_purchases_of(PG_FUNCTION_ARGS)
{
	static EcoTable *const tables[] = {&eco_shop_transactions, &eco_shop_refunds, NULL};
	int64		before = PG_ARGISNULL(1) ? PG_INT64_MAX : PG_GETARG_INT64(1);
	int			max = PG_ARGISNULL(2) ? PURCHASES_MAX : Min(PG_GETARG_INT32(2), PURCHASES_MAX);
	EcoOpenTables *open;

	if (max < 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("max must be 0 or more"));
	eco_result_set_begin(fcinfo, "ltttillttjz+jli");
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	open = eco_user_tables_open(ECO_READ, PG_GETARG_INT64(0), tables);
	put_purchases((ReturnSetInfo *) fcinfo->resultinfo, PG_GETARG_INT64(0), before, max);
	eco_tables_close(open);
	return (Datum) 0;
}
