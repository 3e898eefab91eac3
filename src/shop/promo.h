/*
 * promo.h
 *		Promo codes, as a purchase sees them.
 *
 * What a code gives is fixed when it is made, but how often, and how much gold it may give
 * in all, stands in slots, as stock does (I5).  The entry says which code it has used and
 * what that gave, in its context; a row of promo_uses says it beside, for as long as
 * anything of the purchase is left.
 */
#ifndef ECO_PROMO_H
#define ECO_PROMO_H

#include "postgres.h"

#include "ledger/args.h"
#include "ledger/entry.h"
#include "ledger/result.h"
#include "ledger/rows.h"
#include "shop/product.h"

#define ECO_PROMO "promo"		/* in a context: the code, as it was typed */
#define ECO_PROMO_USE "promo_use"	/* in an entry's: the code and its gold */

#define ECO_PROMO_SLOTS 32		/* of each sum that a code has */

/* Whoever buys with a code opens these, and the refunds of purchases. */
extern EcoTable eco_promo_codes;
extern EcoTable eco_promo_stock;
extern EcoTable eco_promo_uses;

/* What is bought with a code. */
typedef struct EcoPromoAsk
{
	EcoText		typed;
	const EcoAccount *account;	/* that is locked, or read */
	const EcoProduct *product;
	int32		quantity;
} EcoPromoAsk;

/* A code that serves, and what of its sums this purchase takes. */
typedef struct EcoPromo
{
	EcoText		code;			/* as promo_codes has it */
	int64		gold;			/* off the price, or beside what is granted */
	bool		has_max;		/* the number of its uses, */
	bool		has_budget;		/* and its gold, are counted down */
	Jsonb	   *use;			/* what the entry says of it */
} EcoPromo;

/* The code in a context, if any.  False: it is no text, or says what only an entry can. */
extern bool eco_promo_in(Jsonb *context, EcoText *typed);

/* Why it does not serve, told in the detail; or NULL. */
extern const char *eco_promo_check(const EcoPromoAsk *ask, EcoPromo *promo, EcoDetail *detail);

/* The names of its slots. */
extern EcoText eco_promo_uses_of(const EcoPromo *promo);
extern EcoText eco_promo_gold_of(const EcoPromo *promo);

/* The context of the purchase's entry. */
extern Jsonb *eco_promo_context(const EcoPromo *promo, Jsonb *given);

/* What the entry with this context says of a code, or NULL. */
extern Jsonb *eco_promo_used(Jsonb *context);

/* Write down that the entry, which is prepared, uses it. */
extern void eco_promo_note(const EcoPromo *promo, const EcoEntry *entry);

/* Open what the next one needs, if the entry in the row has used a code. */
extern void eco_promo_open(EcoOpenTables *open, const EcoRow *purchase, int context);

/* Give the use of a purchase back of which nothing is left; the row of its entry. */
extern void eco_promo_give_back(const EcoRow *purchase, int context);

#endif
