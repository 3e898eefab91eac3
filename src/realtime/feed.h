/*
 * feed.h
 *		The reader of all journals: what one snapshot sees and another does not,
 *		in the order of (position, user_id, seq), in linear work.
 *
 *		open = eco_told_open(ECO_READ_FRESH, ECO_ALL_USERS);
 *		cursor.new = eco_snapshot_take();
 *		feed = eco_feed_begin(&cursor, number, false);
 *		while ((entry = eco_feed_next(feed)) != NULL)
 *			eco_feed_tell(...);
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

/* It alone, to be told. */
static inline EcoEntries
eco_feed_entries(const EcoFeedEntry *entry)
{
	return (EcoEntries)
	{
		.user_id = entry->place.user_id, .first = entry->place.seq, .last = entry->place.seq,
			.letter = entry->journal
	};
}

#define ECO_TOLD_AT_ONCE 64

/*
 * Tell the events of these entries, which cost least when they are many, up to
 * ECO_TOLD_AT_ONCE, for instance.  What cannot be told is passed over with a warning: one
 * bad entry must not stop the others.
 */
extern void eco_feed_tell(const EcoEntries *entries, int n, EcoListener *listener);

#endif
