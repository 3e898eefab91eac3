/*
 * draw_table.c
 *		Reads the definition of a draw table, and everything that is wrong with one.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "errors.h"
#include "event/event.h"
#include "hold/draw_table.h"

#define MAX_DIGITS	16
#define MAX_SIDES	1000000
#define MAX_STOPS	256
#define MAX_DRAWN	100			/* dice, or cards */

/*
 * What an event of a draw has room for beside its key, the table (twice), the client seed,
 * all of characters that JSON writes as six, and its other members.
 */
#define ROOM		(ECO_EVENT_MAX - 6 * (ECO_MAX_KEY + 2 * ECO_MAX_NAME + ECO_CLIENT_SEED) - 1800)
#define ITEM_ROOM	72			/* of an item without its name */
#define ENTRY_ROOM	80			/* of an entry that was drawn, without names */

#define WRONG(table, ...) \
	ECO_ERROR((table)->code, errmsg("a draw table is not valid"), errdetail(__VA_ARGS__))

/* JSON */

static bool
get(JsonbContainer *object, const char *key, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(object, key, (int) strlen(key), value) != NULL;
}

/* A container of that kind within it; NULL: there is no such key. */
static JsonbContainer *
get_inner(const EcoDrawTable *table, JsonbContainer *object, const char *key, bool array)
{
	JsonbValue	value;

	if (!get(object, key, &value))
		return NULL;
	if (value.type != jbvBinary || (array ? !JsonContainerIsArray(value.val.binary.data) :
									!JsonContainerIsObject(value.val.binary.data)))
		WRONG(table, "\"%s\" must be %s.", key, array ? "an array" : "an object");
	return value.val.binary.data;
}

/* A whole number; one that is not given is the least. */
static int64
get_number(const EcoDrawTable *table, JsonbContainer *object, const char *key,
		   int64 least, int64 most)
{
	JsonbValue	value;
	const char *digits = "";
	size_t		len;
	int64		number = -1;

	if (!get(object, key, &value))
		return least;
	if (value.type == jbvNumeric)
		digits = DatumGetCString(DirectFunctionCall1(numeric_out,
													 NumericGetDatum(value.val.numeric)));
	len = strlen(digits);
	if (len > 0 && len <= MAX_DIGITS && strspn(digits, "0123456789") == len)
		number = strtoll(digits, NULL, 10);
	if (number < least || number > most)
		WRONG(table, "\"%s\" must be a whole number from %lld to %lld.", key,
			  (long long) least, (long long) most);
	return number;
}

static EcoText
get_text(const EcoDrawTable *table, JsonbContainer *object, const char *key)
{
	JsonbValue	value;
	EcoText		result = {.data = ""};

	if (!get(object, key, &value))
		return result;
	if (value.type != jbvString || value.val.string.len == 0 ||
		value.val.string.len > ECO_MAX_NAME)
		WRONG(table, "\"%s\" must be a text of 1 to %d bytes.", key, ECO_MAX_NAME);
	result.data = value.val.string.val;
	result.len = value.val.string.len;
	return result;
}

/* Only these keys, up to NULL. */
static void
check_keys(const EcoDrawTable *table, JsonbContainer *object, const char *const *keys)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (table->is_published)
		return;
	it = JsonbIteratorInit(object);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		bool		known = token != WJB_KEY;

		for (int i = 0; !known && keys[i] != NULL; i++)
			known = value.val.string.len == (int) strlen(keys[i]) &&
				memcmp(value.val.string.val, keys[i], value.val.string.len) == 0;
		if (!known)
			WRONG(table, "\"%.*s\" is nothing that it can have.", value.val.string.len,
				  value.val.string.val);
	}
}

static bool
same_text(const EcoText *a, const EcoText *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/* Bytes of a text in JSON. */
static int
json_length(const char *text, int len)
{
	int			bytes = 4;		/* quotes, a comma and a blank */

	for (int i = 0; i < len; i++)
		bytes += (unsigned char) text[i] < ' ' ? 6 : text[i] == '"' || text[i] == '\\' ? 2 : 1;

	return bytes;
}

static int
items_length(JsonbContainer *items)
{
	EcoHoldings all;
	int			bytes = 0;

	if (items == NULL)
		return 0;
	eco_holdings_in(items, "items", ECO_HOLDING_GIVE, &all);
	for (int i = 0; i < all.n; i++)
		bytes += ITEM_ROOM + json_length(all.of[i].item_id.data, all.of[i].item_id.len);
	return bytes;
}

/* The longest that an event tells of an entry, and of what is given in its place. */
static int
entry_length(const EcoDrawTable *table, const EcoDrawEntry *entry)
{
	const EcoDrawEntry *other = entry->limit == 0 ? entry :
	&table->entries[eco_draw_instead(table, (int) (entry - table->entries))];

	return ENTRY_ROOM + json_length(entry->id.data, entry->id.len) +
		json_length(entry->class.data, entry->class.len) +
		json_length(entry->other.data, entry->other.len) +
		Max(items_length(entry->items), items_length(other->items));
}

/* Whether the events of its draws can be told. */
static void
check_room(const EcoDrawTable *table)
{
	int			price = items_length(table->price_items);
	int			longest = 0;

	for (int i = 0; i < table->n; i++)
		longest = Max(longest, entry_length(table, &table->entries[i]));
	if (table->kind == ECO_DRAW_REEL)
		for (int i = 0; i < table->count; i++)
		{
			int			symbol = 0;

			for (int k = 0; k < table->stops[i]; k++)
			{
				JsonbValue *value = getIthJsonbValueFromContainer(table->symbols[i], k);

				symbol = Max(symbol, json_length(value->val.string.val, value->val.string.len));
			}
			longest += symbol;
		}
	if (price + longest > ROOM)
		WRONG(table, "Names of items, entries and symbols are too long together for an event.");
}

/* Entries */

/* Items that an entry of a journal has room for, beside others. */
static JsonbContainer *
get_items(const EcoDrawTable *table, JsonbContainer *object, int others)
{
	JsonbContainer *items = get_inner(table, object, "items", false);
	EcoHoldings all;

	if (items == NULL || table->is_published)
		return items;
	eco_holdings_in(items, "items", ECO_HOLDING_GIVE, &all);
	if (all.n + others > ECO_MAX_HOLDINGS)
		WRONG(table, "Price and prize have more than %d items.", ECO_MAX_HOLDINGS);
	return all.n > 0 ? items : NULL;
}

static void
read_entry(EcoDrawTable *table, JsonbContainer *object, int price_items)
{
	static const char *const keys[] = {
		"entry", "weight", "class", "gold", "xp", "items", "limit", "else", NULL
	};
	EcoDrawEntry *entry = &table->entries[table->n];
	int64		weight = get_number(table, object, "weight", 0, ECO_DRAW_MOST);

	check_keys(table, object, keys);
	entry->id = get_text(table, object, "entry");
	entry->class = get_text(table, object, "class");
	entry->gold = get_number(table, object, "gold", 0, ECO_MAX_AMOUNT);
	entry->xp = get_number(table, object, "xp", 0, ECO_MAX_AMOUNT);
	entry->items = get_items(table, object, price_items);
	entry->limit = get_number(table, object, "limit", 0, ECO_MAX_AMOUNT);
	entry->other = get_text(table, object, "else");
	if (entry->id.len == 0)
		WRONG(table, "An entry has no name, \"entry\".");
	if (weight == 0)
		WRONG(table, "The weight of \"%.*s\" must be 1 or more.", entry->id.len, entry->id.data);
	if (weight > ECO_DRAW_MOST - table->sum)
		WRONG(table, "The weights are more than 2^53 together.");
	table->weights[table->n] = weight;
	table->sum += weight;
	table->most_gold = Max(table->most_gold, entry->gold);
	table->most_xp = Max(table->most_xp, entry->xp);
	table->n++;
}

static int
compare_ids(const void *a, const void *b)
{
	const EcoText *one = *(const EcoText *const *) a;
	const EcoText *other = *(const EcoText *const *) b;
	int			result = memcmp(one->data, other->data, Min(one->len, other->len));

	return result != 0 ? result : one->len - other->len;
}

/* What is given beyond its limit is what has none: of that there is always some. */
static void
check_limit(const EcoDrawTable *table, const EcoDrawEntry *entry, const EcoText **ids)
{
	const EcoText *other = &entry->other;
	const EcoText **found;

	if (entry->limit == 0 && other->len == 0)
		return;
	if (entry->limit == 0 || other->len == 0)
		WRONG(table, "\"%.*s\" must have a \"limit\" of 1 or more and an \"else\", or neither.",
			  entry->id.len, entry->id.data);
	found = bsearch(&other, ids, table->n, sizeof(EcoText *), compare_ids);
	StaticAssertStmt(offsetof(EcoDrawEntry, id) == 0, "its name leads an entry");
	if (found == NULL || ((const EcoDrawEntry *) *found)->limit > 0)
		WRONG(table, "\"else\" of \"%.*s\" must name an entry without a limit.",
			  entry->id.len, entry->id.data);
}

static void
check_entries(const EcoDrawTable *table)
{
	const EcoText **ids = palloc(sizeof(EcoText *) * table->n);

	for (int i = 0; i < table->n; i++)
		ids[i] = &table->entries[i].id;
	qsort(ids, table->n, sizeof(EcoText *), compare_ids);
	for (int i = 1; i < table->n; i++)
		if (same_text(ids[i - 1], ids[i]))
			WRONG(table, "Two entries are called \"%.*s\".", ids[i]->len, ids[i]->data);
	for (int i = 0; i < table->n; i++)
		check_limit(table, &table->entries[i], ids);
	pfree(ids);
}

int
eco_draw_instead(const EcoDrawTable *table, int entry)
{
	const EcoText *other = &table->entries[entry].other;
	int			i = 0;

	while (i < table->n && !same_text(&table->entries[i].id, other))
		i++;
	if (i == table->n || table->entries[i].limit > 0)
		WRONG(table, "Nothing is given beyond the limit of \"%.*s\".",
			  table->entries[entry].id.len, table->entries[entry].id.data);
	return i;
}

static void
read_entries(EcoDrawTable *table, JsonbContainer *array, int price_items)
{
	int			n = JsonContainerSize(array);

	if (n == 0 || n > ECO_DRAW_ENTRIES)
		WRONG(table, "\"entries\" must have 1 to %d of them.", ECO_DRAW_ENTRIES);
	table->entries = palloc0(sizeof(EcoDrawEntry) * n);
	table->weights = palloc0(sizeof(int64) * n);
	table->rare = palloc0(sizeof(int64) * n);
	for (int i = 0; i < n; i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(array, i);

		if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
			WRONG(table, "An entry must be an object.");
		read_entry(table, value->val.binary.data, price_items);
	}
	if (!table->is_published)
		check_entries(table);
}

static void
read_pity(EcoDrawTable *table, JsonbContainer *object)
{
	static const char *const keys[] = {"class", "after", NULL};

	if (object == NULL)
		return;
	if (table->kind != ECO_DRAW_BY_WEIGHT)
		WRONG(table, "Only \"entries\" have a \"pity\".");
	check_keys(table, object, keys);
	table->pity = get_text(table, object, "class");
	table->pity_after = get_number(table, object, "after", 0, ECO_MAX_AMOUNT);
	if (table->pity.len == 0 || table->pity_after == 0)
		WRONG(table, "\"pity\" needs a \"class\", and \"after\" how many draws without it.");
	for (int i = 0; i < table->n; i++)
		if (same_text(&table->entries[i].class, &table->pity))
		{
			table->rare[i] = table->weights[i];
			table->rare_sum += table->weights[i];
		}
	if (table->rare_sum == 0)
		WRONG(table, "No entry is of the class \"%.*s\", which \"pity\" gives.",
			  table->pity.len, table->pity.data);
}

/* Others */

static void
read_reels(EcoDrawTable *table, JsonbContainer *array)
{
	table->count = JsonContainerSize(array);
	if (table->count == 0 || table->count > ECO_DRAW_REELS)
		WRONG(table, "\"reels\" must have 1 to %d of them.", ECO_DRAW_REELS);
	for (int i = 0; i < table->count; i++)
	{
		JsonbValue *reel = getIthJsonbValueFromContainer(array, i);

		if (reel->type != jbvBinary || !JsonContainerIsArray(reel->val.binary.data))
			WRONG(table, "A reel must be an array of texts.");
		table->symbols[i] = reel->val.binary.data;
		table->stops[i] = JsonContainerSize(table->symbols[i]);
		if (table->stops[i] == 0 || table->stops[i] > MAX_STOPS)
			WRONG(table, "A reel must have 1 to %d symbols.", MAX_STOPS);
		for (int k = 0; k < table->stops[i]; k++)
		{
			JsonbValue *symbol = getIthJsonbValueFromContainer(table->symbols[i], k);

			if (symbol->type != jbvString || symbol->val.string.len > ECO_MAX_NAME)
				WRONG(table, "A symbol must be a text of at most %d bytes.", ECO_MAX_NAME);
		}
	}
}

static void
read_numbers(EcoDrawTable *table, JsonbContainer *object)
{
	static const char *const of_dice[] = {"count", "sides", NULL};
	static const char *const of_sample[] = {"count", "of", NULL};
	static const char *const of_crash[] = {"edge", NULL};
	static const char *const of_hand[] = {NULL};

	switch (table->kind)
	{
		case ECO_DRAW_DICE:
			check_keys(table, object, of_dice);
			table->count = (int) get_number(table, object, "count", 1, MAX_DRAWN);
			table->of = (int) get_number(table, object, "sides", 2, MAX_SIDES);
			break;
		case ECO_DRAW_SOME:
			check_keys(table, object, of_sample);
			table->of = (int) get_number(table, object, "of", 1, ECO_DRAW_NUMBERS);
			table->count = (int) get_number(table, object, "count", 1, Min(table->of, MAX_DRAWN));
			break;
		case ECO_DRAW_CRASH:
			check_keys(table, object, of_crash);
			table->edge = (int) get_number(table, object, "edge", 0, ECO_CRASH_EDGE - 1);
			break;
		default:
			check_keys(table, object, of_hand);
	}
}

/* Items of the price; returns their number. */
static int
read_price(EcoDrawTable *table, JsonbContainer *object)
{
	static const char *const keys[] = {"gold", "items", NULL};
	EcoHoldings all;

	if (object == NULL)
		return 0;
	check_keys(table, object, keys);
	table->price_gold = get_number(table, object, "gold", 0, ECO_MAX_AMOUNT);
	table->price_items = get_items(table, object, 0);
	if (table->price_items == NULL || table->is_published)
		return 0;
	eco_holdings_in(table->price_items, "items", ECO_HOLDING_USE_UP, &all);
	return all.n;
}

void
eco_draw_table_read(Jsonb *definition, bool is_published, EcoDrawTable *table)
{
	static const char *const keys[] = {
		"entries", "dice", "reels", "sample", "crash", "hand", "price", "pity", NULL
	};
	JsonbContainer *root = &definition->root;
	int			price_items;

	memset(table, 0, sizeof(*table));
	table->code = is_published ? ECO_LEDGER_DAMAGED : ECO_INVALID_ARGUMENT;
	table->is_published = is_published;
	if (!JB_ROOT_IS_OBJECT(definition))
		WRONG(table, "It must be a JSON object.");
	check_keys(table, root, keys);
	price_items = read_price(table, get_inner(table, root, "price", false));
	for (int kind = ECO_DRAW_BY_WEIGHT; kind <= ECO_DRAW_HAND; kind++)
	{
		bool		is_array = kind == ECO_DRAW_BY_WEIGHT || kind == ECO_DRAW_REEL;
		JsonbContainer *inner = get_inner(table, root, keys[kind - 1], is_array);

		if (inner == NULL)
			continue;
		if (table->kind != ECO_DRAW_NOTHING)
			WRONG(table, "It has \"%s\" and \"%s\".", keys[table->kind - 1], keys[kind - 1]);
		table->kind = kind;
		if (kind == ECO_DRAW_BY_WEIGHT)
			read_entries(table, inner, price_items);
		else if (kind == ECO_DRAW_REEL)
			read_reels(table, inner);
		else
			read_numbers(table, inner);
	}
	if (table->kind == ECO_DRAW_NOTHING)
		WRONG(table, "It needs entries, dice, reels, a sample, crash or hand.");
	read_pity(table, get_inner(table, root, "pity", false));
	if (!table->is_published)
		check_room(table);
}
