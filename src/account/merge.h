/*
 * merge.h
 *		JSON merge patch, RFC 7386.
 */
#ifndef ECO_MERGE_H
#define ECO_MERGE_H

#include "postgres.h"

#include "utils/jsonb.h"

/* The object with the members of the patch, an object: null removes one. */
extern Jsonb *eco_merge_patch(Jsonb *object, Jsonb *patch);

#endif
