/*
 * flat.c
 *		An entry's row as bytes of its own, to be told from without reading it.
 */
#include "postgres.h"

#include "errors.h"
#include "ledger/flat.h"

typedef struct Header
{
	uint32		bytes;			/* with this header */
	char		letter;			/* of the journal */
	bool		isnull[ECO_MAX_COLUMNS];
} Header;

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

Size
eco_flat_write(const EcoJournal *journal, const EcoRow *row, char *flat)
{
	const EcoTable *table = journal->table;
	Header	   *header = (Header *) flat;
	Size		at = MAXALIGN(sizeof(Header));

	header->letter = journal->letter;
	for (int i = 0; i < table->ncolumns; i++)
	{
		Oid			type = table->columns[i].type;
		const char *value = DatumGetPointer(row->values[i]);
		int64		number;
		Size		bytes;

		header->isnull[i] = row->isnull[i] || eco_is_of_proof(journal, i);
		if (header->isnull[i])
			continue;
		if (is_text(type) && (VARATT_IS_EXTERNAL(value) || VARATT_IS_COMPRESSED(value)))
			return 0;
		bytes = is_text(type) ? VARSIZE_ANY(value) : sizeof(int64);
		if (at + bytes > ECO_FLAT_MAX)
			return 0;
		if (is_text(type))
			memcpy(flat + at, value, bytes);
		else
		{
			number = is_long(type) ? DatumGetInt64(row->values[i]) : (int64) row->values[i];
			memcpy(flat + at, &number, bytes);
		}
		at = MAXALIGN(at + bytes);
	}
	header->bytes = (uint32) at;
	return at;
}

const char *
eco_flat_read(const char *flat, const EcoJournal **journal, EcoRow *row)
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

		row->isnull[i] = header->isnull[i];
		if (row->isnull[i])
			continue;
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
	return flat + header->bytes;
}

const char *
eco_flat_skip(const char *flat, int64 n)
{
	for (; n > 0; n--)
		flat += ((const Header *) flat)->bytes;
	return flat;
}
