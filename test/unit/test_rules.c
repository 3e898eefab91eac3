/*
 * test_rules.c
 *		Whether rules leave anybody out, against trying every user; and the work
 *		that it takes.
 */
#include <stdlib.h>

#include "core/rules.h"
#include "unit.h"

#define MAX_RULES 6
#define CLAMP 9
#define AMOUNTS 12				/* tried, from 0 */

static int	pulses;

static void
pulse(void)
{
	pulses++;
}

static int64_t
bound(int64_t most)
{
	static const int64_t quantiles[] = {ECO_BOUND_P60, ECO_BOUND_P95, ECO_BOUND_NONE};

	return unit_random() % 2 ? quantiles[unit_random() % 3] : (int64_t) (unit_random() % (uint64_t) most);
}

static EcoRuleSource
random_rule(void)
{
	EcoRuleSource rule = {-1, 0, INT64_MAX, 0, INT64_MAX, ECO_BOUND_NONE, ECO_BOUND_NONE, 0};

	if (unit_random() % 4 == 0)
		rule.bought = (int64_t) (unit_random() % 2);
	if (unit_random() % 3 == 0)
		rule.recency_from = (int64_t) (unit_random() % 8);
	if (unit_random() % 3 == 0)
		rule.recency_to = rule.recency_from + (int64_t) (unit_random() % 8);
	if (unit_random() % 3 == 0)
		rule.frequency_from = (int64_t) (unit_random() % 5);
	if (unit_random() % 3 == 0)
		rule.frequency_to = rule.frequency_from + (int64_t) (unit_random() % 4);
	if (unit_random() % 2 == 0)
		rule.monetary_from = bound(8);
	if (unit_random() % 2 == 0)
		rule.monetary_below = bound(8);
	rule.p95_positive = unit_random() % 6 == 0;
	return rule;
}

/* While p95 is the median, who has the value of a quantile is below it. */
static bool
reaches(int64_t bound, const EcoRuleCase *user)
{
	if (bound == ECO_BOUND_P60 || bound == ECO_BOUND_P95)
	{
		const int64_t value = bound == ECO_BOUND_P60 ? user->p60 : user->p95;

		return user->p95 == user->p50 ? user->monetary > value : user->monetary >= value;
	}
	return user->monetary >= bound;
}

static bool
monetary_holds(const EcoRuleSource *rule, const EcoRuleCase *user)
{
	const bool	quantiles = rule->p95_positive || rule->monetary_from < ECO_BOUND_NONE ||
		rule->monetary_below < ECO_BOUND_NONE;

	if (quantiles && !user->measured)
		return false;
	return !(rule->p95_positive && user->p95 <= 0) &&
		(rule->monetary_from == ECO_BOUND_NONE || reaches(rule->monetary_from, user)) &&
		(rule->monetary_below == ECO_BOUND_NONE || !reaches(rule->monetary_below, user));
}

static bool
is_covered(const EcoRuleSource *rules, int n, const EcoRuleCase *user)
{
	for (int i = 0; i < n; i++)
		if ((rules[i].bought < 0 || rules[i].bought == user->bought) &&
			user->recency >= rules[i].recency_from && user->recency <= rules[i].recency_to &&
			user->frequency >= rules[i].frequency_from && user->frequency <= rules[i].frequency_to &&
			monetary_holds(&rules[i], user))
			return true;
	return false;
}

/* With all quantiles, and none. */
static bool
all_quantiles_covered(const EcoRuleSource *rules, int n, EcoRuleCase user)
{
	user.measured = false;
	if (user.frequency == 0 && !is_covered(rules, n, &user))
		return false;
	user.measured = true;
	for (user.p95 = 0; user.p95 < AMOUNTS; user.p95++)
		for (user.p60 = 0; user.p60 <= user.p95; user.p60++)
			for (user.p50 = 0; user.p50 <= user.p60; user.p50++)
				if (!is_covered(rules, n, &user))
					return false;
	return true;
}

/* Every user of the model one by one. */
static bool
all_covered(const EcoRuleSource *rules, int n, int64_t window)
{
	EcoRuleCase user = {.recency = CLAMP};

	if (!all_quantiles_covered(rules, n, user))
		return false;
	user.bought = true;
	for (user.recency = 0; user.recency <= CLAMP; user.recency++)
		for (user.frequency = 0; user.frequency < 12; user.frequency++)
		{
			if (user.frequency == 0 ? window == 0 || user.recency < window :
				window != 0 && user.recency > window)
				continue;
			for (user.monetary = 0; user.monetary < (user.frequency == 0 ? 1 : AMOUNTS); user.monetary++)
				if (!all_quantiles_covered(rules, n, user))
					return false;
		}
	return true;
}

static void
random_rules(EcoRuleSets *work)
{
	bool		right = true;
	bool		real = true;
	int			covered = 0;

	for (int round = 0; round < 3000; round++)
	{
		EcoRuleSource rules[MAX_RULES];
		int			n = 1 + (int) (unit_random() % MAX_RULES);
		int64_t		window = round % 3 == 0 ? 0 : 5;
		EcoRuleCase gap;
		bool		have;
		bool		want;

		for (int i = 0; i < n; i++)
			rules[i] = random_rule();
		have = !eco_rules_gap(rules, n, window, CLAMP, pulse, work, &gap);
		want = all_covered(rules, n, window);
		right &= have == want;
		real &= have || !is_covered(rules, n, &gap);
		covered += want;
	}
	check(right, "rules leave somebody out just when trying everybody finds one");
	check(real, "who is named has no rule");
	check(covered > 200 && covered < 2800, "some did, some did not");
}

static void
all_time(EcoRuleSets *work)
{
	static const EcoRuleSource rules[] = {
		{0, 0, INT64_MAX, 0, INT64_MAX, ECO_BOUND_NONE, ECO_BOUND_NONE, 0},
		{1, 0, INT64_MAX, 1, INT64_MAX, ECO_BOUND_NONE, ECO_BOUND_NONE, 0},
	};
	EcoRuleCase gap;

	check(!eco_rules_gap(rules, 2, 0, ECO_NO_RECENCY, pulse, work, &gap),
		  "of all time nobody bought before the window");
	check(eco_rules_gap(rules, 2, 30, 90, pulse, work, &gap) && gap.bought && gap.frequency == 0 && gap.recency == 30,
		  "of thirty days somebody did");
}

/* Rules that differ in everything, as many as there may be. */
static void
many_rules(EcoRuleSets *work)
{
	EcoRuleSource rules[ECO_RULES_MAX];
	EcoRuleCase gap;

	for (int64_t i = 0; i < ECO_RULES_MAX; i++)
		rules[i] = (EcoRuleSource)
		{
			-1, i * 7, i * 7 + 300, i * 11, i * 11 + 500, i * 1000, i * 1000 + 50000, 0
		};
	rules[ECO_RULES_MAX - 1] = (EcoRuleSource)
	{
		-1, 0, INT64_MAX, 0, INT64_MAX, ECO_BOUND_NONE, ECO_BOUND_NONE, 0
	};
	pulses = 0;
	check(!eco_rules_gap(rules, ECO_RULES_MAX, 0, ECO_NO_RECENCY, pulse, work, &gap), "a hundred rules");
	check(pulses > ECO_RULES_MAX && pulses <= 2 * (2 * ECO_RULES_MAX + 4), "with a look around at most twice a rule, and at least once");
}

/* Behind rules that match nobody, in which there is the same gap or none. */
static void
behind_others(EcoRuleSets *work)
{
	const EcoRuleSource nobody = {-1, CLAMP + 1, INT64_MAX, 0, INT64_MAX, ECO_BOUND_NONE, ECO_BOUND_NONE, 0};
	bool		same = true;
	int			covered = 0;

	for (int round = 0; round < 1000; round++)
	{
		EcoRuleSource rules[ECO_RULES_MAX];
		int			n = 1 + (int) (unit_random() % MAX_RULES);
		int			before = ECO_RULES_MAX - MAX_RULES - (int) (unit_random() % 34);
		EcoRuleCase gap;
		bool		alone;

		for (int i = 0; i < before; i++)
			rules[i] = nobody;
		for (int i = 0; i < n; i++)
			rules[before + i] = random_rule();
		alone = eco_rules_gap(rules + before, n, 5, CLAMP, pulse, work, &gap);
		same &= eco_rules_gap(rules, before + n, 5, CLAMP, pulse, work, &gap) == alone;
		covered += !alone;
	}
	check(same, "rules behind sixty others leave out whom they leave out alone");
	check(covered > 50 && covered < 950, "some somebody, some nobody");
}

void
test_rules(void)
{
	EcoRuleSets *work = malloc(eco_rule_sets_size);

	random_rules(work);
	all_time(work);
	many_rules(work);
	behind_others(work);
	free(work);
}
