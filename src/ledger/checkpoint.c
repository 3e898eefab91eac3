/*
 * checkpoint.c
 *		Signed states of streams, behind which old actions may be deleted.
 *
 * What is signed is the canonical encoding (core/encode.h) of user_id, seq,
 * gold, experience_points and hash, under journal letter 'C'.
 *
 * An action whose successor is of another journal stays: a receipt is verified
 * against the hash of the entry before it.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "miscadmin.h"

#include "ledger/args.h"
#include "ledger/checkpoint.h"
#include "ledger/entry.h"
#include "ledger/keys.h"
#include "ledger/rows.h"
#include "settings.h"

#define CHECKPOINT_LETTER 'C'
#define CHECKPOINT_BYTES (ECO_ENCODED_HEADER + 4 * ECO_ENCODED_INT + ECO_ENCODED_BYTES(ECO_HASH_LEN))

enum
{
	CHK_USER_ID,
	CHK_SEQ,
	CHK_GOLD,
	CHK_XP,
	CHK_HASH,
	CHK_KEY_VERSION,
	CHK_SIGNATURE,
	CHK_CREATED_AT,
	CHK_COLUMNS
};

static EcoTable stream_checkpoints = {
	.name = "stream_checkpoints",
	.ncolumns = CHK_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"seq", INT8OID, true},
		{"gold", INT8OID, true},
		{"experience_points", INT8OID, true},
		{"hash", BYTEAOID, true},
		{"key_version", INT4OID, true},
		{"signature", BYTEAOID, true},
		{"created_at", TIMESTAMPTZOID, true},
	},
	.nkeys = 1,
	.keys = {{1, {CHK_USER_ID}}},
};

/* deletes and counts in one statement, so that the two cannot differ */
static const char *const prune_sql =
"WITH gone AS ("
" DELETE FROM economy.user_actions t WHERE t.user_id = $1 AND t.seq <= $2"
" AND NOT EXISTS (SELECT FROM economy.ledger l WHERE l.user_id = $1 AND l.seq = t.seq + 1"
" AND l.journal <> 'user_actions')"
" RETURNING t.*), kept AS ("
" INSERT INTO economy.pruned_stats AS s"
" SELECT g.user_id, g.game, count(*), count(*) FILTER (WHERE g.outcome = 'win'),"
" count(*) FILTER (WHERE g.outcome = 'loss'), count(*) FILTER (WHERE g.outcome = 'draw'),"
" max(g.win), sum(g.bet), sum(g.win), max(g.created_at)"
" FROM gone g GROUP BY g.user_id, g.game"
" ON CONFLICT ON CONSTRAINT pruned_stats_pkey DO UPDATE SET"
" total = s.total + excluded.total, wins = s.wins + excluded.wins,"
" losses = s.losses + excluded.losses, draws = s.draws + excluded.draws,"
" max_win = greatest(s.max_win, excluded.max_win),"
" bet_sum = s.bet_sum + excluded.bet_sum, win_sum = s.win_sum + excluded.win_sum,"
" last_action_at = greatest(s.last_action_at, excluded.last_action_at))"
" SELECT count(*) FROM gone";

static bool pruning = false;

PG_FUNCTION_INFO_V1(eco_make_checkpoint);
PG_FUNCTION_INFO_V1(eco_delete_pruned);

static void encode(EcoEncoder *enc, uint8 *buf, int64 user_id, const EcoCheckpoint *checkpoint);
static bool find_entry(int64 user_id, int64 seq, EcoCheckpoint *checkpoint);

bool
eco_pruning(void)
{
	return pruning;
}

bool
eco_checkpoint_read(int64 user_id, EcoCheckpoint *checkpoint)
{
	Datum		key = Int64GetDatum(user_id);
	EcoRow		row;
	bytea	   *hash;
	bytea	   *signature;
	uint8		buf[CHECKPOINT_BYTES];
	EcoEncoder	enc;
	EcoVerdict	verdict;

	if (!eco_row_find(&stream_checkpoints, user_id, 0, 1, &key, &row))
		return false;
	checkpoint->seq = eco_row_int(&row, CHK_SEQ);
	checkpoint->gold = eco_row_int(&row, CHK_GOLD);
	checkpoint->xp = eco_row_int(&row, CHK_XP);
	hash = DatumGetByteaPP(row.values[CHK_HASH]);
	checkpoint->valid = VARSIZE_ANY_EXHDR(hash) == ECO_HASH_LEN;
	memset(checkpoint->hash, 0, ECO_HASH_LEN);
	if (!checkpoint->valid)
		return true;
	memcpy(checkpoint->hash, VARDATA_ANY(hash), ECO_HASH_LEN);
	encode(&enc, buf, user_id, checkpoint);
	signature = DatumGetByteaPP(row.values[CHK_SIGNATURE]);
	verdict = eco_key_verify(DatumGetInt32(row.values[CHK_KEY_VERSION]), enc.buf, enc.len,
							 (const uint8 *) VARDATA_ANY(signature),
							 VARSIZE_ANY_EXHDR(signature));
	/* like a receipt's, a retired key's signature can no longer be told */
	checkpoint->valid = verdict == ECO_SIGNATURE_VALID || verdict == ECO_KEY_RETIRED;
	return true;
}

static void
encode(EcoEncoder *enc, uint8 *buf, int64 user_id, const EcoCheckpoint *checkpoint)
{
	eco_encode_begin(enc, buf, CHECKPOINT_BYTES, ECO_HASH_ALGO_VERSION, CHECKPOINT_LETTER);
	eco_encode_int(enc, user_id);
	eco_encode_int(enc, checkpoint->seq);
	eco_encode_int(enc, checkpoint->gold);
	eco_encode_int(enc, checkpoint->xp);
	eco_encode_bytes(enc, checkpoint->hash, ECO_HASH_LEN);
}

static bool
find_entry(int64 user_id, int64 seq, EcoCheckpoint *checkpoint)
{
	Datum		values[2] = {Int64GetDatum(user_id), Int64GetDatum(seq)};
	EcoRow		row;

	for (int i = 0; i < eco_journal_count(); i++)
	{
		bytea	   *hash;

		if (!eco_row_find(eco_journal_get(i)->table, user_id, 0, 2, values, &row))
			continue;
		hash = DatumGetByteaPP(row.values[ECO_COL_HASH]);
		if (VARSIZE_ANY_EXHDR(hash) != ECO_HASH_LEN)
			return false;
		checkpoint->seq = seq;
		checkpoint->gold = eco_row_int(&row, ECO_COL_GOLD);
		checkpoint->xp = eco_row_int(&row, ECO_COL_XP);
		memcpy(checkpoint->hash, VARDATA_ANY(hash), ECO_HASH_LEN);
		return true;
	}
	return false;
}

/*
 * eco_make_checkpoint(user_id bigint, seq bigint) returns void
 *		The caller holds the account.
 */
Datum
eco_make_checkpoint(PG_FUNCTION_ARGS)
{
	EcoCheckpoint checkpoint;
	EcoEncoder	enc;
	EcoRow		row;
	int64		user_id;
	int32		version;
	uint8		buf[CHECKPOINT_BYTES];
	uint8		signature[ECO_SIGNATURE_LEN];
	Datum		key;
	bool		exists;

	eco_require_arg(fcinfo, 0, "user_id");
	eco_require_arg(fcinfo, 1, "seq");
	user_id = PG_GETARG_INT64(0);
	key = Int64GetDatum(user_id);
	eco_snapshot_push();
	if (!find_entry(user_id, PG_GETARG_INT64(1), &checkpoint))
		ECO_ERROR(ECO_ENTRY_NOT_FOUND,
				  errmsg("user %lld has no entry %lld", (long long) user_id,
						 (long long) PG_GETARG_INT64(1)));
	encode(&enc, buf, user_id, &checkpoint);
	version = eco_key_active();
	eco_key_sign(version, enc.buf, enc.len, signature);

	exists = eco_row_find(&stream_checkpoints, user_id, 0, 1, &key, &row);
	if (!exists)
		eco_row_init(&row, &stream_checkpoints);
	eco_row_set(&row, CHK_USER_ID, key);
	eco_row_set(&row, CHK_SEQ, Int64GetDatum(checkpoint.seq));
	eco_row_set(&row, CHK_GOLD, Int64GetDatum(checkpoint.gold));
	eco_row_set(&row, CHK_XP, Int64GetDatum(checkpoint.xp));
	eco_row_set(&row, CHK_HASH, eco_bytea(checkpoint.hash, ECO_HASH_LEN));
	eco_row_set(&row, CHK_KEY_VERSION, Int32GetDatum(version));
	eco_row_set(&row, CHK_SIGNATURE, eco_bytea(signature, ECO_SIGNATURE_LEN));
	eco_row_set(&row, CHK_CREATED_AT, Int64GetDatum(eco_now()));
	if (exists)
		eco_row_update(&row, user_id);
	else
		eco_row_insert(&row, user_id);
	eco_snapshot_pop();
	PG_RETURN_VOID();
}

/*
 * eco_delete_pruned(user_id bigint, seq bigint) returns bigint
 */
Datum
eco_delete_pruned(PG_FUNCTION_ARGS)
{
	Oid			types[2] = {INT8OID, INT8OID};
	Datum		values[2];
	EcoCheckpoint checkpoint;
	bool		covered;
	int64		deleted;

	eco_require_arg(fcinfo, 0, "user_id");
	eco_require_arg(fcinfo, 1, "seq");
	values[0] = PG_GETARG_DATUM(0);
	values[1] = PG_GETARG_DATUM(1);
	eco_snapshot_push();
	covered = eco_checkpoint_read(PG_GETARG_INT64(0), &checkpoint) &&
		checkpoint.valid && checkpoint.seq >= PG_GETARG_INT64(1);
	eco_snapshot_pop();
	if (!covered)
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("no valid checkpoint covers entry %lld of user %lld",
						 (long long) PG_GETARG_INT64(1), (long long) PG_GETARG_INT64(0)),
				  errhint("economy.prune() makes one."));
	PG_TRY();
	{
		pruning = true;
		deleted = DatumGetInt64(eco_run_as_owner(prune_sql, 2, types, values));
	}
	PG_FINALLY();
	{
		pruning = false;
	}
	PG_END_TRY();
	PG_RETURN_INT64(deleted);
}
