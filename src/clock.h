/*
 * clock.h
 *		The moment that all rules use: the server's clock, or economy.test_clock.
 */
#ifndef ECO_CLOCK_H
#define ECO_CLOCK_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/guc.h"

extern TimestampTz eco_now(void);

/* hooks of economy.test_clock, for settings.c */
extern bool eco_test_clock_check(char **newval, void **extra, GucSource source);
extern void eco_test_clock_assign(const char *newval, void *extra);

#endif
