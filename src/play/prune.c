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
 * Many users are pruned by one call: what is deleted of all of them is one statement.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "crash_point.h"
#include "errors.h"
#include "ledger/args.h"
#include "ledger/checkpoint.h"
#include "ledger/guard.h"
#include "ledger/mark.h"
#include "ledger/stream.h"
#include "ledger/user.h"
#include "ledger/verify.h"
#include "play/pruned.h"

/* written by prune_sql alone */
static EcoTable pruned_stats = {.name = "pruned_stats"};
static EcoTable installations = {.name = "installations"};

/* deletes, counts and keeps the keys in one statement, so that they cannot differ */
static const char *const prune_sql =
"WITH gone AS ("
" DELETE FROM economy.user_actions t USING unnest($1, $2) g (user_id, seq)"
" WHERE t.user_id = g.user_id AND t.seq = g.seq"
" RETURNING t.*), keys AS ("
" INSERT INTO economy.pruned_actions (user_id, key, seq)"
" SELECT g.user_id, economy_internal.action_key(g.game, g.action_id), g.seq FROM gone g), sums AS ("
" INSERT INTO economy.pruned_stats AS s"
" SELECT g.user_id, g.game, (g.created_at AT TIME ZONE 'UTC')::date,"
" count(*), count(*) FILTER (WHERE g.outcome = 'win'),"
" count(*) FILTER (WHERE g.outcome = 'loss'), count(*) FILTER (WHERE g.outcome = 'draw'),"
" max(g.win), sum(g.bet), sum(g.win), max(g.created_at)"
" FROM gone g GROUP BY 1, 2, 3"
" ON CONFLICT ON CONSTRAINT pruned_stats_pkey DO UPDATE SET"
" total = s.total + excluded.total, wins = s.wins + excluded.wins,"
" losses = s.losses + excluded.losses, draws = s.draws + excluded.draws,"
" max_win = greatest(s.max_win, excluded.max_win),"
" bet_sum = s.bet_sum + excluded.bet_sum, win_sum = s.win_sum + excluded.win_sum,"
" last_action_at = greatest(s.last_action_at, excluded.last_action_at)), feed AS ("
" UPDATE economy.installations i SET pruned_xact = greatest(i.pruned_xact, g.xact),"
" pruned_by = pg_catalog.pg_current_xact_id()::text::bigint"
" FROM (SELECT max(xact) AS xact, (SELECT economy_internal.position_of(1)) AS here FROM gone"
" WHERE position >= (SELECT economy_internal.position_of(1))) g"
" WHERE i.number = g.here >> 48 AND g.xact IS NOT NULL)"
" SELECT count(*) FROM gone";

PG_FUNCTION_INFO_V1(eco_prune_streams);

/* A user's prune on its way. */
typedef struct Prune
{
	int64		user_id;
	int64		upto;			/* the entry that is to be the checkpoint */
	int64		proved;			/* newest entry when all was proved just now */
	bool		sound;			/* false: damage, which is not signed */
	bool		begun;			/* there is a checkpoint to write */
	EcoAccount	account;
	EcoCheckpoint last;			/* seq 0: none */
	EcoCheckpoint next;
	int64		deleted;		/* actions that do not stay */
} Prune;

/* The actions of all users that do not stay. */
typedef struct Gone
{
	MemoryContext context;
	int			n;
	int			max;
	Datum	   *user_ids;
	Datum	   *seqs;
} Gone;

static Prune *read_args(FunctionCallInfo fcinfo, int *n);
static void prune_all(Prune *prunes, int n);
static bool prove(int64 user_id, int64 seq, int64 *proved);
static void prove_part(Prune *prune, Gone *gone);
static void read_last(Prune *prune);
static bool sum_up(Prune *prune, Gone *gone);
static void note_gone(Gone *gone, int64 user_id, int64 seq);
static void delete_actions(const Prune *prunes, const Gone *gone);

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
		&eco_pruned_actions, &eco_stream_checkpoints, &eco_audit_checkpoints,
		&pruned_stats, &installations, &eco_user_records, NULL
	};
	EcoOpenTables *open = eco_stream_open(ECO_WRITE, tables);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "economy prune",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Gone		gone = {.context = caller};

	for (int i = 0; i < n; i++, MemoryContextReset(context))
		prunes[i].sound = prove(prunes[i].user_id, prunes[i].upto, &prunes[i].proved);
	for (int i = 0; i < n; i++, MemoryContextReset(context))
	{
		MemoryContextSwitchTo(caller);
		prunes[i].sound &= eco_account_lock_newest(prunes[i].user_id, &prunes[i].account);
		MemoryContextSwitchTo(context);
		prove_part(&prunes[i], &gone);
	}
	MemoryContextSwitchTo(caller);
	delete_actions(prunes, &gone);
	ECO_CRASH_POINT("prune:after_delete");
	CommandCounterIncrement();
	eco_snapshot_renew();
	MemoryContextSwitchTo(context);
	for (int i = 0; i < n; i++, MemoryContextReset(context))
	{
		if (!prunes[i].begun)
			continue;
		eco_checkpoint_gone(prunes[i].user_id, prunes[i].next.gone);
		eco_checkpoint_write(&prunes[i].account, &prunes[i].next);
	}
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

/* The account is locked: what is to be signed, and what to be deleted. */
static void
prove_part(Prune *prune, Gone *gone)
{
	int64		seq = prune->upto;
	int			before = gone->n;

	if (!prune->sound || seq <= prune->account.pruned_seq)
		return;
	if (seq > prune->account.seq)
		ECO_ERROR(ECO_ENTRY_NOT_FOUND,
				  errmsg("user %lld has no entry %lld", (long long) prune->user_id,
						 (long long) seq));
	read_last(prune);
	prune->next.seq = seq;
	prune->next.proved_seq = Max(prune->last.proved_seq, prune->proved);
	/* what has come since it was proved is for the next prune */
	prune->sound = prune->begun = seq <= prune->next.proved_seq &&
		eco_stream_part_is_sound(&prune->account, &prune->last, seq) && sum_up(prune, gone);
	if (prune->sound)
		return;
	gone->n = before;
	prune->deleted = 0;
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

static EcoText
text_in(const EcoRow *row, const char *column)
{
	int			i = ECO_HEADER_COLUMNS;
	struct varlena *value;

	while (strcmp(row->table->columns[i].name, column) != 0)
		i++;
	value = DatumGetByteaPP(row->values[i]);

	return (EcoText)
	{
		VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), PointerGetDatum(value)
	};
}

/* What an entry's action is called; false for an entry of another journal. */
static bool
action_named(const EcoJournal *journal, const EcoRow *row, EcoText *game, EcoText *action_id)
{
	if (strcmp(journal->table->name, "user_actions") != 0)
		return false;
	*game = text_in(row, "game");
	*action_id = text_in(row, "action_id");
	return true;
}

/*
 * The state at the next checkpoint, and both chains up to there: they go on from
 * the last one, whose own entry need not stay.  False when that entry is not what
 * was signed.
 */
static bool
sum_up(Prune *prune, Gone *gone)
{
	const EcoCheckpoint *last = &prune->last;
	EcoCheckpoint *next = &prune->next;
	int64		user_id = prune->account.user_id;
	EcoStream  *stream = eco_stream_begin(user_id, Max(last->seq - 1, 0));
	const EcoJournal *journal;
	const EcoRow *row;
	int64		before = 0;		/* the entry before, an action */
	pg_uuid_t	key;
	bool		met = last->seq == 0;	/* the entry at the last checkpoint */
	bool		sound = true;

	memcpy(next->links_before, last->links_before, ECO_HASH_LEN);
	memcpy(next->links, last->links_before, ECO_HASH_LEN);
	memcpy(next->gone_keys, last->gone_keys, ECO_HASH_LEN);
	while (sound && (row = eco_stream_next(stream, &journal)) != NULL &&
		   eco_row_int(row, ECO_COL_SEQ) <= next->seq)
	{
		EcoText		game;
		EcoText		action_id;
		bool		is_action = action_named(journal, row, &game, &action_id);

		if (before > 0 && is_action)
		{
			eco_checkpoint_add_key(user_id, &key, before, next->gone_keys);
			note_gone(gone, user_id, before);
			prune->deleted++;
		}
		else
			memcpy(next->links_before, next->links, ECO_HASH_LEN);
		eco_entry_hash(journal, row, next->links_before, next->links);
		sound = eco_row_int(row, ECO_COL_SEQ) == last->seq ?
			memcmp(next->links, last->links, ECO_HASH_LEN) == 0 : met;
		met = true;
		before = is_action ? eco_row_int(row, ECO_COL_SEQ) : 0;
		if (sound && is_action)
			eco_pruned_key(&game, &action_id, &key);
		if (!sound || eco_row_int(row, ECO_COL_SEQ) < next->seq)
			continue;
		next->gold = eco_row_int(row, ECO_COL_GOLD);
		next->xp = eco_row_int(row, ECO_COL_XP);
		memcpy(next->hash, VARDATA_ANY(DatumGetByteaPP(row->values[ECO_COL_HASH])), ECO_HASH_LEN);
	}
	eco_stream_end(stream);
	return sound;
}

static void
note_gone(Gone *gone, int64 user_id, int64 seq)
{
	MemoryContext old_context = MemoryContextSwitchTo(gone->context);

	if (gone->max == 0)
	{
		gone->max = 1024;
		gone->user_ids = palloc(sizeof(Datum) * gone->max);
		gone->seqs = palloc(sizeof(Datum) * gone->max);
	}
	else if (gone->n == gone->max)
	{
		gone->max *= 2;
		gone->user_ids = repalloc_huge(gone->user_ids, sizeof(Datum) * gone->max);
		gone->seqs = repalloc_huge(gone->seqs, sizeof(Datum) * gone->max);
	}
	MemoryContextSwitchTo(old_context);
	gone->user_ids[gone->n] = Int64GetDatum(user_id);
	gone->seqs[gone->n++] = Int64GetDatum(seq);
}

static Datum
int8_array(Datum *values, int n)
{
	return PointerGetDatum(construct_array(values, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

static int64
run_delete(const Gone *gone)
{
	Oid			types[2] = {INT8ARRAYOID, INT8ARRAYOID};
	Datum		values[2];

	values[0] = int8_array(gone->user_ids, gone->n);
	values[1] = int8_array(gone->seqs, gone->n);
	return DatumGetInt64(eco_run_as_owner(prune_sql, 2, types, values));
}

static void
delete_actions(const Prune *prunes, const Gone *gone)
{
	volatile int64 deleted = 0;

	if (gone->n == 0)
		return;
	PG_TRY();
	{
		eco_guard_let_prune(true);
		deleted = run_delete(gone);
	}
	PG_CATCH();
	{
		eco_guard_let_prune(false);
		PG_RE_THROW();
	}
	PG_END_TRY();
	eco_guard_let_prune(false);
	if (deleted != gone->n)
		ECO_ERROR(ECO_SCHEMA_DAMAGED,
				  errmsg("%lld actions were deleted, not %d", (long long) deleted, gone->n),
				  errdetail("They are of users from %lld on.",
							(long long) DatumGetInt64(gone->user_ids[0])),
				  errhint("A trigger or a rule on economy.user_actions keeps rows "
						  "from being deleted."));
}
