/*
 * transfer_rules.c
 *		What set_transfer_rules() allows: of whatever passes from one user to another.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/timestamp.h"

#include "core/period.h"
#include "errors.h"
#include "hold/transfer_rules.h"
#include "ledger/args.h"

#define PER_MILLE	1000

/* columns of economy.transfer_rules */
enum
{
	TRR_RULES,
	TRR_ENABLED,
	TRR_FEE,
	TRR_DAILY_GOLD,
	TRR_MINIMUM_AGE,
	TRR_COLUMNS
};

/* One row, or none: then nothing is transferred. */
static EcoTable transfer_rules = {
	.name = "transfer_rules",
	.only_read = true,
	.ncolumns = TRR_COLUMNS,
	.columns = {
		{"rules", TEXTOID, false},
		{"enabled", BOOLOID, false},
		{"fee_per_mille", INT4OID, false},
		{"daily_gold", INT8OID, ECO_NULLABLE},
		{"minimum_age_hours", INT4OID, false},
	},
	.nkeys = 1,
	.keys = {{1, {TRR_RULES}}},
};

/* Of users, when they came. */
enum
{
	BRN_USER_ID,
	BRN_CREATED_AT,
	BRN_COLUMNS
};

static EcoTable registrations = {
	.name = "users",
	.only_read = true,
	.ncolumns = BRN_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"created_at", TIMESTAMPTZOID, false},
	},
	.nkeys = 1,
	.keys = {{1, {BRN_USER_ID}}},
};

/* Whether a sender's age was asked for in this session: it will be again. */
static bool asks_age = false;

int
eco_transfer_tables(EcoTable **tables)
{
	int			n = 0;

	tables[n++] = &transfer_rules;
	if (asks_age)
		tables[n++] = &registrations;
	return n;
}

bool
eco_transfer_rules(EcoTransferRules *rules)
{
	EcoText		which = eco_text_of("all");
	EcoRow		row;

	if (!eco_row_find(&transfer_rules, 0, 0, 1, &which.datum, &row) ||
		!DatumGetBool(row.values[TRR_ENABLED]))
		return false;
	rules->fee_per_mille = DatumGetInt32(row.values[TRR_FEE]);
	rules->daily_gold = row.isnull[TRR_DAILY_GOLD] ? -1 : eco_row_int(&row, TRR_DAILY_GOLD);
	rules->minimum_age_hours = DatumGetInt32(row.values[TRR_MINIMUM_AGE]);
	return true;
}

const char *
eco_transfer_age(const EcoTransferRules *rules, int64 user_id, TimestampTz at,
				 EcoOpenTables *open, EcoDetail *detail)
{
	static EcoTable *const tables[] = {&registrations, NULL};
	Datum		key = Int64GetDatum(user_id);
	EcoRow		row;
	TimestampTz from;

	if (rules->minimum_age_hours == 0)
		return NULL;
	asks_age = true;
	(void) eco_tables_add(open, tables);
	/* an account without a user, which only damage makes, is of no age */
	from = eco_row_find(&registrations, user_id, 0, 1, &key, &row) ?
		DatumGetTimestampTz(row.values[BRN_CREATED_AT]) : DT_NOEND;
	if (!TIMESTAMP_NOT_FINITE(from))
		from += rules->minimum_age_hours * USECS_PER_HOUR;
	if (at >= from)
		return NULL;
	eco_detail_moment(detail, "allowed_at", from);
	return "TRANSFER_TOO_YOUNG";
}

const char *
eco_transfer_day(const EcoTransferRules *rules, const EcoAccount *from, TimestampTz at,
				 int64 gold, EcoSent *sent, EcoDetail *detail)
{
	EcoSection	section;

	(void) eco_account_section(from, ECO_SECTION_SENT, &section);
	if (!eco_sent_read(&section, sent))
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("account of user %lld has a damaged count of what was sent",
						 (long long) from->user_id));
	eco_sent_add(sent, at, gold);
	if (rules->daily_gold < 0 || sent->gold <= rules->daily_gold)
		return NULL;
	eco_detail_int(detail, "sent", sent->gold - gold);
	eco_detail_int(detail, "limit", rules->daily_gold);
	eco_detail_moment(detail, "renews_at", eco_period_start(ECO_PERIOD_DAY, sent->day + 1));
	return "TRANSFER_DAILY_LIMIT";
}

void
eco_sent_set(const EcoSent *sent, EcoAccount *from)
{
	uint8		payload[ECO_SENT_MAX];
	EcoSection	section = {
		.version = ECO_SENT_VERSION, .data = payload, .len = eco_sent_write(sent, payload)
	};

	eco_account_set_section(from, ECO_SECTION_SENT, &section);
}

int64
eco_transfer_fee(int64 gold, int32 per_mille)
{
	return (gold * per_mille + PER_MILLE - 1) / PER_MILLE;
}
