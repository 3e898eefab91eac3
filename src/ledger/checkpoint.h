/*
 * checkpoint.h
 *		Signed states of streams, behind which old actions may be deleted.
 */
#ifndef ECO_CHECKPOINT_H
#define ECO_CHECKPOINT_H

#include "postgres.h"

#include "core/encode.h"

typedef struct EcoCheckpoint
{
	int64		seq;
	int64		gold;
	int64		xp;
	uint8		hash[ECO_HASH_LEN];
	bool		valid;			/* its signature verifies, or its key is
								 * retired */
} EcoCheckpoint;

/* False when the user's stream has none. */
extern bool eco_checkpoint_read(int64 user_id, EcoCheckpoint *checkpoint);

/* True while delete_pruned() runs: the journal's guard lets its DELETE pass. */
extern bool eco_pruning(void);

#endif
