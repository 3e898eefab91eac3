/*
 * sections.h
 *		The sections of an account as they are stored: a bytea, or null for none.
 */
#ifndef ECO_SECTIONS_H
#define ECO_SECTIONS_H

#include "postgres.h"

#include "core/section.h"

/* bytes, at most: a version of the account stays well below a page */
#define ECO_SECTIONS_ROOM 3072

/* The section of this id, without a byte when there is none; false: damage.  all: or NULL. */
extern bool eco_sections_get(const bytea *all, EcoSectionId id, EcoSection *section);

/* All with this one, or without it when it has no byte; palloc'd, NULL: none are left. */
extern bytea *eco_sections_set(const bytea *all, EcoSectionId id, const EcoSection *section);

#endif
