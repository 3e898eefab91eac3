/*
 * grant.h
 *		A reward for an account that is locked: its rules, its entry and its answer.
 *		grant.c makes one of each call, grants.c many of one call.
 */
#ifndef ECO_GRANT_H
#define ECO_GRANT_H

#include "postgres.h"

#include "ledger/args.h"
#include "ledger/entry.h"
#include "ledger/holdings.h"
#include "ledger/result.h"

typedef struct EcoGrant
{
	int64		user_id;
	EcoText		source;
	EcoText		event_id;
	int64		gold;
	int64		xp;
	Jsonb	   *details;
	Jsonb	   *items;			/* and amounts, or NULL */
} EcoGrant;

/* Raise for amounts out of range, and a reserved source unless any; number: of many, or -1. */
extern void eco_grant_check(const EcoGrant *grant, int number, bool any_source);

/*
 * Apply the rules.  True: the entry is to be made and booked with these items, which are
 * then saved and written, and eco_grant_made() called.  False: it is refused, and answered.
 */
extern bool eco_grant_try(const EcoGrant *grant, const EcoAccount *account, EcoHoldings *items,
						  EcoResult *result);
extern void eco_grant_entry(const EcoGrant *grant, const EcoHoldings *items, EcoEntry *entry);
extern void eco_grant_made(const EcoEntry *entry, EcoResult *result);

/* The answer when the entry has been made by a call before. */
extern void eco_grant_replay(const EcoGrant *grant, const EcoRow *first, EcoResult *result);

#endif
