/*
 * stream.h
 *		One user's entries of all journals, in the order of seq.
 */
#ifndef ECO_STREAM_H
#define ECO_STREAM_H

#include "postgres.h"

#include "ledger/entry.h"

typedef struct EcoStream EcoStream;

/* The place before every row, also before damaged ones with a seq below 1. */
#define ECO_STREAM_ALL PG_INT64_MIN

/*
 * Open the account, every journal, and further tables up to NULL, for one user or for
 * ECO_ALL_USERS.
 */
extern EcoOpenTables *eco_stream_open(EcoAccess access, int64 user_id,
									  EcoTable *const *further);

/* The same, the further tables being those from which journals tell their events. */
extern EcoOpenTables *eco_told_open(EcoAccess access, int64 user_id);

/* Those further tables alone, where entries were handed over with what is beside their rows. */
extern EcoOpenTables *eco_tell_open(EcoAccess access);

/* Open every journal and the further tables, without the account. */
extern EcoOpenTables *eco_journals_open(EcoAccess access, int64 user_id,
										EcoTable *const *further);

/* The entries with a seq greater than after, under the active snapshot. */
extern EcoStream *eco_stream_begin(int64 user_id, int64 after);

/*
 * The same for who shows a few of them and looks for no damage: a journal is looked at when
 * those before it do not have the entry that follows.  after: 0 or more.
 */
extern EcoStream *eco_stream_begin_in_turn(int64 user_id, int64 after);

/*
 * The next entry and its journal, or NULL at the end.  The row lives until the
 * next call.
 */
extern const EcoRow *eco_stream_next(EcoStream *stream, const EcoJournal **journal);
extern void eco_stream_end(EcoStream *stream);

#endif
