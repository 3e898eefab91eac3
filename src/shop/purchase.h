/*
 * purchase.h
 *		A purchase by an account that is locked: its rules, its entry and its answer.
 *		purchase.c makes one of each call, purchases.c many of one call.
 */
#ifndef ECO_PURCHASE_H
#define ECO_PURCHASE_H

#include "postgres.h"

#include "ledger/args.h"
#include "ledger/calls.h"
#include "ledger/entry.h"
#include "ledger/holdings.h"
#include "ledger/result.h"
#include "shop/limit.h"
#include "shop/product.h"
#include "shop/promo.h"
#include "shop/stock.h"

/* of economy.purchase_result */
#define ECO_PURCHASE_TYPES "btttillllij" "+j"

#define ECO_MAX_QUANTITY 1000000

/* A purchase on its way from the arguments to the row that answers it. */
typedef struct EcoPurchase
{
	int64		user_id;
	EcoText		product_id;
	EcoText		key;
	int32		quantity;
	Jsonb	   *context;
	Datum		expected_price; /* of a unit, numeric, or 0 */
	EcoText		reservation;	/* whose units are bought; datum 0: none */
	EcoText		promo_typed;	/* a promo code; datum 0: none */
	EcoPromo   *promo;			/* that serves, or NULL */
	bool		reserves;		/* it is no purchase: it only takes the stock */
	int64		held;			/* units that the user has reserved, of it */
	bool		dry_run;
	int64		ordered;		/* units in orders of the user's that are open */
	EcoRow	   *order;			/* of this purchase, found; or NULL */
	Jsonb	   *terms;			/* it is paid: what its order has promised; or
								 * NULL */
	int16		paid_slot;		/* and where its units came from; -1: the
								 * order holds none */

	/*
	 * One of many, or NULL.  It does not wait: it would hold what those
	 * before it took.
	 */
	EcoCalls   *calls;
	EcoCallOf  *call;

	EcoReserved *reserved;		/* units for all of them, or NULL */

	EcoProduct	product;
	EcoUnits	units;			/* of a product that is counted */
	bool		units_known;	/* from one before it of many */
	EcoBought  *bought;			/* by the user, who asks of many products, or
								 * NULL */
	int64		user_limit_left;	/* before this purchase; -1: no limit */
	int64		stock_left;		/* after it, or when too little was left; -1:
								 * not looked at */
	int64		gold_delta;
	int64		xp_delta;
	int64		monetary;
	EcoHoldings *items;			/* that it gives and costs, or NULL */
	int16		stock_slot;		/* -1: no stock was taken */
	EcoOpenTables *open;
	EcoTable   *tables[18];		/* of a new purchase, up to NULL */
	uint16		opened;			/* those that only some products need */
	EcoAttempt	attempt;		/* taken back when the purchase is refused */

	EcoResult	result;
	EcoDetail	detail;
} EcoPurchase;

/*
 * The price that the context expects, numeric, or 0 for none.  False: it is no number.
 */
extern bool eco_purchase_expected(Jsonb *context, Datum *price);

/* The reservation that it names, if it does.  False: it is no name. */
extern bool eco_purchase_reserved(Jsonb *context, EcoText *reservation);

/* All tables that purchases need, up to NULL, but for the journal and accounts. */
extern EcoTable *const *eco_purchase_tables(EcoPurchase *p);

/* To be called when the arguments and the result's type are filled in. */
extern void eco_purchase_begin(EcoPurchase *p);

/*
 * Apply the rules and take stock and global key.  True: the entry is to be made and
 * written, and eco_purchase_made() called.  False: it is refused, and answered.
 */
extern bool eco_purchase_try(EcoPurchase *p, const EcoAccount *account);

/*
 * The same for who only reserves: what it costs is not asked.  The code of the rule that
 * refuses it, or NULL.
 */
extern const char *eco_purchase_reserve(EcoPurchase *p, const EcoAccount *account);

/*
 * Put into the account, before its flush, what units were bought with this purchase, or,
 * when it was refused, what was counted in the journal, so that nobody counts it again.
 * False: there is nothing to be written.
 */
extern bool eco_purchase_save_units(EcoPurchase *p, EcoAccount *account, const EcoEntry *entry);
extern void eco_purchase_entry(const EcoPurchase *p, EcoEntry *entry);

/*
 * Put what the purchase moves of items into the account that its entry was prepared with,
 * and write those that have no room there.  True: some were written.
 */
extern bool eco_purchase_save_items(EcoPurchase *p, EcoAccount *account);

/* Answer with what the entry did, before it is written: it is told what XP led to, as well. */
extern void eco_purchase_made(EcoPurchase *p, EcoEntry *entry);

/*
 * The code of the first rule that refuses a purchase of p->product, which was read, by the
 * account, or, with NULL, by one that has all it takes; NULL: none.  Nothing is taken, and
 * stock_left and user_limit_left say what there is, whatever the answer.  p is all zeros
 * but for the product, its id, the user's and what was bought, and whatever of its tables
 * the product needs must be open.
 */
extern const char *eco_purchase_look(EcoPurchase *p, const EcoAccount *account);

/* The other answers. */
extern void eco_purchase_replay(EcoPurchase *p, const EcoRow *first);
extern void eco_purchase_refuse(EcoPurchase *p, const char *code);

/* The same of a call whose entry is in an archive. */
extern void eco_purchase_archived(EcoPurchase *p, int64 seq);

/* The last step: the answer's detail. */
extern void eco_purchase_end(EcoPurchase *p);

#endif
