/*
 * identity.c
 *		User ids that carry their node, validated time zone names, the suspended flag.
 */
#include "postgres.h"

#include "commands/sequence.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"

#include "errors.h"
#include "ledger/args.h"
#include "ledger/entry.h"
#include "ledger/keys.h"
#include "settings.h"

#define NODE_SHIFT 41			/* node ids above 41 bits of counter */

PG_FUNCTION_INFO_V1(eco_next_user_id);
PG_FUNCTION_INFO_V1(eco_timezone_name);
PG_FUNCTION_INFO_V1(eco_set_suspended);

/*
 * eco_next_user_id() returns bigint
 *		The default of users.user_id.
 *
 * The first user brings the first signing key, whose makers wait for each other
 * until the end of their transactions.  Here none of them can hold an account.
 */
Datum
eco_next_user_id(PG_FUNCTION_ARGS)
{
	int64		counter;

	(void) eco_key_active();
	counter = nextval_internal(eco_table_oid("user_id_seq"), false);
	if (counter >= (INT64CONST(1) << NODE_SHIFT))
		ECO_ERROR(ERRCODE_SEQUENCE_GENERATOR_LIMIT_EXCEEDED,
				  errmsg("this node has given out all its user ids"));
	PG_RETURN_INT64(((int64) eco_node_id << NODE_SHIFT) | counter);
}

/* Files of the zone directory that are no IANA names. */
static bool
is_local_alias(const char *name)
{
	return pg_strcasecmp(name, "localtime") == 0 ||
		pg_strcasecmp(name, "posixrules") == 0 ||
		pg_strcasecmp(name, "Factory") == 0 ||
		pg_strncasecmp(name, "posix/", strlen("posix/")) == 0;
}

static bool
is_enumerated(const char *name)
{
	pg_tzenum  *zones = pg_tzenumerate_start();
	pg_tz	   *zone;
	bool		found = false;

	while (!found && (zone = pg_tzenumerate_next(zones)) != NULL)
		found = strcmp(pg_get_timezone_name(zone), name) == 0;
	pg_tzenumerate_end(zones);
	return found;
}

/*
 * eco_timezone_name(name text) returns text
 *		The name in its proper spelling; raises XE201 for what is no IANA name.
 *
 * PostgreSQL also reads POSIX rules such as "Foo3" as zones.  They all contain
 * a digit, so only a name with one needs the slow look through the directory.
 */
Datum
eco_timezone_name(PG_FUNCTION_ARGS)
{
	EcoText		arg = eco_text_arg(fcinfo, 0, "timezone", ECO_MAX_NAME);
	char	   *name = pnstrdup(arg.data, arg.len);
	pg_tz	   *zone = strpbrk(name, "<>,\\") == NULL ? pg_tzset(name) : NULL;

	if (zone == NULL || !pg_tz_acceptable(zone) || is_local_alias(name) ||
		(strpbrk(name, "0123456789") != NULL && !is_enumerated(pg_get_timezone_name(zone))))
		ECO_ERROR(ECO_INVALID_TIMEZONE,
				  errmsg("\"%s\" is not a time zone", name),
				  errdetail("Time zones are IANA names such as \"Europe/Berlin\" or \"UTC\"."),
				  errhint("SELECT name FROM pg_timezone_names lists them."));
	PG_RETURN_TEXT_P(cstring_to_text(pg_get_timezone_name(zone)));
}

/*
 * eco_set_suspended(user_id, suspended) returns bool
 *		Under the account lock, so that no call of the user is half in, half out.
 *		False: no such user.
 */
Datum
eco_set_suspended(PG_FUNCTION_ARGS)
{
	static EcoTable *const tables[] = {&eco_accounts, NULL};
	EcoOpenTables *open;
	EcoAccount	account;
	bool		found;

	eco_require_arg(fcinfo, 0, "user_id");
	eco_require_arg(fcinfo, 1, "suspended");
	PreventCommandIfReadOnly("economy.set_user_status()");
	open = eco_tables_open(ECO_WRITE, tables);
	found = eco_account_lock_newest(PG_GETARG_INT64(0), &account);
	if (found && account.suspended != PG_GETARG_BOOL(1))
		eco_account_set_suspended(&account, PG_GETARG_BOOL(1));
	eco_tables_close(open);
	PG_RETURN_BOOL(found);
}
