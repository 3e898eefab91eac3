/*
 * test_draw.c
 *		Draws against numbers that another implementation has made (Python's hmac and whole
 *		numbers of any size), and the outcomes of a million draws against their chances.
 */
#include <math.h>
#include <string.h>

#include "core/draw.h"
#include "unit.h"

#define DRAWS	1000000
#define WORST_REJECTED INT64_C(9002803354665472)	/* n of which most words are dropped */

static EcoSigner *signer;

static void
begin(EcoDraw *draw, const char *client_seed, int64_t nonce)
{
	eco_draw_begin(draw, signer, client_seed, strlen(client_seed), nonce);
}

static void
known_numbers(void)
{
	static const struct
	{
		const char *client_seed;
		int64_t		nonce;
		int64_t		n;
		int64_t		number;
	}			known[] = {
		{"lucky", 0, 1, 0}, {"lucky", 0, 2, 1}, {"lucky", 0, 6, 5}, {"lucky", 0, 100, 33},
		{"lucky", 0, 1000000, 473833}, {"lucky", 0, INT64_C(1) << 36, INT64_C(35648934633)},
		{"lucky", 0, ECO_DRAW_MOST - 1, INT64_C(7211732415518865)},
		{"lucky", 0, ECO_DRAW_MOST, INT64_C(7211732415517417)},
		{"lucky", 1, 2, 0}, {"lucky", 1, 6, 4}, {"lucky", 1, 1000000, 682232},
		{"lucky", 1, ECO_DRAW_MOST, INT64_C(43224565367160)},
		{"żółw", ECO_DRAW_MOST - 1, 100, 74},
		{"żółw", ECO_DRAW_MOST - 1, ECO_DRAW_MOST - 1, INT64_C(5581524522861480)},
		{"lucky", 9650, WORST_REJECTED, INT64_C(7806782425253069)},
	};
	static const int ten[] = {390, 327, 427, 126, 499, 978, 521, 566, 125, 229};
	EcoDraw		draw;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
	{
		begin(&draw, known[i].client_seed, known[i].nonce);
		check_int(eco_draw_below(&draw, known[i].n), known[i].number, "a known number");
		check(!draw.failed, "and nothing failed");
	}
	check(draw.used == 16, "one of whose words was dropped");
	begin(&draw, "lucky", 7);
	for (int i = 0; i < 10; i++)
		check_int(eco_draw_below(&draw, 1000), ten[i], "known numbers of three blocks");
	begin(&draw, "lucky", 2480);
	for (int i = 0; i < 3; i++)
		(void) eco_draw_below(&draw, 1);
	check_int(eco_draw_below(&draw, WORST_REJECTED), INT64_C(1655318446448462),
			  "the last word of a block is dropped");
	check_int((int64_t) draw.block, 2, "and the next block begun");
}

static void
commitment(const uint8_t seed[ECO_DRAW_SEED])
{
	uint8_t		want[ECO_DRAW_HASH];
	uint8_t		have[ECO_DRAW_HASH];

	unit_hex("630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd", want, sizeof(want));
	check(eco_draw_hash(seed, have), "a seed has a hash");
	check_bytes(have, sizeof(have), want, sizeof(want), "its SHA-256");
}

static void
client_seeds(void)
{
	EcoDraw		draw;
	char		longest[ECO_CLIENT_SEED + 1];

	memset(longest, 'x', sizeof(longest));
	check(eco_client_seed_fits(longest, ECO_CLIENT_SEED), "64 bytes fit");
	check(!eco_client_seed_fits(longest, ECO_CLIENT_SEED + 1), "65 do not");
	check(!eco_client_seed_fits("", 0), "nor does none");
	check(!eco_client_seed_fits("a:1", 3), "nor a colon, by which two draws could be one");
	eco_draw_begin(&draw, signer, longest, ECO_CLIENT_SEED, INT64_MIN);
	draw.block = UINT64_MAX;
	(void) eco_draw_below(&draw, 2);
	check(!draw.failed, "the longest message has room");
	eco_draw_begin(&draw, signer, "a:1", 3, 0);
	check(draw.failed, "what does not fit is not drawn with");
	check_int(eco_draw_below(&draw, 6), 0, "and gives no number");
}

static void
known_outcomes(void)
{
	static const int faces[] = {6, 3, 3, 6, 4, 3};
	static const int cards[] = {2, 0, 16, 33, 51, 1, 39};
	static const int stops[] = {3, 7, 22};
	static const int stop_at[] = {1, 4, 8};
	static const int hands[] = {2, 1, 2, 2, 1, 2, 0, 0, 2, 0};
	static const int crash[] = {190, 469181, 160, 271, 1813, 585, 154, 157};
	static const int64_t weights[] = {5, 0, 20, 75};
	EcoDraw		draw;
	int			have[52];

	begin(&draw, "lucky", 2);
	eco_draw_dice(&draw, 6, 6, have);
	check_bytes(have, sizeof(faces), faces, sizeof(faces), "six known dice");
	begin(&draw, "lucky", 3);
	eco_draw_sample(&draw, 52, 7, have);
	check_bytes(have, sizeof(cards), cards, sizeof(cards), "seven known cards of 52");
	begin(&draw, "lucky", 4);
	eco_draw_reels(&draw, stops, 3, have);
	check_bytes(have, sizeof(stop_at), stop_at, sizeof(stop_at), "three known reels");
	for (int i = 0; i < 10; i++)
	{
		begin(&draw, "lucky", i);
		check_int(eco_draw_hand(&draw), hands[i], "a known hand");
		begin(&draw, "lucky", i);
		check_int(eco_draw_weighted(&draw, weights, 4, 100), i == 8 ? 2 : 3, "a known weight");
	}
	for (int i = 0; i < 8; i++)
	{
		begin(&draw, "lucky", i);
		check_int(eco_draw_crash(&draw, 10000), crash[i], "a known point");
	}
	begin(&draw, "lucky", 1);
	check_int(eco_draw_crash(&draw, 0), 473920, "without a house edge");
	begin(&draw, "lucky", 1);
	check_int(eco_draw_crash(&draw, ECO_CRASH_EDGE - 1), 100, "with hardly anything else");
}

/* Chi-square of counts, within four of its standard deviations. */
static void
fair(const int64_t *counts, const double *chances, int n, const char *name)
{
	double		chi = 0;
	double		all = 0;
	int			freedom = -1;

	for (int i = 0; i < n; i++)
		all += (double) counts[i];
	for (int i = 0; i < n; i++)
	{
		double		expected = all * chances[i];

		if (chances[i] <= 0)
		{
			check_int(counts[i], 0, name);
			continue;
		}
		chi += ((double) counts[i] - expected) * ((double) counts[i] - expected) / expected;
		freedom++;
	}
	check(fabs(chi - freedom) <= 4 * sqrt(2.0 * freedom), name);
	if (fabs(chi - freedom) > 4 * sqrt(2.0 * freedom))
		check_int((int64_t) chi, freedom, "chi-square and its degrees of freedom");
}

static void
even(const int64_t *counts, int n, const char *name)
{
	double		chances[256];

	for (int i = 0; i < n; i++)
		chances[i] = 1.0 / n;
	fair(counts, chances, n, name);
}

static void
fair_numbers(void)
{
	static const int64_t weights[] = {1, 0, 9, 90, 400, 1500, 8000};
	const double weights_sum = 10000;
	int64_t		hundred[100] = {0};
	int64_t		range[256] = {0};
	int64_t		kept[256] = {0};
	int64_t		hands[ECO_HANDS] = {0};
	int64_t		weighted[7] = {0};
	double		chances[7];
	EcoDraw		draw;

	for (int64_t i = 0; i < DRAWS; i++)
	{
		begin(&draw, "fair", i);
		hundred[eco_draw_below(&draw, 100)]++;
		range[eco_draw_below(&draw, ECO_DRAW_MOST) >> 45]++;
		hands[eco_draw_hand(&draw)]++;
		weighted[eco_draw_weighted(&draw, weights, 7, (int64_t) weights_sum)]++;
		kept[eco_draw_below(&draw, INT64_C(3) << 50) / (INT64_C(3) << 42)]++;
	}
	even(hundred, 100, "a million numbers below 100");
	even(range, 256, "of the whole range, in 256 parts");
	even(kept, 256, "of three quarters of it");
	even(hands, ECO_HANDS, "a million hands");
	for (int i = 0; i < 7; i++)
		chances[i] = (double) weights[i] / weights_sum;
	fair(weighted, chances, 7, "a million draws by weight");
}

static void
fair_outcomes(void)
{
	static const int stops[] = {3, 5, 4};
	int64_t		dice[36] = {0};
	int64_t		reels[60] = {0};
	int64_t		samples[20] = {0};
	EcoDraw		draw;
	int			at[5];

	for (int64_t i = 0; i < DRAWS; i++)
	{
		begin(&draw, "outcomes", i);
		eco_draw_dice(&draw, 6, 2, at);
		dice[(at[0] - 1) * 6 + at[1] - 1]++;
		eco_draw_reels(&draw, stops, 3, at);
		reels[(at[0] * 5 + at[1]) * 4 + at[2]]++;
		eco_draw_sample(&draw, 5, 2, at);
		samples[at[0] * 4 + (at[1] > at[0] ? at[1] - 1 : at[1])]++;
	}
	even(dice, 36, "a million pairs of dice");
	even(reels, 60, "a million turns of three reels");
	even(samples, 20, "a million pairs of five");
}

static void
fair_points(int edge, const char *name)
{
	static const int leave[] = {101, 110, 125, 150, 200, 300, 500, 1000, 2500, 10000, 100000};
	const int	n = (int) (sizeof(leave) / sizeof(leave[0]));
	int64_t		counts[sizeof(leave) / sizeof(leave[0]) + 1] = {0};
	double		chances[sizeof(leave) / sizeof(leave[0]) + 1];
	double		before = 1;
	EcoDraw		draw;

	for (int64_t i = 0; i < DRAWS; i++)
	{
		int64_t		point;
		int			part = 0;

		begin(&draw, name, i);
		point = eco_draw_crash(&draw, edge);
		while (part < n && point >= leave[part])
			part++;
		counts[part]++;
	}
	for (int i = 0; i < n; i++)
	{
		double		reached = fmin(1, (1 - edge / 1e6) * 100 / leave[i]);

		chances[i] = before - reached;
		before = reached;
	}
	chances[n] = before;
	fair(counts, chances, n + 1, name);
}

void
test_draw(void)
{
	uint8_t		seed[ECO_DRAW_SEED];

	for (int i = 0; i < ECO_DRAW_SEED; i++)
		seed[i] = (uint8_t) i;
	signer = eco_signer_create(seed, sizeof(seed));
	commitment(seed);
	known_numbers();
	client_seeds();
	known_outcomes();
	fair_numbers();
	fair_outcomes();
	fair_points(0, "a million points without an edge");
	fair_points(10000, "a million points with an edge of 1 percent");
	fair_points(150000, "a million points with an edge of 15 percent");
	eco_signer_free(signer);
}
