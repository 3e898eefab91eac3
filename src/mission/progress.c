/*
 * progress.c
 *		How far a user is in missions: the section of the account, and how it is read.
 */
#include "postgres.h"

#include "core/varint.h"
#include "mission/progress.h"

#define RECORD_MAX	(5 * ECO_VARINT_MAX)	/* without what is kept */
#define RECORD_MIN	3
#define ACTIVE_SINCE ECO_MISSION_STATES

static int
compare(const EcoProgress *a, int32 number, int64 period)
{
	if (a->number != number)
		return a->number < number ? -1 : 1;
	return a->period < period ? -1 : a->period > period;
}

static int
compare_two(const void *a, const void *b)
{
	const EcoProgress *other = b;

	return compare(a, other->number, other->period);
}

static void
make_room(EcoProgresses *all, int n)
{
	if (n <= all->room)
		return;
	all->room = Max(n, 2 * all->room);
	if (all->records == NULL)
		all->records = MemoryContextAlloc(all->context, sizeof(EcoProgress) * all->room);
	else
		all->records = repalloc(all->records, sizeof(EcoProgress) * all->room);
}

/* What is kept of a record, where it stands.  False: damage. */
static bool
read_kept(EcoReader *reader, EcoProgress *record)
{
	record->number -= ECO_PROGRESS_NUMBERS;
	record->kept_len = (int) eco_varint_read(reader, ECO_PROGRESS_KEPT);
	if (record->kept_len == 0 || reader->end - reader->at < record->kept_len)
		return false;
	record->kept = (uint8 *) reader->at;
	reader->at += record->kept_len;
	return true;
}

/* Add the records, which are in order. */
static bool
read_records(EcoReader *reader, bool in_row, EcoProgresses *all)
{
	int			first = all->n;

	/* and one to be added */
	make_room(all, first + (int) (reader->end - reader->at) / RECORD_MIN + 1);
	while (reader->at < reader->end && !reader->damaged)
	{
		EcoProgress *record = &all->records[all->n];
		uint64		value;

		if (all->n == all->room)
			return false;
		record->kept_len = 0;
		record->kept = NULL;
		record->kept_own = false;
		record->number = (int32) eco_varint_read(reader, PG_INT32_MAX);
		record->period = eco_unzigzag(eco_varint_read(reader, UINT32_MAX));
		value = eco_varint_read(reader, PG_INT64_MAX);
		record->progress = (int64) (value >> 2);
		record->state = (EcoProgressState) (value & 3);
		record->since = record->state == ECO_MISSION_ACTIVE ? 0 :
			(int64) eco_varint_read(reader, PG_INT64_MAX);
		if (record->state == ACTIVE_SINCE)
		{
			record->state = ECO_MISSION_ACTIVE;
			if (record->since == 0)
				return false;
		}
		if (record->number >= ECO_PROGRESS_NUMBERS && !read_kept(reader, record))
			return false;
		record->in_row = in_row;
		record->is_new = false;
		record->just_now = false;
		if (record->number == 0 ||
			(all->n > first && compare(record - 1, record->number, record->period) >= 0))
			return false;
		all->n++;
	}
	return !reader->damaged;
}

bool
eco_progress_read(const EcoSection *section, EcoProgresses *all)
{
	EcoReader	reader = {.at = section->data, .end = section->data + section->len};

	all->n = 0;
	all->has_row = false;
	if (section->len == 0)
		return true;
	if (section->version != ECO_PROGRESS_VERSION || section->len > ECO_PROGRESS_ROOM ||
		*reader.at > 1)
		return false;
	all->has_row = *reader.at++ == 1;
	return read_records(&reader, false, all);
}

bool
eco_progress_read_row(const bytea *row, EcoProgresses *all)
{
	EcoReader	reader = {.at = (const uint8 *) VARDATA_ANY(row)};

	reader.end = reader.at + VARSIZE_ANY_EXHDR(row);
	if (!read_records(&reader, true, all))
		return false;
	qsort(all->records, all->n, sizeof(EcoProgress), compare_two);
	for (int i = 1; i < all->n; i++)
		if (compare_two(&all->records[i - 1], &all->records[i]) == 0)
			return false;
	return true;
}

static int
write_record(const EcoProgress *record, uint8 *out)
{
	uint8	   *at = out;
	int			state = record->state == ECO_MISSION_ACTIVE && record->since > 0 ?
	ACTIVE_SINCE : (int) record->state;

	eco_varint_write(&at, (uint64) record->number +
					 (record->kept_len > 0 ? ECO_PROGRESS_NUMBERS : 0));
	eco_varint_write(&at, eco_zigzag(record->period));
	eco_varint_write(&at, (uint64) record->progress << 2 | (uint64) state);
	if (state != ECO_MISSION_ACTIVE)
		eco_varint_write(&at, (uint64) record->since);
	if (record->kept_len > 0)
	{
		eco_varint_write(&at, (uint64) record->kept_len);
		memcpy(at, record->kept, record->kept_len);
		at += record->kept_len;
	}
	return (int) (at - out);
}

/* The room that it needs at most. */
static int
record_max(const EcoProgress *record)
{
	return RECORD_MAX + record->kept_len;
}

int
eco_progress_write(EcoProgresses *all, uint8 *out)
{
	int			len = 1;

	for (int i = 0; i < all->n; i++)
	{
		EcoProgress *record = &all->records[i];
		uint8		one[RECORD_MAX + ECO_PROGRESS_KEPT];
		int			more;

		if (record->in_row)
			continue;
		more = write_record(record, one);
		if (len + more > ECO_PROGRESS_ROOM)
			record->in_row = all->has_row = true;
		else
		{
			memcpy(out + len, one, more);
			len += more;
		}
	}
	out[0] = all->has_row;
	return len == 1 && !all->has_row ? 0 : len;
}

bytea *
eco_progress_write_row(const EcoProgresses *all)
{
	Size		room = VARHDRSZ;
	bytea	   *row;
	uint8	   *out;
	int			len = 0;

	for (int i = 0; i < all->n; i++)
		room += record_max(&all->records[i]);
	row = palloc(room);
	out = (uint8 *) VARDATA(row);
	for (int i = 0; i < all->n; i++)
		if (all->records[i].in_row)
			len += write_record(&all->records[i], out + len);
	SET_VARSIZE(row, VARHDRSZ + len);
	return row;
}

/* The first one that is not less. */
static int
place_of(const EcoProgresses *all, int32 number, int64 period)
{
	int			low = 0;
	int			high = all->n;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (compare(&all->records[middle], number, period) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

EcoProgress *
eco_progress_find(EcoProgresses *all, int32 number, int64 period)
{
	int			i = place_of(all, number, period);

	return i < all->n && compare(&all->records[i], number, period) == 0 ? &all->records[i] : NULL;
}

EcoProgress *
eco_progress_last(EcoProgresses *all, int32 number)
{
	int			i = place_of(all, number + 1, PG_INT64_MIN) - 1;

	return i >= 0 && all->records[i].number == number ? &all->records[i] : NULL;
}

EcoProgress *
eco_progress_add(EcoProgresses *all, int32 number, int64 period)
{
	int			i = place_of(all, number, period);

	make_room(all, all->n + 1);
	memmove(&all->records[i + 1], &all->records[i], sizeof(EcoProgress) * (all->n - i));
	all->n++;
	all->records[i] = (EcoProgress)
	{
		.number = number, .period = period, .state = ECO_MISSION_ACTIVE, .is_new = true
	};
	return &all->records[i];
}

uint8 *
eco_progress_keep(EcoProgresses *all, EcoProgress *record)
{
	if (!record->kept_own)
	{
		uint8	   *own = MemoryContextAlloc(all->context, ECO_PROGRESS_KEPT);

		if (record->kept_len > 0)
			memcpy(own, record->kept, record->kept_len);
		record->kept = own;
		record->kept_own = true;
	}
	return record->kept;
}

void
eco_progress_keep_nothing(EcoProgress *record)
{
	if (record->kept_own)
		pfree(record->kept);
	record->kept = NULL;
	record->kept_own = false;
	record->kept_len = 0;
}

void
eco_progress_clear(EcoProgresses *all)
{
	for (int i = 0; i < all->n; i++)
		eco_progress_keep_nothing(&all->records[i]);
	all->n = 0;
}
