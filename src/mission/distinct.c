/*
 * distinct.c
 *		Different values of a field that were counted for a user: what progress keeps of them.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/numeric.h"

#include "core/digest.h"
#include "core/varint.h"
#include "mission/distinct.h"

/* of the two hashes of a long value, for ever */
#define FIRST_KEY	UINT64_C(0x65636f6e6f6d7931)
#define SECOND_KEY	UINT64_C(0x65636f6e6f6d7932)

static void
set(EcoDistinct *value, char type, const char *text, int len)
{
	uint8	   *at = value->bytes;

	if (len + 1 < ECO_DISTINCT_LEN)
	{
		value->len = (uint8) (len + 1);
		value->bytes[0] = (uint8) type;
		memcpy(value->bytes + 1, text, len);
		return;
	}
	value->len = ECO_DISTINCT_LEN;
	eco_int64_write(&at, (int64) eco_siphash(text, len, FIRST_KEY, (uint64) type));
	eco_int64_write(&at, (int64) eco_siphash(text, len, SECOND_KEY, (uint64) type));
}

/* 5 and 5.0 are one. */
static void
set_number(EcoDistinct *value, Numeric number)
{
	Datum		shortest = DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(number));
	char	   *text = DatumGetCString(DirectFunctionCall1(numeric_out, shortest));

	set(value, 'n', text, (int) strlen(text));
	pfree(text);
}

void
eco_distinct_of(const EcoFact *field, const EcoRow *entry, EcoDistinct *value)
{
	EcoValue	is;

	value->len = 0;
	eco_fact_read(field, entry, &is);
	switch (is.kind)
	{
		case ECO_VALUE_TEXT:
			set(value, 't', is.text, is.len);
			break;
		case ECO_VALUE_BOOL:
			set(value, 'b', is.number ? "1" : "0", 1);
			break;
		case ECO_VALUE_INT:
			set_number(value, int64_to_numeric(is.number));
			break;
		case ECO_VALUE_NUMERIC:
			set_number(value, is.numeric);
			break;
		case ECO_VALUE_MISSING:
		case ECO_VALUE_OTHER:
			break;
	}
}

/* One of those that are kept. */
typedef struct Place
{
	const uint8 *at;
	const uint8 *times_at;
	const uint8 *end;
	uint64		times;
} Place;

/* The one at this place; false: there is none more, or what follows is none. */
static bool
read_place(EcoReader *reader, Place *place)
{
	int			len;

	if (reader->at >= reader->end)
		return false;
	place->at = reader->at;
	len = *reader->at++;
	if (len == 0 || len > ECO_DISTINCT_LEN || reader->end - reader->at < len)
	{
		reader->damaged = true;
		return false;
	}
	reader->at += len;
	place->times_at = reader->at;
	place->times = eco_varint_read(reader, PG_INT32_MAX);
	place->end = reader->at;
	reader->damaged |= place->times == 0;
	return !reader->damaged;
}

static bool
find(const uint8 *kept, int len, const EcoDistinct *value, Place *place)
{
	EcoReader	reader = {.at = kept, .end = kept + len};

	while (read_place(&reader, place))
		if (*place->at == value->len && memcmp(place->at + 1, value->bytes, value->len) == 0)
			return true;
	return false;
}

/* Exchange how often the one at this place was counted, which is never 0 then. */
static void
put_times(uint8 *kept, int *len, const Place *place, uint64 times)
{
	uint8		bytes[ECO_VARINT_MAX];
	uint8	   *end = bytes;
	uint8	   *at = kept + (place->times_at - kept);
	int			behind = (int) (kept + *len - place->end);

	eco_varint_write(&end, times);
	memmove(at + (end - bytes), place->end, behind);
	memcpy(at, bytes, end - bytes);
	*len = (int) (at - kept) + (int) (end - bytes) + behind;
}

int
eco_distinct_add(uint8 *kept, int *len, const EcoDistinct *value)
{
	Place		place;
	uint8	   *at = kept + *len;

	if (find(kept, *len, value, &place))
	{
		if (place.times < PG_INT32_MAX)
			put_times(kept, len, &place, place.times + 1);
		return 0;
	}
	if (*len + 1 + value->len + 1 > ECO_DISTINCT_ROOM)
		return 0;
	*at++ = value->len;
	memcpy(at, value->bytes, value->len);
	at += value->len;
	*at++ = 1;
	*len = (int) (at - kept);
	return 1;
}

int
eco_distinct_take(uint8 *kept, int *len, const EcoDistinct *value)
{
	Place		place;

	if (!find(kept, *len, value, &place))
		return 0;
	if (place.times > 1)
	{
		put_times(kept, len, &place, place.times - 1);
		return 0;
	}
	memmove(kept + (place.at - kept), place.end, kept + *len - place.end);
	*len -= (int) (place.end - place.at);
	return 1;
}

int
eco_distinct_count(const uint8 *kept, int len)
{
	EcoReader	reader = {.at = kept, .end = kept + len};
	Place		place;
	int			n = 0;

	while (read_place(&reader, &place))
		n++;
	return reader.damaged || n > ECO_DISTINCT_VALUES ? -1 : n;
}
