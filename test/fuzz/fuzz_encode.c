/*
 * fuzz_encode.c
 *		The canonical encoding: read back by a reader of its own it gives the same
 *		fields, so no two entries share one; and a small buffer is never left.
 */
#include "core/encode.h"
#include "fuzz.h"

#define MAX_FIELDS 24
#define MAX_TEXT 300

typedef struct Field
{
	uint8_t		kind;			/* 0 null, 1 int, 2 bytes */
	int64_t		number;
	uint8_t    *bytes;
	size_t		len;
} Field;

static void
put_fields(EcoEncoder *enc, const Field *fields, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (fields[i].kind == 0)
			eco_encode_null(enc);
		else if (fields[i].kind == 1)
			eco_encode_int(enc, fields[i].number);
		else
			eco_encode_bytes(enc, fields[i].bytes, fields[i].len);
	}
}

static void
read_back(const EcoEncoder *enc, const Field *fields, int n)
{
	const uint8_t *at = enc->buf + 2;

	for (int i = 0; i < n; i++)
	{
		uint64_t	number = 0;
		int			width = fields[i].kind == 1 ? 8 : 4;

		CHECK(*at++ == fields[i].kind);
		if (fields[i].kind == 0)
			continue;
		for (int k = 0; k < width; k++)
			number = number << 8 | *at++;
		CHECK(number == (fields[i].kind == 1 ? (uint64_t) fields[i].number : fields[i].len));
		if (fields[i].kind == 2)
		{
			CHECK(fields[i].len == 0 || memcmp(at, fields[i].bytes, fields[i].len) == 0);
			at += fields[i].len;
		}
	}
	CHECK(at == enc->buf + enc->len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		in = {data, size};
	uint8_t		version = take_byte(&in);
	uint8_t		journal = take_byte(&in);
	int			n = take_byte(&in) % (MAX_FIELDS + 1);
	size_t		needed = ECO_ENCODED_HEADER;
	size_t		small;
	Field		fields[MAX_FIELDS] = {0};
	EcoEncoder	enc;
	uint8_t		prev[ECO_HASH_LEN] = {0};
	uint8_t		hash[ECO_HASH_LEN];
	uint8_t		again[ECO_HASH_LEN];
	uint8_t    *buf;

	for (int i = 0; i < n; i++)
	{
		fields[i].kind = take_byte(&in) % 3;
		if (fields[i].kind == 1)
			fields[i].number = take_int(&in);
		else if (fields[i].kind == 2)
			fields[i].bytes = take_bytes(&in, MAX_TEXT, &fields[i].len);
		needed += fields[i].kind == 0 ? ECO_ENCODED_NULL :
			fields[i].kind == 1 ? ECO_ENCODED_INT : ECO_ENCODED_BYTES(fields[i].len);
	}
	buf = malloc(needed);
	eco_encode_begin(&enc, buf, needed, version, journal);
	put_fields(&enc, fields, n);
	CHECK(!enc.overflow && enc.len == needed && buf[0] == version && buf[1] == journal);
	read_back(&enc, fields, n);
	CHECK(eco_chain_hash(prev, &enc, hash));
	/* another hash before makes another hash */
	prev[0] = 1;
	CHECK(eco_chain_hash(prev, &enc, again) && memcmp(hash, again, ECO_HASH_LEN) != 0);
	free(buf);

	small = (size_t) take_int(&in) % needed;
	buf = malloc(small);
	eco_encode_begin(&enc, buf, small, version, journal);
	put_fields(&enc, fields, n);
	CHECK(enc.overflow && enc.len <= small && !eco_chain_hash(prev, &enc, hash));
	free(buf);
	for (int i = 0; i < n; i++)
		free(fields[i].bytes);
	return 0;
}
