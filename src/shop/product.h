/*
 * product.h
 *		Products and their stock, as a purchase sees them.
 */
#ifndef ECO_PRODUCT_H
#define ECO_PRODUCT_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "core/period.h"
#include "ledger/args.h"
#include "ledger/rows.h"

typedef struct EcoProduct
{
	EcoText		product_id;
	bool		is_conversion;	/* category conversion, else item */
	int64		price_gold;		/* item: charged per unit */
	int64		source_points;	/* conversion: outside points per unit */
	int64		granted_gold;	/* conversion: granted per unit */
	int64		monetary;		/* minor units of money per unit */
	bool		limit_once;
	int32		per_user_limit; /* units per period; 0 = none */
	EcoPeriod	limit_period;
	bool		counted;		/* it has or had a per_user_limit */
	bool		global_key;		/* a key is used once by all users together */
	bool		active;
	TimestampTz starts_at;		/* DT_NOBEGIN / DT_NOEND when open */
	TimestampTz ends_at;
	bool		has_stock;		/* limited: units are taken from shop_stock */
	Datum		effect_code;	/* text, or 0 */
} EcoProduct;

/* Whoever reads products, or takes stock, opens these. */
extern EcoTable eco_shop_products;
extern EcoTable eco_shop_stock;

/* False: no such product.  Reads under the active snapshot. */
extern bool eco_product_read(const EcoText *product_id, EcoProduct *product);

typedef enum EcoStock
{
	ECO_STOCK_TAKEN,
	ECO_STOCK_SOLD_OUT,			/* fewer are left than asked for; none was
								 * taken */
	ECO_STOCK_AGAIN				/* it had to wait, and took none: the product
								 * is to be read again */
} EcoStock;

/*
 * Take units from the product's stock; `take` false only looks.  Who has to gather
 * them does it in the attempt, which is begun then, and taken back when he has to
 * wait: he holds nothing meanwhile.  *remaining is
 * what is left in the eyes of this transaction; *slot the slot the (first) units
 * came from.
 */
extern EcoStock eco_stock_take(const EcoProduct *product, int32 units, bool take,
							   EcoAttempt *attempt, int64 *remaining, int16 *slot);

#endif
