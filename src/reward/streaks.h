/*
 * streaks.h
 *		A user's daily streak as it is stored, and what a moment means for it.
 */
#ifndef ECO_STREAKS_H
#define ECO_STREAKS_H

#include "postgres.h"

#include "pgtime.h"

#include "core/streak.h"
#include "reward/reward.h"

typedef struct EcoDaily
{
	int64		user_id;
	EcoStreakPolicy policy;
	EcoStreak	streak;
	char	   *user_zone_name;
	pg_tz	   *user_zone;
	char	   *claim_zone_name;	/* of the last claim; the user's before
									 * the first */
	pg_tz	   *claim_zone;
	int64		last_seq;		/* entry that the streak stands at, or 0 */
	int32		paid_to;		/* the latest date that was ever paid */
} EcoDaily;

/* The dates of a moment, which differ while a change of zone is pending. */
typedef struct EcoClaimDay
{
	int32		booked;			/* the date that a claim is booked on */
	int32		in_user_zone;
} EcoClaimDay;

/* Whoever loads a streak opens these: of the user, and the levels of rewards. */
extern EcoTable *const eco_daily_tables[];

/*
 * A reader begins with these, and adds the rest for a user who falls into an experiment,
 * or whose streak must ask the journal which dates were paid.
 */
extern EcoTable *const eco_daily_seen_tables[];
extern bool eco_daily_asks_journal(const EcoDaily *d);

/* Reads under the active snapshot; false for an unknown user. */
extern bool eco_daily_load(EcoDaily *d, const EcoAccount *account);

/* Set the streak to what it was before this entry. */
extern void eco_daily_go_back(EcoDaily *d, const EcoRow *entry);

/* Note the streak, and the entry it goes on from, in an entry to be posted. */
extern void eco_daily_note(const EcoDaily *d, EcoRow *entry);

/* Put the streak into the account, before its flush. */
extern void eco_daily_put(const EcoDaily *d, EcoAccount *account);

/* The claim's zone is the user's from now on: no change of zone is pending. */
extern void eco_daily_commit_zone(EcoDaily *d);

extern EcoClaimDay eco_daily_at(const EcoDaily *d, TimestampTz at);
extern bool eco_daily_date_exists(int32 date, void *zone);

/* What a claim at a moment is, by the rule and by what was paid before. */
typedef struct EcoDailyClaim
{
	EcoClaim	what;
	EcoStreak	after;			/* by the rule */
	bool		paid;			/* what is ECO_CLAIM_ALREADY because the date
								 * was paid, though the streak stands at an
								 * earlier one: set_streak() put it back */
	EcoRow		entry;			/* when paid: the entry that did */
	char	   *event_id;		/* when not: that of the entry to be made */
} EcoDailyClaim;

extern void eco_daily_decide(const EcoDaily *d, EcoClaimDay day, EcoDailyClaim *claim);

/* The streak as it stands before this claim: 0 when the claim does not continue it. */
extern int32 eco_daily_day_before(const EcoDaily *d, const EcoDailyClaim *claim);

/* The date as a key, and in details. */
extern char *eco_iso_date(int32 date);

/*
 * The first moment at which a claim is accepted, after what was claimed by then: that
 * of a date, to the second, or `after` when another date has begun already.
 */
extern TimestampTz eco_daily_next_claim(const EcoDaily *d, TimestampTz after);

#endif
