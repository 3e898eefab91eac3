/*
 * sign.h
 *		HMAC-SHA256 signatures (RFC 2104, FIPS 180-4) with reusable keyed contexts.
 */
#ifndef ECO_SIGN_H
#define ECO_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ECO_KEY_LEN			32	/* bytes of key material */
#define ECO_SIGNATURE_LEN	32	/* bytes of a signature */

/* A context keyed once; signing with it again does not repeat the key schedule. */
typedef struct EcoSigner EcoSigner;

/* NULL when the crypto library failed.  The key is copied; wipe yours. */
extern EcoSigner *eco_signer_create(const uint8_t *key, size_t key_len);
extern void eco_signer_free(EcoSigner *signer);

/* False when the crypto library failed; *signature is then undefined. */
extern bool eco_sign(EcoSigner *signer, const void *message, size_t len,
					 uint8_t signature[ECO_SIGNATURE_LEN]);

/*
 * The same of a message in parts; what failed on the way, the end says.
 */
extern void eco_sign_begin(EcoSigner *signer);
extern void eco_sign_add(EcoSigner *signer, const void *part, size_t len);
extern bool eco_sign_end(EcoSigner *signer, uint8_t signature[ECO_SIGNATURE_LEN]);

/* Comparison in constant time; false for a wrong length. */
extern bool eco_signature_equal(const uint8_t *a, size_t a_len,
								const uint8_t *b, size_t b_len);

/* Overwrite a secret in a way the compiler may not remove. */
extern void eco_wipe(void *secret, size_t len);

#endif
