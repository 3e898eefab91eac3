/*
 * test_encode.c
 *		The bytes of an encoded entry, and the hash chain over them.
 */
#include <stdlib.h>
#include <string.h>

#include "core/encode.h"
#include "unit.h"

#define GUARD 0xA5

/* Encode some fields of every kind into a buffer of cap bytes. */
static EcoEncoder
encode_sample(uint8_t *buf, size_t cap)
{
	EcoEncoder	enc;

	eco_encode_begin(&enc, buf, cap, 1, 'P');
	eco_encode_null(&enc);
	eco_encode_int(&enc, 1);
	eco_encode_int(&enc, -2);
	eco_encode_bytes(&enc, "abc", 3);
	eco_encode_bytes(&enc, "", 0);
	eco_encode_bytes(&enc, NULL, 0);
	return enc;
}

#define SAMPLE_HEX "0150" "00" "010000000000000001" "01fffffffffffffffe" "0200000003616263" "0200000000" "0200000000"

static void
known_bytes(void)
{
	uint8_t		buf[128];
	uint8_t		want[128];
	size_t		want_len = unit_hex(SAMPLE_HEX, want, sizeof(want));
	EcoEncoder	enc = encode_sample(buf, sizeof(buf));

	check_bytes(buf, enc.len, want, want_len, "every kind of field has its bytes");
	check(!enc.overflow, "and fits");
	check_int((int64_t) enc.len,
			  ECO_ENCODED_HEADER + ECO_ENCODED_NULL + 2 * ECO_ENCODED_INT +
			  ECO_ENCODED_BYTES(3) + 2 * ECO_ENCODED_BYTES(0), "the size macros add up");

	eco_encode_begin(&enc, buf, sizeof(buf), 0xff, 0x80);
	eco_encode_int(&enc, INT64_MIN);
	eco_encode_int(&enc, INT64_MAX);
	eco_encode_int(&enc, 0x0102030405060708);
	want_len = unit_hex("ff80" "018000000000000000" "017fffffffffffffff" "010102030405060708",
						want, sizeof(want));
	check_bytes(buf, enc.len, want, want_len, "integers are big-endian");
}

static void
every_buffer_size(void)
{
	uint8_t		whole[128];
	size_t		need = encode_sample(whole, sizeof(whole)).len;
	bool		overflow = true;
	bool		prefix = true;
	bool		guarded = true;

	for (size_t cap = 0; cap <= need + 2; cap++)
	{
		uint8_t    *buf = malloc(cap + 16);
		EcoEncoder	enc;

		memset(buf, GUARD, cap + 16);
		enc = encode_sample(buf, cap);
		overflow &= enc.overflow == (cap < need);
		prefix &= enc.len <= cap && memcmp(buf, whole, enc.len) == 0;
		for (size_t i = enc.len; i < cap + 16; i++)
			guarded &= buf[i] == GUARD;
		free(buf);
	}
	check(overflow, "overflow is remembered in every buffer that is too small, and in no other");
	check(prefix, "what was written is a prefix");
	check(guarded, "nothing is written past it");
}

static void
overflow_is_final(void)
{
	uint8_t		buf[12];
	uint8_t		hash[ECO_HASH_LEN];
	uint8_t		zero[ECO_HASH_LEN] = {0};
	EcoEncoder	enc;

	eco_encode_begin(&enc, buf, sizeof(buf), 1, 'P');
	eco_encode_int(&enc, 1);
	eco_encode_int(&enc, 2);
	check(enc.overflow, "the second integer does not fit");
	check_int((int64_t) enc.len, 11, "and leaves no bytes");
	eco_encode_null(&enc);
	check_int((int64_t) enc.len, 11, "nor does what would fit after it");
	check(!eco_chain_hash(zero, &enc, hash), "such an entry has no hash");

	eco_encode_begin(&enc, buf, sizeof(buf), 1, 'P');
	eco_encode_bytes(&enc, buf, (size_t) UINT32_MAX + 1);
	check(enc.overflow, "a text beyond 4 GB is an overflow");
	eco_encode_begin(&enc, buf, sizeof(buf), 1, 'P');
	eco_encode_bytes(&enc, buf, SIZE_MAX - 4);
	check(enc.overflow, "so is one whose size wraps");
}

/* A row of up to three fields, encoded; returns its length. */
static size_t
encode_row(int number, uint8_t *buf, size_t cap)
{
	static const char texts[4][3] = {"", "\0", "\0\0", "\x01"};
	EcoEncoder	enc;

	eco_encode_begin(&enc, buf, cap, 1, 'P');
	for (; number > 0; number /= 9)
	{
		switch (number % 9)
		{
			case 1:
				eco_encode_null(&enc);
				break;
			case 2:
				eco_encode_int(&enc, 0);
				break;
			case 3:
				eco_encode_int(&enc, 0x0200000000000000);
				break;
			case 4:
				eco_encode_bytes(&enc, texts[0], 0);
				break;
			case 5:
				eco_encode_bytes(&enc, texts[1], 1);
				break;
			case 6:
				eco_encode_bytes(&enc, texts[2], 2);
				break;
			case 7:
				eco_encode_bytes(&enc, texts[3], 1);
				break;
			case 8:
				eco_encode_bytes(&enc, "\x01\0\0\0\0\0\0\0\0", 9);
				break;
			default:
				return 0;		/* 0 is no field: no such row */
		}
	}
	return enc.len;
}

#define ROWS (9 * 9 * 9)

static void
prefix_free(void)
{
	static uint8_t encoded[ROWS][64];
	static size_t len[ROWS];
	static int	fields[ROWS];
	bool		distinct = true;
	bool		no_prefix = true;
	int			n = 0;

	for (int i = 1; i < ROWS; i++)
	{
		len[n] = encode_row(i, encoded[n], sizeof(encoded[n]));
		fields[n] = i >= 81 ? 3 : i >= 9 ? 2 : 1;
		if (len[n] > 0)
			n++;
	}
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
		{
			bool		starts = i != j && len[i] <= len[j] && memcmp(encoded[i], encoded[j], len[i]) == 0;

			distinct &= !(starts && len[i] == len[j]);
			no_prefix &= !(starts && fields[i] == fields[j]);
		}
	check_int(n, 8 + 64 + 512, "rows of up to three fields");
	check(distinct, "no two rows share an encoding");
	check(no_prefix, "no row of a journal begins another");
}

static void
known_hash(void)
{
	uint8_t		prev[ECO_HASH_LEN];
	uint8_t		hash[ECO_HASH_LEN];
	uint8_t		again[ECO_HASH_LEN];
	uint8_t		want[ECO_HASH_LEN];
	uint8_t		entry[64];
	EcoEncoder	enc = {entry, sizeof(entry), 0, false};

	/* FIPS 180-4: the message of 56 bytes, split after 32 */
	memcpy(prev, "abcdbcdecdefdefgefghfghighijhijk", ECO_HASH_LEN);
	memcpy(entry, "ijkljklmklmnlmnomnopnopq", 24);
	enc.len = 24;
	unit_hex("248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1", want, sizeof(want));
	check(eco_chain_hash(prev, &enc, hash), "a hash");
	check_bytes(hash, sizeof(hash), want, sizeof(want), "is SHA-256 of the previous hash and the entry");
	check(eco_chain_hash(prev, &enc, again) && memcmp(hash, again, sizeof(hash)) == 0, "and the same again");

	/* 32 zero bytes alone */
	memset(prev, 0, sizeof(prev));
	enc.len = 0;
	unit_hex("66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925", want, sizeof(want));
	check(eco_chain_hash(prev, &enc, hash), "a hash of nothing after the beginning");
	check_bytes(hash, sizeof(hash), want, sizeof(want), "is SHA-256 of 32 zero bytes");

	for (int bit = 0; bit < 8 * ECO_HASH_LEN; bit++)
	{
		prev[bit / 8] ^= (uint8_t) (1 << bit % 8);
		if (!eco_chain_hash(prev, &enc, again) || memcmp(hash, again, sizeof(hash)) == 0)
			check(false, "every bit of the previous hash counts");
		prev[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
}

void
test_encode(void)
{
	known_bytes();
	every_buffer_size();
	overflow_is_final();
	prefix_free();
	known_hash();
}
