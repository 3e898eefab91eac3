/*
 * economy.c
 *		Module entry: what is registered and installed when the library is loaded.
 */
#include "postgres.h"

#include "fmgr.h"

#include "crash_point.h"
#include "journals.h"
#include "ledger/guard.h"
#include "realtime/posted.h"
#include "realtime/relay.h"
#include "realtime/ring.h"
#include "settings.h"

PG_MODULE_MAGIC;

extern void _PG_init(void);

void
_PG_init(void)
{
	ECO_CRASH_POINT_INSTALL();
	eco_settings_install();
	eco_ring_install();
	eco_relay_install();
	eco_posted_install();
	eco_adjust_register();
	eco_purchase_register();
	eco_reward_register();
	eco_action_register();
	eco_user_change_register();
	eco_guard_install();
}
