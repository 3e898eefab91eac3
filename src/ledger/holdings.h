/*
 * holdings.h
 *		Items that users hold, and what an entry changes of them.
 *
 * A change is a part of an entry, as its gold is: the entry carries each item, what was
 * added and the balance after it.  A domain that moves items locks the account
 * (ECO_CALL_NEW, not in passing), asks eco_holdings_refusal(), sets EcoEntry.at and the
 * column of its journal, to eco_holdings_json(), and calls eco_holdings_save() and
 * eco_holdings_write() between eco_entry_prepare() and the write of the account.
 *
 * Of a stack or a currency amounts and balances are units; of a pass the amount is seconds,
 * and the balance the second since 1970 UTC at which it ends.  One that has ended is not
 * held, and begins anew: balance(n) = greatest(balance(n-1), time(n)) + delta(n).
 */
#ifndef ECO_HOLDINGS_H
#define ECO_HOLDINGS_H

#include "postgres.h"

#include "ledger/args.h"
#include "ledger/entry.h"
#include "ledger/result.h"

#define ECO_MAX_HOLDINGS	16	/* items of an entry */

/* columns of economy.items */
enum
{
	ITM_ID,
	ITM_KIND,
	ITM_MAXIMUM,
	ITM_CONSUMABLE,
	ITM_TRADABLE,
	ITM_ACTIVE,
	ITM_TEXTS,
	ITM_EXTRA,
	ITM_COLUMNS
};

/*
 * The one item that is built in: units that claim_daily_reward() uses up for missed days.  Its
 * balance is accounts.streak_freezes, where it stood before there were items.  A row of items
 * may say more of it; without one it is a stack of economy.streak_max_freezes.
 */
#define ECO_ITEM_STREAK_FREEZE "streak_freeze"

/* Whoever reads or changes holdings opens these two. */
extern EcoTable eco_items;
extern EcoTable eco_user_holdings_more;

/* What an entry may do with an item. */
typedef enum EcoHoldingUse
{
	ECO_HOLDING_GIVE,
	ECO_HOLDING_GIVE_SOME,		/* as much of it as there is room for, and
								 * nothing of what is not given any more */
	ECO_HOLDING_USE_UP,			/* which is for those that are consumable */
	ECO_HOLDING_TAKE_BACK,		/* what was given, or nothing */
	ECO_HOLDING_TAKE_REST,		/* as much of it as is there */
	ECO_HOLDING_SEND,			/* to another user: what is tradable */
	ECO_HOLDING_RECEIVE,		/* from one: also what is not given any more */
	ECO_HOLDING_GET_BACK		/* that was put aside: whatever became of the
								 * item, and above its maximum; never a pass */
} EcoHoldingUse;

typedef struct EcoHolding
{
	EcoText		item_id;
	EcoHoldingUse use;
	int64		amount;			/* asked for, above 0 */
	bool		is_pass;
	int64		delta;			/* of either sign; 0: it is no part of the
								 * entry */
	int64		balance;		/* after the entry */
	bool		has_row;
	bool		row_stored;
	EcoRow		row;
} EcoHolding;

typedef struct EcoHoldings
{
	int			n;
	TimestampTz at;				/* that eco_holdings_refusal() took:
								 * EcoEntry.at of the entry */
	EcoHolding	of[ECO_MAX_HOLDINGS];
} EcoHoldings;

/* An argument: an object of items and amounts, {"gem": 5}; null: none.  Raises XE002. */
extern void eco_holdings_arg(FunctionCallInfo fcinfo, int argno, const char *name,
							 EcoHoldingUse use, EcoHoldings *all);

/* The same of a value, which is what somebody gave as name. */
extern void eco_holdings_given(Jsonb *object, const char *name, EcoHoldingUse use,
							   EcoHoldings *all);

/* The same of an object within another: none when it is empty. */
extern void eco_holdings_in(JsonbContainer *object, const char *name, EcoHoldingUse use,
							EcoHoldings *all);

/*
 * Add those of such an object, so many times each, to those that are there.  It is
 * configuration: one that is no such object is damage.
 */
extern void eco_holdings_add(const Jsonb *object, int64 times, EcoHoldingUse use,
							 EcoHoldings *all);

/* Add streak freezes, unless some are among them. */
extern void eco_holdings_add_freezes(int64 units, EcoHoldingUse use, EcoHoldings *all);

/* How many streak freezes a user can hold. */
extern int64 eco_holdings_most_freezes(void);

/* The item's row, or that of the one that is built in; false: there is none. */
extern bool eco_item_find(const EcoText *item_id, EcoRow *item);

/*
 * Why this change is impossible: ITEM_NOT_FOUND, ITEM_INACTIVE, ITEM_LIMIT,
 * ITEM_NOT_CONSUMABLE, ITEM_NOT_TRADABLE, INSUFFICIENT_ITEMS, with the item in the detail;
 * or NULL, and deltas and balances are set.  An item is in it once.
 */
extern const char *eco_holdings_refusal(EcoHoldings *all, const EcoAccount *account,
										EcoDetail *detail);

/* What the entry carries: [{"item": "gem", "delta": 5, "balance": 7}]; 0 for none. */
extern Datum eco_holdings_json(const EcoHoldings *all);

/* Whether an entry that carries this (0: nothing) was asked for the same. */
extern bool eco_holdings_same(const EcoHoldings *all, Datum carried);

/* Whether what an entry carries (0: nothing) gives an item. */
extern bool eco_holdings_give(Datum carried);

/*
 * What an entry gave, as amounts to be taken back, and, of these, less what another one
 * took; an amount is 0 when nothing is left.
 */
extern void eco_holdings_given_by(Datum carried, EcoHoldings *all);

/* What an entry took, as amounts to be used so. */
extern void eco_holdings_taken_by(Datum carried, EcoHoldingUse use, EcoHoldings *all);
extern void eco_holdings_less(EcoHoldings *all, Datum carried);

/* As an object, {"gem": 5}, when there are any: what was asked for; what of it was not moved. */
extern void eco_holdings_detail(EcoDetail *detail, const char *key, const EcoHoldings *all);
extern void eco_holdings_detail_rest(EcoDetail *detail, const char *key, const EcoHoldings *all);

/* The amount of an item, 0 when it is not among them. */
extern EcoHolding *eco_holdings_find(EcoHoldings *all, const EcoText *item_id);

/* Set the account's section, and then write what has no room there; true: there was some. */
extern void eco_holdings_save(EcoHoldings *all, EcoAccount *account);
extern bool eco_holdings_write(EcoHoldings *all, int64 user_id);

/* Whether a user holds so many units of an item now; of a pass, whether it has not ended. */
extern bool eco_holding_is(const EcoAccount *account, const EcoText *item_id, int64 units);

/* Told of each item that a user holds now, the packed ones first. */
typedef void (*EcoHoldingSeen) (void *state, const EcoText *item_id, int64 balance, bool is_pass);
extern void eco_holdings_each(const EcoAccount *account, EcoHoldingSeen seen, void *state);

#endif
