/*
 * test_beta.c
 *		Beta quantiles against known answers and their own distribution; shares
 *		against known answers and draws.
 */
#include <math.h>

#include "core/beta.h"
#include "core/probability.h"
#include "unit.h"

#define DRAWS 100000

static void
quantile_answers(void)
{
	static const struct
	{
		double		p;
		double		a;
		double		b;
		double		x;
	}			known[] = {
		{.025, 18, 3, 0.6830172859809176},
		{.975, 19, 2, 0.9876514728297052},
		{.025, 4, 17, 0.05733399705003284},
		{.975, 191, 10, 0.975765834527891},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		check(fabs(eco_beta_quantile(known[i].p, known[i].a, known[i].b) / known[i].x - 1) < 1e-12, "a known quantile");
	check(eco_beta_quantile(0, 3, 4) == 0 && eco_beta_quantile(1, 3, 4) == 1, "the ends");
	check(eco_beta_quantile(0.5, 7, 7) == 0.5 || fabs(eco_beta_quantile(0.5, 7, 7) - 0.5) < 1e-15, "the middle");
}

static void
inverse(void)
{
	static const double shapes[] = {1, 1.5, 2, 3, 17.25, 200, 10000};
	const size_t n = sizeof(shapes) / sizeof(shapes[0]);
	double		worst = 0;
	bool		rising = true;

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
		{
			double		before = -1;

			for (double p = 1e-9; p < 1; p = p < 0.01 ? p * 7 : p + 0.0137)
			{
				double		x = eco_beta_quantile(p, shapes[i], shapes[j]);

				worst = fmax(worst, fabs(eco_beta_cdf(x, shapes[i], shapes[j]) - p));
				rising &= x > before;
				before = x;
			}
		}
	check(worst < 1e-9, "the distribution at its quantile is p");
	if (worst >= 1e-9)
		check_int((int64_t) (worst * 1e15), 0, "error in units of 1e-15");
	check(rising, "quantiles rise");
}

static void
shares(void)
{
	static const double a[] = {3, 1, 4};
	static const double b[] = {2, 3, 3};
	static const double want[] = {0.523776, 0.049650, 0.426573};
	double		have[3];
	int			drawn[3] = {0};
	double		one;

	eco_beta_shares(3, a, b, have);
	for (int i = 0; i < 3; i++)
		check(fabs(have[i] - want[i]) < 1e-6, "a known share");
	for (int k = 0; k < DRAWS; k++)
	{
		int			best = 0;
		double		most = -1;

		for (int i = 0; i < 3; i++)
		{
			double		u = ((double) (unit_random() >> 11) + 0.5) / 9007199254740992.0;
			double		x = eco_beta_quantile(u, a[i], b[i]);

			if (x > most)
			{
				most = x;
				best = i;
			}
		}
		drawn[best]++;
	}
	for (int i = 0; i < 3; i++)
		check(fabs((double) drawn[i] / DRAWS - want[i]) < 4 * sqrt(want[i] * (1 - want[i]) / DRAWS), "a share of draws within 4 sigma");
	eco_beta_shares(1, a, b, &one);
	check(one == 1, "alone, it is the best");
	{
		static const double far_a[] = {1, 900000};
		static const double far_b[] = {900000, 1};

		eco_beta_shares(2, far_a, far_b, have);
		check(have[0] < 1e-9 && have[1] > 1 - 1e-9, "far apart");
	}
}

/* P(Beta(a[1], b[1]) > Beta(a[0], b[0])) for whole shapes, in closed form. */
static double
second_is_larger(const double *a, const double *b)
{
	long double sum = 0;

	for (long double i = 0; i < (long double) a[1]; i++)
		sum += expl(lgammal(a[0] + i) + lgammal(b[0] + b[1]) - lgammal(a[0] + i + b[0] + b[1])
					- logl(b[1] + i)
					- (lgammal(1 + i) + lgammal(b[1]) - lgammal(1 + i + b[1]))
					- (lgammal(a[0]) + lgammal(b[0]) - lgammal(a[0] + b[0])));
	return (double) sum;
}

/* The stated precision of 1e-8: narrow beside wide, and shapes near 1. */
static void
precision(void)
{
	static const double shapes[] = {1, 2, 7, 40, 1000, 30000, 1000000};
	const size_t n = sizeof(shapes) / sizeof(shapes[0]);
	double		worst = 0;

	for (size_t i = 0; i < n * n * n * n; i++)
	{
		const double a[] = {shapes[i % n], shapes[i / n % n]};
		const double b[] = {shapes[i / n / n % n], shapes[i / n / n / n]};
		double		have[2];

		/* the closed form has a term per unit */
		if (a[1] > 1000 || (a[0] > 1000 && b[0] > 1000 && i % 3 > 0))
			continue;
		eco_beta_shares(2, a, b, have);
		worst = fmax(worst, fabs(have[1] - second_is_larger(a, b)));
	}
	check(worst < 1e-8, "two arms, against the closed form");
	if (worst >= 1e-8)
		check_int((int64_t) (worst * 1e15), 0, "error in units of 1e-15");

	/* of Beta(k, 1) each is the largest in the ratio of its k */
	for (size_t i = 0; i < n * n * n; i++)
	{
		const double a[] = {shapes[i % n], shapes[i / n % n], shapes[i / n / n], 1.25};
		const double b[] = {1, 1, 1, 1};
		double		have[4];

		eco_beta_shares(4, a, b, have);
		for (int k = 0; k < 4; k++)
			worst = fmax(worst, fabs(have[k] - a[k] / (a[0] + a[1] + a[2] + a[3])));
	}
	check(worst < 1e-8, "four arms, in their ratio");
	if (worst >= 1e-8)
		check_int((int64_t) (worst * 1e15), 0, "error in units of 1e-15");
}

void
test_beta(void)
{
	quantile_answers();
	inverse();
	shares();
	precision();
}
