/*
 * event.h
 *		Events: CloudEvents 1.0 structured JSON, told from the rows of journals.
 *
 * An event is a function of an entry that is stored, so what a listener hears
 * at once, what replay() returns later and what changes() feeds are the same, but for the
 * totals of statistics, which move on.  It is told from the entry's row, which is read, or
 * was kept when it was written.
 * Each journal's domain gives the ledger a function that tells the events of
 * one of its rows (EcoJournal.tell):
 *
 *		EcoEvent event;
 *
 *		eco_event_begin(&event, ECO_PURCHASE_UPDATE, NULL, &eco_purchases, row);
 *		eco_json_int(&event.json, "quantity", ...);		-- members of "data"
 *		eco_event_end(&event, row, listener);
 */
#ifndef ECO_EVENT_H
#define ECO_EVENT_H

#include "postgres.h"

#include "core/json.h"
#include "event_types.h"
#include "ledger/entry.h"
#include "ledger/level.h"

#define ECO_EVENT_ID_MAX 192	/* a transaction_id and an aspect */
#define ECO_EVENT_MAX 8000		/* NOTIFY's limit, terminator included */

typedef struct EcoEvent
{
	EcoEventType kind;
	const char *type;			/* its name, and the channel */
	bool		moves;			/* tells the deltas; one event of an entry
								 * does */
	int64		user_id;
	int64		seq;
	bool		has_time;		/* else it cannot be told */
	EcoJson		json;			/* open inside "data" */
	char		payload[ECO_EVENT_MAX];
} EcoEvent;

/* Whoever is told; hear() gets complete events. */
typedef struct EcoListener
{
	void		(*hear) (struct EcoListener *listener, const EcoEvent *event);
	void	   *arg;
	uint32		deaf;			/* bits of the types that it is not told */
} EcoListener;

static inline bool
eco_is_deaf(const EcoListener *listener, EcoEventType type)
{
	return (listener->deaf & ECO_TYPE_BIT(type)) != 0;
}

/*
 * Called, if set, for every entry whose row was read, behind what its journal tells of it:
 * tells what any entry may have done.  One that was handed over has nothing of that
 * (EcoEntry.is_read).
 */
extern void (*eco_event_further) (const EcoJournal *journal, const EcoRow *row,
								  EcoListener *listener);

/*
 * Whether no event of this journal's entries is for the listener, of those whose rows are read
 * or of those that were handed over; letter 0: of several journals.
 */
extern bool eco_is_deaf_to(const EcoListener *listener, char letter, bool are_read);

/*
 * The event's id is the transaction_id; a second event about the same entry
 * needs an aspect, which is appended to it.
 */
extern void eco_event_begin(EcoEvent *event, EcoEventType type, const char *aspect,
							const EcoJournal *journal, const EcoRow *row);

/*
 * Adds seq and balances, and the deltas unless the event has an aspect: who
 * adds deltas up must meet each once.  Hands the event to the listener, or
 * passes it over with a warning when it cannot be told: one bad entry must not
 * stop the others.
 */
extern void eco_event_end(EcoEvent *event, const EcoRow *row, EcoListener *listener);

/* A member with the value of a text column, or null. */
extern void eco_event_text(EcoEvent *event, const char *key, const EcoRow *row, int column);

/* The member "items" with those that an entry carries, when it carries any. */
extern void eco_event_items(EcoEvent *event, const EcoRow *row, int column);

/* That an entry has led from one level to another, beside the event of the entry. */
extern void eco_tell_level(const EcoJournal *journal, const EcoRow *row, int32 before,
						   int32 level, EcoListener *listener);

/*
 * The same of an entry that mostly has no XP: by the levels that were handed over beside its
 * row, or, NULL, on the curve of now.
 */
extern void eco_tell_step(const EcoJournal *journal, const EcoRow *row, const EcoLevelStep *step,
						  EcoListener *listener);

/* Entries of a user, from first to last. */
typedef struct EcoEntries
{
	int64		user_id;
	int64		first;
	int64		last;
	char		letter;			/* of the journal of all of them, when it is
								 * known; else 0 */
	const char *rows;			/* as eco_flat_write() has kept them, one
								 * behind the other; NULL: they are read */
} EcoEntries;

/*
 * Tell their events in the order of seq; what is read for that is read under the active
 * snapshot.
 */
extern void eco_tell_entries(const EcoEntries *entries, EcoListener *listener);

/*
 * Hears by NOTIFY on the event's channels, in the current transaction; deaf to the
 * types that economy.notify_types leaves out.
 */
extern EcoListener eco_notifier(void);

#endif
