/*
 * seed.c
 *		draw_commit() and draw_reveal(), and how server seeds are kept.
 *
 * A seed is 32 random bytes.  Sealed, it is 16 random bytes and the seed XOR
 * HMAC-SHA256(signing key, "economy:draw_seed", user, number, those 16 bytes): no two seals
 * have a pad in common, and the hash, which everybody may see, tells a wrong one.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "crash_point.h"
#include "errors.h"
#include "hold/seed.h"
#include "ledger/args.h"
#include "ledger/entry.h"
#include "ledger/keys.h"
#include "ledger/result.h"

#define SALT		16
#define PURPOSE		"economy:draw_seed"

/* columns of economy.draw_seed_result */
enum
{
	RES_NUMBER = ECO_RES_TRANSACTION_ID,
	RES_HASH,
	RES_DRAWS,
	RES_SERVER_SEED,
	RES_NEXT_NUMBER,
	RES_NEXT_HASH
};
#define SEED_TYPES "bttltltlt"

EcoTable	eco_draw_seeds = {
	.name = "draw_seeds",
	.ncolumns = SED_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"seed_number", INT8OID, false},
		{"key_version", INT4OID, ECO_MUTABLE},
		{"sealed", BYTEAOID, ECO_MUTABLE},
		{"hash", BYTEAOID, false},
		{"next_nonce", INT8OID, ECO_MUTABLE},
		{"server_seed", BYTEAOID, ECO_MUTABLE | ECO_NULLABLE},
	},
	.nkeys = 1,
	.keys = {{2, {SED_USER_ID, SED_NUMBER}}},
};

static EcoTable *const tables[] = {&eco_accounts, &eco_draw_seeds, NULL};

PG_FUNCTION_INFO_V1(eco_draw_commit);
PG_FUNCTION_INFO_V1(eco_draw_reveal);
PG_FUNCTION_INFO_V1(eco_draw_seed_sound);

ECO_NORETURN static void
damaged(const EcoRow *row)
{
	ECO_ERROR(ECO_LEDGER_DAMAGED,
			  errmsg("seed %lld of user %lld is damaged",
					 (long long) eco_row_int(row, SED_NUMBER),
					 (long long) eco_row_int(row, SED_USER_ID)));
}

/* What a seed is XORed with.  False: the key is not there. */
static bool
make_pad(int32 version, int64 user_id, int64 number, const uint8 *salt, uint8 pad[ECO_DRAW_SEED])
{
	uint8		message[sizeof(PURPOSE) - 1 + 2 * sizeof(uint64) + SALT];
	uint64		of[] = {pg_hton64((uint64) user_id), pg_hton64((uint64) number)};

	memcpy(message, PURPOSE, sizeof(PURPOSE) - 1);
	memcpy(message + sizeof(PURPOSE) - 1, of, sizeof(of));
	memcpy(message + sizeof(PURPOSE) - 1 + sizeof(of), salt, SALT);
	return eco_key_try_sign(version, message, sizeof(message), pad);
}

/* Seal with the active key. */
static void
seal(EcoRow *row, const uint8 seed[ECO_DRAW_SEED])
{
	uint8		sealed[SALT + ECO_DRAW_SEED];
	int32		version = eco_key_active();

	if (!pg_strong_random(sealed, SALT) ||
		!make_pad(version, eco_row_int(row, SED_USER_ID), eco_row_int(row, SED_NUMBER), sealed,
				  sealed + SALT))
		ECO_ERROR(ECO_CRYPTO_FAILED,
				  errmsg("could not seal a seed"),
				  errhint("economy.rotate_signing_key() makes another key."));
	for (int i = 0; i < ECO_DRAW_SEED; i++)
		sealed[SALT + i] ^= seed[i];
	eco_row_set(row, SED_KEY_VERSION, Int32GetDatum(version));
	eco_row_set(row, SED_SEALED, eco_bytea(sealed, sizeof(sealed)));
}

static bool
has_hash(const EcoRow *row, const uint8 seed[ECO_DRAW_SEED])
{
	bytea	   *hash = DatumGetByteaPP(row->values[SED_HASH]);
	uint8		expected[ECO_DRAW_HASH];

	if (!eco_draw_hash(seed, expected))
		ECO_ERROR(ECO_CRYPTO_FAILED, errmsg("could not hash a seed"));
	return VARSIZE_ANY_EXHDR(hash) == ECO_DRAW_HASH &&
		memcmp(VARDATA_ANY(hash), expected, ECO_DRAW_HASH) == 0;
}

typedef enum Opened
{
	OPENED,
	KEY_GONE,
	WRONG
} Opened;

static Opened
open_sealed(const EcoRow *row, uint8 seed[ECO_DRAW_SEED])
{
	bytea	   *sealed = DatumGetByteaPP(row->values[SED_SEALED]);
	const uint8 *bytes = (const uint8 *) VARDATA_ANY(sealed);

	if (VARSIZE_ANY_EXHDR(sealed) != SALT + ECO_DRAW_SEED)
		return WRONG;
	if (!make_pad(DatumGetInt32(row->values[SED_KEY_VERSION]), eco_row_int(row, SED_USER_ID),
				  eco_row_int(row, SED_NUMBER), bytes, seed))
		return KEY_GONE;
	for (int i = 0; i < ECO_DRAW_SEED; i++)
		seed[i] ^= bytes[SALT + i];
	return has_hash(row, seed) ? OPENED : WRONG;
}

bool
eco_seed_open(const EcoRow *row, uint8 seed[ECO_DRAW_SEED])
{
	Opened		opened = open_sealed(row, seed);

	if (opened == WRONG)
		damaged(row);
	return opened == OPENED;
}

/*
 * eco_draw_seed_sound(user_id bigint, seed_number bigint, key_version int, sealed bytea,
 *		hash bytea) returns boolean, STRICT: whether it can be opened, and has the hash
 */
Datum
eco_draw_seed_sound(PG_FUNCTION_ARGS)
{
	static const int columns[] = {
		SED_USER_ID, SED_NUMBER, SED_KEY_VERSION, SED_SEALED, SED_HASH
	};
	uint8		seed[ECO_DRAW_SEED];
	EcoRow		row;
	Opened		opened;

	eco_row_init(&row, &eco_draw_seeds);
	for (int i = 0; i < (int) lengthof(columns); i++)
		eco_row_set(&row, columns[i], PG_GETARG_DATUM(i));
	opened = open_sealed(&row, seed);
	eco_wipe(seed, sizeof(seed));
	PG_RETURN_BOOL(opened == OPENED);
}

static bool
find_newest(int64 user_id, EcoRow *row)
{
	Datum		key = Int64GetDatum(user_id);
	EcoScan    *scan = eco_scan_begin_before(&eco_draw_seeds, user_id, 0, 1, &key, PG_INT64_MAX);
	bool		found = eco_scan_next(scan, row);

	eco_scan_end(scan);
	return found;
}

bool
eco_seed_current(int64 user_id, EcoRow *row)
{
	return find_newest(user_id, row) && row->isnull[SED_SERVER_SEED];
}

char *
eco_seed_hash(const EcoRow *row)
{
	bytea	   *hash = DatumGetByteaPP(row->values[SED_HASH]);

	return eco_hex((const uint8 *) VARDATA_ANY(hash), VARSIZE_ANY_EXHDR(hash));
}

/* Above READ COMMITTED what others have changed meanwhile is a serialization failure. */
static void
change(EcoRow *row)
{
	int64		user_id = eco_row_int(row, SED_USER_ID);

	if (eco_row_lock(row, user_id, ECO_WAIT) != ECO_LOCKED)
	{
		if (IsolationUsesXactSnapshot())
			eco_serialization_failure(&eco_draw_seeds);
		eco_row_moved(&eco_draw_seeds);
	}
	eco_row_update(row, user_id);
}

void
eco_seed_count(EcoRow *row)
{
	eco_row_set(row, SED_NEXT_NONCE, Int64GetDatum(eco_row_int(row, SED_NEXT_NONCE) + 1));
	change(row);
	ECO_CRASH_POINT("draw:after_nonce");
}

/* The user's next one, of which nothing is known but its hash. */
static void
make_seed(int64 user_id, int64 number, EcoRow *row)
{
	uint8		seed[ECO_DRAW_SEED];
	uint8		hash[ECO_DRAW_HASH];

	if (!pg_strong_random(seed, sizeof(seed)) || !eco_draw_hash(seed, hash))
		ECO_ERROR(ECO_CRYPTO_FAILED, errmsg("could not make a random seed"));
	eco_row_init(row, &eco_draw_seeds);
	eco_row_set(row, SED_USER_ID, Int64GetDatum(user_id));
	eco_row_set(row, SED_NUMBER, Int64GetDatum(number));
	eco_row_set(row, SED_HASH, eco_bytea(hash, sizeof(hash)));
	eco_row_set(row, SED_NEXT_NONCE, Int64GetDatum(0));
	seal(row, seed);
	eco_wipe(seed, sizeof(seed));
	eco_row_insert(row, user_id);
	ECO_CRASH_POINT("draw:after_seed");
}

/* Nothing is sealed any more.  len 0: it could not be opened. */
static void
end_seed(EcoRow *row, const uint8 *seed, size_t len)
{
	eco_row_set(row, SED_KEY_VERSION, Int32GetDatum(0));
	eco_row_set(row, SED_SEALED, eco_bytea(seed, 0));
	eco_row_set(row, SED_SERVER_SEED, eco_bytea(seed, len));
	change(row);
	ECO_CRASH_POINT("draw:after_reveal");
}

static bool
lock_user(EcoResult *result, int64 user_id)
{
	Datum		key = Int64GetDatum(user_id);
	EcoAccount	account;

	if (!eco_account_lock_newest(user_id, &account))
	{
		eco_result_outcome(result, "refused", "USER_NOT_FOUND");
		return false;
	}
	/* whoever changes them has the lock, and need not have moved the account */
	eco_rows_must_be_newest(&eco_draw_seeds, user_id, 0, 1, &key);
	return true;
}

static void
show(EcoResult *result, const EcoRow *row)
{
	eco_result_set(result, RES_NUMBER, row->values[SED_NUMBER]);
	eco_result_text(result, RES_HASH, eco_seed_hash(row));
	eco_result_set(result, RES_DRAWS, row->values[SED_NEXT_NONCE]);
}

static void
commit_to(EcoResult *result, int64 user_id)
{
	uint8		seed[ECO_DRAW_SEED];
	EcoRow		newest;
	EcoRow		next;
	bool		found = find_newest(user_id, &newest);

	if (found && newest.isnull[SED_SERVER_SEED])
	{
		if (eco_seed_open(&newest, seed))
		{
			eco_wipe(seed, sizeof(seed));
			eco_result_outcome(result, "reuse", "OK");
			show(result, &newest);
			return;
		}
		end_seed(&newest, seed, 0);
	}
	make_seed(user_id, found ? eco_row_int(&newest, SED_NUMBER) + 1 : 1, &next);
	eco_result_outcome(result, "new", "OK");
	show(result, &next);
}

/*
 * eco_draw_commit(user_id bigint) returns draw_seed_result
 */
Datum
eco_draw_commit(PG_FUNCTION_ARGS)
{
	EcoResult	result;
	EcoOpenTables *open;
	int64		user_id;

	eco_result_begin(&result, fcinfo, SEED_TYPES);
	eco_require_arg(fcinfo, 0, "user_id");
	user_id = PG_GETARG_INT64(0);
	PreventCommandIfReadOnly("economy.draw_commit()");
	open = eco_user_tables_open(ECO_WRITE, user_id, tables);
	if (lock_user(&result, user_id))
		commit_to(&result, user_id);
	eco_tables_close(open);
	return eco_result_row(&result);
}

/* False: the seed was lost with its key. */
static bool
reveal_now(EcoRow *row)
{
	uint8		seed[ECO_DRAW_SEED];
	EcoRow		next;

	if (!eco_seed_open(row, seed))
		return false;
	end_seed(row, seed, sizeof(seed));
	make_seed(eco_row_int(row, SED_USER_ID), eco_row_int(row, SED_NUMBER) + 1, &next);
	return true;
}

/*
 * A seed is not told by the transaction that ends it: whoever rolled that back would know
 * what is drawn with next.
 */
static void
reveal(EcoResult *result, EcoRow *row)
{
	const char *state = row->isnull[SED_SERVER_SEED] ? "new" : "reuse";
	bool		is_over = !row->isnull[SED_SERVER_SEED] &&
	eco_row_is_committed(row, eco_row_int(row, SED_USER_ID));
	bytea	   *seed;
	EcoRow		next;

	show(result, row);
	if (row->isnull[SED_SERVER_SEED] && !reveal_now(row))
	{
		eco_result_outcome(result, "refused", "SEED_LOST");
		return;
	}
	seed = DatumGetByteaPP(row->values[SED_SERVER_SEED]);
	if (VARSIZE_ANY_EXHDR(seed) == 0)
	{
		eco_result_outcome(result, "refused", "SEED_LOST");
		return;
	}
	eco_snapshot_renew();
	if (!eco_seed_current(eco_row_int(row, SED_USER_ID), &next))
		damaged(row);
	eco_result_outcome(result, state, "OK");
	if (is_over)
		eco_result_text(result, RES_SERVER_SEED,
						eco_hex((uint8 *) VARDATA_ANY(seed), VARSIZE_ANY_EXHDR(seed)));
	eco_result_set(result, RES_NEXT_NUMBER, next.values[SED_NUMBER]);
	eco_result_text(result, RES_NEXT_HASH, eco_seed_hash(&next));
}

/*
 * eco_draw_reveal(user_id bigint, seed_number bigint) returns draw_seed_result
 */
Datum
eco_draw_reveal(PG_FUNCTION_ARGS)
{
	EcoResult	result;
	EcoOpenTables *open;
	EcoRow		row;
	Datum		key[2];

	eco_result_begin(&result, fcinfo, SEED_TYPES);
	eco_require_arg(fcinfo, 0, "user_id");
	eco_require_arg(fcinfo, 1, "seed_number");
	key[0] = PG_GETARG_DATUM(0);
	key[1] = PG_GETARG_DATUM(1);
	PreventCommandIfReadOnly("economy.draw_reveal()");
	open = eco_user_tables_open(ECO_WRITE, DatumGetInt64(key[0]), tables);
	if (lock_user(&result, DatumGetInt64(key[0])))
	{
		if (eco_row_find(&eco_draw_seeds, DatumGetInt64(key[0]), 0, 2, key, &row))
			reveal(&result, &row);
		else
			eco_result_outcome(&result, "refused", "SEED_NOT_FOUND");
	}
	eco_tables_close(open);
	return eco_result_row(&result);
}

/*
 * Seal anew, with the active key, what the old one has sealed.  Calls that draw have to
 * wait: one that seals with the old key meanwhile would be passed over.  A seed that
 * cannot be opened stays as it is, and is a finding.
 */
static void
seal_anew(int32 version, int32 new_version)
{
	static EcoTable *const seeds[] = {&eco_draw_seeds, NULL};
	EcoOpenTables *open;
	EcoScan    *scan;
	EcoRow		row;
	uint8		seed[ECO_DRAW_SEED];
	MemoryContext context;
	MemoryContext caller;

	(void) new_version;
	if (!eco_table_exists(&eco_draw_seeds))
		return;
	LockRelationOid(eco_oid_of(&eco_draw_seeds), ShareRowExclusiveLock);
	open = eco_tables_open(ECO_WRITE_LATEST, seeds);
	scan = eco_scan_begin(&eco_draw_seeds, 0, 0, 0, NULL);
	context = AllocSetContextCreate(CurrentMemoryContext, "economy seeds",
									ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(context);
	while (eco_scan_next(scan, &row))
	{
		CHECK_FOR_INTERRUPTS();
		if (row.isnull[SED_SERVER_SEED] &&
			DatumGetInt32(row.values[SED_KEY_VERSION]) == version &&
			open_sealed(&row, seed) == OPENED)
		{
			seal(&row, seed);
			change(&row);
		}
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	eco_wipe(seed, sizeof(seed));
	eco_scan_end(scan);
	eco_tables_close(open);
}

void
eco_seeds_install(void)
{
	eco_key_retire_hook = seal_anew;
}
