/*
 * cursor.c
 *		A position of a reader of all journals.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "ledger/entry.h"
#include "ledger/installation.h"
#include "realtime/cursor.h"
#include "realtime/flush.h"

#define VERSION_MARK "3|"

/* the newest entry's position, transaction id and hash are empty when there is none */
enum
{
	PART_VERSION,
	PART_CLUSTER,
	PART_INSTALLATION,
	PART_NEWEST_POSITION,
	PART_NEWEST_ID,
	PART_NEWEST_HASH,
	PART_OLD,
	PARTS_OUTSIDE_PAIR,
	PART_NEW = PARTS_OUTSIDE_PAIR,
	PART_POSITION,
	PART_USER,
	PART_SEQ,
	MAX_PARTS
};

typedef struct Parts
{
	int			n;
	const char *start[MAX_PARTS + 1];	/* each ends a byte before the next */
} Parts;

const EcoPlace eco_place_before_all = {-1, PG_INT64_MIN, 0};

int
eco_place_compare(const EcoPlace *a, const EcoPlace *b)
{
	if (a->position != b->position)
		return a->position < b->position ? -1 : 1;
	if (a->user_id != b->user_id)
		return a->user_id < b->user_id ? -1 : 1;
	return (a->seq > b->seq) - (a->seq < b->seq);
}

/*
 * A crash gives out transaction ids again of which nothing had reached the
 * disk.  A cursor must not know such ids as ended, so what the transactions
 * that had ended in the caller's snapshot wrote to WAL is flushed here.
 */
static TimeLineID
flushed_timeline(void)
{
	TimeLineID	timeline;

	if (RecoveryInProgress())
	{
		(void) GetXLogReplayRecPtr(&timeline);
		return timeline;
	}
	eco_flush_all();
	return GetWALInsertionTimeLine();
}

char *
eco_cursor_here(int64 *number)
{
	EcoInstallation here;

	eco_installation_read(&here);
	*number = here.number;
	return psprintf(UINT64_FORMAT ".%u|%u.%u.%lld", (uint64) here.system, flushed_timeline(),
					here.database, here.extension, (long long) here.number);
}

static bool
split(const char *written, Parts *parts)
{
	parts->n = 0;
	for (const char *at = written;; at++)
	{
		if (at == written || at[-1] == '|')
		{
			if (parts->n == MAX_PARTS)
				return false;
			parts->start[parts->n++] = at;
		}
		if (*at == '\0')
		{
			parts->start[parts->n] = at + 1;
			return parts->n == PARTS_OUTSIDE_PAIR || parts->n == MAX_PARTS;
		}
	}
}

static bool
read_number(const Parts *parts, int part, int64 *number)
{
	const char *start = parts->start[part];
	char	   *end;

	errno = 0;
	*number = strtoll(start, &end, 10);
	return errno == 0 && end > start && end == parts->start[part + 1] - 1;
}

static EcoSnapshot *
read_snapshot(const Parts *parts, int part)
{
	return eco_snapshot_parse(parts->start[part], parts->start[part + 1] - 1);
}

static bool
is_empty(const Parts *parts, int part)
{
	return parts->start[part] == parts->start[part + 1] - 1;
}

static bool
read_newest(const Parts *parts, EcoWitness *newest)
{
	EcoPlace   *place = &newest->place;
	const char *id = parts->start[PART_NEWEST_ID];
	const char *hash = parts->start[PART_NEWEST_HASH];
	const EcoJournal *journal;

	if (is_empty(parts, PART_NEWEST_POSITION))
		return is_empty(parts, PART_NEWEST_ID) && is_empty(parts, PART_NEWEST_HASH);
	if (!read_number(parts, PART_NEWEST_POSITION, &place->position) ||
		!eco_transaction_id_parse(pnstrdup(id, hash - 1 - id), &journal, &place->user_id,
								  &place->seq) ||
		parts->start[PART_OLD] - 1 - hash != ECO_WITNESS_HASH * 2 ||
		strspn(hash, "0123456789abcdef") != ECO_WITNESS_HASH * 2)
		return false;
	newest->journal = journal->letter;
	(void) hex_decode(hash, ECO_WITNESS_HASH * 2, (char *) newest->hash);
	return true;
}

EcoCursorRead
eco_cursor_parse(const char *written, const char *here, EcoCursor *cursor)
{
	Parts		parts;
	const char *place;

	memset(cursor, 0, sizeof(*cursor));
	cursor->told = cursor->newest.place = eco_place_before_all;
	if (strcmp(written, "start") == 0)
	{
		cursor->old = eco_snapshot_nowhere();
		return ECO_CURSOR_READ;
	}
	if (!split(written, &parts) || strncmp(written, VERSION_MARK, strlen(VERSION_MARK)) != 0)
		return ECO_CURSOR_NONE;
	cursor->old = read_snapshot(&parts, PART_OLD);
	if (cursor->old == NULL || !read_newest(&parts, &cursor->newest))
		return ECO_CURSOR_NONE;
	if (parts.n == MAX_PARTS)
	{
		cursor->new = read_snapshot(&parts, PART_NEW);
		if (cursor->new == NULL || !read_number(&parts, PART_POSITION, &cursor->told.position) ||
			!read_number(&parts, PART_USER, &cursor->told.user_id) ||
			!read_number(&parts, PART_SEQ, &cursor->told.seq))
			return ECO_CURSOR_NONE;
	}
	place = parts.start[PART_CLUSTER];
	if ((size_t) (parts.start[PART_NEWEST_POSITION] - 1 - place) != strlen(here) ||
		memcmp(place, here, strlen(here)) != 0)
		return ECO_CURSOR_FOREIGN;
	return ECO_CURSOR_READ;
}

char *
eco_cursor_text(const EcoCursor *cursor, const char *here)
{
	const EcoWitness *newest = &cursor->newest;
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, VERSION_MARK "%s|", here);
	if (newest->journal == 0)
		appendStringInfoString(&out, "||");
	else
	{
		char		hash[ECO_WITNESS_HASH * 2];

		(void) hex_encode((const char *) newest->hash, ECO_WITNESS_HASH, hash);
		appendStringInfo(&out, "%lld|%s|%.*s", (long long) newest->place.position,
						 eco_transaction_id(eco_journal_of(newest->journal), newest->place.user_id,
											newest->place.seq),
						 ECO_WITNESS_HASH * 2, hash);
	}
	appendStringInfo(&out, "|%s", eco_snapshot_text(cursor->old));
	if (cursor->new != NULL)
		appendStringInfo(&out, "|%s|%lld|%lld|%lld", eco_snapshot_text(cursor->new),
						 (long long) cursor->told.position, (long long) cursor->told.user_id,
						 (long long) cursor->told.seq);
	return out.data;
}
