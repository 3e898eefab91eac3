/*
 * fuzz_probability.c
 *		Intervals and tails are probabilities, in order, and no NaN.
 */
#include <math.h>

#include "core/probability.h"
#include "fuzz.h"

#define MAX_GAMES 1000000000
#define SLACK 1e-9

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		in = {data, size};
	int64_t		n = 1 + (int64_t) ((uint64_t) take_int(&in) % MAX_GAMES);
	int64_t		wins;
	double		p = (double) ((uint64_t) take_int(&in) >> 11) / 9007199254740992.0;
	double		rate;
	double		lower;
	double		upper;
	double		tail;
	double		next;

	/* small samples as often as large ones */
	n >>= take_byte(&in) % 30;
	if (n < 1)
		n = 1;
	wins = (int64_t) ((uint64_t) take_int(&in) % ((uint64_t) n + 1));
	rate = (double) wins / (double) n;

	eco_wilson(wins, n, ECO_Z_95, &lower, &upper);
	CHECK(lower >= 0 && lower <= rate + SLACK && rate <= upper + SLACK && upper <= 1);

	tail = eco_binomial_upper_tail(wins, n, p);
	next = eco_binomial_upper_tail(wins + 1, n, p);
	CHECK(!isnan(tail) && tail >= -SLACK && tail <= 1 + SLACK);
	CHECK(!isnan(next) && next <= tail + SLACK);
	return 0;
}
