/*
 * refunds.h
 *		The journal of refunds, and what of a purchase they have left.
 *
 * A refund is an entry of its own: the purchase stays as it was made, and what it counts
 * for is what it bought less what its refunds took back.
 */
#ifndef ECO_REFUNDS_H
#define ECO_REFUNDS_H

#include "postgres.h"

#include "ledger/args.h"
#include "ledger/journal.h"

/* columns of economy.shop_refunds after the header */
enum
{
	RFD_DIGEST = ECO_HEADER_COLUMNS,	/* of purchase and idempotency_key */
	RFD_REVERSES,				/* seq of the purchase */
	RFD_QUANTITY,
	RFD_RESTOCKED,				/* units that went back to the stock */
	RFD_ASKED,					/* null: all that were left */
	RFD_MONETARY,
	RFD_DEBT_GOLD,
	RFD_PURCHASE,
	RFD_KEY,
	RFD_PRODUCT_ID,
	RFD_POLICY,
	RFD_ACTOR,
	RFD_REASON,
	RFD_DETAIL,
	RFD_ITEMS,
	RFD_COLUMNS
};

#define ECO_RFD_BY_SEQ 0
#define ECO_RFD_BY_KEY 1
#define ECO_RFD_OF_PURCHASE 2	/* of its columns: all refunds of a purchase */

/* Opened by whoever asks what of purchases is left. */
extern EcoTable eco_shop_refunds;
extern const EcoJournal eco_refunds;

/* A refund that leaves a debt opens this, and writes it down beside its entry. */
extern EcoTable eco_shop_debts;
extern void eco_debt_add(int64 user_id, int64 seq, int64 gold);

/* Units of purchases that were taken back, each purchase once, by ascending seq. */
typedef struct EcoTakenBack
{
	bool		is_known;		/* they were looked up */
	int			n;
	int			room;
	struct
	{
		int64		seq;
		int64		units;
	}		   *of;
} EcoTakenBack;

/*
 * Those of a user's purchases of a product, or, with NULL, of all; none while the table is
 * not open.
 */
extern EcoTakenBack eco_taken_back(int64 user_id, const EcoText *product_id);

/* Of the purchase with that seq. */
extern int64 eco_taken_back_of(const EcoTakenBack *all, int64 seq);

/* Count a further one among them, which is no entry yet. */
extern void eco_taken_back_add(EcoTakenBack *all, int64 seq, int64 units);

#endif
