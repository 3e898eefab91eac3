/*
 * holdings.c
 *		Items that users hold, and what an entry changes of them.
 *
 * They stand in the section of the user's account, so that an entry that changes some
 * writes them in the one update of the account.  An item that finds no room there gets a
 * row of economy_internal.user_holdings_more, and keeps it.  The account's lock guards both.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "common/int.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "crash_point.h"
#include "errors.h"
#include "ledger/holdings.h"
#include "ledger/holdings_section.h"
#include "settings.h"

#define MAX_DIGITS 16
#define ITEM "item"
#define DELTA "delta"
#define BALANCE "balance"

/* of the year 9999, the last that every reader of times knows */
#define LAST_SECOND INT64CONST(253402300799)

enum
{
	HLD_USER_ID,
	HLD_ITEM_ID,
	HLD_BALANCE,
	HLD_IS_PASS,
	HLD_COLUMNS
};

PG_FUNCTION_INFO_V1(eco_amounts_sound);

EcoTable	eco_items = {
	.name = "items",
	.later = true,
	.only_read = true,
	.ncolumns = ITM_COLUMNS,
	.columns = {
		{"item_id", TEXTOID, false},
		{"kind", TEXTOID, false},
		{"maximum", INT8OID, ECO_NULLABLE},
		{"consumable", BOOLOID, false},
		{"tradable", BOOLOID, false},
		{"active", BOOLOID, false},
		{"texts", JSONBOID, false},
		{"extra", JSONBOID, false},
	},
	.nkeys = 1,
	.keys = {{1, {ITM_ID}}},
};

EcoTable	eco_user_holdings_more = {
	.name = "user_holdings_more",
	.later = true,
	.internal = true,
	.ncolumns = HLD_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"item_id", TEXTOID, false},
		{"balance", INT8OID, ECO_MUTABLE},
		{"is_pass", BOOLOID, ECO_MUTABLE},
	},
	.nkeys = 1,
	.keys = {{2, {HLD_USER_ID, HLD_ITEM_ID}}},
};

ECO_NORETURN static void
damaged(const EcoAccount *account)
{
	ECO_ERROR(ECO_LEDGER_DAMAGED,
			  errmsg("account of user %lld has damaged holdings", (long long) account->user_id));
}

static int64
unix_us(TimestampTz at)
{
	return at + (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

/* The next full second, from which what is given for some lasts no less. */
static int64
next_second(TimestampTz at)
{
	int64		us = unix_us(at);

	return us / USECS_PER_SEC + (us % USECS_PER_SEC > 0 ? 1 : 0);
}

/* The last full second: a pass that ends at it, or before, has ended. */
static int64
last_second(TimestampTz at)
{
	int64		us = unix_us(at);

	return us / USECS_PER_SEC - (us % USECS_PER_SEC < 0 ? 1 : 0);
}

/* Arguments */

/* A whole number from 1 to 2^53 - 1; 0: it is none. */
static int64
whole_number(const JsonbValue *value)
{
	const char *digits;
	size_t		len;
	int64		number;

	if (value->type != jbvNumeric)
		return 0;
	digits = DatumGetCString(DirectFunctionCall1(numeric_out,
												 NumericGetDatum(value->val.numeric)));
	len = strlen(digits);
	if (len > MAX_DIGITS || strspn(digits, "0123456789") != len)
		return 0;
	number = strtoll(digits, NULL, 10);
	return number > ECO_HELD_MOST ? 0 : number;
}

static EcoText
text_of_json(const JsonbValue *value)
{
	return eco_text_in(PointerGetDatum(cstring_to_text_with_len(value->val.string.val,
																value->val.string.len)));
}

static void
add_asked(EcoHoldings *all, EcoHoldingUse use, const char *name, const JsonbValue *key,
		  const JsonbValue *amount)
{
	EcoHolding *one = &all->of[all->n];

	if (key->val.string.len == 0 || key->val.string.len > ECO_HELD_ID)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("an item of %s must have 1 to %d bytes", name, ECO_HELD_ID));
	if (all->n == ECO_MAX_HOLDINGS)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("%s has more than %d items", name, ECO_MAX_HOLDINGS));
	one->item_id = text_of_json(key);
	one->use = use;
	one->amount = whole_number(amount);
	if (one->amount == 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("the amount of \"%.*s\" in %s must be a whole number from 1 to 2^53-1",
						 one->item_id.len, one->item_id.data, name),
				  errhint("Units of a stack or a currency, seconds of a pass."));
	all->n++;
}

void
eco_holdings_in(JsonbContainer *object, const char *name, EcoHoldingUse use, EcoHoldings *all)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	all->n = 0;
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		add_asked(all, use, name, &key, &value);
	}
}

void
eco_holdings_arg(FunctionCallInfo fcinfo, int argno, const char *name, EcoHoldingUse use,
				 EcoHoldings *all)
{
	eco_holdings_given(eco_object_arg(fcinfo, argno, name), name, use, all);
}

void
eco_holdings_given(Jsonb *object, const char *name, EcoHoldingUse use, EcoHoldings *all)
{
	all->n = 0;
	if (object == NULL)
		return;
	eco_holdings_in(&object->root, name, use, all);
	if (all->n == 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("%s must not be empty", name),
				  errhint("An object of items and amounts, such as {\"gem\": 5}."));
}

/* Configuration */

/* Whether it is an object of 1 to ECO_MAX_HOLDINGS items, each with a whole number. */
static bool
is_sound(const Jsonb *object)
{
	JsonbIterator *it = JsonbIteratorInit(unconstify(JsonbContainer *, &object->root));
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(object) || JB_ROOT_COUNT(object) < 1 ||
		JB_ROOT_COUNT(object) > ECO_MAX_HOLDINGS)
		return false;
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		if (key.val.string.len == 0 || key.val.string.len > ECO_HELD_ID ||
			whole_number(&value) == 0)
			return false;
	}
	return true;
}

/*
 * eco_amounts_sound(items jsonb) returns boolean
 */
Datum
eco_amounts_sound(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(is_sound(PG_GETARG_JSONB_P(0)));
}

/* More than anybody can hold counts as one more than that. */
static int64
times_of(int64 amount, int64 times)
{
	int64		product;

	return pg_mul_s64_overflow(amount, times, &product) || product > ECO_HELD_MOST ?
		ECO_HELD_MOST + 1 : product;
}

void
eco_holdings_add(const Jsonb *object, int64 times, EcoHoldingUse use, EcoHoldings *all)
{
	JsonbIterator *it = JsonbIteratorInit(unconstify(JsonbContainer *, &object->root));
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	if (!is_sound(object) || all->n + JB_ROOT_COUNT(object) > ECO_MAX_HOLDINGS)
		ECO_ERROR(ECO_SCHEMA_DAMAGED,
				  errmsg("these are no amounts of items: %s",
						 JsonbToCString(NULL, unconstify(JsonbContainer *, &object->root),
										VARSIZE(object))),
				  errhint("Who changed them by hand? An object of up to %d items, such as "
						  "{\"gem\": 5}.", ECO_MAX_HOLDINGS));
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		EcoHolding *one = &all->of[all->n];

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		one->item_id = text_of_json(&key);
		if (eco_holdings_find(all, &one->item_id) != NULL)
			ECO_ERROR(ECO_SCHEMA_DAMAGED,
					  errmsg("item \"%.*s\" is both given and paid", one->item_id.len,
							 one->item_id.data),
					  errhint("Who changed it by hand? The entry has each item once."));
		one->use = use;
		one->amount = times_of(whole_number(&value), times);
		all->n++;
	}
}

void
eco_holdings_add_freezes(int64 units, EcoHoldingUse use, EcoHoldings *all)
{
	EcoText		id = eco_text_of(ECO_ITEM_STREAK_FREEZE);
	EcoHolding *one = &all->of[all->n];

	if (eco_holdings_find(all, &id) != NULL)
		return;
	if (all->n == ECO_MAX_HOLDINGS)
		ECO_ERROR(ECO_SCHEMA_DAMAGED,
				  errmsg("streak freezes would be one of more than %d items", ECO_MAX_HOLDINGS));
	one->item_id = id;
	one->use = use;
	one->amount = units;
	all->n++;
}

/* Balances */

static bool
find_packed(const EcoAccount *account, const EcoText *item_id, EcoHeld *held, bool *more)
{
	EcoSection	section;
	EcoReader	reader;

	*held = (EcoHeld)
	{
		.id = ""
	};
	(void) eco_account_section(account, ECO_SECTION_HOLDINGS, &section);
	eco_held_read(&reader, &section, more);
	while (eco_held_next(&reader, held))
		if (held->len == item_id->len && memcmp(held->id, item_id->data, held->len) == 0)
			return true;
	if (reader.damaged)
		damaged(account);
	held->balance = 0;
	return false;
}

static inline bool
is_freeze(const EcoText *item_id)
{
	return item_id->len == (int) strlen(ECO_ITEM_STREAK_FREEZE) &&
		memcmp(item_id->data, ECO_ITEM_STREAK_FREEZE, item_id->len) == 0;
}

static bool
find_row(int64 user_id, const EcoText *item_id, EcoRow *row)
{
	Datum		key[2] = {Int64GetDatum(user_id), item_id->datum};

	return eco_row_find(&eco_user_holdings_more, user_id, 0, 2, key, row);
}

bool
eco_holding_is(const EcoAccount *account, const EcoText *item_id, int64 units)
{
	EcoHeld		held;
	EcoRow		row;
	bool		more;

	if (is_freeze(item_id))
		return account->freezes >= units;
	if (!find_packed(account, item_id, &held, &more) && more &&
		find_row(account->user_id, item_id, &row))
	{
		held.balance = eco_row_int(&row, HLD_BALANCE);
		held.is_pass = DatumGetBool(row.values[HLD_IS_PASS]);
	}
	return held.is_pass ? held.balance > last_second(eco_now()) : held.balance >= units;
}

/* The balance that the account or a row has, be the pass over. */
static int64
load(EcoHolding *one, const EcoAccount *account)
{
	EcoHeld		held;
	bool		more;

	if (is_freeze(&one->item_id))
	{
		one->has_row = one->row_stored = false;
		return account->freezes;
	}
	one->has_row = one->row_stored = !find_packed(account, &one->item_id, &held, &more) && more &&
		find_row(account->user_id, &one->item_id, &one->row);
	if (one->has_row)
	{
		/* lives as long as what was asked for, not as what was read */
		one->row.values[HLD_ITEM_ID] = one->item_id.datum;
		held.balance = eco_row_int(&one->row, HLD_BALANCE);
		held.is_pass = DatumGetBool(one->row.values[HLD_IS_PASS]);
	}

	/*
	 * an item that was deleted and made anew as another kind: seconds are no
	 * units
	 */
	if (held.balance > 0 && held.is_pass != one->is_pass)
		damaged(account);
	return held.balance;
}

static void
detail_item(EcoDetail *detail, const EcoHolding *one)
{
	eco_detail_text(detail, ITEM, one->item_id.data, one->item_id.len);
}

static int64
most_freezes(const EcoRow *item)
{
	return item->isnull[ITM_MAXIMUM] ? eco_streak_max_freezes :
		Min(eco_row_int(item, ITM_MAXIMUM), PG_INT32_MAX);
}

/* What may be held; of a pass that is the time from now on. */
static int64
most_of(const EcoHolding *one, const EcoRow *item, int64 now)
{
	int64		most = item->isnull[ITM_MAXIMUM] ? ECO_HELD_MOST : eco_row_int(item, ITM_MAXIMUM);

	if (is_freeze(&one->item_id))
		return most_freezes(item);
	return one->is_pass ? Min(most, LAST_SECOND - now) : most;
}

static const char *
check_most(const EcoHolding *one, const EcoRow *item, int64 held, int64 now, EcoDetail *detail)
{
	int64		most = most_of(one, item, now);
	int64		since = one->is_pass ? now : 0;

	if (one->balance - since <= most)
		return NULL;
	detail_item(detail, one);
	eco_detail_int(detail, "held", held - since);
	eco_detail_int(detail, "at_most", most);
	return "ITEM_LIMIT";
}

/* Why it may not be given or taken, whatever is held; a pass is of who has got it. */
static const char *
check_kind(const EcoHolding *one, const EcoRow *item)
{
	if (one->use == ECO_HOLDING_GIVE)
		return DatumGetBool(item->values[ITM_ACTIVE]) ? NULL : "ITEM_INACTIVE";
	if (one->use == ECO_HOLDING_USE_UP)
		return DatumGetBool(item->values[ITM_CONSUMABLE]) ? NULL : "ITEM_NOT_CONSUMABLE";
	return DatumGetBool(item->values[ITM_TRADABLE]) && !one->is_pass ? NULL :
		"ITEM_NOT_TRADABLE";
}

static const char *
give(EcoHolding *one, const EcoAccount *account, const EcoRow *item, TimestampTz at,
	 EcoDetail *detail)
{
	int64		now = next_second(at);
	int64		held = load(one, account);
	const char *refusal = check_kind(one, item);

	if (refusal != NULL)
	{
		detail_item(detail, one);
		return refusal;
	}
	if (one->is_pass)
		held = Max(held, now);
	/* both are below 2^54 */
	one->delta = one->amount;
	one->balance = held + one->amount;
	return check_most(one, item, held, now, detail);
}

static void
give_some(EcoHolding *one, const EcoAccount *account, const EcoRow *item, TimestampTz at)
{
	int64		now = next_second(at);
	int64		since = one->is_pass ? now : 0;
	int64		held = Max(load(one, account), since);
	int64		room = DatumGetBool(item->values[ITM_ACTIVE]) ?
	most_of(one, item, now) - (held - since) : 0;

	one->delta = Min(one->amount, Max(room, 0));
	one->balance = held + one->delta;
}

/* Used up, or sent to another user. */
static const char *
take(EcoHolding *one, const EcoAccount *account, const EcoRow *item, EcoDetail *detail)
{
	int64		held = load(one, account);
	const char *refusal = check_kind(one, item);

	one->delta = -one->amount;
	one->balance = held - one->amount;
	if (refusal == NULL && one->balance >= 0)
		return NULL;
	detail_item(detail, one);
	if (refusal != NULL)
		return refusal;
	eco_detail_int(detail, "held", held);
	eco_detail_int(detail, "needed", one->amount);
	return "INSUFFICIENT_ITEMS";
}

static const char *
get_back(EcoHolding *one, const EcoAccount *account, EcoDetail *detail)
{
	int64		most = is_freeze(&one->item_id) ? PG_INT32_MAX : ECO_HELD_MOST;
	int64		held;

	one->is_pass = false;
	held = load(one, account);
	one->delta = one->amount;
	one->balance = held + one->amount;
	if (one->balance <= most)
		return NULL;
	detail_item(detail, one);
	eco_detail_int(detail, "held", held);
	eco_detail_int(detail, "at_most", most);
	return "ITEM_LIMIT";
}

/* Whether it is consumable or not: what was given by mistake, say. */
static const char *
take_back(EcoHolding *one, const EcoAccount *account, TimestampTz at, EcoDetail *detail)
{
	int64		held = load(one, account);
	int64		there = one->is_pass ? Max(held - next_second(at), 0) : held;
	int64		taken = Min(one->amount, there);

	one->delta = -taken;
	one->balance = held - taken;
	if (taken == one->amount || one->use == ECO_HOLDING_TAKE_REST)
		return NULL;
	detail_item(detail, one);
	eco_detail_int(detail, "held", there);
	eco_detail_int(detail, "needed", one->amount);
	return "INSUFFICIENT_ITEMS";
}

static const char *
apply(EcoHolding *one, const EcoAccount *account, const EcoRow *item, TimestampTz at,
	  EcoDetail *detail)
{
	switch (one->use)
	{
		case ECO_HOLDING_GIVE:
		case ECO_HOLDING_RECEIVE:
			return give(one, account, item, at, detail);
		case ECO_HOLDING_GIVE_SOME:
			give_some(one, account, item, at);
			return NULL;
		case ECO_HOLDING_USE_UP:
		case ECO_HOLDING_SEND:
			return take(one, account, item, detail);
		case ECO_HOLDING_GET_BACK:
			return get_back(one, account, detail);
		case ECO_HOLDING_TAKE_BACK:
		case ECO_HOLDING_TAKE_REST:
			break;
	}
	return take_back(one, account, at, detail);
}

static void
built_in(EcoRow *item)
{
	static const char nothing[] = "{}";
	Datum		object = DirectFunctionCall1(jsonb_in, CStringGetDatum(nothing));

	eco_row_init(item, &eco_items);
	eco_row_set(item, ITM_ID, CStringGetTextDatum(ECO_ITEM_STREAK_FREEZE));
	eco_row_set(item, ITM_KIND, CStringGetTextDatum("stack"));
	eco_row_set(item, ITM_CONSUMABLE, BoolGetDatum(true));
	eco_row_set(item, ITM_TRADABLE, BoolGetDatum(false));
	eco_row_set(item, ITM_ACTIVE, BoolGetDatum(true));
	eco_row_set(item, ITM_TEXTS, object);
	eco_row_set(item, ITM_EXTRA, object);
}

/* Objects of an older release have no items, but users with freezes. */
bool
eco_item_find(const EcoText *item_id, EcoRow *item)
{
	if (eco_table_is_open(&eco_items) &&
		eco_row_find(&eco_items, 0, 0, 1, &item_id->datum, item))
		return true;
	if (!is_freeze(item_id))
		return false;
	built_in(item);
	return true;
}

int64
eco_holdings_most_freezes(void)
{
	EcoText		id = eco_text_of(ECO_ITEM_STREAK_FREEZE);
	EcoRow		item;

	(void) eco_item_find(&id, &item);
	return most_freezes(&item);
}

static bool
find_item(EcoHolding *one, EcoRow *item)
{
	if (!eco_item_find(&one->item_id, item))
		return false;
	one->is_pass = VARDATA_ANY(DatumGetTextPP(item->values[ITM_KIND]))[0] == 'p';
	return true;
}

const char *
eco_holdings_refusal(EcoHoldings *all, const EcoAccount *account, EcoDetail *detail)
{
	all->at = eco_now();
	for (int i = 0; i < all->n; i++)
	{
		EcoHolding *one = &all->of[i];
		const char *refusal;
		EcoRow		item;

		one->delta = 0;
		if (one->use != ECO_HOLDING_GET_BACK && !find_item(one, &item))
		{
			if (one->use == ECO_HOLDING_GIVE_SOME)
				continue;
			detail_item(detail, one);
			return "ITEM_NOT_FOUND";
		}
		refusal = apply(one, account, &item, all->at, detail);
		if (refusal != NULL)
			return refusal;
	}
	return NULL;
}

/* What an entry carries */

static void
push_key(JsonbParseState **state, const char *key)
{
	JsonbValue	value = {.type = jbvString};

	value.val.string.val = unconstify(char *, key);
	value.val.string.len = (int) strlen(key);
	(void) pushJsonbValue(state, WJB_KEY, &value);
}

static void
push_int(JsonbParseState **state, const char *key, int64 number)
{
	JsonbValue	value = {.type = jbvNumeric};

	push_key(state, key);
	value.val.numeric = int64_to_numeric(number);
	(void) pushJsonbValue(state, WJB_VALUE, &value);
}

Datum
eco_holdings_json(const EcoHoldings *all)
{
	JsonbParseState *state = NULL;
	JsonbValue *result;

	for (int i = 0; i < all->n; i++)
	{
		const EcoHolding *one = &all->of[i];
		JsonbValue	id = {.type = jbvString};

		if (one->delta == 0)
			continue;
		if (state == NULL)
			(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
		id.val.string.val = unconstify(char *, one->item_id.data);
		id.val.string.len = one->item_id.len;
		(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		push_key(&state, ITEM);
		(void) pushJsonbValue(&state, WJB_VALUE, &id);
		push_int(&state, DELTA, one->delta);
		push_int(&state, BALANCE, one->balance);
		(void) pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	if (state == NULL)
		return (Datum) 0;
	result = pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	return JsonbPGetDatum(JsonbValueToJsonb(result));
}

void
eco_holdings_detail(EcoDetail *detail, const char *key, const EcoHoldings *all)
{
	if (all->n == 0)
		return;
	eco_detail_open_object(detail, key, (int) strlen(key));
	for (int i = 0; i < all->n; i++)
		eco_detail_int(detail, pnstrdup(all->of[i].item_id.data, all->of[i].item_id.len),
					   all->of[i].amount);
	eco_detail_close_object(detail);
}

void
eco_holdings_detail_rest(EcoDetail *detail, const char *key, const EcoHoldings *all)
{
	EcoHoldings rest = {.n = 0};

	for (int i = 0; i < all->n; i++)
	{
		EcoHolding *one = &rest.of[rest.n];

		one->item_id = all->of[i].item_id;
		one->amount = all->of[i].amount - Abs(all->of[i].delta);
		rest.n += one->amount > 0;
	}
	eco_holdings_detail(detail, key, &rest);
}

/* The item of that number in an entry, and what was added; false: it is damaged. */
static bool
carried_one(JsonbContainer *carried, uint32 number, JsonbValue *id, JsonbValue *delta)
{
	JsonbValue *element = getIthJsonbValueFromContainer(carried, number);

	return element->type == jbvBinary && JsonContainerIsObject(element->val.binary.data) &&
		getKeyJsonValueFromContainer(element->val.binary.data, ITEM, strlen(ITEM), id) != NULL &&
		getKeyJsonValueFromContainer(element->val.binary.data, DELTA, strlen(DELTA),
									 delta) != NULL &&
		id->type == jbvString && delta->type == jbvNumeric;
}

static bool
same_one(const EcoHolding *one, JsonbContainer *carried, uint32 number)
{
	int			sign = one->use == ECO_HOLDING_GIVE ? 1 : -1;
	JsonbValue	id;
	JsonbValue	delta;

	if (!carried_one(carried, number, &id, &delta))
		return false;
	return id.val.string.len == one->item_id.len &&
		memcmp(id.val.string.val, one->item_id.data, one->item_id.len) == 0 &&
		DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(delta.val.numeric),
										 NumericGetDatum(int64_to_numeric(sign * one->amount))));
}

bool
eco_holdings_same(const EcoHoldings *all, Datum carried)
{
	Jsonb	   *array = carried == (Datum) 0 ? NULL : DatumGetJsonbP(carried);

	if (array == NULL)
		return all->n == 0;
	if (!JB_ROOT_IS_ARRAY(array) || JB_ROOT_COUNT(array) != (uint32) all->n)
		return false;
	/* both are in the order of an object's members */
	for (int i = 0; i < all->n; i++)
		if (!same_one(&all->of[i], &array->root, i))
			return false;
	return true;
}

bool
eco_holdings_give(Datum carried)
{
	Jsonb	   *array = carried == (Datum) 0 ? NULL : DatumGetJsonbP(carried);
	Datum		nothing = NumericGetDatum(int64_to_numeric(0));
	JsonbValue	id;
	JsonbValue	delta;

	for (uint32 i = 0; array != NULL && JB_ROOT_IS_ARRAY(array) && i < JB_ROOT_COUNT(array); i++)
		if (carried_one(&array->root, i, &id, &delta) &&
			DatumGetBool(DirectFunctionCall2(numeric_gt, NumericGetDatum(delta.val.numeric),
											 nothing)))
			return true;
	return false;
}

EcoHolding *
eco_holdings_find(EcoHoldings *all, const EcoText *item_id)
{
	for (int i = 0; i < all->n; i++)
		if (all->of[i].item_id.len == item_id->len &&
			memcmp(all->of[i].item_id.data, item_id->data, item_id->len) == 0)
			return &all->of[i];
	return NULL;
}

/* An item and what was added of it, of an entry that is sound. */
static EcoText
carried_item(JsonbContainer *carried, uint32 number, int64 *delta)
{
	JsonbValue	id;
	JsonbValue	added;

	if (!carried_one(carried, number, &id, &added))
		ECO_ERROR(ECO_LEDGER_DAMAGED, errmsg("an entry has damaged items"));
	*delta = DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(added.val.numeric)));
	return text_of_json(&id);
}

/* What was added with that sign. */
static void
moved_by(Datum carried, int sign, EcoHoldingUse use, EcoHoldings *all)
{
	Jsonb	   *array = carried == (Datum) 0 ? NULL : DatumGetJsonbP(carried);

	all->n = 0;
	if (array == NULL)
		return;
	if (!JB_ROOT_IS_ARRAY(array) || JB_ROOT_COUNT(array) > ECO_MAX_HOLDINGS)
		ECO_ERROR(ECO_LEDGER_DAMAGED, errmsg("an entry has damaged items"));
	for (uint32 i = 0; i < JB_ROOT_COUNT(array); i++)
	{
		EcoHolding *one = &all->of[all->n];
		int64		delta;

		one->item_id = carried_item(&array->root, i, &delta);
		one->amount = sign * delta;
		one->use = use;
		all->n += one->amount > 0;
	}
}

void
eco_holdings_given_by(Datum carried, EcoHoldings *all)
{
	moved_by(carried, 1, ECO_HOLDING_TAKE_BACK, all);
}

void
eco_holdings_taken_by(Datum carried, EcoHoldingUse use, EcoHoldings *all)
{
	moved_by(carried, -1, use, all);
}

void
eco_holdings_less(EcoHoldings *all, Datum carried)
{
	Jsonb	   *array = DatumGetJsonbP(carried);

	for (uint32 i = 0; JB_ROOT_IS_ARRAY(array) && i < JB_ROOT_COUNT(array); i++)
	{
		int64		delta;
		EcoText		id = carried_item(&array->root, i, &delta);
		EcoHolding *one = eco_holdings_find(all, &id);

		if (one != NULL)
			one->amount = Max(one->amount + Min(delta, 0), 0);
	}
}

/* Where they stand */

/* The account with the holding, or without it and with the note that there are rows. */
static bool
pack(const EcoHolding *one, EcoAccount *account, bool in_row)
{
	uint8		payload[ECO_HELD_ROOM + 1 + ECO_HELD_MAX];
	EcoHeld		held = {
		.id = one->item_id.data, .len = one->item_id.len,
		.is_pass = one->is_pass, .balance = in_row ? 0 : one->balance
	};
	EcoSection	section;
	EcoReader	reader;
	bool		more;

	(void) eco_account_section(account, ECO_SECTION_HOLDINGS, &section);
	eco_held_read(&reader, &section, &more);
	section.len = reader.damaged ? 0 :
		eco_held_put(&section, more || in_row, &held, payload);
	if (section.len == 0)
		damaged(account);
	if (section.len > ECO_HELD_ROOM)
		return false;
	/* who holds nothing has no section */
	if (section.len == 1 && payload[0] == 0)
		section.len = 0;
	section.version = ECO_HELD_VERSION;
	section.data = payload;
	eco_account_set_section(account, ECO_SECTION_HOLDINGS, &section);
	return true;
}

void
eco_holdings_save(EcoHoldings *all, EcoAccount *account)
{
	for (int i = 0; i < all->n; i++)
	{
		EcoHolding *one = &all->of[i];

		if (one->delta != 0 && is_freeze(&one->item_id))
		{
			account->freezes = (int32) one->balance;
			continue;
		}
		if (one->delta == 0 || one->has_row || pack(one, account, false))
			continue;
		(void) pack(one, account, true);
		one->has_row = true;
	}
}

bool
eco_holdings_write(EcoHoldings *all, int64 user_id)
{
	bool		written = false;

	for (int i = 0; i < all->n; i++)
	{
		EcoHolding *one = &all->of[i];
		EcoRow	   *row = &one->row;

		if (one->delta == 0 || !one->has_row)
			continue;
		if (!one->row_stored)
		{
			eco_row_init(row, &eco_user_holdings_more);
			eco_row_set(row, HLD_USER_ID, Int64GetDatum(user_id));
			eco_row_set(row, HLD_ITEM_ID, one->item_id.datum);
		}
		eco_row_set(row, HLD_BALANCE, Int64GetDatum(one->balance));
		eco_row_set(row, HLD_IS_PASS, BoolGetDatum(one->is_pass));
		ECO_CRASH_POINT("holdings:before_row");
		if (one->row_stored)
			eco_row_update(row, user_id);
		else
			eco_row_insert(row, user_id);
		ECO_CRASH_POINT("holdings:after_row");
		written = true;
	}
	return written;
}

/* All of them */

static void
see(const EcoText *item_id, int64 balance, bool is_pass, EcoHoldingSeen seen, void *state)
{
	if (balance > 0 && !(is_pass && balance <= last_second(eco_now())))
		seen(state, item_id, balance, is_pass);
}

static void
each_row(const EcoAccount *account, EcoHoldingSeen seen, void *state)
{
	Datum		key = Int64GetDatum(account->user_id);
	EcoScan    *scan = eco_scan_begin(&eco_user_holdings_more, account->user_id, 0, 1, &key);
	EcoRow		row;

	while (eco_scan_next(scan, &row))
	{
		EcoText		item_id = eco_text_in(row.values[HLD_ITEM_ID]);

		CHECK_FOR_INTERRUPTS();
		see(&item_id, eco_row_int(&row, HLD_BALANCE), DatumGetBool(row.values[HLD_IS_PASS]),
			seen, state);
	}
	eco_scan_end(scan);
}

void
eco_holdings_each(const EcoAccount *account, EcoHoldingSeen seen, void *state)
{
	EcoText		freeze = eco_text_of(ECO_ITEM_STREAK_FREEZE);
	EcoHeld		held = {.id = ""};
	EcoSection	section;
	EcoReader	reader;
	bool		more;

	(void) eco_account_section(account, ECO_SECTION_HOLDINGS, &section);
	eco_held_read(&reader, &section, &more);
	while (eco_held_next(&reader, &held))
	{
		text	   *id = cstring_to_text_with_len(held.id, held.len);
		EcoText		item_id = eco_text_in(PointerGetDatum(id));

		see(&item_id, held.balance, held.is_pass, seen, state);
	}
	if (reader.damaged)
		damaged(account);
	if (more)
		each_row(account, seen, state);
	see(&freeze, account->freezes, false, seen, state);
}
