/*
 * archive.c
 *		What stays of entries that were archived.
 *
 * Of each the key of its call, so that no retry has a second effect, and its hash where
 * the receipt of a purchase that is left goes on from it.  Of all that went at once a row
 * of archives, with a digest by which an archive can be proved.  The checkpoint of the
 * stream signs keys and archives (I3); a hash proves itself, as the one that the next
 * receipt goes on from.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

#include "errors.h"
#include "ledger/archive.h"
#include "ledger/call.h"
#include "ledger/hash.h"

#define KEY_LETTER 'K'
#define KEY_BYTES \
	(ECO_ENCODED_HEADER + ECO_ENCODED_BYTES(1) + \
	 ECO_MAX_CALL_TEXTS * ECO_ENCODED_BYTES(ECO_MAX_KEY))
#define HASH_LETTER 'H'			/* text follows, and in an entry of a journal
								 * a number */
#define HASH_BYTES (ECO_ENCODED_HEADER + ECO_ENCODED_BYTES(64))
#define KEY_OF_CALLS 1			/* place in EcoTable.keys */

#define ARCHIVED_KEYS \
	.name = "archived_keys", \
	.ncolumns = AKY_COLUMNS, \
	.columns = { \
		{"user_id", INT8OID, false}, \
		{"product_id", TEXTOID, false}, \
		{"key", UUIDOID, false}, \
		{"seq", INT8OID, false}, \
		{"created_at", TIMESTAMPTZOID, ECO_NULLABLE}, \
		{"monetary", INT8OID, ECO_NULLABLE}, \
		{"quantity", INT8OID, ECO_NULLABLE}, \
		{"stock_units", INT8OID, ECO_NULLABLE}, \
	}, \
	.nkeys = 1, \
	.keys = {{3, {AKY_USER_ID, AKY_PRODUCT_ID, AKY_KEY}}}

/* Calls that look a key up lock the table as readers do; written is the other one. */
EcoTable	eco_archived_keys = {.only_read = true, ARCHIVED_KEYS};
EcoTable	eco_archived_keys_to_keep = {ARCHIVED_KEYS};

EcoTable	eco_archived_hashes = {
	.name = "archived_hashes",
	.ncolumns = AHS_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"seq", INT8OID, false},
		{"hash", BYTEAOID, false},
	},
	.nkeys = 1,
	.keys = {{2, {AHS_USER_ID, AHS_SEQ}}},
};

EcoTable	eco_archives = {
	.name = "archives",
	.ncolumns = ARC_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"journal", TEXTOID, false},
		{"upto_seq", INT8OID, false},
		{"from_seq", INT8OID, false},
		{"entries", INT8OID, false},
		{"freezes", INT8OID, false},
		{"digest", BYTEAOID, false},
		{"created_at", TIMESTAMPTZOID, false},
	},
	.nkeys = 1,
	.keys = {{3, {ARC_USER_ID, ARC_JOURNAL, ARC_UPTO_SEQ}}},
};

PG_FUNCTION_INFO_V1(eco_archive_key);
PG_FUNCTION_INFO_V1(eco_archive_add);
PG_FUNCTION_INFO_V1(eco_archives_sound);

int64
eco_archive_end(const EcoJournal *journal, int64 user_id)
{
	Datum		values[2] = {
		Int64GetDatum(user_id), CStringGetTextDatum(journal->table->name)
	};
	EcoScan    *scan = eco_scan_begin(&eco_archives, user_id, 0, 2, values);
	EcoRow		row;
	int64		seq = 0;

	while (eco_scan_next(scan, &row))
	{
		CHECK_FOR_INTERRUPTS();
		seq = Max(seq, eco_row_int(&row, ARC_UPTO_SEQ));
	}
	eco_scan_end(scan);
	return seq;
}

void
eco_archive_digest_add(const EcoJournal *journal, const EcoRow *row, uint8 digest[ECO_HASH_LEN])
{
	uint8		buf[HASH_BYTES];
	bytea	   *hash = DatumGetByteaPP(row->values[ECO_COL_HASH]);
	EcoEncoder	enc;

	eco_entry_hash(journal, row, digest, digest);
	eco_encode_begin(&enc, buf, sizeof(buf), ECO_HASH_ALGO_VERSION, HASH_LETTER);
	eco_encode_bytes(&enc, VARDATA_ANY(hash), Min(VARSIZE_ANY_EXHDR(hash), 64));
	if (!eco_chain_hash(digest, &enc, digest))
		eco_hash_failed();
}

static void
key_of(const EcoJournal *journal, const EcoText *texts, int ntexts, pg_uuid_t *key)
{
	static const uint8 zeros[ECO_HASH_LEN] = {0};
	uint8		buf[KEY_BYTES];
	uint8		hash[ECO_HASH_LEN];
	EcoEncoder	enc;

	eco_encode_begin(&enc, buf, sizeof(buf), ECO_HASH_ALGO_VERSION, KEY_LETTER);
	eco_encode_bytes(&enc, &journal->letter, 1);
	for (int i = 0; i < ntexts; i++)
		eco_encode_bytes(&enc, texts[i].data, texts[i].len);
	if (enc.overflow || !eco_chain_hash(zeros, &enc, hash))
		eco_hash_failed();
	memcpy(key->data, hash, UUID_LEN);
}

void
eco_archive_key_of(const EcoJournal *journal, const EcoRow *row, pg_uuid_t *key)
{
	const EcoKey *columns = &row->table->keys[KEY_OF_CALLS];
	EcoText		texts[ECO_MAX_CALL_TEXTS];

	for (int i = 1; i < columns->ncolumns; i++)
		texts[i - 1] = eco_text_in(row->values[columns->columns[i]]);
	key_of(journal, texts, columns->ncolumns - 1, key);
}

bool
eco_archive_has_key(const EcoAccount *account, const EcoJournal *journal, const EcoText *texts,
					int64 *seq)
{
	Datum		values[3] = {Int64GetDatum(account->user_id)};
	pg_uuid_t	key;
	EcoRow		row;

	if (account->pruned_seq == 0 || !journal->leaves)
		return false;
	key_of(journal, texts, journal->table->keys[KEY_OF_CALLS].ncolumns - 1, &key);
	values[2] = UUIDPGetDatum(&key);
	values[1] = journal->keep != NULL ? texts[0].datum : CStringGetTextDatum("");
	if (!eco_row_find(&eco_archived_keys, account->user_id, 0, 3, values, &row))
		return false;
	*seq = eco_row_int(&row, AKY_SEQ);
	return true;
}

bool
eco_archive_passed(const EcoJournal *journal, int64 user_id, int64 seq)
{
	Datum		values[2] = {Int64GetDatum(user_id), Int64GetDatum(seq)};
	EcoScan    *scan;
	EcoRow		row;
	bool		found;

	if (seq >= eco_archive_end(journal, user_id))
		return false;
	if (eco_row_find(journal->table, user_id, 0, 2, values, &row))
		return true;

	/*
	 * by its number only who asks for a reversal looks for one: there is no
	 * index.  A key of a journal that keeps more has its first text beside
	 * it, which none of another journal has.
	 */
	scan = eco_scan_begin(&eco_archived_keys, user_id, 0, 1, values);
	for (found = false; !found && eco_scan_next(scan, &row);)
	{
		CHECK_FOR_INTERRUPTS();
		found = eco_row_int(&row, AKY_SEQ) == seq &&
			(eco_text_in(row.values[AKY_PRODUCT_ID]).len > 0) == (journal->keep != NULL);
	}
	eco_scan_end(scan);
	return found;
}

EcoScan *
eco_archived_begin(int64 user_id, const EcoText *product_id)
{
	Datum		values[2] = {
		Int64GetDatum(user_id), product_id == NULL ? (Datum) 0 : product_id->datum
	};

	return eco_scan_begin(&eco_archived_keys, user_id, 0, product_id == NULL ? 1 : 2, values);
}

bool
eco_archive_hash(int64 user_id, int64 seq, uint8 hash[ECO_HASH_LEN])
{
	Datum		values[2] = {Int64GetDatum(user_id), Int64GetDatum(seq)};
	EcoRow		row;
	bytea	   *stored;

	if (!eco_row_find(&eco_archived_hashes, user_id, 0, 2, values, &row))
		return false;
	stored = DatumGetByteaPP(row.values[AHS_HASH]);
	if (VARSIZE_ANY_EXHDR(stored) != ECO_HASH_LEN)
		return false;
	memcpy(hash, VARDATA_ANY(stored), ECO_HASH_LEN);
	return true;
}

void
eco_archive_digest(int64 user_id, uint8 digest[ECO_HASH_LEN])
{
	static EcoTable *const tables[] = {&eco_archives, &eco_archived_keys, NULL};
	EcoOpenTables *open = eco_tables_open(ECO_READ, tables);

	memset(digest, 0, ECO_HASH_LEN);
	eco_checkpoint_chain(&eco_archives, user_id, digest);
	eco_checkpoint_chain(&eco_archived_keys, user_id, digest);
	eco_tables_close(open);
}

/*
 * eco_archive_key(journal text, VARIADIC texts text[]) returns uuid
 *		The key in archived_keys of a call with these texts.
 */
Datum
eco_archive_key(PG_FUNCTION_ARGS)
{
	EcoText		letter = eco_text_arg(fcinfo, 0, "journal", 1);
	const EcoJournal *journal = eco_journal_of(letter.data[0]);
	EcoText		texts[ECO_MAX_CALL_TEXTS];
	Datum	   *values;
	bool	   *nulls;
	int			n;
	pg_uuid_t  *key = palloc(sizeof(pg_uuid_t));

	eco_require_arg(fcinfo, 1, "texts");
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls,
					  &n);
	if (journal == NULL || n > ECO_MAX_CALL_TEXTS)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("this is no key of a journal"));
	for (int i = 0; i < n; i++)
	{
		struct varlena *value = nulls[i] ? NULL : DatumGetByteaPP(values[i]);

		if (nulls[i] || VARSIZE_ANY_EXHDR(value) > ECO_MAX_KEY)
			PG_RETURN_NULL();	/* a length that only damage makes */
		texts[i] = (EcoText)
		{
			VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), values[i]
		};
	}
	key_of(journal, texts, n, key);
	PG_RETURN_UUID_P(key);
}

/* The row of a journal that a composite value of its type is. */
static void
row_of(HeapTupleHeader header, EcoRow *row, const EcoJournal **journal)
{
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
											  HeapTupleHeaderGetTypMod(header));
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *isnull = palloc(sizeof(bool) * desc->natts);
	Oid			relid = get_typ_typrelid(HeapTupleHeaderGetTypeId(header));

	*journal = NULL;
	for (int i = 0; i < eco_journal_count(); i++)
		if (eco_journal_exists(eco_journal_get(i)) &&
			eco_oid_of(eco_journal_get(i)->table) == relid)
			*journal = eco_journal_get(i);
	if (*journal == NULL)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("this is no entry of a journal"));
	heap_deform_tuple(&tuple, desc, values, isnull);
	eco_row_init(row, (*journal)->table);
	for (int c = 0; c < row->table->ncolumns; c++)
		for (int a = 0; a < desc->natts; a++)
		{
			Form_pg_attribute attribute = TupleDescAttr(desc, a);

			if (attribute->attisdropped || isnull[a] ||
				strcmp(NameStr(attribute->attname), row->table->columns[c].name) != 0)
				continue;
			eco_row_set(row, c, values[a]);
		}
	ReleaseTupleDesc(desc);
}

/*
 * eco_archive_add(digest bytea, entry record) returns bytea
 *		Step of the aggregate archive_digest(): as take() makes it.
 */
Datum
eco_archive_add(PG_FUNCTION_ARGS)
{
	uint8		digest[ECO_HASH_LEN] = {0};
	const EcoJournal *journal;
	EcoRow		row;

	if (!PG_ARGISNULL(0))
	{
		bytea	   *before = PG_GETARG_BYTEA_PP(0);

		if (VARSIZE_ANY_EXHDR(before) != ECO_HASH_LEN)
			ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("a digest has %d bytes", ECO_HASH_LEN));
		memcpy(digest, VARDATA_ANY(before), ECO_HASH_LEN);
	}
	eco_require_arg(fcinfo, 1, "entry");
	row_of(PG_GETARG_HEAPTUPLEHEADER(1), &row, &journal);
	if (row.isnull[ECO_COL_HASH])
		ECO_ERROR(ECO_NULL_ARGUMENT, errmsg("an entry has a hash"));
	eco_archive_digest_add(journal, &row, digest);
	PG_RETURN_DATUM(eco_bytea(digest, ECO_HASH_LEN));
}

/*
 * eco_archives_sound(user_id bigint) returns bool
 *		Whether the rows of archives are those that the user's checkpoint signed.
 */
Datum
eco_archives_sound(PG_FUNCTION_ARGS)
{
	static EcoTable *const tables[] = {
		&eco_archives, &eco_archived_keys, &eco_stream_checkpoints, NULL
	};
	EcoOpenTables *open;
	EcoCheckpoint checkpoint;
	uint8		digest[ECO_HASH_LEN];
	bool		sound;

	eco_require_arg(fcinfo, 0, "user_id");
	open = eco_tables_open(ECO_READ, tables);
	eco_archive_digest(PG_GETARG_INT64(0), digest);
	sound = eco_checkpoint_read(PG_GETARG_INT64(0), &checkpoint) && checkpoint.valid &&
		memcmp(digest, checkpoint.archived, ECO_HASH_LEN) == 0;
	eco_tables_close(open);
	PG_RETURN_BOOL(sound);
}
