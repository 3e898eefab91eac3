/*
 * rows_digest.c
 *		Keys that an index knows by a digest: the range to look in, and who is meant there.
 */
#include "postgres.h"

#include "fmgr.h"

#include "core/digest.h"
#include "ledger/args.h"
#include "ledger/rows_private.h"

PG_FUNCTION_INFO_V1(eco_key_digest);

static inline struct varlena *
text_of(Datum value)
{
	return PG_DETOAST_DATUM_PACKED(value);
}

static int64
digest_of(Datum first, Datum second)
{
	const struct varlena *one = text_of(first);
	const struct varlena *two = text_of(second);

	return eco_digest(VARDATA_ANY(one), VARSIZE_ANY_EXHDR(one),
					  VARDATA_ANY(two), VARSIZE_ANY_EXHDR(two));
}

static int64
digest_in(const EcoRow *row)
{
	const int  *columns = row->table->keys[ECO_DIGESTED_KEY].columns;

	return digest_of(row->values[columns[1]], row->values[columns[2]]);
}

void
eco_row_digest(EcoRow *row)
{
	if (row->table->digest != 0)
		eco_row_set(row, row->table->digest, Int64GetDatum(digest_in(row)));
}

bool
eco_row_digest_wrong(const EcoRow *row, int64 *digest)
{
	if (row->table->digest == 0)
		return false;
	*digest = digest_in(row);
	return eco_row_int(row, row->table->digest) != *digest;
}

void
eco_digest_range(int nvalues, const Datum *values, int64 *least, int64 *most)
{
	const struct varlena *first = text_of(values[1]);

	if (nvalues > 2)
		*least = *most = digest_of(values[1], values[2]);
	else
	{
		*least = eco_digest_least(VARDATA_ANY(first), VARSIZE_ANY_EXHDR(first));
		*most = eco_digest_most(*least);
	}
}

/* Compared by their bytes, as the collation "C" of these columns compares. */
bool
eco_digest_meant(const EcoScan *scan, const EcoRow *row)
{
	const EcoKey *key = &scan->table->keys[scan->key];

	for (int i = 1; i < scan->nvalues; i++)
	{
		const struct varlena *wanted = text_of(scan->values[i]);
		const struct varlena *found = text_of(row->values[key->columns[i]]);
		Size		len = VARSIZE_ANY_EXHDR(wanted);

		if (VARSIZE_ANY_EXHDR(found) != len ||
			memcmp(VARDATA_ANY(found), VARDATA_ANY(wanted), len) != 0)
			return false;
	}
	return true;
}

int
eco_key_in_index(const EcoTable *table, int key, int columns[ECO_MAX_KEY_COLUMNS])
{
	memcpy(columns, table->keys[key].columns, sizeof(table->keys[key].columns));
	if (key != ECO_DIGESTED_KEY || table->digest == 0)
		return table->keys[key].ncolumns;
	columns[1] = table->digest;
	return 2;
}

/*
 * eco_key_digest(first text, second text) returns bigint
 */
Datum
eco_key_digest(PG_FUNCTION_ARGS)
{
	eco_require_arg(fcinfo, 0, "first");
	eco_require_arg(fcinfo, 1, "second");
	PG_RETURN_INT64(digest_of(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)));
}
