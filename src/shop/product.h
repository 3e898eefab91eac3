/*
 * product.h
 *		Products, as a purchase sees them.
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

/* Whoever reads products opens this. */
extern EcoTable eco_shop_products;

/* False: no such product.  Reads under the active snapshot. */
extern bool eco_product_read(const EcoText *product_id, EcoProduct *product);

#endif
