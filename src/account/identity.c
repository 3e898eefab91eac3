/*
 * identity.c
 *		User ids that carry their node, validated time zone names, the hash that a
 *		user's chain begins with.
 */
#include "postgres.h"

#include "commands/sequence.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "account/zone.h"
#include "errors.h"
#include "ledger/args.h"
#include "ledger/keys.h"
#include "ledger/user.h"
#include "settings.h"

#define NODE_SHIFT 41			/* node ids above 41 bits of counter */

PG_FUNCTION_INFO_V1(eco_next_user_id);
PG_FUNCTION_INFO_V1(eco_timezone_name);
PG_FUNCTION_INFO_V1(eco_identity_hash);
PG_FUNCTION_INFO_V1(eco_user_id_of);

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

/*
 * eco_timezone_name(name text) returns text
 *		The name in its proper spelling; raises XE201 for what is no IANA name.
 */
Datum
eco_timezone_name(PG_FUNCTION_ARGS)
{
	EcoText		arg = eco_text_arg(fcinfo, 0, "timezone", ECO_MAX_NAME);

	PG_RETURN_TEXT_P(cstring_to_text(eco_zone_name(&arg)));
}

/*
 * eco_identity_hash(user_id bigint, external_id text, timezone text, created_at timestamptz)
 *		returns bytea
 */
Datum
eco_identity_hash(PG_FUNCTION_ARGS)
{
	uint8		hash[ECO_HASH_LEN];
	EcoText		external_id;
	EcoText		zone = eco_text_arg(fcinfo, 2, "timezone", ECO_MAX_NAME);

	eco_require_arg(fcinfo, 0, "user_id");
	eco_require_arg(fcinfo, 3, "created_at");
	if (!PG_ARGISNULL(1))
		external_id = eco_text_arg(fcinfo, 1, "external_id", ECO_MAX_KEY);
	eco_user_hash(PG_GETARG_INT64(0), PG_ARGISNULL(1) ? NULL : &external_id, &zone,
				  PG_GETARG_TIMESTAMPTZ(3), hash);
	PG_RETURN_DATUM(eco_bytea(hash, ECO_HASH_LEN));
}

/*
 * eco_user_id_of(external_id text) returns bigint
 */
Datum
eco_user_id_of(PG_FUNCTION_ARGS)
{
	static EcoTable *const tables[] = {&eco_users, NULL};
	EcoOpenTables *open;
	int64		user_id;
	bool		found;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	open = eco_tables_open(ECO_READ, tables);
	found = eco_user_find(PointerGetDatum(PG_GETARG_TEXT_PP(0)), &user_id);
	eco_tables_close(open);
	if (!found)
		PG_RETURN_NULL();
	PG_RETURN_INT64(user_id);
}
