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
 * is active is a fact about the server, not about the caller's transaction.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
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

#include "crash_point.h"
#include "errors.h"
#include "ledger/keys.h"
#include "ledger/rows.h"
#include "settings.h"

#define MAX_CACHED_KEYS 16

enum
{
	KEY_VERSION,
	KEY_STATE,
	KEY_MATERIAL,
	KEY_CREATED_AT
};

static EcoTable signing_keys = {
	.name = "signing_keys",
	.ncolumns = 4,
	.columns = {
		{"version", INT4OID, false},
		{"state", TEXTOID, true},
		{"material", BYTEAOID, true},
		{"created_at", TIMESTAMPTZOID, false},
	},
	.nkeys = 2,
	.keys = {{1, {KEY_VERSION}}, {1, {KEY_STATE}}},
};

typedef struct CachedKey
{
	int32		version;
	EcoSigner  *signer;
} CachedKey;

static CachedKey cached_keys[MAX_CACHED_KEYS];
static int	n_cached_keys = 0;
static int32 active_version = 0;	/* 0: not known */
static Oid	keys_relid = InvalidOid;

static EcoTable *const key_tables[] = {&signing_keys, NULL};

PG_FUNCTION_INFO_V1(eco_rotate_signing_key);
PG_FUNCTION_INFO_V1(eco_retire_signing_key);

static void cache_drop(Datum arg, Oid relid);
static void cache_watch(void);
static EcoSigner *signer_get(int32 version, EcoVerdict *why_not);
static EcoSigner *signer_make(EcoRow *row);
static bool find_latest(int key, Datum value, EcoRow *row);
static bool key_by_state(const char *state, EcoRow *row);
static void key_changed(void);
static int32 key_insert(void);
static void set_state(EcoRow *row, const char *state, bytea *material);

int32
eco_key_active(void)
{
	EcoRow		row;

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
	EcoVerdict	why_not;
	EcoSigner  *signer = signer_get(version, &why_not);

	if (signer == NULL)
		ECO_ERROR(ECO_CRYPTO_FAILED,
				  errmsg("signing key version %d cannot be used", version));
	if (!eco_sign(signer, message, len, signature))
		ECO_ERROR(ECO_CRYPTO_FAILED, errmsg("could not sign an entry"));
}

EcoVerdict
eco_key_verify(int32 version, const void *message, size_t len,
			   const uint8 *signature, size_t signature_len)
{
	EcoVerdict	why_not;
	uint8		expected[ECO_SIGNATURE_LEN];
	EcoSigner  *signer = signer_get(version, &why_not);

	if (signer == NULL)
		return why_not;
	if (!eco_sign(signer, message, len, expected))
		ECO_ERROR(ECO_CRYPTO_FAILED, errmsg("could not verify a signature"));
	return eco_signature_equal(expected, sizeof(expected), signature, signature_len) ?
		ECO_SIGNATURE_VALID : ECO_SIGNATURE_WRONG;
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
	if (key_by_state("active", &row))
		set_state(&row, "verify_only", NULL);
	PG_RETURN_INT32(key_insert());
}

/*
 * eco_retire_signing_key(version int) returns bool
 *		Forget a verify_only key's material: its receipts verify no more.
 */
Datum
eco_retire_signing_key(PG_FUNCTION_ARGS)
{
	EcoRow		row;
	bytea	   *empty;

	if (PG_ARGISNULL(0))
		ECO_ERROR(ECO_NULL_ARGUMENT, errmsg("version must not be null"));
	PreventCommandIfReadOnly("economy.retire_signing_key()");
	cache_watch();
	LockRelationOid(keys_relid, ShareRowExclusiveLock);
	if (!find_latest(0, PG_GETARG_DATUM(0), &row) ||
		strcmp(TextDatumGetCString(row.values[KEY_STATE]), "verify_only") != 0)
		PG_RETURN_BOOL(false);
	empty = palloc(VARHDRSZ);
	SET_VARSIZE(empty, VARHDRSZ);
	set_state(&row, "retired", empty);
	PG_RETURN_BOOL(true);
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
		eco_signer_free(cached_keys[i].signer);
	n_cached_keys = 0;
	active_version = 0;
	keys_relid = InvalidOid;
}

static EcoSigner *
signer_get(int32 version, EcoVerdict *why_not)
{
	EcoRow		row;
	EcoSigner  *signer;

	cache_watch();
	for (int i = 0; i < n_cached_keys; i++)
		if (cached_keys[i].version == version)
			return cached_keys[i].signer;

	*why_not = ECO_KEY_UNKNOWN;
	if (!find_latest(0, Int32GetDatum(version), &row))
		return NULL;
	*why_not = ECO_KEY_RETIRED;
	if (strcmp(TextDatumGetCString(row.values[KEY_STATE]), "retired") == 0)
		return NULL;
	signer = signer_make(&row);
	if (n_cached_keys == MAX_CACHED_KEYS)
	{
		eco_signer_free(cached_keys[0].signer);
		cached_keys[0] = cached_keys[--n_cached_keys];
	}
	cached_keys[n_cached_keys++] = (CachedKey)
	{
		version, signer
	};
	return signer;
}

static EcoSigner *
signer_make(EcoRow *row)
{
	bytea	   *material = DatumGetByteaPP(row->values[KEY_MATERIAL]);
	EcoSigner  *signer = NULL;

	if (VARSIZE_ANY_EXHDR(material) == ECO_KEY_LEN)
		signer = eco_signer_create((uint8 *) VARDATA_ANY(material), ECO_KEY_LEN);
	eco_wipe(VARDATA_ANY(material), VARSIZE_ANY_EXHDR(material));
	if (signer == NULL)
		ECO_ERROR(ECO_CRYPTO_FAILED,
				  errmsg("signing key version %d is damaged",
						 DatumGetInt32(row->values[KEY_VERSION])));
	return signer;
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
 * Empty all backends' caches at commit.  Called before the write: the command
 * that ends with it then empties ours, and an abort at any later point does so
 * again.  An invalidation of a command that has not ended would be forgotten.
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
	EcoScan    *scan;
	EcoRow		last;
	int32		version = 1;
	bytea	   *material = palloc(VARHDRSZ + ECO_KEY_LEN);

	open = eco_tables_open(ECO_WRITE_LATEST, key_tables);
	scan = eco_scan_begin(&signing_keys, 0, 0, 0, NULL);
	while (eco_scan_next(scan, &last))
		version = DatumGetInt32(last.values[KEY_VERSION]) + 1;
	eco_scan_end(scan);

	SET_VARSIZE(material, VARHDRSZ + ECO_KEY_LEN);
	if (!pg_strong_random(VARDATA(material), ECO_KEY_LEN))
		ECO_ERROR(ECO_CRYPTO_FAILED, errmsg("could not make a random key"));
	eco_row_init(&row, &signing_keys);
	memset(row.isnull, false, sizeof(row.isnull));
	row.values[KEY_VERSION] = Int32GetDatum(version);
	row.values[KEY_STATE] = CStringGetTextDatum("active");
	row.values[KEY_MATERIAL] = PointerGetDatum(material);
	row.values[KEY_CREATED_AT] = TimestampTzGetDatum(eco_now());
	key_changed();
	eco_row_insert(&row, 0);
	eco_tables_close(open);
	ECO_CRASH_POINT("keys:after_insert");
	eco_wipe(VARDATA(material), ECO_KEY_LEN);
	return version;
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
		row->values[KEY_MATERIAL] = PointerGetDatum(material);
	key_changed();
	eco_row_update(row, 0);
	ECO_CRASH_POINT("keys:after_state");
	eco_tables_close(open);
}
