/*
 * distinct.h
 *		Different values of a field that were counted for a user: what progress keeps of them.
 *
 *	kept = (len:u8 bytes times)*	in the order in which they were counted first
 *
 * bytes are a letter, the value's type, and the value as text; of more than 15 bytes, 128 bits of
 * two hashes of them, which no two of 64 values share but by an effort, and who makes one counts
 * less, not more.  times, a number of core/varint.h, is by how many entries it was counted: what
 * is taken back goes with the last of them.
 */
#ifndef ECO_DISTINCT_H
#define ECO_DISTINCT_H

#include "postgres.h"

#include "mission/fact.h"

#define ECO_DISTINCT_VALUES 64
#define ECO_DISTINCT_LEN 16		/* bytes of a value, at most */
#define ECO_DISTINCT_ROOM (ECO_DISTINCT_VALUES * (1 + ECO_DISTINCT_LEN + 5))

typedef struct EcoDistinct
{
	uint8		len;			/* 0: there is no value */
	uint8		bytes[ECO_DISTINCT_LEN];
} EcoDistinct;

/* The value that a field has in an entry; an array or an object is none. */
extern void eco_distinct_of(const EcoFact *field, const EcoRow *entry, EcoDistinct *value);

/*
 * Count it, or take it back; the values that it makes more or less.  kept has ECO_DISTINCT_ROOM
 * bytes, of which *len are used.
 */
extern int	eco_distinct_add(uint8 *kept, int *len, const EcoDistinct *value);
extern int	eco_distinct_take(uint8 *kept, int *len, const EcoDistinct *value);

/* How many there are; -1: these bytes are no such values. */
extern int	eco_distinct_count(const uint8 *kept, int len);

#endif
