/*
 * limit.h
 *		How much of a product a user bought, for limits per user.
 */
#ifndef ECO_LIMIT_H
#define ECO_LIMIT_H

#include "postgres.h"

#include "ledger/rows.h"
#include "shop/product.h"

/* Whoever loads units opens this. */
extern EcoTable eco_shop_user_units;

/* A user's units of a product, while a purchase runs; the account lock covers them. */
typedef struct EcoUnits
{
	EcoRow		row;
	bool		exists;			/* the row was found, not made here */
	bool		changed;		/* since it was written */
} EcoUnits;

/*
 * Reads the user's row under the active snapshot, or makes it by counting the entries
 * where there is none.  With keep such a row is written at once, also when the
 * purchase is then refused, so that nobody counts them again.
 */
extern void eco_units_load(EcoUnits *units, int64 user_id, const EcoText *product_id,
						   bool keep);

/* Units bought in the period that the moment lies in. */
extern int64 eco_units_in(const EcoUnits *units, EcoPeriod period, TimestampTz at);

/* Count a purchase; write the row. */
extern void eco_units_add(EcoUnits *units, int32 quantity, TimestampTz at);
extern void eco_units_write(EcoUnits *units);

/* Whether the user has any purchase of the product. */
extern bool eco_units_any(int64 user_id, const EcoText *product_id);

#endif
