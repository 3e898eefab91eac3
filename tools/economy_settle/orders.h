/*
 * orders.h
 *		The database: orders that are due, and what is reported of them.
 */
#ifndef SETTLE_ORDERS_H
#define SETTLE_ORDERS_H

#include <libpq-fe.h>

#include "options.h"

typedef enum Outcome
{
	DONE,
	LOST,						/* connect again */
	FAILED						/* connecting again would not help */
} Outcome;

/* What the provider has answered. */
typedef struct Answer
{
	const char *report;			/* unless the body has one; NULL: it must */
	char	   *body;			/* that may be JSON, or NULL */
	char		reason[128];	/* why, when it is not the body that says it */
} Answer;

/* An order that is leased to us; texts of the lease. */
typedef struct Order
{
	const char *order_id;
	const char *request;		/* JSON */
	bool		is_known;		/* to the provider, who has acknowledged it */
	Answer		answer;
} Order;

typedef struct Lease
{
	PGresult   *result;			/* has the texts */
	Order		orders[MAX_ORDERS];
	int			n;
} Lease;

/* What went wrong has been said. */
extern Outcome orders_connect(PGconn **conn, const Options *options);

/* Lease orders that are due; to be given back with orders_forget(). */
extern Outcome orders_lease(PGconn *conn, const Options *options, Lease *lease);
extern void orders_forget(Lease *lease);

/* Report the answer of an order; LOST: to be done again, FAILED: it cannot be. */
extern Outcome orders_report(PGconn *conn, const Options *options, const Order *order);

#endif
