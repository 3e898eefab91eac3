/*
 * encode.h
 *		Canonical byte encoding of a ledger entry, and the hash chain over it.
 *
 * Plain C, no PostgreSQL header: the format is fixed here and nowhere else.
 *
 * Format, version 1 (all integers big-endian, two's complement):
 *
 *	entry  = version:u8  journal:u8  fields
 *	field  = 0x00						null
 *		   | 0x01 value:i64				integers, booleans (0, 1), times (us since
 *										2000-01-01 UTC), dates (days since then)
 *		   | 0x02 length:u32 bytes		text (UTF-8 as stored), jsonb as text
 *
 *	hash(0) = 32 zero bytes
 *	hash(n) = SHA-256( hash(n-1) || entry n )
 *
 * The tags make the encoding prefix-free: no two different rows of a journal
 * share an encoding.
 */
#ifndef ECO_ENCODE_H
#define ECO_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ECO_HASH_ALGO_VERSION	1
#define ECO_HASH_LEN			32

/* bytes a field adds beyond its text */
#define ECO_ENCODED_HEADER		2
#define ECO_ENCODED_NULL		1
#define ECO_ENCODED_INT			9
#define ECO_ENCODED_BYTES(len)	(5 + (size_t) (len))

/* A cursor over a caller's buffer; on overflow nothing more is written. */
typedef struct EcoEncoder
{
	uint8_t    *buf;
	size_t		cap;
	size_t		len;
	bool		overflow;
} EcoEncoder;

extern void eco_encode_begin(EcoEncoder *enc, uint8_t *buf, size_t cap,
							 uint8_t version, uint8_t journal);
extern void eco_encode_null(EcoEncoder *enc);
extern void eco_encode_int(EcoEncoder *enc, int64_t value);
extern void eco_encode_bytes(EcoEncoder *enc, const void *bytes, size_t len);

/*
 * Whether the crypto library has SHA-256.  It sets itself up when it is asked first, once
 * in a process: what failed then, for want of memory, fails until the process ends.  So
 * whoever loads this asks before there is work.
 */
extern bool eco_hash_ready(void);

/*
 * hash = SHA-256(prev || entry).  False when the crypto library failed (out
 * of memory, or SHA-256 disabled by its policy); *hash is then undefined.
 */
extern bool eco_chain_hash(const uint8_t prev[ECO_HASH_LEN],
						   const EcoEncoder *entry,
						   uint8_t hash[ECO_HASH_LEN]);

#endif
