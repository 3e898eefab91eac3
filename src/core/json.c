/*
 * json.c
 *		A JSON writer into a buffer of fixed size.
 */
#include "core/json.h"

#include <stdio.h>

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

/* The high bit of each of eight bytes that are below `limit`, which is at most 128, or more. */
static inline uint64_t
below(uint64_t bytes, uint8_t limit)
{
	return (bytes - ONES * limit) & ~bytes;
}

static inline bool
one_needs_escape(uint64_t bytes)
{
	uint64_t	found = below(bytes, 0x20);

	found |= below(bytes ^ ONES * '"', 1);
	found |= below(bytes ^ ONES * '\\', 1);

	return (found & ONES * 0x80) != 0;
}

/* Eight characters. */
static inline uint64_t
eight(const char *chars)
{
	uint64_t	bytes;

	memcpy(&bytes, chars, sizeof(bytes));
	return bytes;
}

/* All of a text of four to eight characters, some of them twice. */
static inline uint64_t
up_to_eight(const char *chars, size_t len)
{
	uint32_t	first;
	uint32_t	last;

	memcpy(&first, chars, sizeof(first));
	memcpy(&last, chars + len - sizeof(last), sizeof(last));
	return (uint64_t) first << 32 | last;
}

static inline bool
needs_escape(unsigned char c)
{
	return c < 0x20 || c == '"' || c == '\\';
}

/* Whether the text has no byte that needs an escape: most have none. */
static inline bool
is_plain(const char *chars, size_t len)
{
	size_t		i = 0;

	if (len < 4)
	{
		while (i < len && !needs_escape((unsigned char) chars[i]))
			i++;
		return i == len;
	}
	if (len < 8)
		return !one_needs_escape(up_to_eight(chars, len));
	while (i + 8 < len && !one_needs_escape(eight(chars + i)))
		i += 8;
	return i + 8 >= len && !one_needs_escape(eight(chars + len - 8));
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

	put_char(json, '"');
	for (size_t i = 0; i < len; i++)
		if (needs_escape((unsigned char) chars[i]))
		{
			put(json, chars + start, i - start);
			put_escape(json, (unsigned char) chars[i]);
			start = i + 1;
		}
	put(json, chars + start, len - start);
	put_char(json, '"');
}

/* Room for a member, whose comma and key are written; NULL: there is none. */
static inline char *
room_for_member(EcoJson *json, const char *key, size_t key_len, size_t len)
{
	char	   *room = room_for(json, json->comma + (key != NULL ? key_len + 3 : 0) + len);

	if (room == NULL)
		return NULL;
	if (json->comma)
		*room++ = ',';
	json->comma = true;
	if (key == NULL)
		return room;
	*room++ = '"';
	memcpy(room, key, key_len);
	memcpy(room + key_len, "\":", 2);
	return room + key_len + 2;
}

/* Write a number backwards; returns where it begins. */
static inline char *
put_digits_before(char *end, uint64_t number)
{
	static const char pairs[] =
	"00010203040506070809101112131415161718192021222324252627282930313233343536373839"
	"40414243444546474849505152535455565758596061626364656667686970717273747576777879"
	"8081828384858687888990919293949596979899";

	for (; number >= 10; number /= 100)
		end = memcpy(end - 2, pairs + 2 * (number % 100), 2);
	if (number > 0)
		*--end = (char) ('0' + number);
	return end;
}

size_t
eco_json_digits(char *buf, int64_t value, size_t width)
{
	char		room[2 * ECO_JSON_DIGITS];
	char	   *end = room + ECO_JSON_DIGITS - 1;
	char	   *begin;

	memset(room, '0', sizeof(room));
	*end = '\0';
	begin = put_digits_before(end, value < 0 ? -(uint64_t) value : (uint64_t) value);
	begin -= value < 0;
	if ((size_t) (end - begin) < width)
		begin = end - width;
	if (value < 0)
		*begin = '-';
	/* of one size, and so no call */
	memcpy(buf, begin, ECO_JSON_DIGITS);
	return (size_t) (end - begin);
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
eco_json_put_open(EcoJson *json, const char *key, size_t key_len, char bracket)
{
	char	   *room = room_for_member(json, key, key_len, 1);

	if (room != NULL)
		*room = bracket;
	json->comma = false;
}

void
eco_json_close(EcoJson *json, char bracket)
{
	put_char(json, bracket);
	json->comma = true;
}

void
eco_json_put_text(EcoJson *json, const char *key, size_t key_len, const char *value, size_t len)
{
	bool		plain = is_plain(value, len);
	char	   *room = room_for_member(json, key, key_len, plain ? len + 2 : 0);

	if (room == NULL)
		return;
	if (!plain)
	{
		put_escaped(json, value, len);
		return;
	}
	*room = '"';
	memcpy(room + 1, value, len);
	room[len + 1] = '"';
}

void
eco_json_put_raw(EcoJson *json, const char *key, size_t key_len, const char *value, size_t len)
{
	char	   *room = room_for_member(json, key, key_len, len);

	if (room != NULL)
		memcpy(room, value, len);
}

void
eco_json_put_int(EcoJson *json, const char *key, size_t key_len, int64_t value)
{
	char		digits[ECO_JSON_DIGITS];
	size_t		len = eco_json_digits(digits, value, 1);

	eco_json_put_raw(json, key, key_len, digits, len);
}
