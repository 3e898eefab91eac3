/*
 * relay.h
 *		The background worker that tells a database's listeners.
 */
#ifndef ECO_RELAY_H
#define ECO_RELAY_H

#include "postgres.h"

/* Dismiss the relay of a database that is dropped. */
extern void eco_relay_install(void);

extern PGDLLEXPORT void eco_relay_main(Datum arg);

#endif
