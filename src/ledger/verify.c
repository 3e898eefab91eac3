/*
 * verify.c
 *		Proof of one user's stream: sequence, balances, hash chain, signatures and
 *		the account row, recomputed from the entries (I1, I2, I3); who the user is
 *		and was, against what the chain begins with and what changed since.
 *
 * Findings name the damaged entry and no other: an entry follows its
 * predecessor's stored hash when the predecessor's contents were changed, and
 * its computed hash when only that hash was.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "ledger/archive.h"
#include "ledger/args.h"
#include "ledger/checkpoint.h"
#include "ledger/entry.h"
#include "ledger/keys.h"
#include "ledger/mark.h"
#include "ledger/result.h"
#include "ledger/stream.h"
#include "ledger/user.h"
#include "ledger/verify.h"

#define FINDING_COLUMNS 6

PG_FUNCTION_INFO_V1(eco_verify_chain);
PG_FUNCTION_INFO_V1(eco_verify_new);

typedef struct Verifier
{
	int64		user_id;
	int64		upto;			/* the last entry to be verified; 0: all, and
								 * the account */
	Tuplestorestate *store;		/* NULL: only count the findings */
	TupleDesc	desc;
	int			findings;
	MemoryContext entry_context;	/* reset after each entry */
	EcoUserRecord user;

	/* entries up to it may have been pruned; seq 0: none */
	EcoCheckpoint checkpoint;
	bool		behind_checkpoint;	/* the walk has passed it */
	uint8		links[ECO_HASH_LEN];	/* the entries before it, chained */

	/* where an audit found the stream clean, to be compared; seq 0: nowhere */
	EcoMark		mark;
	bool		behind_mark;	/* compared, or nothing to compare */
	int32		key_version;	/* the newest that has signed an entry */

	/* the entry before */
	int64		seq;
	int64		gold;			/* as stored */
	int64		xp;
	int64		gold_expected;	/* as it should be */
	int64		xp_expected;
	int64		position;		/* 0: not known */
	bool		linked;			/* false after a gap: nothing to compare with */
	uint8		stored[ECO_HASH_LEN];
	uint8		computed[ECO_HASH_LEN];
} Verifier;

static void verify(Verifier *v, bool from_audit);
static void load_checkpoint(Verifier *v);
static void begin_at_registration(Verifier *v);
static void begin_behind_mark(Verifier *v);
static void pass_mark(Verifier *v);
static void compare_mark(Verifier *v);
static void verify_stream(Verifier *v);
static void pass_checkpoint(Verifier *v);
static void begin_at_checkpoint(Verifier *v);
static void report_missing(Verifier *v, int64 seq);
static void verify_entry(Verifier *v, const EcoJournal *journal, const EcoRow *row);
static void verify_links(Verifier *v, const EcoJournal *journal, const EcoRow *row);
static void verify_hash(Verifier *v, const EcoJournal *journal, const EcoRow *row);
static void verify_signature(Verifier *v, const EcoJournal *journal, const EcoRow *row,
							 const uint8 *hash);
static void verify_life(Verifier *v, const EcoJournal *journal, const EcoRow *row, int32 version);
static void verify_account(Verifier *v);
static void verify_state(Verifier *v, const EcoAccount *account);
static void report(Verifier *v, const char *id, int64 seq, const char *kind,
				   const char *expected, const char *actual);

static void
verify_call(FunctionCallInfo fcinfo, bool from_audit)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	static EcoTable *const tables[] = {
		&eco_stream_checkpoints, &eco_audit_checkpoints, &eco_user_records, NULL
	};
	EcoOpenTables *open;
	Verifier	v = {0};

	eco_require_arg(fcinfo, 0, "user_id");
	eco_result_set_begin(fcinfo, "lttttl");
	v.user_id = PG_GETARG_INT64(0);
	v.store = info->setResult;
	v.desc = info->setDesc;
	open = eco_stream_open(ECO_READ, v.user_id, tables);
	verify(&v, from_audit);
	eco_tables_close(open);
}

/*
 * eco_verify_chain(user_id bigint) returns setof economy.finding
 */
Datum
eco_verify_chain(PG_FUNCTION_ARGS)
{
	verify_call(fcinfo, false);
	return (Datum) 0;
}

/*
 * eco_verify_new(user_id bigint) returns setof economy.finding
 *		The same for the entries after the user's audit checkpoint.
 */
Datum
eco_verify_new(PG_FUNCTION_ARGS)
{
	verify_call(fcinfo, true);
	return (Datum) 0;
}

bool
eco_stream_is_sound(int64 user_id, int64 *newest)
{
	Verifier	v = {.user_id = user_id};

	verify(&v, false);
	*newest = v.seq;
	return v.findings == 0;
}

bool
eco_stream_part_is_sound(const EcoAccount *account, const EcoCheckpoint *checkpoint, int64 upto)
{
	Verifier	v = {.user_id = account->user_id, .checkpoint = *checkpoint, .upto = upto};
	uint8		gone[ECO_HASH_LEN];

	if (account->pruned_seq != checkpoint->seq || !checkpoint->valid)
		return false;
	eco_checkpoint_gone(v.user_id, gone);
	if (memcmp(gone, checkpoint->gone, ECO_HASH_LEN) != 0)
		return false;
	v.entry_context = AllocSetContextCreate(CurrentMemoryContext, "economy entry",
											ALLOCSET_DEFAULT_SIZES);
	begin_at_registration(&v);
	v.behind_checkpoint = true;
	if (checkpoint->seq > 0)
		begin_at_checkpoint(&v);
	v.behind_mark = !eco_mark_read(v.user_id, &v.mark) || v.mark.seq <= checkpoint->seq ||
		v.mark.seq > upto;
	verify_stream(&v);
	MemoryContextDelete(v.entry_context);
	return v.findings == 0 && v.seq == upto;
}

/* from_audit: begin where the last audit found the stream clean. */
static void
verify(Verifier *v, bool from_audit)
{
	v->entry_context = AllocSetContextCreate(CurrentMemoryContext, "economy entry",
											 ALLOCSET_DEFAULT_SIZES);
	load_checkpoint(v);
	begin_at_registration(v);
	v->behind_checkpoint = v->checkpoint.seq == 0;
	v->behind_mark = !eco_mark_read(v->user_id, &v->mark);
	if (from_audit && !v->behind_mark && v->mark.valid && v->mark.seq >= v->checkpoint.seq)
		begin_behind_mark(v);
	verify_stream(v);
	MemoryContextDelete(v->entry_context);
}

/* Read the stream's signed checkpoint: actions up to it may have been pruned. */
static void
load_checkpoint(Verifier *v)
{
	if (!eco_checkpoint_read(v->user_id, &v->checkpoint))
		v->checkpoint.seq = 0;
	else if (!v->checkpoint.valid)
		report(v, NULL, v->checkpoint.seq, "wrong_signature", "a valid stream checkpoint",
			   "one that does not verify");
}

/*
 * Begin at the hash of who the user was at registration, which the first entry
 * follows.
 */
static void
begin_at_registration(Verifier *v)
{
	eco_user_record(v->user_id, &v->user);
	v->linked = v->user.exists;
	memcpy(v->stored, v->user.first_hash, ECO_HASH_LEN);
	memcpy(v->computed, v->user.first_hash, ECO_HASH_LEN);
	memcpy(v->links, v->user.first_hash, ECO_HASH_LEN);
}

static void
begin_behind_mark(Verifier *v)
{
	v->behind_mark = true;
	v->behind_checkpoint = true;
	v->linked = true;
	v->seq = v->mark.seq;
	v->gold = v->gold_expected = v->mark.gold;
	v->xp = v->xp_expected = v->mark.xp;
	memcpy(v->stored, v->mark.hash, ECO_HASH_LEN);
	memcpy(v->computed, v->mark.hash, ECO_HASH_LEN);
}

static void
verify_stream(Verifier *v)
{
	EcoStream  *stream = eco_stream_begin(v->user_id, v->seq > 0 ? v->seq : ECO_STREAM_ALL);
	const EcoJournal *journal;
	const EcoRow *row;

	while ((row = eco_stream_next(stream, &journal)) != NULL &&
		   (v->upto == 0 || eco_row_int(row, ECO_COL_SEQ) <= v->upto))
	{
		MemoryContext old_context = MemoryContextSwitchTo(v->entry_context);

		if (!v->behind_mark && eco_row_int(row, ECO_COL_SEQ) > v->mark.seq)
			pass_mark(v);
		if (!v->behind_checkpoint && eco_row_int(row, ECO_COL_SEQ) > v->checkpoint.seq)
			pass_checkpoint(v);
		verify_entry(v, journal, row);
		MemoryContextSwitchTo(old_context);
		MemoryContextReset(v->entry_context);
	}
	if (!v->behind_mark)
		pass_mark(v);
	if (!v->behind_checkpoint)
		pass_checkpoint(v);
	eco_stream_end(stream);
	if (v->upto == 0)
		verify_account(v);
}

/*
 * Up to the checkpoint pruned actions are missing, so an entry behind a gap
 * has nothing to be compared with.  The checkpoint signs what was left there
 * and the state of the stream; from here on the chain has no gaps.
 */
static void
pass_checkpoint(Verifier *v)
{
	const EcoCheckpoint *c = &v->checkpoint;
	uint8		gone[ECO_HASH_LEN];
	uint8		gone_keys[ECO_HASH_LEN];
	uint8		archived[ECO_HASH_LEN];

	v->behind_checkpoint = true;
	if (v->seq != c->seq)
		report_missing(v, c->seq);
	else if (v->gold != c->gold || v->xp != c->xp)
		report(v, NULL, c->seq, "wrong_balance",
			   psprintf("gold %lld, experience_points %lld", (long long) c->gold,
						(long long) c->xp),
			   psprintf("gold %lld, experience_points %lld", (long long) v->gold,
						(long long) v->xp));
	else if (memcmp(v->stored, c->hash, ECO_HASH_LEN) != 0)
		report(v, NULL, c->seq, "wrong_hash", eco_hex(c->hash, ECO_HASH_LEN),
			   eco_hex(v->stored, ECO_HASH_LEN));
	/* a finding that names its entry says more than that there is one */
	if (v->findings == 0 && memcmp(v->links, c->links, ECO_HASH_LEN) != 0)
		report(v, NULL, c->seq, "broken_chain", "the entries that the stream checkpoint signed",
			   "changed, missing or further entries");
	eco_checkpoint_gone(v->user_id, gone);
	eco_checkpoint_gone_keys(v->user_id, gone_keys);
	if (memcmp(gone, c->gone, ECO_HASH_LEN) != 0 ||
		memcmp(gone_keys, c->gone_keys, ECO_HASH_LEN) != 0)
		report(v, NULL, c->seq, "missing_entry",
			   "the sums and keys of pruned actions that the stream checkpoint signed",
			   "changed, missing or further ones");
	eco_archive_digest(v->user_id, archived);
	if (memcmp(archived, c->archived, ECO_HASH_LEN) != 0)
		report(v, NULL, c->seq, "missing_entry",
			   "the archives and keys of archived entries that the stream checkpoint signed",
			   "changed, missing or further ones");
	begin_at_checkpoint(v);
}

static void
begin_at_checkpoint(Verifier *v)
{
	const EcoCheckpoint *c = &v->checkpoint;

	v->linked = true;
	v->seq = c->seq;
	v->gold = v->gold_expected = c->gold;
	v->xp = v->xp_expected = c->xp;
	memcpy(v->stored, c->hash, ECO_HASH_LEN);
	memcpy(v->computed, c->hash, ECO_HASH_LEN);
}

/*
 * The state that an audit noted.  A prune may have taken the entry, but brings
 * the note up to its checkpoint.
 */
static void
pass_mark(Verifier *v)
{
	v->behind_mark = true;
	if (v->seq != v->mark.seq || !v->mark.valid)
		report(v, NULL, v->mark.seq, "wrong_mark", "an entry, as an audit noted it",
			   v->mark.valid ? "nothing" : "a note that is none");
	else
		compare_mark(v);
}

static void
compare_mark(Verifier *v)
{
	const EcoMark *m = &v->mark;

	if (v->gold != m->gold || v->xp != m->xp)
		report(v, NULL, m->seq, "wrong_mark",
			   psprintf("gold %lld, experience_points %lld, as an audit noted", (long long) m->gold,
						(long long) m->xp),
			   psprintf("gold %lld, experience_points %lld", (long long) v->gold,
						(long long) v->xp));
	if (memcmp(v->stored, m->hash, ECO_HASH_LEN) != 0)
		report(v, NULL, m->seq, "wrong_mark",
			   psprintf("hash %s, as an audit noted", eco_hex(m->hash, ECO_HASH_LEN)),
			   eco_hex(v->stored, ECO_HASH_LEN));
}

static void
report_missing(Verifier *v, int64 seq)
{
	report(v, NULL, seq, "missing_entry", "an entry", "nothing");
}

static void
verify_entry(Verifier *v, const EcoJournal *journal, const EcoRow *row)
{
	int64		seq = eco_row_int(row, ECO_COL_SEQ);

	if (seq < 1)
	{
		report(v, eco_transaction_id(journal, v->user_id, seq), seq,
			   "wrong_seq", "a seq from 1", psprintf("seq %lld", (long long) seq));
		return;
	}
	if (seq == v->seq)
	{
		report(v, eco_transaction_id(journal, v->user_id, seq), seq,
			   "duplicate_effect", "one entry with this seq", "another entry with it");
		return;
	}
	for (int64 missing = v->seq + 1; v->behind_checkpoint && missing < seq; missing++)
	{
		/* name a few, then the range: a wild seq must not flood the report */
		if (missing - v->seq > 10)
		{
			report(v, NULL, missing, "missing_entry",
				   psprintf("entries up to seq %lld", (long long) seq - 1), "nothing");
			break;
		}
		report_missing(v, missing);
	}
	if (seq != v->seq + 1)
		v->linked = false;
	verify_links(v, journal, row);
	verify_hash(v, journal, row);
	if (!v->behind_checkpoint)
		eco_entry_hash(journal, row, v->links, v->links);
	v->seq = seq;
	v->position = eco_row_int(row, ECO_COL_POSITION);
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
verify_links(Verifier *v, const EcoJournal *journal, const EcoRow *row)
{
	int64		seq = eco_row_int(row, ECO_COL_SEQ);
	char	   *id = eco_transaction_id(journal, v->user_id, seq);

	verify_balance(v, id, seq, "gold", eco_row_int(row, ECO_COL_GOLD_DELTA),
				   eco_row_int(row, ECO_COL_GOLD), &v->gold, &v->gold_expected);
	verify_balance(v, id, seq, "experience_points", eco_row_int(row, ECO_COL_XP_DELTA),
				   eco_row_int(row, ECO_COL_XP), &v->xp, &v->xp_expected);
}

/* The texts are what was hashed; what an index is to find them by is not hashed. */
static void
verify_digest(Verifier *v, const EcoJournal *journal, const EcoRow *row)
{
	int64		seq = eco_row_int(row, ECO_COL_SEQ);
	int64		digest;

	if (!eco_row_digest_wrong(row, &digest))
		return;
	report(v, eco_transaction_id(journal, v->user_id, seq), seq, "wrong_digest",
		   psprintf("key_digest %lld", (long long) digest), "another one");
}

static void
verify_hash(Verifier *v, const EcoJournal *journal, const EcoRow *row)
{
	int64		seq = eco_row_int(row, ECO_COL_SEQ);
	bytea	   *stored = DatumGetByteaPP(row->values[ECO_COL_HASH]);
	size_t		stored_len = VARSIZE_ANY_EXHDR(stored);
	const uint8 *stored_hash = (const uint8 *) VARDATA_ANY(stored);
	uint8		computed[ECO_HASH_LEN];
	bool		matches;

	eco_entry_hash(journal, row, v->stored, computed);
	matches = stored_len == ECO_HASH_LEN && memcmp(computed, stored_hash, ECO_HASH_LEN) == 0;
	if (!matches && v->linked && memcmp(v->stored, v->computed, ECO_HASH_LEN) != 0)
	{
		/* the predecessor is damaged: perhaps only in its hash */
		uint8		other[ECO_HASH_LEN];

		eco_entry_hash(journal, row, v->computed, other);
		if (stored_len == ECO_HASH_LEN && memcmp(other, stored_hash, ECO_HASH_LEN) == 0)
		{
			memcpy(computed, other, ECO_HASH_LEN);
			matches = true;
		}
	}
	if (!matches && v->linked)
		report(v, eco_transaction_id(journal, v->user_id, seq), seq, "wrong_hash",
			   eco_hex(computed, ECO_HASH_LEN), eco_hex(stored_hash, stored_len));
	else
		verify_digest(v, journal, row);
	if (eco_journal_is_signed(journal))
		verify_signature(v, journal, row, computed);

	memcpy(v->computed, computed, ECO_HASH_LEN);
	memset(v->stored, 0, ECO_HASH_LEN);
	memcpy(v->stored, stored_hash, Min(stored_len, ECO_HASH_LEN));
}

/*
 * A signature is made from the hash as it was.  With a damaged entry neither
 * hash may be that one, so the stored one counts when either verifies.
 */
static void
verify_signature(Verifier *v, const EcoJournal *journal, const EcoRow *row,
				 const uint8 *hash)
{
	int64		seq = eco_row_int(row, ECO_COL_SEQ);
	bytea	   *stored_hash = DatumGetByteaPP(row->values[ECO_COL_HASH]);
	bytea	   *signature = DatumGetByteaPP(row->values[journal->signature_column]);
	int32		version = DatumGetInt32(row->values[journal->key_version_column]);
	EcoVerdict	verdict;

	verdict = eco_key_verify(version, hash, ECO_HASH_LEN,
							 (const uint8 *) VARDATA_ANY(signature),
							 VARSIZE_ANY_EXHDR(signature));
	if (verdict == ECO_SIGNATURE_WRONG && VARSIZE_ANY_EXHDR(stored_hash) == ECO_HASH_LEN)
		verdict = eco_key_verify(version, VARDATA_ANY(stored_hash), ECO_HASH_LEN,
								 (const uint8 *) VARDATA_ANY(signature),
								 VARSIZE_ANY_EXHDR(signature));
	if (verdict == ECO_SIGNATURE_WRONG)
		report(v, eco_transaction_id(journal, v->user_id, seq), seq, "wrong_signature",
			   psprintf("a signature by key version %d", version), "another");
	else if (verdict == ECO_KEY_RETIRED)
		verify_life(v, journal, row, version);
	else if (verdict == ECO_KEY_UNKNOWN)
		report(v, eco_transaction_id(journal, v->user_id, seq), seq, "wrong_signature",
			   "a known key version", psprintf("version %d", version));
	if (verdict == ECO_SIGNATURE_VALID || verdict == ECO_KEY_RETIRED)
		v->key_version = Max(v->key_version, version);
}

/*
 * A retired key's signature cannot be verified, but whether the key could have made
 * it can: at a position from its making to its end, whatever the clock said, and
 * never behind an entry that a newer key signed.
 */
static void
verify_life(Verifier *v, const EcoJournal *journal, const EcoRow *row, int32 version)
{
	int64		seq = eco_row_int(row, ECO_COL_SEQ);
	int64		position = eco_row_int(row, ECO_COL_POSITION);
	int64		first;
	int64		last;

	if (!eco_key_retired(version, &first, &last))
		return;
	if (version < v->key_version)
		report(v, eco_transaction_id(journal, v->user_id, seq), seq, "wrong_signature",
			   psprintf("key version %d or newer", v->key_version),
			   psprintf("version %d, retired", version));
	else if (position < first || position > last)
		report(v, eco_transaction_id(journal, v->user_id, seq), seq, "wrong_signature",
			   psprintf("a position from %lld to %lld, when key version %d could sign",
						(long long) first, (long long) last, version),
			   psprintf("position %lld", (long long) position));
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
	verify_state(v, &account);
	if (account.pruned_seq != v->checkpoint.seq)
		report(v, NULL, v->checkpoint.seq, "broken_chain",
			   psprintf("account pruned_seq %lld", (long long) v->checkpoint.seq),
			   psprintf("account pruned_seq %lld", (long long) account.pruned_seq));
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
	if (v->position != 0 && account.position != v->position)
		report(v, NULL, v->seq, "wrong_balance",
			   psprintf("account position %lld", (long long) v->position),
			   psprintf("account position %lld", (long long) account.position));
	if (v->linked && memcmp(account.head, v->stored, ECO_HASH_LEN) != 0 &&
		memcmp(account.head, v->computed, ECO_HASH_LEN) != 0)
		report(v, NULL, v->seq, "broken_chain",
			   psprintf("account head %s", eco_hex(v->stored, ECO_HASH_LEN)),
			   psprintf("account head %s", eco_hex(account.head, ECO_HASH_LEN)));
}

static char *
value_of(const char *name, const char *value)
{
	return value == NULL ? psprintf("no %s", name) : psprintf("%s %s", name, value);
}

/* Zone, profile, status and external id must be what the newest change of each made. */
static void
verify_state(Verifier *v, const EcoAccount *account)
{
	EcoUserRecord *user = &v->user;

	if (!user->exists)
	{
		report(v, NULL, v->seq, "orphan_row", "a user", "only an account");
		return;
	}
	user->present[ECO_USER_STATUS] = account->suspended ? "suspended" : "active";
	if (!user->changed[ECO_USER_STATUS])
		user->newest[ECO_USER_STATUS] = "active";
	user->changed[ECO_USER_STATUS] = true;
	for (int f = 0; f < ECO_USER_FIELDS; f++)
	{
		char	   *expected = value_of(eco_user_field_names[f], user->newest[f]);
		char	   *actual = value_of(eco_user_field_names[f], user->present[f]);

		if (user->changed[f] && strcmp(expected, actual) != 0)
			report(v, NULL, v->seq, "wrong_state", expected, actual);
	}
	/* nothing is wrong with the stream, so whoever asks only for that passes */
	if (v->store != NULL && pg_tzset(user->present[ECO_USER_TIMEZONE]) == NULL)
		report(v, NULL, v->seq, "wrong_state", "a time zone that this server knows",
			   value_of("timezone", user->present[ECO_USER_TIMEZONE]));
}

static void
report(Verifier *v, const char *id, int64 seq, const char *kind,
	   const char *expected, const char *actual)
{
	Datum		values[FINDING_COLUMNS];
	bool		isnull[FINDING_COLUMNS] = {false};

	v->findings++;
	if (v->store == NULL)
		return;
	values[0] = Int64GetDatum(v->user_id);
	values[1] = CStringGetTextDatum(kind);
	values[2] = CStringGetTextDatum(expected);
	values[3] = CStringGetTextDatum(actual);
	isnull[4] = id == NULL;
	values[4] = id != NULL ? CStringGetTextDatum(id) : (Datum) 0;
	values[5] = Int64GetDatum(seq);
	tuplestore_putvalues(v->store, v->desc, values, isnull);
}
