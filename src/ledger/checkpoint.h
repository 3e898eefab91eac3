/*
 * checkpoint.h
 *		Signed states of streams, behind which old entries may be deleted.
 */
#ifndef ECO_CHECKPOINT_H
#define ECO_CHECKPOINT_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "core/encode.h"
#include "ledger/entry.h"

typedef struct EcoCheckpoint
{
	int64		seq;
	int64		gold;
	int64		xp;
	uint8		hash[ECO_HASH_LEN];
	uint8		links_before[ECO_HASH_LEN]; /* chain of hashes over the
											 * entries before seq that no
											 * prune has taken */
	uint8		links[ECO_HASH_LEN];	/* the same with the entry at seq */
	uint8		gone[ECO_HASH_LEN]; /* digest of the user's pruned_stats */
	uint8		gone_keys[ECO_HASH_LEN];	/* chain of hashes over the user's
											 * pruned_actions, by seq */
	uint8		archived[ECO_HASH_LEN]; /* digest of what stays of archived
										 * entries, see archive.h */
	int64		proved_seq;		/* the newest entry when the whole stream was
								 * last proved */
	TimestampTz created_at;
	bool		valid;			/* its signature verifies */
} EcoCheckpoint;

/* Whoever reads or takes checkpoints opens this. */
extern EcoTable eco_stream_checkpoints;

/* The sums of pruned actions, per game and day by UTC. */
enum
{
	PST_USER_ID,
	PST_GAME,
	PST_DAY,
	PST_TOTAL,
	PST_WINS,
	PST_LOSSES,
	PST_DRAWS,
	PST_MAX_WIN,
	PST_BET_SUM,
	PST_WIN_SUM,
	PST_LAST_ACTION_AT,
	PST_COLUMNS
};

extern EcoTable eco_pruned_stats;

/* Their keys; whoever asks for them opens this. */
enum
{
	PRU_USER_ID,
	PRU_KEY,
	PRU_SEQ,
	PRU_COLUMNS
};

extern EcoTable eco_pruned_actions;

/* False when the user's stream has none. */
extern bool eco_checkpoint_read(int64 user_id, EcoCheckpoint *checkpoint);

/* Sign this checkpoint of a locked account, and store it in place of the last one. */
extern void eco_checkpoint_write(EcoAccount *account, EcoCheckpoint *checkpoint);

/* A chain of hashes goes on over the user's rows of a table, in the order of its key. */
extern void eco_checkpoint_chain(EcoTable *table, int64 user_id, uint8 digest[ECO_HASH_LEN]);

/* The digest of a user's pruned_stats, under the active snapshot. */
extern void eco_checkpoint_gone(int64 user_id, uint8 digest[ECO_HASH_LEN]);

/* The chain over a user's pruned_actions; and add the next key to such a chain. */
extern void eco_checkpoint_gone_keys(int64 user_id, uint8 digest[ECO_HASH_LEN]);
extern void eco_checkpoint_add_key(int64 user_id, const pg_uuid_t *key, int64 seq,
								   uint8 digest[ECO_HASH_LEN]);

#endif
