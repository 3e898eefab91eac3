/*
 * checkpoint.c
 *		Signed states of streams, behind which old entries may be deleted.
 *
 * What is signed is the canonical encoding (core/encode.h) of user_id, seq,
 * gold, experience_points, hash, links_before, links, gone, gone_keys, archived,
 * proved_seq and created_at, under journal letter 'C'.  Links is the hash of a chain over who
 * the user was at registration (user.h) and the entries up to seq that stay when
 * those between are pruned: the hash chain of the stream has gaps there, so
 * without links nobody could tell whether an entry behind a gap was changed.  Gone
 * and gone_keys are digests of what stays of the pruned ones: their sums and keys.
 *
 * The chains of links and of gone_keys go on from the last checkpoint.  So a new one
 * signs what the last one signed and what a prune has proved since, and never what
 * the tables claim of older entries.  An archive (archive.c) makes links anew, from what
 * it has compared with those that were signed.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/date.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplesort.h"
#include "utils/uuid.h"

#include "clock.h"
#include "crash_point.h"
#include "errors.h"
#include "ledger/args.h"
#include "ledger/checkpoint.h"
#include "ledger/hash.h"
#include "ledger/keys.h"
#include "ledger/mark.h"
#include "ledger/stream.h"
#include "ledger/user.h"

#define CHECKPOINT_LETTER 'C'
#define GONE_LETTER 'D'
#define GONE_BYTES 512
#define CHECKPOINT_BYTES \
	(ECO_ENCODED_HEADER + 6 * ECO_ENCODED_INT + 6 * ECO_ENCODED_BYTES(ECO_HASH_LEN))

enum
{
	CHK_USER_ID,
	CHK_SEQ,
	CHK_GOLD,
	CHK_XP,
	CHK_HASH,
	CHK_LINKS_BEFORE,
	CHK_LINKS,
	CHK_GONE,
	CHK_GONE_KEYS,
	CHK_ARCHIVED,
	CHK_PROVED_SEQ,
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
		{"links_before", BYTEAOID, true},
		{"links", BYTEAOID, true},
		{"gone", BYTEAOID, true},
		{"gone_keys", BYTEAOID, true},
		{"archived", BYTEAOID, true},
		{"proved_seq", INT8OID, true},
		{"key_version", INT4OID, true},
		{"signature", BYTEAOID, true},
		{"created_at", TIMESTAMPTZOID, true},
	},
	.nkeys = 1,
	.keys = {{1, {CHK_USER_ID}}},
};

/* what stays of pruned actions */
EcoTable	eco_pruned_stats = {
	.name = "pruned_stats",
	.ncolumns = PST_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"game", TEXTOID, false},
		{"day", DATEOID, false},
		{"total", INT8OID, true},
		{"wins", INT8OID, true},
		{"losses", INT8OID, true},
		{"draws", INT8OID, true},
		{"max_win", INT8OID, true},
		{"bet_sum", INT8OID, true},
		{"win_sum", INT8OID, true},
		{"last_action_at", TIMESTAMPTZOID, true},
	},
	.nkeys = 1,
	.keys = {{3, {PST_USER_ID, PST_GAME, PST_DAY}}},
};

EcoTable	eco_pruned_actions = {
	.name = "pruned_actions",
	.only_read = true,
	.ncolumns = PRU_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"key", UUIDOID, false},
		{"seq", INT8OID, false},
	},
	.nkeys = 1,
	.keys = {{2, {PRU_USER_ID, PRU_KEY}}},
};

typedef struct KeySort
{
	Tuplesortstate *sort;
	TupleTableSlot *slot;
} KeySort;

PG_FUNCTION_INFO_V1(eco_retire_signing_key);

static void checkpoint_load(const EcoRow *row, EcoCheckpoint *checkpoint);
static void sign_anew(int32 old_version, int32 new_version);
static void sign(EcoRow *row, const EcoCheckpoint *checkpoint, int32 version);
static void each_row(EcoTable *table, int64 user_id,
					 void (*see) (const EcoRow *row, void *arg), void *arg);
static void chain_row(const EcoRow *row, void *digest);
static void sort_key(const EcoRow *row, void *arg);
static bool read_hash(const EcoRow *row, int column, uint8 *hash);
static void encode(EcoEncoder *enc, uint8 *buf, int64 user_id, const EcoCheckpoint *checkpoint);

bool
eco_checkpoint_read(int64 user_id, EcoCheckpoint *checkpoint)
{
	Datum		key = Int64GetDatum(user_id);
	EcoRow		row;

	if (!eco_row_find(&eco_stream_checkpoints, user_id, 0, 1, &key, &row))
		return false;
	checkpoint_load(&row, checkpoint);
	return true;
}

static void
checkpoint_load(const EcoRow *row, EcoCheckpoint *checkpoint)
{
	bytea	   *signature = DatumGetByteaPP(row->values[CHK_SIGNATURE]);
	uint8		buf[CHECKPOINT_BYTES];
	uint8		expected[ECO_SIGNATURE_LEN];
	EcoEncoder	enc;

	checkpoint->seq = eco_row_int(row, CHK_SEQ);
	checkpoint->gold = eco_row_int(row, CHK_GOLD);
	checkpoint->xp = eco_row_int(row, CHK_XP);
	checkpoint->created_at = DatumGetTimestampTz(row->values[CHK_CREATED_AT]);
	checkpoint->proved_seq = eco_row_int(row, CHK_PROVED_SEQ);
	checkpoint->valid = read_hash(row, CHK_HASH, checkpoint->hash) &&
		read_hash(row, CHK_LINKS_BEFORE, checkpoint->links_before) &&
		read_hash(row, CHK_LINKS, checkpoint->links) &&
		read_hash(row, CHK_GONE, checkpoint->gone) &&
		read_hash(row, CHK_GONE_KEYS, checkpoint->gone_keys) &&
		read_hash(row, CHK_ARCHIVED, checkpoint->archived);
	if (!checkpoint->valid)
		return;
	encode(&enc, buf, eco_row_int(row, CHK_USER_ID), checkpoint);
	/* a retired key signs none: sign_anew() has seen to it */
	checkpoint->valid =
		eco_key_try_sign(DatumGetInt32(row->values[CHK_KEY_VERSION]), enc.buf, enc.len,
						 expected) &&
		eco_signature_equal(expected, sizeof(expected),
							(const uint8 *) VARDATA_ANY(signature),
							VARSIZE_ANY_EXHDR(signature));
}

/*
 * eco_retire_signing_key(version int) returns bool
 *		Forget a verify_only key's material: its receipts verify no more, and
 *		neither would its checkpoints, so another key signs those first.
 */
Datum
eco_retire_signing_key(PG_FUNCTION_ARGS)
{
	int32		version;

	eco_require_arg(fcinfo, 0, "version");
	version = PG_GETARG_INT32(0);
	PreventCommandIfReadOnly("economy.retire_signing_key()");
	if (!eco_key_lock_to_retire(version))
		PG_RETURN_BOOL(false);
	sign_anew(version, eco_key_active());
	if (eco_key_retire_hook != NULL)
		eco_key_retire_hook(version, eco_key_active());
	eco_key_retire(version);
	PG_RETURN_BOOL(true);
}

/*
 * Sign the checkpoints of the old key with the new one.  A checkpoint that
 * does not verify stays as it is, and is a finding.  Prunes have to wait: one
 * that signed with the old key meanwhile would be passed over.
 */
static void
sign_anew(int32 old_version, int32 new_version)
{
	static EcoTable *const tables[] = {&eco_stream_checkpoints, NULL};
	EcoOpenTables *open;
	EcoScan    *scan;
	EcoRow		row;
	EcoCheckpoint checkpoint;

	LockRelationOid(eco_table_oid(eco_stream_checkpoints.name), ShareRowExclusiveLock);
	open = eco_tables_open(ECO_WRITE_LATEST, tables);
	scan = eco_scan_begin(&eco_stream_checkpoints, 0, 0, 0, NULL);
	while (eco_scan_next(scan, &row))
	{
		CHECK_FOR_INTERRUPTS();
		if (DatumGetInt32(row.values[CHK_KEY_VERSION]) != old_version)
			continue;
		checkpoint_load(&row, &checkpoint);
		if (!checkpoint.valid)
			continue;
		if (eco_row_lock(&row, eco_row_int(&row, CHK_USER_ID), ECO_WAIT) != ECO_LOCKED)
			eco_serialization_failure(&eco_stream_checkpoints);
		sign(&row, &checkpoint, new_version);
		eco_row_update(&row, eco_row_int(&row, CHK_USER_ID));
	}
	eco_scan_end(scan);
	eco_tables_close(open);
}

static void
sign(EcoRow *row, const EcoCheckpoint *checkpoint, int32 version)
{
	uint8		buf[CHECKPOINT_BYTES];
	uint8		signature[ECO_SIGNATURE_LEN];
	EcoEncoder	enc;

	encode(&enc, buf, eco_row_int(row, CHK_USER_ID), checkpoint);
	eco_key_sign(version, enc.buf, enc.len, signature);
	eco_row_set(row, CHK_KEY_VERSION, Int32GetDatum(version));
	eco_row_set(row, CHK_SIGNATURE, eco_bytea(signature, ECO_SIGNATURE_LEN));
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
	eco_encode_bytes(enc, checkpoint->links_before, ECO_HASH_LEN);
	eco_encode_bytes(enc, checkpoint->links, ECO_HASH_LEN);
	eco_encode_bytes(enc, checkpoint->gone, ECO_HASH_LEN);
	eco_encode_bytes(enc, checkpoint->gone_keys, ECO_HASH_LEN);
	eco_encode_bytes(enc, checkpoint->archived, ECO_HASH_LEN);
	eco_encode_int(enc, checkpoint->proved_seq);
	eco_encode_int(enc, checkpoint->created_at);
}

void
eco_checkpoint_gone(int64 user_id, uint8 digest[ECO_HASH_LEN])
{
	static EcoTable *const tables[] = {&eco_pruned_stats, NULL};
	EcoOpenTables *open = eco_tables_open(ECO_READ, tables);

	memset(digest, 0, ECO_HASH_LEN);
	eco_checkpoint_chain(&eco_pruned_stats, user_id, digest);
	eco_tables_close(open);
}

void
eco_checkpoint_chain(EcoTable *table, int64 user_id, uint8 digest[ECO_HASH_LEN])
{
	each_row(table, user_id, chain_row, digest);
}

/*
 * The keys are sorted by seq here, on disk when they are many, because the
 * table has its one index for the retries, which look a key up.
 */
void
eco_checkpoint_gone_keys(int64 user_id, uint8 digest[ECO_HASH_LEN])
{
	static EcoTable *const tables[] = {&eco_pruned_actions, NULL};
	EcoOpenTables *open = eco_tables_open(ECO_READ, tables);
	TupleDesc	desc = CreateTemplateTupleDesc(2);
	AttrNumber	by = 1;
	Oid			before = Int8LessOperator;
	Oid			collation = InvalidOid;
	bool		nulls_first = false;
	Tuplesortstate *sort;
	TupleTableSlot *slot;
	KeySort		keys;

	TupleDescInitEntry(desc, 1, "seq", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 2, "key", UUIDOID, -1, 0);
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	sort = tuplesort_begin_heap(desc, 1, &by, &before, &collation, &nulls_first,
								work_mem, NULL, TUPLESORT_NONE);
	keys = (KeySort)
	{
		.sort = sort, .slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual)
	};
	each_row(&eco_pruned_actions, user_id, sort_key, &keys);
	ExecDropSingleTupleTableSlot(keys.slot);
	tuplesort_performsort(sort);
	memset(digest, 0, ECO_HASH_LEN);
	while (tuplesort_gettupleslot(sort, true, false, slot, NULL))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		eco_checkpoint_add_key(user_id, DatumGetUUIDP(slot->tts_values[1]),
							   DatumGetInt64(slot->tts_values[0]), digest);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_end(sort);
	eco_tables_close(open);
}

/* The columns of the sort: seq and key. */
static void
sort_key(const EcoRow *row, void *arg)
{
	const KeySort *keys = arg;
	TupleTableSlot *slot = keys->slot;

	ExecClearTuple(slot);
	slot->tts_values[0] = row->values[PRU_SEQ];
	slot->tts_values[1] = row->values[PRU_KEY];
	slot->tts_isnull[0] = slot->tts_isnull[1] = false;
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(keys->sort, slot);
}

void
eco_checkpoint_add_key(int64 user_id, const pg_uuid_t *key, int64 seq, uint8 digest[ECO_HASH_LEN])
{
	EcoRow		row = {.table = &eco_pruned_actions};
	Datum		values[PRU_COLUMNS] = {
		Int64GetDatum(user_id), UUIDPGetDatum(key), Int64GetDatum(seq)
	};

	memcpy(row.values, values, sizeof(values));
	chain_row(&row, digest);
}

/* Call see() with each of the user's rows; what it allocates is freed after each. */
static void
each_row(EcoTable *table, int64 user_id, void (*see) (const EcoRow *row, void *arg), void *arg)
{
	Datum		key = Int64GetDatum(user_id);
	EcoScan    *scan = eco_scan_begin(table, user_id, 0, 1, &key);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "economy pruned",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	EcoRow		row;

	while (eco_scan_next(scan, &row))
	{
		CHECK_FOR_INTERRUPTS();
		see(&row, arg);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old_context);
	eco_scan_end(scan);
	MemoryContextDelete(context);
}

/*
 * The columns are not null: bigint, date, timestamptz, text, bytea and uuid.  Text as it is
 * read, however it is stored: beside long columns of the DBA it is compressed.
 */
static bool
is_bytes(Oid type)
{
	return type == TEXTOID || type == BYTEAOID;
}

static void
chain_row(const EcoRow *row, void *digest)
{
	uint8		stack_buf[GONE_BYTES];
	uint8	   *buf = stack_buf;
	size_t		size = GONE_BYTES;
	EcoEncoder	enc;

	for (int i = 0; i < row->table->ncolumns; i++)
		if (!row->isnull[i] && is_bytes(row->table->columns[i].type))
			size += toast_raw_datum_size(row->values[i]) - VARHDRSZ;
	if (size > GONE_BYTES)
		buf = palloc(size);
	eco_encode_begin(&enc, buf, size, ECO_HASH_ALGO_VERSION, GONE_LETTER);
	for (int i = 0; i < row->table->ncolumns; i++)
	{
		Oid			type = row->table->columns[i].type;

		if (row->isnull[i])
			eco_encode_null(&enc);
		else if (is_bytes(type))
		{
			const text *value = DatumGetTextPP(row->values[i]);

			eco_encode_bytes(&enc, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
		}
		else if (type == UUIDOID)
			eco_encode_bytes(&enc, DatumGetUUIDP(row->values[i])->data, UUID_LEN);
		else if (type == DATEOID)
			eco_encode_int(&enc, DatumGetDateADT(row->values[i]));
		else
			eco_encode_int(&enc, DatumGetInt64(row->values[i]));
	}
	if (!eco_chain_hash(digest, &enc, digest))
		eco_hash_failed();
}

void
eco_checkpoint_write(EcoAccount *account, EcoCheckpoint *checkpoint)
{
	EcoRow		row;
	Datum		key = Int64GetDatum(account->user_id);
	bool		exists;

	exists = eco_row_find(&eco_stream_checkpoints, account->user_id, 0, 1, &key, &row);
	if (!exists)
		eco_row_init(&row, &eco_stream_checkpoints);
	checkpoint->created_at = eco_now();
	eco_row_set(&row, CHK_USER_ID, key);
	eco_row_set(&row, CHK_SEQ, Int64GetDatum(checkpoint->seq));
	eco_row_set(&row, CHK_GOLD, Int64GetDatum(checkpoint->gold));
	eco_row_set(&row, CHK_XP, Int64GetDatum(checkpoint->xp));
	eco_row_set(&row, CHK_HASH, eco_bytea(checkpoint->hash, ECO_HASH_LEN));
	eco_row_set(&row, CHK_LINKS_BEFORE, eco_bytea(checkpoint->links_before, ECO_HASH_LEN));
	eco_row_set(&row, CHK_LINKS, eco_bytea(checkpoint->links, ECO_HASH_LEN));
	eco_row_set(&row, CHK_GONE, eco_bytea(checkpoint->gone, ECO_HASH_LEN));
	eco_row_set(&row, CHK_GONE_KEYS, eco_bytea(checkpoint->gone_keys, ECO_HASH_LEN));
	eco_row_set(&row, CHK_ARCHIVED, eco_bytea(checkpoint->archived, ECO_HASH_LEN));
	eco_row_set(&row, CHK_PROVED_SEQ, Int64GetDatum(checkpoint->proved_seq));
	eco_row_set(&row, CHK_CREATED_AT, TimestampTzGetDatum(checkpoint->created_at));
	sign(&row, checkpoint, eco_key_active());
	if (exists)
		eco_row_update(&row, account->user_id);
	else
		eco_row_insert(&row, account->user_id);
	ECO_CRASH_POINT("checkpoint:after_write");
	eco_mark_move(account->user_id, checkpoint);
	eco_account_set_pruned(account, checkpoint->seq);
	ECO_CRASH_POINT("checkpoint:after_account");
}
