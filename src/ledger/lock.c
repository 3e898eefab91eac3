/*
 * lock.c
 *		Locks on names: what jobs and changes of the catalogue take so that two of
 *		them do not meet.
 *
 * Anybody who can connect may take PostgreSQL's advisory locks, and by guessing a
 * key could keep everybody else out.  These are of a class that no function of
 * PostgreSQL reaches.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"

#include "compat.h"
#include "ledger/args.h"
#include "ledger/lock.h"

PG_FUNCTION_INFO_V1(eco_lock_name);
PG_FUNCTION_INFO_V1(eco_try_lock_name);

void
eco_name_tag(LOCKTAG *tag, const char *name, int len)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) name, len, 0);

	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) (hash >> 32), (uint32) hash,
						 ECO_LOCK_CLASS_NAME);
}

/*
 * A transaction of very many calls takes no more than its share, or it would
 * fill the lock table.
 */
static int *
locks_taken(void)
{
	static LocalTransactionId counted_in = InvalidLocalTransactionId;
	static int	held = 0;

	if (counted_in != eco_my_lxid)
	{
		counted_in = eco_my_lxid;
		held = 0;
	}
	return &held;
}

bool
eco_lock_affordable(void)
{
	return ++* locks_taken() <= max_locks_per_xact;
}

bool
eco_locks_affordable(int n)
{
	return *locks_taken() <= max_locks_per_xact - n;
}

bool
eco_name_lock(const char *name, int len, bool try_only)
{
	LOCKTAG		tag;

	eco_name_tag(&tag, name, len);
	return LockAcquire(&tag, ExclusiveLock, false, try_only) != LOCKACQUIRE_NOT_AVAIL;
}

/* eco_lock_name(name text) returns void */
Datum
eco_lock_name(PG_FUNCTION_ARGS)
{
	text	   *name;

	eco_require_arg(fcinfo, 0, "name");
	name = PG_GETARG_TEXT_PP(0);
	(void) eco_name_lock(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), false);
	PG_RETURN_VOID();
}

/* eco_try_lock_name(name text) returns boolean */
Datum
eco_try_lock_name(PG_FUNCTION_ARGS)
{
	text	   *name;

	eco_require_arg(fcinfo, 0, "name");
	name = PG_GETARG_TEXT_PP(0);
	PG_RETURN_BOOL(eco_name_lock(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), true));
}
