/*
 * holdings_section.h
 *		The section of a user's account that has the items that the user holds.
 *
 *	payload (version 1) = more:u8 holding*				by id, bytewise; none twice
 *	holding	 = id_length:u8 id balance * 2 + is_pass
 *
 * The number is one of core/varint.h.  A balance is never 0: of a stack or a currency it
 * is the units held, of a pass the second, since 1970 UTC, at which it ends.  A pass that
 * has ended stays: a clock that was ahead for a moment must not take one away.
 *
 * more is 1 when further items of the user, for which there was no room here, stand in
 * economy_internal.user_holdings_more; else 0.  An item that has a row there stays there.
 */
#ifndef ECO_HOLDINGS_SECTION_H
#define ECO_HOLDINGS_SECTION_H

#include "postgres.h"

#include "core/section.h"
#include "core/varint.h"

#define ECO_HELD_VERSION	1
#define ECO_HELD_ROOM		400 /* bytes of the payload, at most */
#define ECO_HELD_ID			64	/* of an item's id */
#define ECO_HELD_MAX		(1 + ECO_HELD_ID + ECO_VARINT_MAX)	/* of a holding */
#define ECO_HELD_MOST		INT64CONST(9007199254740991)	/* 2^53 - 1 */

typedef struct EcoHeld
{
	const char *id;				/* in the section, when it was read there */
	int			len;
	bool		is_pass;
	int64		balance;
} EcoHeld;

/* Read one holding after the other, of a section or of none; *more says what it says. */
extern void eco_held_read(EcoReader *reader, const EcoSection *section, bool *more);
extern bool eco_held_next(EcoReader *reader, EcoHeld *held);

/*
 * Write the payload with the holding in its place, or without it when its balance is 0;
 * out has room for section->len + 1 + ECO_HELD_MAX.  The length; 0: damage.
 */
extern size_t eco_held_put(const EcoSection *section, bool more, const EcoHeld *held,
						   uint8 *out);

#endif
