/*
 * user.c
 *		What the domains need to know of a user besides the account.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/builtins.h"

#include "ledger/rows.h"
#include "ledger/user.h"

enum
{
	USR_USER_ID,
	USR_TIMEZONE,
	USR_COLUMNS
};

EcoTable	eco_users = {
	.name = "users",
	.only_read = true,
	.ncolumns = USR_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"timezone", TEXTOID, false},
	},
	.nkeys = 1,
	.keys = {{1, {USR_USER_ID}}},
};

char *
eco_user_timezone(int64 user_id)
{
	Datum		key = Int64GetDatum(user_id);
	EcoRow		row;

	if (!eco_row_find(&eco_users, user_id, 0, 1, &key, &row))
		return NULL;
	return TextDatumGetCString(row.values[USR_TIMEZONE]);
}
