/*
 * installation.h
 *		Which life of the data this is, and positions in the feed.
 *
 * A transaction id means something only within one cluster.  Data that was
 * restored, or copied with its database, begins another installation: it is
 * known by system identifier, database and extension, and has a number above
 * those of all installations that the data has seen.  A position is the number
 * and a transaction id of that installation, so it grows across restores too.
 *
 * An entry's position is that of its transaction, or of the user's entry before
 * when that is greater: (position, user_id, seq) is a total order in which each
 * user's entries stand in the order of seq.
 */
#ifndef ECO_INSTALLATION_H
#define ECO_INSTALLATION_H

#include "postgres.h"

#include "ledger/rows.h"

#define ECO_XID_BITS 48			/* ten thousand a second for 890 years */

typedef struct EcoInstallation
{
	int64		system;
	Oid			database;
	Oid			extension;
	int64		number;
} EcoInstallation;

/*
 * The installation that entries posted now would belong to.  One that the data has
 * not seen yet gets the number that it would have; nothing is written.
 */
extern void eco_installation_read(EcoInstallation *here);

/* The position of a transaction of this installation that posts an entry. */
extern int64 eco_position_to_post(uint64 xid);

/* The least position that entries of this transaction and later ones have. */
extern int64 eco_position_of_xid(int64 xid);

/* The first position of this installation. */
#define ECO_FIRST_POSITION(number) ((int64) (number) << ECO_XID_BITS)

/*
 * What a transaction that deletes entries tells the feed, so that no cursor of changes()
 * passes over them in silence.  It opens eco_feeds_to_tell first.
 */
typedef struct EcoGoneFeed
{
	int64		installation;	/* number of this one */
	int64		newest;			/* transaction of it of which an entry goes;
								 * 0: none */
} EcoGoneFeed;

extern EcoTable eco_feeds_to_tell;

extern void eco_gone_feed_begin(EcoGoneFeed *feed);

/* The transaction of an entry for it; 0: of another installation. */
extern int64 eco_gone_feed_xact(const EcoGoneFeed *feed, const EcoRow *row);
extern void eco_gone_feed_tell(const EcoGoneFeed *feed);

#endif
