/*
 * holdings_view.c
 *		What the view economy.user_holdings, the audit and corrections ask of a user's packed
 *		holdings.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "errors.h"
#include "ledger/args.h"
#include "ledger/holdings_section.h"
#include "ledger/sections.h"

PG_FUNCTION_INFO_V1(eco_holdings_of);
PG_FUNCTION_INFO_V1(eco_holdings_sound);
PG_FUNCTION_INFO_V1(eco_with_holding);

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

static void
read_holding(EcoHeld *held, FunctionCallInfo fcinfo)
{
	held->balance = PG_GETARG_INT64(2);
	eco_require_arg(fcinfo, 3, "is_pass");
	held->is_pass = PG_GETARG_BOOL(3);
	if (held->balance < 1 || held->balance > ECO_HELD_MOST)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("balance must be from 1 to 2^53-1"),
				  errhint("Null takes the item out."));
}

/*
 * eco_with_holding(sections bytea, item_id text, balance bigint, is_pass boolean) returns bytea
 *		Null sections are none; balance null takes the item out.
 */
Datum
eco_with_holding(PG_FUNCTION_ARGS)
{
	bytea	   *all = PG_ARGISNULL(0) ? NULL : PG_GETARG_BYTEA_PP(0);
	EcoText		id = eco_text_arg(fcinfo, 1, "item_id", ECO_MAX_NAME);
	EcoHeld		held = {.id = id.data};
	EcoSection	section;
	EcoReader	reader;
	bool		more;
	uint8	   *payload;
	bytea	   *result;

	held.len = id.len;
	if (!PG_ARGISNULL(2))
		read_holding(&held, fcinfo);
	if (!eco_sections_get(all, ECO_SECTION_HOLDINGS, &section))
		ECO_ERROR(ECO_LEDGER_DAMAGED, errmsg("these are no sections of an account"));
	eco_held_read(&reader, &section, &more);
	payload = palloc(section.len + 1 + ECO_HELD_MAX);
	section.len = reader.damaged ? 0 : eco_held_put(&section, more, &held, payload);
	if (section.len == 0)
		ECO_ERROR(ECO_LEDGER_DAMAGED, errmsg("these holdings are damaged"),
				  errhint("Begin with sections that are null, and add what else the user has."));
	if (section.len > ECO_HELD_ROOM)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("there is no room for this item in the account"),
				  errhint("It stands in economy_internal.user_holdings_more."));
	if (section.len == 1 && !more)
		section.len = 0;
	section.version = ECO_HELD_VERSION;
	section.data = payload;
	result = eco_sections_set(all, ECO_SECTION_HOLDINGS, &section);
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(result);
}
