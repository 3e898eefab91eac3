/*
 * json.h
 *		A JSON writer (RFC 8259) into a buffer of fixed size.
 *
 * Used for event payloads, which must stay below 8,000 bytes: an overflow is
 * remembered, never written past.  Input text is valid UTF-8.
 */
#ifndef ECO_JSON_H
#define ECO_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct EcoJson
{
	char	   *buf;			/* always zero-terminated */
	size_t		cap;			/* including the terminator */
	size_t		len;
	bool		overflow;
	bool		comma;			/* the next member needs a comma */
} EcoJson;

#define ECO_JSON_DIGITS 24

/*
 * The decimal digits of a number, with zeros in front and, of a negative one, a minus, at
 * least `width` characters, which may be up to 20; returns how many.  buf has room for
 * ECO_JSON_DIGITS, all of which may be written.
 */
extern size_t eco_json_digits(char *buf, int64_t value, size_t width);

extern void eco_json_begin(EcoJson *json, char *buf, size_t cap);

extern void eco_json_put_open(EcoJson *json, const char *key, size_t key_len, char bracket);
extern void eco_json_put_text(EcoJson *json, const char *key, size_t key_len,
							  const char *value, size_t len);
extern void eco_json_put_int(EcoJson *json, const char *key, size_t key_len, int64_t value);
extern void eco_json_put_raw(EcoJson *json, const char *key, size_t key_len,
							 const char *value, size_t len);

/* Members, the length of whose key is known when they are compiled. */

static inline size_t
eco_json_key_len(const char *key)
{
	return key != NULL ? strlen(key) : 0;
}

/*
 * key == NULL inside an array, or for the outermost value; else it is a word of the code,
 * which needs no escape
 */
static inline void
eco_json_open(EcoJson *json, const char *key, char bracket)
{
	eco_json_put_open(json, key, eco_json_key_len(key), bracket);
}

extern void eco_json_close(EcoJson *json, char bracket);

static inline void
eco_json_text(EcoJson *json, const char *key, const char *value, size_t len)
{
	eco_json_put_text(json, key, eco_json_key_len(key), value, len);
}

static inline void
eco_json_str(EcoJson *json, const char *key, const char *value)
{
	eco_json_put_text(json, key, eco_json_key_len(key), value, strlen(value));
}

static inline void
eco_json_int(EcoJson *json, const char *key, int64_t value)
{
	eco_json_put_int(json, key, eco_json_key_len(key), value);
}

/* value is JSON already, such as a decimal number */
static inline void
eco_json_raw(EcoJson *json, const char *key, const char *value)
{
	eco_json_put_raw(json, key, eco_json_key_len(key), value, strlen(value));
}

static inline void
eco_json_bool(EcoJson *json, const char *key, bool value)
{
	eco_json_raw(json, key, value ? "true" : "false");
}

static inline void
eco_json_null(EcoJson *json, const char *key)
{
	eco_json_raw(json, key, "null");
}

#endif
