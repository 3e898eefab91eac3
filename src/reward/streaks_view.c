/*
 * streaks_view.c
 *		What the view economy.streaks, the audit and corrections ask of a user's packed
 *		streak.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/date.h"

#include "errors.h"
#include "ledger/args.h"
#include "ledger/sections.h"
#include "reward/streak_section.h"

enum
{
	STR_DAY,
	STR_BEST,
	STR_LAST_CLAIM,
	STR_LAST_GRACE,
	STR_EXCUSED_TO,
	STR_PAID_TO,
	STR_LAST_SEQ,
	STR_TIMEZONE,
	STR_COLUMNS
};

PG_FUNCTION_INFO_V1(eco_streak_of);
PG_FUNCTION_INFO_V1(eco_streak_sound);
PG_FUNCTION_INFO_V1(eco_with_streak);

/* eco_streak_of(sections bytea) returns table, STRICT */
Datum
eco_streak_of(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	EcoSection	section;
	EcoStoredStreak s;
	Datum		values[STR_COLUMNS];
	bool		isnull[STR_COLUMNS] = {false};

	InitMaterializedSRF(fcinfo, 0);
	if (!eco_sections_get(PG_GETARG_BYTEA_PP(0), ECO_SECTION_STREAK, &section) ||
		section.len == 0 || !eco_streak_read(&section, &s))
		return (Datum) 0;
	values[STR_DAY] = Int32GetDatum(s.day);
	values[STR_BEST] = Int32GetDatum(s.best);
	values[STR_LAST_CLAIM] = DateADTGetDatum(s.last_claim);
	values[STR_LAST_GRACE] = DateADTGetDatum(s.last_grace);
	values[STR_EXCUSED_TO] = DateADTGetDatum(s.excused_to);
	values[STR_PAID_TO] = DateADTGetDatum(s.paid_to);
	for (int i = STR_LAST_CLAIM; i <= STR_PAID_TO; i++)
		isnull[i] = DatumGetDateADT(values[i]) == ECO_NO_DAY;
	values[STR_LAST_SEQ] = Int64GetDatum(s.last_seq);
	values[STR_TIMEZONE] = PointerGetDatum(cstring_to_text_with_len(s.zone, s.zone_len));
	tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
	return (Datum) 0;
}

/* eco_streak_sound(sections bytea) returns boolean: true also of no streak */
Datum
eco_streak_sound(PG_FUNCTION_ARGS)
{
	EcoSection	section;
	EcoStoredStreak s;

	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(true);
	PG_RETURN_BOOL(eco_sections_get(PG_GETARG_BYTEA_PP(0), ECO_SECTION_STREAK, &section) &&
				   (section.len == 0 || eco_streak_read(&section, &s)));
}

static int32
day_arg(FunctionCallInfo fcinfo, int argno, const char *name)
{
	eco_require_arg(fcinfo, argno, name);
	if (PG_GETARG_INT32(argno) < 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("%s must be 0 or more", name));
	return PG_GETARG_INT32(argno);
}

static int32
date_arg(FunctionCallInfo fcinfo, int argno)
{
	if (PG_ARGISNULL(argno))
		return ECO_NO_DAY;
	if (DATE_NOT_FINITE(PG_GETARG_DATEADT(argno)))
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("dates of a streak must be finite"));
	return PG_GETARG_DATEADT(argno);
}

/*
 * eco_with_streak(sections bytea, streak_day int, best int, last_claim_on,
 *		last_grace_on, excused_to, paid_to date, last_seq bigint, timezone text)
 *		returns bytea
 *		Null sections are none; streak_day null takes the streak out.
 */
Datum
eco_with_streak(PG_FUNCTION_ARGS)
{
	bytea	   *all = PG_ARGISNULL(0) ? NULL : PG_GETARG_BYTEA_PP(0);
	uint8		payload[ECO_STREAK_MAX];
	EcoSection	section = {.data = payload};
	bytea	   *result;

	if (!eco_sections_get(all, ECO_SECTION_STREAK, &section))
		ECO_ERROR(ECO_LEDGER_DAMAGED, errmsg("these are no sections of an account"));
	section = (EcoSection)
	{
		.version = ECO_STREAK_VERSION, .data = payload
	};
	if (!PG_ARGISNULL(1))
	{
		EcoStoredStreak s = {
			.day = day_arg(fcinfo, 1, "streak_day"), .best = day_arg(fcinfo, 2, "best"),
			.last_claim = date_arg(fcinfo, 3), .last_grace = date_arg(fcinfo, 4),
			.excused_to = date_arg(fcinfo, 5), .paid_to = date_arg(fcinfo, 6)
		};
		EcoText		zone = eco_text_arg(fcinfo, 8, "timezone", ECO_STREAK_ZONE);

		eco_require_arg(fcinfo, 7, "last_seq");
		s.last_seq = PG_GETARG_INT64(7);
		s.zone = zone.data;
		s.zone_len = zone.len;
		if (s.last_seq < 0 || (s.day == 0) != (s.last_claim == ECO_NO_DAY))
			ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("there is no such streak"),
					  errhint("last_seq is 0 or more; a streak of 0 days has no claim."));
		section.len = eco_streak_write(&s, payload);
	}
	result = eco_sections_set(all, ECO_SECTION_STREAK, &section);
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(result);
}
