/*
 * test_json.c
 *		The JSON writer: its text, its escapes, and buffers of every size.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "unit.h"

#define GUARD 0xA5

static void
write_sample(EcoJson *json, char *buf, size_t cap)
{
	eco_json_begin(json, buf, cap);
	eco_json_open(json, NULL, '{');
	eco_json_str(json, "text", "a\"b\\c\n\x1f/\xc3\xa9");
	eco_json_int(json, "least", INT64_MIN);
	eco_json_bool(json, "yes", true);
	eco_json_bool(json, "no", false);
	eco_json_null(json, "nothing");
	eco_json_raw(json, "raw", "0.25");
	eco_json_open(json, "empty", '{');
	eco_json_close(json, '}');
	eco_json_open(json, "list", '[');
	eco_json_int(json, NULL, 1);
	eco_json_open(json, NULL, '{');
	eco_json_int(json, "k", 2);
	eco_json_close(json, '}');
	eco_json_open(json, NULL, '[');
	eco_json_close(json, ']');
	eco_json_text(json, NULL, "xyz", 2);
	eco_json_close(json, ']');
	eco_json_int(json, "last", 0);
	eco_json_close(json, '}');
}

static const char sample[] =
"{\"text\":\"a\\\"b\\\\c\\u000a\\u001f/\xc3\xa9\",\"least\":-9223372036854775808,\"yes\":true,\"no\":false,"
"\"nothing\":null,\"raw\":0.25,\"empty\":{},\"list\":[1,{\"k\":2},[],\"xy\"],\"last\":0}";

static void
known_text(void)
{
	char		buf[512];
	EcoJson		json;

	write_sample(&json, buf, sizeof(buf));
	check_str(buf, sample, "members, nesting, commas and escapes");
	check_int((int64_t) json.len, (int64_t) strlen(sample), "len is the length");
	check(!json.overflow, "and it fits");
	eco_json_begin(&json, buf, sizeof(buf));
	check_str(buf, "", "an empty text at first");
	eco_json_int(&json, NULL, INT64_MAX);
	check_str(buf, "9223372036854775807", "a number alone");
}

static void
escapes(void)
{
	bool		right = true;

	for (int c = 0; c < 256; c++)
	{
		char		bytes[3] = {'a', (char) c, 'z'};
		char		buf[32];
		char		want[32];
		size_t		want_len;
		EcoJson		json;

		eco_json_begin(&json, buf, sizeof(buf));
		eco_json_text(&json, NULL, bytes, sizeof(bytes));
		if (c < 0x20)
			want_len = (size_t) snprintf(want, sizeof(want), "\"a\\u%04xz\"", c);
		else if (c == '"' || c == '\\')
			want_len = (size_t) snprintf(want, sizeof(want), "\"a\\%cz\"", c);
		else
			want_len = (size_t) snprintf(want, sizeof(want), "\"a%cz\"", c);
		if (json.len != want_len || memcmp(buf, want, want_len + 1) != 0)
		{
			right = false;
			check_bytes(buf, json.len, want, want_len, "a byte in a text");
		}
	}
	check(right, "every byte is itself or its escape");
}

static void
every_buffer_size(void)
{
	size_t		need = strlen(sample) + 1;
	bool		overflow = true;
	bool		terminated = true;
	bool		prefix = true;
	bool		guarded = true;

	for (size_t cap = 0; cap <= need + 3; cap++)
	{
		char	   *buf = malloc(cap + 16);
		EcoJson		json;

		memset(buf, GUARD, cap + 16);
		write_sample(&json, buf, cap);
		overflow &= json.overflow == (cap < need);
		if (cap > 0)
		{
			terminated &= json.len < cap && buf[json.len] == '\0' && strlen(buf) == json.len;
			prefix &= strncmp(buf, sample, json.len) == 0;
		}
		for (size_t i = cap; i < cap + 16; i++)
			guarded &= (uint8_t) buf[i] == GUARD;
		free(buf);
	}
	check(overflow, "overflow is remembered in every buffer that is too small, and in no other");
	check(terminated, "the text is always terminated");
	check(prefix, "what was written is a prefix");
	check(guarded, "nothing is written past the buffer");
}

/* As printf writes them, at every width; nothing beyond the room that is asked for. */
static void
digits(void)
{
	static const int64_t edges[] = {0, 9, 10, 99, 100, INT64_MAX, INT64_MIN, INT64_MIN + 1, -1, -9, -10};
	bool		right = true;

	for (int round = 0; round < 20000; round++)
	{
		int64_t		value = (size_t) round < sizeof(edges) / sizeof(*edges) ? edges[round] :
			(int64_t) (unit_random() << 32 ^ unit_random()) >> unit_random() % 63;
		char	   *buf = malloc(ECO_JSON_DIGITS);

		for (int width = 1; width <= 20; width++)
		{
			char		want[64];
			int			len = snprintf(want, sizeof(want), "%0*lld", width, (long long) value);

			right &= eco_json_digits(buf, value, (size_t) width) == (size_t) len && strcmp(buf, want) == 0;
		}
		free(buf);
	}
	check(right, "digits of edges and 20,000 random numbers, at every width");
}

/* Exactly sized buffers without room after them: the address sanitizer looks on. */
static void
random_texts(void)
{
	bool		right = true;

	for (int round = 0; round < 20000; round++)
	{
		size_t		cap = unit_random() % 90;
		size_t		len = unit_random() % 60;
		char	   *buf = malloc(cap > 0 ? cap : 1);
		char	   *bytes = malloc(len > 0 ? len : 1);
		EcoJson		json;
		size_t		need = 2;	/* the quotes */

		for (size_t i = 0; i < len; i++)
		{
			/* often what needs an escape */
			bytes[i] = unit_random() % 12 == 0 ? "\"\\\n\x01\x7f"[unit_random() % 5] :
				(char) (round % 2 == 0 ? unit_random() % 256 : 0x23 + unit_random() % 0x39);
			need += (unsigned char) bytes[i] < 0x20 ? 6 : bytes[i] == '"' || bytes[i] == '\\' ? 2 : 1;
		}
		eco_json_begin(&json, buf, cap);
		eco_json_text(&json, NULL, bytes, len);
		right &= json.overflow == (need >= cap) && (json.overflow || json.len == need);
		free(buf);
		free(bytes);
	}
	check(right, "20,000 random texts in buffers of random size");
}

static void
overflow_is_final(void)
{
	char		buf[8];
	EcoJson		json;

	eco_json_begin(&json, buf, sizeof(buf));
	eco_json_open(&json, NULL, '[');
	eco_json_int(&json, NULL, 123456789);
	check(json.overflow, "a number that does not fit");
	eco_json_int(&json, NULL, 1);
	eco_json_close(&json, ']');
	check(json.overflow, "is not forgotten");
	check_str(buf, "[", "and nothing follows it");
}

void
test_json(void)
{
	known_text();
	escapes();
	every_buffer_size();
	random_texts();
	digits();
	overflow_is_final();
}
