/*
 * flush.h
 *		On disk before it is told: an event of an entry that a crash has taken would
 *		be of an entry that never was, and of the same number as another one later.
 */
#ifndef ECO_FLUSH_H
#define ECO_FLUSH_H

#include "postgres.h"

#include "access/xlogdefs.h"

/*
 * Flush all that has ended by now, if anything has been written since it was flushed.
 * Nothing to do on a standby, which has replayed only what was.
 */
extern void eco_flush_all(void);

/*
 * A place in WAL up to which to flush so that this transaction, which is known to have
 * committed, is on disk; 0: it is.
 */
extern XLogRecPtr eco_commit_place(uint64 xid);

#endif
