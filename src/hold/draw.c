/*
 * draw.c
 *		draw(): one draw of a table, its price and its prize in one entry.
 *
 * No refusal depends on the outcome: whoever could be refused some of them could draw again
 * with another client seed until a better one comes.  So every prize of the table must be
 * one that the user can be given, before anything is drawn.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "crash_point.h"
#include "errors.h"
#include "hold/draw_table.h"
#include "hold/journal.h"
#include "hold/prize.h"
#include "hold/seed.h"
#include "ledger/args.h"
#include "ledger/call.h"
#include "ledger/holdings.h"
#include "ledger/level.h"
#include "ledger/result.h"

/* columns of economy.draw_result after the common ones */
enum
{
	DRAW_OUTCOME = ECO_RES_OWN,
	DRAW_ITEMS,
	DRAW_GOLD_DELTA,
	DRAW_GOLD,
	DRAW_SEED_NUMBER,
	DRAW_SEED_HASH,
	DRAW_NONCE,
	DRAW_RETRY_AFTER_MS,
	DRAW_DETAIL
};
#define DRAW_TYPES "bttt" "jjlllt" "lij"

/* columns of economy.draw_tables */
enum
{
	TAB_ID,
	TAB_VERSION,
	TAB_DEFINITION,
	TAB_ACTIVE,
	TAB_COLUMNS
};

static EcoTable draw_tables = {
	.name = "draw_tables",
	.only_read = true,
	.ncolumns = TAB_COLUMNS,
	.columns = {
		{"table_id", TEXTOID, false},
		{"version", INT4OID, false},
		{"definition", JSONBOID, ECO_NULLABLE},
		{"active", BOOLOID, false},
	},
	.nkeys = 1,
	.keys = {{1, {TAB_ID}}},
};

/* columns of economy_internal.draw_pity */
enum
{
	PIT_USER_ID,
	PIT_TABLE_ID,
	PIT_DRAWS,
	PIT_COLUMNS
};

static EcoTable draw_pity = {
	.name = "draw_pity",
	.internal = true,
	.ncolumns = PIT_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"table_id", TEXTOID, false},
		{"draws", INT8OID, ECO_MUTABLE},
	},
	.nkeys = 1,
	.keys = {{2, {PIT_USER_ID, PIT_TABLE_ID}}},
};

/* members of the entry's detail */
#define INSTEAD			"instead"	/* the entry that gave its prize */
#define PRIZE_NUMBER	"prize_number"	/* of one that has a limit */

/* A call, what it found, and its answer. */
typedef struct Draw
{
	int64		user_id;
	EcoText		table_id;
	EcoText		key;
	EcoText		client_seed;
	Jsonb	   *context;
	bool		dry_run;
	EcoResult	result;
	EcoDetail	detail;

	EcoRow		table_row;
	EcoDrawTable table;
	EcoRow		seed;
	uint8		server_seed[ECO_DRAW_SEED];
	EcoRow		pity;
	bool		has_pity_row;
	int64		pity_before;

	EcoOutcome	outcome;
	EcoPrize   *prize;
} Draw;

PG_FUNCTION_INFO_V1(eco_draw);

static void read_arguments(Draw *d, FunctionCallInfo fcinfo);
static void do_draw(Draw *d, FunctionCallInfo fcinfo);
static void post(Draw *d, EcoAccount *account);
static const char *refusal_of(Draw *d, const EcoAccount *account);
static const char *look_up(Draw *d);
static void read_pity(Draw *d);
static void draw_outcome(Draw *d);
static void make_entry(Draw *d, EcoEntry *entry);
static void write_pity(Draw *d);
static EcoLevelStep answer(Draw *d, const char *state, const EcoRow *row);
static void replay(Draw *d, const EcoRow *first);

/*
 * eco_draw(user_id, draw_table, idempotency_key, client_seed, context, dry_run)
 */
Datum
eco_draw(PG_FUNCTION_ARGS)
{
	Draw	   *d = palloc0(sizeof(Draw));

	read_arguments(d, fcinfo);
	if (!d->dry_run)
		PreventCommandIfReadOnly("economy.draw()");
	do_draw(d, fcinfo);
	return eco_result_row(&d->result);
}

static void
read_arguments(Draw *d, FunctionCallInfo fcinfo)
{
	eco_require_arg(fcinfo, 0, "user_id");
	d->user_id = PG_GETARG_INT64(0);
	d->table_id = eco_text_arg(fcinfo, 1, "draw_table", ECO_MAX_NAME);
	d->key = eco_text_arg(fcinfo, 2, "idempotency_key", ECO_MAX_KEY);
	d->client_seed = eco_text_arg(fcinfo, 3, "client_seed", ECO_CLIENT_SEED);
	if (!eco_client_seed_fits(d->client_seed.data, d->client_seed.len))
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("client_seed must not have a colon"),
				  errhint("What a player types may be hashed, or its colons replaced."));
	d->context = eco_object_arg(fcinfo, 4, "context");
	eco_require_arg(fcinfo, 5, "dry_run");
	d->dry_run = PG_GETARG_BOOL(5);
}

static void
do_draw(Draw *d, FunctionCallInfo fcinfo)
{
	static EcoTable *const tables[] = {
		&draw_tables, &eco_draw_prizes, &eco_draw_seeds, &draw_pity, &eco_items,
		&eco_user_holdings_more, ECO_LEVEL_TABLES, NULL
	};
	EcoCall		call;
	Datum		detail;

	eco_result_begin(&d->result, fcinfo, DRAW_TYPES);
	eco_call_init(&call, &eco_holding_changes, d->user_id, NULL);
	call.tables_of_new = tables;
	call.key = ECO_HCH_BY_KEY;
	call.texts[call.ntexts++] = eco_text_of("draw");
	call.texts[call.ntexts++] = d->key;
	call.dry_run = d->dry_run;
	switch (eco_call_begin(&call))
	{
		case ECO_CALL_NEW:
			post(d, &call.account);
			break;
		case ECO_CALL_REPLAY:
			if (eco_row_int(&call.first, ECO_COL_XP_DELTA) > 0)
				(void) eco_tables_add(call.open, eco_level_tables);
			replay(d, &call.first);
			break;
		case ECO_CALL_BUSY:
			eco_result_busy(&d->result, DRAW_RETRY_AFTER_MS);
			break;
		case ECO_CALL_ARCHIVED: /* none leaves its journal */
		case ECO_CALL_NO_USER:
			eco_result_outcome(&d->result, "refused", "USER_NOT_FOUND");
			break;
	}
	eco_call_end(&call);
	if (d->dry_run)
		eco_detail_bool(&d->detail, "dry_run", true);
	detail = eco_detail_end(&d->detail);
	if (detail != (Datum) 0)
		eco_result_set(&d->result, DRAW_DETAIL, detail);
}

static void
post(Draw *d, EcoAccount *account)
{
	EcoEntry	entry;
	EcoLevelStep step;
	const char *refusal = refusal_of(d, account);

	if (refusal != NULL || d->dry_run)
	{
		/* a dry run says whether it could be drawn, and nothing of what */
		eco_wipe(d->server_seed, sizeof(d->server_seed));
		eco_result_outcome(&d->result, refusal != NULL ? "refused" : "new",
						   refusal != NULL ? refusal : "OK");
		eco_result_set(&d->result, DRAW_GOLD, Int64GetDatum(account->gold));
		return;
	}
	draw_outcome(d);
	d->prize = eco_prize_take(&d->table, &d->table_id, account, d->outcome.entry);
	make_entry(d, &entry);
	eco_entry_prepare(account, &entry);
	eco_holdings_save(&d->prize->items, account);
	(void) eco_holdings_write(&d->prize->items, account->user_id);
	eco_seed_count(&d->seed);
	write_pity(d);
	eco_account_flush(account);
	step = answer(d, "new", &entry.row);
	entry.beside = &step;
	eco_entry_write(&entry);
	ECO_CRASH_POINT("draw:after_entry");
	eco_result_entry(&d->result, &eco_holding_changes, &entry.row);
}

/* In an order that no outcome has a part in. */
static const char *
refusal_of(Draw *d, const EcoAccount *account)
{
	const char *refusal = account->suspended ? "USER_SUSPENDED" : look_up(d);
	EcoHoldings price = {.n = 0};

	if (refusal == NULL)
	{
		refusal = eco_amount_refusal(account, -d->table.price_gold, 0);
		if (refusal != NULL)
			eco_detail_int(&d->detail, "needed", d->table.price_gold);
	}
	if (refusal == NULL && d->table.price_items != NULL)
	{
		eco_holdings_in(d->table.price_items, "items", ECO_HOLDING_USE_UP, &price);
		refusal = eco_holdings_refusal(&price, account, &d->detail);
	}
	return refusal != NULL ? refusal : eco_prizes_refusal(&d->table, account, &d->detail);
}

/* The table, and the seed to draw with. */
static const char *
look_up(Draw *d)
{
	Datum		user_id = Int64GetDatum(d->user_id);
	const char *refusal = NULL;

	if (!eco_row_find(&draw_tables, 0, 0, 1, &d->table_id.datum, &d->table_row) ||
		d->table_row.isnull[TAB_DEFINITION])
		return "DRAW_TABLE_NOT_FOUND";
	if (!DatumGetBool(d->table_row.values[TAB_ACTIVE]))
		return "DRAW_TABLE_INACTIVE";
	eco_draw_table_read(DatumGetJsonbP(d->table_row.values[TAB_DEFINITION]),
						true, &d->table);
	if (!eco_seed_current(d->user_id, &d->seed))
		refusal = "SEED_NOT_COMMITTED";
	else if (!eco_seed_open(&d->seed, d->server_seed))
		refusal = "SEED_LOST";
	if (refusal != NULL)
	{
		/* unless a commitment came later than the snapshot */
		eco_rows_must_be_newest(&eco_draw_seeds, d->user_id, 0, 1, &user_id);
		return refusal;
	}
	read_pity(d);
	return NULL;
}

static void
read_pity(Draw *d)
{
	Datum		key[2] = {Int64GetDatum(d->user_id), d->table_id.datum};

	if (d->table.pity.len == 0)
		return;
	d->has_pity_row = eco_row_find(&draw_pity, d->user_id, 0, 2, key, &d->pity);
	if (d->has_pity_row)
		d->pity_before = eco_row_int(&d->pity, PIT_DRAWS);
}

static void
draw_outcome(Draw *d)
{
	EcoSigner  *signer = eco_signer_create(d->server_seed, sizeof(d->server_seed));
	EcoDraw		draw;

	eco_wipe(d->server_seed, sizeof(d->server_seed));
	if (signer == NULL)
		ECO_ERROR(ECO_CRYPTO_FAILED, errmsg("could not use a seed"));
	PG_TRY();
	{
		eco_draw_begin(&draw, signer, d->client_seed.data, d->client_seed.len,
					   eco_row_int(&d->seed, SED_NEXT_NONCE));
		eco_outcome_draw(&d->table, &draw, d->pity_before, &d->outcome);
	}
	PG_FINALLY();
	{
		eco_signer_free(signer);
	}
	PG_END_TRY();
}

static Datum
detail_of_entry(Draw *d)
{
	EcoDetail	detail = {.open = false};

	eco_detail_text(&detail, "draw_table", d->table_id.data, d->table_id.len);
	eco_detail_int(&detail, "version", DatumGetInt32(d->table_row.values[TAB_VERSION]));
	eco_detail_int(&detail, "seed_number", eco_row_int(&d->seed, SED_NUMBER));
	eco_detail_str(&detail, "seed_hash", eco_seed_hash(&d->seed));
	eco_detail_int(&detail, "nonce", eco_row_int(&d->seed, SED_NEXT_NONCE));
	eco_detail_text(&detail, "client_seed", d->client_seed.data, d->client_seed.len);
	eco_detail_int(&detail, "pity", d->pity_before);
	eco_detail_json(&detail, "outcome", eco_outcome_json(&d->table, &d->outcome));
	if (d->prize->number > 0)
		eco_detail_int(&detail, PRIZE_NUMBER, d->prize->number);
	else if (d->prize->entry != d->outcome.entry)
		eco_detail_text(&detail, INSTEAD, d->table.entries[d->prize->entry].id.data,
						d->table.entries[d->prize->entry].id.len);
	return eco_detail_end(&detail);
}

static void
make_entry(Draw *d, EcoEntry *entry)
{
	EcoRow	   *row = &entry->row;

	eco_entry_init(entry, &eco_holding_changes);
	entry->gold_delta = d->prize->gold_delta;
	entry->xp_delta = d->prize->xp_delta;
	entry->at = d->prize->items.at;
	eco_row_set(row, HCH_OPERATION, eco_text_of("draw").datum);
	eco_row_set(row, HCH_KEY, d->key.datum);
	eco_row_set(row, HCH_REASON, d->table_id.datum);
	if (d->prize->items.n > 0)
		eco_row_set(row, HCH_ITEMS, eco_holdings_json(&d->prize->items));
	if (d->context != NULL)
		eco_row_set(row, HCH_CONTEXT, JsonbPGetDatum(d->context));
	eco_row_set(row, HCH_DETAIL, detail_of_entry(d));
}

static void
write_pity(Draw *d)
{
	if (d->table.pity.len == 0)
		return;
	if (!d->has_pity_row)
	{
		eco_row_init(&d->pity, &draw_pity);
		eco_row_set(&d->pity, PIT_USER_ID, Int64GetDatum(d->user_id));
		eco_row_set(&d->pity, PIT_TABLE_ID, d->table_id.datum);
	}
	eco_row_set(&d->pity, PIT_DRAWS, Int64GetDatum(d->outcome.pity));
	if (d->has_pity_row)
		eco_row_update(&d->pity, d->user_id);
	else
		eco_row_insert(&d->pity, d->user_id);
	ECO_CRASH_POINT("draw:after_pity");
}

/* What the entry says of it; false: it says nothing. */
static bool
said(const EcoRow *row, const char *key, JsonbValue *value)
{
	Jsonb	   *detail = row->isnull[HCH_DETAIL] ? NULL : DatumGetJsonbP(row->values[HCH_DETAIL]);

	return detail != NULL && JB_ROOT_IS_OBJECT(detail) &&
		getKeyJsonValueFromContainer(&detail->root, key, (int) strlen(key), value) != NULL;
}

static void
answer_number(Draw *d, int column, const EcoRow *row, const char *key)
{
	JsonbValue	value;

	if (said(row, key, &value) && value.type == jbvNumeric)
		eco_result_set(&d->result, column,
					   DirectFunctionCall1(numeric_int8, NumericGetDatum(value.val.numeric)));
}

/* What the outcome does not say of the prize: that it is another, or which of the limited. */
static void
tell_prize(Draw *d, const EcoRow *row)
{
	JsonbValue	value;

	if (said(row, INSTEAD, &value) && value.type == jbvString)
		eco_detail_text(&d->detail, INSTEAD, value.val.string.val, value.val.string.len);
	if (said(row, PRIZE_NUMBER, &value) && value.type == jbvNumeric)
		eco_detail_numeric(&d->detail, PRIZE_NUMBER, value.val.numeric);
}

/* The answer, and the levels that its XP led from and to; zeros: it gave none. */
static EcoLevelStep
answer(Draw *d, const char *state, const EcoRow *row)
{
	EcoLevelStep step = {0, 0};
	JsonbValue	value;

	eco_result_outcome(&d->result, state, "OK");
	if (said(row, "outcome", &value))
		eco_result_set(&d->result, DRAW_OUTCOME, JsonbPGetDatum(JsonbValueToJsonb(&value)));
	if (!row->isnull[HCH_ITEMS])
		eco_result_set(&d->result, DRAW_ITEMS, row->values[HCH_ITEMS]);
	eco_result_set(&d->result, DRAW_GOLD_DELTA, row->values[ECO_COL_GOLD_DELTA]);
	eco_result_set(&d->result, DRAW_GOLD, row->values[ECO_COL_GOLD]);
	answer_number(d, DRAW_SEED_NUMBER, row, "seed_number");
	answer_number(d, DRAW_NONCE, row, "nonce");
	tell_prize(d, row);
	if (said(row, "seed_hash", &value) && value.type == jbvString)
		eco_result_set(&d->result, DRAW_SEED_HASH,
					   PointerGetDatum(cstring_to_text_with_len(value.val.string.val,
																value.val.string.len)));
	if (eco_row_int(row, ECO_COL_XP_DELTA) > 0)
		step = eco_level_detail(&d->detail, row);
	return step;
}

static bool
same_client_seed(const Draw *d, const EcoRow *first)
{
	JsonbValue	value;

	return said(first, "client_seed", &value) && value.type == jbvString &&
		value.val.string.len == d->client_seed.len &&
		memcmp(value.val.string.val, d->client_seed.data, d->client_seed.len) == 0;
}

/* What is compared of a retry: all of it. */
static bool
same_payload(Draw *d, const EcoRow *first)
{
	EcoText		table_id = eco_text_in(first->values[HCH_REASON]);
	JsonbValue	value;

	if (table_id.len != d->table_id.len ||
		memcmp(table_id.data, d->table_id.data, table_id.len) != 0)
	{
		eco_detail_field(&d->detail, "draw_table", first, HCH_REASON);
		eco_detail_text(&d->detail, "now", d->table_id.data, d->table_id.len);
	}
	else if (!same_client_seed(d, first))
	{
		eco_detail_str(&d->detail, "field", "client_seed");
		if (said(first, "client_seed", &value) && value.type == jbvString)
			eco_detail_text(&d->detail, "first", value.val.string.val, value.val.string.len);
		eco_detail_text(&d->detail, "now", d->client_seed.data, d->client_seed.len);
	}
	else if (!eco_same_object(first, HCH_CONTEXT, d->context))
	{
		eco_detail_field(&d->detail, "context", first, HCH_CONTEXT);
		eco_detail_json(&d->detail, "now", d->context);
	}
	else
		return true;
	return false;
}

static void
replay(Draw *d, const EcoRow *first)
{
	if (same_payload(d, first))
		(void) answer(d, "reuse", first);
	else
		eco_result_outcome(&d->result, "refused", "IDEMPOTENCY_MISMATCH");
	eco_result_entry(&d->result, &eco_holding_changes, first);
}
