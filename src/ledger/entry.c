/*
 * entry.c
 *		Accounts and the entries that change them.
 *
 * Every change to a balance in the whole extension passes eco_entry_prepare().
 * Lock order: accounts by user_id, then stock, then progress, then statistics.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "common/int.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "crash_point.h"
#include "errors.h"
#include "ledger/async.h"
#include "ledger/entry.h"
#include "ledger/installation.h"
#include "ledger/keys.h"
#include "ledger/sections.h"

enum
{
	ACC_USER_ID,
	ACC_SEQ,
	ACC_GOLD,
	ACC_XP,
	ACC_POSITION,
	ACC_SUSPENDED,
	ACC_FREEZES,
	ACC_PRUNED_SEQ,
	ACC_HEAD_HASH,
	ACC_SECTIONS,
	ACC_COLUMNS
};

EcoTable	eco_accounts = {
	.name = "accounts",
	.ncolumns = ACC_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"seq", INT8OID, true},
		{"gold", INT8OID, true},
		{"experience_points", INT8OID, true},
		{"position", INT8OID, true},
		{"suspended", BOOLOID, true},
		{"streak_freezes", INT4OID, true},
		{"pruned_seq", INT8OID, true},
		{"head_hash", BYTEAOID, true},
		{"sections", BYTEAOID, ECO_MUTABLE | ECO_NULLABLE},
	},
	.nkeys = 1,
	.keys = {{1, {ACC_USER_ID}}},
};

void		(*eco_entry_posted_hook) (const EcoEntry *entry) = NULL;
bool		(*eco_entry_live_hook) (void) = NULL;
bool		(*eco_entry_observer) (EcoAccount *account, const EcoEntry *entry) = NULL;

/* of all accounts: when it rises during a write, a trigger has made entries */
static uint64 flushes = 0;

static void account_load(int64 user_id, EcoAccount *account);
static EcoAccountLock get_account(int64 user_id, EcoAccount *account, bool must_lock);

bool
eco_account_read(int64 user_id, EcoAccount *account)
{
	Datum		key = Int64GetDatum(user_id);

	if (!eco_row_find(&eco_accounts, user_id, 0, 1, &key, &account->row))
		return false;
	account_load(user_id, account);
	return true;
}

EcoAccountLock
eco_account_lock(int64 user_id, EcoAccount *account)
{
	return get_account(user_id, account, true);
}

EcoAccountLock
eco_account_take(int64 user_id, EcoAccount *account)
{
	return get_account(user_id, account, false);
}

static EcoAccountLock
get_account(int64 user_id, EcoAccount *account, bool must_lock)
{
	Datum		key = Int64GetDatum(user_id);

	if (!eco_account_read(user_id, account))
	{
		eco_rows_must_be_newest(&eco_accounts, user_id, 0, 1, &key);
		return ECO_ACCOUNT_MISSING;
	}
	account->is_unlocked = !must_lock && account->row.is_free;
	if (account->is_unlocked)
		return ECO_ACCOUNT_LOCKED;
	switch (eco_row_lock(&account->row, user_id, ECO_WAIT))
	{
		case ECO_LOCKED:
			return ECO_ACCOUNT_LOCKED;
		case ECO_LOCK_GONE:
			return ECO_ACCOUNT_MISSING;
		default:
			return ECO_ACCOUNT_MOVED;
	}
}

void
eco_account_hold(EcoAccount *account)
{
	if (account->is_unlocked)
		account->is_unlocked =
			eco_row_lock(&account->row, account->user_id, ECO_SKIP) != ECO_LOCKED;
}

bool
eco_account_try_lock(EcoScan **kept, int64 user_id, EcoAccount *account)
{
	Datum		key = Int64GetDatum(user_id);

	if (!eco_row_find_next(kept, &eco_accounts, user_id, 0, 1, &key, &account->row))
		return false;
	account_load(user_id, account);
	return eco_row_lock(&account->row, user_id, ECO_SKIP) == ECO_LOCKED;
}

bool
eco_account_lock_newest(int64 user_id, EcoAccount *account)
{
	EcoAccountLock lock;

	do
	{
		CHECK_FOR_INTERRUPTS();
		lock = eco_account_lock(user_id, account);
		eco_snapshot_renew();
	} while (lock == ECO_ACCOUNT_MOVED);
	return lock == ECO_ACCOUNT_LOCKED;
}

void
eco_account_set_pruned(EcoAccount *account, int64 seq)
{
	account->pruned_seq = seq;
	account->row.values[ACC_PRUNED_SEQ] = Int64GetDatum(seq);
	eco_row_update(&account->row, account->user_id);
}

static void
account_load(int64 user_id, EcoAccount *account)
{
	EcoRow	   *row = &account->row;
	bytea	   *head = DatumGetByteaPP(row->values[ACC_HEAD_HASH]);

	if (VARSIZE_ANY_EXHDR(head) != ECO_HASH_LEN)
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("account of user %lld has a head hash of a wrong length",
						 (long long) user_id));
	account->user_id = user_id;
	account->seq = eco_row_int(row, ACC_SEQ);
	account->gold = eco_row_int(row, ACC_GOLD);
	account->xp = eco_row_int(row, ACC_XP);
	account->is_unlocked = false;
	account->suspended = DatumGetBool(row->values[ACC_SUSPENDED]);
	account->freezes = DatumGetInt32(row->values[ACC_FREEZES]);
	account->position = eco_row_int(row, ACC_POSITION);
	account->pruned_seq = eco_row_int(row, ACC_PRUNED_SEQ);
	memcpy(account->head, VARDATA_ANY(head), ECO_HASH_LEN);
	account->context = CurrentMemoryContext;
	account->put_id = 0;
	account->put_row = NULL;
}

static bytea *
sections_of(const EcoAccount *account)
{
	const EcoRow *row = &account->row;

	return row->isnull[ACC_SECTIONS] ? NULL : DatumGetByteaPP(row->values[ACC_SECTIONS]);
}

bool
eco_account_section(const EcoAccount *account, EcoSectionId id, EcoSection *section)
{
	if (account->put_id == id)
	{
		*section = account->put;
		return section->len > 0;
	}
	if (!eco_sections_get(sections_of(account), id, section))
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("account of user %lld has damaged sections",
						 (long long) account->user_id));
	return section->len > 0;
}

/* They are the account's own, in its context: a batch of a million sets them as often. */
static void
free_sections(EcoAccount *account)
{
	if (!account->row.isnull[ACC_SECTIONS])
		pfree(DatumGetPointer(account->row.values[ACC_SECTIONS]));
	account->row.isnull[ACC_SECTIONS] = true;
}

void
eco_account_set_section(EcoAccount *account, EcoSectionId id, const EcoSection *section)
{
	MemoryContext old_context = MemoryContextSwitchTo(account->context);
	bytea	   *all = eco_sections_set(sections_of(account), id, section);

	MemoryContextSwitchTo(old_context);
	free_sections(account);
	account->row.values[ACC_SECTIONS] = PointerGetDatum(all);
	account->row.isnull[ACC_SECTIONS] = all == NULL;
}

void
eco_account_put_section(EcoAccount *account, EcoSectionId id, const EcoSection *section)
{
	uint8	   *data = MemoryContextAlloc(account->context, Max(section->len, 1));

	memcpy(data, section->data, section->len);
	if (account->put_id != 0)
		pfree(unconstify(uint8 *, account->put.data));
	account->put_id = id;
	account->put = *section;
	account->put.data = data;
}

static void
forget_row(EcoAccount *account)
{
	EcoRow	   *row = account->put_row;

	account->put_row = NULL;
	if (row == NULL)
		return;
	for (int i = 0; i < row->table->ncolumns; i++)
		if (!row->isnull[i] && row->table->columns[i].type == BYTEAOID)
			pfree(DatumGetPointer(row->values[i]));
	pfree(row);
}

/* The sections that there were stay in memory: others may still point there. */
static void
put_section(EcoAccount *account)
{
	MemoryContext old_context = MemoryContextSwitchTo(account->context);
	bytea	   *all = eco_sections_set(sections_of(account), account->put_id, &account->put);

	MemoryContextSwitchTo(old_context);
	account->row.values[ACC_SECTIONS] = PointerGetDatum(all);
	account->row.isnull[ACC_SECTIONS] = all == NULL;
	account->put_id = 0;
}

/* Its values are copied: the observer's own go with the entry. */
void
eco_account_put_row(EcoAccount *account, const EcoRow *row)
{
	MemoryContext old_context = MemoryContextSwitchTo(account->context);
	EcoRow	   *put = palloc(sizeof(EcoRow));

	*put = *row;
	for (int i = 0; i < row->table->ncolumns; i++)
		if (!row->isnull[i] && row->table->columns[i].type == BYTEAOID)
			put->values[i] = datumCopy(row->values[i], false, -1);
	MemoryContextSwitchTo(old_context);
	forget_row(account);
	account->put_row = put;
}

static void
write_row(EcoAccount *account)
{
	EcoRow	   *row = account->put_row;
	EcoTable   *const tables[] = {row->table, NULL};
	EcoOpenTables *open = eco_part_open(ECO_WRITE_LATEST, account->user_id, tables);

	ECO_CRASH_POINT("entry:before_row");
	if (ItemPointerIsValid(&row->tid))
		eco_row_update(row, account->user_id);
	else
		eco_row_insert(row, account->user_id);
	ECO_CRASH_POINT("entry:after_row");
	eco_tables_close(open);
	forget_row(account);
}

void
eco_account_read_again(EcoAccount *account)
{
	MemoryContext context = account->context;
	EcoRow	   *row = &account->row;

	free_sections(account);
	if (!eco_account_read(account->user_id, account))
		eco_row_moved(&eco_accounts);
	/* the caller's context may be that of one call of a batch */
	account->context = context;
	if (!row->isnull[ACC_SECTIONS])
	{
		MemoryContext old_context = MemoryContextSwitchTo(context);

		row->values[ACC_SECTIONS] = datumCopy(row->values[ACC_SECTIONS], false, -1);
		MemoryContextSwitchTo(old_context);
	}
}

const char *
eco_amount_refusal(const EcoAccount *account, int64 gold_delta, int64 xp_delta)
{
	int64		gold;
	int64		xp;

	/* nobody has less than 0, from which nothing that is taken overflows */
	if (pg_add_s64_overflow(account->gold, gold_delta, &gold))
		return "GOLD_OVERFLOW";
	if (gold < 0)
		return "INSUFFICIENT_GOLD";
	if (gold > ECO_MAX_AMOUNT ||
		pg_add_s64_overflow(account->xp, xp_delta, &xp) ||
		xp > ECO_MAX_AMOUNT)
		return "GOLD_OVERFLOW";
	return NULL;
}

void
eco_entry_init(EcoEntry *entry, const EcoJournal *journal)
{
	eco_row_init(&entry->row, journal->table);
	entry->journal = journal;
	entry->gold_delta = 0;
	entry->xp_delta = 0;
	entry->beside = NULL;
	entry->alone_by = 0;
	entry->beside_it = 0;
	entry->is_read = false;
	entry->at = DT_NOBEGIN;
}

bool
eco_entry_post(EcoAccount *account, EcoEntry *entry)
{
	eco_entry_prepare(account, entry);
	if (!eco_account_write(account))
		return false;
	eco_entry_write(entry);
	return true;
}

void
eco_entry_write(EcoEntry *entry)
{
	eco_entries_write(&entry, 1);
}

/*
 * Raise when the key of an entry that was written, or what it is to be alone by, has
 * another one than those that were known: user code ran in the call, at this write or
 * one before, when the entry could not be seen, and sent the key.
 */
static void
must_be_alone(const EcoEntry *entry)
{
	EcoTable   *table = entry->row.table;
	const EcoKey *key = &table->keys[ECO_DIGESTED_KEY];
	Datum		values[ECO_MAX_KEY_COLUMNS];
	EcoScan    *scan;
	EcoRow		found;
	int			ncolumns = entry->alone_by > 0 ? entry->alone_by : key->ncolumns;
	int			n = 0;

	if (table->digest == 0)
		return;
	for (int i = 0; i < ncolumns; i++)
		values[i] = entry->row.values[key->columns[i]];
	PushActiveSnapshot(GetLatestSnapshot());
	scan = eco_scan_begin(table, DatumGetInt64(values[0]), ECO_DIGESTED_KEY, ncolumns, values);
	while (n < 2 + entry->beside_it && eco_scan_next(scan, &found))
		n++;
	eco_scan_end(scan);
	PopActiveSnapshot();
	if (n > 1 + entry->beside_it)
		eco_row_moved(table);
}

void
eco_entries_write(EcoEntry **entries, int n)
{
	EcoRow	  **rows = palloc(sizeof(EcoRow *) * Max(n, 1));

	for (int i = 0; i < n; i++)
		rows[i] = &entries[i]->row;
	ECO_CRASH_POINT("entry:before_journal");
	for (int i = 0; i < n; i++)
	{
		eco_async_note(entries[i]->journal);
		if (eco_entry_posted_hook != NULL)
			eco_entry_posted_hook(entries[i]);
	}
	if (n > 0)
		eco_rows_insert(rows, n, eco_row_int(rows[0], ECO_COL_USER_ID));
	for (int i = 0; eco_tables_had_inner() && i < n; i++)
		must_be_alone(entries[i]);
	ECO_CRASH_POINT("entry:after_journal");
	pfree(rows);
}

void
eco_entry_prepare(EcoAccount *account, EcoEntry *entry)
{
	const EcoJournal *journal = entry->journal;
	EcoRow	   *row = &entry->row;
	uint8		hash[ECO_HASH_LEN];
	uint64		xid = U64FromFullTransactionId(GetTopFullTransactionId());

	if (eco_amount_refusal(account, entry->gold_delta, entry->xp_delta) != NULL)
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("entry would leave user %lld with an impossible balance",
						 (long long) account->user_id));
	entry->seq = account->seq + 1;
	entry->gold = account->gold + entry->gold_delta;
	entry->xp = account->xp + entry->xp_delta;
	entry->created_at = TIMESTAMP_IS_NOBEGIN(entry->at) ? eco_now() : entry->at;
	account->position = Max(account->position, eco_position_to_post(xid));

	eco_row_set(row, ECO_COL_USER_ID, Int64GetDatum(account->user_id));
	eco_row_set(row, ECO_COL_SEQ, Int64GetDatum(entry->seq));
	eco_row_set(row, ECO_COL_GOLD_DELTA, Int64GetDatum(entry->gold_delta));
	eco_row_set(row, ECO_COL_XP_DELTA, Int64GetDatum(entry->xp_delta));
	eco_row_set(row, ECO_COL_GOLD, Int64GetDatum(entry->gold));
	eco_row_set(row, ECO_COL_XP, Int64GetDatum(entry->xp));
	eco_row_set(row, ECO_COL_CREATED_AT, Int64GetDatum(entry->created_at));
	eco_row_set(row, ECO_COL_XACT, Int64GetDatum((int64) xid));
	eco_row_set(row, ECO_COL_POSITION, Int64GetDatum(account->position));
	eco_row_set(row, ECO_COL_LIVE,
				BoolGetDatum(eco_entry_live_hook != NULL && eco_entry_live_hook()));
	if (eco_journal_is_signed(journal))
		eco_row_set(row, journal->key_version_column, Int32GetDatum(eco_key_active()));

	eco_row_digest(row);
	eco_entry_hash(journal, row, account->head, hash);
	eco_row_set(row, ECO_COL_HASH, eco_bytea(hash, ECO_HASH_LEN));
	if (eco_journal_is_signed(journal))
	{
		uint8		signature[ECO_SIGNATURE_LEN];

		eco_key_sign(DatumGetInt32(row->values[journal->key_version_column]),
					 hash, ECO_HASH_LEN, signature);
		eco_row_set(row, journal->signature_column,
					eco_bytea(signature, ECO_SIGNATURE_LEN));
	}

	account->seq = entry->seq;
	account->gold = entry->gold;
	account->xp = entry->xp;
	memcpy(account->head, hash, ECO_HASH_LEN);
	if (eco_entry_observer != NULL)
		entry->is_read = eco_entry_observer(account, entry);
}

void
eco_account_flush(EcoAccount *account)
{
	if (!eco_account_write(account))
		eco_row_moved(&eco_accounts);
}

bool
eco_account_write(EcoAccount *account)
{
	EcoRow	   *row = &account->row;

	row->values[ACC_SEQ] = Int64GetDatum(account->seq);
	row->values[ACC_GOLD] = Int64GetDatum(account->gold);
	row->values[ACC_XP] = Int64GetDatum(account->xp);
	row->values[ACC_POSITION] = Int64GetDatum(account->position);
	row->values[ACC_SUSPENDED] = BoolGetDatum(account->suspended);
	row->values[ACC_FREEZES] = Int32GetDatum(account->freezes);
	row->values[ACC_HEAD_HASH] = eco_bytea(account->head, ECO_HASH_LEN);
	if (account->put_id != 0)
		put_section(account);
	if (!account->is_unlocked)
		eco_row_update(row, account->user_id);
	else if (!eco_row_try_update(row, account->user_id))
		return false;
	account->is_unlocked = false;
	flushes++;
	ECO_CRASH_POINT("entry:after_account");
	if (account->put_row != NULL)
		write_row(account);
	return true;
}

uint64
eco_account_flushes(void)
{
	return flushes;
}
