/*
 * feed.h
 *		The reader of all journals: what one snapshot sees and another does not,
 *		in the order of (position, user_id, seq), in linear work.
 *
 *		open = eco_told_open(ECO_READ_FRESH);
 *		cursor.new = eco_snapshot_take();
 *		feed = eco_feed_begin(&cursor, number, false);
 *		while ((entry = eco_feed_next(feed)) != NULL)
 *			eco_feed_tell(entry->journal, ...);
 *		eco_feed_end(feed);
 */
#ifndef ECO_FEED_H
#define ECO_FEED_H

#include "postgres.h"

#include "event/event.h"
#include "realtime/cursor.h"

typedef struct EcoFeed EcoFeed;

typedef struct EcoFeedEntry
{
	EcoPlace	place;
	char		journal;
} EcoFeedEntry;

/*
 * Read what the cursor's pair has not told yet.  number is that of the installation;
 * live leaves out what was told by NOTIFY at its commit.
 */
extern EcoFeed *eco_feed_begin(const EcoCursor *cursor, int64 number, bool live);

/*
 * The next entry, or NULL at the end.  It is read under the active snapshot,
 * which must see what the pair sees; the feed may outlive it.
 */
extern const EcoFeedEntry *eco_feed_next(EcoFeed *feed);
extern void eco_feed_end(EcoFeed *feed);

/*
 * Tell the events of a user's entries from first to last; of one journal when
 * it is known, else journal is 0.  What cannot be told is passed over with a
 * warning: one bad entry must not stop the others.
 */
extern void eco_feed_tell(char journal, int64 user_id, int64 first, int64 last,
						  EcoListener *listener);

#endif
