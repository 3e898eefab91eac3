/*
 * period.h
 *		Days, ISO weeks and months by UTC, for limits that renew.
 *
 * A moment is in microseconds since 2000-01-01 00:00 UTC, as PostgreSQL has it.
 */
#ifndef ECO_PERIOD_H
#define ECO_PERIOD_H

#include <stdint.h>

typedef enum EcoPeriod
{
	ECO_PERIOD_EVER,
	ECO_PERIOD_DAY,
	ECO_PERIOD_WEEK,			/* from Monday */
	ECO_PERIOD_MONTH
} EcoPeriod;

/* Number of the period that a moment lies in; the next period has the next number. */
extern int64_t eco_period_of(EcoPeriod period, int64_t moment);

/* The same of a day, counted from 2000-01-01. */
extern int64_t eco_period_of_day(EcoPeriod period, int64_t day);

/* First moment of a period, which is not ECO_PERIOD_EVER. */
extern int64_t eco_period_start(EcoPeriod period, int64_t number);

#endif
