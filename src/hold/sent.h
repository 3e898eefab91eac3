/*
 * sent.h
 *		The section of a user's account that counts what gold the user has sent to others
 *		in a day.
 *
 *	payload (version 1) = day:zigzag gold		numbers of core/varint.h; gold > 0
 *
 * The day, by UTC, counts from 2000-01-01.  It never falls: what is sent while the clock
 * has gone back counts on the day that was reached.
 */
#ifndef ECO_HOLD_SENT_H
#define ECO_HOLD_SENT_H

#include "postgres.h"

#include "core/section.h"
#include "core/varint.h"

#define ECO_SENT_VERSION 1
#define ECO_SENT_MAX (2 * ECO_VARINT_MAX)

typedef struct EcoSent
{
	int64		day;
	int64		gold;			/* 0: none on any day */
} EcoSent;

/* Of a section or of none; false: damage. */
extern bool eco_sent_read(const EcoSection *section, EcoSent *sent);

/* The payload's length. */
extern size_t eco_sent_write(const EcoSent *sent, uint8 *payload);

/* Add what is sent at a moment, and tell the day's total. */
extern void eco_sent_add(EcoSent *sent, TimestampTz at, int64 gold);

#endif
