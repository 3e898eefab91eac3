/*
 * reservation.h
 *		Stock that is held for a user for a time: taken from the slots, and not sold yet.
 *
 * A reservation is no entry, for it moves nothing of the user's; a purchase may use it in
 * place of the slots.  Its row is locked after the account and before any slot, so whoever
 * gives it back, which locks no account, waits for a slot with nothing that buyers need.
 */
#ifndef ECO_RESERVATION_H
#define ECO_RESERVATION_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "ledger/args.h"
#include "ledger/result.h"
#include "ledger/rows.h"

/* that a user can have at a time */
#define ECO_MAX_RESERVATIONS 16

/* columns of economy.shop_reservations */
enum
{
	RSV_USER_ID,
	RSV_KEY,
	RSV_PRODUCT_ID,
	RSV_QUANTITY,
	RSV_STOCK_SLOT,
	RSV_AFTER_SEQ,
	RSV_STATE,
	RSV_MADE_AT,
	RSV_EXPIRES_AT,
	RSV_DUE_AT,
	RSV_CLOSED_AT,
	RSV_SEQ,
	RSV_COLUMNS
};

/* its keys */
#define RSV_BY_NAME	0
#define RSV_OF_USER	1			/* user_id, state */
#define RSV_OF_PRODUCT 2		/* product_id, state, due_at */

#define ECO_RESERVATION_HELD "held"

/* Opened by who reserves, or buys what is reserved, beside eco_shop_stock. */
extern EcoTable eco_shop_reservations;

static inline TimestampTz
eco_reservation_moment(const EcoRow *row, int column)
{
	return DatumGetTimestampTz(row->values[column]);
}

/* The reservation of the user with this name, if any. */
extern bool eco_reservation_find(int64 user_id, const EcoText *name, EcoRow *row);

/* Held, used, released or expired, whether or not somebody has given it back. */
extern Datum eco_reservation_status(const EcoRow *row, TimestampTz at);

/* What a purchase wants of one. */
typedef struct EcoReservationUse
{
	int64		user_id;
	EcoText		name;
	EcoText		product_id;
	int32		quantity;
	int64		seq;			/* that the purchase will have; 0: only look */
	bool		ordered;		/* its units go to an order */
} EcoReservationUse;

/*
 * Use it up, of the user whose account is locked.  False: it had to wait, and the
 * rules are to be read again.  Else *refusal says why it cannot be used, or is NULL, and
 * *slot is where the (first) units came from.
 */
extern bool eco_reservation_use(const EcoReservationUse *use, EcoDetail *detail,
								const char **refusal, int16 *slot);

/* Units of the product whose time is over, and that nobody has given back yet. */
extern int64 eco_reservations_over(const EcoText *product_id);

typedef enum EcoGivenBack
{
	ECO_GIVEN_BACK,
	ECO_GIVEN_NONE,				/* there is no slot that could take them */
	ECO_GIVEN_BUSY				/* others have all of them */
} EcoGivenBack;

/*
 * Give back some of these, of whatever users: those that nobody has.  It waits for a slot
 * when all are held.
 */
extern EcoGivenBack eco_reservations_give_back(const EcoText *product_id);

/* Wait for whoever has one of these, and lock it. */
extern void eco_reservations_await(const EcoText *product_id);

#endif
