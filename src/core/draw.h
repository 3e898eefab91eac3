/*
 * draw.h
 *		Random numbers that a player can check, and the outcomes that are made of them.
 *
 * Plain C, no PostgreSQL header: a draw can be recomputed anywhere, from what the
 * documents say (doc/draws.md), so none of this ever changes.
 *
 * The bytes of a draw are HMAC-SHA256(server seed, message), the key being the 32 bytes of
 * the seed and the message the text "<client seed>:<nonce>"; when they are used up come
 * those of "<client seed>:<nonce>:1", then ":2" and so on.  A client seed has no colon, so
 * no two draws have a message in common.
 *
 * A whole number below n takes the next eight bytes, the first one highest, as x.  If x is
 * not below the greatest multiple of n that is at most 2^64, they are dropped and the eight
 * that follow are taken; the number is x mod n.  So each is equally likely.
 */
#ifndef ECO_DRAW_H
#define ECO_DRAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/sign.h"

#define ECO_CLIENT_SEED		64	/* bytes of one, at most */
#define ECO_DRAW_SEED		ECO_KEY_LEN /* bytes of a server seed */
#define ECO_DRAW_HASH		32	/* bytes of its SHA-256 */
#define ECO_DRAW_MOST		(INT64_C(1) << 53)	/* n, and the sum of weights */
#define ECO_CRASH_EDGE		1000000 /* parts of a house edge */

typedef struct EcoDraw
{
	EcoSigner  *signer;			/* of the server seed */
	bool		failed;			/* the crypto library has; no number counts */
	char		message[ECO_CLIENT_SEED + 48];
	int			len;			/* without the block's number */
	uint64_t	block;			/* of bytes */
	size_t		used;			/* of them */
	uint8_t		bytes[ECO_SIGNATURE_LEN];
} EcoDraw;

/* What a commitment shows of a server seed.  False when the crypto library failed. */
extern bool eco_draw_hash(const uint8_t seed[ECO_DRAW_SEED], uint8_t hash[ECO_DRAW_HASH]);

/* Whether it has 1 to 64 bytes and no colon. */
extern bool eco_client_seed_fits(const char *client_seed, size_t len);

/* Of a client seed that fits, and a nonce from 0. */
extern void eco_draw_begin(EcoDraw *draw, EcoSigner *signer,
						   const char *client_seed, size_t len, int64_t nonce);

/* A whole number from 0 to n - 1, 1 <= n <= ECO_DRAW_MOST. */
extern int64_t eco_draw_below(EcoDraw *draw, int64_t n);

/*
 * The index of one of n weights, each 0 or more: the first whose sum with those before it
 * is greater than a number below the sum of all, which is 1 to ECO_DRAW_MOST.
 */
extern int	eco_draw_weighted(EcoDraw *draw, const int64_t *weights, int n, int64_t sum);

/* Dice in their order, each 1 to sides. */
extern void eco_draw_dice(EcoDraw *draw, int sides, int n, int *faces);

/* Where each of n reels stops, 0 to stops[i] - 1, in their order. */
extern void eco_draw_reels(EcoDraw *draw, const int *stops, int n, int *at);

/* k different numbers of 0 to n - 1, in the order in which they came; all n are of room. */
extern void eco_draw_sample(EcoDraw *draw, int n, int k, int *numbers);

/*
 * Where a rising multiplier stops, in hundredths: with u a number from 1 to 2^36,
 * floor(100 (1 - edge) 2^36 / u), and no less than 100.  So whoever leaves at m, 1 < m, has
 * the chance (1 - edge) / m, to within 2^-36, and gets 1 - edge of the stakes back in the
 * long run, whatever m is.  edge: in millionths, below ECO_CRASH_EDGE.
 */
extern int64_t eco_draw_crash(EcoDraw *draw, int edge);

typedef enum EcoHand
{
	ECO_ROCK,
	ECO_PAPER,
	ECO_SCISSORS,
	ECO_HANDS
} EcoHand;

extern EcoHand eco_draw_hand(EcoDraw *draw);

#endif
