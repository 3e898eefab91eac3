/*
 * checkpoint.c
 *		Signed states of streams, behind which old actions may be deleted.
 *
 * What is signed is the canonical encoding (core/encode.h) of user_id, seq,
 * gold, experience_points, hash and links, under journal letter 'C'.  Links is
 * the hash of a chain over who the user was at registration (user.h) and the
 * entries up to seq that were left there: without it nobody could tell whether
 * one behind a gap was changed.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "crash_point.h"
#include "errors.h"
#include "ledger/checkpoint.h"
#include "ledger/keys.h"
#include "ledger/stream.h"
#include "ledger/user.h"
#include "settings.h"

#define CHECKPOINT_LETTER 'C'
#define CHECKPOINT_BYTES (ECO_ENCODED_HEADER + 4 * ECO_ENCODED_INT + 2 * ECO_ENCODED_BYTES(ECO_HASH_LEN))

enum
{
	CHK_USER_ID,
	CHK_SEQ,
	CHK_GOLD,
	CHK_XP,
	CHK_HASH,
	CHK_LINKS,
	CHK_KEY_VERSION,
	CHK_SIGNATURE,
	CHK_CREATED_AT,
	CHK_COLUMNS
};

EcoTable	eco_stream_checkpoints = {
	.name = "stream_checkpoints",
	.ncolumns = CHK_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"seq", INT8OID, true},
		{"gold", INT8OID, true},
		{"experience_points", INT8OID, true},
		{"hash", BYTEAOID, true},
		{"links", BYTEAOID, true},
		{"key_version", INT4OID, true},
		{"signature", BYTEAOID, true},
		{"created_at", TIMESTAMPTZOID, true},
	},
	.nkeys = 1,
	.keys = {{1, {CHK_USER_ID}}},
};

static bool pruning = false;

static bool read_hash(const EcoRow *row, int column, uint8 *hash);
static void sum_up(int64 user_id, int64 seq, EcoCheckpoint *checkpoint);
static void encode(EcoEncoder *enc, uint8 *buf, int64 user_id, const EcoCheckpoint *checkpoint);

bool
eco_pruning(void)
{
	return pruning;
}

void
eco_pruning_set(bool on)
{
	pruning = on;
}

bool
eco_checkpoint_read(int64 user_id, EcoCheckpoint *checkpoint)
{
	Datum		key = Int64GetDatum(user_id);
	EcoRow		row;
	bytea	   *signature;
	uint8		buf[CHECKPOINT_BYTES];
	EcoEncoder	enc;
	EcoVerdict	verdict;

	if (!eco_row_find(&eco_stream_checkpoints, user_id, 0, 1, &key, &row))
		return false;
	checkpoint->seq = eco_row_int(&row, CHK_SEQ);
	checkpoint->gold = eco_row_int(&row, CHK_GOLD);
	checkpoint->xp = eco_row_int(&row, CHK_XP);
	checkpoint->valid = read_hash(&row, CHK_HASH, checkpoint->hash) &&
		read_hash(&row, CHK_LINKS, checkpoint->links);
	if (!checkpoint->valid)
		return true;
	encode(&enc, buf, user_id, checkpoint);
	signature = DatumGetByteaPP(row.values[CHK_SIGNATURE]);
	verdict = eco_key_verify(DatumGetInt32(row.values[CHK_KEY_VERSION]), enc.buf, enc.len,
							 (const uint8 *) VARDATA_ANY(signature),
							 VARSIZE_ANY_EXHDR(signature));
	/* like a receipt's, a retired key's signature can no longer be told */
	checkpoint->valid = verdict == ECO_SIGNATURE_VALID || verdict == ECO_KEY_RETIRED;
	return true;
}

static bool
read_hash(const EcoRow *row, int column, uint8 *hash)
{
	bytea	   *stored = DatumGetByteaPP(row->values[column]);

	memset(hash, 0, ECO_HASH_LEN);
	if (VARSIZE_ANY_EXHDR(stored) != ECO_HASH_LEN)
		return false;
	memcpy(hash, VARDATA_ANY(stored), ECO_HASH_LEN);
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
	eco_encode_bytes(enc, checkpoint->links, ECO_HASH_LEN);
}

void
eco_checkpoint_take(EcoAccount *account, int64 seq)
{
	EcoCheckpoint checkpoint;
	EcoEncoder	enc;
	EcoRow		row;
	int32		version = eco_key_active();
	uint8		buf[CHECKPOINT_BYTES];
	uint8		signature[ECO_SIGNATURE_LEN];
	Datum		key = Int64GetDatum(account->user_id);
	bool		exists;

	sum_up(account->user_id, seq, &checkpoint);
	encode(&enc, buf, account->user_id, &checkpoint);
	eco_key_sign(version, enc.buf, enc.len, signature);

	exists = eco_row_find(&eco_stream_checkpoints, account->user_id, 0, 1, &key, &row);
	if (!exists)
		eco_row_init(&row, &eco_stream_checkpoints);
	eco_row_set(&row, CHK_USER_ID, key);
	eco_row_set(&row, CHK_SEQ, Int64GetDatum(checkpoint.seq));
	eco_row_set(&row, CHK_GOLD, Int64GetDatum(checkpoint.gold));
	eco_row_set(&row, CHK_XP, Int64GetDatum(checkpoint.xp));
	eco_row_set(&row, CHK_HASH, eco_bytea(checkpoint.hash, ECO_HASH_LEN));
	eco_row_set(&row, CHK_LINKS, eco_bytea(checkpoint.links, ECO_HASH_LEN));
	eco_row_set(&row, CHK_KEY_VERSION, Int32GetDatum(version));
	eco_row_set(&row, CHK_SIGNATURE, eco_bytea(signature, ECO_SIGNATURE_LEN));
	eco_row_set(&row, CHK_CREATED_AT, Int64GetDatum(eco_now()));
	if (exists)
		eco_row_update(&row, account->user_id);
	else
		eco_row_insert(&row, account->user_id);
	ECO_CRASH_POINT("checkpoint:after_write");
	eco_account_set_pruned(account, seq);
	ECO_CRASH_POINT("checkpoint:after_account");
}

/* The state at entry seq, and the entries up to it that are left, chained. */
static void
sum_up(int64 user_id, int64 seq, EcoCheckpoint *checkpoint)
{
	EcoStream  *stream = eco_stream_begin(user_id, 0);
	const EcoJournalInfo *info;
	const EcoRow *row;

	EcoUserRecord user;

	memset(checkpoint, 0, sizeof(EcoCheckpoint));
	eco_user_record(user_id, &user);
	memcpy(checkpoint->links, user.first_hash, ECO_HASH_LEN);
	while (checkpoint->seq < seq && (row = eco_stream_next(stream, &info)) != NULL)
	{
		eco_entry_hash(row, info->journal, info->signature_column,
					   checkpoint->links, checkpoint->links);
		checkpoint->seq = eco_row_int(row, ECO_COL_SEQ);
		if (checkpoint->seq == seq)
		{
			checkpoint->gold = eco_row_int(row, ECO_COL_GOLD);
			checkpoint->xp = eco_row_int(row, ECO_COL_XP);
			memcpy(checkpoint->hash, VARDATA_ANY(DatumGetByteaPP(row->values[ECO_COL_HASH])),
				   ECO_HASH_LEN);
		}
	}
	eco_stream_end(stream);
	if (checkpoint->seq != seq)
		ECO_ERROR(ECO_ENTRY_NOT_FOUND,
				  errmsg("user %lld has no entry %lld", (long long) user_id, (long long) seq));
}
