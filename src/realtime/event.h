/*
 * event.h
 *		Events: CloudEvents 1.0 structured JSON, and their way to listeners.
 *
 *		EcoEvent event;
 *
 *		eco_event_begin(&event, "purchase_update", NULL, journal, user_id, seq, at);
 *		eco_json_int(&event.json, "gold", gold);		-- members of "data"
 *		eco_event_publish(&event);
 */
#ifndef ECO_EVENT_H
#define ECO_EVENT_H

#include "postgres.h"

#include "core/json.h"
#include "ledger/entry.h"

#define ECO_EVENT_ID_MAX 192	/* a transaction_id and an aspect */
#define ECO_EVENT_MAX 8000		/* NOTIFY's limit, terminator included */

typedef struct EcoEvent
{
	const char *type;			/* also the channel */
	EcoJson		json;			/* open inside "data" */
	char		payload[ECO_EVENT_MAX];
} EcoEvent;

/*
 * False when nobody is to be told (economy.notify = off): skip the rest.
 * The event's id is the transaction_id; a second event about the same entry
 * needs an aspect, which is appended to it.
 */
extern bool eco_event_begin(EcoEvent *event, const char *type, const char *aspect,
							EcoJournal journal, int64 user_id, int64 seq, TimestampTz at);
extern void eco_event_publish(EcoEvent *event);

#endif
