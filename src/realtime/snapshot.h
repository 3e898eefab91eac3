/*
 * snapshot.h
 *		Which transactions had ended: a snapshot as a value that outlives it.
 */
#ifndef ECO_SNAPSHOT_H
#define ECO_SNAPSHOT_H

#include "postgres.h"

/* Ids are those of top transactions, with their epoch. */
typedef struct EcoSnapshot
{
	uint64		xmin;			/* all before it had ended */
	uint64		xmax;			/* none from here on had */
	int			n;				/* of those between, the ones that ran, sorted */
	uint64		running[FLEXIBLE_ARRAY_MEMBER];
} EcoSnapshot;

/*
 * The active snapshot; palloc'd.  Unlike pg_current_snapshot() it never takes
 * a transaction for finished that is not: neither our own, nor, on a standby,
 * those that run on the primary.
 */
extern EcoSnapshot *eco_snapshot_take(void);

/* Before everything; palloc'd. */
extern EcoSnapshot *eco_snapshot_nowhere(void);
extern bool eco_snapshot_is_nowhere(const EcoSnapshot *snapshot);

/* The text form of pg_snapshot; NULL when the text up to `end` is none. */
extern EcoSnapshot *eco_snapshot_parse(const char *text, const char *end);
extern char *eco_snapshot_text(const EcoSnapshot *snapshot);

/* Whether the transaction had ended, be it with a commit. */
extern bool eco_snapshot_sees(const EcoSnapshot *snapshot, uint64 xid);

/* Whether it sees all that the other sees. */
extern bool eco_snapshot_covers(const EcoSnapshot *snapshot, const EcoSnapshot *other);

/* The oldest transaction that `new` sees and `old` does not may be this one. */
extern uint64 eco_snapshot_first_news(const EcoSnapshot *old, const EcoSnapshot *new);

/* Whether some transaction up to xid is seen by `new` and not by `old`. */
extern bool eco_snapshot_news_up_to(const EcoSnapshot *old, const EcoSnapshot *new, uint64 xid);

extern Size eco_snapshot_bytes(int n);
extern EcoSnapshot *eco_snapshot_copy(const EcoSnapshot *snapshot);

#endif
