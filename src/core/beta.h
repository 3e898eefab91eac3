/*
 * beta.h
 *		Quantiles of the beta distribution, and the chance of each of several to be
 *		the largest: what Thompson sampling needs.
 */
#ifndef ECO_BETA_H
#define ECO_BETA_H

#include <stddef.h>

/*
 * The x with I_x(a, b) = p, for 0 <= p <= 1, a > 0, b > 0: Newton's method
 * inside a shrinking bracket; error about 1e-13.
 */
extern double eco_beta_quantile(double p, double a, double b);

/*
 * shares[i] = the probability that the i-th of n independent variables
 * Beta(a[i], b[i]), a, b >= 1, is the largest: Simpson's rule over
 * f_i(x) * product of I_x(a_j, b_j), j <> i.  They add up to 1.
 */
extern void eco_beta_shares(size_t n, const double *a, const double *b, double *shares);

#endif
