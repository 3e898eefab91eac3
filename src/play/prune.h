/*
 * prune.h
 *		Actions that were pruned: their ids are still known.
 */
#ifndef ECO_PRUNE_H
#define ECO_PRUNE_H

#include "postgres.h"

#include "play/action.h"

/* Whoever asks for pruned actions opens this. */
extern EcoTable eco_pruned_actions;

/*
 * Whether the action was recorded once and then pruned; *seq is that of its
 * entry.  The account is locked.
 */
extern bool eco_action_pruned(const EcoAccount *account, const EcoAction *action, int64 *seq);

#endif
