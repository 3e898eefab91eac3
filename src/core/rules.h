/*
 * rules.h
 *		Whether segment rules give every user that there can be a segment.
 *
 * A rule bounds recency, frequency and monetary value; a monetary bound may be
 * a quantile (p60, p95) of values that are known only at a refresh.  Between two
 * neighbouring bounds all values are alike to the rules, so one value of each
 * such stretch is tried.  For each recency, frequency and monetary value that is
 * tried a set of bits says which rules match it.  A user without a rule has a
 * recency, a frequency and a monetary value whose sets share no bit.
 */
#ifndef ECO_RULES_H
#define ECO_RULES_H

#include <stdbool.h>
#include <stdint.h>

#define ECO_RULES_MAX	100
#define ECO_NO_RECENCY	1000000 /* days of who never bought, without a clamp */

/* Monetary bounds that are no number. */
#define ECO_BOUND_NONE	(-1)
#define ECO_BOUND_P60	(-60)
#define ECO_BOUND_P95	(-95)

/* All conditions must hold. */
typedef struct EcoRuleSource
{
	int64_t		bought;			/* 0, 1, or -1 for either */
	int64_t		recency_from;	/* inclusive, as are the next three */
	int64_t		recency_to;
	int64_t		frequency_from;
	int64_t		frequency_to;
	int64_t		monetary_from;	/* inclusive */
	int64_t		monetary_below; /* exclusive */
	int64_t		p95_positive;	/* 1: matches only while p95 is above 0 */
} EcoRuleSource;

#define ECO_RULE_WORDS	8

/* A user, and the quantiles of those with a purchase in the window, if any. */
typedef struct EcoRuleCase
{
	bool		bought;
	int64_t		recency;
	int64_t		frequency;
	int64_t		monetary;
	bool		measured;		/* there are quantiles */
	int64_t		p50;
	int64_t		p60;
	int64_t		p95;
} EcoRuleCase;

/*
 * The search's memory, of eco_rule_sets_size bytes.  It is the caller's, because
 * pulse() may leave by an error.
 */
typedef struct EcoRuleSets EcoRuleSets;
extern const uint64_t eco_rule_sets_size;

/*
 * Whether there can be a user without a rule, and who.  window is in days, 0
 * for all time; clamp the largest recency.  n * n * n steps for n rules, at
 * most; pulse is called after each n * n of them, to look for a cancel.
 */
extern bool eco_rules_gap(const EcoRuleSource *rules, int nrules, int64_t window,
						  int64_t clamp, void (*pulse) (void), EcoRuleSets *work,
						  EcoRuleCase *gap);

#endif
