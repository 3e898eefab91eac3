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
	ECO_STOCK_AGAIN,			/* it had to wait, and took none: the product
								 * is to be read again */
	ECO_STOCK_BUSY				/* it would have had to wait, and took none */
} EcoStock;

typedef enum EcoStockHow
{
	ECO_STOCK_LOOK,				/* take none */
	ECO_STOCK_TRY,				/* never wait */
	ECO_STOCK_TAKE
} EcoStockHow;

/*
 * Take units from the product's stock.  When no single slot
 * has enough, they are gathered from several within the attempt, which this begins,
 * and takes back before it has to wait, so that nothing is held meanwhile.
 * *remaining is what is left in the eyes of this transaction; *slot the slot that
 * the (first) units came from.
 */
extern EcoStock eco_stock_take(const EcoProduct *product, int32 units, EcoStockHow how,
							   EcoAttempt *attempt, int64 *remaining, int16 *slot);

/*
 * Lock so many units, or all there are, for who takes them in parts and of several
 * products: products in the order of their ids, before the first unit is taken.  Waits
 * for slots in their order, and holds none out of it, so two who reserve cannot
 * deadlock; the snapshot is to be renewed then.
 */
extern void eco_stock_reserve(const EcoText *product_id, int64 units);

#endif
