/*
 * user.c
 *		Who a user is, and the journal of what was changed about that.
 *
 * hash(0) of a user's chain is made from the canonical encoding
 * (core/encode.h) of user_id, external_id, timezone and created_at at
 * registration, under the letter 'I'.  So whoever exchanges two users' identities
 * in the table has to forge the first entries of both as well.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "ledger/entry.h"
#include "ledger/hash.h"
#include "ledger/user.h"

#define IDENTITY_LETTER 'I'
#define IDENTITY_BYTES (ECO_ENCODED_HEADER + 2 * ECO_ENCODED_INT + \
						2 * ECO_ENCODED_BYTES(ECO_MAX_KEY))

/*
 * economy.users as hot paths read it, directly, whatever columns and triggers
 * it has got.
 */
enum
{
	RD_USER_ID,
	RD_EXTERNAL_ID,
	RD_TIMEZONE,
	RD_COLUMNS
};

EcoTable	eco_users = {
	.name = "users",
	.only_read = true,
	.ncolumns = RD_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"external_id", TEXTOID, ECO_NULLABLE},
		{"timezone", TEXTOID, false},
	},
	.nkeys = 2,
	.keys = {{1, {RD_USER_ID}}, {1, {RD_EXTERNAL_ID}}},
};

#define RD_BY_EXTERNAL_ID 1

EcoTable	eco_user_records = {
	.name = "users",
	.ncolumns = USR_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"external_id", TEXTOID, ECO_MUTABLE | ECO_NULLABLE},
		{"timezone", TEXTOID, true},
		{"profile", JSONBOID, true},
		{"created_at", TIMESTAMPTZOID, false},
	},
	.nkeys = 1,
	.keys = {{1, {USR_USER_ID}}},
};

EcoTable	eco_user_changes = {
	.name = "user_changes",
	.ncolumns = UCH_COLUMNS,
	.columns = {
		ECO_JOURNAL_HEADER,
		{"field", TEXTOID, false},
		{"before", TEXTOID, ECO_NULLABLE},
		{"after", TEXTOID, ECO_NULLABLE},
		{"idempotency_key", TEXTOID, ECO_NULLABLE},
		{"actor", TEXTOID, ECO_NULLABLE},
		{"reason", TEXTOID, ECO_NULLABLE},
	},
	.nkeys = 2,
	.keys = {
		{2, {ECO_COL_USER_ID, ECO_COL_SEQ}},
		{3, {ECO_COL_USER_ID, UCH_FIELD, UCH_KEY}},
	},
};

const char *const eco_user_field_names[ECO_USER_FIELDS] = {
	"external_id", "timezone", "profile", "status"
};

static char *text_of(const EcoRow *row, int column);
static void read_changes(int64 user_id, EcoUserRecord *record, const char **at_first);

char *
eco_user_timezone(int64 user_id)
{
	Datum		key = Int64GetDatum(user_id);
	EcoRow		row;

	if (!eco_row_find(&eco_users, user_id, 0, 1, &key, &row))
		return NULL;
	return TextDatumGetCString(row.values[RD_TIMEZONE]);
}

pg_tz *
eco_zone_or_utc(const char *name)
{
	pg_tz	   *zone = pg_tzset(name);

	return zone != NULL ? zone : pg_tzset("UTC");
}

int32
eco_local_date(TimestampTz at, pg_tz *zone)
{
	pg_time_t	seconds = timestamptz_to_time_t(at);
	struct pg_tm *tm = pg_localtime(&seconds, zone);

	if (tm == NULL)
		ECO_ERROR(ECO_INVALID_TIMEZONE, errmsg("moment is out of the calendar's range"));
	return date2j(tm->tm_year + 1900, tm->tm_mon + 1, tm->tm_mday) - POSTGRES_EPOCH_JDATE;
}

bool
eco_user_find(Datum external_id, int64 *user_id)
{
	EcoRow		row;

	if (!eco_row_find(&eco_users, 0, RD_BY_EXTERNAL_ID, 1, &external_id, &row))
		return false;
	*user_id = eco_row_int(&row, RD_USER_ID);
	return true;
}

void
eco_user_hash(int64 user_id, const EcoText *external_id, const EcoText *zone,
			  TimestampTz created_at, uint8 hash[ECO_HASH_LEN])
{
	static const uint8 nothing[ECO_HASH_LEN] = {0};
	uint8		buf[IDENTITY_BYTES];
	EcoEncoder	enc;

	eco_encode_begin(&enc, buf, sizeof(buf), ECO_HASH_ALGO_VERSION, IDENTITY_LETTER);
	eco_encode_int(&enc, user_id);
	if (external_id != NULL)
		eco_encode_bytes(&enc, external_id->data, external_id->len);
	else
		eco_encode_null(&enc);
	eco_encode_bytes(&enc, zone->data, zone->len);
	eco_encode_int(&enc, created_at);
	/* texts that were made too long by hand cannot be what was registered */
	if (enc.overflow)
		memset(hash, 0, ECO_HASH_LEN);
	else if (!eco_chain_hash(nothing, &enc, hash))
		eco_hash_failed();
}

void
eco_user_record(int64 user_id, EcoUserRecord *record)
{
	Datum		key = Int64GetDatum(user_id);
	const char *at_first[ECO_USER_FIELDS] = {NULL};
	EcoText		external_id;
	EcoText		zone;
	EcoRow		row;

	memset(record, 0, sizeof(*record));
	read_changes(user_id, record, at_first);
	record->exists = eco_row_find(&eco_user_records, user_id, 0, 1, &key, &row);
	if (!record->exists)
		return;
	record->present[ECO_USER_EXTERNAL_ID] = text_of(&row, USR_EXTERNAL_ID);
	record->present[ECO_USER_TIMEZONE] = text_of(&row, USR_TIMEZONE);
	record->present[ECO_USER_PROFILE] = text_of(&row, USR_PROFILE);
	for (int f = 0; f < ECO_USER_FIELDS; f++)
		if (!record->changed[f])
			at_first[f] = record->present[f];

	if (at_first[ECO_USER_EXTERNAL_ID] != NULL)
		external_id = eco_text_of(at_first[ECO_USER_EXTERNAL_ID]);
	zone = eco_text_of(at_first[ECO_USER_TIMEZONE] != NULL ? at_first[ECO_USER_TIMEZONE] : "");
	eco_user_hash(user_id, at_first[ECO_USER_EXTERNAL_ID] != NULL ? &external_id : NULL,
				  &zone, DatumGetTimestampTz(row.values[USR_CREATED_AT]),
				  record->first_hash);
}

/* The newest value of every changed field, and what it was before the first change. */
static void
read_changes(int64 user_id, EcoUserRecord *record, const char **at_first)
{
	Datum		key = Int64GetDatum(user_id);
	EcoScan    *scan = eco_scan_begin(&eco_user_changes, user_id, 0, 1, &key);
	EcoRow		row;

	while (eco_scan_next(scan, &row))
	{
		char	   *name = text_of(&row, UCH_FIELD);

		for (int f = 0; f < ECO_USER_FIELDS; f++)
		{
			if (strcmp(name, eco_user_field_names[f]) != 0)
				continue;
			if (!record->changed[f])
				at_first[f] = text_of(&row, UCH_BEFORE);
			record->changed[f] = true;
			record->newest[f] = text_of(&row, UCH_AFTER);
		}
	}
	eco_scan_end(scan);
}

static char *
text_of(const EcoRow *row, int column)
{
	Jsonb	   *value;

	if (row->isnull[column])
		return NULL;
	if (row->table->columns[column].type != JSONBOID)
		return TextDatumGetCString(row->values[column]);
	value = DatumGetJsonbP(row->values[column]);
	return JsonbToCString(NULL, &value->root, VARSIZE(value));
}
