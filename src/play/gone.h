/*
 * gone.h
 *		The actions of one user that a prune deletes, and what stays of them.
 */
#ifndef ECO_GONE_H
#define ECO_GONE_H

#include "postgres.h"

#include "ledger/checkpoint.h"
#include "ledger/installation.h"
#include "play/action.h"

/* Whoever writes what is gone opens this, and the journal of actions. */
extern EcoTable eco_keys_to_keep;

typedef struct EcoGone EcoGone;

/* In the current memory context, where each action takes 32 bytes. */
extern EcoGone *eco_gone_begin(int64 user_id, EcoGoneFeed *feed);

/* An action that is read. */
extern void eco_gone_see(EcoGone *gone, const EcoRow *row);

/* The one seen last goes; its key comes to the chain over them. */
extern void eco_gone_take(EcoGone *gone, uint8 keys[ECO_HASH_LEN]);

/*
 * Delete what was taken, under the snapshot by which it was read, and keep what stays
 * of it; returns how many actions.  The account is locked.
 */
extern int64 eco_gone_write(EcoGone *gone);

#endif
