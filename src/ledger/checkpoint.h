/*
 * checkpoint.h
 *		Signed states of streams, behind which old actions may be deleted.
 */
#ifndef ECO_CHECKPOINT_H
#define ECO_CHECKPOINT_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "core/encode.h"
#include "ledger/entry.h"

typedef struct EcoCheckpoint
{
	int64		seq;
	int64		gold;
	int64		xp;
	uint8		hash[ECO_HASH_LEN];
	uint8		links[ECO_HASH_LEN];	/* chain over the entries left up to
										 * seq */
	uint8		gone[ECO_HASH_LEN]; /* digest of what was pruned */
	TimestampTz created_at;
	bool		valid;			/* its signature verifies */
} EcoCheckpoint;

/* Whoever reads or takes checkpoints opens this. */
extern EcoTable eco_stream_checkpoints;

/* False when the user's stream has none. */
extern bool eco_checkpoint_read(int64 user_id, EcoCheckpoint *checkpoint);

/*
 * Sign the state of a locked account's stream at entry seq and what is left up
 * to it, as the active snapshot sees it.
 */
extern void eco_checkpoint_take(EcoAccount *account, int64 seq);

/* The digest of what stays of a user's pruned actions, under the active snapshot. */
extern void eco_checkpoint_gone(int64 user_id, uint8 digest[ECO_HASH_LEN]);

#endif
