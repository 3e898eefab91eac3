/*
 * envelope.c
 *		A JSON scanner that checks the whole text and keeps a few members.
 */
#include <string.h>

#include "envelope.h"

#define MAX_DEPTH 32

typedef struct Scan
{
	const char *at;
} Scan;

static bool skip_value(Scan *scan, int depth);

bool
span_is(Span span, const char *word)
{
	return span.len == strlen(word) && memcmp(span.at, word, span.len) == 0;
}

bool
number_read(Span digits, int64_t *number)
{
	bool		negative = digits.len > 0 && digits.at[0] == '-';
	size_t		i = negative ? 1 : 0;
	int64_t		value = 0;

	if (i == digits.len)
		return false;
	for (; i < digits.len; i++)
	{
		int			digit = digits.at[i] - '0';

		if (digit < 0 || digit > 9)
			return false;
		/* downwards: the smallest number has no positive counterpart */
		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_sub_overflow(value, digit, &value))
			return false;
	}
	if (!negative && value == INT64_MIN)
		return false;
	*number = negative ? value : -value;
	return true;
}

static void
skip_blanks(Scan *scan)
{
	while (*scan->at == ' ')
		scan->at++;
}

static bool
skip_char(Scan *scan, char c)
{
	skip_blanks(scan);
	if (*scan->at != c)
		return false;
	scan->at++;
	return true;
}

static bool
skip_escape(Scan *scan)
{
	char		c = *scan->at++;

	if (c != 'u')
		return c != '\0' && strchr("\"\\/bfnrt", c) != NULL;
	for (int i = 0; i < 4; i++)
	{
		c = *scan->at++;
		if (c == '\0' || strchr("0123456789abcdefABCDEF", c) == NULL)
			return false;
	}
	return true;
}

static bool
read_string(Scan *scan, Span *string)
{
	if (!skip_char(scan, '"'))
		return false;
	string->at = scan->at;
	while (*scan->at != '"')
	{
		unsigned char c = (unsigned char) *scan->at++;

		if (c < 0x20 || (c == '\\' && !skip_escape(scan)))
			return false;
	}
	string->len = (size_t) (scan->at - string->at);
	scan->at++;
	return true;
}

static bool
skip_digits(Scan *scan)
{
	const char *start = scan->at;

	while (*scan->at >= '0' && *scan->at <= '9')
		scan->at++;
	return scan->at > start;
}

static bool
skip_number(Scan *scan)
{
	if (*scan->at == '-')
		scan->at++;
	if (*scan->at == '0')
		scan->at++;
	else if (!skip_digits(scan))
		return false;
	if (*scan->at == '.')
	{
		scan->at++;
		if (!skip_digits(scan))
			return false;
	}
	if (*scan->at == 'e' || *scan->at == 'E')
	{
		scan->at++;
		if (*scan->at == '+' || *scan->at == '-')
			scan->at++;
		return skip_digits(scan);
	}
	return true;
}

static bool
skip_word(Scan *scan, const char *word)
{
	size_t		len = strlen(word);

	if (strncmp(scan->at, word, len) != 0)
		return false;
	scan->at += len;
	return true;
}

static bool
skip_array(Scan *scan, int depth)
{
	scan->at++;
	if (skip_char(scan, ']'))
		return true;
	do
	{
		if (!skip_value(scan, depth))
			return false;
	} while (skip_char(scan, ','));
	return skip_char(scan, ']');
}

static bool
skip_object(Scan *scan, int depth)
{
	Span		key;

	scan->at++;
	if (skip_char(scan, '}'))
		return true;
	do
	{
		if (!read_string(scan, &key) || !skip_char(scan, ':') || !skip_value(scan, depth))
			return false;
	} while (skip_char(scan, ','));
	return skip_char(scan, '}');
}

static bool
skip_value(Scan *scan, int depth)
{
	Span		string;

	if (depth > MAX_DEPTH)
		return false;
	skip_blanks(scan);
	switch (*scan->at)
	{
		case '"':
			return read_string(scan, &string);
		case '{':
			return skip_object(scan, depth + 1);
		case '[':
			return skip_array(scan, depth + 1);
		case 't':
			return skip_word(scan, "true");
		case 'f':
			return skip_word(scan, "false");
		case 'n':
			return skip_word(scan, "null");
		default:
			return skip_number(scan);
	}
}

/* A string member goes to *string, another one is skipped. */
static bool
read_member(Scan *scan, Envelope *envelope, Span *subject, Span *sequence)
{
	Span		key;
	Span	   *string = NULL;

	if (!read_string(scan, &key) || !skip_char(scan, ':'))
		return false;
	skip_blanks(scan);
	if (span_is(key, "data"))
	{
		envelope->data.at = scan->at;
		if (!skip_value(scan, 1))
			return false;
		envelope->data.len = (size_t) (scan->at - envelope->data.at);
		return true;
	}
	if (span_is(key, "id"))
		string = &envelope->id;
	else if (span_is(key, "type"))
		string = &envelope->type;
	else if (span_is(key, "time"))
		string = &envelope->time;
	else if (span_is(key, "subject"))
		string = subject;
	else if (span_is(key, "sequence"))
		string = sequence;
	return string != NULL ? read_string(scan, string) : skip_value(scan, 1);
}

bool
envelope_read(const char *json, Envelope *envelope)
{
	Scan		scan = {json};
	Span		subject = {NULL, 0};
	Span		sequence = {NULL, 0};

	memset(envelope, 0, sizeof(*envelope));
	if (!skip_char(&scan, '{'))
		return false;
	do
	{
		if (!read_member(&scan, envelope, &subject, &sequence))
			return false;
	} while (skip_char(&scan, ','));
	if (!skip_char(&scan, '}'))
		return false;
	skip_blanks(&scan);
	return *scan.at == '\0' &&
		envelope->id.len > 0 && envelope->type.len > 0 && envelope->time.at != NULL &&
		envelope->data.at != NULL &&
		number_read(subject, &envelope->user_id) &&
		number_read(sequence, &envelope->seq) && envelope->seq >= 0;
}
