/*
 * test_sign.c
 *		HMAC-SHA256 against the vectors of RFC 4231, and the comparison.
 */
#include <stdlib.h>
#include <string.h>

#include "core/sign.h"
#include "unit.h"

struct vector
{
	const char *name;
	const char *key;
	const char *data;
	const char *mac;
};

/* RFC 4231, section 4 */
static const struct vector vectors[] = {
	{"RFC 4231 case 1: a key of 20 bytes",
		"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
	"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
	{"RFC 4231 case 2: a key of 4 bytes",
		"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
	"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
	{"RFC 4231 case 3: 50 bytes of data",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
	"773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
	{"RFC 4231 case 4: a key of 25 bytes",
		"0102030405060708090a0b0c0d0e0f10111213141516171819",
		"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
	"82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
	{"RFC 4231 case 5: the first half of the output, which is all that is published",
		"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c", "546573742057697468205472756e636174696f6e",
	"a3b6167473100ee06e0c796c2955552b"},
	{"RFC 4231 case 6: a key longer than a block",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b6579204669727374",
	"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
	{"RFC 4231 case 7: key and data longer than a block",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"5468697320697320612074657374207573696e672061206c6172676572207468616e20626c6f636b2d73697a65206b657920616e642061"
		"206c6172676572207468616e20626c6f636b2d73697a6520646174612e20546865206b6579206e6565647320746f206265206861736865"
		"64206265666f7265206265696e6720757365642062792074686520484d414320616c676f726974686d2e",
	"9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
};

static void
known_signatures(void)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
	{
		uint8_t		key[256];
		uint8_t		data[256];
		uint8_t		want[ECO_SIGNATURE_LEN];
		uint8_t		have[ECO_SIGNATURE_LEN] = {0};
		size_t		key_len = unit_hex(vectors[i].key, key, sizeof(key));
		size_t		data_len = unit_hex(vectors[i].data, data, sizeof(data));
		EcoSigner  *signer = eco_signer_create(key, key_len);
		size_t		want_len = unit_hex(vectors[i].mac, want, sizeof(want));

		memset(key, 0, sizeof(key));	/* the signer has its copy */
		check(signer != NULL && eco_sign(signer, data, data_len, have), "signs");
		check_bytes(have, want_len, want, want_len, vectors[i].name);
		memset(have, 0, sizeof(have));
		check(signer != NULL && eco_sign(signer, "x", 1, have) && eco_sign(signer, data, data_len, have),
			  "signs another message, then this one again");
		check_bytes(have, want_len, want, want_len, "with the same result");
		eco_signer_free(signer);
	}
}

static void
keys_differ(void)
{
	uint8_t		key[ECO_KEY_LEN] = {0};
	uint8_t		first[ECO_SIGNATURE_LEN];
	uint8_t		other[ECO_SIGNATURE_LEN];
	EcoSigner  *signer = eco_signer_create(key, sizeof(key));
	bool		differ = true;
	bool		signs = eco_sign(signer, "entry", 5, first);

	eco_signer_free(signer);
	for (size_t i = 0; i < 8 * sizeof(key); i++)
	{
		key[i / 8] ^= (uint8_t) (1 << i % 8);
		signer = eco_signer_create(key, sizeof(key));
		signs &= signer != NULL && eco_sign(signer, "entry", 5, other);
		differ &= memcmp(first, other, sizeof(first)) != 0;
		eco_signer_free(signer);
		key[i / 8] ^= (uint8_t) (1 << i % 8);
	}
	check(signs, "keys of 32 bytes sign");
	check(differ, "every bit of the key counts");
	signer = eco_signer_create(key, sizeof(key));
	check(eco_sign(signer, "", 0, other), "an empty message is signed");
	eco_signer_free(signer);
	eco_signer_free(NULL);
	check(true, "no signer is freed");
}

static void
comparison(void)
{
	uint8_t		a[ECO_SIGNATURE_LEN];
	uint8_t		b[ECO_SIGNATURE_LEN];
	bool		found = true;

	memset(a, 0x5a, sizeof(a));
	memcpy(b, a, sizeof(a));
	check(eco_signature_equal(a, sizeof(a), b, sizeof(b)), "equal signatures");
	for (size_t i = 0; i < 8 * sizeof(a); i++)
	{
		b[i / 8] ^= (uint8_t) (1 << i % 8);
		found &= !eco_signature_equal(a, sizeof(a), b, sizeof(b));
		b[i / 8] ^= (uint8_t) (1 << i % 8);
	}
	check(found, "every flipped bit is found");
	check(!eco_signature_equal(a, sizeof(a), b, sizeof(b) - 1), "a shorter one is not equal");
	check(!eco_signature_equal(a, 0, b, sizeof(b)), "nor an empty one");
	check(!eco_signature_equal(a, sizeof(a), b, 0), "to either side");
}

static void
wiping(void)
{
	uint8_t		secret[40];
	uint8_t		zero[32] = {0};

	memset(secret, 0xff, sizeof(secret));
	eco_wipe(secret, 32);
	check_bytes(secret, 32, zero, 32, "a wiped secret is zero");
	check_int(secret[32], 0xff, "and nothing after it");
}

void
test_sign(void)
{
	known_signatures();
	keys_differ();
	comparison();
	wiping();
}
