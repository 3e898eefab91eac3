/*
 * calendar.h
 *		What each day of a streak pays: by the calendar in economy.daily_rewards, or by the
 *		formula where there is none.
 */
#ifndef ECO_CALENDAR_H
#define ECO_CALENDAR_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "core/streak.h"
#include "ledger/rows.h"

typedef struct EcoDayReward
{
	int32		day;			/* whose reward it is, past an end another
								 * than that of the streak */
	int64		gold;
	int64		xp;
	Jsonb	   *contents;		/* items and amounts; NULL: none */
} EcoDayReward;

/* Whoever asks opens this. */
extern EcoTable eco_daily_rewards;

/*
 * The reward of a streak of that many days, under the active snapshot.  The cap of the
 * policy is for the formula: a calendar has an end of its own.
 */
extern void eco_day_reward(const EcoStreakPolicy *policy, int32 streak_day, EcoDayReward *reward);

#endif
