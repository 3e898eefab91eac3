/*
 * json.c
 *		A JSON writer into a buffer of fixed size.
 */
#include "core/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void
put(EcoJson *json, const char *chars, size_t len)
{
	if (json->overflow || len >= json->cap - json->len)
	{
		json->overflow = true;
		return;
	}
	memcpy(json->buf + json->len, chars, len);
	json->len += len;
	json->buf[json->len] = '\0';
}

static void
put_quoted(EcoJson *json, const char *chars, size_t len)
{
	size_t		start = 0;

	put(json, "\"", 1);
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) chars[i];
		char		escape[8];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		put(json, chars + start, i - start);
		if (c < 0x20)
			snprintf(escape, sizeof(escape), "\\u%04x", c);
		else
			snprintf(escape, sizeof(escape), "\\%c", c);
		put(json, escape, strlen(escape));
		start = i + 1;
	}
	put(json, chars + start, len - start);
	put(json, "\"", 1);
}

/* Everything before a value: the comma and the key. */
static void
put_key(EcoJson *json, const char *key)
{
	if (json->comma)
		put(json, ",", 1);
	if (key != NULL)
	{
		put_quoted(json, key, strlen(key));
		put(json, ":", 1);
	}
	json->comma = true;
}

void
eco_json_begin(EcoJson *json, char *buf, size_t cap)
{
	json->buf = buf;
	json->cap = cap;
	json->len = 0;
	json->overflow = cap == 0;
	json->comma = false;
	if (cap > 0)
		buf[0] = '\0';
}

void
eco_json_open(EcoJson *json, const char *key, char bracket)
{
	put_key(json, key);
	put(json, &bracket, 1);
	json->comma = false;
}

void
eco_json_close(EcoJson *json, char bracket)
{
	put(json, &bracket, 1);
	json->comma = true;
}

void
eco_json_text(EcoJson *json, const char *key, const char *value, size_t len)
{
	put_key(json, key);
	put_quoted(json, value, len);
}

void
eco_json_str(EcoJson *json, const char *key, const char *value)
{
	eco_json_text(json, key, value, strlen(value));
}

void
eco_json_int(EcoJson *json, const char *key, int64_t value)
{
	char		digits[24];
	int			len = snprintf(digits, sizeof(digits), "%" PRId64, value);

	put_key(json, key);
	put(json, digits, (size_t) len);
}

void
eco_json_bool(EcoJson *json, const char *key, bool value)
{
	put_key(json, key);
	put(json, value ? "true" : "false", value ? 4 : 5);
}

void
eco_json_raw(EcoJson *json, const char *key, const char *value)
{
	put_key(json, key);
	put(json, value, strlen(value));
}

void
eco_json_null(EcoJson *json, const char *key)
{
	put_key(json, key);
	put(json, "null", 4);
}
