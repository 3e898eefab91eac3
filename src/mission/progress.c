/*
 * progress.c
 *		How far a user is in missions: the section of the account, and how it is read.
 */
#include "postgres.h"

#include "core/varint.h"
#include "mission/progress.h"

static int
compare(const EcoProgress *a, int32 number, int64 period)
{
	if (a->number != number)
		return a->number < number ? -1 : 1;
	return a->period < period ? -1 : a->period > period;
}

bool
eco_progress_read(const EcoSection *section, EcoProgresses *all)
{
	EcoReader	reader = {.at = section->data, .end = section->data + section->len};

	all->n = 0;
	if (section->len == 0)
		return true;
	if (section->version != ECO_PROGRESS_VERSION || section->len > ECO_PROGRESS_ROOM)
		return false;
	while (reader.at < reader.end && !reader.damaged)
	{
		EcoProgress *record = &all->records[all->n];
		uint64		value;

		record->number = (int32) eco_varint_read(&reader, PG_INT32_MAX);
		record->period = eco_unzigzag(eco_varint_read(&reader, UINT32_MAX));
		value = eco_varint_read(&reader, PG_INT64_MAX);
		record->progress = (int64) (value >> 2);
		record->state = (EcoProgressState) (value & 3);
		record->just_now = false;
		if (record->number == 0 || record->state >= ECO_MISSION_STATES ||
			(all->n > 0 && compare(record - 1, record->number, record->period) >= 0))
			return false;
		all->n++;
	}
	return !reader.damaged;
}

int
eco_progress_write(const EcoProgresses *all, uint8 *out)
{
	uint8	   *at = out;

	for (int i = 0; i < all->n; i++)
	{
		const EcoProgress *record = &all->records[i];
		uint8		one[3 * ECO_VARINT_MAX];
		uint8	   *end = one;

		eco_varint_write(&end, (uint64) record->number);
		eco_varint_write(&end, eco_zigzag(record->period));
		eco_varint_write(&end, (uint64) record->progress << 2 | record->state);
		if (at + (end - one) > out + ECO_PROGRESS_ROOM)
			return -1;
		memcpy(at, one, end - one);
		at += end - one;
	}
	return (int) (at - out);
}

/* The first one that is not less. */
static int
place_of(const EcoProgresses *all, int32 number, int64 period)
{
	int			i = 0;

	while (i < all->n && compare(&all->records[i], number, period) < 0)
		i++;
	return i;
}

EcoProgress *
eco_progress_find(EcoProgresses *all, int32 number, int64 period)
{
	int			i = place_of(all, number, period);

	return i < all->n && compare(&all->records[i], number, period) == 0 ? &all->records[i] : NULL;
}

EcoProgress *
eco_progress_add(EcoProgresses *all, int32 number, int64 period)
{
	int			i = place_of(all, number, period);

	if (all->n == ECO_PROGRESS_RECORDS)
		return NULL;
	memmove(&all->records[i + 1], &all->records[i], sizeof(EcoProgress) * (all->n - i));
	all->n++;
	all->records[i] = (EcoProgress)
	{
		.number = number, .period = period, .state = ECO_MISSION_ACTIVE
	};
	return &all->records[i];
}
