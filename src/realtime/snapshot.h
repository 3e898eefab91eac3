/*
 * snapshot.h
 *		A snapshot as a value that outlives it; see core/snapshot.h.
 */
#ifndef ECO_SNAPSHOT_H
#define ECO_SNAPSHOT_H

#include "postgres.h"

#include "core/snapshot.h"

/*
 * The active snapshot; palloc'd.  Unlike pg_current_snapshot() it never takes
 * a transaction for finished that is not: neither our own, nor, on a standby,
 * those that run on the primary.
 */
extern EcoSnapshot *eco_snapshot_take(void);

/* The snapshot of before everything, which sees nothing; palloc'd. */
extern EcoSnapshot *eco_snapshot_nowhere(void);

/* Read the text form of pg_snapshot; NULL when the text up to `end` is something else. */
extern EcoSnapshot *eco_snapshot_parse(const char *at, const char *end);
extern char *eco_snapshot_text(const EcoSnapshot *snapshot);

extern Size eco_snapshot_bytes(int n);
extern EcoSnapshot *eco_snapshot_copy(const EcoSnapshot *snapshot);

#endif
