/*
 * draw.c
 *		Random numbers that a player can check, and the outcomes that are made of them.
 */
#include "core/draw.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#define CRASH_BITS	36			/* 10^8 times as much is below 2^63 */
#define WORD		8

bool
eco_draw_hash(const uint8_t seed[ECO_DRAW_SEED], uint8_t hash[ECO_DRAW_HASH])
{
	unsigned int len = 0;
	bool		ok = EVP_Digest(seed, ECO_DRAW_SEED, hash, &len, EVP_sha256(), NULL) == 1 &&
	len == ECO_DRAW_HASH;

	if (!ok)
		ERR_clear_error();
	return ok;
}

bool
eco_client_seed_fits(const char *client_seed, size_t len)
{
	return len > 0 && len <= ECO_CLIENT_SEED && memchr(client_seed, ':', len) == NULL;
}

void
eco_draw_begin(EcoDraw *draw, EcoSigner *signer, const char *client_seed, size_t len,
			   int64_t nonce)
{
	draw->signer = signer;
	draw->failed = !eco_client_seed_fits(client_seed, len);
	draw->len = 0;
	draw->block = 0;
	draw->used = sizeof(draw->bytes);
	memset(draw->bytes, 0, sizeof(draw->bytes));
	if (draw->failed)
		return;
	memcpy(draw->message, client_seed, len);
	draw->len = (int) len + snprintf(draw->message + len, sizeof(draw->message) - len,
									 ":%" PRId64, nonce);
}

static void
next_block(EcoDraw *draw)
{
	int			len = draw->len;

	if (draw->block > 0)
		len += snprintf(draw->message + len, sizeof(draw->message) - (size_t) len,
						":%" PRIu64, draw->block);
	draw->block++;
	draw->used = 0;
	if (!draw->failed && !eco_sign(draw->signer, draw->message, (size_t) len, draw->bytes))
		draw->failed = true;
}

static uint64_t
next_word(EcoDraw *draw)
{
	uint64_t	word = 0;

	if (draw->used == sizeof(draw->bytes))
		next_block(draw);
	for (int i = 0; i < WORD; i++)
		word = word << 8 | draw->bytes[draw->used++];
	return word;
}

int64_t
eco_draw_below(EcoDraw *draw, int64_t n)
{
	uint64_t	of = (uint64_t) n;
	uint64_t	beyond = (UINT64_MAX % of + 1) % of;	/* 2^64 mod n */
	uint64_t	word;

	do
	{
		word = next_word(draw);
		if (draw->failed)
			return 0;
	} while (word > UINT64_MAX - beyond);
	return (int64_t) (word % of);
}

int
eco_draw_weighted(EcoDraw *draw, const int64_t *weights, int n, int64_t sum)
{
	int64_t		number = eco_draw_below(draw, sum);

	for (int i = 0; i < n - 1; i++)
	{
		if (number < weights[i])
			return i;
		number -= weights[i];
	}
	return n - 1;
}

void
eco_draw_dice(EcoDraw *draw, int sides, int n, int *faces)
{
	for (int i = 0; i < n; i++)
		faces[i] = 1 + (int) eco_draw_below(draw, sides);
}

void
eco_draw_reels(EcoDraw *draw, const int *stops, int n, int *at)
{
	for (int i = 0; i < n; i++)
		at[i] = (int) eco_draw_below(draw, stops[i]);
}

/* The first k of the numbers in order, each exchanged for one of itself and those after it. */
void
eco_draw_sample(EcoDraw *draw, int n, int k, int *numbers)
{
	for (int i = 0; i < n; i++)
		numbers[i] = i;
	for (int i = 0; i < k; i++)
	{
		int			other = i + (int) eco_draw_below(draw, n - i);
		int			number = numbers[other];

		numbers[other] = numbers[i];
		numbers[i] = number;
	}
}

int64_t
eco_draw_crash(EcoDraw *draw, int edge)
{
	int64_t		u = 1 + eco_draw_below(draw, INT64_C(1) << CRASH_BITS);
	int64_t		kept = 100 * (int64_t) (ECO_CRASH_EDGE - edge) << CRASH_BITS;
	int64_t		hundredths = kept / (ECO_CRASH_EDGE * u);

	return hundredths < 100 ? 100 : hundredths;
}

EcoHand
eco_draw_hand(EcoDraw *draw)
{
	return (EcoHand) eco_draw_below(draw, ECO_HANDS);
}
