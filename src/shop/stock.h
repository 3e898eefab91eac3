/*
 * stock.h
 *		Units of limited products.
 */
#ifndef ECO_STOCK_H
#define ECO_STOCK_H

#include "postgres.h"

#include "ledger/rows.h"
#include "shop/product.h"

/* Whoever takes stock opens this. */
extern EcoTable eco_shop_stock;

typedef enum EcoStock
{
	ECO_STOCK_TAKEN,
	ECO_STOCK_SOLD_OUT,			/* fewer are left than asked for; none was
								 * taken */
	ECO_STOCK_AGAIN				/* it had to wait, and took none: the product
								 * is to be read again */
} EcoStock;

/*
 * Take units from the product's stock; `take` false only looks.  When no single slot
 * has enough, they are gathered from several within the attempt, which this begins,
 * and takes back before it has to wait, so that nothing is held meanwhile.
 * *remaining is what is left in the eyes of this transaction; *slot the slot that
 * the (first) units came from.
 */
extern EcoStock eco_stock_take(const EcoProduct *product, int32 units, bool take,
							   EcoAttempt *attempt, int64 *remaining, int16 *slot);

#endif
