/*
 * test_travel.c
 *		What the daily streak owes to people who move: a traveller who claims on
 *		every date that he sees misses none, and one who flips zones gains none.
 *
 * The zones are made here: fixed ones, days of 23, 23.5, 24.5 and 25 hours, and
 * two that jumped over the date line.  Nobody travels within two days of such a
 * change: together they can put two dates between one morning and the next.
 */
#include <stdio.h>

#include "core/streak.h"
#include "unit.h"

#define HOUR		3600
#define DAY			(24 * HOUR)
#define STEP		900
#define TRAVELLERS	2000
#define TRAVEL_DAYS 60
#define FLIPPERS	200
#define FLIP_DAYS	30

static const EcoStreakPolicy policy = {7, 30, ECO_CAP_NONE, 7};

/* Offset from UTC in seconds, and another one between two moments. */
typedef struct Zone
{
	int32_t		offset;
	int32_t		from_day;
	int32_t		to_day;
	int32_t		meanwhile;
} Zone;

static const Zone zones[] = {
	{0, 0, 0, 0},
	{14 * HOUR, 0, 0, 0},
	{-12 * HOUR, 0, 0, 0},
	{-11 * HOUR, 0, 0, 0},
	{12 * HOUR + 2700, 0, 0, 0},
	{9 * HOUR, 0, 0, 0},
	{5 * HOUR + 2700, 0, 0, 0},
	{-3 * HOUR - 1800, 0, 0, 0},
	{-5 * HOUR, 1015, 1045, -4 * HOUR}, /* 23 h and 25 h */
	{1 * HOUR, 1015, 1045, 3 * HOUR},
	{10 * HOUR + 1800, 1015, 1045, 11 * HOUR},	/* 23.5 h and 24.5 h */
	{-10 * HOUR, 1030, 9999, 14 * HOUR},	/* a date that was not */
	{12 * HOUR, 1030, 9999, -12 * HOUR},	/* a date twice */
};

#define EAST	1
#define WEST	2
#define NZONES ((int) (sizeof(zones) / sizeof(zones[0])))

typedef struct User
{
	EcoStreak	streak;
	const Zone *zone;
	const Zone *claimed_in;
	int			claims;
	int			saved;			/* by grace or freeze */
	int			resets;
	bool		fell;			/* a booked date did not rise */
} User;

static uint64_t state;

static uint32_t
draw(uint32_t below)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t) (state >> 33) % below;
}

static int64_t
local_seconds(int64_t at, const Zone *zone)
{
	bool		meanwhile = at >= (int64_t) zone->from_day * DAY && at < (int64_t) zone->to_day * DAY;

	return at + (meanwhile ? zone->meanwhile : zone->offset);
}

static int32_t
local_date(int64_t at, const Zone *zone)
{
	return (int32_t) (local_seconds(at, zone) / DAY);
}

static bool
date_exists(int32_t date, void *zone)
{
	for (int64_t at = (int64_t) (date - 1) * DAY; at < (int64_t) (date + 2) * DAY; at += HOUR)
		if (local_date(at, zone) == date)
			return true;
	return false;
}

static User
newcomer(const Zone *zone)
{
	User		user = {.streak = {.last_claim = ECO_NO_DAY, .last_grace = ECO_NO_DAY, .excused_to = ECO_NO_DAY}};

	user.zone = zone;
	user.claimed_in = zone;
	return user;
}

static void
claim(User *user, int64_t at)
{
	int32_t		there = local_date(at, user->zone);
	int32_t		today = eco_streak_booked(there, local_date(at, user->claimed_in));
	int32_t		missed_day;
	int32_t		missed = eco_streak_missed(&policy, &user->streak, today, date_exists,
										   (void *) user->claimed_in, &missed_day);
	EcoStreak	after;
	EcoClaim	what = eco_streak_claim(&policy, &user->streak, today, there, missed, missed_day, &after);

	if (what == ECO_CLAIM_ALREADY)
		return;
	user->claims++;
	user->saved += what == ECO_CLAIM_GRACE || what == ECO_CLAIM_FREEZE;
	user->resets += what == ECO_CLAIM_RESET || what == ECO_CLAIM_DORMANT;
	user->fell |= user->streak.last_claim != ECO_NO_DAY && today <= user->streak.last_claim;
	user->streak = after;
	user->claimed_in = user->zone;
}

/*
 * Claims on each date seen in a stay: at the hour, on arrival when that is
 * later, before leaving when that is earlier.
 */
static void
stay(User *user, int64_t from, int64_t until, int64_t hour)
{
	int32_t		claimed = ECO_NO_DAY;

	for (int64_t at = from; at < until; at += STEP)
	{
		int32_t		date = local_date(at, user->zone);

		if (date == claimed ||
			(local_seconds(at, user->zone) % DAY < hour && at + STEP < until &&
			 local_date(at + STEP, user->zone) == date))
			continue;
		claim(user, at);
		claimed = date;
	}
}

static bool
clocks_change(int64_t at)
{
	for (int n = 0; n < NZONES; n++)
		if ((at >= (zones[n].from_day - 2) * (int64_t) DAY && at < (zones[n].from_day + 2) * (int64_t) DAY) ||
			(at >= (zones[n].to_day - 2) * (int64_t) DAY && at < (zones[n].to_day + 2) * (int64_t) DAY))
			return true;
	return false;
}

/* All travellers; zone changes at least so many days apart. */
static User
travel(int days_apart)
{
	User		sum = newcomer(zones);

	state = 1;
	for (int n = 0; n < TRAVELLERS; n++)
	{
		int64_t		begin = 1000 * (int64_t) DAY + (int64_t) draw(96) * STEP;
		int64_t		end = begin + TRAVEL_DAYS * (int64_t) DAY;
		int64_t		hour = (int64_t) draw(96) * STEP;
		User		user = newcomer(&zones[draw(NZONES)]);

		while (begin < end)
		{
			int64_t		until = begin + days_apart * (int64_t) DAY + (int64_t) draw(7 * 96) * STEP;

			while (clocks_change(until))
				until += DAY;
			stay(&user, begin, until < end ? until : end, hour);
			user.zone = &zones[draw(NZONES)];
			begin = until;
		}
		sum.claims += user.claims;
		sum.saved += user.saved;
		sum.resets += user.resets;
		sum.fell |= user.fell;
	}
	return sum;
}

/*
 * Tries zones in any order at every quarter of an hour, the ends of the world
 * more often than the rest; false when it pays.
 */
static bool
flip(User *user, int64_t begin)
{
	bool		bounded = true;

	for (int64_t at = begin; at < begin + FLIP_DAYS * (int64_t) DAY; at += STEP)
	{
		for (int tries = 0; tries < 6; tries++)
		{
			user->zone = &zones[draw(2) == 0 ? 1 + draw(2) : draw(NZONES)];
			claim(user, at);
		}
		/* no more than the dates that somewhere were today since it began */
		bounded &= user->claims <= local_date(at, &zones[EAST]) - local_date(begin, &zones[WEST]) + 1;
	}
	return bounded && !user->fell && user->claims <= (FLIP_DAYS * DAY + 26 * HOUR) / DAY + 1;
}

void
test_travel(void)
{
	User		sum = travel(3);
	int			greedy = 0;

	check(sum.claims > TRAVELLERS * (TRAVEL_DAYS - 8), "travellers claim on the dates they see");
	check_int(sum.saved, 0, "no grace is used where zones change three days apart");
	check_int(sum.resets, 0, "and no streak ends");
	check(!sum.fell, "booked dates rise");
	printf("# %d claims\n", sum.claims);
	check(travel(1).saved > 0, "one day apart it does cost a grace now and then");

	state = 2;
	for (int n = 0; n < FLIPPERS; n++)
	{
		User		user = newcomer(&zones[draw(NZONES)]);

		/* the date of the west end has 2 hours or more to go: else it is a date more */
		greedy += !flip(&user, 1000 * (int64_t) DAY + 12 * HOUR + (int64_t) draw(88) * STEP);
	}
	check_int(greedy, 0, "flipping zones pays floor((T + 26 h) / 24 h) + 1 claims at most, 32 in 30 days");
}
