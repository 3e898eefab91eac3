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
 *
 * The slots of a stock, which every purchase from it reads, are a group: rows that
 * begin with one key, of which the caller knows how many there are.  So many that are
 * there are all of them.
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

static uint64 hash_of(const EcoOpenTable *open, int nvalues, const Datum *values);
static bool has_key(const EcoOpenTable *open, const Datum *values, HeapTuple tuple);

static inline int
key_columns(const EcoOpenTable *open)
{
	return open->table->keys[0].ncolumns;
}

/* Keys that meet in one place take it from each other. */
static inline EcoPlace *
place_of(const EcoOpenTable *open, uint64 hash)
{
	return &open->cache->places[hash % ECO_PLACES];
}

static inline EcoGroup **
group_of(const EcoOpenTable *open, uint64 hash)
{
	return &open->cache->groups[hash % ECO_GROUPS];
}

/* A place beyond the end: the table was truncated since. */
bool
eco_place_look(const EcoOpenTable *open, const Datum *values, HeapTuple tuple, Buffer *buffer)
{
	uint64		hash = hash_of(open, key_columns(open), values);
	const EcoPlace *place = place_of(open, hash);
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
	uint64		hash = hash_of(open, key_columns(open), values);

	*place_of(open, hash) = (EcoPlace)
	{
		.hash = hash, .root = *root
	};
}

const EcoGroup *
eco_group_look(const EcoOpenTable *open, int nvalues, const Datum *values, int n)
{
	uint64		hash = hash_of(open, nvalues, values);
	const EcoGroup *group = *group_of(open, hash);

	return group != NULL && group->hash == hash && group->n == n ? group : NULL;
}

/* All are on the page that is pinned, which is locked once for them. */
bool
eco_group_read(const EcoOpenTable *open, const ItemPointerData *roots, int n, Buffer buffer,
			   HeapTuple tuples)
{
	bool		found = true;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	for (int i = 0; found && i < n; i++)
	{
		ItemPointerData tid = roots[i];

		found = heap_hot_search_buffer(&tid, open->rel, buffer, GetActiveSnapshot(), &tuples[i],
									   NULL, true);
	}
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	return found;
}

void
eco_group_keep(const EcoOpenTable *open, int nvalues, const Datum *values,
			   const ItemPointerData *roots, int n)
{
	uint64		hash = hash_of(open, nvalues, values);
	EcoGroup  **group = group_of(open, hash);

	if (*group == NULL)
		*group = MemoryContextAlloc(open->cache->context, sizeof(EcoGroup));
	(*group)->hash = hash;
	(*group)->n = n;
	memcpy((*group)->roots, roots, sizeof(ItemPointerData) * n);
}

static uint64
hash_of(const EcoOpenTable *open, int nvalues, const Datum *values)
{
	const EcoTable *table = open->table;
	uint64		hash = 0;

	for (int i = 0; i < nvalues; i++)
	{
		if (table->columns[table->keys[0].columns[i]].type == TEXTOID)
		{
			const struct varlena *text = PG_DETOAST_DATUM_PACKED(values[i]);

			hash = hash_bytes_extended((const unsigned char *) VARDATA_ANY(text),
									   VARSIZE_ANY_EXHDR(text), hash);
		}
		else
			hash = hash_combine64(hash, (uint64) values[i]);
	}
	return hash;
}

/* Compared by their bytes, which is more than any collation asks for. */
static bool
has_key(const EcoOpenTable *open, const Datum *values, HeapTuple tuple)
{
	const EcoTable *table = open->table;

	for (int i = 0; i < key_columns(open); i++)
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
