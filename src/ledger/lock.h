/*
 * lock.h
 *		Locks on names, until the end of the transaction, that no user can take.
 */
#ifndef ECO_LOCK_H
#define ECO_LOCK_H

#include "postgres.h"

#include "storage/lock.h"

/* Classes of advisory locks; those that users can take are 1 and 2. */
#define ECO_LOCK_CLASS_KEY	100 /* idempotency keys, call.c */
#define ECO_LOCK_CLASS_NAME 101

extern void eco_name_tag(LOCKTAG *tag, const char *name, int len);

/*
 * False when this transaction has taken its fair share of the lock table.  Asked
 * before a lock that only saves others a wait, which is then done without.
 */
extern bool eco_lock_affordable(void);

/* Whether n more will be, of which none is taken yet. */
extern bool eco_locks_affordable(int n);

/* Waits for it unless try_only; false: another transaction has it. */
extern bool eco_name_lock(const char *name, int len, bool try_only);

#endif
