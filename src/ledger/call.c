/*
 * call.c
 *		The idempotent opening of every call that makes an entry (I4).
 *
 * A retry is a read: the key is looked up with the journal alone, and only a new
 * call opens the rest.  Why that one look is enough when the account has not
 * moved: every entry of a user updates the account row.  If the version that the
 * snapshot of the look sees is the one we lock, and nobody was waited for, no entry
 * was committed since, so the key it did not see does not exist.  Otherwise we look
 * again with a snapshot taken while we hold the lock, and then nothing can move.  The
 * key's index need not be unique for that, and could not be: it has digests.  Were an
 * entry ever made past the lock, it would have the seq of another, which is unique.  User
 * code that runs at a write has the lock too: see eco_entries_write().
 *
 * A call in passing does without the lock: the update of the account is it, which takes
 * the version that was read or nothing, and waits for nobody.  So it proves the same, that
 * no entry was committed since the look and that nobody was waited for, only later.  Such
 * may be a call that writes nothing before the account, and that reads of what the lock
 * guards the account's row alone.  A refusal writes no account, so it takes the lock, in
 * the same way, when it is known.
 *
 * The rules are read under a snapshot taken after the lock in any case: what an
 * admin had changed by then holds for this call.  At REPEATABLE READ and above there
 * is none: a moved account, or a changed rule, is a serialization failure.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "errors.h"
#include "ledger/archive.h"
#include "ledger/call.h"
#include "ledger/lock.h"
#include "ledger/result.h"
#include "settings.h"

#define KEY_LOCK_POLL_US	5000

PG_FUNCTION_INFO_V1(eco_announce_key);

static void open_journal(EcoCall *call);
static bool open_the_rest(EcoCall *call);
static bool find_first(EcoCall *call);
static bool read_accounts(EcoCall *call);
static EcoAccountLock lock_accounts(EcoCall *call);
static bool key_lock(const EcoCall *call);
static EcoCallState new_or_archived(EcoCall *call);

void
eco_call_init(EcoCall *call, const EcoJournal *journal, int64 user_id,
			  EcoTable *const *tables)
{
	call->journal = journal;
	call->user_id = user_id;
	call->key = 0;
	call->ntexts = 0;
	call->tables = tables;
	call->tables_of_new = NULL;
	call->in_passing = false;
	call->dry_run = false;
	call->of_two = false;
	call->account.is_unlocked = false;
	call->other.is_unlocked = false;
}

EcoCallState
eco_call_begin(EcoCall *call)
{
	EcoAccountLock lock;
	bool		announced = false;

	open_journal(call);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (call->ntexts > 0 && find_first(call))
			return ECO_CALL_REPLAY;
		if (!call->dry_run && call->ntexts > 0 && !announced && !key_lock(call))
			return ECO_CALL_BUSY;
		announced = true;
		if (open_the_rest(call))
			continue;
		if (call->dry_run)
			return read_accounts(call) ? new_or_archived(call) : ECO_CALL_NO_USER;
		lock = lock_accounts(call);
		eco_snapshot_renew();
		if (lock != ECO_ACCOUNT_MOVED)
			return lock == ECO_ACCOUNT_LOCKED ? new_or_archived(call) : ECO_CALL_NO_USER;
	}
}

static bool
read_accounts(EcoCall *call)
{
	call->missing_id = call->user_id;
	if (!eco_account_read(call->user_id, &call->account))
		return false;
	call->missing_id = call->other_id;
	return !call->of_two || eco_account_read(call->other_id, &call->other);
}

static EcoAccountLock
lock_one(EcoCall *call, int64 user_id, EcoAccount *account, bool in_passing)
{
	call->missing_id = user_id;
	return in_passing ? eco_account_take(user_id, account) : eco_account_lock(user_id, account);
}

/*
 * Of two the lesser id first, and only the other one in passing: nobody has written anything
 * yet whose account is then another one.  After a wait for either all is looked up again,
 * with what is locked by then: it moves no more, and is not waited for.
 */
static EcoAccountLock
lock_accounts(EcoCall *call)
{
	bool		other_first = call->of_two && call->other_id < call->user_id;
	EcoAccountLock lock = ECO_ACCOUNT_LOCKED;

	if (other_first)
		lock = lock_one(call, call->other_id, &call->other, false);
	if (lock == ECO_ACCOUNT_LOCKED)
		lock = lock_one(call, call->user_id, &call->account,
						call->in_passing && (!call->of_two || other_first));
	if (lock == ECO_ACCOUNT_LOCKED && call->of_two && !other_first)
		lock = lock_one(call, call->other_id, &call->other, call->in_passing);
	return lock;
}

/*
 * Whether the entry of the key is in an archive.  Whoever moves one there moves the
 * account on, so that here, behind the account's lock, it is seen in the journal or there.
 */
static EcoCallState
new_or_archived(EcoCall *call)
{
	static EcoTable *const tables[] = {&eco_archived_keys, NULL};

	if (call->account.pruned_seq == 0 || !call->journal->leaves)
		return ECO_CALL_NEW;
	(void) eco_tables_add(call->open, tables);
	/* who has no key may ask what else stays of what was archived */
	if (call->ntexts == 0)
		return ECO_CALL_NEW;
	return eco_archive_has_key(&call->account, call->journal, call->texts,
							   &call->archived_seq) ? ECO_CALL_ARCHIVED : ECO_CALL_NEW;
}

void
eco_call_end(EcoCall *call)
{
	eco_tables_close(call->open);
}

static int
append(EcoTable **tables, int n, EcoTable *const *list)
{
	for (int i = 0; list != NULL && list[i] != NULL && n < ECO_MAX_OPEN; i++)
		tables[n++] = list[i];
	return n;
}

static void
open_journal(EcoCall *call)
{
	EcoTable   *tables[ECO_MAX_OPEN + 1] = {call->journal->table};

	tables[append(tables, 1, call->tables)] = NULL;
	call->open = eco_user_tables_open(call->dry_run ? ECO_READ_FRESH : ECO_WRITE,
									  call->of_two ? ECO_ALL_USERS : call->user_id, tables);
}

/* True when what was read before is to be read again. */
static bool
open_the_rest(EcoCall *call)
{
	EcoTable   *tables[ECO_MAX_OPEN + 1] = {&eco_accounts};

	tables[append(tables, 1, call->tables_of_new)] = NULL;
	return eco_tables_add(call->open, tables);
}

bool
eco_key_find(EcoScan **kept, const EcoJournal *journal, int key, int64 user_id,
			 const EcoText *texts, int ntexts, EcoRow *row)
{
	Datum		values[1 + ECO_MAX_CALL_TEXTS];

	values[0] = Int64GetDatum(user_id);
	for (int i = 0; i < ntexts; i++)
		values[i + 1] = texts[i].datum;
	return eco_row_find_next(kept, journal->table, user_id, key, ntexts + 1, values, row);
}

static bool
find_first(EcoCall *call)
{
	EcoScan    *scan = NULL;
	bool		found = eco_key_find(&scan, call->journal, call->key, call->user_id,
									 call->texts, call->ntexts, &call->first);

	eco_scan_end(scan);
	return found;
}

/*
 * Take the transaction's lock on the key, waiting up to
 * economy.duplicate_wait.  False: another transaction has it.  The account lock keeps
 * a key to one effect without it; it is what lets a duplicate be answered at once;
 * past the transaction's fair share of locks a duplicate waits for the account instead.
 */
static bool
key_lock(const EcoCall *call)
{
	uint64		hash = (uint64) call->user_id ^ ((uint64) call->journal->letter << 56);
	LOCKTAG		tag;
	TimestampTz give_up;

	if (!eco_lock_affordable())
		return true;
	for (int i = 0; i < call->ntexts; i++)
		hash = hash_bytes_extended((const unsigned char *) call->texts[i].data,
								   call->texts[i].len, hash);
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (hash >> 32), (uint32) hash,
						 ECO_LOCK_CLASS_KEY);
	if (LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL)
		return true;
	if (eco_duplicate_wait_ms == 0)
		return false;
	give_up = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), eco_duplicate_wait_ms);
	while (GetCurrentTimestamp() < give_up)
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(KEY_LOCK_POLL_US);
		if (LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL)
			return true;
	}
	return false;
}

/*
 * eco_announce_key(journal "char", user_id bigint, first text, second text) returns integer
 *		For calls in SQL, before they lock the account.  Null: it is announced, until the end of
 *		the transaction; else after how many milliseconds to try again.
 */
Datum
eco_announce_key(PG_FUNCTION_ARGS)
{
	const EcoJournal *journal;
	EcoCall		call;

	eco_require_arg(fcinfo, 0, "journal");
	eco_require_arg(fcinfo, 1, "user_id");
	journal = eco_journal_of(PG_GETARG_CHAR(0));
	if (journal == NULL)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("no journal has this letter"));
	eco_call_init(&call, journal, PG_GETARG_INT64(1), NULL);
	call.texts[call.ntexts++] = eco_text_arg(fcinfo, 2, "first", ECO_MAX_KEY);
	call.texts[call.ntexts++] = eco_text_arg(fcinfo, 3, "second", ECO_MAX_KEY);
	if (key_lock(&call))
		PG_RETURN_NULL();
	PG_RETURN_INT32(eco_retry_after_ms());
}
