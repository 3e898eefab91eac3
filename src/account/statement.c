/*
 * statement.c
 *		A user's entries as the apps show them.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "errors.h"
#include "ledger/result.h"
#include "ledger/stream.h"

#define STATEMENT_MAX 10000

enum
{
	STM_SEQ,
	STM_JOURNAL,
	STM_TRANSACTION_ID,
	STM_GOLD_DELTA,
	STM_XP_DELTA,
	STM_GOLD,
	STM_XP,
	STM_CREATED_AT,
	STM_SHOWN,					/* from here as EcoShown */
	STM_COLUMNS = STM_SHOWN + ECO_SHOWN
};

PG_FUNCTION_INFO_V1(eco_statement);

static void put_entries(ReturnSetInfo *info, int64 user_id, int64 after, int max);
static void put_entry(ReturnSetInfo *info, const EcoJournal *journal, const EcoRow *row);

/*
 * eco_statement(user_id bigint, after_seq bigint, max int)
 *		returns setof economy.statement_line
 */
Datum
eco_statement(PG_FUNCTION_ARGS)
{
	int			max = PG_ARGISNULL(2) ? STATEMENT_MAX : Min(PG_GETARG_INT32(2), STATEMENT_MAX);
	EcoOpenTables *open;

	if (max < 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("max must be 0 or more"));
	eco_result_set_begin(fcinfo, "lttllllz" "+tttj");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	open = eco_journals_open(ECO_READ, PG_GETARG_INT64(0), NULL);
	put_entries((ReturnSetInfo *) fcinfo->resultinfo, PG_GETARG_INT64(0), PG_GETARG_INT64(1), max);
	eco_tables_close(open);
	return (Datum) 0;
}

static void
put_entries(ReturnSetInfo *info, int64 user_id, int64 after, int max)
{
	MemoryContext each = AllocSetContextCreate(CurrentMemoryContext, "economy statement",
											   ALLOCSET_SMALL_SIZES);
	EcoStream  *stream = after < 0 ? eco_stream_begin(user_id, after) :
	eco_stream_begin_in_turn(user_id, after);
	const EcoJournal *journal;
	const EcoRow *row;

	for (int n = 0; n < max && (row = eco_stream_next(stream, &journal)) != NULL; n++)
	{
		MemoryContext caller = MemoryContextSwitchTo(each);

		put_entry(info, journal, row);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(each);
	}
	eco_stream_end(stream);
	MemoryContextDelete(each);
}

/* What the journal has of the columns that are not of every entry, whole. */
static void
set_shown(const EcoJournal *journal, const EcoRow *row, Datum *values, bool *isnull)
{
	for (int i = 0; i < ECO_SHOWN; i++)
	{
		int			column = journal->shown[i];

		isnull[i] = column == 0 || row->isnull[column];
		if (!isnull[i])
			values[i] = PointerGetDatum(PG_DETOAST_DATUM_PACKED(row->values[column]));
	}
}

static void
put_entry(ReturnSetInfo *info, const EcoJournal *journal, const EcoRow *row)
{
	bool		isnull[STM_COLUMNS] = {false};
	char	   *id = eco_transaction_id(journal, eco_row_int(row, ECO_COL_USER_ID),
										eco_row_int(row, ECO_COL_SEQ));
	Datum		values[STM_COLUMNS] = {
		[STM_SEQ] = row->values[ECO_COL_SEQ],
		[STM_JOURNAL] = CStringGetTextDatum(journal->table->name),
		[STM_TRANSACTION_ID] = CStringGetTextDatum(id),
		[STM_GOLD_DELTA] = row->values[ECO_COL_GOLD_DELTA],
		[STM_XP_DELTA] = row->values[ECO_COL_XP_DELTA],
		[STM_GOLD] = row->values[ECO_COL_GOLD],
		[STM_XP] = row->values[ECO_COL_XP],
		[STM_CREATED_AT] = row->values[ECO_COL_CREATED_AT],
	};

	set_shown(journal, row, values + STM_SHOWN, isnull + STM_SHOWN);
	tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
}
