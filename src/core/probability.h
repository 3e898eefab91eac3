/*
 * probability.h
 *		Wilson intervals and binomial tails, for screens of win rates.
 */
#ifndef ECO_PROBABILITY_H
#define ECO_PROBABILITY_H

#include <stdint.h>

#define ECO_Z_95 1.959963984540054	/* normal quantile of 0.975 */

/*
 * Wilson score interval of a proportion (Wilson, JASA 22, 1927), wins of n at
 * the normal quantile z; n >= 1, 0 <= wins <= n.  Bounds are in [0, 1].
 */
extern void eco_wilson(int64_t wins, int64_t n, double z, double *lower, double *upper);

/*
 * Logarithm of x^a (1 - x)^b / B(a, b), for 0 < x < 1: the density of the beta
 * distribution is its exponential over x (1 - x).  Absolute error about 1e-12.
 */
extern double eco_beta_log_front(double x, double a, double b);

/*
 * Regularised incomplete beta function I_x(a, b), a > 0, b > 0, 0 <= x <= 1,
 * by its continued fraction (DLMF 8.17.22, modified Lentz's method); relative
 * error about 1e-13.
 */
extern double eco_beta_cdf(double x, double a, double b);

/* P(X >= wins) for X binomial of n trials with probability p. */
extern double eco_binomial_upper_tail(int64_t wins, int64_t n, double p);

#endif
