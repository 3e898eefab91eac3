/*
 * verify.h
 *		Proof of one user's stream.
 */
#ifndef ECO_VERIFY_H
#define ECO_VERIFY_H

#include "postgres.h"

#include "ledger/checkpoint.h"

/* Whoever asks whether a stream is sound opens this. */
extern EcoTable eco_audit_checkpoints;

/* True when eco_verify_chain() would find nothing, under the active snapshot. */
extern bool eco_stream_is_sound(int64 user_id);

/*
 * A prune may take the entry that an audit noted as clean: the note moves on to
 * the checkpoint.
 */
extern void eco_mark_move(int64 user_id, const EcoCheckpoint *checkpoint);

#endif
