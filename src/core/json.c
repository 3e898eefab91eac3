/*
 * json.c
 *		A JSON writer into a buffer of fixed size.
 */
#include "core/json.h"

#include <stdio.h>
#include <string.h>

#define ONES (UINT64_MAX / 255) /* each byte is 1 */

/* Room for so many characters, and for the terminator; NULL, once there was none. */
static inline char *
room_for(EcoJson *json, size_t len)
{
	char	   *room = json->buf + json->len;

	if (json->overflow || len >= json->cap - json->len)
	{
		json->overflow = true;
		return NULL;
	}
	json->len += len;
	json->buf[json->len] = '\0';
	return room;
}

static inline void
put(EcoJson *json, const char *chars, size_t len)
{
	char	   *room = room_for(json, len);

	if (room != NULL)
		memcpy(room, chars, len);
}

static inline void
put_char(EcoJson *json, char c)
{
	put(json, &c, 1);
}

/* Whether one of eight bytes is below `limit`, which is at most 128. */
static inline bool
has_less(uint64_t bytes, uint8_t limit)
{
	return ((bytes - ONES * limit) & ~bytes & ONES * 0x80) != 0;
}

static inline bool
needs_escape(unsigned char c)
{
	return c < 0x20 || c == '"' || c == '\\';
}

static inline bool
one_needs_escape(const char *chars)
{
	uint64_t	bytes;

	memcpy(&bytes, chars, sizeof(bytes));
	return has_less(bytes, 0x20) || has_less(bytes ^ ONES * '"', 1) ||
		has_less(bytes ^ ONES * '\\', 1);
}

/* The first of the bytes from `start` on that needs an escape, or len: most texts have none. */
static inline size_t
plain_upto(const char *chars, size_t start, size_t len)
{
	size_t		i = start;

	while (i + 8 <= len && !one_needs_escape(chars + i))
		i += 8;
	if (len >= 8 && i + 8 > len && !one_needs_escape(chars + len - 8))
		return len;
	while (i < len && !needs_escape((unsigned char) chars[i]))
		i++;
	return i;
}

static void
put_escape(EcoJson *json, unsigned char c)
{
	char		escape[8];

	if (c < 0x20)
		snprintf(escape, sizeof(escape), "\\u%04x", c);
	else
		snprintf(escape, sizeof(escape), "\\%c", c);
	put(json, escape, strlen(escape));
}

static void
put_escaped(EcoJson *json, const char *chars, size_t len)
{
	size_t		start = 0;
	size_t		end;

	put_char(json, '"');
	while ((end = plain_upto(chars, start, len)) < len)
	{
		put(json, chars + start, end - start);
		put_escape(json, (unsigned char) chars[end]);
		start = end + 1;
	}
	put(json, chars + start, len - start);
	put_char(json, '"');
}

static void
put_quoted(EcoJson *json, const char *chars, size_t len)
{
	char	   *room;

	if (plain_upto(chars, 0, len) < len)
	{
		put_escaped(json, chars, len);
		return;
	}
	room = room_for(json, len + 2);
	if (room == NULL)
		return;
	*room = '"';
	memcpy(room + 1, chars, len);
	room[len + 1] = '"';
}

/* Everything before a value: the comma and the key. */
static void
put_key(EcoJson *json, const char *key)
{
	size_t		len = key != NULL ? strlen(key) : 0;
	char	   *room = room_for(json, json->comma + (key != NULL ? len + 3 : 0));

	if (room == NULL)
		return;
	if (json->comma)
		*room++ = ',';
	json->comma = true;
	if (key == NULL)
		return;
	*room++ = '"';
	memcpy(room, key, len);
	memcpy(room + len, "\":", 2);
}

size_t
eco_json_digits(char *buf, int64_t value, size_t width)
{
	char		reversed[ECO_JSON_DIGITS];
	uint64_t	rest = value < 0 ? -(uint64_t) value : (uint64_t) value;
	size_t		n = 0;
	size_t		len = 0;

	for (; rest > 0; rest /= 10)
		reversed[n++] = (char) ('0' + rest % 10);
	if (value < 0)
		buf[len++] = '-';
	while (n + len < width)
		reversed[n++] = '0';
	while (n > 0)
		buf[len++] = reversed[--n];
	buf[len] = '\0';
	return len;
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
	put_char(json, bracket);
	json->comma = false;
}

void
eco_json_close(EcoJson *json, char bracket)
{
	put_char(json, bracket);
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
	char		digits[ECO_JSON_DIGITS];
	size_t		len = eco_json_digits(digits, value, 1);

	put_key(json, key);
	put(json, digits, len);
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
