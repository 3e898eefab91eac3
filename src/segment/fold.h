/*
 * fold.h
 *		The journal's purchases as packed daily buckets, user by user.
 */
#ifndef ECO_SEGMENT_FOLD_H
#define ECO_SEGMENT_FOLD_H

#include "postgres.h"

#include "segment/pack.h"

typedef struct EcoFold EcoFold;

typedef struct EcoPurchase
{
	int64		user_id;
	int64		seq;
	int64		at;
	int64		monetary;
} EcoPurchase;

/* A user with purchases, in the order of seq; what is pointed to stands until the next one. */
typedef struct EcoFolded
{
	int64		user_id;
	int64		first_seq;
	int64		seq;
	int64		since;			/* moment of the oldest */
	EcoPacking *packing;
	const EcoPurchase *purchases;
	size_t		n;
} EcoFolded;

/*
 * Read the purchases of that transaction and later ones under the active snapshot, all
 * of 0; with unheld without those that user_segments holds.
 */
extern EcoFold *eco_fold_begin(int64 transaction, bool unheld);

/* The next user, in the order of users. */
extern bool eco_fold_next(EcoFold *fold, EcoFolded *user);
extern void eco_fold_end(EcoFold *fold);

#endif
