/*
 * posted.h
 *		The entries that the current transaction has posted, until it ends.
 */
#ifndef ECO_POSTED_H
#define ECO_POSTED_H

#include "event/event.h"

/* From here on every entry is noted, and told when its transaction commits. */
extern void eco_posted_install(void);

/*
 * Whether NOTIFY's queue has room.  If not, warn once: with NOTIFY this
 * transaction could not commit.
 */
extern bool eco_notify_has_room(void);

#endif
