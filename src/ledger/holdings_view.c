/*
 * holdings_view.c
 *		What the view economy.user_holdings and the audit ask of a user's packed holdings.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "ledger/args.h"
#include "ledger/holdings_section.h"
#include "ledger/sections.h"

PG_FUNCTION_INFO_V1(eco_holdings_of);
PG_FUNCTION_INFO_V1(eco_holdings_sound);

/* What others only compare is shown here: an id that is no text is damage, too. */
static bool
next_holding(EcoReader *reader, EcoHeld *held)
{
	if (!eco_held_next(reader, held))
		return false;
	reader->damaged = !pg_verify_mbstr(PG_UTF8, held->id, held->len, true);
	return !reader->damaged;
}

/* eco_holdings_of(sections bytea) returns table, STRICT */
Datum
eco_holdings_of(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	EcoSection	section;
	EcoReader	reader;
	EcoHeld		held = {.id = ""};
	bool		more;

	InitMaterializedSRF(fcinfo, 0);
	(void) eco_sections_get(PG_GETARG_BYTEA_PP(0), ECO_SECTION_HOLDINGS, &section);
	eco_held_read(&reader, &section, &more);
	while (next_holding(&reader, &held))
	{
		Datum		values[] = {
			PointerGetDatum(cstring_to_text_with_len(held.id, held.len)),
			Int64GetDatum(held.balance), BoolGetDatum(held.is_pass)
		};
		bool		isnull[lengthof(values)] = {false};

		tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
	}
	return (Datum) 0;
}

/* eco_holdings_sound(sections bytea, further boolean) returns boolean; null: none */
Datum
eco_holdings_sound(PG_FUNCTION_ARGS)
{
	EcoSection	section;
	EcoReader	reader;
	EcoHeld		held = {.id = ""};
	bool		more;

	eco_require_arg(fcinfo, 1, "further");
	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(!PG_GETARG_BOOL(1));
	if (!eco_sections_get(PG_GETARG_BYTEA_PP(0), ECO_SECTION_HOLDINGS, &section))
		PG_RETURN_BOOL(false);
	eco_held_read(&reader, &section, &more);
	while (next_holding(&reader, &held))
		;
	PG_RETURN_BOOL(!reader.damaged && more == PG_GETARG_BOOL(1));
}
