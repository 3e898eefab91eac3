/*
 * fuzz.h
 *		What the targets share: input taken from the front, and a check that says
 *		where it failed.
 */
#ifndef ECO_FUZZ_H
#define ECO_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(holds) \
	((holds) ? (void) 0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #holds), abort()))

typedef struct Input
{
	const uint8_t *data;
	size_t		left;
} Input;

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Zeros where the input ends. */
static inline void
take(Input *in, void *to, size_t size)
{
	size_t		n = size < in->left ? size : in->left;

	memset(to, 0, size);
	if (n > 0)
		memcpy(to, in->data, n);
	in->data += n;
	in->left -= n;
}

static inline uint8_t
take_byte(Input *in)
{
	uint8_t		byte;

	take(in, &byte, 1);
	return byte;
}

static inline int64_t
take_int(Input *in)
{
	int64_t		value;

	take(in, &value, sizeof(value));
	return value;
}

/* Up to max bytes, a copy of exactly their size, so that ASan sees every step beyond. */
static inline uint8_t *
take_bytes(Input *in, size_t max, size_t *len)
{
	uint16_t	wanted;
	uint8_t    *copy;

	take(in, &wanted, sizeof(wanted));
	*len = wanted % (max + 1);
	if (*len > in->left)
		*len = in->left;
	copy = malloc(*len);
	CHECK(copy != NULL || *len == 0);
	take(in, copy, *len);
	return copy;
}

#endif
