/*
 * escrow.c
 *		Escrows as their entries have them, and the list of those that are open.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/timestamp.h"

#include "crash_point.h"
#include "errors.h"
#include "hold/escrow.h"

/* columns of economy.escrows */
enum
{
	ESC_USER_ID,
	ESC_SEQ,
	ESC_EXPIRES_AT,
	ESC_COLUMNS
};

EcoTable	eco_escrows = {
	.name = "escrows",
	.later = true,
	.ncolumns = ESC_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"seq", INT8OID, false},
		{"expires_at", TIMESTAMPTZOID, false},
	},
	.nkeys = 1,
	.keys = {{2, {ESC_USER_ID, ESC_SEQ}}},
};

bool
eco_escrow_name(EcoEscrow *escrow, int64 user_id, const EcoText *id)
{
	const EcoJournal *journal;

	if (!eco_transaction_id_parse(pnstrdup(id->data, id->len), &journal, &escrow->user_id,
								  &escrow->seq) ||
		journal != &eco_holding_changes || escrow->user_id != user_id)
		return false;
	escrow->id = eco_text_of(eco_transaction_id(journal, user_id, escrow->seq));
	return true;
}

static int64
held_int(const EcoEscrow *escrow, const Jsonb *detail, const char *key)
{
	int64		number = eco_hch_int(detail, key);

	if (number < 0 || number > ECO_MAX_AMOUNT)
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("escrow %.*s has no \"%s\"", escrow->id.len, escrow->id.data, key));
	return number;
}

static bool
is_named(const EcoText *operation, const char *name)
{
	return operation->len == (int) strlen(name) &&
		memcmp(operation->data, name, operation->len) == 0;
}

bool
eco_escrow_read(EcoEscrow *escrow)
{
	Datum		key[] = {Int64GetDatum(escrow->user_id), Int64GetDatum(escrow->seq)};
	const Jsonb *detail;
	EcoText		operation;
	EcoRow		row;

	if (!eco_row_find(eco_holding_changes.table, escrow->user_id, 0, 2, key, &row))
		return false;
	operation = eco_text_in(row.values[HCH_OPERATION]);
	escrow->is_round = is_named(&operation, ECO_ROUND_OPEN);
	if (!escrow->is_round && !is_named(&operation, ECO_ESCROW_HOLD))
		return false;
	detail = eco_hch_detail(&row);
	escrow->gold = held_int(escrow, detail, ESCROW_GOLD);
	escrow->fee = held_int(escrow, detail, ESCROW_FEE);
	escrow->fee_per_mille = (int32) held_int(escrow, detail, ESCROW_PER_MILLE);
	escrow->expires_at = DatumGetTimestampTz(row.values[ECO_COL_CREATED_AT]) +
		held_int(escrow, detail, ESCROW_TTL) * USECS_PER_SEC;
	/* what is given back is what was taken, whatever the detail says */
	if (escrow->gold + escrow->fee != -eco_row_int(&row, ECO_COL_GOLD_DELTA))
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("escrow %.*s holds other gold than was taken", escrow->id.len,
						 escrow->id.data));
	eco_holdings_taken_by(eco_hch_items(&row), ECO_HOLDING_GET_BACK, &escrow->items);
	return true;
}

void
eco_escrow_opened(const EcoEscrow *escrow)
{
	EcoRow		row;

	eco_row_init(&row, &eco_escrows);
	eco_row_set(&row, ESC_USER_ID, Int64GetDatum(escrow->user_id));
	eco_row_set(&row, ESC_SEQ, Int64GetDatum(escrow->seq));
	eco_row_set(&row, ESC_EXPIRES_AT, TimestampTzGetDatum(escrow->expires_at));
	eco_row_insert(&row, escrow->user_id);
	ECO_CRASH_POINT("escrow:after_row");
}

/* A row that is missing is damage, which keeps nobody from what is his: the audit tells it. */
void
eco_escrow_closed(const EcoEscrow *escrow)
{
	Datum		key[] = {Int64GetDatum(escrow->user_id), Int64GetDatum(escrow->seq)};
	EcoRow		row;
	EcoRow	   *rows[] = {&row};

	if (eco_row_find(&eco_escrows, escrow->user_id, 0, 2, key, &row))
		eco_rows_delete(rows, 1, escrow->user_id);
	ECO_CRASH_POINT("escrow:after_delete");
}
