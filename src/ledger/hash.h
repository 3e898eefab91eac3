/*
 * hash.h
 *		What follows when there is no hash.
 */
#ifndef ECO_HASH_H
#define ECO_HASH_H

#include "postgres.h"

#include "compat.h"
#include "core/encode.h"

/*
 * Raise XE104.  Where the crypto library is of no use to this process any more, the
 * session ends, so that a pool takes another one.
 */
ECO_NORETURN extern void eco_hash_failed(void);

#endif
