/*
 * catalogue.c
 *		item_catalogue(): what an app shows of the items there are.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "errors.h"
#include "ledger/args.h"
#include "ledger/holdings.h"
#include "ledger/result.h"

/* columns of economy.catalogue_item */
enum
{
	CAT_ITEM_ID,
	CAT_KIND,
	CAT_MAXIMUM,
	CAT_CONSUMABLE,
	CAT_TRADABLE,
	CAT_ACTIVE,
	CAT_TEXTS,
	CAT_EXTRA,
	CAT_COLUMNS
};

PG_FUNCTION_INFO_V1(eco_item_catalogue);

static void
put_item(ReturnSetInfo *info, const EcoRow *item)
{
	bool		isnull[CAT_COLUMNS] = {[CAT_MAXIMUM] = item->isnull[ITM_MAXIMUM]};
	Datum		values[CAT_COLUMNS] = {
		[CAT_ITEM_ID] = item->values[ITM_ID],
		[CAT_KIND] = item->values[ITM_KIND],
		[CAT_MAXIMUM] = item->values[ITM_MAXIMUM],
		[CAT_CONSUMABLE] = item->values[ITM_CONSUMABLE],
		[CAT_TRADABLE] = item->values[ITM_TRADABLE],
		[CAT_ACTIVE] = item->values[ITM_ACTIVE],
		/* whole, not where to find them */
		[CAT_TEXTS] = PointerGetDatum(PG_DETOAST_DATUM(item->values[ITM_TEXTS])),
		[CAT_EXTRA] = PointerGetDatum(PG_DETOAST_DATUM(item->values[ITM_EXTRA])),
	};

	tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
}

/* Those of a kind, or of all when it is NULL. */
static void
put_items(ReturnSetInfo *info, const char *kind, bool only_active)
{
	MemoryContext each = AllocSetContextCreate(CurrentMemoryContext, "economy item",
											   ALLOCSET_DEFAULT_SIZES);
	EcoScan    *scan = eco_scan_begin(&eco_items, 0, 0, 0, NULL);
	MemoryContext caller = MemoryContextSwitchTo(each);
	EcoRow		item;

	while (eco_scan_next(scan, &item))
	{
		CHECK_FOR_INTERRUPTS();
		if ((DatumGetBool(item.values[ITM_ACTIVE]) || !only_active) &&
			(kind == NULL || strcmp(TextDatumGetCString(item.values[ITM_KIND]), kind) == 0))
			put_item(info, &item);
		MemoryContextReset(each);
	}
	MemoryContextSwitchTo(caller);
	eco_scan_end(scan);
	MemoryContextDelete(each);
}

/* The argument: one of the words, or NULL. */
static const char *
kind_arg(FunctionCallInfo fcinfo, int argno)
{
	EcoText		kind;
	const char *word;

	if (PG_ARGISNULL(argno))
		return NULL;
	kind = eco_text_arg(fcinfo, argno, "kind", ECO_MAX_NAME);
	word = pnstrdup(kind.data, kind.len);
	if (strcmp(word, "stack") != 0 && strcmp(word, "currency") != 0 && strcmp(word, "pass") != 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("kind must be stack, currency or pass"),
				  errhint("Leave it out for all."));
	return word;
}

/*
 * eco_item_catalogue(kind text, only_active boolean)
 *		returns setof economy.catalogue_item, by item_id
 */
Datum
eco_item_catalogue(PG_FUNCTION_ARGS)
{
	static EcoTable *const tables[] = {&eco_items, NULL};
	const char *kind = kind_arg(fcinfo, 0);
	EcoOpenTables *open;

	eco_require_arg(fcinfo, 1, "only_active");
	eco_result_set_begin(fcinfo, "ttlbbbjj");
	open = eco_tables_open(ECO_READ, tables);
	put_items((ReturnSetInfo *) fcinfo->resultinfo, kind, PG_GETARG_BOOL(1));
	eco_tables_close(open);
	return (Datum) 0;
}
