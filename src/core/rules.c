/*
 * rules.c
 *		Whether segment rules leave anybody out.
 */
#include "core/rules.h"

#include <stddef.h>

#define MAX_VALUES		(2 * ECO_RULES_MAX + 4)
#define MAX_QUANTILES	10		/* ways in which a value lies to them */

typedef struct RuleSet
{
	uint64_t	bits[2];
	EcoRuleCase user;			/* of which one figure, or two, count */
} RuleSet;

typedef struct RuleSetList
{
	int			n;
	RuleSet		sets[MAX_VALUES * MAX_QUANTILES];
} RuleSetList;

struct EcoRuleSets
{
	RuleSetList recency;
	RuleSetList frequency;
	RuleSetList monetary;
};

const uint64_t eco_rule_sets_size = sizeof(EcoRuleSets);

typedef bool (*Matches) (const EcoRuleSource *rule, const EcoRuleCase *user);

static bool
matches_recency(const EcoRuleSource *rule, const EcoRuleCase *user)
{
	return user->recency >= rule->recency_from && user->recency <= rule->recency_to &&
		(rule->bought < 0 || rule->bought == user->bought);
}

static bool
matches_frequency(const EcoRuleSource *rule, const EcoRuleCase *user)
{
	return user->frequency >= rule->frequency_from && user->frequency <= rule->frequency_to;
}

static bool
is_quantile(int64_t bound)
{
	return bound == ECO_BOUND_P60 || bound == ECO_BOUND_P95;
}

static int64_t
bound_value(int64_t bound, const EcoRuleCase *user)
{
	return bound == ECO_BOUND_P60 ? user->p60 : bound == ECO_BOUND_P95 ? user->p95 : bound;
}

/*
 * While p95 is the median the quantiles tell nobody apart: who has just that value is
 * below both.
 */
static bool
matches_monetary(const EcoRuleSource *rule, const EcoRuleCase *user)
{
	const bool	from_quantile = is_quantile(rule->monetary_from);
	const bool	below_quantile = is_quantile(rule->monetary_below);
	const bool	tied = user->measured && user->p95 == user->p50;
	const int64_t from = bound_value(rule->monetary_from, user);
	const int64_t below = bound_value(rule->monetary_below, user);

	if (rule->p95_positive && (!user->measured || user->p95 <= 0))
		return false;
	if ((from_quantile || below_quantile) && !user->measured)
		return false;
	if (rule->monetary_from != ECO_BOUND_NONE &&
		(user->monetary < from || (from_quantile && tied && user->monetary == from)))
		return false;
	return rule->monetary_below == ECO_BOUND_NONE || user->monetary < below ||
		(below_quantile && tied && user->monetary == below);
}

/*
 * Add the set of the rules that match this user, unless the list has a subset of
 * it: whatever shares no rule with this set shares none with the subset.
 */
static void
add(RuleSetList *list, const EcoRuleSource *rules, int nrules, Matches matches,
	const EcoRuleCase *user)
{
	RuleSet		set = {{0, 0}, *user};

	for (int i = 0; i < nrules; i++)
		if (matches(&rules[i], user))
			set.bits[i / 64] |= UINT64_C(1) << (i % 64);
	for (int i = 0; i < list->n; i++)
		if ((list->sets[i].bits[0] & ~set.bits[0]) == 0 &&
			(list->sets[i].bits[1] & ~set.bits[1]) == 0)
			return;
	list->sets[list->n++] = set;
}

/* All recencies from low to high that rules can tell apart. */
static void
list_recencies(EcoRuleSets *work, const EcoRuleSource *rules, int nrules, bool bought,
			   int64_t low, int64_t high)
{
	EcoRuleCase user = {.bought = bought, .recency = low};

	work->recency.n = 0;
	add(&work->recency, rules, nrules, matches_recency, &user);
	for (int i = 0; i < nrules; i++)
		for (int end = 0; end < 2; end++)
		{
			if (end == 1 && rules[i].recency_to >= high)
				continue;
			user.recency = end == 0 ? rules[i].recency_from : rules[i].recency_to + 1;
			if (user.recency > low && user.recency <= high)
				add(&work->recency, rules, nrules, matches_recency, &user);
		}
}

/* All frequencies from low on that rules can tell apart; with alone, low only. */
static void
list_frequencies(EcoRuleSets *work, const EcoRuleSource *rules, int nrules, int64_t low, bool alone)
{
	EcoRuleCase user = {.frequency = low};

	work->frequency.n = 0;
	add(&work->frequency, rules, nrules, matches_frequency, &user);
	for (int i = 0; !alone && i < nrules; i++)
		for (int end = 0; end < 2; end++)
		{
			if (end == 1 && rules[i].frequency_to == INT64_MAX)
				continue;
			user.frequency = end == 0 ? rules[i].frequency_from : rules[i].frequency_to + 1;
			if (user.frequency > low)
				add(&work->frequency, rules, nrules, matches_frequency, &user);
		}
}

/* Add the value once for each way in which the quantiles can lie around it. */
static void
add_monetary(EcoRuleSets *work, const EcoRuleSource *rules, int nrules, int64_t m)
{
	/* p50, p60 and p95, and the least value that they leave above 0 */
	const struct
	{
		int64_t		p50;
		int64_t		p60;
		int64_t		p95;
		int64_t		least;
	}			ways[MAX_QUANTILES] = {
		{m + 1, m + 1, m + 1, 0},	/* below both */
		{0, m + 1, m + 1, 0},
		{m, m, m, 0},			/* both */
		{m - 1, m, m, 1},
		{m, m, m + 1, 0},		/* p60, below p95 */
		{m - 1, m - 1, m + 1, 1},	/* between them */
		{m - 1, m - 1, m, 1},	/* p95, above p60 */
		{m - 1, m - 1, m - 1, 1},	/* above both */
		{m - 2, m - 1, m - 1, 2},
		{0, 0, 0, 1},
	};

	for (int i = 0; i < MAX_QUANTILES; i++)
	{
		EcoRuleCase user = {
			.monetary = m, .measured = true,
			.p50 = ways[i].p50, .p60 = ways[i].p60, .p95 = ways[i].p95
		};

		if (m >= ways[i].least)
			add(&work->monetary, rules, nrules, matches_monetary, &user);
	}
}

static void
list_monetary(EcoRuleSets *work, const EcoRuleSource *rules, int nrules)
{
	work->monetary.n = 0;
	for (int64_t m = 0; m <= 2; m++)
		add_monetary(work, rules, nrules, m);
	for (int i = 0; i < nrules; i++)
	{
		if (rules[i].monetary_from > 2)
			add_monetary(work, rules, nrules, rules[i].monetary_from);
		if (rules[i].monetary_below > 2)
			add_monetary(work, rules, nrules, rules[i].monetary_below);
	}
}

/*
 * The value of who spent nothing in the window.  Where nobody spent anything
 * there are no quantiles, and no rules match but those that match with any.
 */
static void
list_nothing(EcoRuleSets *work, const EcoRuleSource *rules, int nrules)
{
	EcoRuleCase user = {.measured = false};

	work->monetary.n = 0;
	add(&work->monetary, rules, nrules, matches_monetary, &user);
}

/* Look for a recency, a frequency and a monetary value whose sets share no rule. */
static bool
find_gap(const EcoRuleSets *work, void (*pulse) (void), EcoRuleCase *gap)
{
	for (int r = 0; r < work->recency.n; r++)
	{
		const RuleSet *recency = &work->recency.sets[r];

		pulse();
		for (int f = 0; f < work->frequency.n; f++)
		{
			const RuleSet *frequency = &work->frequency.sets[f];
			const uint64_t low = recency->bits[0] & frequency->bits[0];
			const uint64_t high = recency->bits[1] & frequency->bits[1];

			for (int m = 0; m < work->monetary.n; m++)
			{
				const RuleSet *monetary = &work->monetary.sets[m];

				if ((low & monetary->bits[0]) != 0 || (high & monetary->bits[1]) != 0)
					continue;
				*gap = monetary->user;
				gap->bought = recency->user.bought;
				gap->recency = recency->user.recency;
				gap->frequency = frequency->user.frequency;
				return true;
			}
		}
	}
	return false;
}

bool
eco_rules_gap(const EcoRuleSource *rules, int nrules, int64_t window, int64_t clamp,
			  void (*pulse) (void), EcoRuleSets *work, EcoRuleCase *gap)
{
	const int64_t edge = window > 0 && window < clamp ? window : clamp;

	list_recencies(work, rules, nrules, false, clamp, clamp);
	list_frequencies(work, rules, nrules, 0, true);
	list_nothing(work, rules, nrules);
	if (find_gap(work, pulse, gap))
		return true;

	/*
	 * who bought nothing in the window bought before it; of all time nobody
	 * did
	 */
	if (window > 0)
	{
		list_recencies(work, rules, nrules, true, edge, clamp);
		if (find_gap(work, pulse, gap))
			return true;
	}
	list_recencies(work, rules, nrules, true, 0, edge);
	list_frequencies(work, rules, nrules, 1, false);
	list_monetary(work, rules, nrules);
	return find_gap(work, pulse, gap);
}
