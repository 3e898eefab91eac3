/*
 * witness.c
 *		The newest entry that a cursor counts as told, to know the data by.
 */
#include "postgres.h"

#include "ledger/entry.h"
#include "ledger/installation.h"
#include "realtime/witness.h"

#define FIRST_WIDTH 1024		/* of the search from the end, in positions */
#define WIDER 16

/* The row of an entry, or NULL. */
static bool
find_row(char letter, int64 user_id, int64 seq, EcoRow *row)
{
	const EcoJournal *journal = eco_journal_of(letter);
	Datum		key[2] = {Int64GetDatum(user_id), Int64GetDatum(seq)};

	return journal != NULL && eco_row_find(journal->table, user_id, 0, 2, key, row);
}

/* Copy the beginning of the hash, or what a damaged row has of it. */
static void
copy_hash(const EcoRow *row, uint8 hash[ECO_WITNESS_HASH])
{
	bytea	   *whole = DatumGetByteaPP(row->values[ECO_COL_HASH]);

	memset(hash, 0, ECO_WITNESS_HASH);
	memcpy(hash, VARDATA_ANY(whole), Min(ECO_WITNESS_HASH, VARSIZE_ANY_EXHDR(whole)));
}

EcoWitness
eco_witness_of(const EcoFeedEntry *entry)
{
	EcoWitness	witness = {.place = entry->place, .journal = entry->journal};
	EcoRow		row;

	if (find_row(witness.journal, witness.place.user_id, witness.place.seq, &row))
		copy_hash(&row, witness.hash);
	return witness;
}

/* Begin to read all that a snapshot sees behind a place. */
static EcoFeed *
read_behind(const EcoPlace *place, const EcoSnapshot *seen, int64 number)
{
	EcoCursor	cursor = {
		.old = eco_snapshot_nowhere(), .new = eco_snapshot_copy(seen), .told = *place
	};

	return eco_feed_begin(&cursor, number, false);
}

/* Look at windows of positions backwards from the end, until one has an entry. */
EcoWitness
eco_witness_newest(const EcoSnapshot *now, int64 number)
{
	int64		base = ECO_FIRST_POSITION(number);
	int64		length = (int64) now->xmax;
	EcoFeedEntry newest = {.journal = 0};

	for (int64 width = FIRST_WIDTH; newest.journal == 0; width *= WIDER)
	{
		EcoPlace	place = {base + Max(length - width, 0), PG_INT64_MIN, 0};
		EcoFeed    *feed = read_behind(&place, now, number);
		const EcoFeedEntry *entry;

		while ((entry = eco_feed_next(feed)) != NULL)
			newest = *entry;
		eco_feed_end(feed);
		if (width >= length)
			break;
	}
	if (newest.journal == 0)
		return (EcoWitness)
	{
		.place = eco_place_before_all
	};
	return eco_witness_of(&newest);
}

/*
 * Whether the witness is there and the same.  Of a pruned one only the account says
 * that it may have been pruned; it counts as the same unless an action behind it was
 * pruned as well.  A cursor from the start may not mind that, and of actions pruned
 * before a restore no transaction is known.
 */
static bool
is_the_same(const EcoCursor *cursor, int64 number, uint64 pruned_xact)
{
	const EcoWitness *witness = &cursor->newest;
	EcoAccount	account;
	EcoRow		row;
	uint8		hash[ECO_WITNESS_HASH];

	if (find_row(witness->journal, witness->place.user_id, witness->place.seq, &row))
	{
		copy_hash(&row, hash);
		return eco_row_int(&row, ECO_COL_POSITION) == witness->place.position &&
			memcmp(hash, witness->hash, ECO_WITNESS_HASH) == 0;
	}
	return eco_account_read(witness->place.user_id, &account) &&
		witness->place.seq <= account.pruned_seq &&
		(eco_snapshot_is_nowhere(cursor->old) || pruned_xact == 0 ||
		 ECO_FIRST_POSITION(number) + (int64) pruned_xact <= witness->place.position);
}

bool
eco_witness_holds(const EcoCursor *cursor, int64 number, uint64 pruned_xact)
{
	const EcoWitness *witness = &cursor->newest;
	EcoPlace	place = witness->place;
	EcoFeed    *feed;
	bool		alone;

	if (witness->journal == 0)
		place.position = ECO_FIRST_POSITION(number);
	else if (!is_the_same(cursor, number, pruned_xact))
		return false;
	if (eco_snapshot_is_nowhere(cursor->old))
		return true;
	feed = read_behind(&place, cursor->old, number);
	alone = eco_feed_next(feed) == NULL;
	eco_feed_end(feed);
	return alone;
}
