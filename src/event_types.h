/*
 * event_types.h
 *		The types of events, and economy.notify_types, which says what is sent.
 */
#ifndef ECO_EVENT_TYPES_H
#define ECO_EVENT_TYPES_H

#include "postgres.h"

#include "utils/guc.h"

typedef enum EcoEventType
{
	ECO_PURCHASE_UPDATE,
	ECO_REWARD_GRANTED,
	ECO_PROFILE_UPDATE,
	ECO_USER_ACTION,
	ECO_STATS_DELTA,
	ECO_HOLDING_UPDATE,
	ECO_PURCHASE_REFUNDED,
	ECO_MISSION_UPDATE,
	ECO_EVENT_TYPES
} EcoEventType;

#define ECO_TYPE_BIT(type) (UINT32_C(1) << (type))

extern const char *const eco_type_names[ECO_EVENT_TYPES];

/* bits of the types that are not sent */
extern uint32 eco_types_not_sent;

/* hooks of the setting */
extern bool eco_notify_types_check(char **newval, void **extra, GucSource source);
extern void eco_notify_types_assign(const char *newval, void *extra);

#endif
