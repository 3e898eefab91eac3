/*
 * holdings_section.c
 *		The section of a user's account that has the items that the user holds.
 */
#include "postgres.h"

#include "ledger/holdings_section.h"

void
eco_held_read(EcoReader *reader, const EcoSection *section, bool *more)
{
	*more = false;
	*reader = (EcoReader)
	{
		.at = section->data, .end = section->data + section->len
	};
	if (section->len == 0)
		return;
	reader->damaged = section->version != ECO_HELD_VERSION ||
		section->len > ECO_HELD_ROOM || *reader->at > 1;
	*more = *reader->at++ == 1;
}

static int
compare_ids(const EcoHeld *a, const char *id, int len)
{
	int			order = memcmp(a->id, id, Min(a->len, len));

	return order != 0 ? order : a->len - len;
}

/* held: the one before, or of no length */
bool
eco_held_next(EcoReader *reader, EcoHeld *held)
{
	const uint8 *at = reader->at;
	uint64		value;

	if (reader->damaged || at >= reader->end)
		return false;
	reader->damaged = at[0] == 0 || at[0] > ECO_HELD_ID || reader->end - at < 1 + at[0] ||
		compare_ids(held, (const char *) at + 1, at[0]) >= 0;
	if (reader->damaged)
		return false;
	held->id = (const char *) at + 1;
	held->len = at[0];
	reader->at += 1 + held->len;
	value = eco_varint_read(reader, (uint64) ECO_HELD_MOST * 2 + 1);
	held->is_pass = (value & 1) != 0;
	held->balance = (int64) (value >> 1);
	if (held->balance == 0)
		reader->damaged = true;
	return !reader->damaged;
}

static uint8 *
write_holding(uint8 *out, const EcoHeld *held)
{
	*out++ = (uint8) held->len;
	memcpy(out, held->id, held->len);
	out += held->len;
	eco_varint_write(&out, (uint64) held->balance << 1 | (held->is_pass ? 1 : 0));
	return out;
}

size_t
eco_held_put(const EcoSection *section, bool more, const EcoHeld *held, uint8 *out)
{
	EcoReader	reader;
	EcoHeld		other = {.id = ""};
	bool		keep = held->balance > 0;
	bool		was_more;
	uint8	   *at = out;

	*at++ = more;
	eco_held_read(&reader, section, &was_more);
	while (eco_held_next(&reader, &other))
	{
		int			order = compare_ids(held, other.id, other.len);

		if (order <= 0 && keep)
		{
			at = write_holding(at, held);
			keep = false;
		}
		if (order != 0)
			at = write_holding(at, &other);
	}
	if (keep)
		at = write_holding(at, held);
	return reader.damaged ? 0 : at - out;
}
