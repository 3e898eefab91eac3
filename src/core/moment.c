/*
 * moment.c
 *		A moment as ISO 8601 writes it.
 */
#include "core/moment.h"

#include <stddef.h>

#include "core/period.h"

#define SECOND_US INT64_C(1000000)
#define MAX_OFFSET_H 15

/* Read a number of exactly n digits, from least to most, and move *at behind it. */
static bool
digits(const char **at, int n, int least, int most, int *value)
{
	*value = 0;
	for (; n > 0; n--, (*at)++)
	{
		if (**at < '0' || **at > '9')
			return false;
		*value = *value * 10 + (**at - '0');
	}
	return *value >= least && *value <= most;
}

static bool
sign(const char **at, char expected)
{
	if (**at != expected)
		return false;
	(*at)++;
	return true;
}

static bool
parse_date(const char **at, int64_t *moment)
{
	int			year;
	int			month;
	int			day;
	int64_t		number;

	if (!digits(at, 4, 1, 9999, &year) || !sign(at, '-') ||
		!digits(at, 2, 1, 12, &month) || !sign(at, '-') ||
		!digits(at, 2, 1, 31, &day))
		return false;
	number = (int64_t) year * 12 + month - 1;
	*moment = eco_period_start(ECO_PERIOD_MONTH, number) + (day - 1) * 86400 * SECOND_US;
	/* the 30th of February is in March */
	return eco_period_of(ECO_PERIOD_MONTH, *moment) == number;
}

static bool
parse_fraction(const char **at, int64_t *moment)
{
	int64_t		unit = SECOND_US;

	if (!sign(at, '.'))
		return true;
	do
	{
		int			digit;

		unit /= 10;
		if (unit == 0 || !digits(at, 1, 0, 9, &digit))
			return false;
		*moment += digit * unit;
	} while (**at >= '0' && **at <= '9');
	return true;
}

/* Hours and minutes, and seconds if they are there. */
static bool
parse_clock(const char **at, int most_hours, int64_t *us)
{
	int			hours;
	int			minutes = 0;
	int			seconds = 0;

	if (!digits(at, 2, 0, most_hours, &hours))
		return false;
	if (sign(at, ':'))
	{
		if (!digits(at, 2, 0, 59, &minutes))
			return false;
		if (sign(at, ':') && !digits(at, 2, 0, 59, &seconds))
			return false;
	}
	else if (**at >= '0' && **at <= '9' && !digits(at, 2, 0, 59, &minutes))
		return false;
	*us = (hours * 3600 + minutes * 60 + seconds) * SECOND_US;
	return true;
}

static bool
parse_zone(const char **at, int64_t *moment)
{
	int64_t		offset;
	bool		east;

	(void) sign(at, ' ');
	if (sign(at, 'Z'))
		return true;
	east = **at == '+';
	if (!sign(at, '+') && !sign(at, '-'))
		return false;
	if (!parse_clock(at, MAX_OFFSET_H, &offset))
		return false;
	*moment -= east ? offset : -offset;
	return true;
}

bool
eco_moment_parse(const char *at, int64_t *moment)
{
	int64_t		clock;
	const char *time;

	if (!parse_date(&at, moment) || (!sign(&at, 'T') && !sign(&at, ' ')))
		return false;
	time = at;

	if (!parse_clock(&at, 23, &clock) || time[2] != ':')
		return false;
	*moment += clock;
	/* a fraction is of seconds */
	if ((at - time == 8 && !parse_fraction(&at, moment)) || !parse_zone(&at, moment))
		return false;
	return *at == '\0';
}
