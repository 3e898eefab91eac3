/*
 * verify.c
 *		Proof of one user's stream: sequence, balances, hash chain, signatures and
 *		the account row, recomputed from the entries (I1, I2, I3).
 *
 * Findings name the damaged entry and no other: an entry follows its
 * predecessor's stored hash when the predecessor's contents were changed, and
 * its computed hash when only that hash was.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"
#include "utils/memutils.h"

#include "ledger/args.h"
#include "ledger/checkpoint.h"
#include "ledger/entry.h"
#include "ledger/keys.h"

#define MAX_STREAMS 8
#define FINDING_COLUMNS 6

PG_FUNCTION_INFO_V1(eco_verify_chain);
PG_FUNCTION_INFO_V1(eco_verify_new);

/* Where a user's stream was found clean up to; verification can go on there. */
enum
{
	CHK_USER_ID,
	CHK_SEQ,
	CHK_GOLD,
	CHK_XP,
	CHK_HASH,
	CHK_COLUMNS
};

static EcoTable audit_checkpoints = {
	.name = "audit_checkpoints",
	.only_read = true,
	.ncolumns = CHK_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"seq", INT8OID, false},
		{"gold", INT8OID, false},
		{"experience_points", INT8OID, false},
		{"hash", BYTEAOID, false},
	},
	.nkeys = 1,
	.keys = {{1, {CHK_USER_ID}}},
};

/* One journal's entries of the user, read one ahead for the merge. */
typedef struct Stream
{
	const EcoJournalInfo *info;
	EcoScan    *scan;
	EcoRow		row;
	bool		has_row;
	MemoryContext context;		/* of the row's values */
} Stream;

typedef struct Verifier
{
	int64		user_id;
	Tuplestorestate *store;
	TupleDesc	desc;
	MemoryContext entry_context;	/* reset after each entry */

	/* the entry before */
	int64		seq;
	int64		gold;			/* as stored */
	int64		xp;
	int64		gold_expected;	/* as it should be */
	int64		xp_expected;
	bool		linked;			/* false after a gap: nothing to compare with */
	uint8		stored[ECO_HASH_LEN];
	uint8		computed[ECO_HASH_LEN];
} Verifier;

static void begin_behind_pruned(Verifier *v);
static void load_checkpoint(Verifier *v);
static void verify_user(Verifier *v);
static void verify_entry(Verifier *v, const EcoJournalInfo *info, const EcoRow *row);
static void verify_links(Verifier *v, const EcoJournalInfo *info, const EcoRow *row);
static void verify_hash(Verifier *v, const EcoJournalInfo *info, const EcoRow *row);
static void verify_signature(Verifier *v, const EcoJournalInfo *info, const EcoRow *row,
							 const uint8 *hash);
static void verify_account(Verifier *v);
static Stream *earliest(Stream *streams, int n);
static void advance(Stream *stream);
static void report(Verifier *v, const char *id, int64 seq, const char *kind,
				   const char *expected, const char *actual);

/* from_checkpoint: begin where the last audit found the stream clean. */
static void
verify(FunctionCallInfo fcinfo, bool from_checkpoint)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	Verifier	v;

	eco_require_arg(fcinfo, 0, "user_id");
	InitMaterializedSRF(fcinfo, 0);
	memset(&v, 0, sizeof(v));
	v.user_id = PG_GETARG_INT64(0);
	v.store = info->setResult;
	v.desc = info->setDesc;
	v.entry_context = AllocSetContextCreate(CurrentMemoryContext, "economy entry",
											ALLOCSET_DEFAULT_SIZES);
	begin_behind_pruned(&v);
	if (from_checkpoint)
		load_checkpoint(&v);
	verify_user(&v);
	MemoryContextDelete(v.entry_context);
}

/*
 * eco_verify_chain(user_id bigint) returns setof economy.finding
 */
Datum
eco_verify_chain(PG_FUNCTION_ARGS)
{
	verify(fcinfo, false);
	return (Datum) 0;
}

/*
 * eco_verify_new(user_id bigint) returns setof economy.finding
 *		The same for the entries after the user's audit checkpoint.
 */
Datum
eco_verify_new(PG_FUNCTION_ARGS)
{
	verify(fcinfo, true);
	return (Datum) 0;
}

/* Entries up to the stream's signed checkpoint may be gone. */
static void
begin_behind_pruned(Verifier *v)
{
	EcoCheckpoint checkpoint;

	if (!eco_checkpoint_read(v->user_id, &checkpoint))
		return;
	if (!checkpoint.valid)
		report(v, NULL, checkpoint.seq, "wrong_signature", "a valid stream checkpoint",
			   "one that does not verify");
	v->seq = checkpoint.seq;
	v->gold = v->gold_expected = checkpoint.gold;
	v->xp = v->xp_expected = checkpoint.xp;
	memcpy(v->stored, checkpoint.hash, ECO_HASH_LEN);
	memcpy(v->computed, checkpoint.hash, ECO_HASH_LEN);
}

static void
load_checkpoint(Verifier *v)
{
	Datum		key = Int64GetDatum(v->user_id);
	EcoRow		row;
	bytea	   *hash;

	if (!eco_row_find(&audit_checkpoints, v->user_id, 0, 1, &key, &row))
		return;
	hash = DatumGetByteaPP(row.values[CHK_HASH]);
	if (VARSIZE_ANY_EXHDR(hash) != ECO_HASH_LEN || eco_row_int(&row, CHK_SEQ) < v->seq)
		return;
	v->seq = eco_row_int(&row, CHK_SEQ);
	v->gold = v->gold_expected = eco_row_int(&row, CHK_GOLD);
	v->xp = v->xp_expected = eco_row_int(&row, CHK_XP);
	memcpy(v->stored, VARDATA_ANY(hash), ECO_HASH_LEN);
	memcpy(v->computed, VARDATA_ANY(hash), ECO_HASH_LEN);
}

static void
verify_user(Verifier *v)
{
	Stream		streams[MAX_STREAMS];
	int			n = eco_journal_count();
	Stream	   *next;
	Datum		key = Int64GetDatum(v->user_id);

	v->linked = true;
	for (int i = 0; i < n; i++)
	{
		streams[i].info = eco_journal_get(i);
		streams[i].context = AllocSetContextCreate(CurrentMemoryContext, "economy stream",
												   ALLOCSET_DEFAULT_SIZES);
		streams[i].scan = eco_scan_begin_after(streams[i].info->table, v->user_id,
											   0, 1, &key, v->seq);
		advance(&streams[i]);
	}
	while ((next = earliest(streams, n)) != NULL)
	{
		MemoryContext old_context = MemoryContextSwitchTo(v->entry_context);

		CHECK_FOR_INTERRUPTS();
		verify_entry(v, next->info, &next->row);
		MemoryContextSwitchTo(old_context);
		MemoryContextReset(v->entry_context);
		advance(next);
	}
	for (int i = 0; i < n; i++)
	{
		eco_scan_end(streams[i].scan);
		MemoryContextDelete(streams[i].context);
	}
	verify_account(v);
}

static Stream *
earliest(Stream *streams, int n)
{
	Stream	   *best = NULL;

	for (int i = 0; i < n; i++)
		if (streams[i].has_row &&
			(best == NULL || eco_row_int(&streams[i].row, ECO_COL_SEQ) <
			 eco_row_int(&best->row, ECO_COL_SEQ)))
			best = &streams[i];
	return best;
}

static void
advance(Stream *stream)
{
	MemoryContext old_context;

	MemoryContextReset(stream->context);
	old_context = MemoryContextSwitchTo(stream->context);
	stream->has_row = eco_scan_next(stream->scan, &stream->row);
	MemoryContextSwitchTo(old_context);
}

static void
verify_entry(Verifier *v, const EcoJournalInfo *info, const EcoRow *row)
{
	int64		seq = eco_row_int(row, ECO_COL_SEQ);

	if (seq == v->seq)
	{
		report(v, eco_transaction_id(info->journal, v->user_id, seq), seq,
			   "duplicate_effect", "one entry with this seq", "another entry with it");
		return;
	}
	for (int64 missing = v->seq + 1; missing < seq; missing++)
	{
		/* name a few, then the range: a wild seq must not flood the report */
		if (missing - v->seq > 10)
		{
			report(v, NULL, missing, "missing_entry",
				   psprintf("entries up to seq %lld", (long long) seq - 1), "nothing");
			break;
		}
		report(v, NULL, missing, "missing_entry", "an entry", "nothing");
	}
	if (seq != v->seq + 1)
		v->linked = false;
	verify_links(v, info, row);
	verify_hash(v, info, row);
	v->seq = seq;
	v->linked = true;
}

/*
 * One balance of an entry.  It may follow what its predecessor holds or what
 * that should hold: then the predecessor alone is damaged.
 */
static void
verify_balance(Verifier *v, const char *id, int64 seq, const char *name, int64 delta,
			   int64 actual, int64 *before, int64 *before_expected)
{
	int64		expected = (int64) ((uint64) *before + (uint64) delta);

	if (actual == (int64) ((uint64) *before_expected + (uint64) delta))
		expected = actual;
	if (v->linked && actual != expected)
		report(v, id, seq, "wrong_balance",
			   psprintf("%s %lld", name, (long long) expected),
			   psprintf("%s %lld", name, (long long) actual));
	if (actual < 0 || actual > ECO_MAX_AMOUNT)
		report(v, id, seq, "wrong_balance", psprintf("%s from 0 to 2^53-1", name),
			   psprintf("%s %lld", name, (long long) actual));
	*before = actual;
	*before_expected = v->linked ? expected : actual;
}

static void
verify_links(Verifier *v, const EcoJournalInfo *info, const EcoRow *row)
{
	int64		seq = eco_row_int(row, ECO_COL_SEQ);
	char	   *id = eco_transaction_id(info->journal, v->user_id, seq);

	verify_balance(v, id, seq, "gold", eco_row_int(row, ECO_COL_GOLD_DELTA),
				   eco_row_int(row, ECO_COL_GOLD), &v->gold, &v->gold_expected);
	verify_balance(v, id, seq, "experience_points", eco_row_int(row, ECO_COL_XP_DELTA),
				   eco_row_int(row, ECO_COL_XP), &v->xp, &v->xp_expected);
}

static char *
hex(const uint8 *bytes, size_t len)
{
	char	   *text = palloc(len * 2 + 1);

	text[		hex_encode((const char *) bytes, len, text)] = '\0';
	return text;
}

static void
verify_hash(Verifier *v, const EcoJournalInfo *info, const EcoRow *row)
{
	int64		seq = eco_row_int(row, ECO_COL_SEQ);
	bytea	   *stored = DatumGetByteaPP(row->values[ECO_COL_HASH]);
	size_t		stored_len = VARSIZE_ANY_EXHDR(stored);
	const uint8 *stored_hash = (const uint8 *) VARDATA_ANY(stored);
	uint8		computed[ECO_HASH_LEN];
	bool		matches;

	eco_entry_hash(row, info->journal, info->signature_column, v->stored, computed);
	matches = stored_len == ECO_HASH_LEN && memcmp(computed, stored_hash, ECO_HASH_LEN) == 0;
	if (!matches && v->linked && memcmp(v->stored, v->computed, ECO_HASH_LEN) != 0)
	{
		/* the predecessor is damaged: perhaps only in its hash */
		uint8		other[ECO_HASH_LEN];

		eco_entry_hash(row, info->journal, info->signature_column, v->computed, other);
		if (stored_len == ECO_HASH_LEN && memcmp(other, stored_hash, ECO_HASH_LEN) == 0)
		{
			memcpy(computed, other, ECO_HASH_LEN);
			matches = true;
		}
	}
	if (!matches && v->linked)
		report(v, eco_transaction_id(info->journal, v->user_id, seq), seq, "wrong_hash",
			   hex(computed, ECO_HASH_LEN), hex(stored_hash, stored_len));
	if (info->signature_column >= 0)
		verify_signature(v, info, row, matches || !v->linked ? stored_hash : computed);

	memcpy(v->computed, computed, ECO_HASH_LEN);
	memset(v->stored, 0, ECO_HASH_LEN);
	memcpy(v->stored, stored_hash, Min(stored_len, ECO_HASH_LEN));
	/* after a gap the computed hash proves nothing */
	if (!v->linked)
		memcpy(v->computed, v->stored, ECO_HASH_LEN);
}

/*
 * A signature is made from the hash as it was.  With a damaged entry neither
 * hash may be that one, so the stored one counts when either verifies.
 */
static void
verify_signature(Verifier *v, const EcoJournalInfo *info, const EcoRow *row,
				 const uint8 *hash)
{
	int64		seq = eco_row_int(row, ECO_COL_SEQ);
	bytea	   *stored_hash = DatumGetByteaPP(row->values[ECO_COL_HASH]);
	bytea	   *signature = DatumGetByteaPP(row->values[info->signature_column]);
	int32		version = DatumGetInt32(row->values[info->key_version_column]);
	EcoVerdict	verdict;

	verdict = eco_key_verify(version, hash, ECO_HASH_LEN,
							 (const uint8 *) VARDATA_ANY(signature),
							 VARSIZE_ANY_EXHDR(signature));
	if (verdict == ECO_SIGNATURE_WRONG && VARSIZE_ANY_EXHDR(stored_hash) == ECO_HASH_LEN)
		verdict = eco_key_verify(version, VARDATA_ANY(stored_hash), ECO_HASH_LEN,
								 (const uint8 *) VARDATA_ANY(signature),
								 VARSIZE_ANY_EXHDR(signature));
	if (verdict == ECO_SIGNATURE_WRONG)
		report(v, eco_transaction_id(info->journal, v->user_id, seq), seq, "wrong_signature",
			   psprintf("a signature by key version %d", version), "another");
	else if (verdict == ECO_KEY_UNKNOWN)
		report(v, eco_transaction_id(info->journal, v->user_id, seq), seq, "wrong_signature",
			   "a known key version", psprintf("version %d", version));
}

static void
verify_account(Verifier *v)
{
	EcoAccount	account;
	int64		missing;

	if (!eco_account_read(v->user_id, &account))
	{
		if (v->seq > 0)
			report(v, NULL, v->seq, "orphan_row", "an account", "none");
		return;
	}
	missing = account.seq - v->seq;
	if (missing > 0)
		report(v, NULL, v->seq + 1, "missing_entry",
			   psprintf("entries up to seq %lld", (long long) account.seq), "nothing");
	else if (missing < 0)
		report(v, NULL, account.seq, "wrong_balance",
			   psprintf("account seq %lld", (long long) v->seq),
			   psprintf("account seq %lld", (long long) account.seq));
	if (missing != 0)
		return;
	if (account.gold != v->gold && account.gold != v->gold_expected)
		report(v, NULL, v->seq, "wrong_balance",
			   psprintf("account gold %lld", (long long) v->gold),
			   psprintf("account gold %lld", (long long) account.gold));
	if (account.xp != v->xp && account.xp != v->xp_expected)
		report(v, NULL, v->seq, "wrong_balance",
			   psprintf("account experience_points %lld", (long long) v->xp),
			   psprintf("account experience_points %lld", (long long) account.xp));
	if (memcmp(account.head, v->stored, ECO_HASH_LEN) != 0 &&
		memcmp(account.head, v->computed, ECO_HASH_LEN) != 0)
		report(v, NULL, v->seq, "broken_chain",
			   psprintf("account head %s", hex(v->stored, ECO_HASH_LEN)),
			   psprintf("account head %s", hex(account.head, ECO_HASH_LEN)));
}

static void
report(Verifier *v, const char *id, int64 seq, const char *kind,
	   const char *expected, const char *actual)
{
	Datum		values[FINDING_COLUMNS];
	bool		isnull[FINDING_COLUMNS] = {false};

	values[0] = Int64GetDatum(v->user_id);
	values[1] = CStringGetTextDatum(kind);
	values[2] = CStringGetTextDatum(expected);
	values[3] = CStringGetTextDatum(actual);
	isnull[4] = id == NULL;
	values[4] = id != NULL ? CStringGetTextDatum(id) : (Datum) 0;
	values[5] = Int64GetDatum(seq);
	tuplestore_putvalues(v->store, v->desc, values, isnull);
}
