/*
 * units_section.h
 *		The section of a user's account that has the units bought of counted products.
 *
 *	payload (version 1) = more:u8 product*				by id, bytewise; none twice
 *	product	 = id_length:u8 id has:u8 units last_on counters
 *	counters = those of day, week and month that has says, by the bits 1, 2 and 4
 *
 * Units, counters and last_on, a date of UTC in days since 2000-01-01 (zigzag), are
 * numbers of core/varint.h.  The counters are of the day, week and month of last_on,
 * the date of the newest purchase; one whose period was over when the section was
 * written is left out: it counts for no purchase to come.  What a period had that is
 * over, and that a clock which was set back asks for again, is counted in the journal.
 *
 * more is 1 when further products of the user, for which there was no room here, stand
 * in economy_internal.shop_user_units_more; else 0.
 *
 * A product stands here by its id.  A number of its own would have to be kept for ever
 * in a table beside the catalogue, as an id that is deleted and made anew is still the
 * id of what was bought; a digest could be that of two products, and says nothing to
 * who reads the section.  An id is some ten bytes, and a number with its table three.
 */
#ifndef ECO_UNITS_SECTION_H
#define ECO_UNITS_SECTION_H

#include "postgres.h"

#include "core/period.h"
#include "core/section.h"
#include "core/varint.h"

#define ECO_UNITS_VERSION	1
#define ECO_UNITS_ROOM		512 /* bytes of the payload, at most */
#define ECO_UNITS_ID		64	/* of a product's id */
#define ECO_UNITS_MAX		(1 + ECO_UNITS_ID + 1 + 5 * ECO_VARINT_MAX) /* of a product */
#define ECO_UNITS_MOST		(PG_INT64_MAX / 2)	/* a purchase can be added */

/* By period, from ECO_PERIOD_EVER; 0: none was bought, or it is over and left out. */
typedef struct EcoUnitsOf
{
	const char *id;				/* in the section, when it was read there */
	int			len;
	int64		units[ECO_PERIOD_MONTH + 1];
	int32		last_on;
} EcoUnitsOf;

/* Whether there can be such units. */
extern bool eco_units_sound(const EcoUnitsOf *of);

/* Count units that are bought on a date. */
extern void eco_units_count(EcoUnitsOf *of, int32 quantity, int32 date);

/* Read one product after the other, of a section or of none; *more says what it says. */
extern void eco_units_read(EcoReader *reader, const EcoSection *section, bool *more);
extern bool eco_units_next(EcoReader *reader, EcoUnitsOf *of);

/*
 * Write the payload with the product in its place, or, unless it is to be kept, without
 * it, and without what is over on that date; out has room for section->len + 1 +
 * ECO_UNITS_MAX.  The length; 0: damage.
 */
extern size_t eco_units_put(const EcoSection *section, bool more, const EcoUnitsOf *of,
							bool keep, int32 date, uint8 *out);

#endif
