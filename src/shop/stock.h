/*
 * stock.h
 *		Units of limited products.
 */
#ifndef ECO_STOCK_H
#define ECO_STOCK_H

#include "postgres.h"

#include "ledger/rows.h"
#include "shop/product.h"

#define ECO_MAX_SLOTS 64		/* of a product */

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
 * Take units of what the table, eco_shop_stock or one of its columns, has so many slots of
 * under a name, as far as that is known.  When no single slot
 * has enough, they are gathered from several within the attempt, which this begins,
 * and takes back before it has to wait, so that nothing is held meanwhile.
 * *remaining is what is left in the eyes of this transaction; *slot the slot that
 * the (first) units came from.
 */
extern EcoStock eco_stock_take(EcoTable *table, const EcoText *name, int nslots, int64 units,
							   EcoStockHow how, EcoAttempt *attempt, int64 *remaining,
							   int16 *slot);

/*
 * Units that are locked for one who takes them in parts, and writes them at the end.
 */
typedef struct EcoReserved
{
	EcoText		product_id;
	int			nslots;
	EcoRow	   *slots;			/* as they were found */
	int64		left[ECO_MAX_SLOTS];	/* in them */
	int64		before[ECO_MAX_SLOTS];	/* the last purchase */
	int64		units;			/* of all of them */
	int64		others;			/* in slots that are not locked */
} EcoReserved;

/*
 * Lock so many units, or all there are: of several products in the order of their
 * ids, before the first is taken.  Waits for slots in their order, and holds none
 * out of it, so two who reserve cannot deadlock; the snapshot is a new one then.
 */
extern EcoReserved *eco_stock_reserve(const EcoText *product_id, int64 units);

/* As eco_stock_take(); BUSY when there are more, but with somebody else. */
extern EcoStock eco_stock_take_reserved(EcoReserved *reserved, int32 units, int64 *remaining,
										int16 *slot);

/* The units that were taken last. */
extern void eco_stock_give_back(EcoReserved *reserved, int32 units);
extern void eco_stock_write(EcoReserved *reserved);

#endif
