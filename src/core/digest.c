/*
 * digest.c
 *		SipHash-2-4, and the digest of a key of two texts.
 */
#include "core/digest.h"

#define KEY_0 UINT64_C(0x0706050403020100)
#define KEY_1 UINT64_C(0x0F0E0D0C0B0A0908)

typedef struct State
{
	uint64_t	v0;
	uint64_t	v1;
	uint64_t	v2;
	uint64_t	v3;
} State;

static inline uint64_t
rotate(uint64_t x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

static inline void
mix(State *s)
{
	s->v0 += s->v1;
	s->v1 = rotate(s->v1, 13) ^ s->v0;
	s->v0 = rotate(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotate(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotate(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotate(s->v1, 17) ^ s->v2;
	s->v2 = rotate(s->v2, 32);
}

/* Eight bytes of the message, the first one lowest: one load where a processor is so made. */
static inline uint64_t
word_at(const unsigned char *b)
{
	return (uint64_t) b[0] | (uint64_t) b[1] << 8 | (uint64_t) b[2] << 16 |
		(uint64_t) b[3] << 24 | (uint64_t) b[4] << 32 | (uint64_t) b[5] << 40 |
		(uint64_t) b[6] << 48 | (uint64_t) b[7] << 56;
}

/* Those that are left over, fewer than eight. */
static inline uint64_t
rest_at(const unsigned char *bytes, size_t len)
{
	uint64_t	word = 0;

	for (size_t i = 0; i < len; i++)
		word |= (uint64_t) bytes[i] << (8 * i);
	return word;
}

static inline void
take(State *s, uint64_t word)
{
	s->v3 ^= word;
	mix(s);
	mix(s);
	s->v0 ^= word;
}

uint64_t
eco_siphash(const void *bytes, size_t len, uint64_t key_0, uint64_t key_1)
{
	const unsigned char *at = bytes;
	State		s = {
		key_0 ^ UINT64_C(0x736F6D6570736575), key_1 ^ UINT64_C(0x646F72616E646F6D),
		key_0 ^ UINT64_C(0x6C7967656E657261), key_1 ^ UINT64_C(0x7465646279746573)
	};
	size_t		whole = len & ~(size_t) 7;

	for (size_t i = 0; i < whole; i += 8)
		take(&s, word_at(at + i));
	take(&s, rest_at(at + whole, len - whole) | (uint64_t) len << 56);
	s.v2 ^= 0xFF;
	for (int i = 0; i < 4; i++)
		mix(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

int64_t
eco_digest_least(const void *first, size_t len)
{
	return (int64_t) (eco_siphash(first, len, KEY_0, KEY_1) & ~UINT64_C(0xFFFFFFFF));
}

int64_t
eco_digest(const void *first, size_t first_len, const void *second, size_t second_len)
{
	uint64_t	one = eco_siphash(first, first_len, KEY_0, KEY_1);
	uint64_t	both = eco_siphash(second, second_len, KEY_0 ^ one, KEY_1);

	return (int64_t) ((one & ~UINT64_C(0xFFFFFFFF)) | (both >> 32));
}
