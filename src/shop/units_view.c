/*
 * units_view.c
 *		What the view economy_internal.shop_user_units, the audit and corrections ask of a
 *		user's packed units.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/date.h"

#include "errors.h"
#include "ledger/args.h"
#include "ledger/sections.h"
#include "shop/units_section.h"

PG_FUNCTION_INFO_V1(eco_units_of);
PG_FUNCTION_INFO_V1(eco_user_units_sound);
PG_FUNCTION_INFO_V1(eco_with_units);

static void
put_row(ReturnSetInfo *info, const EcoUnitsOf *of)
{
	Datum		values[] = {
		PointerGetDatum(cstring_to_text_with_len(of->id, of->len)),
		Int64GetDatum(of->units[ECO_PERIOD_EVER]), Int64GetDatum(of->units[ECO_PERIOD_DAY]),
		Int64GetDatum(of->units[ECO_PERIOD_WEEK]), Int64GetDatum(of->units[ECO_PERIOD_MONTH]),
		DateADTGetDatum(of->last_on)
	};
	bool		isnull[lengthof(values)] = {false};

	tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
}

/* What others only compare is shown here: an id that is no text is damage, too. */
static bool
next_product(EcoReader *reader, EcoUnitsOf *of)
{
	if (!eco_units_next(reader, of))
		return false;
	reader->damaged = !pg_verify_mbstr(PG_UTF8, of->id, of->len, true);
	return !reader->damaged;
}

/* eco_units_of(sections bytea) returns table, STRICT */
Datum
eco_units_of(PG_FUNCTION_ARGS)
{
	EcoSection	section;
	EcoReader	reader;
	EcoUnitsOf	of = {.id = ""};
	bool		more;

	InitMaterializedSRF(fcinfo, 0);
	(void) eco_sections_get(PG_GETARG_BYTEA_PP(0), ECO_SECTION_UNITS, &section);
	eco_units_read(&reader, &section, &more);
	while (next_product(&reader, &of))
		put_row((ReturnSetInfo *) fcinfo->resultinfo, &of);
	return (Datum) 0;
}

/* eco_user_units_sound(sections bytea, further boolean) returns boolean; null: none */
Datum
eco_user_units_sound(PG_FUNCTION_ARGS)
{
	EcoSection	section;
	EcoReader	reader;
	EcoUnitsOf	of = {.id = ""};
	bool		more;

	eco_require_arg(fcinfo, 1, "further");
	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(!PG_GETARG_BOOL(1));
	if (!eco_sections_get(PG_GETARG_BYTEA_PP(0), ECO_SECTION_UNITS, &section))
		PG_RETURN_BOOL(false);
	eco_units_read(&reader, &section, &more);
	while (next_product(&reader, &of))
		;
	PG_RETURN_BOOL(!reader.damaged && more == PG_GETARG_BOOL(1));
}

static void
read_units(EcoUnitsOf *of, FunctionCallInfo fcinfo)
{
	static const char *const names[] = {"units", "day_units", "week_units", "month_units"};

	for (int i = 0; i < (int) lengthof(names); i++)
	{
		eco_require_arg(fcinfo, i + 2, names[i]);
		of->units[ECO_PERIOD_EVER + i] = PG_GETARG_INT64(i + 2);
	}
	eco_require_arg(fcinfo, 6, "last_on");
	of->last_on = PG_GETARG_DATEADT(6);
	if (!eco_units_sound(of))
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("there are no such units"),
				  errhint("units are 1 or more, those of a period 0 or more and no more than "
						  "those of a longer one; last_on is finite."));
}

/*
 * eco_with_units(sections bytea, product_id text, units, day_units, week_units,
 *				  month_units bigint, last_on date) returns bytea
 *		Null sections are none; units null takes the product out.
 */
Datum
eco_with_units(PG_FUNCTION_ARGS)
{
	bytea	   *all = PG_ARGISNULL(0) ? NULL : PG_GETARG_BYTEA_PP(0);
	EcoText		id = eco_text_arg(fcinfo, 1, "product_id", ECO_MAX_NAME);
	EcoUnitsOf	of = {.id = id.data, .len = id.len};
	bool		keep = !PG_ARGISNULL(2);
	EcoSection	section;
	EcoReader	reader;
	bool		more;
	uint8	   *payload;
	bytea	   *result;

	if (keep)
		read_units(&of, fcinfo);
	if (!eco_sections_get(all, ECO_SECTION_UNITS, &section))
		ECO_ERROR(ECO_LEDGER_DAMAGED, errmsg("these are no sections of an account"));
	eco_units_read(&reader, &section, &more);
	payload = palloc(section.len + 1 + ECO_UNITS_MAX);
	/* a correction is no purchase: what is over since is left as it is */
	section.len = reader.damaged ? 0 :
		eco_units_put(&section, more, &of, keep, DATEVAL_NOBEGIN, payload);
	if (section.len == 0)
		ECO_ERROR(ECO_LEDGER_DAMAGED, errmsg("these units of products are damaged"),
				  errhint("Begin with sections that are null, and add what else the user has."));
	if (section.len > ECO_UNITS_ROOM)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("there is no room for this product in the account"),
				  errhint("Its units stand in economy_internal.shop_user_units_more."));
	if (section.len == 1 && !more)
		section.len = 0;
	section.version = ECO_UNITS_VERSION;
	section.data = payload;
	result = eco_sections_set(all, ECO_SECTION_UNITS, &section);
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(result);
}
