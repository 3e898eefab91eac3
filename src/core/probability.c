/*
 * probability.c
 *		Wilson intervals and binomial tails.
 */
#include "core/probability.h"

#include <float.h>
#include <math.h>

#define MAX_TERMS	10000
#define TINY		1e-300
#define LOG_ROOT_2_PI 0.918938533204672741780329736406

void
eco_wilson(int64_t wins, int64_t n, double z, double *lower, double *upper)
{
	double		trials = (double) n;
	double		rate = (double) wins / trials;
	double		z2 = z * z;
	double		denominator = 1 + z2 / trials;
	double		centre = (rate + z2 / (2 * trials)) / denominator;
	double		spread = rate * (1 - rate) / trials + z2 / (4 * trials * trials);
	double		half = z * sqrt(spread) / denominator;

	/* the ends are exact, where rounding would miss them */
	*lower = wins == 0 ? 0 : centre - half;
	*upper = wins == n ? 1 : centre + half;
}

/* What Stirling's formula leaves out of the logarithm of the gamma function. */
static double
stirling_rest(double z)
{
	const double z2 = z * z;
	const double tail = (1.0 / 1260 - (1.0 / 1680 - 1.0 / 1188 / z2) / z2) / z2;

	if (z < 10)
		return lgamma(z) - ((z - 0.5) * log(z) - z + LOG_ROOT_2_PI);
	return (1.0 / 12 - (1.0 / 360 - tail) / z2) / z;
}

/* log(y) for y = 1 + d, from the more precise of the two: a small y, or d when y is near 1 */
static double
log_of(double y, double d)
{
	return y < 0.5 ? log(y) : log1p(d);
}

/*
 * The large terms of the three gamma functions cancel on paper, not in
 * floating point: only what is left of them is added up here.
 */
double
eco_beta_log_front(double x, double a, double b)
{
	const double n = a + b;
	const double d = x * n - a;
	double		left = log_of(x * n / a, d / a);
	double		right = (1 - x) * n / b < 0.5 ? log1p(-x) + log(n / b) : log1p(-d / b);

	return a * left + b * right + 0.5 * log(a / n * b) - LOG_ROOT_2_PI +
		stirling_rest(n) - stirling_rest(a) - stirling_rest(b);
}

/* The continued fraction of I_x(a, b); converges fast for x < (a+1)/(a+b+2). */
static double
beta_fraction(double x, double a, double b)
{
	double		c = 1;
	double		d = 1 - (a + b) * x / (a + 1);
	double		fraction;

	if (fabs(d) < TINY)
		d = TINY;
	d = 1 / d;
	fraction = d;
	for (int m = 1; m <= MAX_TERMS; m++)
	{
		double		even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		double		odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
		double		step;

		d = 1 + even * d;
		c = 1 + even / c;
		d = 1 / (fabs(d) < TINY ? TINY : d);
		if (fabs(c) < TINY)
			c = TINY;
		fraction *= d * c;
		d = 1 + odd * d;
		c = 1 + odd / c;
		d = 1 / (fabs(d) < TINY ? TINY : d);
		if (fabs(c) < TINY)
			c = TINY;
		step = d * c;
		fraction *= step;
		if (fabs(step - 1) < DBL_EPSILON)
			break;
	}
	return fraction;
}

double
eco_beta_cdf(double x, double a, double b)
{
	double		front;

	if (x <= 0)
		return 0;
	if (x >= 1)
		return 1;
	front = exp(eco_beta_log_front(x, a, b));
	if (x < (a + 1) / (a + b + 2))
		return front * beta_fraction(x, a, b) / a;
	return 1 - front * beta_fraction(1 - x, b, a) / b;
}

double
eco_binomial_upper_tail(int64_t wins, int64_t n, double p)
{
	if (wins <= 0)
		return 1;
	if (wins > n)
		return 0;
	return eco_beta_cdf(p, (double) wins, (double) (n - wins) + 1);
}
