/*
 * seed.h
 *		Server seeds of draws: shown as a hash before, and revealed after.
 *
 * A user has one seed that is not revealed, the newest.  It is kept sealed: without the
 * signing key of the version that its row names, who reads the table knows nothing of it.
 * The account's lock guards the rows of its user.
 */
#ifndef ECO_HOLD_SEED_H
#define ECO_HOLD_SEED_H

#include "postgres.h"

#include "core/draw.h"
#include "ledger/rows.h"

/* columns of economy.draw_seeds */
enum
{
	SED_USER_ID,
	SED_NUMBER,
	SED_KEY_VERSION,
	SED_SEALED,
	SED_HASH,
	SED_NEXT_NONCE,
	SED_SERVER_SEED,			/* null: it is drawn with; empty: lost */
	SED_COLUMNS
};

extern EcoTable eco_draw_seeds;

/* The user's seed to draw with; false: none is committed to. */
extern bool eco_seed_current(int64 user_id, EcoRow *row);

/* What a row keeps sealed.  False: the key that it was sealed with is no longer there. */
extern bool eco_seed_open(const EcoRow *row, uint8 seed[ECO_DRAW_SEED]);

/* Its hash, in hexadecimal. */
extern char *eco_seed_hash(const EcoRow *row);

/* Count a draw: the next has the nonce after it. */
extern void eco_seed_count(EcoRow *row);

/* Seals anew what a key that is retired has sealed. */
extern void eco_seeds_install(void);

#endif
