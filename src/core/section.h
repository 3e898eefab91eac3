/*
 * section.h
 *		Small pieces of a user's state, packed one behind the other.
 *
 * Plain C, no PostgreSQL header: the format is stored with every account.
 *
 *	sections = section*					by ascending id, none twice
 *	section  = id:u8 version:u8 length:u16 payload		length >= 1, high byte first
 *
 * What a payload says is known to the domain that owns the id.
 */
#ifndef ECO_SECTION_H
#define ECO_SECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ECO_SECTION_HEADER	4

/* Owners; an id is never used again. */
typedef enum EcoSectionId
{
	ECO_SECTION_GAMES = 1,		/* play: statistics of the games played */
	ECO_SECTION_STREAK,			/* reward: the daily streak */
	ECO_SECTION_UNITS,			/* shop: units bought of counted products */
	ECO_SECTION_HOLDINGS,		/* ledger: items that the user holds */
	ECO_SECTION_SENT,			/* hold: gold sent to others in a day */
	ECO_SECTION_MISSIONS,		/* mission: progress in missions */
	ECO_SECTION_END				/* behind the last one */
} EcoSectionId;

typedef struct EcoSection
{
	uint8_t		version;
	const uint8_t *data;
	size_t		len;
} EcoSection;

/* Whether the bytes are sections; the others take only such. */
extern bool eco_sections_sound(const uint8_t *bytes, size_t len);

/* False, and a section without a byte: there is none of this id. */
extern bool eco_section_find(const uint8_t *bytes, size_t len, EcoSectionId id,
							 EcoSection *section);

/*
 * Write the sections with this one in its place, or, when it has no byte, without it;
 * out has room for len + ECO_SECTION_HEADER + section->len.  The length.
 */
extern size_t eco_section_put(const uint8_t *bytes, size_t len, EcoSectionId id,
							  const EcoSection *section, uint8_t *out);

#endif
