/*
 * condition.c
 *		Which entries a mission counts: a condition in JSON, compiled to a flat program.
 *
 * The program is the condition's nodes, each behind those that it is made of, and runs with a
 * stack of truth values: it needs no memory, and no more steps than the condition has nodes.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "mission/condition.h"

typedef enum Op
{
	OP_ALL,
	OP_ANY,
	OP_NOT,
	OP_EQ,
	OP_NE,
	OP_LT,
	OP_LE,
	OP_GT,
	OP_GE,
	OP_IN,
	OP_BETWEEN,
	OP_EXISTS
} Op;

static const char *const op_words[] = {
	"all", "any", "not", "eq", "ne", "lt", "le", "gt", "ge", "in", "between", "exists"
};

typedef struct Step
{
	Op			op;
	int			nvalues;		/* all, any: truth values that it takes */
	EcoFact		fact;
	EcoValue   *values;
} Step;

struct EcoCondition
{
	int			nsteps;
	Step		steps[FLEXIBLE_ARRAY_MEMBER];
};

typedef struct Compiler
{
	const EcoTrigger *trigger;
	EcoCondition *program;
	int			nnodes;
	StringInfoData path;
	EcoFault   *fault;
} Compiler;

static bool compile(Compiler *c, const JsonbValue *node, int depth);

static bool
fail(Compiler *c, char *hint, const char *says)
{
	c->fault->path = pstrdup(c->path.data);
	c->fault->says = pstrdup(says);
	c->fault->hint = hint;
	return false;
}

/* An array of that many elements, whatever is in it; max 0: any number. */
static JsonbContainer *
array_of(Compiler *c, const JsonbValue *value, int min, int max)
{
	JsonbContainer *array = value->type == jbvBinary ? value->val.binary.data : NULL;
	int			n;

	if (array == NULL || !JsonContainerIsArray(array))
	{
		fail(c, NULL, "an array is expected");
		return NULL;
	}
	n = JsonContainerSize(array);
	if (n >= min && (max == 0 || n <= max))
		return array;
	if (min == max)
		fail(c, NULL, psprintf("an array of %d elements is expected, not of %d", min, n));
	else if (n < min)
		fail(c, NULL, "the array has no element");
	else
		fail(c, NULL, psprintf("the array has %d elements, and %d is the most", n, max));
	return NULL;
}

static bool
element(JsonbContainer *array, int i, JsonbValue *value)
{
	*value = *getIthJsonbValueFromContainer(array, i);
	return true;
}

static bool
set_fact(Compiler *c, const JsonbValue *path, EcoFact *fact)
{
	char	   *hint = psprintf("Entries of the trigger \"%s\" have: %s.", c->trigger->word,
								eco_fact_paths(c->trigger));

	if (path->type != jbvString)
		return fail(c, hint, "a path is expected");
	if (eco_fact_of(c->trigger, path->val.string.val, path->val.string.len, fact))
		return true;
	return fail(c, hint, psprintf("there is no \"%.*s\"", path->val.string.len,
								  path->val.string.val));
}

static bool
set_int(Compiler *c, const JsonbValue *json, EcoValue *value)
{
	char	   *digits;

	if (json->type != jbvNumeric)
		return fail(c, NULL, "a whole number is expected");
	digits = DatumGetCString(DirectFunctionCall1(numeric_out,
												 NumericGetDatum(json->val.numeric)));
	if (strspn(digits, "-0123456789") != strlen(digits) ||
		strlen(digits) > (digits[0] == '-' ? 17 : 16))
		return fail(c, NULL, psprintf("a whole number of at most 16 digits is expected, not %s",
									  digits));
	value->kind = ECO_VALUE_INT;
	value->number = strtoll(digits, NULL, 10);
	return true;
}

static bool
set_value(Compiler *c, Op op, const EcoFact *fact, const JsonbValue *json, EcoValue *value)
{
	bool		ordered = op != OP_EQ && op != OP_NE && op != OP_IN;

	if (fact->kind == ECO_FACT_INT)
		return set_int(c, json, value);
	if (json->type == jbvString)
	{
		value->kind = ECO_VALUE_TEXT;
		value->text = json->val.string.val;
		value->len = json->val.string.len;
		return true;
	}
	if (fact->kind == ECO_FACT_TEXT)
		return fail(c, NULL, "a string is expected");
	if (json->type == jbvNumeric)
	{
		value->kind = ECO_VALUE_NUMERIC;
		value->numeric = json->val.numeric;
		return true;
	}
	if (json->type == jbvBool && !ordered)
	{
		value->kind = ECO_VALUE_BOOL;
		value->number = json->val.boolean;
		return true;
	}
	return fail(c, "Whether there is a value at all is asked with {\"exists\": path}.",
				ordered ? "a string or a number is expected" :
				"a string, a number, true or false is expected");
}

/* Values of one kind, from an array. */
static bool
set_values(Compiler *c, Step *step, JsonbContainer *array, int from)
{
	int			n = JsonContainerSize(array);

	step->nvalues = n - from;
	step->values = palloc0(sizeof(EcoValue) * step->nvalues);
	for (int i = from; i < n; i++)
	{
		JsonbValue	json;
		int			len = c->path.len;
		EcoValue   *value = &step->values[i - from];

		appendStringInfo(&c->path, "[%d]", i);
		if (!element(array, i, &json) || !set_value(c, step->op, &step->fact, &json, value))
			return false;
		if (value->kind != step->values[0].kind)
			return fail(c, NULL, psprintf("all values of \"%s\" must be of one type",
										  op_words[step->op]));
		c->path.data[c->path.len = len] = '\0';
	}
	return true;
}

static bool
compile_comparison(Compiler *c, Op op, const JsonbValue *args)
{
	Step	   *step = &c->program->steps[c->program->nsteps];
	JsonbContainer *array;
	JsonbValue	first;
	int			nargs = op == OP_BETWEEN ? 3 : 2;
	int			len = c->path.len;

	step->op = op;
	if (op == OP_EXISTS)
	{
		if (!set_fact(c, args, &step->fact))
			return false;
		c->program->nsteps++;
		return true;
	}
	array = array_of(c, args, nargs, nargs);
	if (array == NULL)
		return false;
	(void) element(array, 0, &first);
	appendStringInfoString(&c->path, "[0]");
	if (!set_fact(c, &first, &step->fact))
		return false;
	c->path.data[c->path.len = len] = '\0';
	if (op == OP_IN)
	{
		(void) element(array, 1, &first);
		appendStringInfoString(&c->path, "[1]");
		array = array_of(c, &first, 1, ECO_CONDITION_VALUES);
		if (array == NULL || !set_values(c, step, array, 0))
			return false;
	}
	else if (!set_values(c, step, array, 1))
		return false;
	c->program->nsteps++;
	return true;
}

static bool
compile_group(Compiler *c, Op op, const JsonbValue *args, int depth)
{
	JsonbContainer *array;
	int			n;
	Step	   *step;

	if (op == OP_NOT)
	{
		if (!compile(c, args, depth + 1))
			return false;
		n = 1;
	}
	else
	{
		array = array_of(c, args, 1, 0);
		if (array == NULL)
			return false;
		n = JsonContainerSize(array);
		for (int i = 0; i < n; i++)
		{
			JsonbValue	part;
			int			len = c->path.len;

			(void) element(array, i, &part);
			appendStringInfo(&c->path, "[%d]", i);
			if (!compile(c, &part, depth + 1))
				return false;
			c->path.data[c->path.len = len] = '\0';
		}
	}
	step = &c->program->steps[c->program->nsteps++];
	step->op = op;
	step->nvalues = n;
	return true;
}

/* The one member of an object. */
static bool
member_of(Compiler *c, const JsonbValue *node, JsonbValue *key, JsonbValue *value)
{
	JsonbContainer *object = node->type == jbvBinary ? node->val.binary.data : NULL;
	JsonbIterator *it;

	if (object == NULL || !JsonContainerIsObject(object) || JsonContainerSize(object) != 1)
		return fail(c, NULL, "an object with one member is expected");
	it = JsonbIteratorInit(object);
	(void) JsonbIteratorNext(&it, key, true);	/* the object itself */
	(void) JsonbIteratorNext(&it, key, true);
	(void) JsonbIteratorNext(&it, value, true);
	return true;
}

static bool
compile(Compiler *c, const JsonbValue *node, int depth)
{
	JsonbValue	key;
	JsonbValue	args;
	int			len = c->path.len;

	check_stack_depth();
	if (depth > ECO_CONDITION_DEPTH)
		return fail(c, NULL, psprintf("the condition is more than %d deep", ECO_CONDITION_DEPTH));
	if (++c->nnodes > ECO_CONDITION_NODES)
		return fail(c, NULL, psprintf("the condition has more than %d nodes", ECO_CONDITION_NODES));
	if (!member_of(c, node, &key, &args))
		return false;
	for (int op = OP_ALL; op <= OP_EXISTS; op++)
	{
		bool		done;

		if ((int) strlen(op_words[op]) != key.val.string.len ||
			memcmp(op_words[op], key.val.string.val, key.val.string.len) != 0)
			continue;
		appendStringInfo(&c->path, ".%s", op_words[op]);
		done = op <= OP_NOT ? compile_group(c, (Op) op, &args, depth) :
			compile_comparison(c, (Op) op, &args);
		if (done)
			c->path.data[c->path.len = len] = '\0';
		return done;
	}
	return fail(c, "There are all, any, not, eq, ne, lt, le, gt, ge, in, between and exists.",
				psprintf("there is no \"%.*s\"", key.val.string.len, key.val.string.val));
}

const EcoCondition *
eco_condition_compile(const EcoTrigger *trigger, Jsonb *json, EcoFault *fault)
{
	Compiler	c = {.trigger = trigger, .fault = fault};
	JsonbValue	root = {.type = jbvBinary};

	c.program = palloc0(offsetof(EcoCondition, steps) + sizeof(Step) * ECO_CONDITION_NODES);
	initStringInfo(&c.path);
	appendStringInfoChar(&c.path, '$');
	root.val.binary.data = &json->root;
	root.val.binary.len = VARSIZE(json) - VARHDRSZ;
	if (!compile(&c, &root, 1))
		return NULL;
	pfree(c.path.data);
	return repalloc(c.program, offsetof(EcoCondition, steps) +
					sizeof(Step) * c.program->nsteps);
}

/* The step in front of all that the step at this place is made of. */
static int
before_part(const EcoCondition *condition, int place)
{
	const Step *step = &condition->steps[place--];

	if (step->op <= OP_NOT)
		for (int i = 0; i < step->nvalues; i++)
			place = before_part(condition, place);
	return place;
}

bool
eco_condition_lifted(const EcoCondition *condition, const EcoFact **fact, const EcoValue **value)
{
	int			place = condition->nsteps - 1;
	int			end = place - 1;

	/* of "all" each part will do */
	if (condition->steps[place].op == OP_ALL)
		end = before_part(condition, place--);
	for (; place > end; place = before_part(condition, place))
	{
		const Step *step = &condition->steps[place];

		if (step->op != OP_EQ || step->fact.kind != ECO_FACT_TEXT)
			continue;
		*fact = &step->fact;
		*value = step->values;
		return true;
	}
	return false;
}

/* False: they are of different types, and nothing is known. */
static bool
compare(const EcoValue *a, const EcoValue *b, int *order)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind)
	{
		case ECO_VALUE_INT:
		case ECO_VALUE_BOOL:
			*order = a->number < b->number ? -1 : a->number > b->number;
			return true;
		case ECO_VALUE_TEXT:
			*order = memcmp(a->text, b->text, Min(a->len, b->len));
			if (*order == 0)
				*order = a->len - b->len;
			return true;
		case ECO_VALUE_NUMERIC:
			*order = DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a->numeric),
													   NumericGetDatum(b->numeric)));
			return true;
		default:
			return false;
	}
}

static EcoTruth
compared(Op op, int order)
{
	switch (op)
	{
		case OP_NE:
			return order != 0 ? ECO_TRUE : ECO_FALSE;
		case OP_LT:
			return order < 0 ? ECO_TRUE : ECO_FALSE;
		case OP_LE:
			return order <= 0 ? ECO_TRUE : ECO_FALSE;
		case OP_GT:
			return order > 0 ? ECO_TRUE : ECO_FALSE;
		case OP_GE:
			return order >= 0 ? ECO_TRUE : ECO_FALSE;
		default:
			return order == 0 ? ECO_TRUE : ECO_FALSE;
	}
}

static EcoTruth
leaf_of(const Step *step, const EcoRow *row)
{
	EcoValue	value;
	int			order;

	eco_fact_read(&step->fact, row, &value);
	if (step->op == OP_EXISTS)
		return value.kind != ECO_VALUE_MISSING ? ECO_TRUE : ECO_FALSE;
	/* all its values are of one type */
	if (!compare(&value, &step->values[0], &order))
		return ECO_UNKNOWN;
	if (step->op == OP_BETWEEN)
	{
		if (order < 0)
			return ECO_FALSE;
		(void) compare(&value, &step->values[1], &order);
		return compared(OP_LE, order);
	}
	for (int i = 1; step->op == OP_IN && order != 0 && i < step->nvalues; i++)
		(void) compare(&value, &step->values[i], &order);
	return compared(step->op, order);
}

/* Of several: all are true, or any is; what is unknown decides nothing that others decide. */
static EcoTruth
group_of(Op op, const EcoTruth *parts, int n)
{
	EcoTruth	decides = op == OP_ALL ? ECO_FALSE : ECO_TRUE;
	bool		unknown = false;

	for (int i = 0; i < n; i++)
	{
		if (parts[i] == decides)
			return decides;
		unknown |= parts[i] == ECO_UNKNOWN;
	}
	if (unknown)
		return ECO_UNKNOWN;
	return op == OP_ALL ? ECO_TRUE : ECO_FALSE;
}

EcoTruth
eco_condition_of(const EcoCondition *condition, const EcoRow *row)
{
	EcoTruth	stack[ECO_CONDITION_NODES];
	int			n = 0;

	for (int i = 0; i < condition->nsteps; i++)
	{
		const Step *step = &condition->steps[i];

		if (step->op > OP_NOT)
		{
			stack[n++] = leaf_of(step, row);
			continue;
		}
		n -= step->nvalues;
		if (step->op != OP_NOT)
			stack[n] = group_of(step->op, stack + n, step->nvalues);
		else if (stack[n] != ECO_UNKNOWN)
			stack[n] = stack[n] == ECO_TRUE ? ECO_FALSE : ECO_TRUE;
		n++;
	}
	return stack[0];
}
