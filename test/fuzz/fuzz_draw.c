/*
 * fuzz_draw.c
 *		Draws: every number is in its range, and what a plain reading of the rule gives.
 */
#include <inttypes.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "core/draw.h"
#include "fuzz.h"

/* The word of that number, of as many blocks as it takes. */
static uint64_t
word(const uint8_t *seed, const uint8_t *client_seed, size_t len, int64_t nonce, int number)
{
	uint8_t		mac[EVP_MAX_MD_SIZE];
	unsigned	mac_len;
	char		message[200];
	uint64_t	x = 0;

	memcpy(message, client_seed, len);
	len += (size_t) snprintf(message + len, 60, ":%" PRId64, nonce);
	if (number >= 4)
		len += (size_t) snprintf(message + len, 60, ":%d", number / 4);
	CHECK(HMAC(EVP_sha256(), seed, ECO_DRAW_SEED, (uint8_t *) message, len, mac, &mac_len) != NULL);
	for (int i = 0; i < 8; i++)
		x = x << 8 | mac[number % 4 * 8 + i];
	return x;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		in = {data, size};
	uint8_t		seed[ECO_DRAW_SEED];
	size_t		len;
	uint8_t    *client_seed;
	int64_t		nonce;
	int			words = 0;
	EcoSigner  *signer;
	EcoDraw		draw;

	take(&in, seed, sizeof(seed));
	nonce = take_int(&in);
	client_seed = take_bytes(&in, ECO_CLIENT_SEED + 2, &len);
	signer = eco_signer_create(seed, sizeof(seed));
	CHECK(signer != NULL);
	eco_draw_begin(&draw, signer, (char *) client_seed, len, nonce);
	CHECK(draw.failed == !eco_client_seed_fits((char *) client_seed, len));
	for (int i = 0; i < 16; i++)
	{
		int64_t		n = 1 + (int64_t) ((uint64_t) take_int(&in) % (uint64_t) ECO_DRAW_MOST);
		int64_t		number = eco_draw_below(&draw, n);
		unsigned __int128 all = (unsigned __int128) 1 << 64;
		uint64_t	x;

		if (draw.failed)
		{
			CHECK(number == 0);
			continue;
		}
		do
			x = word(seed, client_seed, len, nonce, words++);
		while (x >= all / (uint64_t) n * (uint64_t) n);
		CHECK((uint64_t) number == x % (uint64_t) n);
	}
	eco_signer_free(signer);
	free(client_seed);
	return 0;
}
