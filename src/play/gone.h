/*
 * gone.h
 *		The actions of one user that a prune deletes, and what stays of them.
 */
#ifndef ECO_GONE_H
#define ECO_GONE_H

#include "postgres.h"

#include "ledger/checkpoint.h"
#include "play/action.h"

/* Whoever writes what is gone opens these, and the journal of actions. */
extern EcoTable eco_keys_to_keep;
extern EcoTable eco_feeds_to_tell;

/* What the prunes of one call tell the feed. */
typedef struct EcoGoneFeed
{
	int64		installation;	/* number of this one */
	int64		newest;			/* transaction of it of which an action goes;
								 * 0: none */
} EcoGoneFeed;

typedef struct EcoGone EcoGone;

extern void eco_gone_feed_begin(EcoGoneFeed *feed);

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

extern void eco_gone_feed_tell(const EcoGoneFeed *feed);

#endif
