/*
 * leave.c
 *		Entries that leave their journal for a table of the operator's.
 *
 * The rows go by SQL (archive.sql): they are read, and handed to whoever asked for them,
 * in the transaction that deletes them here.  What stays of them is archive.c.
 *
 * Below the checkpoint the chain of the entries that are left (links) is made anew; what
 * it is made from is proved first, by the one that was signed before, or, behind the
 * last checkpoint, as a prune proves it.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "crash_point.h"
#include "errors.h"
#include "ledger/archive.h"
#include "ledger/guard.h"
#include "ledger/installation.h"
#include "ledger/mark.h"
#include "ledger/stream.h"
#include "ledger/user.h"
#include "ledger/verify.h"

#define WRITE_ROWS 64			/* at once */

PG_FUNCTION_INFO_V1(eco_archive_streams);

/* An entry that goes. */
typedef struct Going
{
	int64		seq;
	pg_uuid_t	key;
	EcoKept		kept;
	ItemPointerData tid;
	bool		keep_hash;
	uint8		hash[ECO_HASH_LEN];
} Going;

/* The entries of one user and journal that go at once. */
typedef struct Archive
{
	const EcoJournal *journal;
	int64		user_id;
	int64		from;			/* where the last archive of the journal ended */
	int64		upto;			/* the first entry that stays */
	int64		freezes;
	const int64 *stays;			/* seqs of entries in between that stay,
								 * rising */
	int			nstays;
	Datum		nothing;		/* an empty text */
	EcoAccount	account;
	EcoCheckpoint last;			/* seq 0: none */
	EcoCheckpoint next;
	EcoGoneFeed *feed;
	int64		newest;			/* as in the feed */
	int			n;
	int			max;
	Going	   *going;
	uint8		digest[ECO_HASH_LEN];
} Archive;

/* The arguments, an element each for a user. */
typedef struct Arrays
{
	int			n;
	Datum	   *users;
	Datum	   *uptos;
	Datum	   *freezes;
	int			nstays;
	Datum	   *stay_users;
	int64	   *stay_seqs;
} Arrays;

static void read_arrays(FunctionCallInfo fcinfo, Arrays *arrays);
static bool archive_one(Archive *archive);
static bool prove(Archive *archive);
static bool walk(Archive *archive);
static void write_all(Archive *archive);

/*
 * eco_archive_streams(journal text, user_ids bigint[], upto_seqs bigint[],
 *		freezes bigint[], stay_user_ids bigint[], stay_seqs bigint[]) returns bigint[]
 *		For each user the entries deleted, or null for damage, which is not signed.
 */
Datum
eco_archive_streams(PG_FUNCTION_ARGS)
{
	static EcoTable *const tables[] = {
		&eco_archived_keys_to_keep, &eco_archived_hashes, &eco_archives, &eco_stream_checkpoints,
		&eco_audit_checkpoints, &eco_pruned_stats, &eco_feeds_to_tell, &eco_user_records, NULL
	};
	EcoText		letter = eco_text_arg(fcinfo, 0, "journal", 1);
	const EcoJournal *journal = eco_journal_of(letter.data[0]);
	Arrays		arrays;
	Datum	   *deleted;
	bool	   *damaged;
	int			stay = 0;
	int			dims[1];
	int			lower[1] = {1};
	EcoGoneFeed feed;
	EcoOpenTables *open;
	MemoryContext context;
	MemoryContext caller;

	if (journal == NULL || !journal->leaves)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("there is no such journal to archive"));
	read_arrays(fcinfo, &arrays);
	PreventCommandIfReadOnly("economy.archive()");
	deleted = palloc(sizeof(Datum) * Max(arrays.n, 1));
	damaged = palloc(sizeof(bool) * Max(arrays.n, 1));
	open = eco_stream_open(ECO_WRITE, ECO_ALL_USERS, tables);
	context = AllocSetContextCreate(CurrentMemoryContext, "economy archive",
									ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	eco_gone_feed_begin(&feed);
	for (int i = 0; i < arrays.n; i++, MemoryContextReset(context))
	{
		Archive		archive = {
			.journal = journal, .user_id = DatumGetInt64(arrays.users[i]),
			.upto = DatumGetInt64(arrays.uptos[i]), .feed = &feed,
			.freezes = DatumGetInt64(arrays.freezes[i]), .nothing = CStringGetTextDatum("")
		};

		archive.stays = &arrays.stay_seqs[stay];
		while (stay < arrays.nstays &&
			   DatumGetInt64(arrays.stay_users[stay]) == archive.user_id)
			stay++;
		archive.nstays = (int) (&arrays.stay_seqs[stay] - archive.stays);
		damaged[i] = !archive_one(&archive);
		deleted[i] = Int64GetDatum(archive.n);
	}
	eco_gone_feed_tell(&feed);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	eco_tables_close(open);
	dims[0] = arrays.n;
	PG_RETURN_ARRAYTYPE_P(construct_md_array(deleted, damaged, arrays.n > 0 ? 1 : 0, dims, lower,
											 INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
											 TYPALIGN_DOUBLE));
}

static Datum *
read_array(FunctionCallInfo fcinfo, int argno, const char *name, int *n)
{
	Datum	   *values;
	bool	   *nulls;

	eco_require_arg(fcinfo, argno, name);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argno), INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &values, &nulls, n);
	for (int i = 0; i < *n; i++)
		if (nulls[i])
			ECO_ERROR(ECO_NULL_ARGUMENT, errmsg("%s must not have nulls", name));
	return values;
}

/* Accounts are locked by ascending id, and each once. */
static void
read_arrays(FunctionCallInfo fcinfo, Arrays *arrays)
{
	int			nuptos;
	int			nfreezes;
	int			nseqs;
	Datum	   *seqs;

	arrays->users = read_array(fcinfo, 1, "user_ids", &arrays->n);
	arrays->uptos = read_array(fcinfo, 2, "upto_seqs", &nuptos);
	arrays->freezes = read_array(fcinfo, 3, "freezes", &nfreezes);
	arrays->stay_users = read_array(fcinfo, 4, "stay_user_ids", &arrays->nstays);
	seqs = read_array(fcinfo, 5, "stay_seqs", &nseqs);
	if (nuptos != arrays->n || nfreezes != arrays->n || nseqs != arrays->nstays)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("arrays must have an element for each user"));
	for (int i = 1; i < arrays->n; i++)
		if (DatumGetInt64(arrays->users[i]) <= DatumGetInt64(arrays->users[i - 1]))
			ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("users must be in ascending order"));
	arrays->stay_seqs = palloc(sizeof(int64) * Max(nseqs, 1));
	for (int i = 0; i < nseqs; i++)
		arrays->stay_seqs[i] = DatumGetInt64(seqs[i]);
}

static bool
archive_one(Archive *archive)
{
	if (!eco_account_lock_newest(archive->user_id, &archive->account))
		return false;
	archive->from = eco_archive_end(archive->journal, archive->user_id);
	if (archive->upto <= archive->from)
		return true;
	if (archive->upto > archive->account.seq)
		ECO_ERROR(ECO_ENTRY_NOT_FOUND,
				  errmsg("user %lld has no entry %lld", (long long) archive->user_id,
						 (long long) archive->upto));
	if (!prove(archive) || !walk(archive))
		return false;
	if (archive->n == 0)
		return true;
	write_all(archive);
	ECO_CRASH_POINT("archive:after_delete");
	CommandCounterIncrement();
	eco_snapshot_renew();
	eco_archive_digest(archive->user_id, archive->next.archived);
	eco_checkpoint_write(&archive->account, &archive->next);
	ECO_CRASH_POINT("archive:after_checkpoint");
	return true;
}

/*
 * What the last checkpoint signed of what was archived and pruned, and the entries from
 * there to the next one.  Those in front of it are proved as they are walked through.
 */
static bool
prove(Archive *archive)
{
	EcoCheckpoint *last = &archive->last;
	EcoCheckpoint *next = &archive->next;
	uint8		digest[ECO_HASH_LEN];

	if (!eco_checkpoint_read(archive->user_id, last))
	{
		memset(last, 0, sizeof(EcoCheckpoint));
		last->valid = true;
	}
	eco_archive_digest(archive->user_id, digest);
	if (memcmp(digest, last->archived, ECO_HASH_LEN) != 0)
		return false;
	*next = *last;
	next->seq = Max(last->seq, archive->upto);
	/* a prune proves the whole before it goes by this */
	return eco_stream_part_is_sound(&archive->account, last, next->seq);
}

static bool
goes(const Archive *archive, const EcoJournal *journal, int64 seq)
{
	if (journal != archive->journal || seq < archive->from || seq >= archive->upto)
		return false;
	for (int i = 0; i < archive->nstays; i++)
		if (archive->stays[i] == seq)
			return false;
	return true;
}

static bool
copy_hash(const EcoRow *row, uint8 hash[ECO_HASH_LEN])
{
	bytea	   *stored = DatumGetByteaPP(row->values[ECO_COL_HASH]);

	if (VARSIZE_ANY_EXHDR(stored) != ECO_HASH_LEN)
		return false;
	memcpy(hash, VARDATA_ANY(stored), ECO_HASH_LEN);
	return true;
}

static bool
take(Archive *archive, const EcoRow *row)
{
	Going	   *going;

	if (archive->n == archive->max)
	{
		archive->max = Max(64, archive->max * 2);
		archive->going = archive->going == NULL ?
			palloc(sizeof(Going) * archive->max) :
			repalloc_huge(archive->going, sizeof(Going) * archive->max);
	}
	going = &archive->going[archive->n++];
	going->seq = eco_row_int(row, ECO_COL_SEQ);
	going->tid = row->tid;
	going->keep_hash = false;
	going->kept = (EcoKept)
	{
		.product_id = archive->nothing
	};
	if (archive->journal->keep != NULL)
		archive->journal->keep(row, &going->kept);
	eco_archive_key_of(archive->journal, row, &going->key);
	eco_archive_digest_add(archive->journal, row, archive->digest);
	archive->newest = Max(archive->newest, eco_gone_feed_xact(archive->feed, row));
	return copy_hash(row, going->hash);
}

/*
 * Go through the stream up to the next checkpoint: what goes, the chain over what stays,
 * and the state there.  False when what the last checkpoint signed is not what is there.
 */
static bool
walk(Archive *archive)
{
	const EcoCheckpoint *last = &archive->last;
	EcoCheckpoint *next = &archive->next;
	EcoStream  *stream = eco_stream_begin(archive->user_id, ECO_STREAM_ALL);
	EcoUserRecord user;
	uint8		links[ECO_HASH_LEN];	/* as the last checkpoint has it */
	const EcoJournal *journal;
	const EcoRow *row;
	bool		sound = true;
	bool		met = last->seq == 0;
	bool		ended = false;

	eco_user_record(archive->user_id, &user);
	memcpy(links, user.first_hash, ECO_HASH_LEN);
	memcpy(next->links, user.first_hash, ECO_HASH_LEN);
	while (sound && !ended && (row = eco_stream_next(stream, &journal)) != NULL)
	{
		int64		seq = eco_row_int(row, ECO_COL_SEQ);
		Going	   *before = archive->n > 0 ? &archive->going[archive->n - 1] : NULL;

		if (seq <= last->seq)
			eco_entry_hash(journal, row, links, links);
		if (seq == last->seq)
			met = memcmp(links, last->links, ECO_HASH_LEN) == 0;
		sound = seq < last->seq || met;
		if (sound && goes(archive, journal, seq))
		{
			sound = take(archive, row);
			continue;
		}
		if (before != NULL && before->seq == seq - 1)
			before->keep_hash = eco_journal_is_signed(journal);
		memcpy(next->links_before, next->links, ECO_HASH_LEN);
		eco_entry_hash(journal, row, next->links, next->links);
		ended = seq == next->seq;
		if (!ended)
			continue;
		next->gold = eco_row_int(row, ECO_COL_GOLD);
		next->xp = eco_row_int(row, ECO_COL_XP);
		/* no chain has a hash, which is proved by what follows, or was signed */
		sound &= copy_hash(row, next->hash) &&
			(seq > last->seq || memcmp(next->hash, last->hash, ECO_HASH_LEN) == 0);
	}
	eco_stream_end(stream);
	return sound && ended;
}

/* Rows of a table for each entry that goes, so many at once as are worth it. */
static void
each_rows(Archive *archive, EcoTable *table, bool (*fill) (EcoRow *row, const Going *going),
		  void (*write) (EcoRow **rows, int n, int64 user_id))
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "economy archived",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	EcoRow	   *rows[WRITE_ROWS];
	int			n = 0;

	for (int i = 0; i < archive->n; i++)
	{
		EcoRow	   *row = palloc(sizeof(EcoRow));

		CHECK_FOR_INTERRUPTS();
		eco_row_init(row, table);
		/* the first column of all */
		eco_row_set(row, ECO_COL_USER_ID, Int64GetDatum(archive->user_id));
		if (fill(row, &archive->going[i]))
			rows[n++] = row;
		if (n < WRITE_ROWS)
			continue;
		write(rows, n, archive->user_id);
		n = 0;
		MemoryContextReset(context);
	}
	if (n > 0)
		write(rows, n, archive->user_id);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

static bool
fill_entry(EcoRow *row, const Going *going)
{
	row->tid = going->tid;
	eco_row_set(row, ECO_COL_SEQ, Int64GetDatum(going->seq));
	return true;
}

static bool
fill_key(EcoRow *row, const Going *going)
{
	const EcoKept *kept = &going->kept;

	eco_row_set(row, AKY_PRODUCT_ID, kept->product_id);
	eco_row_set(row, AKY_KEY, UUIDPGetDatum(&going->key));
	eco_row_set(row, AKY_SEQ, Int64GetDatum(going->seq));
	if (kept->quantity == 0)
		return true;
	eco_row_set(row, AKY_CREATED_AT, TimestampTzGetDatum(kept->created_at));
	eco_row_set(row, AKY_MONETARY, Int64GetDatum(kept->monetary));
	eco_row_set(row, AKY_QUANTITY, Int64GetDatum(kept->quantity));
	if (kept->stock_units != 0)
		eco_row_set(row, AKY_STOCK_UNITS, Int64GetDatum(kept->stock_units));
	return true;
}

static bool
fill_hash(EcoRow *row, const Going *going)
{
	eco_row_set(row, AHS_SEQ, Int64GetDatum(going->seq));
	eco_row_set(row, AHS_HASH, eco_bytea(going->hash, ECO_HASH_LEN));
	return going->keep_hash;
}

static void
delete_entries(Archive *archive)
{
	PG_TRY();
	{
		eco_guard_let_prune(true);
		each_rows(archive, archive->journal->table, fill_entry, eco_rows_delete);
	}
	PG_CATCH();
	{
		eco_guard_let_prune(false);
		PG_RE_THROW();
	}
	PG_END_TRY();
	eco_guard_let_prune(false);
}

static void
write_all(Archive *archive)
{
	EcoRow		row;

	archive->feed->newest = Max(archive->feed->newest, archive->newest);
	delete_entries(archive);
	ECO_CRASH_POINT("archive:after_entries");
	each_rows(archive, &eco_archived_keys_to_keep, fill_key, eco_rows_insert);
	each_rows(archive, &eco_archived_hashes, fill_hash, eco_rows_insert);
	eco_row_init(&row, &eco_archives);
	eco_row_set(&row, ARC_USER_ID, Int64GetDatum(archive->user_id));
	eco_row_set(&row, ARC_JOURNAL, CStringGetTextDatum(archive->journal->table->name));
	eco_row_set(&row, ARC_UPTO_SEQ, Int64GetDatum(archive->upto));
	eco_row_set(&row, ARC_FROM_SEQ, Int64GetDatum(archive->from));
	eco_row_set(&row, ARC_ENTRIES, Int64GetDatum(archive->n));
	eco_row_set(&row, ARC_FREEZES, Int64GetDatum(archive->freezes));
	eco_row_set(&row, ARC_DIGEST, eco_bytea(archive->digest, ECO_HASH_LEN));
	eco_row_set(&row, ARC_CREATED_AT, TimestampTzGetDatum(eco_now()));
	eco_row_insert(&row, archive->user_id);
}
