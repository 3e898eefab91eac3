/*
 * beta.c
 *		Quantiles of the beta distribution, and who of several is the largest.
 */
#include "core/beta.h"

#include <float.h>
#include <math.h>

#include "core/probability.h"

#define MAX_STEPS	400
#define PANELS		512			/* of Simpson's rule; even */
#define TAIL		1e-12		/* left out at either side */

static double
log_density(double x, double a, double b)
{
	return lgamma(a + b) - lgamma(a) - lgamma(b) +
		(a == 1 ? 0 : (a - 1) * log(x)) + (b == 1 ? 0 : (b - 1) * log1p(-x));
}

/* For p <= 1/2, where no digits are lost. */
static double
lower_quantile(double p, double a, double b)
{
	double		low = 0;
	double		high = 1;
	double		x = a / (a + b);

	for (int i = 0; i < MAX_STEPS; i++)
	{
		double		error = eco_beta_cdf(x, a, b) - p;
		double		next;

		if (error == 0)
			return x;
		if (error > 0)
			high = x;
		else
			low = x;
		next = x - error / exp(log_density(x, a, b));

		/*
		 * outside of the bracket, or no number: halve it, in the small by its
		 * root
		 */
		if (!(next > low && next < high))
			next = low > 0 && high / low > 4 ? sqrt(low * high) : low + (high - low) / 2;
		if (next == x || fabs(next - x) <= DBL_EPSILON / 2 * x || next <= DBL_MIN)
			return next;
		x = next;
	}
	return x;
}

double
eco_beta_quantile(double p, double a, double b)
{
	if (p <= 0)
		return 0;
	if (p >= 1)
		return 1;
	if (p <= 0.5)
		return lower_quantile(p, a, b);
	return 1 - lower_quantile(1 - p, b, a);
}

/* f_i(x) times the chance that all others are below x */
static double
largest_at(double x, size_t i, size_t n, const double *a, const double *b)
{
	double		value = exp(log_density(x, a[i], b[i]));

	for (size_t j = 0; j < n && value > 0; j++)
		if (j != i)
			value *= eco_beta_cdf(x, a[j], b[j]);
	return value;
}

void
eco_beta_shares(size_t n, const double *a, const double *b, double *shares)
{
	double		total = 0;

	for (size_t i = 0; i < n; i++)
	{
		double		low = eco_beta_quantile(TAIL, a[i], b[i]);
		double		width = (eco_beta_quantile(1 - TAIL, a[i], b[i]) - low) / PANELS;
		double		sum = 0;

		for (int k = 0; k <= PANELS; k++)
			sum += (k == 0 || k == PANELS ? 1 : k % 2 == 1 ? 4 : 2) *
				largest_at(low + k * width, i, n, a, b);
		shares[i] = sum * width / 3;
		total += shares[i];
	}
	for (size_t i = 0; i < n; i++)
		shares[i] /= total;
}
