/*
 * clock.c
 *		The moment that all rules use.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "core/moment.h"

static bool is_replaced = false;
static TimestampTz replaced_by = 0;

PG_FUNCTION_INFO_V1(eco_clock);

TimestampTz
eco_now(void)
{
	return is_replaced ? replaced_by : GetCurrentTimestamp();
}

/* eco_clock() returns timestamptz: eco_now() for SQL */
Datum
eco_clock(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(eco_now());
}

/*
 * A hook that checks a setting looks nothing up: parallel workers run it before
 * the tables of time zone abbreviations are there.
 */
bool
eco_test_clock_check(char **newval, void **extra, GucSource source)
{
	int64		at;
	TimestampTz *result;

	(void) source;
	if (*newval == NULL || (*newval)[0] == '\0')
		return true;
	if (!eco_moment_parse(*newval, &at))
	{
		GUC_check_errdetail("The clock must be a date and time with an offset from UTC, "
							"such as \"2026-01-31 12:00:00+00\".");
		return false;
	}
	result = eco_guc_alloc(sizeof(TimestampTz));
	if (result == NULL)
		return false;
	*result = at;
	*extra = result;
	return true;
}

void
eco_test_clock_assign(const char *newval, void *extra)
{
	(void) newval;
	is_replaced = extra != NULL;
	if (is_replaced)
		replaced_by = *(TimestampTz *) extra;
}
