/*
 * sign.c
 *		HMAC-SHA256 signatures with reusable keyed contexts.
 *
 * Re-initialising a keyed context costs a quarter of making a new one, so
 * callers keep an EcoSigner per key.
 */
#include "core/sign.h"

#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

struct EcoSigner
{
	EVP_MAC_CTX *ctx;
	bool		ok;				/* of the signature that is being made */
};

EcoSigner *
eco_signer_create(const uint8_t *key, size_t key_len)
{
	EcoSigner  *signer = malloc(sizeof(EcoSigner));
	EVP_MAC    *mac;
	char		digest[] = "SHA256";
	OSSL_PARAM	params[2];

	if (signer == NULL)
		return NULL;
	ERR_clear_error();
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
	params[1] = OSSL_PARAM_construct_end();
	mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	signer->ctx = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
	EVP_MAC_free(mac);			/* the context holds its own reference */
	if (signer->ctx == NULL ||
		EVP_MAC_init(signer->ctx, key, key_len, params) != 1)
	{
		eco_signer_free(signer);
		signer = NULL;
	}
	ERR_clear_error();
	return signer;
}

void
eco_signer_free(EcoSigner *signer)
{
	if (signer == NULL)
		return;
	EVP_MAC_CTX_free(signer->ctx);	/* wipes its copy of the key */
	free(signer);
}

bool
eco_sign(EcoSigner *signer, const void *message, size_t len,
		 uint8_t signature[ECO_SIGNATURE_LEN])
{
	eco_sign_begin(signer);
	eco_sign_add(signer, message, len);
	return eco_sign_end(signer, signature);
}

void
eco_sign_begin(EcoSigner *signer)
{
	signer->ok = EVP_MAC_init(signer->ctx, NULL, 0, NULL) == 1;
}

void
eco_sign_add(EcoSigner *signer, const void *part, size_t len)
{
	signer->ok = signer->ok && EVP_MAC_update(signer->ctx, part, len) == 1;
}

bool
eco_sign_end(EcoSigner *signer, uint8_t signature[ECO_SIGNATURE_LEN])
{
	size_t		out_len = 0;

	signer->ok = signer->ok &&
		EVP_MAC_final(signer->ctx, signature, &out_len, ECO_SIGNATURE_LEN) == 1 &&
		out_len == ECO_SIGNATURE_LEN;
	if (!signer->ok)
		ERR_clear_error();
	return signer->ok;
}

bool
eco_signature_equal(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	return a_len == b_len && CRYPTO_memcmp(a, b, a_len) == 0;
}

void
eco_wipe(void *secret, size_t len)
{
	OPENSSL_cleanse(secret, len);
}
