/*
 * receipt.c
 *		Signed receipts of purchases, and their verification.
 *
 * The signature is HMAC-SHA256 over the entry's hash, and the hash covers every
 * stored byte of the entry, so a receipt is valid only for an unchanged entry
 * in its place in the chain.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "ledger/archive.h"
#include "ledger/args.h"
#include "ledger/entry.h"
#include "ledger/keys.h"
#include "ledger/result.h"
#include "ledger/stream.h"
#include "ledger/user.h"
#include "shop/journal.h"

PG_FUNCTION_INFO_V1(eco_receipt);
PG_FUNCTION_INFO_V1(eco_verify_receipt);

enum
{
	RCP_PRODUCT_ID,
	RCP_CATEGORY,
	RCP_QUANTITY,
	RCP_GOLD_DELTA,
	RCP_GOLD,
	RCP_MONETARY,
	RCP_STATUS,
	RCP_EFFECT_CODE,
	RCP_CREATED_AT,
	RCP_HASH,
	RCP_HASH_ALGO_VERSION,
	RCP_SIGNATURE,
	RCP_KEY_VERSION,
	RCP_ITEMS,
	RCP_COLUMNS
};

enum
{
	RECEIPT_VALID,
	RECEIPT_REASON
};

/* The number of the purchase with this name, which is one of this user; 0: it is none. */
static int64
seq_of(int64 user_id, const char *transaction_id)
{
	const EcoJournal *journal;
	int64		owner;
	int64		seq;

	return eco_transaction_id_parse(transaction_id, &journal, &owner, &seq) &&
		journal == &eco_purchases && owner == user_id ? seq : 0;
}

/* The purchase of this user with this number, under the active snapshot. */
static bool
find_purchase(int64 user_id, int64 seq, EcoRow *row)
{
	Datum		values[2] = {Int64GetDatum(user_id), Int64GetDatum(seq)};

	return eco_row_find(&eco_shop_transactions, user_id, ECO_TXN_BY_SEQ, 2, values, row);
}

/* Only who asks for one that is not there waits for this: it reads all that stays of them. */
static bool
was_archived(int64 user_id, int64 seq)
{
	EcoScan    *scan;
	EcoRow		row;
	bool		found = false;

	if (seq == 0)
		return false;
	scan = eco_archived_begin(user_id, NULL);
	while (!found && eco_scan_next(scan, &row))
		found = eco_row_int(&row, AKY_SEQ) == seq && !row.isnull[AKY_CREATED_AT];
	eco_scan_end(scan);
	return found;
}

static Datum
hex_of(Datum stored)
{
	bytea	   *bytes = DatumGetByteaPP(stored);

	return CStringGetTextDatum(eco_hex((const uint8 *) VARDATA_ANY(bytes),
									   VARSIZE_ANY_EXHDR(bytes)));
}

static void
put_receipt(ReturnSetInfo *info, const EcoRow *row)
{
	bool		isnull[RCP_COLUMNS] = {[RCP_EFFECT_CODE] = row->isnull[TXN_EFFECT_CODE]};
	Datum		values[RCP_COLUMNS] = {
		[RCP_PRODUCT_ID] = row->values[TXN_PRODUCT_ID],
		[RCP_CATEGORY] = row->values[TXN_CATEGORY],
		[RCP_QUANTITY] = row->values[TXN_QUANTITY],
		[RCP_GOLD_DELTA] = row->values[ECO_COL_GOLD_DELTA],
		[RCP_GOLD] = row->values[ECO_COL_GOLD],
		[RCP_MONETARY] = row->values[TXN_MONETARY],
		[RCP_STATUS] = row->values[TXN_STATUS],
		[RCP_EFFECT_CODE] = row->values[TXN_EFFECT_CODE],
		[RCP_CREATED_AT] = row->values[ECO_COL_CREATED_AT],
		[RCP_HASH] = hex_of(row->values[ECO_COL_HASH]),
		[RCP_HASH_ALGO_VERSION] = row->values[TXN_HASH_ALGO_VERSION],
		[RCP_SIGNATURE] = hex_of(row->values[TXN_SIGNATURE]),
		[RCP_KEY_VERSION] = row->values[TXN_KEY_VERSION],
	};

	isnull[RCP_ITEMS] = row->isnull[TXN_ITEMS];
	if (!row->isnull[TXN_ITEMS])
		values[RCP_ITEMS] = PointerGetDatum(PG_DETOAST_DATUM(row->values[TXN_ITEMS]));

	tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
}

/*
 * eco_receipt(user_id bigint, transaction_id text)
 *		returns setof economy.purchase_receipt, at most one
 */
Datum
eco_receipt(PG_FUNCTION_ARGS)
{
	static EcoTable *const tables[] = {&eco_shop_transactions, NULL};
	EcoOpenTables *open;
	EcoRow		row;

	eco_result_set_begin(fcinfo, "ttilllttztsti+j");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	open = eco_user_tables_open(ECO_READ, PG_GETARG_INT64(0), tables);
	if (find_purchase(PG_GETARG_INT64(0),
					  seq_of(PG_GETARG_INT64(0), text_to_cstring(PG_GETARG_TEXT_PP(1))), &row))
		put_receipt((ReturnSetInfo *) fcinfo->resultinfo, &row);
	eco_tables_close(open);
	return (Datum) 0;
}

/* The hash that the entry at seq follows; false when the entry before it is gone. */
static bool
previous_hash(int64 user_id, int64 seq, uint8 hash[ECO_HASH_LEN])
{
	Datum		values[2] = {Int64GetDatum(user_id), Int64GetDatum(seq - 1)};
	EcoUserRecord user;
	EcoRow		row;

	if (seq == 1)
	{
		eco_user_record(user_id, &user);
		memcpy(hash, user.first_hash, ECO_HASH_LEN);
		return user.exists;
	}
	for (int i = 0; i < eco_journal_count(); i++)
	{
		bytea	   *stored;

		if (!eco_table_is_open(eco_journal_get(i)->table) ||
			!eco_row_find(eco_journal_get(i)->table, user_id, 0, 2, values, &row))
			continue;
		stored = DatumGetByteaPP(row.values[ECO_COL_HASH]);
		if (VARSIZE_ANY_EXHDR(stored) != ECO_HASH_LEN)
			return false;
		memcpy(hash, VARDATA_ANY(stored), ECO_HASH_LEN);
		return true;
	}
	return eco_archive_hash(user_id, seq - 1, hash);
}

/* NULL when the receipt is valid, else why not. */
static const char *
verify(int64 user_id, int64 seq)
{
	EcoRow		row;
	uint8		before[ECO_HASH_LEN];
	uint8		computed[ECO_HASH_LEN];
	bytea	   *stored;
	bytea	   *signature;

	if (!find_purchase(user_id, seq, &row))
		return was_archived(user_id, seq) ? "ARCHIVED" : "NOT_FOUND";
	if (DatumGetInt16(row.values[TXN_HASH_ALGO_VERSION]) != ECO_HASH_ALGO_VERSION)
		return "UNKNOWN_HASH_ALGORITHM";
	if (!previous_hash(user_id, eco_row_int(&row, ECO_COL_SEQ), before))
		return "CHAIN_BROKEN";
	eco_entry_hash(&eco_purchases, &row, before, computed);
	stored = DatumGetByteaPP(row.values[ECO_COL_HASH]);
	if (VARSIZE_ANY_EXHDR(stored) != ECO_HASH_LEN ||
		memcmp(VARDATA_ANY(stored), computed, ECO_HASH_LEN) != 0)
		return "ENTRY_CHANGED";
	signature = DatumGetByteaPP(row.values[TXN_SIGNATURE]);
	switch (eco_key_verify(DatumGetInt32(row.values[TXN_KEY_VERSION]),
						   computed, ECO_HASH_LEN,
						   (const uint8 *) VARDATA_ANY(signature),
						   VARSIZE_ANY_EXHDR(signature)))
	{
		case ECO_SIGNATURE_VALID:
			return NULL;
		case ECO_SIGNATURE_WRONG:
			return "WRONG_SIGNATURE";
		case ECO_KEY_UNKNOWN:
			return "UNKNOWN_KEY";
		case ECO_KEY_RETIRED:
			return "KEY_RETIRED";
	}
	return "WRONG_SIGNATURE";
}

/*
 * eco_verify_receipt(user_id bigint, transaction_id text) returns (valid, reason)
 */
Datum
eco_verify_receipt(PG_FUNCTION_ARGS)
{
	static EcoTable *const tables[] = {
		&eco_user_records, &eco_archived_hashes, &eco_archived_keys, NULL
	};
	EcoResult	result;
	EcoOpenTables *open;
	const char *why_not;

	eco_require_arg(fcinfo, 0, "user_id");
	eco_require_arg(fcinfo, 1, "transaction_id");
	eco_result_begin(&result, fcinfo, "bt");
	open = eco_journals_open(ECO_READ, PG_GETARG_INT64(0), tables);
	why_not = verify(PG_GETARG_INT64(0),
					 seq_of(PG_GETARG_INT64(0), text_to_cstring(PG_GETARG_TEXT_PP(1))));
	eco_tables_close(open);
	eco_result_set(&result, RECEIPT_VALID, BoolGetDatum(why_not == NULL));
	eco_result_text(&result, RECEIPT_REASON, why_not == NULL ? "OK" : why_not);
	PG_RETURN_DATUM(eco_result_row(&result));
}
