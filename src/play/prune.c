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
 * A stream with damage is left alone.  The whole of it is proved once, without the
 * account's lock; the prunes up to what was its newest entry then prove what they
 * go on by and read nothing else, so that many of them read a stream once.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/uuid.h"

#include "crash_point.h"
#include "errors.h"
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
" DELETE FROM economy.user_actions t WHERE t.user_id = $1 AND t.seq >= $3 AND t.seq < $2"
" AND NOT EXISTS (SELECT FROM economy.ledger l WHERE l.user_id = $1 AND l.seq = t.seq + 1"
" AND l.seq > $3 AND l.seq <= $2 AND l.journal <> 'user_actions')"
" RETURNING t.*), keys AS ("
" INSERT INTO economy.pruned_actions (user_id, key, seq)"
" SELECT g.user_id, economy.action_key(g.game, g.action_id), g.seq FROM gone g), sums AS ("
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
" FROM (SELECT max(xact) AS xact, (SELECT economy.position_of(1)) AS here FROM gone"
" WHERE position >= (SELECT economy.position_of(1))) g"
" WHERE i.number = g.here >> 48 AND g.xact IS NOT NULL)"
" SELECT count(*) FROM gone";

PG_FUNCTION_INFO_V1(eco_prune_stream);

/* A prune on its way. */
typedef struct Prune
{
	EcoAccount	account;
	EcoCheckpoint last;			/* seq 0: none */
	EcoCheckpoint next;
	int64		deleted;		/* actions that do not stay */
} Prune;

static bool prove(int64 user_id, int64 seq, int64 *proved);
static void read_last(Prune *prune);
static bool sum_up(Prune *prune);
static void delete_actions(const Prune *prune);

/*
 * eco_prune_stream(user_id bigint, seq bigint) returns bigint
 *		Actions deleted; 0 when seq is not behind the last checkpoint, null when
 *		the stream is damaged: damage is not signed.
 */
Datum
eco_prune_stream(PG_FUNCTION_ARGS)
{
	static EcoTable *const tables[] = {&eco_pruned_actions, &eco_stream_checkpoints, &eco_audit_checkpoints,
	&pruned_stats, &installations, &eco_user_records, NULL};
	EcoOpenTables *open;
	Prune		prune = {0};
	int64		user_id;
	int64		seq;
	int64		proved = 0;
	bool		sound;

	eco_require_arg(fcinfo, 0, "user_id");
	eco_require_arg(fcinfo, 1, "seq");
	user_id = PG_GETARG_INT64(0);
	seq = PG_GETARG_INT64(1);
	PreventCommandIfReadOnly("economy.prune()");
	open = eco_stream_open(ECO_WRITE, tables);
	sound = prove(user_id, seq, &proved);
	if (!eco_account_lock_newest(user_id, &prune.account))
		ECO_ERROR(ECO_USER_NOT_FOUND, errmsg("user %lld does not exist", (long long) user_id));
	if (sound && seq > prune.account.pruned_seq)
	{
		if (seq > prune.account.seq)
			ECO_ERROR(ECO_ENTRY_NOT_FOUND,
					  errmsg("user %lld has no entry %lld", (long long) user_id, (long long) seq));
		read_last(&prune);
		prune.next.seq = seq;
		prune.next.proved_seq = Max(prune.last.proved_seq, proved);
		/* what has come since it was proved is for the next prune */
		sound = seq <= prune.next.proved_seq &&
			eco_stream_part_is_sound(&prune.account, &prune.last, seq) && sum_up(&prune);
		if (sound)
		{
			delete_actions(&prune);
			ECO_CRASH_POINT("prune:after_delete");
			CommandCounterIncrement();
			eco_snapshot_renew();
			eco_checkpoint_gone(user_id, prune.next.gone);
			eco_checkpoint_write(&prune.account, &prune.next);
		}
	}
	eco_tables_close(open);
	if (!sound)
		PG_RETURN_NULL();
	PG_RETURN_INT64(prune.deleted);
}

/* False when the stream is damaged; *proved is its newest entry, when it was looked at. */
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

/* Before the first prune there is who the user was, and nothing is gone. */
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
	struct varlena *text;

	while (strcmp(row->table->columns[i].name, column) != 0)
		i++;
	text = DatumGetByteaPP(row->values[i]);

	return (EcoText)
	{
		VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text), PointerGetDatum(text)
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
sum_up(Prune *prune)
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
	while (sound && (row = eco_stream_next(stream, &journal)) != NULL && eco_row_int(row, ECO_COL_SEQ) <= next->seq)
	{
		EcoText		game;
		EcoText		action_id;
		bool		is_action = action_named(journal, row, &game, &action_id);

		if (before > 0 && is_action)
		{
			eco_checkpoint_add_key(user_id, &key, before, next->gone_keys);
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
delete_actions(const Prune *prune)
{
	Oid			types[3] = {INT8OID, INT8OID, INT8OID};
	Datum		values[3] = {Int64GetDatum(prune->account.user_id), Int64GetDatum(prune->next.seq),
	Int64GetDatum(prune->last.seq)};
	volatile int64 deleted = 0;

	PG_TRY();
	{
		eco_guard_let_prune(true);
		deleted = DatumGetInt64(eco_run_as_owner(prune_sql, 3, types, values));
	}
	PG_CATCH();
	{
		eco_guard_let_prune(false);
		PG_RE_THROW();
	}
	PG_END_TRY();
	eco_guard_let_prune(false);
	if (deleted != prune->deleted)
		ECO_ERROR(ECO_SCHEMA_DAMAGED,
				  errmsg("%lld actions of user %lld were deleted, not %lld", (long long) deleted,
						 (long long) prune->account.user_id, (long long) prune->deleted),
				  errhint("A trigger or a rule on economy.user_actions keeps rows from being deleted."));
}
