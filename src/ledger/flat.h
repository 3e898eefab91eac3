/*
 * flat.h
 *		An entry's row as bytes of its own, to be told from without reading it.
 *
 * All columns but the proof's (eco_is_of_proof()), as they are: numbers in eight bytes,
 * texts and jsonb as they stand in memory; and what the entry has beside its row
 * (EcoEntry.beside).  Such bytes are of this server's library and go no further than its
 * memory.
 */
#ifndef ECO_FLAT_H
#define ECO_FLAT_H

#include "postgres.h"

#include "ledger/entry.h"

#define ECO_FLAT_MAX 1024		/* of one row */

/*
 * Write the entry, to a place that is aligned and has room for ECO_FLAT_MAX; how many bytes
 * it took, a multiple of the alignment.  0: it does not fit, has a value that is stored
 * elsewhere, lacks what its journal tells from beside the row, or is one that is read.
 */
extern Size eco_flat_write(const EcoEntry *entry, char *flat);

/*
 * Read it: the columns of the proof are null, and texts stay where they are, as does what
 * is beside the row.  Returns the place behind it.
 */
extern const char *eco_flat_read(const char *flat, const EcoJournal **journal, EcoRow *row,
								 const void **beside);

/* The place behind n of them that stand one after the other. */
extern const char *eco_flat_skip(const char *flat, int64 n);

#endif
