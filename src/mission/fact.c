/*
 * fact.c
 *		What a mission can ask of an entry: event.*, user.* and time.*.
 *
 * A journal is known by its letter, and its columns by their names: no domain is.
 */
#include "postgres.h"

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "ledger/entry.h"
#include "mission/fact.h"

#define DETAILS "event.details"
#define MONDAY	2				/* 2000-01-03 is one */

static const EcoTrigger triggers[] = {
	{"purchase", 'P'}, {"action", 'A'}, {"reward", 'R'}, {"entry", 0}
};

typedef struct Path
{
	char		letter;			/* of the journal that has it; 0: all have */
	const char *path;
	EcoFactSource source;
	const char *column;
} Path;

static const Path paths[] = {
	{0, "event.gold_delta", ECO_FACT_COLUMN, "gold_delta"},
	{0, "event.xp_delta", ECO_FACT_COLUMN, "xp_delta"},
	{0, "event.gold_spent", ECO_FACT_SPENT, "gold_delta"},
	{0, "event.gold_gained", ECO_FACT_GAINED, "gold_delta"},
	{0, "user.gold", ECO_FACT_COLUMN, "gold"},
	{0, "user.xp", ECO_FACT_COLUMN, "experience_points"},
	{0, "time.hour", ECO_FACT_HOUR, "created_at"},
	{0, "time.weekday", ECO_FACT_WEEKDAY, "created_at"},
	{'P', "event.product", ECO_FACT_COLUMN, "product_id"},
	{'P', "event.category", ECO_FACT_COLUMN, "category"},
	{'P', "event.quantity", ECO_FACT_COLUMN, "quantity"},
	{'P', "event.effect_code", ECO_FACT_COLUMN, "effect_code"},
	{'P', DETAILS, ECO_FACT_COLUMN, "context"},
	{'A', "event.game", ECO_FACT_COLUMN, "game"},
	{'A', "event.action_type", ECO_FACT_COLUMN, "action_type"},
	{'A', "event.outcome", ECO_FACT_COLUMN, "outcome"},
	{'A', "event.bet", ECO_FACT_COLUMN, "bet"},
	{'A', "event.win", ECO_FACT_COLUMN, "win"},
	{'A', DETAILS, ECO_FACT_COLUMN, "details"},
	{'R', "event.source", ECO_FACT_COLUMN, "source"},
	{'R', "event.streak_day", ECO_FACT_COLUMN, "streak_day"},
	{'R', DETAILS, ECO_FACT_COLUMN, "details"},
};

const EcoTrigger *
eco_trigger_of(const char *word, int len)
{
	for (int i = 0; i < (int) lengthof(triggers); i++)
		if ((int) strlen(triggers[i].word) == len && memcmp(word, triggers[i].word, len) == 0)
			return &triggers[i];
	return NULL;
}

int
eco_column_named(const EcoTable *table, const char *name)
{
	for (int i = 0; i < table->ncolumns; i++)
		if (strcmp(table->columns[i].name, name) == 0)
			return i;
	return -1;
}

/* The keys behind event.details; false: one has no byte, or they are too many. */
static bool
split_keys(const char *at, const char *end, EcoFact *fact)
{
	while (at < end)
	{
		const char *name = ++at;	/* behind the dot */

		while (at < end && *at != '.')
			at++;
		if (at == name || fact->nkeys == ECO_FACT_KEYS)
			return false;
		fact->keys[fact->nkeys].name = name;
		fact->keys[fact->nkeys++].len = (int) (at - name);
	}
	return fact->nkeys > 0;
}

static EcoFactKind
kind_of(Oid type)
{
	switch (type)
	{
		case TEXTOID:
			return ECO_FACT_TEXT;
		case JSONBOID:
			return ECO_FACT_JSON;
		default:
			return ECO_FACT_INT;
	}
}

/* An entry of any journal has the columns of the header. */
static const EcoTable *
table_of(const EcoTrigger *trigger)
{
	return trigger->letter != 0 ? eco_journal_of(trigger->letter)->table :
		eco_journal_get(0)->table;
}

bool
eco_fact_of(const EcoTrigger *trigger, const char *path, int len, EcoFact *fact)
{
	const EcoTable *table = table_of(trigger);

	for (int i = 0; i < (int) lengthof(paths); i++)
	{
		const Path *p = &paths[i];
		int			p_len = (int) strlen(p->path);

		if ((p->letter != 0 && p->letter != trigger->letter) || len < p_len ||
			memcmp(p->path, path, p_len) != 0)
			continue;
		memset(fact, 0, sizeof(*fact));
		fact->source = p->source;
		fact->column = eco_column_named(table, p->column);
		fact->type = table->columns[fact->column].type;
		fact->kind = kind_of(fact->type);
		if (fact->kind != ECO_FACT_JSON && len == p_len)
			return true;
		if (fact->kind == ECO_FACT_JSON && len > p_len && path[p_len] == '.')
			return split_keys(path + p_len, path + len, fact);
	}
	return false;
}

char *
eco_fact_paths(const EcoTrigger *trigger)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < (int) lengthof(paths); i++)
		if (paths[i].letter == 0 || paths[i].letter == trigger->letter)
			appendStringInfo(&names, "%s%s%s", names.len > 0 ? ", " : "", paths[i].path,
							 strcmp(paths[i].path, DETAILS) == 0 ? ".<key>" : "");
	return names.data;
}

static void
read_json(const EcoFact *fact, Datum datum, EcoValue *value)
{
	JsonbContainer *at = &DatumGetJsonbP(datum)->root;
	JsonbValue	found;

	for (int i = 0; i < fact->nkeys; i++)
	{
		if (at == NULL || !JsonContainerIsObject(at) ||
			getKeyJsonValueFromContainer(at, fact->keys[i].name, fact->keys[i].len,
										 &found) == NULL)
			return;
		at = found.type == jbvBinary ? found.val.binary.data : NULL;
	}
	switch (found.type)
	{
		case jbvNull:
			break;
		case jbvString:
			value->kind = ECO_VALUE_TEXT;
			value->text = found.val.string.val;
			value->len = found.val.string.len;
			break;
		case jbvNumeric:
			value->kind = ECO_VALUE_NUMERIC;
			value->numeric = found.val.numeric;
			break;
		case jbvBool:
			value->kind = ECO_VALUE_BOOL;
			value->number = found.val.boolean;
			break;
		default:
			value->kind = ECO_VALUE_OTHER;
	}
}

static int64
floor_div(int64 a, int64 b)
{
	return a / b - (a % b < 0);
}

static int64
whole_number(const EcoFact *fact, Datum datum)
{
	int64		number = fact->type == INT4OID ? DatumGetInt32(datum) : DatumGetInt64(datum);
	int64		day;

	switch (fact->source)
	{
		case ECO_FACT_SPENT:
			return number < 0 ? -number : 0;
		case ECO_FACT_GAINED:
			return Max(number, 0);
		case ECO_FACT_HOUR:
			return floor_div(number, USECS_PER_HOUR) - floor_div(number, USECS_PER_DAY) * 24;
		case ECO_FACT_WEEKDAY:
			day = floor_div(number, USECS_PER_DAY) - MONDAY;
			return day - floor_div(day, 7) * 7 + 1;
		default:
			return number;
	}
}

void
eco_fact_read(const EcoFact *fact, const EcoRow *row, EcoValue *value)
{
	value->kind = ECO_VALUE_MISSING;
	if (row->isnull[fact->column])
		return;
	switch (fact->kind)
	{
		case ECO_FACT_INT:
			value->kind = ECO_VALUE_INT;
			value->number = whole_number(fact, row->values[fact->column]);
			break;
		case ECO_FACT_TEXT:
			{
				text	   *is = DatumGetTextPP(row->values[fact->column]);

				value->kind = ECO_VALUE_TEXT;
				value->text = VARDATA_ANY(is);
				value->len = VARSIZE_ANY_EXHDR(is);
				break;
			}
		case ECO_FACT_JSON:
			read_json(fact, row->values[fact->column], value);
			break;
	}
}

bool
eco_fact_int(const EcoFact *fact, const EcoRow *row, int64 *number)
{
	EcoValue	value;
	Datum		most = NumericGetDatum(int64_to_numeric(ECO_MAX_AMOUNT));

	eco_fact_read(fact, row, &value);
	*number = value.number;
	if (value.kind != ECO_VALUE_NUMERIC)
		return value.kind == ECO_VALUE_INT;
	/* whatever more there is: nothing that is counted goes further */
	if (DatumGetBool(DirectFunctionCall2(numeric_gt, NumericGetDatum(value.numeric), most)))
		*number = ECO_MAX_AMOUNT;
	else if (DatumGetBool(DirectFunctionCall2(numeric_lt, NumericGetDatum(value.numeric),
											  NumericGetDatum(int64_to_numeric(0)))))
		*number = 0;
	else
		*number = DatumGetInt64(DirectFunctionCall1(numeric_int8,
													NumericGetDatum(value.numeric)));
	return true;
}
