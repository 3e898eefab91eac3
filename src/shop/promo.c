/*
 * promo.c
 *		What a promo code gives, to whom, and that it is used.
 *
 * The account's lock guards how often its user has used a code, and whether he has bought
 * anything yet: each use, and each purchase that is taken back, writes the account.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "crash_point.h"
#include "ledger/archive.h"
#include "shop/journal.h"
#include "shop/promo.h"
#include "shop/refunds.h"

#define MIN_CODE 3				/* bytes */
#define MAX_CODE 40

enum
{
	PRM_CODE,
	PRM_KIND,
	PRM_VALUE,
	PRM_PRODUCTS,
	PRM_MAX_QUANTITY,
	PRM_MAX_PER_USER,
	PRM_MAX_USES,
	PRM_BUDGET_GOLD,
	PRM_NEW_USERS,
	PRM_STARTS_AT,
	PRM_ENDS_AT,
	PRM_ACTIVE,
	PRM_COLUMNS
};

EcoTable	eco_promo_codes = {
	.name = "promo_codes",
	.only_read = true,
	.later = true,
	.ncolumns = PRM_COLUMNS,
	.columns = {
		{"code", TEXTOID, false},
		{"kind", TEXTOID, false},
		{"value", INT8OID, false},
		{"products", JSONBOID, ECO_NULLABLE},
		{"max_quantity", INT4OID, false},
		{"max_per_user", INT4OID, ECO_NULLABLE},
		{"max_uses", INT8OID, ECO_NULLABLE},
		{"budget_gold", INT8OID, ECO_NULLABLE},
		{"new_users", BOOLOID, false},
		{"starts_at", TIMESTAMPTZOID, ECO_NULLABLE},
		{"ends_at", TIMESTAMPTZOID, ECO_NULLABLE},
		{"active", BOOLOID, false},
	},
	.nkeys = 1,
	.keys = {{1, {PRM_CODE}}},
};

/* the columns of shop_stock, so that stock.c serves both */
EcoTable	eco_promo_stock = {
	.name = "promo_stock",
	.later = true,
	.ncolumns = 3,
	.columns = {
		{"name", TEXTOID, false},
		{"slot", INT2OID, false},
		{"remaining", INT8OID, ECO_MUTABLE},
	},
	.nkeys = 1,
	.keys = {{2, {0, 1}}},
};

enum
{
	USE_USER_ID,
	USE_CODE,
	USE_SEQ,
	USE_GOLD,
	USE_COLUMNS
};

EcoTable	eco_promo_uses = {
	.name = "promo_uses",
	.later = true,
	.ncolumns = USE_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"code", TEXTOID, false},
		{"seq", INT8OID, false},
		{"gold", INT8OID, false},
	},
	.nkeys = 1,
	.keys = {{3, {USE_USER_ID, USE_CODE, USE_SEQ}}},
};

static bool
member(Jsonb *context, const char *name, JsonbValue *value)
{
	return context != NULL &&
		getKeyJsonValueFromContainer(&context->root, name, strlen(name), value) != NULL;
}

bool
eco_promo_in(Jsonb *context, EcoText *typed)
{
	JsonbValue	value;

	if (context == NULL)
		return true;
	if (member(context, ECO_PROMO_USE, &value))
		return false;
	if (!member(context, ECO_PROMO, &value) || value.type == jbvNull)
		return true;
	if (value.type != jbvString)
		return false;
	*typed = eco_text_in(PointerGetDatum(cstring_to_text_with_len(value.val.string.val,
																  value.val.string.len)));
	return true;
}

/* In capital letters of ASCII, by no rule of a locale.  False: no code is written so. */
static bool
code_of(const EcoText *typed, EcoText *code)
{
	char	   *letters;

	if (typed->len < MIN_CODE || typed->len > MAX_CODE)
		return false;
	letters = pnstrdup(typed->data, typed->len);
	for (int i = 0; i < typed->len; i++)
		if (letters[i] >= 'a' && letters[i] <= 'z')
			letters[i] += 'A' - 'a';
	*code = eco_text_of(letters);
	return true;
}

/* It is not in its time, or was retired. */
static const char *
check_time(const EcoRow *row, EcoDetail *detail)
{
	TimestampTz at = eco_now();
	const char *reason = NULL;

	if (!row->isnull[PRM_STARTS_AT] && at < DatumGetTimestampTz(row->values[PRM_STARTS_AT]))
	{
		reason = "not_started";
		eco_detail_moment(detail, "starts_at", DatumGetTimestampTz(row->values[PRM_STARTS_AT]));
	}
	else if (!row->isnull[PRM_ENDS_AT] && at >= DatumGetTimestampTz(row->values[PRM_ENDS_AT]))
	{
		reason = "ended";
		eco_detail_moment(detail, "ends_at", DatumGetTimestampTz(row->values[PRM_ENDS_AT]));
	}
	if (!DatumGetBool(row->values[PRM_ACTIVE]))
		reason = "inactive";
	if (reason == NULL)
		return NULL;
	eco_detail_str(detail, "reason", reason);
	return "PROMO_NOT_ACTIVE";
}

static bool
is_kind(const EcoRow *row, const char *kind)
{
	EcoText		is = eco_text_in(row->values[PRM_KIND]);

	return is.len == (int) strlen(kind) && memcmp(is.data, kind, is.len) == 0;
}

static bool
is_for(const EcoRow *row, const EcoText *product_id)
{
	JsonbValue	id = {.type = jbvString};

	if (row->isnull[PRM_PRODUCTS])
		return true;
	id.val.string.val = unconstify(char *, product_id->data);
	id.val.string.len = product_id->len;
	return findJsonbValueFromContainer(&DatumGetJsonbP(row->values[PRM_PRODUCTS])->root,
									   JB_FARRAY, &id) != NULL;
}

/*
 * Gold off the price of an item, or beside what a conversion grants; 0: none.  A part of a
 * gold is not taken off.
 */
static int64
gold_of(const EcoRow *row, const EcoPromoAsk *ask)
{
	int64		value = eco_row_int(row, PRM_VALUE);
	int128		price = (int128) ask->product->price_gold * ask->quantity;

	if (is_kind(row, "bonus"))
		return ask->product->is_conversion ? value : 0;
	/* whoever has so much gold does not exist */
	if (ask->product->is_conversion || price > ECO_MAX_AMOUNT)
		return 0;
	return is_kind(row, "percent") ? (int64) (price * value / 100) : Min(value, (int64) price);
}

/* What it is not for. */
static const char *
check_product(const EcoRow *row, const EcoPromoAsk *ask, EcoPromo *promo, EcoDetail *detail)
{
	const char *reason = NULL;

	promo->gold = gold_of(row, ask);
	if (!is_for(row, &ask->product->product_id))
	{
		eco_detail_json(detail, "products", DatumGetJsonbP(row->values[PRM_PRODUCTS]));
		reason = "product";
	}
	else if (ask->product->settlement != (Datum) 0)
		reason = "settlement";
	else if (ask->product->is_conversion != is_kind(row, "bonus"))
		reason = "category";
	else if (promo->gold == 0)
		reason = "nothing_off";
	if (reason != NULL)
	{
		eco_detail_str(detail, "reason", reason);
		return "PROMO_NOT_FOR_PRODUCT";
	}
	if (ask->quantity <= DatumGetInt32(row->values[PRM_MAX_QUANTITY]))
		return NULL;
	eco_detail_int(detail, "at_most", DatumGetInt32(row->values[PRM_MAX_QUANTITY]));
	return "PROMO_QUANTITY";
}

/* Whether the user has no purchase of which anything is left. */
static bool
is_new(const EcoAccount *account)
{
	Datum		user = Int64GetDatum(account->user_id);
	EcoTakenBack back = eco_taken_back(account->user_id, NULL);
	EcoScan    *scan = eco_scan_begin(&eco_shop_transactions, account->user_id, ECO_TXN_BY_SEQ,
									  1, &user);
	bool		is = true;
	EcoRow		row;

	while (is && eco_scan_next(scan, &row))
	{
		CHECK_FOR_INTERRUPTS();
		is = eco_taken_back_of(&back, eco_row_int(&row, ECO_COL_SEQ)) >=
			DatumGetInt32(row.values[TXN_QUANTITY]);
	}
	eco_scan_end(scan);
	if (!is || account->pruned_seq == 0)
		return is;
	scan = eco_archived_begin(account->user_id, NULL);
	while (is && eco_scan_next(scan, &row))
	{
		CHECK_FOR_INTERRUPTS();
		is = row.isnull[AKY_CREATED_AT] ||
			eco_taken_back_of(&back, eco_row_int(&row, AKY_SEQ)) >=
			eco_row_int(&row, AKY_QUANTITY);
	}
	eco_scan_end(scan);
	return is;
}

/* So often the user has used it already. */
static int
uses_of(int64 user_id, const EcoText *code)
{
	Datum		values[2] = {Int64GetDatum(user_id), code->datum};
	EcoScan    *scan = eco_scan_begin(&eco_promo_uses, user_id, 0, 2, values);
	EcoRow		row;
	int			n = 0;

	while (eco_scan_next(scan, &row))
	{
		CHECK_FOR_INTERRUPTS();
		n++;
	}
	eco_scan_end(scan);
	return n;
}

static const char *
check_user(const EcoRow *row, const EcoPromoAsk *ask, const EcoPromo *promo, EcoDetail *detail)
{
	if (DatumGetBool(row->values[PRM_NEW_USERS]) && !is_new(ask->account))
		return "PROMO_NEW_USERS";
	if (row->isnull[PRM_MAX_PER_USER] ||
		uses_of(ask->account->user_id, &promo->code) <
		DatumGetInt32(row->values[PRM_MAX_PER_USER]))
		return NULL;
	eco_detail_int(detail, "limit", DatumGetInt32(row->values[PRM_MAX_PER_USER]));
	return "PROMO_USER_LIMIT";
}

static Jsonb *
say_use(const EcoPromo *promo)
{
	EcoDetail	use = {0};

	eco_detail_text(&use, "code", promo->code.data, promo->code.len);
	eco_detail_int(&use, "gold", promo->gold);
	return DatumGetJsonbP(eco_detail_end(&use));
}

const char *
eco_promo_check(const EcoPromoAsk *ask, EcoPromo *promo, EcoDetail *detail)
{
	const char *refusal;
	EcoRow		row;

	if (!eco_table_is_open(&eco_promo_codes) || !code_of(&ask->typed, &promo->code) ||
		!eco_row_find(&eco_promo_codes, 0, 0, 1, &promo->code.datum, &row))
		return "PROMO_NOT_FOUND";
	if ((refusal = check_time(&row, detail)) != NULL ||
		(refusal = check_product(&row, ask, promo, detail)) != NULL ||
		(refusal = check_user(&row, ask, promo, detail)) != NULL)
		return refusal;
	promo->has_max = !row.isnull[PRM_MAX_USES];
	promo->has_budget = !row.isnull[PRM_BUDGET_GOLD];
	promo->use = say_use(promo);
	return NULL;
}

EcoText
eco_promo_uses_of(const EcoPromo *promo)
{
	return promo->code;
}

EcoText
eco_promo_gold_of(const EcoPromo *promo)
{
	return eco_text_of(psprintf("%.*s/gold", promo->code.len, promo->code.data));
}

Jsonb *
eco_promo_context(const EcoPromo *promo, Jsonb *given)
{
	EcoDetail	more = {0};

	eco_detail_json(&more, ECO_PROMO_USE, promo->use);
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(given),
											  eco_detail_end(&more)));
}

Jsonb *
eco_promo_used(Jsonb *context)
{
	JsonbValue	value;

	return member(context, ECO_PROMO_USE, &value) ? JsonbValueToJsonb(&value) : NULL;
}

void
eco_promo_note(const EcoPromo *promo, const EcoEntry *entry)
{
	EcoRow		row;

	eco_row_init(&row, &eco_promo_uses);
	eco_row_set(&row, USE_USER_ID, entry->row.values[ECO_COL_USER_ID]);
	eco_row_set(&row, USE_CODE, promo->code.datum);
	eco_row_set(&row, USE_SEQ, entry->row.values[ECO_COL_SEQ]);
	eco_row_set(&row, USE_GOLD, Int64GetDatum(promo->gold));
	eco_row_insert(&row, eco_row_int(&entry->row, ECO_COL_USER_ID));
	ECO_CRASH_POINT("purchase:after_promo");
}

static Jsonb *
used_by(const EcoRow *purchase, int context)
{
	return purchase->isnull[context] ? NULL :
		eco_promo_used(DatumGetJsonbP(purchase->values[context]));
}

void
eco_promo_open(EcoOpenTables *open, const EcoRow *purchase, int context)
{
	static EcoTable *const tables[] = {&eco_promo_stock, &eco_promo_uses, NULL};

	if (used_by(purchase, context) != NULL)
		(void) eco_tables_add(open, tables);
}

void
eco_promo_give_back(const EcoRow *purchase, int context)
{
	Oid			types[3] = {INT8OID, INT8OID, JSONBOID};
	Datum		values[3] = {
		purchase->values[ECO_COL_USER_ID], purchase->values[ECO_COL_SEQ]
	};
	Jsonb	   *use = used_by(purchase, context);

	if (use == NULL)
		return;
	values[2] = JsonbPGetDatum(use);
	(void) eco_run_as_owner("SELECT economy_internal.give_promo_back($1, $2, $3)", 3, types,
							values);
	ECO_CRASH_POINT("refund:after_promo");
}
