/*
 * calls.c
 *		Many calls with a key in one (I4); the rule stands in calls.h.
 *
 * As in call.c, one look for a key is enough when no account has moved between that look
 * and its lock.  When one has, all keys that were not found are looked up once more,
 * under a snapshot taken while all accounts are held.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "crash_point.h"
#include "ledger/batch.h"
#include "ledger/calls.h"

/* A user of the batch, with the calls order[from .. to - 1]. */
struct EcoCallUser
{
	int			from;
	int			to;
	bool		exists;			/* and is locked */
	EcoCallOf  *first;			/* with an entry that is not written yet */
	EcoCallOf  *last;
	uint64		reading;		/* when the account was read */
	EcoAccount	account;
};

static void find_users(EcoCalls *calls);
static void find_repeats(EcoCalls *calls, EcoCallUser *user);
static void look_keys_up(EcoCalls *calls);
static void end_scan(EcoScan **scan);
static bool lock_accounts(EcoCalls *calls);
static bool wait_for_account(int64 user_id, EcoAccount *account, bool *moved);
static void write_entries(EcoCalls *calls, EcoCallUser *from, EcoCallUser *to);

void
eco_calls_begin(EcoCalls *calls)
{
	EcoTable   *tables[ECO_MAX_OPEN + 1] = {calls->journal->table, &eco_accounts};
	int			ntables = 2;

	for (int i = 0; calls->tables[i] != NULL && ntables < ECO_MAX_OPEN; i++)
		tables[ntables++] = calls->tables[i];
	tables[ntables] = NULL;
	calls->context = CurrentMemoryContext;
	find_users(calls);
	calls->open = eco_tables_open(ECO_WRITE, tables);
	calls->one_by_one = !eco_tables_plain(calls->open);
	look_keys_up(calls);
	if (lock_accounts(calls))
	{
		eco_snapshot_renew();
		look_keys_up(calls);
	}
	else
		eco_snapshot_renew();
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
			user->exists = false;
			user->first = user->last = NULL;
			user->reading = 0;
		}
		calls->order[i] = call;
		call->number = turns[i].number;
		call->user = &calls->users[calls->nusers - 1];
		call->user->to = i + 1;
		call->same = call;
		call->like = call;
		call->first = NULL;
		call->entry = NULL;
		call->unwritten = 0;
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

	for (int i = 0; i < *(const int *) arg; i++)
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
	qsort_interruptible(order, n, sizeof(EcoCallOf *), by_texts, &calls->ntexts);
	for (int i = 1; i < n; i++)
	{
		int			equal = 0;

		while (equal < calls->ntexts &&
			   compare_text(&order[i]->texts[equal], &order[i - 1]->texts[equal]) == 0)
			equal++;
		if (equal > 0)
			order[i]->like = order[i - 1]->like;
		if (equal == calls->ntexts)
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

	if (eco_key_find(kept, calls->journal, calls->key, call->user_id, call->texts,
					 calls->ntexts, &row))
	{
		EcoRow	   *first = palloc(sizeof(EcoRow));

		*first = row;
		call->first = first;
	}
	MemoryContextSwitchTo(old_context);
}

static void
look_keys_up(EcoCalls *calls)
{
	EcoScan    *scan = NULL;

	for (int i = 0; i < calls->n; i++)
	{
		EcoCallOf  *call = calls->order[i];

		CHECK_FOR_INTERRUPTS();
		if (call->same == call && call->first == NULL)
			look_up(calls, call, &scan);
	}
	end_scan(&scan);
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

EcoCallState
eco_calls_look(EcoCalls *calls, EcoCallOf *call)
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
	if (call->same->first != NULL)
		return ECO_CALL_REPLAY;
	if (!user->exists)
		return ECO_CALL_NO_USER;
	if (user->reading != calls->reading && user->first == NULL)
		eco_account_read_again(&user->account);
	user->reading = calls->reading;
	return ECO_CALL_NEW;
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
	call->entry = entry;
	call->same->first = &entry->row;
	call->like->unwritten++;
	call->next = NULL;
	if (user->first == NULL)
		user->first = call;
	else
		user->last->next = call;
	user->last = call;
	calls->booked = user;
}

void
eco_calls_settle(EcoCalls *calls, const EcoCallOf *call)
{
	if (call->like->unwritten > 0)
		write_entries(calls, call->user, call->user + 1);
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
	uint64		flushes;

	for (EcoCallUser *user = from; user < to; user++)
	{
		CHECK_FOR_INTERRUPTS();
		if (user->first != NULL)
			eco_account_flush(&user->account);
		for (EcoCallOf *call = user->first; call != NULL; call = call->next)
		{
			entries[n++] = call->entry;
			call->entry = NULL;
			call->like->unwritten--;
		}
		user->first = user->last = NULL;
	}
	calls->booked = NULL;
	ECO_CRASH_POINT("calls:after_accounts");
	flushes = eco_account_flushes();
	eco_entries_write(entries, n);
	/* a CHECK has made entries, and nobody looks at them */
	if (eco_account_flushes() != flushes && !calls->one_by_one)
		eco_row_moved(calls->journal->table);
	if (eco_account_flushes() != flushes)
		calls->reading++;
	eco_snapshot_renew();
	pfree(entries);
}

void
eco_calls_end(EcoCalls *calls)
{
	write_entries(calls, calls->users, calls->users + calls->nusers);
	eco_tables_close(calls->open);
}
