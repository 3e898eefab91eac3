/*
 * user.h
 *		Who a user is, and the journal of what was changed about that.
 *
 * Keeps I3 for identities: a user's chain of hashes begins with who the user
 * was at registration, and what changed since are entries of that chain.
 */
#ifndef ECO_USER_H
#define ECO_USER_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "ledger/args.h"
#include "ledger/entry.h"

/* The table of users as what changes it sees it. */
enum
{
	USR_USER_ID,
	USR_EXTERNAL_ID,
	USR_TIMEZONE,
	USR_PROFILE,
	USR_CREATED_AT,
	USR_COLUMNS
};

extern EcoTable eco_user_records;

/* The table of users for hot paths that only ask for a zone or an external id. */
extern EcoTable eco_users;

/* columns of the journal after the header */
enum
{
	UCH_FIELD = ECO_HEADER_COLUMNS,
	UCH_BEFORE,
	UCH_AFTER,
	UCH_KEY,
	UCH_ACTOR,
	UCH_REASON,
	UCH_COLUMNS
};

/* keys of the journal */
#define UCH_BY_KEY 1			/* user_id, field, idempotency_key */

extern EcoTable eco_user_changes;

/* What can be changed about a user: the values of user_changes.field. */
typedef enum EcoUserField
{
	ECO_USER_EXTERNAL_ID,
	ECO_USER_TIMEZONE,
	ECO_USER_PROFILE,
	ECO_USER_STATUS,
	ECO_USER_FIELDS
} EcoUserField;

extern const char *const eco_user_field_names[ECO_USER_FIELDS];

/* The user's IANA time zone, or NULL for an unknown user; palloc'd. */
extern char *eco_user_timezone(int64 user_id);

/*
 * The zone of this name, or UTC where the server's time zone data no longer have
 * it: nobody is kept from claiming by that.
 */
extern struct pg_tz *eco_zone_or_utc(const char *name);

/* The date of a moment there, in days since 2000-01-01. */
extern int32 eco_local_date(TimestampTz at, struct pg_tz *zone);

/* The user with this external_id under the active snapshot; false: none. */
extern bool eco_user_find(Datum external_id, int64 *user_id);

/*
 * The beginning of a user's chain: what the hash of the first entry follows.
 * external_id: NULL for none.
 */
extern void eco_user_hash(int64 user_id, const EcoText *external_id, const EcoText *zone,
						  TimestampTz created_at, uint8 hash[ECO_HASH_LEN]);

/* A user as stored, and as the entries say; texts are NULL for none. */
typedef struct EcoUserRecord
{
	bool		exists;			/* in economy.users */
	bool		changed[ECO_USER_FIELDS];
	const char *present[ECO_USER_FIELDS];	/* but for the status, which the
											 * account has */
	const char *newest[ECO_USER_FIELDS];	/* by the entries, where changed */
	uint8		first_hash[ECO_HASH_LEN];	/* the chain begins here */
} EcoUserRecord;

/* Reads eco_user_records and eco_user_changes under the active snapshot. */
extern void eco_user_record(int64 user_id, EcoUserRecord *record);

#endif
