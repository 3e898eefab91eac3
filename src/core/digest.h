/*
 * digest.h
 *		The digest of an entry's key: what the index of a journal keeps instead of texts.
 *
 * Plain C, no PostgreSQL header: a digest is stored, so it is the same on every
 * platform and in every version.
 *
 * A digest is 64 bits: the upper half is of the first text, the lower half of both.
 * So the entries with one first text (a product, a game, a source of rewards) lie
 * next to each other in an index.  Different texts may have the same digest, by
 * chance or by somebody's effort: whoever finds an entry by it compares the texts.
 *
 * SipHash-2-4 (Aumasson and Bernstein, 2012); its key, that of the published test
 * vectors, is no secret here and need be none: a client that searched for keys of
 * one digest would only lengthen the look-ups of its own user.
 */
#ifndef ECO_DIGEST_H
#define ECO_DIGEST_H

#include <stddef.h>
#include <stdint.h>

/* key_0 and key_1: its first and its last eight bytes, lowest first */
extern uint64_t eco_siphash(const void *bytes, size_t len, uint64_t key_0, uint64_t key_1);

/* The digests of all keys that begin with the first text: from this one... */
extern int64_t eco_digest_least(const void *first, size_t len);

/* ...to this one. */
static inline int64_t
eco_digest_most(int64_t least)
{
	return least | INT64_C(0xFFFFFFFF);
}

extern int64_t eco_digest(const void *first, size_t first_len,
						  const void *second, size_t second_len);

#endif
