/*
 * prune.c
 *		Retention: old actions go behind a signed checkpoint of the stream.
 *
 * What stays of a pruned action: its part of the sums in pruned_stats, so that
 * parity is exact, the key of its id in pruned_actions, so that it is never
 * counted again, and the transaction of the newest in installations, so that no
 * cursor of changes() passes over it in silence.  The entry at the checkpoint
 * stays too, and every action whose successor is of another journal: that one is
 * verified against its hash.
 *
 * A stream with damage is left alone.  The whole of it is proved once, without any
 * account's lock; the prunes up to what was its newest entry then prove what they
 * go on by and read nothing else, so that many of them read a stream once.
 *
 * Many users are pruned by one call, one after the other, in one transaction.  What is
 * kept in memory is what goes of one of them: prune() asks for at most 100,000 actions.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/memutils.h"

#include "crash_point.h"
#include "errors.h"
#include "ledger/args.h"
#include "ledger/checkpoint.h"
#include "ledger/mark.h"
#include "ledger/stream.h"
#include "ledger/user.h"
#include "ledger/verify.h"
#include "play/gone.h"

PG_FUNCTION_INFO_V1(eco_prune_streams);

/* A user's prune on its way. */
typedef struct Prune
{
	int64		user_id;
	int64		upto;			/* the entry that is to be the checkpoint */
	int64		proved;			/* newest entry when all was proved just now */
	bool		sound;			/* false: damage, which is not signed */
	EcoAccount	account;
	EcoCheckpoint last;			/* seq 0: none */
	EcoCheckpoint next;
	int64		deleted;		/* actions that do not stay */
} Prune;

static Prune *read_args(FunctionCallInfo fcinfo, int *n);
static void prune_all(Prune *prunes, int n);
static bool prove(int64 user_id, int64 seq, int64 *proved);
static void prune_one(Prune *prune, EcoGoneFeed *feed);
static bool prove_part(Prune *prune, EcoGone *gone);
static void read_last(Prune *prune);
static bool sum_up(Prune *prune, EcoGone *gone);

/*
 * eco_prune_streams(user_ids bigint[], seqs bigint[]) returns bigint[]
 *		For each user the actions deleted; 0 when seq is not behind the last
 *		checkpoint, null for damage, which is not signed, or no account.
 */
Datum
eco_prune_streams(PG_FUNCTION_ARGS)
{
	int			n;
	Prune	   *prunes = read_args(fcinfo, &n);
	Datum	   *deleted = palloc(sizeof(Datum) * Max(n, 1));
	bool	   *damaged = palloc(sizeof(bool) * Max(n, 1));
	int			dims[1];
	int			lower[1] = {1};

	dims[0] = n;
	PreventCommandIfReadOnly("economy.prune()");
	prune_all(prunes, n);
	for (int i = 0; i < n; i++)
	{
		deleted[i] = Int64GetDatum(prunes[i].deleted);
		damaged[i] = !prunes[i].sound;
	}
	PG_RETURN_ARRAYTYPE_P(construct_md_array(deleted, damaged, n > 0 ? 1 : 0, dims, lower,
											 INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
											 TYPALIGN_DOUBLE));
}

/* Accounts are locked by ascending id, and each once. */
static Prune *
read_args(FunctionCallInfo fcinfo, int *n)
{
	static const char *const names[] = {"user_id", "seq"};
	Datum	   *values[2];
	int			counts[2];
	Prune	   *prunes;

	for (int a = 0; a < 2; a++)
	{
		bool	   *nulls;

		eco_require_arg(fcinfo, a, names[a]);
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(a), INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
						  TYPALIGN_DOUBLE, &values[a], &nulls, &counts[a]);
		for (int i = 0; i < counts[a]; i++)
			if (nulls[i])
				ECO_ERROR(ECO_NULL_ARGUMENT, errmsg("%s must not be null", names[a]));
	}
	*n = Min(counts[0], counts[1]);
	prunes = palloc0(sizeof(Prune) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
	{
		prunes[i].user_id = DatumGetInt64(values[0][i]);
		prunes[i].upto = DatumGetInt64(values[1][i]);
		if (counts[0] != counts[1] || (i > 0 && prunes[i].user_id <= prunes[i - 1].user_id))
			ECO_ERROR(ECO_INVALID_ARGUMENT,
					  errmsg("users must be in ascending order, with a seq each"));
	}
	return prunes;
}

static void
prune_all(Prune *prunes, int n)
{
	static EcoTable *const tables[] = {
		&eco_keys_to_keep, &eco_stream_checkpoints, &eco_audit_checkpoints,
		&eco_pruned_stats, &eco_feeds_to_tell, &eco_user_records, NULL
	};
	EcoOpenTables *open = eco_stream_open(ECO_WRITE, ECO_ALL_USERS, tables);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "economy prune",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	EcoGoneFeed feed;

	eco_gone_feed_begin(&feed);
	for (int i = 0; i < n; i++, MemoryContextReset(context))
		prunes[i].sound = prove(prunes[i].user_id, prunes[i].upto, &prunes[i].proved);
	for (int i = 0; i < n; i++, MemoryContextReset(context))
		prune_one(&prunes[i], &feed);
	eco_gone_feed_tell(&feed);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	eco_tables_close(open);
}

/*
 * Prove the stream, unless that was done up to seq.  False when it is damaged;
 * *proved is its newest entry, if it was looked at.
 */
static bool
prove(int64 user_id, int64 seq, int64 *proved)
{
	EcoAccount	account;
	EcoCheckpoint last;

	if (!eco_account_read(user_id, &account) || seq <= account.pruned_seq || seq > account.seq)
		return true;
	if (eco_checkpoint_read(user_id, &last) && last.valid && seq <= last.proved_seq)
		return true;
	return eco_stream_is_sound(user_id, proved);
}

static void
prune_one(Prune *prune, EcoGoneFeed *feed)
{
	EcoGone    *gone = eco_gone_begin(prune->user_id, feed);

	prune->sound &= eco_account_lock_newest(prune->user_id, &prune->account);
	if (!prune->sound || prune->upto <= prune->account.pruned_seq)
		return;
	prune->sound = prove_part(prune, gone);
	if (!prune->sound)
		return;
	prune->deleted = eco_gone_write(gone);
	ECO_CRASH_POINT("prune:after_delete");
	CommandCounterIncrement();
	eco_snapshot_renew();
	eco_checkpoint_gone(prune->user_id, prune->next.gone);
	eco_checkpoint_write(&prune->account, &prune->next);
}

/* The account is locked: what is to be signed, and what to be deleted. */
static bool
prove_part(Prune *prune, EcoGone *gone)
{
	int64		seq = prune->upto;

	if (seq > prune->account.seq)
		ECO_ERROR(ECO_ENTRY_NOT_FOUND,
				  errmsg("user %lld has no entry %lld", (long long) prune->user_id,
						 (long long) seq));
	read_last(prune);
	prune->next.seq = seq;
	prune->next.proved_seq = Max(prune->last.proved_seq, prune->proved);
	/* what has come since it was proved is for the next prune */
	return seq <= prune->next.proved_seq &&
		eco_stream_part_is_sound(&prune->account, &prune->last, seq) && sum_up(prune, gone);
}

/*
 * Read the last checkpoint, or what stands for it before the first prune: who
 * the user was, and nothing gone.
 */
static void
read_last(Prune *prune)
{
	EcoUserRecord user;

	if (eco_checkpoint_read(prune->account.user_id, &prune->last))
		return;
	memset(&prune->last, 0, sizeof(EcoCheckpoint));
	prune->last.valid = true;
	eco_user_record(prune->account.user_id, &user);
	memcpy(prune->last.links_before, user.first_hash, ECO_HASH_LEN);
}

/*
 * The state at the next checkpoint, and both chains up to there: they go on from
 * the last one, whose own entry need not stay.  False when that entry is not what
 * was signed.
 */
static bool
sum_up(Prune *prune, EcoGone *gone)
{
	const EcoCheckpoint *last = &prune->last;
	EcoCheckpoint *next = &prune->next;
	EcoStream  *stream = eco_stream_begin(prune->account.user_id, Max(last->seq - 1, 0));
	const EcoJournal *journal;
	const EcoRow *row;
	bool		before = false; /* the entry before is an action */
	bool		met = last->seq == 0;	/* the entry at the last checkpoint */
	bool		sound = true;

	memcpy(next->links_before, last->links_before, ECO_HASH_LEN);
	memcpy(next->links, last->links_before, ECO_HASH_LEN);
	memcpy(next->gone_keys, last->gone_keys, ECO_HASH_LEN);
	memcpy(next->archived, last->archived, ECO_HASH_LEN);
	while (sound && (row = eco_stream_next(stream, &journal)) != NULL &&
		   eco_row_int(row, ECO_COL_SEQ) <= next->seq)
	{
		bool		is_action = journal == &eco_actions;

		if (before && is_action)
			eco_gone_take(gone, next->gone_keys);
		else
			memcpy(next->links_before, next->links, ECO_HASH_LEN);
		eco_entry_hash(journal, row, next->links_before, next->links);
		sound = eco_row_int(row, ECO_COL_SEQ) == last->seq ?
			memcmp(next->links, last->links, ECO_HASH_LEN) == 0 : met;
		met = true;
		before = is_action;
		if (sound && is_action)
			eco_gone_see(gone, row);
		if (!sound || eco_row_int(row, ECO_COL_SEQ) < next->seq)
			continue;
		next->gold = eco_row_int(row, ECO_COL_GOLD);
		next->xp = eco_row_int(row, ECO_COL_XP);
		memcpy(next->hash, VARDATA_ANY(DatumGetByteaPP(row->values[ECO_COL_HASH])), ECO_HASH_LEN);
	}
	eco_stream_end(stream);
	return sound;
}
