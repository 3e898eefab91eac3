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
	bool		has_stock;		/* limited: units are taken from shop_stock, */
	int			stock_slots;	/* where so many rows have them */
	Datum		effect_code;	/* text, or 0 */
	Datum		contents;		/* jsonb: items that a unit gives, or 0 */
	Datum		price_items;	/* jsonb: items that it costs, or 0 */
	bool		fulfilment;		/* a worker has to fulfil it */
	int64		granted_xp;		/* per unit */
	bool		gives_freezes;	/* the effect code is that item's name: one a
								 * unit */
	Datum		settlement;		/* text: the provider that is paid, or 0 */
} EcoProduct;

/* Whoever reads products opens this. */
extern EcoTable eco_shop_products;

/* The same table with what a shop shows of a product, behind what a purchase asks. */
extern EcoTable eco_shop_shelf;

enum
{
	PRD_ID,
	PRD_CATEGORY,
	PRD_PRICE_GOLD,
	PRD_SOURCE_POINTS,
	PRD_GRANTED_GOLD,
	PRD_MONETARY,
	PRD_LIMIT_ONCE,
	PRD_PER_USER_LIMIT,
	PRD_LIMIT_PERIOD,
	PRD_COUNTED,
	PRD_GLOBAL_KEY,
	PRD_STARTS_AT,
	PRD_ENDS_AT,
	PRD_ACTIVE,
	PRD_STOCK_SLOTS,
	PRD_EFFECT_CODE,
	PRD_CONTENTS,
	PRD_PRICE_ITEMS,
	PRD_FULFILMENT,
	PRD_GRANTED_XP,
	PRD_SETTLEMENT,
	PRD_COLUMNS,
	PRD_EXTRA = PRD_COLUMNS,	/* of the shelf alone */
	PRD_TAGS,
	PRD_POSITION,
	PRD_TEXTS,
	PRD_SHELF_COLUMNS
};

/* False: no such product.  Reads under the active snapshot. */
extern bool eco_product_read(const EcoText *product_id, EcoProduct *product);

/* The product in a row of either; it lives as long as the values. */
extern void eco_product_of(const Datum *values, const bool *isnull, EcoProduct *product);

/* Why it is not for sale at that moment; NULL: it is. */
extern const char *eco_product_not_on_sale(const EcoProduct *product, TimestampTz at);

/* Whether an effect code gives streak freezes. */
extern bool eco_product_is_freeze(Datum effect_code);

/* When a limit_period, which is not ever, begins again. */
extern TimestampTz eco_product_renews_at(const EcoProduct *product, TimestampTz at);

/* ever, day, week or month */
extern const char *eco_period_word(EcoPeriod period);

#endif
