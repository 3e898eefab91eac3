/*
 * streak_section.h
 *		The section of a user's account that has the daily streak as it is stored.
 *
 *	payload (version 1) = has:u8 day best dates last_seq zone
 *	dates	= those of last_claim, last_grace, excused_to and paid_to that has says,
 *			  by the bits 1, 2, 4 and 8; days since 2000-01-01
 *
 * Day, best, dates and last_seq are numbers of core/varint.h, dates zigzag; zone is the
 * rest, in UTF-8.
 */
#ifndef ECO_STREAK_SECTION_H
#define ECO_STREAK_SECTION_H

#include "postgres.h"

#include "core/section.h"
#include "core/streak.h"
#include "core/varint.h"

#define ECO_STREAK_VERSION	1
#define ECO_STREAK_DATES	4
#define ECO_STREAK_ZONE		255 /* bytes of a zone's name, at most */
#define ECO_STREAK_MAX		(1 + 7 * ECO_VARINT_MAX + ECO_STREAK_ZONE)

typedef struct EcoStoredStreak
{
	int32		day;
	int32		best;
	int32		last_claim;		/* dates: ECO_NO_DAY for none */
	int32		last_grace;
	int32		excused_to;
	int32		paid_to;
	int64		last_seq;
	const char *zone;			/* in the section */
	int			zone_len;
} EcoStoredStreak;

/* False: damage.  The section has at least a byte. */
extern bool eco_streak_read(const EcoSection *section, EcoStoredStreak *stored);

/* Write the payload; out has room for ECO_STREAK_MAX.  The length. */
extern size_t eco_streak_write(const EcoStoredStreak *stored, uint8 *out);

#endif
