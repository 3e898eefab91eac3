/*
 * verify.h
 *		Proof of one user's stream.
 */
#ifndef ECO_VERIFY_H
#define ECO_VERIFY_H

#include "postgres.h"

/* True when eco_verify_chain() would find nothing, under the active snapshot. */
extern bool eco_stream_is_sound(int64 user_id);

#endif
