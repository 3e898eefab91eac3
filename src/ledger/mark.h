/*
 * mark.h
 *		Where an audit found a user's stream clean; verification can go on there.
 */
#ifndef ECO_MARK_H
#define ECO_MARK_H

#include "postgres.h"

#include "ledger/checkpoint.h"

typedef struct EcoMark
{
	int64		seq;
	int64		gold;
	int64		xp;
	uint8		hash[ECO_HASH_LEN];
	bool		valid;			/* the hash has its length */
} EcoMark;

/* Whoever asks whether a stream is sound opens this. */
extern EcoTable eco_audit_checkpoints;

/* False when no audit found the stream clean. */
extern bool eco_mark_read(int64 user_id, EcoMark *mark);

/*
 * Move the mark on to the checkpoint of a prune, which may have taken the entry
 * that it stands at.
 */
extern void eco_mark_move(int64 user_id, const EcoCheckpoint *checkpoint);

#endif
