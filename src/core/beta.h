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

#define ECO_BETA_ARMS	100
#define ECO_BETA_SHAPE	1e6		/* beyond it a share is less precise */

/*
 * shares[i] = the probability that the i-th of n independent variables
 * Beta(a[i], b[i]), a, b >= 1, is the largest: the integral of f_i(x) times the
 * product of I_x(a_j, b_j), j <> i, by Gauss and Kronrod's rule on intervals
 * that are halved until it is good enough.  n <= ECO_BETA_ARMS; error below
 * 1e-8 for shapes up to ECO_BETA_SHAPE.  They add up to 1.
 */
extern void eco_beta_shares(int n, const double *a, const double *b, double *shares);

#endif
