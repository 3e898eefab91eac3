/*
 * tell.c
 *		Which missions an entry has completed, as an event.
 *
 * Progress says by which entry it was completed, so the event is told from what is stored,
 * and again to who was away.  It is told as long as the progress stands: what is over is
 * forgotten, and nobody can do anything about it any more.
 */
#include "postgres.h"

#include "event/event.h"
#include "mission/observe.h"

#define ASPECT "mission/"
#define ASPECT_MAX 96

static void
tell(const EcoJournal *journal, const EcoRow *entry, const EcoMission *mission,
	 const EcoProgress *record, EcoListener *listener)
{
	EcoEvent	event;
	char		aspect[ASPECT_MAX];

	snprintf(aspect, sizeof(aspect), ASPECT "%s", mission->name);
	eco_event_begin(&event, ECO_MISSION_UPDATE, aspect, journal, entry);
	eco_json_str(&event.json, "mission", mission->name);
	eco_json_int(&event.json, "version", mission->version);
	eco_json_str(&event.json, "period",
				 eco_mission_key(&mission->cycle, mission->version, record->period));
	eco_json_str(&event.json, "state", "completed");
	eco_json_int(&event.json, "progress", record->progress);
	eco_json_int(&event.json, "target", mission->target);
	eco_event_end(&event, entry, listener);
}

/* The account is open. */
static void
tell_completed(const EcoJournal *journal, const EcoRow *entry, EcoListener *listener)
{
	const EcoMissions *missions;
	EcoProgresses all = {.context = CurrentMemoryContext};
	EcoAccount	account;
	EcoRow		row;

	if (eco_is_deaf(listener, ECO_MISSION_UPDATE))
		return;
	missions = eco_missions();
	/* of damage the audit tells */
	if (missions == NULL || eco_missions_watch(missions, journal) == NULL ||
		!eco_account_read(eco_row_int(entry, ECO_COL_USER_ID), &account) ||
		!eco_missions_read(&account, ECO_READ, &all, &row))
		return;
	for (int i = 0; i < all.n; i++)
	{
		const EcoProgress *record = &all.records[i];
		const EcoMission *mission = eco_mission_of(missions, record->number);

		if (mission != NULL && record->state != ECO_MISSION_ACTIVE &&
			record->since == eco_row_int(entry, ECO_COL_SEQ))
			tell(journal, entry, mission, record, listener);
	}
}

void
eco_missions_install(void)
{
	eco_entry_observer = eco_missions_observe_new;
	eco_event_further = tell_completed;
}
