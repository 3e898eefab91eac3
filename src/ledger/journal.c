/*
 * journal.c
 *		Journals: which there are, how their entries are named, and how they are hashed.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "errors.h"
#include "ledger/hash.h"
#include "ledger/journal.h"

#define ENTRY_STACK_BYTES	1024
#define ID_BYTES			44	/* a letter, two numbers of up to 20, and what
								 * is between and behind them */

/* The columns of a row that are encoded as bytes; NULL for null ones and numbers. */
typedef struct Texts
{
	const char *at[ECO_MAX_COLUMNS];
	size_t		len[ECO_MAX_COLUMNS];
} Texts;

static const EcoJournal *const *journals = NULL;
static int	n_journals = 0;

void
eco_journals_install(const EcoJournal *const *all)
{
	journals = all;
	for (n_journals = 0; all[n_journals] != NULL; n_journals++)
		Assert(n_journals < ECO_MAX_JOURNALS);
}

int
eco_journal_count(void)
{
	return n_journals;
}

const EcoJournal *
eco_journal_get(int number)
{
	return journals[number];
}

const EcoJournal *
eco_journal_of(char letter)
{
	for (int i = 0; i < n_journals; i++)
		if (journals[i]->letter == letter)
			return journals[i];
	return NULL;
}

/* Collects the texts, and returns a size that is enough for the encoded row. */
static size_t
collect_texts(const EcoJournal *journal, const EcoRow *row, Texts *texts)
{
	const EcoTable *table = row->table;
	size_t		size = ECO_ENCODED_HEADER;

	for (int i = 0; i < table->ncolumns; i++)
	{
		texts->at[i] = NULL;
		if (row->isnull[i] || eco_is_of_proof(journal, i))
			size += ECO_ENCODED_NULL;
		else if (table->columns[i].type == TEXTOID)
		{
			struct varlena *value = PG_DETOAST_DATUM_PACKED(row->values[i]);

			texts->at[i] = VARDATA_ANY(value);
			texts->len[i] = VARSIZE_ANY_EXHDR(value);
			size += ECO_ENCODED_BYTES(texts->len[i]);
		}
		else if (table->columns[i].type == JSONBOID)
		{
			Jsonb	   *value = DatumGetJsonbP(row->values[i]);

			texts->at[i] = JsonbToCString(NULL, &value->root, VARSIZE(value));
			texts->len[i] = strlen(texts->at[i]);
			size += ECO_ENCODED_BYTES(texts->len[i]);
		}
		else
			size += ECO_ENCODED_INT;
	}
	return size;
}

/* The value of a column that is encoded as a number. */
static int64
number_of(const EcoRow *row, int column)
{
	Datum		value = row->values[column];

	switch (row->table->columns[column].type)
	{
		case INT8OID:
		case TIMESTAMPTZOID:
			return DatumGetInt64(value);
		case INT4OID:
		case DATEOID:
			return DatumGetInt32(value);
		case INT2OID:
			return DatumGetInt16(value);
		case BOOLOID:
			return DatumGetBool(value);
		default:
			ECO_ERROR(ECO_SCHEMA_DAMAGED,
					  errmsg("column \"%s\" of journal %s has a type without encoding",
							 row->table->columns[column].name, row->table->name));
	}
	return 0;
}

/* How many columns the encoding has. */
static int
encoded_columns(const EcoRow *row)
{
	int			n = row->table->ncolumns;

	while (row->isnull[n - 1] && (row->table->columns[n - 1].is & ECO_LATER))
		n--;
	return n;
}

void
eco_entry_hash(const EcoJournal *journal, const EcoRow *row,
			   const uint8 prev[ECO_HASH_LEN], uint8 hash[ECO_HASH_LEN])
{
	uint8		stack_buf[ENTRY_STACK_BYTES];
	uint8	   *buf = stack_buf;
	Texts		texts;
	size_t		size = collect_texts(journal, row, &texts);
	EcoEncoder	enc;

	if (size > sizeof(stack_buf))
		buf = palloc(size);
	eco_encode_begin(&enc, buf, size, ECO_HASH_ALGO_VERSION, (uint8) journal->letter);
	for (int i = 0, n = encoded_columns(row); i < n; i++)
	{
		if (eco_is_of_proof(journal, i))
			continue;
		if (row->isnull[i])
			eco_encode_null(&enc);
		else if (texts.at[i] != NULL)
			eco_encode_bytes(&enc, texts.at[i], texts.len[i]);
		else
			eco_encode_int(&enc, number_of(row, i));
	}
	if (!eco_chain_hash(prev, &enc, hash))
		eco_hash_failed();
	if (buf != stack_buf)
		pfree(buf);
}

char *
eco_transaction_id(const EcoJournal *journal, int64 user_id, int64 seq)
{
	char	   *id = palloc(ID_BYTES);
	char	   *at = id;

	*at++ = journal->letter;
	at += pg_lltoa(user_id, at);
	*at++ = '-';
	at += pg_lltoa(seq, at);
	*at = '\0';
	return id;
}

bool
eco_transaction_id_parse(const char *id, const EcoJournal **journal,
						 int64 *user_id, int64 *seq)
{
	char	   *end;
	char	   *canonical;
	bool		same;

	*journal = id[0] == '\0' ? NULL : eco_journal_of(id[0]);
	if (*journal == NULL)
		return false;
	*user_id = strtoll(id + 1, &end, 10);
	if (*end != '-')
		return false;
	*seq = strtoll(end + 1, &end, 10);
	if (*end != '\0')
		return false;
	/* one name per entry: no leading zeros, signs, spaces, nor too large */
	canonical = eco_transaction_id(*journal, *user_id, *seq);
	same = strcmp(canonical, id) == 0;
	pfree(canonical);
	return same;
}
