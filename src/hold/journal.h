/*
 * journal.h
 *		The journal of holdings: what users got and used up outside the shop and the rewards.
 */
#ifndef ECO_HOLD_JOURNAL_H
#define ECO_HOLD_JOURNAL_H

#include "postgres.h"

#include "ledger/args.h"
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

/* of an escrow: what was put into it, its end, and what another user got of it */
#define ECO_ESCROW_HOLD		"escrow_hold"
#define ECO_ESCROW_CLOSE	"escrow_close"
#define ECO_ESCROW_IN		"escrow_in"

/* the bet of a round that is open, closed as an escrow is */
#define ECO_ROUND_OPEN		"round_open"

/* of what a refund could not take: its reason is the refund */
#define ECO_DEBT			"debt"

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

/* Answer with what an entry changed. */
extern void eco_hch_answer(EcoResult *result, const char *state, const EcoRow *entry);

/* The items of an entry, 0 for none. */
extern Datum eco_hch_items(const EcoRow *entry);

/* The detail of an entry of a kind that has one; a number in it, -1: there is none; a text. */
extern const Jsonb *eco_hch_detail(const EcoRow *entry);
extern int64 eco_hch_int(const Jsonb *detail, const char *key);
extern EcoText eco_hch_text(const Jsonb *detail, const char *key);

/* Whether a retry gives the same, or else the field, what it was first and is now. */
extern bool eco_hch_same_int(EcoDetail *detail, const char *field, int64 first, int64 now);
extern bool eco_hch_same_text(EcoDetail *detail, const char *field, const EcoText *first,
							  const EcoText *now);
extern bool eco_hch_same_context(EcoDetail *detail, const EcoRow *first, Jsonb *now);

#endif
