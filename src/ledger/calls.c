/*
 * calls.c
 *		Many calls with a key in one (I4); the rule stands in calls.h.
 *
 * As in call.c, one look for a key is enough when no account has moved between that look
 * and its lock.  When one has, all keys that were not found are looked up once more,
 * under a snapshot taken while all accounts are held.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "core/digest.h"
#include "crash_point.h"
#include "ledger/archive.h"
#include "ledger/batch.h"
#include "ledger/calls.h"

#define PART_OF_MANY 1024		/* which stay in the processor's cache */
#define SIFT_KEYS 2				/* of a user; else it is a descent all the
								 * same */
#define SIFT_ENTRIES 32			/* read in the time of a descent */

/* A user of the batch, with the calls order[from .. to - 1]. */
struct EcoCallUser
{
	int			from;
	int			to;
	bool		exists;			/* and is locked */
	bool		changed;		/* and not written yet */
	EcoCallOf  *first;			/* with an entry that is not written yet */
	EcoCallOf  *last;
	uint64		reading;		/* when the account was read */
	EcoAccount	account;
};

/* The rows of a function's result. */
typedef struct Answers
{
	ReturnSetInfo *info;
	MemoryContext context;
	HeapTuple  *rows;			/* NULL: they come in the order of the batch */
} Answers;

static EcoTurn *by_turns(const EcoCallKind *kind, void *items, int n);
static void make_part(EcoCalls *calls, TupleDesc desc, const char *items, EcoCallSink sink,
					  void *arg);
static void begin(EcoCalls *calls);
static void find_users(EcoCalls *calls);
static void find_repeats(EcoCalls *calls, EcoCallUser *user);
static void look_keys_up(EcoCalls *calls);
static void look_up(EcoCalls *calls, EcoCallOf *call, EcoScan **kept);
static int	sift(EcoCalls *calls, const EcoCallUser *user, EcoCallOf **wanted, int n);
static void end_scan(EcoScan **scan);
static bool lock_accounts(EcoCalls *calls);
static bool wait_for_account(int64 user_id, EcoAccount *account, bool *moved);
static EcoCallState look(EcoCalls *calls, EcoCallOf *call);
static void write_entries(EcoCalls *calls, EcoCallUser *from, EcoCallUser *to);
static void answer(void *arg, int number, void *item, EcoResult *result);

Datum
eco_calls_function(const EcoCallKind *kind, FunctionCallInfo fcinfo)
{
	int			n;
	void	   *items = eco_batch_read(kind->batch, fcinfo, &n);
	Answers		answers = {.context = CurrentMemoryContext};

	PreventCommandIfReadOnly(kind->function);
	eco_result_set_begin(fcinfo, kind->result_types);
	answers.info = (ReturnSetInfo *) fcinfo->resultinfo;
	if (n > ECO_CALLS_PART)
		answers.rows = palloc(sizeof(HeapTuple) * n);
	eco_calls_make(kind, items, n, answers.info->setDesc, answer, &answers);
	for (int i = 0; answers.rows != NULL && i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		tuplestore_puttuple(answers.info->setResult, answers.rows[i]);
		heap_freetuple(answers.rows[i]);
	}
	return (Datum) 0;
}

static void
answer(void *arg, int number, void *item, EcoResult *result)
{
	Answers    *answers = arg;
	MemoryContext old_context;

	(void) item;
	if (answers->rows == NULL)
	{
		tuplestore_putvalues(answers->info->setResult, result->desc, result->values,
							 result->isnull);
		return;
	}
	old_context = MemoryContextSwitchTo(answers->context);
	answers->rows[number] = heap_form_tuple(result->desc, result->values, result->isnull);
	MemoryContextSwitchTo(old_context);
}

void
eco_calls_make(const EcoCallKind *kind, void *items, int n, TupleDesc result_desc,
			   EcoCallSink sink, void *arg)
{
	size_t		size = kind->batch->size;
	EcoTurn    *turns = n > ECO_CALLS_PART ? by_turns(kind, items, n) : NULL;
	int			part = turns != NULL ? PART_OF_MANY : ECO_CALLS_PART;
	MemoryContext caller = CurrentMemoryContext;
	EcoCalls	calls = {
		.kind = kind,
		.context = AllocSetContextCreate(caller, "economy calls", ALLOCSET_DEFAULT_SIZES)
	};

	for (int start = 0; start < n; start += part)
	{
		calls.n = Min(n - start, part);
		MemoryContextSwitchTo(calls.context);
		calls.calls = palloc0(sizeof(EcoCallOf) * calls.n);
		for (int i = 0; i < calls.n; i++)
		{
			int			number = turns != NULL ? turns[start + i].number : start + i;

			calls.calls[i].item = (char *) items + size * number;
			kind->tell(&calls.calls[i]);
		}
		make_part(&calls, result_desc, items, sink, arg);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(calls.context);
	}
	MemoryContextDelete(calls.context);
	if (turns != NULL)
		pfree(turns);
}

/* By user, and of a user as in the batch. */
static EcoTurn *
by_turns(const EcoCallKind *kind, void *items, int n)
{
	EcoTurn    *turns = eco_turns_make(n);

	for (int i = 0; i < n; i++)
	{
		EcoCallOf	call = {.item = (char *) items + kind->batch->size * i};

		kind->tell(&call);
		turns[i].user_id = call.user_id;
		turns[i].number = i;
	}
	eco_turns_sort(turns, n);
	return turns;
}

static void
make_part(EcoCalls *calls, TupleDesc desc, const char *items, EcoCallSink sink, void *arg)
{
	const EcoCallKind *kind = calls->kind;
	MemoryContext one_context = AllocSetContextCreate(calls->context, "economy call",
													  ALLOCSET_DEFAULT_SIZES);
	EcoResult	result = {.desc = desc};

	begin(calls);
	MemoryContextSwitchTo(one_context);
	for (int i = 0; i < calls->n; i++)
	{
		EcoCallOf  *call = &calls->calls[i];
		EcoCallState state;

		CHECK_FOR_INTERRUPTS();
		state = look(calls, call);
		memset(result.isnull, true, sizeof(result.isnull));
		kind->make(calls, call, state, &result);
		sink(arg, ((char *) call->item - items) / kind->batch->size, call->item, &result);
		MemoryContextReset(one_context);
	}
	MemoryContextSwitchTo(calls->context);
	if (kind->end != NULL)
		kind->end(calls);
	write_entries(calls, calls->users, calls->users + calls->nusers);
	eco_tables_close(calls->open);
}

static void
begin(EcoCalls *calls)
{
	const EcoCallKind *kind = calls->kind;
	EcoTable   *tables[ECO_MAX_OPEN + 1] = {kind->journal->table, &eco_accounts};
	int			ntables = 2;
	bool		moved;

	for (int i = 0; kind->tables[i] != NULL && ntables < ECO_MAX_OPEN; i++)
		tables[ntables++] = kind->tables[i];
	if (kind->journal->leaves)
		tables[ntables++] = &eco_archived_keys;
	tables[ntables] = NULL;
	find_users(calls);
	calls->open = eco_user_tables_open(ECO_WRITE,
									   calls->nusers == 1 ? calls->calls[0].user_id : ECO_ALL_USERS,
									   tables);
	calls->one_by_one = !eco_tables_plain(calls->open);
	if (kind->may_have == NULL)
		look_keys_up(calls);
	moved = lock_accounts(calls);
	eco_snapshot_renew();
	if (moved || kind->may_have != NULL)
		look_keys_up(calls);
	if (kind->begin != NULL)
		kind->begin(calls);
}

static void
find_users(EcoCalls *calls)
{
	EcoTurn    *turns = eco_turns_make(calls->n);

	calls->order = palloc(sizeof(EcoCallOf *) * Max(calls->n, 1));
	calls->users = palloc(sizeof(EcoCallUser) * Max(calls->n, 1));
	calls->nusers = 0;
	calls->booked = NULL;
	calls->reading = 0;
	calls->state = NULL;
	for (int i = 0; i < calls->n; i++)
	{
		turns[i].user_id = calls->calls[i].user_id;
		turns[i].number = i;
	}
	eco_turns_sort(turns, calls->n);
	for (int i = 0; i < calls->n; i++)
	{
		EcoCallOf  *call = &calls->calls[turns[i].number];

		if (i == 0 || call->user_id != calls->order[i - 1]->user_id)
		{
			EcoCallUser *user = &calls->users[calls->nusers++];

			user->from = i;
			user->exists = user->changed = false;
			user->first = user->last = NULL;
			user->reading = 0;
		}
		calls->order[i] = call;
		call->number = turns[i].number;
		call->user = &calls->users[calls->nusers - 1];
		call->user->to = i + 1;
		call->same = call;
		call->like = call;
	}
	for (int i = 0; i < calls->nusers; i++)
		find_repeats(calls, &calls->users[i]);
	pfree(turns);
}

static int
compare_text(const EcoText *x, const EcoText *y)
{
	return x->len != y->len ? x->len - y->len : memcmp(x->data, y->data, x->len);
}

static int
by_texts(const void *a, const void *b, void *arg)
{
	const EcoCallOf *x = *(const EcoCallOf *const *) a;
	const EcoCallOf *y = *(const EcoCallOf *const *) b;

	(void) arg;
	for (int i = 0; i < ECO_MAX_CALL_TEXTS; i++)
	{
		int			order = compare_text(&x->texts[i], &y->texts[i]);

		if (order != 0)
			return order;
	}
	return x->number - y->number;
}

static void
find_repeats(EcoCalls *calls, EcoCallUser *user)
{
	int			n = user->to - user->from;
	EcoCallOf **order;

	if (n == 1)
		return;
	order = palloc(sizeof(EcoCallOf *) * n);
	memcpy(order, calls->order + user->from, sizeof(EcoCallOf *) * n);
	qsort_interruptible(order, n, sizeof(EcoCallOf *), by_texts, NULL);
	for (int i = 1; i < n; i++)
	{
		int			equal = 0;

		while (equal < ECO_MAX_CALL_TEXTS &&
			   compare_text(&order[i]->texts[equal], &order[i - 1]->texts[equal]) == 0)
			equal++;
		if (equal > 0)
			order[i]->like = order[i - 1]->like;
		if (equal == ECO_MAX_CALL_TEXTS)
			order[i]->same = order[i - 1]->same;
	}
	pfree(order);
}

/* Find the entry of a key, if it has one by now. */
static void
look_up(EcoCalls *calls, EcoCallOf *call, EcoScan **kept)
{
	MemoryContext old_context = MemoryContextSwitchTo(calls->context);
	EcoRow		row;

	if (eco_key_find(kept, calls->kind->journal, calls->kind->key, call->user_id, call->texts,
					 ECO_MAX_CALL_TEXTS, &row))
	{
		EcoRow	   *first = palloc(sizeof(EcoRow));

		*first = row;
		call->first = first;
	}
	MemoryContextSwitchTo(old_context);
}

/* Whether the call's key is to be looked up. */
static bool
is_wanted(EcoCalls *calls, EcoCallOf *call)
{
	bool		(*may_have) (EcoCalls *, EcoCallOf *) = calls->kind->may_have;

	return call->same == call && call->first == NULL &&
		(may_have == NULL || (call->user->exists && may_have(calls, call)));
}

static void
look_keys_up(EcoCalls *calls)
{
	EcoCallOf **wanted = palloc(sizeof(EcoCallOf *) * Max(calls->n, 1));
	EcoScan    *scan = NULL;

	for (EcoCallUser *user = calls->users; user < calls->users + calls->nusers; user++)
	{
		int			n = 0;

		CHECK_FOR_INTERRUPTS();
		for (int i = user->from; i < user->to; i++)
			if (is_wanted(calls, calls->order[i]))
				wanted[n++] = calls->order[i];
		if (user->exists && n >= SIFT_KEYS && user->account.seq <= n * SIFT_ENTRIES)
			n = sift(calls, user, wanted, n);
		for (int i = 0; i < n; i++)
			look_up(calls, wanted[i], &scan);
	}
	end_scan(&scan);
	pfree(wanted);
}

typedef struct Digest
{
	int64		digest;
	EcoCallOf  *call;
} Digest;

static int
by_digest(const void *a, const void *b, void *arg)
{
	const Digest *x = a;
	const Digest *y = b;

	(void) arg;
	return x->digest < y->digest ? -1 : x->digest > y->digest;
}

/*
 * Leave those of a user's calls whose digest the index has, so many: one pass over his
 * few entries there costs less than a descent for each key.
 */
static int
sift(EcoCalls *calls, const EcoCallUser *user, EcoCallOf **wanted, int n)
{
	EcoTable   *table = calls->kind->journal->table;
	Digest	   *sorted = palloc(sizeof(Digest) * n);
	int64	   *digests = palloc(sizeof(int64) * n);
	bool	   *found = palloc0(n);
	int			left = 0;

	for (int i = 0; i < n; i++)
	{
		const EcoText *texts = wanted[i]->texts;

		sorted[i].digest = eco_digest(texts[0].data, texts[0].len, texts[1].data, texts[1].len);
		sorted[i].call = wanted[i];
	}
	qsort_interruptible(sorted, n, sizeof(Digest), by_digest, NULL);
	for (int i = 0; i < n; i++)
		digests[i] = sorted[i].digest;
	if (eco_digests_find(table, wanted[0]->user_id, digests, n, found))
	{
		for (int i = 0; i < n; i++)
			if (found[i])
				wanted[left++] = sorted[i].call;
	}
	else
		left = n;
	pfree(sorted);
	pfree(digests);
	pfree(found);
	return left;
}

static void
end_scan(EcoScan **scan)
{
	if (*scan != NULL)
		eco_scan_end(*scan);
	*scan = NULL;
}

/* A user all of whose calls are known needs no lock: his answers are read. */
static bool
has_new(const EcoCalls *calls, const EcoCallUser *user)
{
	for (int i = user->from; i < user->to; i++)
		if (calls->order[i]->same->first == NULL)
			return true;
	return false;
}

/* True: one has moved since the keys were looked up. */
static bool
lock_accounts(EcoCalls *calls)
{
	bool		moved = false;
	EcoScan    *scan = NULL;

	for (int i = 0; i < calls->nusers; i++)
	{
		EcoCallUser *user = &calls->users[i];
		int64		user_id = calls->order[user->from]->user_id;

		CHECK_FOR_INTERRUPTS();
		if (!has_new(calls, user))
			continue;
		user->exists = eco_account_try_lock(&scan, user_id, &user->account);
		if (!user->exists)
		{
			end_scan(&scan);
			user->exists = wait_for_account(user_id, &user->account, &moved);
		}
		ECO_CRASH_POINT("calls:after_lock");
	}
	end_scan(&scan);
	return moved;
}

static bool
wait_for_account(int64 user_id, EcoAccount *account, bool *moved)
{
	EcoAccountLock lock;

	while ((lock = eco_account_lock(user_id, account)) == ECO_ACCOUNT_MOVED)
	{
		CHECK_FOR_INTERRUPTS();
		*moved = true;
		eco_snapshot_renew();
	}
	return lock == ECO_ACCOUNT_LOCKED;
}

/* What one of them is by now: it may be that of an earlier one (call->same->first). */
static EcoCallState
look(EcoCalls *calls, EcoCallOf *call)
{
	EcoCallUser *user = call->user;

	if (calls->one_by_one)
	{
		if (calls->booked != NULL)
			write_entries(calls, calls->booked, calls->booked + 1);
		if (call->same->first == NULL)
		{
			EcoScan    *scan = NULL;

			look_up(calls, call->same, &scan);
			end_scan(&scan);
		}
	}
	if (user->exists && user->reading != calls->reading && !user->changed)
		eco_account_read_again(&user->account);
	user->reading = calls->reading;
	if (call->same->first != NULL)
		return ECO_CALL_REPLAY;
	if (!user->exists)
		return ECO_CALL_NO_USER;
	return eco_archive_has_key(&user->account, calls->kind->journal, call->texts,
							   &call->archived_seq) ? ECO_CALL_ARCHIVED : ECO_CALL_NEW;
}

EcoAccount *
eco_calls_account(const EcoCallOf *call)
{
	return &call->user->account;
}

void
eco_calls_book(EcoCalls *calls, EcoCallOf *call, EcoEntry *entry)
{
	EcoCallUser *user = call->user;

	eco_entry_prepare(&user->account, entry);
	eco_calls_keep(calls, call);
	call->entry = entry;
	call->same->first = &entry->row;
	call->like->unwritten++;
	call->next = NULL;
	if (user->first == NULL)
		user->first = call;
	else
		user->last->next = call;
	user->last = call;
}

void
eco_calls_keep(EcoCalls *calls, const EcoCallOf *call)
{
	call->user->changed = true;
	calls->booked = call->user;
}

void
eco_calls_settle(EcoCalls *calls, const EcoCallOf *call)
{
	if (call->like->unwritten > 0)
		write_entries(calls, call->user, call->user + 1);
}

static void
write_account(EcoCalls *calls, EcoCallUser *user)
{
	const EcoCallKind *kind = calls->kind;

	if (kind->flush != NULL)
		kind->flush(calls, user->first);
	eco_account_flush(&user->account);
	if (kind->flushed != NULL)
		kind->flushed(calls, user->first);
}

/*
 * Write what is booked of these users and renew the snapshot, so that it is seen.  All
 * accounts come first: what a trigger on the journal reads has moved on.
 */
static void
write_entries(EcoCalls *calls, EcoCallUser *from, EcoCallUser *to)
{
	EcoEntry  **entries = palloc(sizeof(EcoEntry *) * Max(calls->n, 1));
	int			n = 0;
	uint64		flushes = eco_account_flushes();
	uint64		own = 0;

	for (EcoCallUser *user = from; user < to; user++)
	{
		CHECK_FOR_INTERRUPTS();
		if (user->changed)
		{
			write_account(calls, user);
			own++;
		}
		for (EcoCallOf *call = user->first; call != NULL; call = call->next)
		{
			entries[n++] = call->entry;
			call->entry = NULL;
			call->like->unwritten--;
		}
		user->first = user->last = NULL;
		user->changed = false;
	}
	calls->booked = NULL;
	ECO_CRASH_POINT("calls:after_accounts");
	eco_entries_write(entries, n);
	if (eco_account_flushes() != flushes + own)
	{
		/* a CHECK has made entries, and nobody looks at them */
		if (!calls->one_by_one)
			eco_row_moved(calls->kind->journal->table);
		calls->reading++;
	}
	eco_snapshot_renew();
	pfree(entries);
}
