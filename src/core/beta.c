/*
 * beta.c
 *		Quantiles of the beta distribution, and who of several is the largest.
 */
#include "core/beta.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "core/probability.h"

#define MAX_STEPS	400
#define MAX_HALVINGS	40
#define TOLERANCE	1e-11		/* of an interval */
#define KNOTS		5			/* of an arm */

static double
log_density(double x, double a, double b)
{
	return eco_beta_log_front(x, a, b) - log(x) - log1p(-x);
}

/* The quantile for p <= 1/2; others are taken from the other end, to lose no digits. */
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
		 * Newton's step left the bracket or is no number: halve the bracket,
		 * or take the geometric mean of ends that differ by magnitudes
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

typedef struct Arms
{
	int			n;
	const double *a;
	const double *b;
} Arms;

/* values[i] = f_i(x) times the chance that all others are below x */
static void
largest_at(const Arms *arms, double x, double *values)
{
	double		below[ECO_BETA_ARMS];
	double		product = 1;

	for (int i = 0; i < arms->n; i++)
	{
		below[i] = eco_beta_cdf(x, arms->a[i], arms->b[i]);
		values[i] = product;
		product *= below[i];
	}
	product = 1;
	for (int i = arms->n - 1; i >= 0; i--)
	{
		values[i] *= product;
		product *= below[i];
		if (values[i] > 0)
			values[i] *= exp(log_density(x, arms->a[i], arms->b[i]));
	}
}

/*
 * Set sums[i] to arm i's integral from low to high.  Returns the largest
 * difference from Gauss' rule, which takes every second node: an estimate of
 * the error.
 */
static double
integrate(const Arms *arms, double low, double high, double *sums)
{
	/* nodes from the middle out; the weights of Kronrod, and of Gauss */
	static const double nodes[8] = {
		0, 0.207784955007898467600689403773, 0.405845151377397166906606412077,
		0.586087235467691130294144691693, 0.741531185599394439863864773281,
		0.864864423359769072789712788641, 0.949107912342758524526189684048,
		0.991455371120812639206854697526
	};
	static const double kronrod[8] = {
		0.209482141084727828012999174892, 0.204432940075298892414161999235,
		0.190350578064785409913256402421, 0.169004726639267902826583426599,
		0.140653259715525918745189590510, 0.104790010322250183839876322542,
		0.063092092629978553290700663189, 0.022935322010529224963732008059
	};
	static const double gauss[4] = {
		0.417959183673469387755102040816, 0.381830050505118944950369775489,
		0.279705391489276667901467771424, 0.129484966168869693270611432679
	};
	const double middle = (low + high) / 2;
	const double half = (high - low) / 2;
	double		coarse[ECO_BETA_ARMS] = {0};
	double		values[ECO_BETA_ARMS];
	double		error = 0;

	for (int i = 0; i < arms->n; i++)
		sums[i] = 0;
	for (int k = -7; k <= 7; k++)
	{
		const int	node = k < 0 ? -k : k;

		largest_at(arms, middle + (k < 0 ? -half : half) * nodes[node], values);
		for (int i = 0; i < arms->n; i++)
		{
			sums[i] += half * kronrod[node] * values[i];
			if (node % 2 == 0)
				coarse[i] += half * gauss[node / 2] * values[i];
		}
	}
	for (int i = 0; i < arms->n; i++)
		error = fmax(error, fabs(sums[i] - coarse[i]));
	return error;
}

/* Add the interval's share of each arm. */
static void
add_shares(const Arms *arms, double low, double high, int halvings, double *shares)
{
	double		sums[ECO_BETA_ARMS];

	if (integrate(arms, low, high, sums) > TOLERANCE && halvings < MAX_HALVINGS)
	{
		const double middle = (low + high) / 2;

		add_shares(arms, low, middle, halvings + 1, shares);
		add_shares(arms, middle, high, halvings + 1, shares);
		return;
	}
	for (int i = 0; i < arms->n; i++)
		shares[i] += sums[i];
}

static int
compare_knots(const void *left, const void *right)
{
	const double a = *(const double *) left;
	const double b = *(const double *) right;

	return a < b ? -1 : a > b ? 1 : 0;
}

void
eco_beta_shares(int n, const double *a, const double *b, double *shares)
{
	static const double levels[KNOTS] = {1e-13, 1e-3, 0.5, 1 - 1e-3, 1 - 1e-13};
	const Arms	arms = {n, a, b};
	double		knots[KNOTS * ECO_BETA_ARMS + 2];
	int			nknots = 0;
	double		total = 0;

	/*
	 * intervals end at quantiles of each arm, so that none jumps over a
	 * narrow one
	 */
	knots[nknots++] = 0;
	for (int i = 0; i < n; i++)
	{
		shares[i] = 0;
		for (int k = 0; k < KNOTS; k++)
			knots[nknots++] = eco_beta_quantile(levels[k], a[i], b[i]);
	}
	knots[nknots++] = 1;
	qsort(knots, (size_t) nknots, sizeof(double), compare_knots);
	for (int k = 1; k < nknots; k++)
		if (knots[k] > knots[k - 1])
			add_shares(&arms, knots[k - 1], knots[k], 0, shares);
	for (int i = 0; i < n; i++)
		total += shares[i];
	for (int i = 0; i < n; i++)
		shares[i] /= total;
}
