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
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "crash_point.h"
#include "errors.h"
#include "ledger/entry.h"
#include "ledger/installation.h"
#include "ledger/keys.h"

#define ENTRY_STACK_BYTES	1024

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
	ACC_HEAD_HASH
};

EcoTable	eco_accounts = {
	.name = "accounts",
	.ncolumns = 9,
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
	},
	.nkeys = 1,
	.keys = {{1, {ACC_USER_ID}}},
};

void		(*eco_entry_posted_hook) (EcoJournal journal, int64 user_id, int64 seq, bool live) = NULL;
bool		(*eco_entry_live_hook) (void) = NULL;

/* of any account: a difference shows that user code made entries in between */
static uint64 flushes = 0;

static EcoJournalInfo journals[ECO_MAX_JOURNALS];
static int	n_journals = 0;

static void account_load(int64 user_id, EcoAccount *account);

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
	Datum		key = Int64GetDatum(user_id);

	if (!eco_account_read(user_id, account))
	{
		eco_rows_must_be_newest(&eco_accounts, user_id, 0, 1, &key);
		return ECO_ACCOUNT_MISSING;
	}
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
	account->suspended = DatumGetBool(row->values[ACC_SUSPENDED]);
	account->freezes = DatumGetInt32(row->values[ACC_FREEZES]);
	account->position = eco_row_int(row, ACC_POSITION);
	account->pruned_seq = eco_row_int(row, ACC_PRUNED_SEQ);
	memcpy(account->head, VARDATA_ANY(head), ECO_HASH_LEN);
}

const char *
eco_amount_refusal(const EcoAccount *account, int64 gold_delta, int64 xp_delta)
{
	int64		gold;
	int64		xp;

	if (pg_add_s64_overflow(account->gold, gold_delta, &gold))
		return gold_delta > 0 ? "GOLD_OVERFLOW" : "INSUFFICIENT_GOLD";
	if (gold < 0)
		return "INSUFFICIENT_GOLD";
	if (gold > ECO_MAX_AMOUNT ||
		pg_add_s64_overflow(account->xp, xp_delta, &xp) ||
		xp > ECO_MAX_AMOUNT)
		return "GOLD_OVERFLOW";
	return NULL;
}

void
eco_entry_init(EcoEntry *entry, EcoJournal journal, EcoTable *table)
{
	eco_row_init(&entry->row, table);
	entry->journal = journal;
	entry->gold_delta = 0;
	entry->xp_delta = 0;
	entry->freezes_delta = 0;
	entry->signature_column = -1;
	entry->key_version_column = -1;
}

void
eco_entry_post(EcoAccount *account, EcoEntry *entry)
{
	eco_entry_book(account, entry);
	eco_entry_write(account, entry);
}

void
eco_entry_book(EcoAccount *account, EcoEntry *entry)
{
	eco_entry_prepare(account, entry);
	eco_account_flush(account);
}

void
eco_entry_write(EcoAccount *account, EcoEntry *entry)
{
	eco_entries_write(account, &entry, 1);
}

void
eco_entries_write(EcoAccount *account, EcoEntry **entries, int n)
{
	EcoRow	  **rows = palloc(sizeof(EcoRow *) * Max(n, 1));

	for (int i = 0; i < n; i++)
		rows[i] = &entries[i]->row;
	ECO_CRASH_POINT("entry:before_journal");
	for (int i = 0; i < n && eco_entry_posted_hook != NULL; i++)
		eco_entry_posted_hook(entries[i]->journal, account->user_id, entries[i]->seq,
							  DatumGetBool(entries[i]->row.values[ECO_COL_LIVE]));
	if (n > 0)
		eco_rows_insert(rows, n, account->user_id);
	ECO_CRASH_POINT("entry:after_journal");
	pfree(rows);
}

void
eco_entry_prepare(EcoAccount *account, EcoEntry *entry)
{
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
	entry->created_at = eco_now();
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
	eco_row_set(row, ECO_COL_LIVE, BoolGetDatum(eco_entry_live_hook != NULL && eco_entry_live_hook()));
	if (entry->key_version_column >= 0)
		eco_row_set(row, entry->key_version_column, Int32GetDatum(eco_key_active()));

	eco_entry_hash(row, entry->journal, entry->signature_column, account->head, hash);
	eco_row_set(row, ECO_COL_HASH, eco_bytea(hash, ECO_HASH_LEN));
	if (entry->signature_column >= 0)
	{
		uint8		signature[ECO_SIGNATURE_LEN];

		eco_key_sign(DatumGetInt32(row->values[entry->key_version_column]),
					 hash, ECO_HASH_LEN, signature);
		eco_row_set(row, entry->signature_column,
					eco_bytea(signature, ECO_SIGNATURE_LEN));
	}

	account->seq = entry->seq;
	account->gold = entry->gold;
	account->xp = entry->xp;
	account->freezes += entry->freezes_delta;
	memcpy(account->head, hash, ECO_HASH_LEN);
}

void
eco_account_flush(EcoAccount *account)
{
	EcoRow	   *row = &account->row;

	row->values[ACC_SEQ] = Int64GetDatum(account->seq);
	row->values[ACC_GOLD] = Int64GetDatum(account->gold);
	row->values[ACC_XP] = Int64GetDatum(account->xp);
	row->values[ACC_POSITION] = Int64GetDatum(account->position);
	row->values[ACC_SUSPENDED] = BoolGetDatum(account->suspended);
	row->values[ACC_FREEZES] = Int32GetDatum(account->freezes);
	row->values[ACC_HEAD_HASH] = eco_bytea(account->head, ECO_HASH_LEN);
	eco_row_update(row, account->user_id);
	account->flush = ++flushes;
	ECO_CRASH_POINT("entry:after_account");
}

bool
eco_account_moved_on(EcoAccount *account)
{
	if (account->flush == flushes)
		return false;
	eco_snapshot_renew();
	if (!eco_account_read(account->user_id, account))
		eco_row_moved(&eco_accounts);
	account->flush = flushes;
	return true;
}

void
eco_entry_hash(const EcoRow *row, EcoJournal journal, int signature_column,
			   const uint8 prev[ECO_HASH_LEN], uint8 hash[ECO_HASH_LEN])
{
	EcoTable   *table = row->table;
	uint8		stack_buf[ENTRY_STACK_BYTES];
	uint8	   *buf = stack_buf;
	const char *text[ECO_MAX_COLUMNS];
	size_t		len[ECO_MAX_COLUMNS];
	size_t		size = ECO_ENCODED_HEADER;
	EcoEncoder	enc;

	for (int i = 0; i < table->ncolumns; i++)
	{
		text[		i] = NULL;

		if (row->isnull[i] || i == ECO_COL_HASH || i == signature_column)
			size += ECO_ENCODED_NULL;
		else if (table->columns[i].type == TEXTOID)
		{
			struct varlena *value = PG_DETOAST_DATUM_PACKED(row->values[i]);

			text[		i] = VARDATA_ANY(value);

			len[i] = VARSIZE_ANY_EXHDR(value);
			size += ECO_ENCODED_BYTES(len[i]);
		}
		else if (table->columns[i].type == JSONBOID)
		{
			Jsonb	   *value = DatumGetJsonbP(row->values[i]);

			text[		i] = JsonbToCString(NULL, &value->root, VARSIZE(value));

			len[i] = strlen(text[i]);
			size += ECO_ENCODED_BYTES(len[i]);
		}
		else
			size += ECO_ENCODED_INT;
	}
	if (size > sizeof(stack_buf))
		buf = palloc(size);

	eco_encode_begin(&enc, buf, size, ECO_HASH_ALGO_VERSION, (uint8) journal);
	for (int i = 0; i < table->ncolumns; i++)
	{
		/* the hash and what is made from it cannot be part of it */
		if (i == ECO_COL_HASH || i == signature_column)
			continue;
		if (row->isnull[i])
			eco_encode_null(&enc);
		else if (text[i] != NULL)
			eco_encode_bytes(&enc, text[i], len[i]);
		else if (table->columns[i].type == INT8OID ||
				 table->columns[i].type == TIMESTAMPTZOID)
			eco_encode_int(&enc, DatumGetInt64(row->values[i]));
		else if (table->columns[i].type == INT4OID)
			eco_encode_int(&enc, DatumGetInt32(row->values[i]));
		else if (table->columns[i].type == INT2OID)
			eco_encode_int(&enc, DatumGetInt16(row->values[i]));
		else if (table->columns[i].type == DATEOID)
			eco_encode_int(&enc, DatumGetInt32(row->values[i]));
		else if (table->columns[i].type == BOOLOID)
			eco_encode_int(&enc, DatumGetBool(row->values[i]));
		else
			ECO_ERROR(ECO_SCHEMA_DAMAGED,
					  errmsg("column \"%s\" of journal %s has a type without encoding",
							 table->columns[i].name, table->name));
	}
	if (!eco_chain_hash(prev, &enc, hash))
		ECO_ERROR(ECO_CRYPTO_FAILED, errmsg("could not compute a SHA-256 hash"));
	if (buf != stack_buf)
		pfree(buf);
}

char *
eco_transaction_id(EcoJournal journal, int64 user_id, int64 seq)
{
	return psprintf("%c%lld-%lld", journal, (long long) user_id, (long long) seq);
}

bool
eco_transaction_id_parse(const char *text, EcoJournal *journal,
						 int64 *user_id, int64 *seq)
{
	char	   *end;
	char	   *canonical;
	bool		same;

	if (text[0] == '\0')
		return false;
	*journal = (EcoJournal) text[0];

	errno = 0;
	*user_id = strtoll(text +1, &end, 10);
	if (errno != 0 || *end != '-')
		return false;
	*seq = strtoll(end + 1, &end, 10);
	if (errno != 0 || *end != '\0')
		return false;
	/* one name per entry: no leading zeros, signs or spaces */
	canonical = eco_transaction_id(*journal, *user_id, *seq);
	same = strcmp(canonical, text) == 0;
	pfree(canonical);
	return same;
}

void
eco_journal_register(const EcoJournalInfo *info)
{
	Assert(n_journals < ECO_MAX_JOURNALS);
	journals[n_journals++] = *info;
}

int
eco_journal_count(void)
{
	return n_journals;
}

const EcoJournalInfo *
eco_journal_get(int number)
{
	return &journals[number];
}
