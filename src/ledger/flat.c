/*
 * flat.c
 *		An entry's row as bytes of its own, to be told from without reading it.
 */
#include "postgres.h"

#include "errors.h"
#include "ledger/flat.h"

/* Eight bytes, behind which all is aligned. */
typedef struct Header
{
	uint32		nulls;			/* a bit for each column */
	uint16		bytes;			/* with this header */
	char		letter;			/* of the journal */
} Header;

StaticAssertDecl(ECO_MAX_COLUMNS <= 32, "a column has no bit");

static inline bool
is_text(Oid type)
{
	return type == TEXTOID || type == JSONBOID || type == BYTEAOID;
}

static inline bool
is_long(Oid type)
{
	return type == INT8OID || type == TIMESTAMPTZOID;
}

static inline uint32
null_bit(int column)
{
	return (uint32) 1 << column;
}

/* Write a value, which starts at *at; false: it does not fit. */
static bool
write_value(Oid type, Datum value, char *flat, Size *at)
{
	const char *text = DatumGetPointer(value);
	int64		number;
	Size		bytes;

	if (is_text(type) && (VARATT_IS_EXTERNAL(text) || VARATT_IS_COMPRESSED(text)))
		return false;
	bytes = is_text(type) ? VARSIZE_ANY(text) : sizeof(int64);
	if (*at + bytes > ECO_FLAT_MAX)
		return false;
	if (is_text(type))
		memcpy(flat + *at, text, bytes);
	else
	{
		number = is_long(type) ? DatumGetInt64(value) : (int64) value;
		memcpy(flat + *at, &number, sizeof(number));
	}
	*at = MAXALIGN(*at + bytes);
	return true;
}

Size
eco_flat_write(const EcoEntry *entry, char *flat)
{
	const EcoJournal *journal = entry->journal;
	const EcoTable *table = journal->table;
	const EcoRow *row = &entry->row;
	Size		beside = journal->beside_bytes;
	Header		header = {.letter = journal->letter};
	Size		at = MAXALIGN(sizeof(Header));

	if (entry->is_read || (beside > 0 && entry->beside == NULL && !journal->beside_of_few))
		return 0;
	for (int i = 0; i < table->ncolumns; i++)
	{
		if (row->isnull[i] || eco_is_of_proof(journal, i))
			header.nulls |= null_bit(i);
		else if (!write_value(table->columns[i].type, row->values[i], flat, &at))
			return 0;
	}
	if (at + MAXALIGN(beside) > ECO_FLAT_MAX)
		return 0;
	if (beside > 0 && entry->beside != NULL)
		memcpy(flat + at, entry->beside, beside);
	else if (beside > 0)
		memset(flat + at, 0, beside);
	at += MAXALIGN(beside);
	header.bytes = (uint16) at;
	memcpy(flat, &header, sizeof(header));
	return at;
}

const char *
eco_flat_read(const char *flat, const EcoJournal **journal, EcoRow *row, const void **beside)
{
	const Header *header = (const Header *) flat;
	const EcoTable *table;
	const char *at = flat + MAXALIGN(sizeof(Header));

	*journal = eco_journal_of(header->letter);
	if (*journal == NULL)
		ECO_ERROR(ECO_LEDGER_DAMAGED, errmsg("no journal has the letter \"%c\"", header->letter));
	table = (*journal)->table;
	eco_row_init(row, (*journal)->table);
	for (int i = 0; i < table->ncolumns; i++)
	{
		Oid			type = table->columns[i].type;
		int64		number;

		if ((header->nulls & null_bit(i)) != 0)
			continue;
		row->isnull[i] = false;
		if (is_text(type))
		{
			row->values[i] = PointerGetDatum(at);
			at += MAXALIGN(VARSIZE_ANY(at));
			continue;
		}
		memcpy(&number, at, sizeof(number));
		row->values[i] = is_long(type) ? Int64GetDatum(number) : (Datum) number;
		at += MAXALIGN(sizeof(number));
	}
	*beside = (*journal)->beside_bytes > 0 ? at : NULL;
	return flat + header->bytes;
}

const char *
eco_flat_skip(const char *flat, int64 n)
{
	for (; n > 0; n--)
		flat += ((const Header *) flat)->bytes;
	return flat;
}
