/*
 * units_section.c
 *		The section of a user's account that has the units bought of counted products.
 */
#include "postgres.h"

#include "datatype/timestamp.h"

#include "shop/units_section.h"

#define HAS(period) (1 << ((period) - ECO_PERIOD_DAY))

/* What stands in a shorter period stands in a longer one, unless that is left out. */
bool
eco_units_sound(const EcoUnitsOf *of)
{
	const int64 *units = of->units;

	for (int period = ECO_PERIOD_DAY; period <= ECO_PERIOD_MONTH; period++)
		if (units[period] < 0 || units[period] > units[ECO_PERIOD_EVER] ||
			(units[period] > 0 && units[period] < units[ECO_PERIOD_DAY]))
			return false;
	return units[ECO_PERIOD_EVER] > 0 && units[ECO_PERIOD_EVER] <= ECO_UNITS_MOST &&
		IS_VALID_DATE(of->last_on);
}

void
eco_units_count(EcoUnitsOf *of, int32 quantity, int32 date)
{
	bool		first = of->units[ECO_PERIOD_EVER] == 0;
	int32		last = first ? date : of->last_on;

	for (int period = ECO_PERIOD_EVER; period <= ECO_PERIOD_MONTH; period++)
	{
		int64		now = eco_period_of_day(period, date);
		int64		before = eco_period_of_day(period, last);

		if (first || now > before)
			of->units[period] = quantity;
		/* what is left out stays so: it is not known any more */
		else if (now == before && of->units[period] > 0)
			of->units[period] += quantity;
	}
	of->last_on = Max(last, date);
}

void
eco_units_read(EcoReader *reader, const EcoSection *section, bool *more)
{
	*more = false;
	*reader = (EcoReader)
	{
		.at = section->data, .end = section->data + section->len
	};
	if (section->len == 0)
		return;
	reader->damaged = section->version != ECO_UNITS_VERSION ||
		section->len > ECO_UNITS_ROOM || *reader->at > 1;
	*more = *reader->at++ == 1;
}

static int
compare_ids(const EcoUnitsOf *a, const char *id, int len)
{
	int			order = memcmp(a->id, id, Min(a->len, len));

	return order != 0 ? order : a->len - len;
}

/* A counter is never 0 where it stands. */
static int64
read_counter(EcoReader *reader)
{
	int64		units = (int64) eco_varint_read(reader, PG_INT64_MAX);

	if (units == 0)
		reader->damaged = true;
	return units;
}

/* of: the one before, or of no length */
bool
eco_units_next(EcoReader *reader, EcoUnitsOf *of)
{
	const uint8 *at = reader->at;
	uint8		has;

	if (reader->damaged || at >= reader->end)
		return false;
	reader->damaged = at[0] == 0 || at[0] > ECO_UNITS_ID || reader->end - at < 2 + at[0] ||
		compare_ids(of, (const char *) at + 1, at[0]) >= 0;
	if (reader->damaged)
		return false;
	of->id = (const char *) at + 1;
	of->len = at[0];
	has = at[1 + of->len];
	reader->at += 2 + of->len;
	of->units[ECO_PERIOD_EVER] = read_counter(reader);
	of->last_on = (int32) eco_unzigzag(eco_varint_read(reader, UINT32_MAX));
	for (int period = ECO_PERIOD_DAY; period <= ECO_PERIOD_MONTH; period++)
		of->units[period] = has & HAS(period) ? read_counter(reader) : 0;
	if (has >= HAS(ECO_PERIOD_MONTH + 1) || !eco_units_sound(of))
		reader->damaged = true;
	return !reader->damaged;
}

static uint8 *
write_product(uint8 *out, const EcoUnitsOf *of)
{
	uint8	   *has;

	*out++ = (uint8) of->len;
	memcpy(out, of->id, of->len);
	has = out + of->len;
	out = has + 1;
	*has = 0;
	eco_varint_write(&out, (uint64) of->units[ECO_PERIOD_EVER]);
	eco_varint_write(&out, eco_zigzag(of->last_on));
	for (int period = ECO_PERIOD_DAY; period <= ECO_PERIOD_MONTH; period++)
		if (of->units[period] > 0)
		{
			*has |= (uint8) HAS(period);
			eco_varint_write(&out, (uint64) of->units[period]);
		}
	return out;
}

/* Leave out what is over; now: the period that it is, by period. */
static void
leave_out(EcoUnitsOf *of, const int64 *now)
{
	for (int period = ECO_PERIOD_DAY; period <= ECO_PERIOD_MONTH; period++)
		if (of->units[period] > 0 && eco_period_of_day(period, of->last_on) < now[period])
			of->units[period] = 0;
}

size_t
eco_units_put(const EcoSection *section, bool more, const EcoUnitsOf *of, bool keep,
			  int32 date, uint8 *out)
{
	EcoReader	reader;
	EcoUnitsOf	other = {.id = ""};
	bool		was_more;
	uint8	   *at = out;
	int64		now[ECO_PERIOD_MONTH + 1];

	for (int period = ECO_PERIOD_EVER; period <= ECO_PERIOD_MONTH; period++)
		now[period] = eco_period_of_day(period, date);
	*at++ = more;
	eco_units_read(&reader, section, &was_more);
	while (eco_units_next(&reader, &other))
	{
		int			order = compare_ids(of, other.id, other.len);

		if (order <= 0 && keep)
		{
			at = write_product(at, of);
			keep = false;
		}
		if (order == 0)
			continue;
		leave_out(&other, now);
		at = write_product(at, &other);
	}
	if (keep)
		at = write_product(at, of);
	return reader.damaged ? 0 : at - out;
}
