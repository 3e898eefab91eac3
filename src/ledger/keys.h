/*
 * keys.h
 *		Signing keys: versions, rotation, and signatures made with them.
 *
 * Keys are made in C, live in economy.signing_keys and never leave it except
 * into a keyed context of this backend.
 */
#ifndef ECO_KEYS_H
#define ECO_KEYS_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "core/sign.h"

/*
 * Version of the active key; the very first call in a database makes one.
 * Versions start at 1.
 */
extern int32 eco_key_active(void);

/* Sign with a key of any state but retired; raises when there is none, or a damaged one. */
extern void eco_key_sign(int32 version, const void *message, size_t len,
						 uint8 signature[ECO_SIGNATURE_LEN]);

/*
 * The same for what passes to another key before its own is retired; false when the key is
 * retired, damaged or not there.  What was read under a snapshot that is older than the
 * retirement is of the key as the active snapshot sees it.
 */
extern bool eco_key_try_sign(int32 version, const void *message, size_t len,
							 uint8 signature[ECO_SIGNATURE_LEN]);

typedef enum EcoVerdict
{
	ECO_SIGNATURE_VALID,
	ECO_SIGNATURE_WRONG,
	ECO_KEY_UNKNOWN,			/* or damaged */
	ECO_KEY_RETIRED
} EcoVerdict;

/*
 * Whether a key is retired, and at which positions (installation.h) it could sign.
 * Its signatures cannot be verified any more, but whether an entry has a position
 * at which the key was in use can.
 */
extern bool eco_key_retired(int32 version, int64 *first, int64 *last);

/*
 * Whether the key is verify_only, and may be retired.  Locks the table of keys until
 * the end of the transaction: nobody else makes or changes a key.
 */
extern bool eco_key_lock_to_retire(int32 version);

/* Called before that, if set: what the key keeps is to be kept by the new one. */
extern void (*eco_key_retire_hook) (int32 version, int32 new_version);

/* Forget its material: what it has signed verifies no more. */
extern void eco_key_retire(int32 version);

extern EcoVerdict eco_key_verify(int32 version, const void *message, size_t len,
								 const uint8 *signature, size_t signature_len);

#endif
