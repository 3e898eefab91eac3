/*
 * streak.h
 *		The rule of the daily streak, on local dates as plain day numbers.
 *
 * A day number counts days from any fixed origin.  The caller finds the local
 * date of the claim and how many local dates existed strictly between it and
 * the last claim; this module decides what the claim is.
 */
#ifndef ECO_STREAK_H
#define ECO_STREAK_H

#include <stdbool.h>
#include <stdint.h>

#define ECO_NO_DAY INT32_MIN

typedef enum EcoStreakCap
{
	ECO_CAP_NONE,				/* the reward grows with the streak */
	ECO_CAP_HOLD,				/* stays at the cap day's reward */
	ECO_CAP_CYCLE				/* starts over after the cap day */
} EcoStreakCap;

typedef struct EcoStreakPolicy
{
	int32_t		grace_days;		/* days from one graced date to the next; >= 1 */
	int32_t		dormancy_days;	/* a gap this long refills the grace; >= 2 */
	EcoStreakCap cap;
	int32_t		cap_day;		/* >= 1 */
} EcoStreakPolicy;

typedef struct EcoStreak
{
	int32_t		day;			/* length of the streak; 0 before the first
								 * claim */
	int32_t		best;
	int32_t		last_claim;		/* ECO_NO_DAY before the first claim */
	int32_t		last_grace;		/* the missed date that grace covered last */
	int32_t		freezes;		/* held by the user */
} EcoStreak;

typedef enum EcoClaim
{
	ECO_CLAIM_START,			/* the first ever */
	ECO_CLAIM_CONTINUE,
	ECO_CLAIM_FREEZE,			/* freezes covered every missed date */
	ECO_CLAIM_GRACE,			/* grace covered the one missed date */
	ECO_CLAIM_RESET,
	ECO_CLAIM_DORMANT,			/* reset, and grace is there again */
	ECO_CLAIM_ALREADY			/* this date is not after the last claim's */
} EcoClaim;

/*
 * What a claim on `today` is, with `missed` existing dates strictly between
 * the last claim and it (not asked for before the first claim), the latest of
 * them being `missed_day`.  *after is the streak that results; equal to
 * *before when the answer is ECO_CLAIM_ALREADY.
 */
extern EcoClaim eco_streak_claim(const EcoStreakPolicy *policy,
								 const EcoStreak *before,
								 int32_t today, int32_t missed,
								 int32_t missed_day, EcoStreak *after);

extern const char *eco_claim_name(EcoClaim claim);

/* The day whose reward a streak of this length earns, by the cap. */
extern int32_t eco_streak_reward_day(const EcoStreakPolicy *policy, int32_t day);

/* Reward of day >= 1: 1000 + 200 (day - 1) gold, 50 + 25 (day - 1) XP. */
extern int64_t eco_streak_gold(int32_t day);
extern int64_t eco_streak_xp(int32_t day);

#endif
