/*
 * guard.h
 *		Keeps the ledger from being dropped by accident.
 */
#ifndef ECO_GUARD_H
#define ECO_GUARD_H

extern void eco_guard_install(void);

#endif
