/*
 * envelope.h
 *		What economy_tail needs of an event: some members of its envelope.
 *
 * Any role may NOTIFY any channel, so a payload may be anything.  An event is a
 * JSON object on one line that has all these members, in whatever order.
 */
#ifndef TAIL_ENVELOPE_H
#define TAIL_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Part of the payload; strings are without quotes and as they are escaped. */
typedef struct Span
{
	const char *at;
	size_t		len;
} Span;

typedef struct Envelope
{
	Span		id;
	Span		type;
	Span		time;
	Span		data;			/* any JSON value */
	int64_t		user_id;		/* subject */
	int64_t		seq;			/* sequence */
} Envelope;

/* False when it is no event.  The spans point into json. */
extern bool envelope_read(const char *json, Envelope *envelope);

extern bool span_is(Span span, const char *word);

/* The digits, and a sign before them, are a decimal number; false also out of range. */
extern bool number_read(Span digits, int64_t *number);

#endif
