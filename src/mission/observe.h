/*
 * observe.h
 *		What an entry is to the missions of its user.
 */
#ifndef ECO_OBSERVE_H
#define ECO_OBSERVE_H

#include "postgres.h"

#include "ledger/entry.h"
#include "mission/progress.h"
#include "mission/template.h"

/*
 * A session hears of what is published, or retired, after its commit.  What an entry that was
 * made meanwhile is counted for is not known afterwards: it is between the least and the most.
 */
typedef enum EcoReading
{
	ECO_READ_AS_MADE,
	ECO_READ_LEAST,
	ECO_READ_MOST
} EcoReading;

#define ECO_HEARD_WITHIN (60 * USECS_PER_SEC)

typedef struct EcoObservation
{
	const EcoMissions *missions;
	EcoReading	reading;
	bool		everything;		/* also missions that have ended by now */
	const EcoAccount *account;	/* whose progress is read when it is needed;
								 * NULL: it is there */
	bool		changed;
	bool		completed;		/* a mission, by the entry */
	int32		unearned;		/* number of a mission whose claim is not
								 * earned; 0: there is none */
	EcoProgresses progress;
	EcoRow		row;			/* of progress that has one */
} EcoObservation;

/*
 * All progress of an account; the row is that of mission_progress_more, when there is one,
 * whose table is opened for that access.  False: damage.
 */
extern bool eco_missions_read(const EcoAccount *account, EcoAccess access,
							  EcoProgresses *progress, EcoRow *row);

/* Count an entry that was made for the account, or once was. */
extern void eco_missions_observe(EcoObservation *o, const EcoJournal *journal,
								 const EcoRow *entry);

/* rewards of missions have this source, and the mission's name behind it */
#define ECO_SOURCE_MISSION "economy:mission:"

/*
 * The key of a period, of which there is one claim; palloc'd.  Runs of another version are
 * others.
 */
extern char *eco_mission_key(const EcoCycle *cycle, int32 version, int64 number);

/* The ledger's observer of entries: count the entry; whether it has completed a mission. */
extern bool eco_missions_observe_new(EcoAccount *account, const EcoEntry *entry);

/* Makes the ledger show its entries, and events tell what they have completed. */
extern void eco_missions_install(void);

#endif
