/*
 * test_digest.c
 *		SipHash-2-4 against published values, and the halves of a key's digest.
 */
#include <string.h>

#include "core/digest.h"
#include "unit.h"

#define KEY_0 UINT64_C(0x0706050403020100)
#define KEY_1 UINT64_C(0x0F0E0D0C0B0A0908)

/*
 * Of the bytes 0, 1, 2, ... under the key 0, 1, ..., 15: the authors' reference
 * implementation (vectors_sip64); that of 15 bytes is the paper's appendix A.
 */
static const struct
{
	size_t		len;
	uint64_t	hash;
}			vectors[] = {
	{0, UINT64_C(0x726fdb47dd0e0e31)}, {1, UINT64_C(0x74f839c593dc67fd)},
	{2, UINT64_C(0x0d6c8009d9a94f5a)}, {3, UINT64_C(0x85676696d7fb7e2d)},
	{4, UINT64_C(0xcf2794e0277187b7)}, {5, UINT64_C(0x18765564cd99a68d)},
	{6, UINT64_C(0xcbc9466e58fee3ce)}, {7, UINT64_C(0xab0200f58b01d137)},
	{8, UINT64_C(0x93f5f5799a932462)}, {15, UINT64_C(0xa129ca6149be45e5)},
};

static void
published(void)
{
	unsigned char bytes[16];

	for (int i = 0; i < 16; i++)
		bytes[i] = (unsigned char) i;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		check_int((int64_t) eco_siphash(bytes, vectors[i].len, KEY_0, KEY_1),
				  (int64_t) vectors[i].hash, "a published value");
}

static int64_t
digest(const char *first, const char *second)
{
	return eco_digest(first, strlen(first), second, strlen(second));
}

/* Stored in every journal: these may never change. */
static void
stored(void)
{
	check_int(digest("p1", "x"), INT64_C(-3954453549717836494), "a digest is what it ever was");
	check_int(digest("", ""), INT64_C(8246050541976965310), "also of two texts that are empty");
}

static void
halves(void)
{
	int64_t		least = eco_digest_least("item", 4);
	int64_t		most = eco_digest_most(least);
	int64_t		one = digest("item", "1");
	int64_t		other = digest("items", "1");

	check_int(least & INT64_C(0xFFFFFFFF), 0, "the least has nothing below");
	check_int(most - least, INT64_C(0xFFFFFFFF), "and the most everything");
	check(one >= least && one <= most, "a key is among those of its first text");
	check(other < least || other > most, "and another's is not");
	check(one != digest("item", "2"), "the second text counts");
	check((one & INT64_C(0xFFFFFFFF)) != (other & INT64_C(0xFFFFFFFF)),
		  "of another first text the second is another too");
	check(digest("ab", "c") != digest("a", "bc"), "where a text ends counts");
}

void
test_digest(void)
{
	published();
	stored();
	halves();
}
