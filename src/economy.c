/*
 * economy.c
 *		Module entry: what is registered and installed when the library is loaded.
 */
#include "postgres.h"

#include "fmgr.h"

#include "account/account.h"
#include "core/encode.h"
#include "crash_point.h"
#include "hold/journal.h"
#include "hold/seed.h"
#include "ledger/async.h"
#include "ledger/guard.h"
#include "mission/observe.h"
#include "play/action.h"
#include "realtime/posted.h"
#include "realtime/relay.h"
#include "realtime/ring.h"
#include "reward/reward.h"
#include "settings.h"
#include "shop/journal.h"
#include "shop/refunds.h"

PG_MODULE_MAGIC;

static const EcoJournal *const journals[] = {
	&eco_adjustments, &eco_purchases, &eco_rewards, &eco_actions, &eco_user_entries,
	&eco_holding_changes, &eco_refunds, NULL
};

extern void _PG_init(void);

void
_PG_init(void)
{
	/* what fails here fails again, and is told, when it is needed */
	(void) eco_hash_ready();
	ECO_CRASH_POINT_INSTALL();
	eco_settings_install();
	eco_ring_install();
	eco_relay_install();
	/* looks at a commit after those below, which may forbid it */
	eco_async_install();
	eco_posted_install();
	eco_journals_install(journals);
	eco_guard_install();
	eco_missions_install();
	eco_seeds_install();
}
