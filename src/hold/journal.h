/*
 * journal.h
 *		The journal of holdings: what users got and used up outside the shop and the rewards.
 */
#ifndef ECO_HOLD_JOURNAL_H
#define ECO_HOLD_JOURNAL_H

#include "postgres.h"

#include "ledger/journal.h"

/* columns of economy.holding_changes after the header */
enum
{
	HCH_DIGEST = ECO_HEADER_COLUMNS,	/* of operation and idempotency_key */
	HCH_OPERATION,
	HCH_KEY,
	HCH_REASON,
	HCH_ITEMS,
	HCH_CONTEXT,
	HCH_DETAIL,
	HCH_COLUMNS
};

#define ECO_HCH_BY_KEY 1

extern const EcoJournal eco_holding_changes;

#endif
