/*
 * period.c
 *		Days, ISO weeks and months by UTC.
 */
#include "core/period.h"

#define DAY_US		INT64_C(86400000000)
#define MONDAY		2			/* 2000-01-03 is one */

/* days from 0000-03-01 to 2000-01-01; in a year from March the leap day is the last */
#define MARCH_OF_0	730425
#define DAYS_400_YEARS 146097

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Days from 2000-01-01 to the first of a month, counted from January of year 0. */
static int64_t
day_of_month(int64_t month)
{
	int64_t		march = month - 2;	/* years begin with March */
	int64_t		year = floor_div(march, 12);
	int64_t		in_year = march - year * 12;

	return year * 365 + floor_div(year, 4) - floor_div(year, 100) + floor_div(year, 400) +
		(153 * in_year + 2) / 5 - MARCH_OF_0;
}

static int64_t
month_of_day(int64_t day)
{
	/* an average month is between 30 and 31 days: near, then exact */
	int64_t		month = 2000 * 12 + floor_div(day * 4800, DAYS_400_YEARS);

	while (day_of_month(month) > day)
		month--;
	while (day_of_month(month + 1) <= day)
		month++;
	return month;
}

int64_t
eco_period_of(EcoPeriod period, int64_t moment)
{
	return eco_period_of_day(period, floor_div(moment, DAY_US));
}

int64_t
eco_period_of_day(EcoPeriod period, int64_t day)
{
	switch (period)
	{
		case ECO_PERIOD_DAY:
			return day;
		case ECO_PERIOD_WEEK:
			return floor_div(day - MONDAY, 7);
		case ECO_PERIOD_MONTH:
			return month_of_day(day);
		case ECO_PERIOD_EVER:
			break;
	}
	return 0;
}

int64_t
eco_period_start(EcoPeriod period, int64_t number)
{
	switch (period)
	{
		case ECO_PERIOD_DAY:
			return number * DAY_US;
		case ECO_PERIOD_WEEK:
			return (number * 7 + MONDAY) * DAY_US;
		case ECO_PERIOD_MONTH:
			return day_of_month(number) * DAY_US;
		case ECO_PERIOD_EVER:
			break;
	}
	return 0;
}
