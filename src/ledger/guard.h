/*
 * guard.h
 *		Keeps the ledger from being changed or dropped by accident.
 */
#ifndef ECO_GUARD_H
#define ECO_GUARD_H

#include "postgres.h"

extern void eco_guard_install(void);

/* While on, a DELETE passes: prune takes its actions. */
extern void eco_guard_let_prune(bool on);

/* Whether this is the function of the journals' triggers. */
extern bool eco_guard_is(Oid function);

#endif
