/*
 * args.c
 *		Checks of function arguments that every domain makes the same way.
 */
#include "postgres.h"

#include "common/int.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "ledger/args.h"

PG_FUNCTION_INFO_V1(eco_require_given);

EcoText
eco_text_of(const char *constant)
{
	EcoText		result = {constant, (int) strlen(constant), CStringGetTextDatum(constant)};

	return result;
}

EcoText
eco_text_in(Datum value)
{
	text	   *stored = DatumGetTextPP(value);
	EcoText		result = {VARDATA_ANY(stored), VARSIZE_ANY_EXHDR(stored), PointerGetDatum(stored)};

	return result;
}

void
eco_require_arg(FunctionCallInfo fcinfo, int argno, const char *name)
{
	if (PG_ARGISNULL(argno))
		ECO_ERROR(ECO_NULL_ARGUMENT,
				  errmsg("%s must not be null", name));
}

EcoText
eco_text_arg(FunctionCallInfo fcinfo, int argno, const char *name, int max)
{
	EcoText		result;

	eco_require_arg(fcinfo, argno, name);
	result = eco_text_in(PG_GETARG_DATUM(argno));
	if (result.len == 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("%s must not be empty", name));
	if (result.len > max)
		ECO_ERROR(ECO_ARGUMENT_TOO_LONG,
				  errmsg("%s is too long", name),
				  errdetail("It has %d bytes; at most %d are allowed.", result.len, max));
	return result;
}

Jsonb *
eco_object_arg(FunctionCallInfo fcinfo, int argno, const char *name)
{
	Jsonb	   *value;
	int			len;

	if (PG_ARGISNULL(argno))
		return NULL;
	value = PG_GETARG_JSONB_P(argno);
	if (!JB_ROOT_IS_OBJECT(value))
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("%s must be a JSON object", name));
	len = (int) strlen(JsonbToCString(NULL, &value->root, VARSIZE(value)));
	if (len > ECO_MAX_JSON)
		ECO_ERROR(ECO_ARGUMENT_TOO_LONG,
				  errmsg("%s is too long", name),
				  errdetail("It has %d bytes as text; at most %d are allowed.",
							len, ECO_MAX_JSON));
	return value;
}

int64
eco_seconds_arg(FunctionCallInfo fcinfo, int argno, const char *name, int most_hours)
{
	bool		in_days = most_hours > HOURS_PER_DAY;
	const Interval *span;
	int64		days;
	int64		us = 0;

	eco_require_arg(fcinfo, argno, name);
	span = PG_GETARG_INTERVAL_P(argno);
	days = (int64) span->month * DAYS_PER_MONTH + span->day;
	if (pg_mul_s64_overflow(days, USECS_PER_DAY, &us) ||
		pg_add_s64_overflow(us, span->time, &us) ||
		us < USECS_PER_SEC || us > most_hours * USECS_PER_HOUR)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("%s must be from 1 second to %d %s", name,
						 in_days ? most_hours / HOURS_PER_DAY : most_hours,
						 in_days ? "days" : "hours"));
	return (us + USECS_PER_SEC - 1) / USECS_PER_SEC;
}

/* eco_require_given(argument text, given boolean) returns void: for functions in PL/pgSQL */
Datum
eco_require_given(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(1) || !PG_GETARG_BOOL(1))
		ECO_ERROR(ECO_NULL_ARGUMENT,
				  errmsg("%s must not be null",
						 PG_ARGISNULL(0) ? "argument" : text_to_cstring(PG_GETARG_TEXT_PP(0))));
	PG_RETURN_VOID();
}

bool
eco_takes_available(FunctionCallInfo fcinfo, int argno)
{
	const char *policy;

	eco_require_arg(fcinfo, argno, "policy");
	policy = text_to_cstring(PG_GETARG_TEXT_PP(argno));
	/* take: what it was called at first */
	if (strcmp(policy, ECO_TAKE_AVAILABLE) == 0 || strcmp(policy, "take") == 0)
		return true;
	if (strcmp(policy, ECO_REFUSE) != 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("policy \"%s\" is not known", policy),
				  errhint("It is refuse, or take_available: take what is there and report the "
						  "debt."));
	return false;
}
