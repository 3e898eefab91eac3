/*
 * encode.c
 *		Canonical byte encoding of a ledger entry, and the hash chain over it.
 *
 * Keeps invariant I3.  The SHA-256 context lives as long as the process: a
 * fresh one per entry would cost more than the hashing itself.
 */
#include "core/encode.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#define TAG_NULL	0x00
#define TAG_INT		0x01
#define TAG_BYTES	0x02

static inline bool
reserve(EcoEncoder *enc, size_t need)
{
	if (enc->overflow || need > enc->cap - enc->len)
		enc->overflow = true;
	return !enc->overflow;
}

/* Spelled out, they are one store each. */
static inline void
put_be32(EcoEncoder *enc, uint32_t value)
{
	uint8_t    *at = enc->buf + enc->len;

	at[0] = (uint8_t) (value >> 24);
	at[1] = (uint8_t) (value >> 16);
	at[2] = (uint8_t) (value >> 8);
	at[3] = (uint8_t) value;
	enc->len += 4;
}

static inline void
put_be64(EcoEncoder *enc, uint64_t value)
{
	uint8_t    *at = enc->buf + enc->len;

	at[0] = (uint8_t) (value >> 56);
	at[1] = (uint8_t) (value >> 48);
	at[2] = (uint8_t) (value >> 40);
	at[3] = (uint8_t) (value >> 32);
	at[4] = (uint8_t) (value >> 24);
	at[5] = (uint8_t) (value >> 16);
	at[6] = (uint8_t) (value >> 8);
	at[7] = (uint8_t) value;
	enc->len += 8;
}

void
eco_encode_begin(EcoEncoder *enc, uint8_t *buf, size_t cap,
				 uint8_t version, uint8_t journal)
{
	enc->buf = buf;
	enc->cap = cap;
	enc->len = 0;
	enc->overflow = false;
	if (reserve(enc, ECO_ENCODED_HEADER))
	{
		enc->buf[enc->len++] = version;
		enc->buf[enc->len++] = journal;
	}
}

void
eco_encode_null(EcoEncoder *enc)
{
	if (reserve(enc, ECO_ENCODED_NULL))
		enc->buf[enc->len++] = TAG_NULL;
}

void
eco_encode_int(EcoEncoder *enc, int64_t value)
{
	if (reserve(enc, ECO_ENCODED_INT))
	{
		enc->buf[enc->len++] = TAG_INT;
		put_be64(enc, (uint64_t) value);
	}
}

void
eco_encode_bytes(EcoEncoder *enc, const void *bytes, size_t len)
{
	if (len > UINT32_MAX)
		enc->overflow = true;
	if (reserve(enc, ECO_ENCODED_BYTES(len)))
	{
		enc->buf[enc->len++] = TAG_BYTES;
		put_be32(enc, (uint32_t) len);
		if (len > 0)
			memcpy(enc->buf + enc->len, bytes, len);
		enc->len += len;
	}
}

static EVP_MD *md = NULL;

bool
eco_hash_ready(void)
{
	if (md == NULL)
		md = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (md == NULL)
		ERR_clear_error();		/* whose they are, nobody else can know */
	return md != NULL;
}

bool
eco_chain_hash(const uint8_t prev[ECO_HASH_LEN], const EcoEncoder *entry,
			   uint8_t hash[ECO_HASH_LEN])
{
	static EVP_MD_CTX *ctx = NULL;
	bool		ok;

	if (entry->overflow)
		return false;
	if (!eco_hash_ready())
		return false;
	if (ctx == NULL)
		ctx = EVP_MD_CTX_new();
	ok = ctx != NULL &&
		EVP_DigestInit_ex(ctx, md, NULL) == 1 &&
		EVP_DigestUpdate(ctx, prev, ECO_HASH_LEN) == 1 &&
		EVP_DigestUpdate(ctx, entry->buf, entry->len) == 1 &&
		EVP_DigestFinal_ex(ctx, hash, NULL) == 1;
	if (!ok)
		ERR_clear_error();
	return ok;
}
