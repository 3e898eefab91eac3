/*
 * settings.h
 *		The configuration variables; defined and documented in economy.c.
 */
#ifndef ECO_SETTINGS_H
#define ECO_SETTINGS_H

#include "postgres.h"

#include "datatype/timestamp.h"

typedef enum EcoRowAccess
{
	ECO_ROW_ACCESS_AUTO,
	ECO_ROW_ACCESS_SQL
} EcoRowAccess;

typedef enum EcoNotify
{
	ECO_NOTIFY_OFF,
	ECO_NOTIFY_INLINE
} EcoNotify;

extern int	eco_row_access;		/* EcoRowAccess */
extern int	eco_notify;			/* EcoNotify */
extern int	eco_duplicate_wait_ms;
extern int	eco_node_id;
extern bool eco_allow_drop;

/* the moment all rules use: the server's clock, or economy.test_clock */
extern TimestampTz eco_now(void);

#endif
