/*
 * streak.h
 *		The rule of the daily streak, on local dates as plain day numbers.
 *
 * A day number counts days from any fixed origin.  The caller knows what date
 * it is in a zone and which dates a zone has; this module decides which date a
 * claim is booked on, what was missed before it and what the claim is.
 *
 * While a change of zone is pending (the user's zone is not the last claim's),
 * a claim is booked on the lesser of the two zones' dates.  The dates after it,
 * up to that of the user's zone at that moment, are excused: they may still be
 * claimed, and their absence is no miss.  Booked dates only rise, so changing
 * zones gains nothing, and who lives by the new clock loses nothing.
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
	int32_t		excused_to;		/* dates up to it are not missed; ECO_NO_DAY
								 * before the first change of zone */
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

/* The date a claim is booked on. */
extern int32_t eco_streak_booked(int32_t in_user_zone, int32_t in_claim_zone);

/*
 * How many dates strictly between the last claim and `today` were missed: those
 * that exist and are not excused; *missed_day is the latest of them.  Past the
 * dormancy the exact number does not matter, and counting ends.
 */
extern int32_t eco_streak_missed(const EcoStreakPolicy *policy, const EcoStreak *streak,
								 int32_t today,
								 bool (*exists) (int32_t date, void *arg), void *arg,
								 int32_t *missed_day);

/*
 * What a claim booked on `today` is while it is `in_user_zone` there, after
 * `missed` missed dates, the latest of them being `missed_day`.  *after is the
 * streak that results; equal to *before when the answer is ECO_CLAIM_ALREADY.
 */
extern EcoClaim eco_streak_claim(const EcoStreakPolicy *policy,
								 const EcoStreak *before,
								 int32_t today, int32_t in_user_zone, int32_t missed,
								 int32_t missed_day, EcoStreak *after);

extern const char *eco_claim_name(EcoClaim claim);

/* The day whose reward a streak of this length earns, by the cap. */
extern int32_t eco_streak_reward_day(const EcoStreakPolicy *policy, int32_t day);

/*
 * The same in a calendar of that many days: after its last one it goes on with another of
 * them, from which it ends and goes on again.
 */
extern int32_t eco_streak_calendar_day(int32_t last_day, int32_t continues_at, int32_t day);

/* Reward of day >= 1: 1000 + 200 (day - 1) gold, 50 + 25 (day - 1) XP. */
extern int64_t eco_streak_gold(int32_t day);
extern int64_t eco_streak_xp(int32_t day);

#endif
