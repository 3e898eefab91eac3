/*
 * settings.h
 *		The configuration variables; defined and documented in settings.c.
 */
#ifndef ECO_SETTINGS_H
#define ECO_SETTINGS_H

#include "postgres.h"

typedef enum EcoRowAccess
{
	ECO_ROW_ACCESS_AUTO,
	ECO_ROW_ACCESS_SQL
} EcoRowAccess;

typedef enum EcoAsyncCommit
{
	ECO_ASYNC_NONE,
	ECO_ASYNC_ACTIONS,
	ECO_ASYNC_ALL
} EcoAsyncCommit;

typedef enum EcoNotify
{
	ECO_NOTIFY_OFF,
	ECO_NOTIFY_INLINE,
	ECO_NOTIFY_RELAY
} EcoNotify;

typedef enum EcoNotifyPayload
{
	ECO_PAYLOAD_FULL,
	ECO_PAYLOAD_REFERENCE
} EcoNotifyPayload;

typedef enum EcoNotifyStats
{
	ECO_STATS_SEPARATE,
	ECO_STATS_WITH_ACTION
} EcoNotifyStats;

extern int	eco_row_access;		/* EcoRowAccess */
extern int	eco_async_commit;	/* EcoAsyncCommit */
extern int	eco_notify;			/* EcoNotify */
extern int	eco_notify_payload; /* EcoNotifyPayload */
extern int	eco_notify_stats;	/* EcoNotifyStats */
extern bool eco_notify_user_channels;
extern int	eco_ring_size;		/* items */
extern int	eco_relay_databases;
extern int	eco_duplicate_wait_ms;
extern int	eco_node_id;
extern bool eco_allow_drop;
extern int	eco_streak_day_offset;	/* hours */
extern int	eco_streak_grace_days;
extern int	eco_streak_dormancy_days;
extern int	eco_streak_cap;		/* EcoStreakCap */
extern int	eco_streak_cap_day;
extern int	eco_streak_max_freezes;

extern void eco_settings_install(void);

#endif
