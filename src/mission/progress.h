/*
 * progress.h
 *		How far a user is in missions: the section of the account, and how it is read.
 *
 *	payload (version 1) = more:u8 record*	by number, then period; none twice
 *	record	= number period progress << 2			active
 *			| number period progress << 2 | 3 since	active, and since is not 0
 *			| number period progress << 2 | state since
 *			| number + 100000, and so on, len:number kept	when something is kept
 *
 * Numbers of core/varint.h; the period zigzag.  Progress ends at the target.  more is 1 when
 * the user has a row of economy_internal.mission_progress_more, with records for which there
 * was no room; else 0.  A record that is there stays there, and the row stays when it has none.
 */
#ifndef ECO_PROGRESS_H
#define ECO_PROGRESS_H

#include "postgres.h"

#include "core/section.h"

#define ECO_PROGRESS_VERSION 1
#define ECO_PROGRESS_ROOM 1000	/* bytes of the payload, at most */
#define ECO_PROGRESS_KEPT 1500	/* bytes that are kept with a record, at most */
#define ECO_PROGRESS_NUMBERS 100000 /* numbers end below it */

typedef enum EcoProgressState
{
	ECO_MISSION_ACTIVE,
	ECO_MISSION_COMPLETED,
	ECO_MISSION_CLAIMED,
	ECO_MISSION_STATES
} EcoProgressState;

typedef struct EcoProgress
{
	int32		number;			/* of the mission's version */
	int64		period;			/* eco_period_of() */
	int64		progress;
	EcoProgressState state;
	int64		since;			/* active: seq before which no entry was
								 * counted; else that of the entry that has
								 * completed it; 0: not known */
	int			kept_len;		/* of what is kept beside: what it is says the
								 * mission */
	uint8	   *kept;
	bool		kept_own;		/* it has ECO_PROGRESS_KEPT bytes of its own;
								 * else it is only read */
	bool		in_row;
	bool		is_new;			/* added, and nothing was counted yet; not
								 * stored */
	bool		just_now;		/* completed by the entry that is counted; not
								 * stored */
} EcoProgress;

typedef struct EcoProgresses
{
	MemoryContext context;		/* of the records, set by who has them */
	int			n;
	int			room;			/* records that there is memory for */
	EcoProgress *records;		/* NULL: there was none yet */
	bool		has_row;
} EcoProgresses;

/* Those of the section, in place of what there was.  False: damage. */
extern bool eco_progress_read(const EcoSection *section, EcoProgresses *all);

/* And those of the row.  False: damage, or one stands in the section too. */
extern bool eco_progress_read_row(const bytea *row, EcoProgresses *all);

/*
 * The length; out has ECO_PROGRESS_ROOM bytes.  Those for which there is no room are of the
 * row from then on, which is written afterwards.
 */
extern int	eco_progress_write(EcoProgresses *all, uint8 *out);
extern bytea *eco_progress_write_row(const EcoProgresses *all);

/* The record, or NULL.  It stands where it is until the next one is added. */
extern EcoProgress *eco_progress_find(EcoProgresses *all, int32 number, int64 period);

/* The one with the greatest period of those of a number, or NULL. */
extern EcoProgress *eco_progress_last(EcoProgresses *all, int32 number);

/* A new one in its place, active and of no progress. */
extern EcoProgress *eco_progress_add(EcoProgresses *all, int32 number, int64 period);

/* What is kept of a record, to be changed; and no more of it. */
extern uint8 *eco_progress_keep(EcoProgresses *all, EcoProgress *record);
extern void eco_progress_keep_nothing(EcoProgress *record);

/* No records any more; their memory serves the next ones. */
extern void eco_progress_clear(EcoProgresses *all);

#endif
