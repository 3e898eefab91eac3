/*
 * tail.h
 *		Every event once: from the journals what was missed, else from NOTIFY.
 *
 * NOTIFY is news, not proof that nothing is missing.  A user's entries are
 * numbered without a gap, so a notification is shown when it is the next entry
 * of its user, dropped when it is an old one, and otherwise only tells that
 * there is something to read.
 */
#ifndef TAIL_TAIL_H
#define TAIL_TAIL_H

#include "options.h"
#include "seen.h"
#include "session.h"

#define RECENT_LOOSE 64

typedef struct Tail
{
	const Options *options;
	Session		session;
	Seen		seen;
	bool		positioned;		/* --since has been carried out */

	/* without --user: where in economy.changes() we are */
	bool		behind;			/* a notification told of something to read */
	char	   *cursor;			/* NULL: now */

	/* ids of events that are of no entry, the newest ones */
	char	   *loose[RECENT_LOOSE];
	int			next_loose;
} Tail;

/* LISTEN, then show what was missed. */
extern Outcome tail_begin(Tail *tail);

/* Show what comes, until the connection or the program ends. */
extern Outcome tail_follow(Tail *tail);

#endif
