/*
 * zone.h
 *		Validated time zone names.
 */
#ifndef ECO_ZONE_H
#define ECO_ZONE_H

#include "postgres.h"

#include "ledger/args.h"

/* The name in its proper spelling; raises XE201 for what is no IANA name. */
extern const char *eco_zone_name(const EcoText *name);

#endif
