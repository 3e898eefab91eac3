/*
 * witness.h
 *		The newest entry that a cursor counts as told, to know the data by.
 *
 * Data that was put back as it was, by a copy of its directory, goes on under
 * the same names and gives out the same transaction ids again.  A cursor of the
 * life that was lost then sees entries of the new one that nobody has told.  So
 * it carries its newest entry, in the order of places, with a part of its hash:
 * entries made after the copy stand behind all that was in it.
 */
#ifndef ECO_WITNESS_H
#define ECO_WITNESS_H

#include "postgres.h"

#include "realtime/cursor.h"
#include "realtime/feed.h"

/* The entry with its hash, as the active snapshot sees it. */
extern EcoWitness eco_witness_of(const EcoFeedEntry *entry);

/* The witness of the newest entry of this installation that the snapshot sees. */
extern EcoWitness eco_witness_newest(const EcoSnapshot *now, int64 number);

/*
 * Whether the entry is there still, or was pruned, and nothing stands behind it
 * that the cursor's old snapshot sees.  pruned_xact: of the newest action of
 * this installation that was pruned, 0 when none was.
 */
extern bool eco_witness_holds(const EcoCursor *cursor, int64 number, uint64 pruned_xact);

#endif
