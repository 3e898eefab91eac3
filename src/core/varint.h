/*
 * varint.h
 *		Numbers of seven bits a byte, the low ones first, as packed strings have them.
 *
 * Plain C, no PostgreSQL header.  There is one way to write a number, so that equal
 * contents are equal strings: a reader takes a longer one for damage.
 */
#ifndef ECO_VARINT_H
#define ECO_VARINT_H

#include <stdbool.h>
#include <stdint.h>

#define ECO_VARINT_MAX 10		/* bytes of a number, at most */

typedef struct EcoReader
{
	const uint8_t *at;
	const uint8_t *end;
	bool		damaged;		/* it is no packed string; what was read means
								 * nothing */
} EcoReader;

static inline void
eco_varint_write(uint8_t **at, uint64_t value)
{
	while (value >= 0x80)
	{
		*(*at)++ = (uint8_t) (value | 0x80);
		value >>= 7;
	}
	*(*at)++ = (uint8_t) value;
}

/* The next number; the reader is damaged when there is none, or one above max. */
static inline uint64_t
eco_varint_read(EcoReader *reader, uint64_t max)
{
	uint64_t	value = 0;

	for (int shift = 0; reader->at < reader->end && shift < 64; shift += 7)
	{
		uint8_t		byte = *reader->at++;

		/* the tenth byte has one bit left */
		if (shift == 63 && byte > 1)
			break;
		value |= (uint64_t) (byte & 0x7f) << shift;
		if (byte < 0x80)
		{
			if (value > max || (byte == 0 && shift > 0))
				break;
			return value;
		}
	}
	reader->damaged = true;
	return 0;
}

/* Numbers of either sign, near 0 the shortest. */
static inline uint64_t
eco_zigzag(int64_t value)
{
	return ((uint64_t) value << 1) ^ (value < 0 ? UINT64_MAX : 0);
}

static inline int64_t
eco_unzigzag(uint64_t value)
{
	return (int64_t) ((value >> 1) ^ ((value & 1) != 0 ? UINT64_MAX : 0));
}

/* Eight bytes, the high one first: what is too large for a number of seven bits a byte. */
static inline void
eco_int64_write(uint8_t **at, int64_t value)
{
	for (int shift = 56; shift >= 0; shift -= 8)
		*(*at)++ = (uint8_t) ((uint64_t) value >> shift);
}

static inline int64_t
eco_int64_read(EcoReader *reader)
{
	uint64_t	value = 0;

	if (reader->end - reader->at < 8)
	{
		reader->damaged = true;
		return 0;
	}
	for (int i = 0; i < 8; i++)
		value = value << 8 | *reader->at++;
	return (int64_t) value;
}

#endif
