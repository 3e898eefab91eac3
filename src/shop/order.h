/*
 * order.h
 *		Orders: purchases that money from outside pays for.
 *
 * An order is no entry, for it moves nothing of the user's.  It holds what was taken from the
 * stock, counts for the limits of its user, and keeps what was promised; when it is paid, a
 * purchase of its key is made of it.  Its row is locked after the account, where those of
 * reservations are.
 */
#ifndef ECO_ORDER_H
#define ECO_ORDER_H

#include "postgres.h"

#include "ledger/args.h"
#include "ledger/result.h"
#include "ledger/rows.h"
#include "shop/product.h"

/* that a user can have open at a time */
#define ECO_MAX_ORDERS 16

/* columns of economy.payment_orders */
enum
{
	ORD_USER_ID,
	ORD_PRODUCT_ID,
	ORD_KEY,
	ORD_ORDER_ID,
	ORD_PROVIDER,
	ORD_QUANTITY,
	ORD_AMOUNT,
	ORD_CURRENCY,
	ORD_STATE,
	ORD_IS_OPEN,
	ORD_EXPIRES_AT,
	ORD_CONTEXT,
	ORD_COLUMNS
};

/* Opened by who orders, or asks what of limits is left. */
extern EcoTable eco_payment_orders;

/* Opened beside it by who orders. */
extern EcoTable eco_payment_order_history;
extern EcoTable eco_paying_providers;

/* The order of a purchase, if there is one. */
extern bool eco_order_find(int64 user_id, const EcoText *product_id, const EcoText *key,
						   EcoRow *row);

/* How many of the user's may become purchases yet, and how many units of the product. */
extern int	eco_orders_open(int64 user_id, const EcoText *product_id, int64 *units);

/* Whether it may become a purchase yet. */
extern bool eco_order_is_open(const EcoRow *row);

/* detail.order of one that is there. */
extern void eco_order_tell(EcoDetail *detail, const EcoRow *row);

/* An order on its way into its table. */
typedef struct EcoOrder
{
	int64		user_id;
	EcoText		product_id;
	EcoText		key;
	int32		quantity;
	Jsonb	   *context;		/* or NULL */
	int16		stock_slot;		/* -1: no stock was taken */
	int64		amount;
	const EcoProduct *product;
} EcoOrder;

/* Place it, behind the account's lock. */
extern void eco_order_place(const EcoOrder *order, EcoDetail *detail);

/* What was promised, in place of what the product gives by now. */
extern void eco_order_terms(Jsonb *terms, EcoProduct *product);

#endif
