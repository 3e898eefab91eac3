/*
 * call.h
 *		The idempotent opening of every call that makes an entry: look the key up,
 *		announce it, lock the account, and look again if the account moved.
 */
#ifndef ECO_CALL_H
#define ECO_CALL_H

#include "postgres.h"

#include "ledger/args.h"
#include "ledger/entry.h"

#define ECO_MAX_CALL_TEXTS 2

typedef struct EcoCall
{
	EcoJournal	journal;
	EcoTable   *table;			/* of the journal */
	int64		user_id;
	int			key;			/* its idempotency key: user_id, then texts */
	int			ntexts;			/* 0: the call has no key, only the account */
	EcoText		texts[ECO_MAX_CALL_TEXTS];
	bool		dry_run;		/* take no lock, promise nothing */

	EcoRow		first;			/* ECO_CALL_REPLAY: the first call's entry */
	EcoAccount	account;		/* ECO_CALL_NEW: locked, unless dry_run */
} EcoCall;

typedef enum EcoCallState
{
	ECO_CALL_NEW,
	ECO_CALL_REPLAY,
	ECO_CALL_BUSY,				/* another transaction is in that very call */
	ECO_CALL_NO_USER
} EcoCallState;

extern void eco_call_init(EcoCall *call, EcoJournal journal, EcoTable *table, int64 user_id);

/*
 * Leaves a snapshot active in which the account is the newest there is, so
 * that everything read under it belongs to the user's present state.
 * eco_call_end() takes it away, whatever the answer was.
 */
extern EcoCallState eco_call_begin(EcoCall *call);
extern void eco_call_end(EcoCall *call);

/* A pause in ms for the caller of a duplicate: random, 150 to 300. */
extern int	eco_retry_after_ms(void);

#endif
