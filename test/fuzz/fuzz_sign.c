/*
 * fuzz_sign.c
 *		Signatures: a signer that is used again gives what a fresh HMAC gives, and
 *		only the same bytes compare as equal.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "core/sign.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		in = {data, size};
	uint8_t		key[ECO_KEY_LEN];
	uint8_t		signature[ECO_SIGNATURE_LEN];
	uint8_t		expected[EVP_MAX_MD_SIZE];
	unsigned	expected_len;
	EcoSigner  *signer;

	take(&in, key, sizeof(key));
	signer = eco_signer_create(key, sizeof(key));
	CHECK(signer != NULL);
	for (int round = 0; round < 3; round++)
	{
		size_t		len;
		uint8_t    *message = take_bytes(&in, 500, &len);
		size_t		other_len = take_byte(&in) % (ECO_SIGNATURE_LEN + 2);
		uint8_t		other[ECO_SIGNATURE_LEN + 2];

		CHECK(eco_sign(signer, message, len, signature));
		CHECK(HMAC(EVP_sha256(), key, sizeof(key), message, len, expected, &expected_len) != NULL);
		CHECK(expected_len == ECO_SIGNATURE_LEN && memcmp(signature, expected, ECO_SIGNATURE_LEN) == 0);
		CHECK(eco_signature_equal(signature, sizeof(signature), expected, expected_len));
		take(&in, other, sizeof(other));
		CHECK(eco_signature_equal(signature, sizeof(signature), other, other_len) ==
			  (other_len == ECO_SIGNATURE_LEN && memcmp(signature, other, other_len) == 0));
		expected[take_byte(&in) % ECO_SIGNATURE_LEN] ^= 1;
		CHECK(!eco_signature_equal(signature, sizeof(signature), expected, expected_len));
		free(message);
	}
	eco_signer_free(signer);
	eco_wipe(key, sizeof(key));
	for (size_t i = 0; i < sizeof(key); i++)
		CHECK(key[i] == 0);
	return 0;
}
