/*
 * escrow.h
 *		Escrows: what a user has put aside for another, or to get back.
 *
 * An escrow is the holder's entry escrow_hold, whose name is its own.  It is closed by one
 * entry escrow_close of the holder, whose key is that name: so it is closed once.  What
 * another user gets of it is an entry escrow_in of that user.  economy.escrows has the open
 * ones, for who looks for them; the account's lock guards its rows.
 *
 * The bet of a round, an entry round_open, is held and closed in the same way, by the
 * functions of rounds alone: nobody else can get it.
 */
#ifndef ECO_ESCROW_H
#define ECO_ESCROW_H

#include "postgres.h"

#include "hold/journal.h"
#include "ledger/entry.h"
#include "ledger/holdings.h"

/* members of the entries' detail */
#define ESCROW			"escrow"	/* its name; not of the hold, whose own it
									 * is */
#define ESCROW_HOW		"how"	/* it was closed */
#define ESCROW_TO		"to"
#define ESCROW_FROM		"from"
#define ESCROW_GOLD		"gold"	/* held, or that was captured */
#define ESCROW_FEE		"fee"	/* held, or that nobody gets */
#define ESCROW_PER_MILLE "fee_per_mille"
#define ESCROW_TTL		"ttl_seconds"
#define ESCROW_EXPIRES	"expires_at"
#define ESCROW_NOTE		"note"

#define ESCROW_RELEASED	"released"
#define ESCROW_CAPTURED	"captured"
#define ESCROW_EXPIRED	"expired"

/* Whoever opens or closes one opens this. */
extern EcoTable eco_escrows;

typedef struct EcoEscrow
{
	int64		user_id;
	int64		seq;			/* of escrow_hold */
	EcoText		id;
	int64		gold;
	int64		fee;			/* for all of it */
	int32		fee_per_mille;
	bool		is_round;
	TimestampTz expires_at;
	EcoHoldings items;
} EcoEscrow;

/* Name one; false: it cannot be one of the user's. */
extern bool eco_escrow_name(EcoEscrow *escrow, int64 user_id, const EcoText *id);

/* Read the rest of it, from its entry; false: there is none. */
extern bool eco_escrow_read(EcoEscrow *escrow);

/* Write down that it is open, and that it is no more, behind the account's write. */
extern void eco_escrow_opened(const EcoEscrow *escrow);
extern void eco_escrow_closed(const EcoEscrow *escrow);

#endif
