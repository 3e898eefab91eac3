/*
 * pruned.h
 *		Actions that were pruned: their ids are still known.
 */
#ifndef ECO_PRUNED_H
#define ECO_PRUNED_H

#include "postgres.h"

#include "utils/uuid.h"

#include "ledger/checkpoint.h"
#include "play/action.h"

/*
 * Whether the action was recorded once and then pruned; *seq is that of its
 * entry.  The account is locked, and eco_pruned_actions is open.
 */
extern bool eco_action_pruned(const EcoAccount *account, const EcoAction *action, int64 *seq);

/* First half of the SHA-256 of game and action id: no two ids share it. */
extern void eco_pruned_key(const EcoText *game, const EcoText *action_id, pg_uuid_t *key);

#endif
