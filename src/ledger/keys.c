/*
 * keys.c
 *		Signing keys: versions, rotation, and signatures made with them.
 *
 * Each backend caches a keyed context per version.  Every change to the table
 * sends a relcache invalidation for it, which empties all caches: at commit in
 * other backends, and in this one also when the change is rolled back, so a
 * key that never committed is never used.
 *
 * Keys are read under the latest snapshot at every isolation level: which key
 * is active is a fact about the server, not about the caller's transaction.  What is
 * signed anew before its key is retired is the exception: who reads it as it was before
 * needs the key as it was before.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "clock.h"
#include "crash_point.h"
#include "errors.h"
#include "ledger/installation.h"
#include "ledger/keys.h"
#include "ledger/rows.h"

#define MAX_CACHED_KEYS 16

enum
{
	KEY_VERSION,
	KEY_STATE,
	KEY_MATERIAL,
	KEY_CREATED_AT,
	KEY_RETIRED_AT,
	KEY_FIRST_POSITION,
	KEY_LAST_POSITION,
	KEY_COLUMNS
};

static EcoTable signing_keys = {
	.name = "signing_keys",
	.ncolumns = KEY_COLUMNS,
	.columns = {
		{"version", INT4OID, false},
		{"state", TEXTOID, true},
		{"material", BYTEAOID, true},
		{"created_at", TIMESTAMPTZOID, false},
		{"retired_at", TIMESTAMPTZOID, ECO_MUTABLE | ECO_NULLABLE},
		{"first_position", INT8OID, false},
		{"last_position", INT8OID, ECO_MUTABLE | ECO_NULLABLE},
	},
	.nkeys = 2,
	.keys = {{1, {KEY_VERSION}}, {1, {KEY_STATE}}},
};

typedef struct CachedKey
{
	int32		version;
	EcoSigner  *signer;			/* NULL: retired or damaged */
	bool		retired;
	int64		first_position;
	int64		last_position;	/* of a retired key */
} CachedKey;

static CachedKey cached_keys[MAX_CACHED_KEYS];
static int	n_cached_keys = 0;
static int32 active_version = 0;	/* 0: not known */
static Oid	keys_relid = InvalidOid;

void		(*eco_key_retire_hook) (int32 version, int32 new_version) = NULL;

static EcoTable *const key_tables[] = {&signing_keys, NULL};

PG_FUNCTION_INFO_V1(eco_rotate_signing_key);

static void cache_drop(Datum arg, Oid relid);
static void cache_watch(void);
static const CachedKey *key_get(int32 version);
static EcoSigner *signer_make(EcoRow *row);
static EcoSigner *signer_seen(int32 version);
static bool find_latest(int key, Datum value, EcoRow *row);
static bool key_by_state(const char *state, EcoRow *row);
static void key_changed(void);
static int32 key_insert(void);
static int32 next_version(void);
static int64 oldest_position(void);
static void note_change(int32 version);
static void set_state(EcoRow *row, const char *state, bytea *material);

int32
eco_key_active(void)
{
	EcoRow		row;

	/* versions never fall along a stream: what a wait let pass is seen now */
	AcceptInvalidationMessages();
	cache_watch();
	if (active_version != 0)
		return active_version;
	if (!key_by_state("active", &row))
	{
		/*
		 * Serialises the makers of the first key; readers are not disturbed.
		 * Who comes to wait here may hold an account, so the first user
		 * brings the key (eco_next_user_id); later it is missing only where a
		 * dump left it out.
		 */
		LockRelationOid(keys_relid, ShareRowExclusiveLock);
		if (!key_by_state("active", &row))
		{
			int32		version = key_insert();

			cache_watch();		/* anew: the insert has emptied the caches */
			return active_version = version;
		}
	}
	return active_version = DatumGetInt32(row.values[KEY_VERSION]);
}

void
eco_key_sign(int32 version, const void *message, size_t len,
			 uint8 signature[ECO_SIGNATURE_LEN])
{
	const CachedKey *key = key_get(version);

	if (key != NULL && key->signer == NULL && !key->retired)
		ECO_ERROR(ECO_CRYPTO_FAILED,
				  errmsg("signing key version %d is damaged", version),
				  errhint("economy.rotate_signing_key() makes another."));
	if (key == NULL || key->signer == NULL)
		ECO_ERROR(ECO_CRYPTO_FAILED,
				  errmsg("signing key version %d cannot be used", version));
	if (!eco_sign(key->signer, message, len, signature))
		ECO_ERROR(ECO_CRYPTO_FAILED, errmsg("could not sign an entry"));
}

bool
eco_key_try_sign(int32 version, const void *message, size_t len,
				 uint8 signature[ECO_SIGNATURE_LEN])
{
	const CachedKey *key = key_get(version);
	bool		retired = key != NULL && key->retired;
	EcoSigner  *signer = retired ? signer_seen(version) : key != NULL ? key->signer : NULL;
	bool		is_signed;

	if (signer == NULL)
		return false;
	is_signed = eco_sign(signer, message, len, signature);
	if (retired)
		eco_signer_free(signer);
	if (!is_signed)
		ECO_ERROR(ECO_CRYPTO_FAILED, errmsg("could not use a signing key"));
	return true;
}

EcoVerdict
eco_key_verify(int32 version, const void *message, size_t len,
			   const uint8 *signature, size_t signature_len)
{
	uint8		expected[ECO_SIGNATURE_LEN];
	const CachedKey *key = key_get(version);

	if (key == NULL || (key->signer == NULL && !key->retired))
		return ECO_KEY_UNKNOWN;
	if (key->retired)
		return ECO_KEY_RETIRED;
	if (!eco_sign(key->signer, message, len, expected))
		ECO_ERROR(ECO_CRYPTO_FAILED, errmsg("could not verify a signature"));
	return eco_signature_equal(expected, sizeof(expected), signature, signature_len) ?
		ECO_SIGNATURE_VALID : ECO_SIGNATURE_WRONG;
}

bool
eco_key_retired(int32 version, int64 *first, int64 *last)
{
	const CachedKey *key = key_get(version);

	if (key == NULL || !key->retired)
		return false;
	*first = key->first_position;
	*last = key->last_position;
	return true;
}

/*
 * eco_rotate_signing_key() returns int
 *		Make a new key the active one; the old one still verifies.
 */
Datum
eco_rotate_signing_key(PG_FUNCTION_ARGS)
{
	EcoRow		row;

	PreventCommandIfReadOnly("economy.rotate_signing_key()");
	cache_watch();
	LockRelationOid(keys_relid, ShareRowExclusiveLock);
	while (key_by_state("active", &row))
	{
		set_state(&row, "verify_only", NULL);
		CommandCounterIncrement();
	}
	PG_RETURN_INT32(key_insert());
}

bool
eco_key_lock_to_retire(int32 version)
{
	EcoRow		row;

	cache_watch();
	LockRelationOid(keys_relid, ShareRowExclusiveLock);
	return find_latest(0, Int32GetDatum(version), &row) &&
		strcmp(TextDatumGetCString(row.values[KEY_STATE]), "verify_only") == 0;
}

void
eco_key_retire(int32 version)
{
	EcoRow		row;
	bytea	   *empty = palloc(VARHDRSZ);

	if (!find_latest(0, Int32GetDatum(version), &row))
		ECO_ERROR(ECO_SCHEMA_DAMAGED, errmsg("signing key %d is gone", version));
	SET_VARSIZE(empty, VARHDRSZ);
	set_state(&row, "retired", empty);
}

static void
cache_watch(void)
{
	static bool watching = false;

	if (!watching)
	{
		CacheRegisterRelcacheCallback(cache_drop, (Datum) 0);
		watching = true;
	}
	if (!OidIsValid(keys_relid))
		keys_relid = eco_table_oid(signing_keys.name);
}

static void
cache_drop(Datum arg, Oid relid)
{
	(void) arg;
	if (relid != InvalidOid && relid != keys_relid)
		return;
	for (int i = 0; i < n_cached_keys; i++)
		if (cached_keys[i].signer != NULL)
			eco_signer_free(cached_keys[i].signer);
	n_cached_keys = 0;
	active_version = 0;
	keys_relid = InvalidOid;
}

/* NULL: there is no such key. */
static const CachedKey *
key_get(int32 version)
{
	EcoRow		row;
	CachedKey	key = {.version = version};

	cache_watch();
	for (int i = 0; i < n_cached_keys; i++)
		if (cached_keys[i].version == version)
			return &cached_keys[i];

	if (!find_latest(0, Int32GetDatum(version), &row))
		return NULL;
	key.retired = strcmp(TextDatumGetCString(row.values[KEY_STATE]), "retired") == 0;
	key.first_position = eco_row_int(&row, KEY_FIRST_POSITION);
	key.last_position = row.isnull[KEY_LAST_POSITION] ? 0 : eco_row_int(&row, KEY_LAST_POSITION);
	if (!key.retired)
		key.signer = signer_make(&row);
	if (n_cached_keys == MAX_CACHED_KEYS)
	{
		if (cached_keys[0].signer != NULL)
			eco_signer_free(cached_keys[0].signer);
		cached_keys[0] = cached_keys[--n_cached_keys];
	}
	cached_keys[n_cached_keys] = key;
	return &cached_keys[n_cached_keys++];
}

/*
 * NULL for a damaged key: nothing is signed with it, and an audit finds it.  One that the
 * library had no memory for is not damaged, and the next call has it again.
 */
static EcoSigner *
signer_make(EcoRow *row)
{
	bytea	   *material = DatumGetByteaPP(row->values[KEY_MATERIAL]);
	EcoSigner  *signer = NULL;

	if (VARSIZE_ANY_EXHDR(material) == ECO_KEY_LEN)
		signer = eco_signer_create((uint8 *) VARDATA_ANY(material), ECO_KEY_LEN);
	eco_wipe(VARDATA_ANY(material), VARSIZE_ANY_EXHDR(material));
	if (signer == NULL && VARSIZE_ANY_EXHDR(material) == ECO_KEY_LEN)
		ECO_ERROR(ECO_CRYPTO_FAILED, errmsg("could not use a signing key"));
	return signer;
}

/* Of a key that is retired by now, as the active snapshot sees it; NULL: retired, too. */
static EcoSigner *
signer_seen(int32 version)
{
	EcoOpenTables *open = eco_tables_open(ECO_READ, key_tables);
	Datum		value = Int32GetDatum(version);
	EcoRow		row;
	bool		found = eco_row_find(&signing_keys, 0, 0, 1, &value, &row);

	eco_tables_close(open);
	return found ? signer_make(&row) : NULL;
}

static bool
find_latest(int key, Datum value, EcoRow *row)
{
	EcoOpenTables *open = eco_tables_open(ECO_READ_LATEST, key_tables);
	bool		found = eco_row_find(&signing_keys, 0, key, 1, &value, row);

	eco_tables_close(open);
	return found;
}

static bool
key_by_state(const char *state, EcoRow *row)
{
	return find_latest(1, CStringGetTextDatum(state), row);
}

/*
 * Empty all backends' caches at commit.  Called before the write, so that the
 * invalidation is already queued when the write ends its command: that empties our
 * own cache, and an abort after it does so again.  One that is queued by a command
 * that never ends would be forgotten.
 */
static void
key_changed(void)
{
	CacheInvalidateRelcacheByRelid(eco_table_oid(signing_keys.name));
}

/* The caller holds the lock that makes us the only writer. */
static int32
key_insert(void)
{
	EcoRow		row;
	EcoOpenTables *open;
	int32		version = next_version();
	bytea	   *material = palloc(VARHDRSZ + ECO_KEY_LEN);

	open = eco_tables_open(ECO_WRITE_LATEST, key_tables);
	SET_VARSIZE(material, VARHDRSZ + ECO_KEY_LEN);
	if (!pg_strong_random(VARDATA(material), ECO_KEY_LEN))
		ECO_ERROR(ECO_CRYPTO_FAILED, errmsg("could not make a random key"));
	eco_row_init(&row, &signing_keys);
	eco_row_set(&row, KEY_VERSION, Int32GetDatum(version));
	eco_row_set(&row, KEY_STATE, CStringGetTextDatum("active"));
	eco_row_set(&row, KEY_MATERIAL, PointerGetDatum(material));
	eco_row_set(&row, KEY_CREATED_AT, TimestampTzGetDatum(eco_now()));
	eco_row_set(&row, KEY_FIRST_POSITION, Int64GetDatum(oldest_position()));
	key_changed();
	eco_row_insert(&row, 0);
	eco_tables_close(open);
	ECO_CRASH_POINT("keys:after_insert");
	eco_wipe(VARDATA(material), ECO_KEY_LEN);
	note_change(version);
	return version;
}

/*
 * The version above every one that was ever used, also where a dump left the
 * keys out: otherwise a receipt could meet another key of its version.
 */
static int32
next_version(void)
{
	static const char *const sql =
	"SELECT greatest(0,"
	" (SELECT max(c.key::integer) FROM economy.config_changes c WHERE c.relation = 'signing_keys'),"
	" (SELECT max(p.key_version) FROM economy.stream_checkpoints p),"
	" (SELECT max(a.key_version) FROM economy.anchors a),"
	" CASE WHEN $1 = 0"
	" THEN (SELECT max(t.receipt_signature_version) FROM economy.shop_transactions t) END)";
	Oid			types[1] = {INT4OID};
	Datum		values[1];
	EcoOpenTables *open;
	EcoScan    *scan;
	EcoRow		row;
	int32		last = 0;
	int32		used;

	open = eco_tables_open(ECO_READ_LATEST, key_tables);
	scan = eco_scan_begin(&signing_keys, 0, 0, 0, NULL);
	while (eco_scan_next(scan, &row))
		last = DatumGetInt32(row.values[KEY_VERSION]);
	eco_scan_end(scan);
	eco_tables_close(open);
	values[0] = Int32GetDatum(last);
	used = DatumGetInt32(eco_run_as_owner(sql, 1, types, values));
	return Max(last, used) + 1;
}

static int64
position_of(FullTransactionId xact)
{
	return eco_position_of_xid((int64) U64FromFullTransactionId(xact));
}

/*
 * The position of the oldest running transaction, which may sign with a key
 * that is made now.
 */
static int64
oldest_position(void)
{
	FullTransactionId next = ReadNextFullTransactionId();
	TransactionId xmin = GetLatestSnapshot()->xmin;
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xmin > XidFromFullTransactionId(next))
		epoch--;
	return position_of(FullTransactionIdFromEpochAndXid(epoch, xmin));
}

/* The history of the keys, without their material. */
static void
note_change(int32 version)
{
	Oid			types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(version)};

	CommandCounterIncrement();
	eco_run_as_owner("SELECT economy_internal.note_key($1)", 1, types, values);
}

/* material: NULL keeps what the key has */
static void
set_state(EcoRow *row, const char *state, bytea *material)
{
	EcoOpenTables *open = eco_tables_open(ECO_WRITE_LATEST, key_tables);

	if (eco_row_lock(row, 0, ECO_WAIT) != ECO_LOCKED)
		eco_serialization_failure(&signing_keys);	/* newer than the
													 * transaction's snapshot */
	row->values[KEY_STATE] = CStringGetTextDatum(state);
	if (material != NULL)
	{
		row->values[KEY_MATERIAL] = PointerGetDatum(material);
		eco_row_set(row, KEY_RETIRED_AT, TimestampTzGetDatum(eco_now()));
		eco_row_set(row, KEY_LAST_POSITION,
					Int64GetDatum(position_of(ReadNextFullTransactionId())));
	}
	key_changed();
	eco_row_update(row, 0);
	ECO_CRASH_POINT("keys:after_state");
	eco_tables_close(open);
	note_change(DatumGetInt32(row->values[KEY_VERSION]));
}
