/*
 * hash.c
 *		What follows when there is no hash.
 */
#include "postgres.h"

#include "errors.h"
#include "ledger/hash.h"

void
eco_hash_failed(void)
{
	ereport(eco_hash_ready() ? ERROR : FATAL,
			(errcode(ECO_CRYPTO_FAILED), errmsg("could not compute a SHA-256 hash")));
	pg_unreachable();
}
