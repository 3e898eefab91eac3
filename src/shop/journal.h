/*
 * journal.h
 *		The purchase journal.
 */
#ifndef ECO_SHOP_JOURNAL_H
#define ECO_SHOP_JOURNAL_H

#include "postgres.h"

#include "ledger/journal.h"

/* columns of economy.shop_transactions after the header */
enum
{
	TXN_DIGEST = ECO_HEADER_COLUMNS,	/* of product_id and idempotency_key */
	TXN_QUANTITY,
	TXN_STOCK_SLOT,
	TXN_HASH_ALGO_VERSION,
	TXN_KEY_VERSION,
	TXN_MONETARY,
	TXN_CATEGORY,
	TXN_STATUS,
	TXN_PRODUCT_ID,
	TXN_KEY,
	TXN_EFFECT_CODE,
	TXN_CONTEXT,
	TXN_SIGNATURE,
	TXN_ITEMS,
	TXN_COLUMNS
};

extern EcoTable eco_shop_transactions;
extern const EcoJournal eco_purchases;

#define ECO_TXN_BY_SEQ 0
#define ECO_TXN_BY_KEY 1
#define ECO_TXN_OF_PRODUCT 2	/* of its columns: all of a user's product */

#endif
