/*
 * limit.h
 *		How much of a product a user bought, for limits per user.
 *
 * It stands in the user's account (shop/units_section.h), which every purchase writes
 * anyway.  Products for which there is no room there have rows in shop_user_units_more.
 */
#ifndef ECO_LIMIT_H
#define ECO_LIMIT_H

#include "postgres.h"

#include "ledger/entry.h"
#include "ledger/rows.h"
#include "shop/product.h"
#include "shop/units_section.h"

/* Opened where eco_units_need_row() says so, beside eco_accounts. */
extern EcoTable eco_shop_user_units_more;

/* A user's units of a product, while a purchase runs; the account lock covers them. */
typedef struct EcoUnits
{
	EcoUnitsOf	of;
	EcoText		product_id;
	int64		user_id;
	bool		has_archive;	/* some of the user's entries left the journal */
	bool		has_row;		/* in shop_user_units_more, or will have */
	bool		row_stored;
	EcoRow		row;
	bool		changed;		/* since they were read */
	bool		unwritten;		/* what is in the row */
	int64		refunded_seq;	/* of a purchase that is taken back just now */
	int32		refunded;		/* units of it; 0: none is */
} EcoUnits;

/* Whether those of a product of this account may have a row, or get one. */
extern bool eco_units_need_row(const EcoAccount *account, const EcoText *product_id);

/* What is stored of a product, under the active snapshot.  False: nothing is. */
extern bool eco_units_load(EcoUnits *units, const EcoAccount *account, const EcoText *product_id);

/*
 * Then they are made of the entries; units that there are are changed.  What refunds took
 * back does not count, if eco_shop_refunds is open: of a product that is bought only once
 * in a while it need not be, as long as what is counted then is not kept.
 */
extern void eco_units_count_all(EcoUnits *units);

static inline bool
eco_units_ever(const EcoUnits *units)
{
	return units->of.units[ECO_PERIOD_EVER] > 0;
}

/* Whether those of the period that the moment lies in are to be counted in the journal. */
extern bool eco_units_are_past(const EcoUnits *units, EcoPeriod period, TimestampTz at);

/* Units bought in that period. */
extern int64 eco_units_in(const EcoUnits *units, EcoPeriod period, TimestampTz at);

/* Count a purchase. */
extern void eco_units_add(EcoUnits *units, int32 quantity, TimestampTz at);

/*
 * Put what was changed into the account, before its flush, or into the row; at: now.
 * Then write the row, before that flush as well: whoever is called by a trigger on
 * accounts must find it moved on.
 */
extern void eco_units_save(EcoUnits *units, EcoAccount *account, TimestampTz at);
extern void eco_units_write(EcoUnits *units);

/* What a user ever bought, for who asks that of many products; at first all zeros. */
typedef struct EcoBought
{
	bool		is_read;
	int			n;				/* -1: that is not known, or too much */
	int64		digests[64];	/* of the entries */
} EcoBought;

/* False: none of the product, for sure. */
extern bool eco_bought_perhaps(EcoBought *bought, const EcoAccount *account,
							   const EcoText *product_id);

/*
 * Units of a purchase are taken back: those of the product, if there are any, are counted
 * anew, as if they had not been bought.  They are saved and written then as others are.
 */
extern void eco_units_take_back(EcoUnits *units, EcoAccount *account, int64 seq, int32 quantity,
								TimestampTz at);

/*
 * Whether the user of the account has any purchase of the product that was not taken back
 * as a whole, as far as eco_shop_refunds is open.
 */
extern bool eco_units_any(const EcoAccount *account, const EcoText *product_id);

#endif
