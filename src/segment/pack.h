/*
 * pack.h
 *		Packing a user's purchases, one by one, into daily buckets (core/rfm.h).
 */
#ifndef ECO_SEGMENT_PACK_H
#define ECO_SEGMENT_PACK_H

#include "postgres.h"

#include "core/rfm.h"

/* Days while they are being filled, the oldest first. */
typedef struct EcoPacking
{
	size_t		n;
	size_t		room;
	EcoBucket  *buckets;
} EcoPacking;

/* Without a purchase, in the current memory context. */
extern EcoPacking *eco_packing_make(void);

/* Raises when the purchase cannot be packed. */
extern void eco_packing_add(EcoPacking *packing, int64 at, int64 monetary, int64 seq);

/* The packed string, palloc'd; the packing is empty again. */
extern bytea *eco_packing_end(EcoPacking *packing);

#endif
