/*
 * verify.h
 *		Proof of one user's stream.
 */
#ifndef ECO_VERIFY_H
#define ECO_VERIFY_H

#include "postgres.h"

#include "ledger/checkpoint.h"

/*
 * True when eco_verify_chain() would find nothing, under the active snapshot;
 * *newest is the last entry of the stream then.
 */
extern bool eco_stream_is_sound(int64 user_id, int64 *newest);

/*
 * The same for the entries from a checkpoint up to a seq.  It reads no others, but
 * the account and the sums of what was pruned.
 */
extern bool eco_stream_part_is_sound(const EcoAccount *account, const EcoCheckpoint *checkpoint,
									 int64 upto);

#endif
