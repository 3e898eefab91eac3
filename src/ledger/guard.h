/*
 * guard.h
 *		Keeps the ledger from being changed or dropped by accident.
 */
#ifndef ECO_GUARD_H
#define ECO_GUARD_H

extern void eco_guard_install(void);

/* While on, a DELETE passes: prune takes its actions. */
extern void eco_guard_let_prune(bool on);

#endif
