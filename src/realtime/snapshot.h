/*
 * snapshot.h
 *		The active snapshot as a value that outlives it.
 */
#ifndef ECO_SNAPSHOT_H
#define ECO_SNAPSHOT_H

/*
 * The active snapshot in the text form of pg_snapshot; palloc'd.  Unlike
 * pg_current_snapshot() it never takes a transaction for finished that is not:
 * neither our own, nor, on a standby, those that run on the primary.
 */
extern char *eco_snapshot_text(void);

#endif
