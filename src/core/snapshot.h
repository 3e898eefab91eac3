/*
 * snapshot.h
 *		Which transactions had ended at a moment, as a value, and what two such
 *		values say of each other.
 */
#ifndef ECO_CORE_SNAPSHOT_H
#define ECO_CORE_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

/* the first id that a transaction can have */
#define ECO_FIRST_XID 3

/* Ids are those of top transactions, with their epoch; "ended" is by commit or abort. */
typedef struct EcoSnapshot
{
	uint64_t	xmin;			/* all before it had ended */
	uint64_t	xmax;			/* none from here on had */
	int			n;				/* of those between, the ones that ran, sorted */
	uint64_t	running[];
} EcoSnapshot;

/* Whether it is the snapshot of before everything, which sees nothing. */
extern bool eco_snapshot_is_nowhere(const EcoSnapshot *snapshot);

/* Whether the transaction had ended. */
extern bool eco_snapshot_sees(const EcoSnapshot *snapshot, uint64_t xid);

/* Whether it sees all that the other sees. */
extern bool eco_snapshot_covers(const EcoSnapshot *snapshot, const EcoSnapshot *other);

/* An id before which there is no transaction that `new` sees and `old` does not. */
extern uint64_t eco_snapshot_first_news(const EcoSnapshot *old, const EcoSnapshot *new);

/* Whether some transaction up to xid is seen by `new` and not by `old`. */
extern bool eco_snapshot_news_up_to(const EcoSnapshot *old, const EcoSnapshot *new, uint64_t xid);

/* The number of ids that a text of this length can name at most. */
extern int	eco_snapshot_room(const char *at, const char *end);

/*
 * Read the text form of pg_snapshot into a snapshot with that room; false when
 * the text is something else.
 */
extern bool eco_snapshot_read(const char *at, const char *end, EcoSnapshot *snapshot);

#endif
