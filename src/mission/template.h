/*
 * template.h
 *		Missions as they were published, compiled and kept for the session.
 */
#ifndef ECO_TEMPLATE_H
#define ECO_TEMPLATE_H

#include "postgres.h"

#include "access/htup.h"
#include "datatype/timestamp.h"

#include "core/period.h"
#include "mission/condition.h"
#include "mission/progress.h"

#define ECO_MISSION_REQUIRES 8

typedef enum EcoCounting
{
	ECO_COUNT,					/* one for each entry */
	ECO_SUM,					/* of a field */
	ECO_MAX,					/* the greatest of a field */
	ECO_DISTINCT,				/* different values of a field */
	ECO_STREAK					/* periods in a row in which something counts;
								 * the record is of the first */
} EcoCounting;

/* When a mission begins anew. */
typedef enum EcoAnew
{
	ECO_ANEW_BY_CALENDAR,		/* with each period, which may be ever */
	ECO_ANEW_AFTER_CLAIM,		/* runs: numbers from 1 */
	ECO_ANEW_AFTER_HOURS		/* windows: the second of the first progress,
								 * from 2000 on */
} EcoAnew;

typedef struct EcoCycle
{
	EcoAnew		anew;
	EcoPeriod	period;
	int64		n;				/* runs, at most, or hours */
} EcoCycle;

/* A version of a mission, which is what its row says for ever, but for its retirement. */
typedef struct EcoMission
{
	int32		number;			/* of all versions of all missions */
	int			mission;		/* the same for all versions of one */
	const char *name;
	int32		version;
	const EcoTrigger *trigger;
	const EcoCondition *condition;	/* NULL: all entries */
	const EcoFact *lifted;		/* NULL: eco_condition_lifted() finds none */
	const EcoValue *lifted_to;
	EcoCounting counting;
	EcoFact		field;
	int64		target;
	int64		increment_cap;	/* of one entry */
	EcoCycle	cycle;
	TimestampTz published_at;
	TimestampTz starts_at;
	TimestampTz ends_at;		/* with its retirement; DT_NOEND: never */
	TimestampTz retired_at;		/* DT_NOEND: it is not */
	int64		claim_hours;	/* that may be claimed after a period's end */
	int			nrequires;
	int			requires[ECO_MISSION_REQUIRES]; /* missions, one version of
												 * each completed */
	bool		is_required;	/* by any that was ever published */
} EcoMission;

#define ECO_MISSION_LIFTED 4

/* Missions that count no entry but those in which a fact is the text that they name. */
typedef struct EcoLifted
{
	const EcoFact *fact;
	int			first;			/* of them, in the order of their texts */
	int			end;
} EcoLifted;

/* Missions that look at the entries of a journal. */
typedef struct EcoWatch
{
	const EcoJournal *journal;
	int			reverses;		/* its column of that name; -1: it has none */
	int			operation;
	int			source;
	int			event_id;
	EcoFact		version;		/* of rewards: which one of a mission is
								 * claimed */
	int			nall;
	const EcoMission **all;
	TimestampTz since;			/* of entries from then on those that count
								 * are among the current ones */
	int			ncurrent;
	const EcoMission **current; /* at first those that are not lifted */
	int			nlifted;
	EcoLifted	lifted[ECO_MISSION_LIFTED];
} EcoWatch;

typedef struct EcoMissions
{
	int			n;				/* numbers end below it */
	const EcoMission **by_number;	/* NULL: none has it */
	int			nwatches;
	EcoWatch	watches[ECO_MAX_JOURNALS];
} EcoMissions;

/*
 * All that are published, those of this transaction too, as they are now: those of another
 * that has committed before the call are among them, at every isolation level.  They live until
 * the next call.  NULL: there are none.
 */
extern const EcoMissions *eco_missions(void);

/*
 * The same in the current context, with one more, a row of mission_templates that is not
 * there: for who asks what it would be.
 */
extern EcoMissions *eco_missions_with(HeapTupleHeader template, EcoMission **further);

/* Of the entries of a journal; NULL: none looks at them. */
extern const EcoWatch *eco_missions_watch(const EcoMissions *missions,
										  const EcoJournal *journal);

/* Of the lifted ones the first whose text is not less than this. */
extern int	eco_lifted_from(const EcoWatch *watch, const EcoLifted *lifted,
							const EcoValue *text);
extern int	eco_lifted_compare(const EcoMission *mission, const EcoValue *text);

/* The mission with this number, or NULL. */
extern const EcoMission *eco_mission_of(const EcoMissions *missions, int32 number);

/* What a word says is counted; false: there is none. */
extern bool eco_mission_counting(const char *word, int len, EcoCounting *counting);

/* Whether it is counted of a field, and can be of this one. */
extern bool eco_mission_has_field(EcoCounting counting);
extern bool eco_mission_counts(EcoCounting counting, const EcoFact *field);

/* What "daily", "repeat 3" and the like mean; false: it is none of them. */
extern bool eco_cycle_of(const char *word, int len, EcoCycle *cycle);

/* The moment at which a period ends, at the latest the mission's end; DT_NOEND: it does not. */
extern TimestampTz eco_cycle_ends(const EcoCycle *cycle, int64 period);
extern TimestampTz eco_mission_ends(const EcoMission *mission, const EcoProgress *record);

/* What is done once, and for ever. */
extern bool eco_mission_is_once(const EcoMission *mission);

/* Whether a mission that requires this one may have meant this version of it. */
extern bool eco_mission_opens(const EcoMission *mission, const EcoMission *next);

#endif
