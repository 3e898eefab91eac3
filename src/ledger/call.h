/*
 * call.h
 *		The idempotent opening of every call that makes an entry: open its tables,
 *		look the key up, announce it, lock the account, and look again after any wait.
 */
#ifndef ECO_CALL_H
#define ECO_CALL_H

#include "postgres.h"

#include "ledger/args.h"
#include "ledger/entry.h"

#define ECO_MAX_CALL_TEXTS 2

typedef struct EcoCall
{
	const EcoJournal *journal;
	int64		user_id;
	int			key;			/* its idempotency key: user_id, then texts */
	int			ntexts;			/* 0: the call has no key, only the account */
	EcoText		texts[ECO_MAX_CALL_TEXTS];
	EcoTable   *const *tables;	/* further ones that it reads or writes, up to
								 * NULL; NULL: none */
	EcoTable   *const *tables_of_new;	/* more of them, which a retry, that
										 * only reads the first answer, need
										 * not open */
	bool		in_passing;		/* the account is locked by its write, see
								 * eco_call_passed(); of two the one with the
								 * greater id, which is then written first */
	bool		dry_run;		/* lock nothing: the answer may be outdated
								 * when it arrives */
	bool		of_two;			/* it moves a second account, too */
	int64		other_id;

	EcoOpenTables *open;

	EcoRow		first;			/* ECO_CALL_REPLAY: the first call's entry */
	int64		archived_seq;	/* ECO_CALL_ARCHIVED: of that entry */
	EcoAccount	account;		/* ECO_CALL_NEW: locked, unless dry_run or
								 * account.is_unlocked */
	EcoAccount	other;			/* of two: the other one, as that */
	int64		missing_id;		/* ECO_CALL_NO_USER: which */
} EcoCall;

typedef enum EcoCallState
{
	ECO_CALL_NEW,
	ECO_CALL_REPLAY,
	ECO_CALL_ARCHIVED,			/* its entry is in an archive: nothing can be
								 * answered but that */
	ECO_CALL_BUSY,				/* another transaction is in that very call */
	ECO_CALL_NO_USER
} EcoCallState;

/* The entry with this key of the user, by eco_row_find_next(). */
extern bool eco_key_find(EcoScan **kept, const EcoJournal *journal, int key, int64 user_id,
						 const EcoText *texts, int ntexts, EcoRow *row);

extern void eco_call_init(EcoCall *call, const EcoJournal *journal, int64 user_id,
						  EcoTable *const *tables);

/*
 * Opens the account, the journal and the further tables, and leaves a snapshot
 * active that was taken after the account was locked, so that everything read under
 * it belongs to the user's present state.  eco_call_end() takes both away, whatever
 * the answer was.
 */
extern EcoCallState eco_call_begin(EcoCall *call);
extern void eco_call_end(EcoCall *call);

/*
 * Whether a call in passing has an answer: it was made, or refused and eco_account_hold()
 * got the lock.  If not all of it is to be done again with the lock; nothing was written.
 * See call.c for what may pass.
 */
static inline bool
eco_call_passed(const EcoCall *call)
{
	return !call->account.is_unlocked && !(call->of_two && call->other.is_unlocked);
}

#endif
