/*
 * test_probability.c
 *		Wilson intervals against known answers, and beta and binomial tails
 *		against sums made in another way.
 */
#include <math.h>

#include "core/probability.h"
#include "unit.h"

#define MAX_GAMES 60

static void
check_near(double have, double want, double relative, const char *name)
{
	check(fabs(have - want) <= relative * fabs(want), name);
	if (!(fabs(have - want) <= relative * fabs(want)))
		check_int((int64_t) (have * 1e15), (int64_t) (want * 1e15), "in units of 1e-15");
}

static void
wilson_answers(void)
{
	static const struct
	{
		int64_t		wins;
		int64_t		n;
		double		lower;
		double		upper;
		const char *name;
	}			known[] = {
		{18, 20, 0.6989663547715128, 0.9721335187862319, "Wilson: 18 of 20"},
		{4, 200, 0.00780442641634947, 0.05028708690582643, "Wilson: 4 of 200"},
		{1, 1, 0.20654931437723745, 1, "Wilson: 1 of 1"},
		{0, 1, 0, 0.7934506856227626, "Wilson: 0 of 1"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
	{
		double		lower;
		double		upper;

		eco_wilson(known[i].wins, known[i].n, ECO_Z_95, &lower, &upper);
		check_near(lower, known[i].lower, 1e-12, known[i].name);
		check_near(upper, known[i].upper, 1e-12, known[i].name);
	}
}

static void
wilson_bounds(void)
{
	bool		exact = true;
	bool		inside = true;
	bool		ordered = true;

	for (int64_t n = 1; n <= INT64_C(9007199254740991); n = n * 3 + 1)
	{
		double		lower;
		double		upper;

		eco_wilson(n, n, ECO_Z_95, &lower, &upper);
		exact &= upper == 1 && lower > 0 && lower < 1;
		eco_wilson(0, n, ECO_Z_95, &lower, &upper);
		exact &= lower == 0 && upper > 0 && upper < 1;
	}
	check(exact, "Wilson: all wins end at 1, no wins begin at 0, exactly");
	for (int64_t n = 1; n <= 200; n++)
	{
		double		before = -1;

		for (int64_t wins = 0; wins <= n; wins++)
		{
			double		lower;
			double		upper;

			eco_wilson(wins, n, ECO_Z_95, &lower, &upper);
			inside &= lower >= 0 && upper <= 1 &&
				lower <= (double) wins / (double) n && upper >= (double) wins / (double) n;
			ordered &= lower > before;
			before = lower;
		}
	}
	check(inside, "Wilson: 0 <= lower <= rate <= upper <= 1");
	check(ordered, "Wilson: the lower bound rises with the wins");
}

/* P(X >= wins) term by term, in a wider type */
static double
sum_of_terms(int wins, int n, double p)
{
	long double row[MAX_GAMES + 1] = {1};
	long double sum = 0;

	for (int game = 1; game <= n; game++)
		for (int k = game; k >= 0; k--)
			row[k] = row[k] * (1 - (long double) p) + (k > 0 ? row[k - 1] * (long double) p : 0);
	for (int k = n; k >= wins; k--)
		sum += row[k];
	return (double) sum;
}

static void
tails(void)
{
	static const double rates[] = {0.001, 0.1, 0.25, 0.48, 0.5, 0.65, 0.9, 0.999};
	double		worst = 0;
	bool		falling = true;

	for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++)
		for (int n = 1; n <= MAX_GAMES; n++)
		{
			double		before = 1;

			for (int wins = 0; wins <= n; wins++)
			{
				double		want = sum_of_terms(wins, n, rates[r]);
				double		have = eco_binomial_upper_tail(wins, n, rates[r]);

				worst = fmax(worst, fabs(have / want - 1));
				falling &= have <= before;
				before = have;
			}
		}
	check(worst < 1e-11, "binomial tails: the sum of their terms, for all n up to 60");
	if (worst >= 1e-11)
		check_int((int64_t) (worst * 1e15), 0, "relative error in units of 1e-15");
	check(falling, "binomial tails fall with the wins");
	check(eco_binomial_upper_tail(0, 10, 0.3) == 1, "at least no win is certain");
	check(eco_binomial_upper_tail(-5, 10, 0.3) == 1, "so is less than that");
	check(eco_binomial_upper_tail(11, 10, 0.3) == 0, "more wins than games are impossible");
	check(eco_binomial_upper_tail(1, 10, 0) == 0, "no luck, no win");
	check(eco_binomial_upper_tail(10, 10, 1) == 1, "nothing but luck");
	check_near(eco_binomial_upper_tail(10, 10, 0.5), 1.0 / 1024, 1e-13, "ten of ten, fairly");
	check_near(eco_binomial_upper_tail(500000000, 1000000000, 0.5), 0.5, 1e-4, "half of a thousand million");
	check(eco_binomial_upper_tail(650, 1000, 0.48) > 0 && eco_binomial_upper_tail(650, 1000, 0.48) < 1e-25,
		  "a cheat's tail is tiny and not zero");
}

static void
beta(void)
{
	bool		mirrored = true;
	bool		powers = true;

	check(eco_beta_cdf(0, 2, 3) == 0 && eco_beta_cdf(-1, 2, 3) == 0, "I_0 is 0");
	check(eco_beta_cdf(1, 2, 3) == 1 && eco_beta_cdf(2, 2, 3) == 1, "I_1 is 1");
	for (int i = 1; i < 100; i++)
	{
		double		x = i / 100.0;

		for (int a = 1; a <= 20; a++)
		{
			for (int b = 1; b <= 20; b++)
				mirrored &= fabs(eco_beta_cdf(x, a, b) + eco_beta_cdf(1 - x, b, a) - 1) < 1e-12;
			powers &= fabs(eco_beta_cdf(x, a, 1) / pow(x, a) - 1) < 1e-11;
		}
	}
	check(mirrored, "I_x(a, b) = 1 - I_1-x(b, a)");
	check(powers, "I_x(a, 1) = x^a");
	check_near(eco_beta_cdf(0.5, 2, 2), 0.5, 1e-13, "I_1/2(2, 2) = 1/2");
	check_near(eco_beta_cdf(0.25, 0.5, 0.5), 1.0 / 3, 1e-12, "the arcsine distribution at 1/4 is 1/3");
}

void
test_probability(void)
{
	wilson_answers();
	wilson_bounds();
	tails();
	beta();
}
