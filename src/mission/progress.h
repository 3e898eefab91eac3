/*
 * progress.h
 *		How far a user is in missions: the section of the account, and how it is read.
 *
 *	payload (version 1) = record*		by number, then period; none twice
 *	record	= number period progress << 2 | state
 *
 * Numbers of core/varint.h; the period zigzag.  Progress ends at the target.
 */
#ifndef ECO_PROGRESS_H
#define ECO_PROGRESS_H

#include "postgres.h"

#include "core/section.h"

#define ECO_PROGRESS_VERSION 1
#define ECO_PROGRESS_ROOM 1000	/* bytes of the payload, at most */
#define ECO_PROGRESS_RECORDS (ECO_PROGRESS_ROOM / 3 + 1)

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
	bool		just_now;		/* completed by the entry that is counted; not
								 * stored */
} EcoProgress;

typedef struct EcoProgresses
{
	int			n;
	EcoProgress records[ECO_PROGRESS_RECORDS];
} EcoProgresses;

/* False: damage. */
extern bool eco_progress_read(const EcoSection *section, EcoProgresses *all);

/* The length; out has ECO_PROGRESS_ROOM bytes.  -1: there is no room for them. */
extern int	eco_progress_write(const EcoProgresses *all, uint8 *out);

/* The record, or NULL. */
extern EcoProgress *eco_progress_find(EcoProgresses *all, int32 number, int64 period);

/* A new one in its place, active and of no progress; NULL: there is no room. */
extern EcoProgress *eco_progress_add(EcoProgresses *all, int32 number, int64 period);

#endif
