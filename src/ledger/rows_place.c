/*
 * rows_place.c
 *		Where rows of configuration were found last, so that the next look needs no index.
 *
 * Every purchase reads its product, every action its game: a handful of rows that
 * seldom change.  What is kept is only the place, the line pointer that a unique
 * index gave for a key.  A row that is there, that the snapshot sees and that has
 * the key is the row; anything else is looked up again.  So nobody has to tell of
 * a change, and what SERIALIZABLE wants to know of a row that was read is noted by
 * heap_hot_search_buffer(), as it is behind an index.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "catalog/pg_type_d.h"
#include "common/hashfn.h"
#include "storage/bufmgr.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "ledger/rows_private.h"

static EcoPlace *place_of(const EcoOpenTable *open, const Datum *values, uint64 *hash);
static bool has_key(const EcoOpenTable *open, const Datum *values, HeapTuple tuple);

/* A place beyond the end: the table was truncated since. */
bool
eco_place_look(const EcoOpenTable *open, const Datum *values, HeapTuple tuple, Buffer *buffer)
{
	uint64		hash;
	const EcoPlace *place = place_of(open, values, &hash);
	ItemPointerData tid = place->root;
	bool		found;

	if (place->hash != hash || !ItemPointerIsValid(&tid) ||
		ItemPointerGetBlockNumber(&tid) >= RelationGetNumberOfBlocks(open->rel))
		return false;
	*buffer = ReadBuffer(open->rel, ItemPointerGetBlockNumber(&tid));
	LockBuffer(*buffer, BUFFER_LOCK_SHARE);
	found = heap_hot_search_buffer(&tid, open->rel, *buffer, GetActiveSnapshot(), tuple, NULL,
								   true);
	LockBuffer(*buffer, BUFFER_LOCK_UNLOCK);
	if (found && has_key(open, values, tuple))
		return true;
	ReleaseBuffer(*buffer);
	return false;
}

void
eco_place_keep(const EcoOpenTable *open, const Datum *values, ItemPointer root)
{
	uint64		hash;
	EcoPlace   *place = place_of(open, values, &hash);

	place->hash = hash;
	place->root = *root;
}

/* Keys that meet in one place take it from each other. */
static EcoPlace *
place_of(const EcoOpenTable *open, const Datum *values, uint64 *hash)
{
	const EcoTable *table = open->table;

	*hash = 0;
	for (int i = 0; i < table->keys[0].ncolumns; i++)
	{
		if (table->columns[table->keys[0].columns[i]].type == TEXTOID)
		{
			const struct varlena *text = PG_DETOAST_DATUM_PACKED(values[i]);

			*hash = hash_bytes_extended((const unsigned char *) VARDATA_ANY(text),
										VARSIZE_ANY_EXHDR(text), *hash);
		}
		else
			*hash = hash_combine64(*hash, (uint64) values[i]);
	}
	return &open->cache->places[*hash % ECO_PLACES];
}

/* Compared by their bytes, which is more than any collation asks for. */
static bool
has_key(const EcoOpenTable *open, const Datum *values, HeapTuple tuple)
{
	const EcoTable *table = open->table;

	for (int i = 0; i < table->keys[0].ncolumns; i++)
	{
		int			column = table->keys[0].columns[i];
		bool		isnull;
		Datum		value = heap_getattr(tuple, open->cache->attno[column],
										 RelationGetDescr(open->rel), &isnull);

		if (isnull || !datum_image_eq(value, values[i], open->cache->typbyval[column],
									  open->cache->typlen[column]))
			return false;
	}
	return true;
}
