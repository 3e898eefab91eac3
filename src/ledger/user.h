/*
 * user.h
 *		What the domains need to know of a user besides the account.
 */
#ifndef ECO_USER_H
#define ECO_USER_H

#include "postgres.h"

#include "ledger/rows.h"

/* Whoever asks for a zone opens this. */
extern EcoTable eco_users;

/* The user's IANA time zone, or NULL for an unknown user; palloc'd. */
extern char *eco_user_timezone(int64 user_id);

#endif
