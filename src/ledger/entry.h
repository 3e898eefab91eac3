/*
 * entry.h
 *		Accounts and the entries that change them.
 *
 * A domain that moves gold or XP opens an EcoCall (call.h), checks its rules,
 * eco_amount_refusal() among them, fills the own columns of its journal row
 * and calls eco_entry_post().
 *
 * Keeps I1 (one entry per change, gapless seq), I2 (balances) and I3 (chain).
 */
#ifndef ECO_ENTRY_H
#define ECO_ENTRY_H

#include "postgres.h"

#include "core/encode.h"
#include "core/section.h"
#include "ledger/journal.h"

/* 2^53 - 1: the largest integer that every JSON reader keeps exactly */
#define ECO_MAX_AMOUNT INT64CONST(9007199254740991)

typedef struct EcoAccount
{
	EcoRow		row;
	int64		user_id;
	int64		seq;
	int64		gold;
	int64		xp;
	bool		suspended;
	bool		is_unlocked;	/* read by eco_account_take(): its write is
								 * its lock */
	int32		freezes;		/* streak freezes held */
	int64		position;		/* of the newest entry, in the feed */
	int64		pruned_seq;		/* actions up to it may have been pruned */
	uint8		head[ECO_HASH_LEN];
	MemoryContext context;		/* the row's sections are in it */
	EcoSectionId put_id;		/* 0: none, else eco_account_put_section() */
	EcoSection	put;
	EcoRow	   *put_row;		/* NULL: none, else eco_account_put_row() */
} EcoAccount;

typedef struct EcoEntry
{
	EcoRow		row;			/* own columns filled by the caller */
	const EcoJournal *journal;
	int64		gold_delta;
	int64		xp_delta;
	void	   *beside;			/* told with the row, journal->beside_bytes of
								 * it; NULL: what it says is read, or zeros,
								 * by the journal */
	int			alone_by;		/* no other has these columns of its key in
								 * common, so many; 0: all */
	int			beside_it;		/* but so many, that were known */
	bool		is_read;		/* what it tells stands elsewhere than in its
								 * row and beside it: it is read to be told */
	TimestampTz at;				/* that its rules have taken for now;
								 * DT_NOBEGIN: none has asked */

	/* set by eco_entry_post() */
	int64		seq;
	int64		gold;
	int64		xp;
	TimestampTz created_at;
} EcoEntry;

/* Whoever reads or locks an account opens this. */
extern EcoTable eco_accounts;

/* Read without a lock, under the active snapshot.  False: no such user. */
extern bool eco_account_read(int64 user_id, EcoAccount *account);

typedef enum EcoAccountLock
{
	ECO_ACCOUNT_LOCKED,			/* unchanged since the active snapshot, and
								 * got without a wait */
	ECO_ACCOUNT_MOVED,			/* locked, but what the snapshot sees may be
								 * of the past */
	ECO_ACCOUNT_MISSING
} EcoAccountLock;

extern EcoAccountLock eco_account_lock(int64 user_id, EcoAccount *account);

/*
 * The same, but that one that nobody else has is only read: the answer is
 * ECO_ACCOUNT_LOCKED, and account->is_unlocked.  An entry can then be booked by
 * eco_entry_post() or eco_account_write() only, and they may fail.
 */
extern EcoAccountLock eco_account_take(int64 user_id, EcoAccount *account);

/* Lock one that was only read, without a wait, if it is still as it was read. */
extern void eco_account_hold(EcoAccount *account);

/*
 * For many, with a scan that is kept (eco_row_find_next()).  True: as ECO_ACCOUNT_LOCKED.
 * False: end the scan, which holds a page, and call eco_account_lock(), which may wait.
 */
extern bool eco_account_try_lock(EcoScan **kept, int64 user_id, EcoAccount *account);

/*
 * Lock the newest version and renew the snapshot, for what needs no key.  False:
 * no such user.
 */
extern bool eco_account_lock_newest(int64 user_id, EcoAccount *account);

/* Note on a locked account that its actions up to seq may have been pruned. */
extern void eco_account_set_pruned(EcoAccount *account, int64 seq);

/*
 * What a domain keeps of the user in the account's row (core/section.h).  Set, it is
 * written with the next flush; of no byte, it is taken out.  What was found of any
 * section before stands nowhere then.
 */
extern bool eco_account_section(const EcoAccount *account, EcoSectionId id, EcoSection *section);
extern void eco_account_set_section(EcoAccount *account, EcoSectionId id,
									const EcoSection *section);

/*
 * The same for who observes entries, and does not know what their makers have found: it
 * stands in the row when the account is written.  There is one at a time.
 */
extern void eco_account_put_section(EcoAccount *account, EcoSectionId id,
									const EcoSection *section);

/*
 * The same of a row of the user in another table, for what finds no room there: it is written
 * behind the account, whose lock guards it.  A new one has no place yet.
 */
extern void eco_account_put_row(EcoAccount *account, const EcoRow *row);

/*
 * Why this change is impossible: INSUFFICIENT_GOLD, GOLD_OVERFLOW, or NULL
 * when it is possible.
 */
extern const char *eco_amount_refusal(const EcoAccount *account,
									  int64 gold_delta, int64 xp_delta);

extern void eco_entry_init(EcoEntry *entry, const EcoJournal *journal);

/*
 * Write the account and the entry; the amounts have been checked.  False: an account that
 * was not locked is another one by now, or somebody has it.  Nothing is written then.
 */
extern bool eco_entry_post(EcoAccount *account, EcoEntry *entry);

/*
 * Its parts, for a call that changes more, and for a batch: prepare entries, which moves
 * the account on in memory, write what else was read before, flush the account, and write
 * the journal's rows last.  A trigger on a journal may make entries of the same user, and
 * must find all that was read already moved on.  An error in between takes the transaction
 * with it.  eco_account_write() is the flush of an account that may be unlocked, and false
 * as eco_entry_post() is.
 */
extern void eco_entry_prepare(EcoAccount *account, EcoEntry *entry);
extern void eco_account_flush(EcoAccount *account);
extern bool eco_account_write(EcoAccount *account);
extern void eco_entry_write(EcoEntry *entry);
extern void eco_entries_write(EcoEntry **entries, int n);

/* Read a locked account again that user code may have moved on, under a renewed snapshot. */
extern void eco_account_read_again(EcoAccount *account);

/*
 * How many were written: when it rises during the write of entries, user code has made
 * others, and accounts that are held are to be read again.
 */
extern uint64 eco_account_flushes(void);

/* Asked of every new entry, if set: whether the relay is to tell it. */
extern bool (*eco_entry_live_hook) (void);

/*
 * Called for every new entry, if set, with the account as it is after it, before either is
 * written.  It may read what the account's row and configuration say, and put a section and
 * a row.  True: from these there is more to tell of the entry.
 */
extern bool (*eco_entry_observer) (EcoAccount *account, const EcoEntry *entry);

/* Called for every new entry, if set, before its row is inserted. */
extern void (*eco_entry_posted_hook) (const EcoEntry *entry);

#endif
