/*
 * journal.h
 *		The journal of holdings: what users got and used up outside the shop and the rewards.
 */
#ifndef ECO_HOLD_JOURNAL_H
#define ECO_HOLD_JOURNAL_H

#include "postgres.h"

#include "ledger/journal.h"
#include "ledger/result.h"

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

/* operations of two users: that of the one who sends, and of the one who gets */
#define ECO_TRANSFER_OUT	"transfer_out"
#define ECO_TRANSFER_IN		"transfer_in"

/* columns of economy.holding_result after the common ones */
enum
{
	HOLDING_ITEMS = ECO_RES_OWN,
	HOLDING_GOLD_DELTA,
	HOLDING_GOLD,
	HOLDING_RETRY_AFTER_MS,
	HOLDING_DETAIL
};
#define HOLDING_TYPES "bttt" "jll" "ij"

extern const EcoJournal eco_holding_changes;

#endif
