/*
 * reward.h
 *		The reward journal, and what every entry in it has in common.
 */
#ifndef ECO_REWARD_H
#define ECO_REWARD_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "ledger/entry.h"
#include "ledger/holdings.h"
#include "ledger/result.h"

/* columns of economy.reward_audit after the header */
enum
{
	RWD_DIGEST = ECO_HEADER_COLUMNS,	/* of source and external_event_id */
	RWD_REVERSES,				/* seq of the reversed entry */
	RWD_STREAK_DAY,
	RWD_REWARD_DAY,
	RWD_CLAIM_DATE,
	RWD_GRACE_USED,
	RWD_FREEZES_USED,
	RWD_BEST,					/* from here the streak after the entry */
	RWD_LAST_GRACE,
	RWD_EXCUSED_TO,
	RWD_TIMEZONE,
	RWD_STREAK_BEFORE,			/* seq of the streak entry before */
	RWD_SOURCE,
	RWD_EVENT_ID,
	RWD_ACTOR,
	RWD_REASON,
	RWD_DETAILS,
	RWD_ITEMS,
	RWD_COLUMNS
};

extern EcoTable eco_reward_audit;
extern const EcoJournal eco_rewards;

#define ECO_RWD_BY_SEQ 0
#define ECO_RWD_BY_EVENT 1

/* What the reversals of a reward took back. */
typedef struct EcoReversed
{
	int			reversals;
	int64		gold;
	int64		xp;
	bool		gave_back;		/* of a daily claim: its date as well */
	List	   *items;			/* of those that took some, a jsonb each */
} EcoReversed;

/* Adds up the reversals that came before a seq. */
extern EcoReversed eco_reward_reversed(const EcoRow *reward, int64 before_seq);

/* The items that a reward gave, and what of each its reversals have left; true: anything. */
extern void eco_reward_gave(const EcoRow *reward, EcoHoldings *gave);
extern bool eco_reward_left(const EcoRow *reward, const EcoReversed *reversed, EcoHoldings *left);

/* The source of the reward's reversals that have a key of their own; palloc'd. */
extern char *eco_reversal_source(const char *transaction_id);

/* sources that begin so belong to the extension */
#define ECO_RESERVED_SOURCE "economy:"
#define ECO_SOURCE_STREAK	"economy:daily_streak"
#define ECO_SOURCE_REVERSAL "economy:reversal"
#define ECO_SOURCE_SET_STREAK "economy:set_streak"

/* columns of economy.grant_result after the common ones */
enum
{
	GRANT_GOLD_DELTA = ECO_RES_OWN,
	GRANT_XP_DELTA,
	GRANT_GOLD,
	GRANT_XP,
	GRANT_LEVEL,
	GRANT_LEVELED_UP,
	GRANT_RETRY_AFTER_MS,
	GRANT_DETAIL,
	GRANT_ITEMS
};
#define GRANT_TYPES "bttt" "llll" "ib" "ij" "+j"

/* The ways such a result is filled. */
extern void eco_grant_set_entry(EcoResult *result, const EcoRow *row);
extern void eco_grant_refuse(EcoResult *result, const char *code,
							 const EcoAccount *account);
extern void eco_grant_mismatch(EcoResult *result, const EcoRow *first, EcoDetail *detail);

/*
 * What an entry of rewards answers: its transaction id, and from that column on
 * gold_delta, xp_delta, gold, xp, level and leveled_up.
 */
extern void eco_reward_answer(EcoResult *result, int column, const EcoRow *row);

#endif
