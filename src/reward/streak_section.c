/*
 * streak_section.c
 *		The section of a user's account that has the daily streak as it is stored.
 */
#include "postgres.h"

#include "datatype/timestamp.h"
#include "mb/pg_wchar.h"

#include "reward/streak_section.h"

static bool
read_dates(EcoReader *reader, uint8 has, EcoStoredStreak *stored)
{
	int32	   *dates[ECO_STREAK_DATES] = {
		&stored->last_claim, &stored->last_grace, &stored->excused_to, &stored->paid_to
	};

	for (int i = 0; i < ECO_STREAK_DATES; i++)
	{
		int64		date = ECO_NO_DAY;

		if (has & 1 << i)
		{
			date = eco_unzigzag(eco_varint_read(reader, UINT32_MAX));
			if (!IS_VALID_DATE(date))
				return false;
		}
		*dates[i] = (int32) date;
	}
	return has >> ECO_STREAK_DATES == 0;
}

bool
eco_streak_read(const EcoSection *section, EcoStoredStreak *stored)
{
	EcoReader	reader = {.at = section->data + 1, .end = section->data + section->len};

	if (section->version != ECO_STREAK_VERSION)
		return false;
	stored->day = (int32) eco_varint_read(&reader, PG_INT32_MAX);
	stored->best = (int32) eco_varint_read(&reader, PG_INT32_MAX);
	if (!read_dates(&reader, *section->data, stored))
		return false;
	stored->last_seq = (int64) eco_varint_read(&reader, PG_INT64_MAX);
	stored->zone = (const char *) reader.at;
	stored->zone_len = (int) (reader.end - reader.at);
	return !reader.damaged && stored->zone_len > 0 && stored->zone_len <= ECO_STREAK_ZONE &&
		pg_encoding_verifymbstr(PG_UTF8, stored->zone, stored->zone_len) == stored->zone_len &&
		(stored->day == 0) == (stored->last_claim == ECO_NO_DAY);
}

size_t
eco_streak_write(const EcoStoredStreak *stored, uint8 *out)
{
	const int32 dates[ECO_STREAK_DATES] = {
		stored->last_claim, stored->last_grace, stored->excused_to, stored->paid_to
	};
	uint8	   *at = out + 1;

	out[0] = 0;
	eco_varint_write(&at, (uint64) stored->day);
	eco_varint_write(&at, (uint64) stored->best);
	for (int i = 0; i < ECO_STREAK_DATES; i++)
		if (dates[i] != ECO_NO_DAY)
		{
			out[0] |= (uint8) (1 << i);
			eco_varint_write(&at, eco_zigzag(dates[i]));
		}
	eco_varint_write(&at, (uint64) stored->last_seq);
	memcpy(at, stored->zone, stored->zone_len);
	return at + stored->zone_len - out;
}
