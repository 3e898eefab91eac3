/*
 * test_moment.c
 *		Moments as ISO 8601 writes them, and what is none.
 */
#include <stdio.h>
#include <time.h>

#include "core/moment.h"
#include "unit.h"

#define EPOCH_2000 INT64_C(946684800)

static bool
is(const char *text, int64_t expected)
{
	int64_t		moment;

	return eco_moment_parse(text, &moment) && moment == expected;
}

static bool
is_none(const char *text)
{
	int64_t		moment;

	return !eco_moment_parse(text, &moment);
}

/* Each day of 9,999 years at noon against the C library's calendar. */
static void
test_days(void)
{
	bool		same = true;

	for (int64_t day = -730119; day <= 2921939; day += 7)
	{
		time_t		at = (time_t) (day * 86400 + EPOCH_2000 + 43200);
		struct tm	tm;
		char		text[40];

		gmtime_r(&at, &tm);
		if (tm.tm_year < -1899 || tm.tm_year > 8099)
			continue;
		snprintf(text, sizeof(text), "%04d-%02d-%02dT12:00Z", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
		same &= is(text, (day * 86400 + 43200) * INT64_C(1000000));
	}
	check(same, "days as the C library has them");
}

void
test_moment(void)
{
	static const char *const none[] = {
		"", "now", "today", "tomorrow", "infinity", "-infinity", "noon", "12:00", "x", "1", "+00", "epoch",
		"2031-01-01", "2031-01-01 12:00", "2031-01-01 12:00:00", "2031-13-01 12:00Z", "2031-00-01 12:00Z",
		"2031-02-29 12:00Z", "2031-02-30 12:00Z", "2031-04-31 12:00Z", "0000-01-01 12:00Z", "31-01-01 12:00Z",
		"12031-01-01 12:00Z", "2031-1-1 12:00Z", "2031-01-01 24:00Z", "2031-01-01 12:60Z", "2031-01-01 12:00:60Z",
		"2031-01-01 1200Z", "2031-01-01 12Z", "2031-01-01 12:00.5Z", "2031-01-01 12:00:00.Z",
		"2031-01-01 12:00:00.1234567Z", "2031-01-01 12:00:00+16", "2031-01-01 12:00:00+1360", "2031-01-01 12:00:00+01:00:60", "2031-01-01 12:00:00-16", "2031-01-01 12:00:00+0", "2031-01-01 12:00:00+00:60",
		"2031-01-01 12:00:00 UTC", "2031-01-01 12:00:00 CET", "2031-01-01 12:00:00Z ", " 2031-01-01 12:00:00Z",
		"2031-01-01  12:00:00Z", "2031-01-01 12:00:00ZZ", "2031-01-01 12:00:00z", "01.01.2031 12:00:00+00",
		"2031/01/01 12:00:00+00", "2031-01-01 12:00:00+00:00:", "2031-01-01T", "2031-01-01 12:0",
	};
	bool		refused = true;

	check(is("2000-01-01 00:00:00+00", 0), "the epoch");
	check(is("2000-01-01T00:00Z", 0), "with T and Z, to the minute");
	check(is("2000-01-01 00:00:00 +00", 0), "a space before the offset");
	check(is("1999-12-31 23:59:59.999999+00", -1), "the microsecond before it");
	check(is("2000-01-01 00:00:00.5Z", 500000), "a fraction of a second");
	check(is("2000-01-01 00:00:00.000001Z", 1), "a microsecond");
	check(is("2000-01-01 13:45:00+13:45", 0), "east of Greenwich");
	check(is("2000-01-01 13:45:00+1345", 0), "the same without a colon");
	check(is("1999-12-31 16:30:00-07:30", 0), "west of it");
	check(is("2000-01-01 00:19:32+00:19:32", 0), "an offset with seconds, as of Amsterdam in 1930");
	check(is("2000-01-01 15:59:59+15:59:59", 0) && is("1999-12-31 08:00:01-15:59:59", 0), "the furthest of either");
	check(is("2000-01-01 23:59:59.999999Z", INT64_C(86399999999)), "the last microsecond of a day");
	check(is("2000-02-29 00:00Z", INT64_C(59) * 86400 * 1000000), "a leap day");
	test_days();
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		if (!is_none(none[i]))
		{
			printf("# taken: %s\n", none[i]);
			refused = false;
		}
	check(refused, "nothing else is one");
}
