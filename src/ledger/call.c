/*
 * call.c
 *		The idempotent opening of every call that makes an entry (I4).
 *
 * Why one look at the key is enough when the account has not moved: every
 * entry of a user updates the account row.  If the version that our snapshot
 * sees is the one we lock, no entry was committed after the snapshot, so the
 * key it did not see does not exist.  Otherwise, and after any wait, we look again
 * with a snapshot taken while we hold the lock, and then nothing can move.
 *
 * The rules are read under a snapshot taken after the lock in any case: what an
 * admin had changed by then holds for this call.  At REPEATABLE READ and above there
 * is none: a moved account, or a changed rule, is a serialization failure.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "ledger/call.h"
#include "ledger/lock.h"
#include "settings.h"

#define KEY_LOCK_POLL_US	5000
#define RETRY_AFTER_MIN_MS	150
#define RETRY_AFTER_MAX_MS	300

typedef enum KeyLock
{
	KEY_LOCKED,
	KEY_LOCKED_AFTER_WAIT,
	KEY_BUSY
} KeyLock;

static void open_tables(EcoCall *call);
static bool find_first(EcoCall *call);
static KeyLock key_lock(const EcoCall *call);

void
eco_call_init(EcoCall *call, EcoJournal journal, EcoTable *table, int64 user_id,
			  EcoTable *const *tables)
{
	call->journal = journal;
	call->table = table;
	call->user_id = user_id;
	call->key = 0;
	call->ntexts = 0;
	call->tables = tables;
	call->dry_run = false;
}

EcoCallState
eco_call_begin(EcoCall *call)
{
	bool		announced = call->ntexts == 0;

	open_tables(call);
	for (;; eco_snapshot_renew())
	{
		CHECK_FOR_INTERRUPTS();
		if (call->ntexts > 0 && find_first(call))
			return ECO_CALL_REPLAY;
		if (call->dry_run)
			return eco_account_read(call->user_id, &call->account) ?
				ECO_CALL_NEW : ECO_CALL_NO_USER;
		if (!announced)
		{
			KeyLock		lock = key_lock(call);

			if (lock == KEY_BUSY)
				return ECO_CALL_BUSY;
			announced = true;
			if (lock == KEY_LOCKED_AFTER_WAIT)
				continue;
		}
		switch (eco_account_lock(call->user_id, &call->account))
		{
			case ECO_ACCOUNT_LOCKED:
				eco_snapshot_renew();
				return ECO_CALL_NEW;
			case ECO_ACCOUNT_MISSING:
				return ECO_CALL_NO_USER;
			case ECO_ACCOUNT_MOVED:
				break;
		}
	}
}

void
eco_call_end(EcoCall *call)
{
	eco_tables_close(call->open);
}

static void
open_tables(EcoCall *call)
{
	EcoTable   *tables[ECO_MAX_OPEN + 1] = {&eco_accounts, call->table};
	int			n = 2;

	for (int i = 0; call->tables != NULL && call->tables[i] != NULL && n < ECO_MAX_OPEN; i++)
		tables[n++] = call->tables[i];
	tables[n] = NULL;
	call->open = eco_tables_open(call->dry_run ? ECO_READ_FRESH : ECO_WRITE, tables);
}

int
eco_retry_after_ms(void)
{
	return (int) pg_prng_uint64_range(&pg_global_prng_state,
									  RETRY_AFTER_MIN_MS, RETRY_AFTER_MAX_MS);
}

static bool
find_first(EcoCall *call)
{
	Datum		values[1 + ECO_MAX_CALL_TEXTS];

	values[0] = Int64GetDatum(call->user_id);
	for (int i = 0; i < call->ntexts; i++)
		values[i + 1] = call->texts[i].datum;
	return eco_row_find(call->table, call->user_id, call->key, call->ntexts + 1,
						values, &call->first);
}

/*
 * One transaction that makes very many calls would fill the lock table.  Past
 * its fair share it stops announcing its keys, and a duplicate then waits for
 * the account instead of being told at once.
 */
static bool
key_lock_affordable(void)
{
	static LocalTransactionId counted_in = InvalidLocalTransactionId;
	static int	held = 0;

	if (counted_in != eco_my_lxid)
	{
		counted_in = eco_my_lxid;
		held = 0;
	}
	return ++held <= max_locks_per_xact;
}

/*
 * Take the transaction's lock on the key, waiting up to
 * economy.duplicate_wait.  The account
 * lock and the unique index keep a key to one effect without it; it is what
 * lets a duplicate be answered at once.
 */
static KeyLock
key_lock(const EcoCall *call)
{
	uint64		hash = (uint64) call->user_id ^ ((uint64) call->journal << 56);
	LOCKTAG		tag;
	TimestampTz give_up;

	if (!key_lock_affordable())
		return KEY_LOCKED;
	for (int i = 0; i < call->ntexts; i++)
		hash = hash_bytes_extended((const unsigned char *) call->texts[i].data,
								   call->texts[i].len, hash);
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (hash >> 32), (uint32) hash,
						 ECO_LOCK_CLASS_KEY);
	if (LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL)
		return KEY_LOCKED;
	if (eco_duplicate_wait_ms == 0)
		return KEY_BUSY;
	give_up = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), eco_duplicate_wait_ms);
	while (GetCurrentTimestamp() < give_up)
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(KEY_LOCK_POLL_US);
		if (LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL)
			return KEY_LOCKED_AFTER_WAIT;
	}
	return KEY_BUSY;
}
