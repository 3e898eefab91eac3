/*
 * prize.h
 *		What an outcome of a draw table gives, less the price of the draw.
 */
#ifndef ECO_HOLD_PRIZE_H
#define ECO_HOLD_PRIZE_H

#include "postgres.h"

#include "hold/draw_table.h"
#include "ledger/entry.h"
#include "ledger/holdings.h"
#include "ledger/result.h"

typedef struct EcoPrize
{
	int			entry;			/* of the table, if it has entries */
	int64		number;			/* of those of an entry with a limit; else 0 */
	int64		gold_delta;
	int64		xp_delta;
	EcoHoldings items;			/* of price and prize */
} EcoPrize;

/* Whoever takes a prize opens this, beside what holdings need. */
extern EcoTable eco_draw_prizes;

/*
 * Why the user cannot be given each of the prizes of a table; NULL: he can.  No refusal
 * depends on an outcome, so this is asked before there is one.
 */
extern const char *eco_prizes_refusal(const EcoDrawTable *table, const EcoAccount *account,
									  EcoDetail *detail);

/*
 * What the outcome gives: the prize of the entry, or, when it has a limit that is reached, that
 * of the one it names.  One with a limit is counted, in a row that is locked until the end
 * of the transaction.
 */
extern EcoPrize *eco_prize_take(const EcoDrawTable *table, const EcoText *table_id,
								const EcoAccount *account, int entry);

#endif
