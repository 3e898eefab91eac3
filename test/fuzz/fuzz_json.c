/*
 * fuzz_json.c
 *		The JSON writer: what it writes is read back by a reader of its own, and the
 *		texts are the same bytes; a small buffer ends in overflow and a terminator.
 */
#include <inttypes.h>

#include "core/json.h"
#include "fuzz.h"

#define MAX_STEPS 40
#define MAX_DEPTH 12
#define MAX_TEXT 200
#define BIG 65536

typedef struct Step
{
	uint8_t		kind;
	int64_t		number;
	char	   *key;
	uint8_t    *text;
	size_t		len;
} Step;

enum
{
	OPEN_OBJECT, OPEN_ARRAY, CLOSE, TEXT, INT, BOOL, NONE, KINDS
};

/* What a reader must find, in the order of writing. */
static const char *at;

static void
expect(char c)
{
	CHECK(*at++ == c);
}

static unsigned
hex_digit(char c)
{
	CHECK((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
	return (unsigned) (c <= '9' ? c - '0' : c - 'a' + 10);
}

static void
expect_text(const uint8_t *text, size_t len)
{
	expect('"');
	for (size_t i = 0; i < len; i++)
	{
		uint8_t		c = (uint8_t) *at++;

		CHECK(c >= 0x20 && c != '"');
		if (c == '\\')
		{
			c = (uint8_t) *at++;
			if (c == 'u')
			{
				unsigned	code = 0;

				for (int k = 0; k < 4; k++)
					code = code << 4 | hex_digit(*at++);
				CHECK(code < 0x20);
				c = (uint8_t) code;
			}
			else
				CHECK(c == '"' || c == '\\');
		}
		CHECK(c == text[i]);
	}
	expect('"');
}

static void
expect_word(const char *word)
{
	CHECK(strncmp(at, word, strlen(word)) == 0);
	at += strlen(word);
}

/* Writes the steps, closing what is open; with reading, reads the same instead. */
static void
walk(EcoJson *json, const Step *steps, int n, bool reading)
{
	char		open[MAX_DEPTH + 1];
	int			depth = 0;
	bool		first = true;

	open[depth++] = '{';
	reading ? expect('{') : eco_json_open(json, NULL, '{');
	for (int i = 0; i < n || depth > 0; i++)
	{
		const Step *s = &steps[i < n ? i : 0];
		int			kind = i < n ? s->kind : CLOSE;
		const char *key = open[depth - 1] == '{' ? s->key : NULL;
		char		digits[24];

		if ((kind == OPEN_OBJECT || kind == OPEN_ARRAY) && depth == MAX_DEPTH)
			kind = NONE;
		if (kind == CLOSE && depth == 1 && i < n)
			continue;
		if (reading && kind != CLOSE)
		{
			if (!first)
				expect(',');
			if (key != NULL)
			{
				expect_text((const uint8_t *) key, strlen(key));
				expect(':');
			}
		}
		first = kind == OPEN_OBJECT || kind == OPEN_ARRAY;
		snprintf(digits, sizeof(digits), "%" PRId64, s->number);
		switch (kind)
		{
			case OPEN_OBJECT:
			case OPEN_ARRAY:
				open[depth] = kind == OPEN_OBJECT ? '{' : '[';
				reading ? expect(open[depth]) : eco_json_open(json, key, open[depth]);
				depth++;
				break;
			case CLOSE:
				depth--;
				reading ? expect(open[depth] == '{' ? '}' : ']') :
					eco_json_close(json, open[depth] == '{' ? '}' : ']');
				break;
			case TEXT:
				reading ? expect_text(s->text, s->len) :
					eco_json_text(json, key, (const char *) s->text, s->len);
				break;
			case INT:
				reading ? expect_word(digits) : eco_json_int(json, key, s->number);
				break;
			case BOOL:
				reading ? expect_word(s->number & 1 ? "true" : "false") :
					eco_json_bool(json, key, s->number & 1);
				break;
			default:
				reading ? expect_word("null") : eco_json_null(json, key);
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char big[BIG];
	Input		in = {data, size};
	Step		steps[MAX_STEPS] = {0};
	int			n = take_byte(&in) % (MAX_STEPS + 1);
	size_t		small;
	char	   *buf;
	EcoJson		json;

	for (int i = 0; i < MAX_STEPS; i++)
	{
		size_t		len;
		uint8_t    *key;

		steps[i].kind = take_byte(&in) % KINDS;
		steps[i].number = take_int(&in);
		key = take_bytes(&in, 20, &len);
		steps[i].key = calloc(len + 1, 1);
		/* a word of the code */
		for (size_t j = 0; j < len; j++)
			steps[i].key[j] = (char) ('a' + key[j] % 26);
		free(key);
		steps[i].text = take_bytes(&in, MAX_TEXT, &steps[i].len);
	}
	eco_json_begin(&json, big, BIG);
	walk(&json, steps, n, false);
	CHECK(!json.overflow && strlen(big) <= json.len);
	at = big;
	if (memchr(big, '\0', json.len) == NULL)
	{
		walk(NULL, steps, n, true);
		CHECK(at == big + json.len);
	}

	small = (size_t) take_int(&in) % (json.len + 1);
	buf = malloc(small);
	eco_json_begin(&json, buf, small);
	walk(&json, steps, n, false);
	CHECK(json.overflow);
	CHECK(small == 0 || (json.len < small && buf[json.len] == '\0'));
	CHECK(small == 0 || memcmp(buf, big, json.len) == 0);
	free(buf);
	for (int i = 0; i < MAX_STEPS; i++)
	{
		free(steps[i].key);
		free(steps[i].text);
	}
	return 0;
}
