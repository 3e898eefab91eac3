/*
 * anchor.c
 *		Signatures of anchors: the heads of all streams at one time.
 *
 * What is signed is the canonical encoding (core/encode.h) of the anchor's
 * number, time, users, entries, digest and the digest of the anchor before it,
 * under journal letter 'H': no receipt and no stream checkpoint is one.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "core/encode.h"
#include "errors.h"
#include "ledger/args.h"
#include "ledger/keys.h"
#include "ledger/result.h"
#include "ledger/rows.h"

#define ANCHOR_LETTER 'H'
#define ANCHOR_NUMBERS 4		/* the first arguments */
#define ANCHOR_FIELDS 6
#define ANCHOR_BYTES \
	(ECO_ENCODED_HEADER + ANCHOR_NUMBERS * ECO_ENCODED_INT + 2 * ECO_ENCODED_BYTES(ECO_HASH_LEN))

PG_FUNCTION_INFO_V1(eco_anchor_sign);
PG_FUNCTION_INFO_V1(eco_anchor_check);

/* False when a digest is none, or an argument is null. */
static bool
encode(FunctionCallInfo fcinfo, EcoEncoder *enc, uint8 *buf)
{
	eco_encode_begin(enc, buf, ANCHOR_BYTES, ECO_HASH_ALGO_VERSION, ANCHOR_LETTER);
	for (int i = 0; i < ANCHOR_FIELDS; i++)
	{
		bytea	   *digest;

		if (PG_ARGISNULL(i))
			return false;
		if (i < ANCHOR_NUMBERS)
		{
			eco_encode_int(enc, PG_GETARG_INT64(i));
			continue;
		}
		digest = PG_GETARG_BYTEA_PP(i);
		if (VARSIZE_ANY_EXHDR(digest) != ECO_HASH_LEN)
			return false;
		eco_encode_bytes(enc, VARDATA_ANY(digest), ECO_HASH_LEN);
	}
	return true;
}

/*
 * eco_anchor_sign(anchor_id bigint, taken_at timestamptz, users bigint,
 *		entries bigint, digest bytea, digest_before bytea)
 *		returns (key_version int, signature bytea)
 */
Datum
eco_anchor_sign(PG_FUNCTION_ARGS)
{
	uint8		buf[ANCHOR_BYTES];
	uint8		signature[ECO_SIGNATURE_LEN];
	EcoEncoder	enc;
	EcoResult	result;
	int32		version;

	PreventCommandIfReadOnly("economy.anchor()");
	if (!encode(fcinfo, &enc, buf))
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("an anchor needs its numbers and two digests of 32 bytes"));
	version = eco_key_active();
	eco_key_sign(version, enc.buf, enc.len, signature);
	eco_result_begin(&result, fcinfo, "ix");
	eco_result_set(&result, 0, Int32GetDatum(version));
	eco_result_set(&result, 1, eco_bytea(signature, ECO_SIGNATURE_LEN));
	return eco_result_row(&result);
}

/*
 * eco_anchor_check(... as above, key_version int, signature bytea) returns text
 *		OK, or why it does not verify.
 */
Datum
eco_anchor_check(PG_FUNCTION_ARGS)
{
	uint8		buf[ANCHOR_BYTES];
	EcoEncoder	enc;
	bytea	   *signature;
	const char *answer = "WRONG_SIGNATURE";

	if (!PG_ARGISNULL(6) && !PG_ARGISNULL(7) && encode(fcinfo, &enc, buf))
	{
		signature = PG_GETARG_BYTEA_PP(7);
		switch (eco_key_verify(PG_GETARG_INT32(6), enc.buf, enc.len,
							   (const uint8 *) VARDATA_ANY(signature),
							   VARSIZE_ANY_EXHDR(signature)))
		{
			case ECO_SIGNATURE_VALID:
				answer = "OK";
				break;
			case ECO_SIGNATURE_WRONG:
				break;
			case ECO_KEY_UNKNOWN:
				answer = "UNKNOWN_KEY";
				break;
			case ECO_KEY_RETIRED:
				answer = "KEY_RETIRED";
				break;
		}
	}
	PG_RETURN_TEXT_P(cstring_to_text(answer));
}
