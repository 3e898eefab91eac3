/*
 * stream.c
 *		One user's entries of all journals, in the order of seq.
 *
 * Each journal is scanned by its primary key, one row ahead, and the scans are
 * merged.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "ledger/stream.h"

typedef struct Source
{
	const EcoJournal *journal;
	EcoScan    *scan;
	EcoRow		row;
	bool		has_row;
	MemoryContext context;		/* of the row's values */
} Source;

struct EcoStream
{
	int64		user_id;
	int64		after;			/* the entries wanted are behind it */
	int			begun;			/* journals that were looked at */
	bool		in_turn;		/* the others are, when none of these goes on */
	int			nsources;
	Source	   *handed_out;		/* its row is the caller's until the next call */
	Source		sources[ECO_MAX_JOURNALS];
};

static void advance(Source *source);

static int
append(EcoTable **tables, int n, EcoTable *const *list)
{
	for (int i = 0; list != NULL && list[i] != NULL && n < ECO_MAX_OPEN; i++)
		tables[n++] = list[i];
	return n;
}

/* The account behind the journals, as calls have it: an update locks them in this order. */
static EcoOpenTables *
open_those_there(EcoAccess access, int64 user_id, EcoTable *account, bool telling,
				 EcoTable *const *further)
{
	EcoTable   *tables[ECO_MAX_OPEN + 1];
	EcoTable   *const last[] = {account, NULL};
	int			n = 0;

	for (int i = 0; i < eco_journal_count(); i++)
	{
		const EcoJournal *journal = eco_journal_get(i);
		EcoTable   *const table[] = {journal->table, NULL};

		if (!eco_journal_exists(journal))
			continue;
		n = append(tables, n, table);
		n = append(tables, n, telling ? journal->tell_tables : NULL);
	}
	n = append(tables, n, last);
	n = append(tables, n, further);
	tables[n] = NULL;
	return eco_user_tables_open(access, user_id, tables);
}

/* An update may bring a journal while the others are waited for. */
static EcoOpenTables *
open_journals(EcoAccess access, int64 user_id, EcoTable *account, bool telling,
			  EcoTable *const *further)
{
	for (;;)
	{
		EcoOpenTables *open = open_those_there(access, user_id, account, telling, further);
		bool		all = true;

		for (int i = 0; i < eco_journal_count(); i++)
			all &= eco_table_is_open(eco_journal_get(i)->table) ||
				!eco_journal_exists(eco_journal_get(i));
		if (all)
			return open;
		eco_tables_close(open);
		CHECK_FOR_INTERRUPTS();
	}
}

EcoOpenTables *
eco_stream_open(EcoAccess access, int64 user_id, EcoTable *const *further)
{
	return open_journals(access, user_id, &eco_accounts, false, further);
}

EcoOpenTables *
eco_told_open(EcoAccess access, int64 user_id)
{
	return open_journals(access, user_id, &eco_accounts, true, NULL);
}

EcoOpenTables *
eco_tell_open(EcoAccess access)
{
	EcoTable   *tables[ECO_MAX_OPEN + 1];
	int			n = 0;

	for (int i = 0; i < eco_journal_count(); i++)
		if (eco_journal_reads_to_tell(eco_journal_get(i)))
			n = append(tables, n, eco_journal_get(i)->tell_tables);
	tables[n] = NULL;
	return eco_tables_open(access, tables);
}

EcoOpenTables *
eco_journals_open(EcoAccess access, int64 user_id, EcoTable *const *further)
{
	return open_journals(access, user_id, NULL, false, further);
}

/* Look at the next journal; it is a source when the user has entries there. */
static void
begin_source(EcoStream *stream, MemoryContext *spare)
{
	Source	   *source = &stream->sources[stream->nsources];
	Datum		key = Int64GetDatum(stream->user_id);

	source->journal = eco_journal_get(stream->begun++);
	if (!eco_table_is_open(source->journal->table))
		return;
	source->context = *spare != NULL ? *spare :
		AllocSetContextCreate(CurrentMemoryContext, "economy stream", ALLOCSET_DEFAULT_SIZES);
	source->scan = stream->after == ECO_STREAM_ALL ?
		eco_scan_begin(source->journal->table, stream->user_id, 0, 1, &key) :
		eco_scan_begin_after(source->journal->table, stream->user_id, 0, 1, &key, stream->after);
	advance(source);
	/* most users have nothing in most journals */
	*spare = source->has_row ? NULL : source->context;
	if (source->has_row)
		stream->nsources++;
	else
		eco_scan_end(source->scan);
}

static EcoStream *
make_stream(int64 user_id, int64 after)
{
	EcoStream  *stream = palloc(sizeof(EcoStream));

	stream->user_id = user_id;
	stream->after = after;
	stream->begun = stream->nsources = 0;
	stream->in_turn = false;
	stream->handed_out = NULL;
	return stream;
}

EcoStream *
eco_stream_begin(int64 user_id, int64 after)
{
	EcoStream  *stream = make_stream(user_id, after);
	MemoryContext spare = NULL;

	while (stream->begun < eco_journal_count())
		begin_source(stream, &spare);
	if (spare != NULL)
		MemoryContextDelete(spare);
	return stream;
}

EcoStream *
eco_stream_begin_in_turn(int64 user_id, int64 after)
{
	EcoStream  *stream = make_stream(user_id, after);

	stream->in_turn = true;
	return stream;
}

/* The source whose entry comes next; NULL: none has one. */
static Source *
first_of(EcoStream *stream)
{
	Source	   *best = NULL;

	for (int i = 0; i < stream->nsources; i++)
	{
		Source	   *source = &stream->sources[i];

		if (source->has_row &&
			(best == NULL || eco_row_int(&source->row, ECO_COL_SEQ) <
			 eco_row_int(&best->row, ECO_COL_SEQ)))
			best = source;
	}
	return best;
}

/* The same of a stream in turn: numbers have no gaps, so that one that follows is the next. */
static Source *
first_in_turn(EcoStream *stream)
{
	MemoryContext spare = NULL;
	Source	   *best = first_of(stream);

	while (stream->begun < eco_journal_count() &&
		   (best == NULL || eco_row_int(&best->row, ECO_COL_SEQ) > stream->after + 1))
	{
		begin_source(stream, &spare);
		best = first_of(stream);
	}
	if (spare != NULL)
		MemoryContextDelete(spare);
	return best;
}

const EcoRow *
eco_stream_next(EcoStream *stream, const EcoJournal **journal)
{
	Source	   *best;

	CHECK_FOR_INTERRUPTS();
	if (stream->handed_out != NULL)
		advance(stream->handed_out);
	best = stream->in_turn ? first_in_turn(stream) : first_of(stream);
	stream->handed_out = best;
	if (best == NULL)
		return NULL;
	if (stream->in_turn)
		stream->after = eco_row_int(&best->row, ECO_COL_SEQ);
	*journal = best->journal;
	return &best->row;
}

void
eco_stream_end(EcoStream *stream)
{
	for (int i = 0; i < stream->nsources; i++)
	{
		eco_scan_end(stream->sources[i].scan);
		MemoryContextDelete(stream->sources[i].context);
	}
	pfree(stream);
}

static void
advance(Source *source)
{
	MemoryContext old_context;

	MemoryContextReset(source->context);
	old_context = MemoryContextSwitchTo(source->context);
	source->has_row = eco_scan_next(source->scan, &source->row);
	MemoryContextSwitchTo(old_context);
}
