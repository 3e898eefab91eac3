/*
 * cursor.h
 *		A position of a reader of all journals.
 *
 * A cursor is one snapshot, or a pair of them.  What `old` sees has been told.  To go
 * on, the reader takes a snapshot `new`: the entries that it sees and `old` does not
 * are told in the order of (position, user_id, seq), and `told` says how far that
 * has come.  When all are told the pair is over, and `new` becomes `old`.
 *
 * As text a cursor also names system, timeline, database and installation, because
 * transaction ids mean something only within them; and `newest`, the entry by which
 * to know that the cursor is of this data's past, see witness.h.
 */
#ifndef ECO_CURSOR_H
#define ECO_CURSOR_H

#include "postgres.h"

#include "realtime/snapshot.h"

typedef struct EcoPlace
{
	int64		position;
	int64		user_id;
	int64		seq;
} EcoPlace;

#define ECO_WITNESS_HASH 8

typedef struct EcoWitness
{
	EcoPlace	place;			/* before all: there is none */
	char		journal;		/* 0: there is none */
	uint8		hash[ECO_WITNESS_HASH]; /* its first bytes */
} EcoWitness;

typedef struct EcoCursor
{
	EcoSnapshot *old;
	EcoSnapshot *new;			/* NULL: there is no pair */
	EcoPlace	told;			/* of the pair, up to this place */
	EcoWitness	newest;			/* of all that was told */
} EcoCursor;

/* Before the first entry of a pair. */
extern const EcoPlace eco_place_before_all;

extern int	eco_place_compare(const EcoPlace *a, const EcoPlace *b);

/* "system.timeline|database.extension.number"; palloc'd. */
extern char *eco_cursor_here(int64 *number);

typedef enum EcoCursorRead
{
	ECO_CURSOR_READ,
	ECO_CURSOR_FOREIGN,			/* of another system, timeline, database or
								 * installation; nothing else was read */
	ECO_CURSOR_NONE				/* the text is no cursor */
} EcoCursorRead;

extern EcoCursorRead eco_cursor_parse(const char *written, const char *here, EcoCursor *cursor);
extern char *eco_cursor_text(const EcoCursor *cursor, const char *here);

#endif
