/*
 * calls.h
 *		Many calls with a key in one: what eco_call_begin() does for one (call.h), and the
 *		writing of their entries together.
 *
 * Every account is locked before anything else is, by ascending user_id: a single call
 * holds its account when it waits for a stock or a key.  Then the calls are made in
 * their order, on accounts in memory, and at last each account is written once, and all
 * entries together.  More than ECO_CALLS_PART are made in parts, which follow the order of
 * user_id: accounts are locked by it.
 *
 * Where user code runs at a write (a trigger on a journal), each entry is written
 * before the next call is made, which sees what the trigger did.
 */
#ifndef ECO_CALLS_H
#define ECO_CALLS_H

#include "postgres.h"

#include "ledger/batch.h"
#include "ledger/call.h"
#include "ledger/result.h"

#define ECO_CALLS_PART 8190		/* at most that many are one part */

typedef struct EcoCallUser EcoCallUser;
typedef struct EcoCalls EcoCalls;

/* One of the calls. */
typedef struct EcoCallOf
{
	void	   *item;			/* what the domain has read of it */
	int			number;			/* place in the part */

	/* told by the domain */
	int64		user_id;
	EcoText		texts[ECO_MAX_CALL_TEXTS];

	EcoCallUser *user;
	struct EcoCallOf *same;		/* the first one with this key, often itself */
	struct EcoCallOf *like;		/* the first one of the user with this first
								 * text */

	int64		archived_seq;	/* ECO_CALL_ARCHIVED: of its entry */
	const EcoRow *first;		/* of the first one: the entry that has the
								 * key, or NULL */
	EcoEntry   *entry;			/* booked and not written yet, or NULL */
	struct EcoCallOf *next;		/* of the user's calls with such entries */
	int			unwritten;		/* such entries of those that are like it */
} EcoCallOf;

/* What a domain's calls are, and how they are made. */
typedef struct EcoCallKind
{
	const char *function;		/* "economy.purchases()" */
	const char *result_types;	/* of its result, see result.h */
	const EcoBatch *batch;		/* its arguments */
	const EcoJournal *journal;
	int			key;			/* their idempotency key: user_id, then texts */
	EcoTable   *const *tables;	/* further ones that they read or write, up to
								 * NULL */

	/* Set user_id and texts by call->item. */
	void		(*tell) (EcoCallOf *call);

	/*
	 * NULL: keys are looked up before anything is locked, for to repeat a
	 * batch is a read then.  Else they are looked up under the account's
	 * lock, and only where this says that the user may have entries with the
	 * first text.
	 */
	bool		(*may_have) (EcoCalls *calls, EcoCallOf *call);

	/* All accounts are locked; NULL: nothing is to be done. */
	void		(*begin) (EcoCalls *calls);

	/*
	 * One in its state, which is not ECO_CALL_BUSY; runs in a short-lived
	 * context.
	 */
	void		(*make) (EcoCalls *calls, EcoCallOf *call, EcoCallState state, EcoResult *result);

	/* All are made, and are written next; or NULL. */
	void		(*end) (EcoCalls *calls);

	/*
	 * Called around the write of an account with the first of the user's
	 * calls whose entries follow, which are linked by next: what goes into
	 * the account, and after it what is guarded by its lock and stands
	 * elsewhere; or NULL.
	 */
	void		(*flush) (EcoCalls *calls, EcoCallOf *first);
	void		(*flushed) (EcoCalls *calls, EcoCallOf *first);
} EcoCallKind;

/* A part of them. */
struct EcoCalls
{
	const EcoCallKind *kind;
	int			n;
	EcoCallOf  *calls;			/* in the order of the batch */
	MemoryContext context;		/* lives as long as the part */
	void	   *state;			/* the domain's */
	EcoOpenTables *open;
	EcoCallOf **order;			/* by user, and of a user as in the batch */
	int			nusers;
	EcoCallUser *users;			/* ascending */
	bool		one_by_one;		/* user code runs at writes */
	EcoCallUser *booked;		/* then: whose account is to be written */
	uint64		reading;		/* rises when it may have moved accounts on:
								 * what was read of them is outdated */
};

/* Told of each result, by the number of its item, in a short-lived context. */
typedef void (*EcoCallSink) (void *arg, int number, void *item, EcoResult *result);

/* Make n calls of a kind, by an array of their items, in one transaction. */
extern void eco_calls_make(const EcoCallKind *kind, void *items, int n, TupleDesc result_desc,
						   EcoCallSink sink, void *arg);

/* A function's body: a row for each call of its arguments, in their order. */
extern Datum eco_calls_function(const EcoCallKind *kind, FunctionCallInfo fcinfo);

/* The account of a call's user; it is locked if the call is ECO_CALL_NEW, else perhaps NULL. */
extern EcoAccount *eco_calls_account(const EcoCallOf *call);

/* Book the entry of a new one, which lives as long as the part. */
extern void eco_calls_book(EcoCalls *calls, EcoCallOf *call, EcoEntry *entry);

/* Write the account of a new one also when nothing is booked on it: a section was set. */
extern void eco_calls_keep(EcoCalls *calls, const EcoCallOf *call);

/*
 * If entries of calls with the same user and first text are not written yet, write all of
 * the user's: they are to be counted in the journal.
 */
extern void eco_calls_settle(EcoCalls *calls, const EcoCallOf *call);

#endif
