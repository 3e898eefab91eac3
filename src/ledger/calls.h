/*
 * calls.h
 *		Many calls with a key in one: what eco_call_begin() does for one (call.h), and the
 *		writing of their entries together.
 *
 * Every account is locked before anything else is, by ascending user_id: a single call
 * holds its account when it waits for a stock or a key.  Then the calls are made in
 * their order, on accounts in memory, and at last each account is written once, and all
 * entries together.
 *
 * Where user code runs at a write (a trigger on a journal), each entry is written
 * before the next call is made, which sees what the trigger did.
 */
#ifndef ECO_CALLS_H
#define ECO_CALLS_H

#include "postgres.h"

#include "ledger/call.h"

typedef struct EcoCallUser EcoCallUser;

/* One of the calls. */
typedef struct EcoCallOf
{
	int64		user_id;
	EcoText		texts[ECO_MAX_CALL_TEXTS];

	/* set by eco_calls_begin() */
	int			number;			/* place in the batch */
	EcoCallUser *user;
	struct EcoCallOf *same;		/* the first one with this key, often itself */
	struct EcoCallOf *like;		/* the first one of the user with this first
								 * text */

	const EcoRow *first;		/* of the first one: the entry that has the
								 * key, or NULL */
	EcoEntry   *entry;			/* booked and not written yet, or NULL */
	struct EcoCallOf *next;		/* of the user's calls with such entries */
	int			unwritten;		/* such entries of those that are like it */
} EcoCallOf;

typedef struct EcoCalls
{
	const EcoJournal *journal;
	int			key;			/* their idempotency key: user_id, then texts */
	int			ntexts;
	EcoTable   *const *tables;	/* further ones that they read or write, up to
								 * NULL */
	int			n;
	EcoCallOf  *calls;			/* in the order of the batch */

	/* set by eco_calls_begin() */
	MemoryContext context;
	EcoOpenTables *open;
	EcoCallOf **order;			/* by user, and of a user as in the batch */
	int			nusers;
	EcoCallUser *users;			/* ascending */
	bool		one_by_one;		/* user code runs at writes */
	EcoCallUser *booked;		/* then: who has an entry to be written */
	uint64		reading;		/* rises when it may have moved accounts on */
} EcoCalls;

/*
 * Opens the tables, looks all keys up, and locks the accounts of those calls that are
 * new.  Leaves a snapshot active that was taken after that.  No key is announced:
 * who sends one of them meanwhile waits for the account.
 */
extern void eco_calls_begin(EcoCalls *calls);

/*
 * What one of them is by now: ECO_CALL_NEW, ECO_CALL_REPLAY (of call->same->first,
 * which an earlier one may have made) or ECO_CALL_NO_USER.
 */
extern EcoCallState eco_calls_look(EcoCalls *calls, EcoCallOf *call);

/* The locked account of a new one. */
extern EcoAccount *eco_calls_account(const EcoCallOf *call);

/* Book the entry of a new one, which lives as long as the calls. */
extern void eco_calls_book(EcoCalls *calls, EcoCallOf *call, EcoEntry *entry);

/*
 * If entries of calls with the same user and first text are not written yet, write all of
 * the user's: they are to be counted in the journal.
 */
extern void eco_calls_settle(EcoCalls *calls, const EcoCallOf *call);

/* Write all that is booked, and close the tables. */
extern void eco_calls_end(EcoCalls *calls);

#endif
