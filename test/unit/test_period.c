/*
 * test_period.c
 *		Days, weeks and months against the C library's calendar.
 */
#include <string.h>
#include <time.h>

#include "core/period.h"
#include "unit.h"

#define DAY_S INT64_C(86400)
#define EPOCH_2000 INT64_C(946684800)

static struct tm
utc(int64_t moment_us)
{
	time_t		at = (time_t) (moment_us / 1000000 + EPOCH_2000);
	struct tm	tm;

	if (moment_us % 1000000 < 0)
		at--;
	gmtime_r(&at, &tm);
	return tm;
}

static bool
begins(EcoPeriod period, int64_t start)
{
	struct tm	tm = utc(start);

	return start % 1000000 == 0 && tm.tm_hour == 0 && tm.tm_min == 0 && tm.tm_sec == 0 &&
		(period != ECO_PERIOD_WEEK || tm.tm_wday == 1) &&
		(period != ECO_PERIOD_MONTH || tm.tm_mday == 1);
}

void
test_period(void)
{
	static const EcoPeriod periods[] = {ECO_PERIOD_DAY, ECO_PERIOD_WEEK, ECO_PERIOD_MONTH};
	static const int days[] = {1, 7, 31};
	int64_t		wrong = 0;

	for (int i = 0; i < 300000; i++)
	{
		/* the years 1700 to 2300 */
		int64_t		moment = (int64_t) (unit_random() % (600 * 366 * DAY_S * 1000000)) - 300 * 365 * DAY_S * 1000000;
		EcoPeriod	period = periods[i % 3];
		int64_t		number = eco_period_of(period, moment);
		int64_t		start = eco_period_start(period, number);
		int64_t		next = eco_period_start(period, number + 1);
		bool		around = start <= moment && moment < next;
		bool		one = eco_period_of(period, start) == number && eco_period_of(period, next - 1) == number &&
			eco_period_of(period, next) == number + 1;

		wrong += !(around && one && begins(period, start) && begins(period, next) &&
				   next - start <= days[i % 3] * DAY_S * 1000000 && next > start);
	}
	check_int(wrong, 0, "300,000 moments lie in one day, week and month each");
	check_int(eco_period_start(ECO_PERIOD_MONTH, 2000 * 12), 0, "a month is counted from January of year 0");
	check_int(eco_period_start(ECO_PERIOD_MONTH, 2028 * 12 + 2) - eco_period_start(ECO_PERIOD_MONTH, 2028 * 12 + 1), 29 * DAY_S * 1000000, "a leap February");
	check_int(eco_period_of(ECO_PERIOD_EVER, -1), 0, "ever is one");
	check_int(eco_period_of(ECO_PERIOD_EVER, INT64_MAX), 0, "for all moments");
	check_int(eco_period_start(ECO_PERIOD_EVER, 7), 0, "and begins nowhere else");
}
