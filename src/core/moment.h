/*
 * moment.h
 *		A moment as ISO 8601 writes it, read without any table of names or zones.
 */
#ifndef ECO_MOMENT_H
#define ECO_MOMENT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Date, T or a space, time to the minute, second or microsecond, and Z or an offset
 * from UTC: "2026-01-31 12:00:00+00".  *moment is in microseconds since 2000-01-01
 * 00:00 UTC.
 */
extern bool eco_moment_parse(const char *at, int64_t *moment);

#endif
