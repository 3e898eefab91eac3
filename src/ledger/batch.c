/*
 * batch.c
 *		Batches of calls as a jsonb array of objects, or as arrays.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "errors.h"
#include "ledger/batch.h"

/* An argument that is an array. */
typedef struct Array
{
	bool		given;
	Oid			type;			/* of its elements */
	Datum	   *values;
	bool	   *nulls;
} Array;

struct EcoElement
{
	const EcoBatch *batch;
	int			number;
	const Array *arrays;		/* by member; NULL: it is an object */

	/* the object's members; NULL where absent */
	JsonbValue	values[ECO_MAX_MEMBERS];
	JsonbValue *found[ECO_MAX_MEMBERS];
};

static void *make_room(const EcoBatch *batch, int n);
static void *read_objects(const EcoBatch *batch, Jsonb *array, int *n);
static void read_members(EcoElement *element, JsonbContainer *object);
static void *read_arrays(const EcoBatch *batch, FunctionCallInfo fcinfo, int *n);
static int	read_array(const EcoBatch *batch, FunctionCallInfo fcinfo, int argno, Array *array);

void *
eco_batch_read(const EcoBatch *batch, FunctionCallInfo fcinfo, int *n)
{
	if (PG_NARGS() > 1)
		return read_arrays(batch, fcinfo, n);
	eco_require_arg(fcinfo, 0, batch->objects);
	return read_objects(batch, PG_GETARG_JSONB_P(0), n);
}

static void *
make_room(const EcoBatch *batch, int n)
{
	return palloc0(batch->size * Max(n, 1));
}

static void *
read_objects(const EcoBatch *batch, Jsonb *array, int *n)
{
	EcoElement	element = {.batch = batch};
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	char	   *all;

	if (!JB_ROOT_IS_ARRAY(array) || JB_ROOT_IS_SCALAR(array))
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("%s must be a JSON array of objects", batch->objects));
	if (JB_ROOT_COUNT(array) > (uint32) batch->most)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("%s must be at most %d objects", batch->objects, batch->most),
				  errhint("Send them in several calls."));
	*n = JB_ROOT_COUNT(array);
	all = make_room(batch, *n);
	iterator = JsonbIteratorInit(&array->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token != WJB_ELEM)
			continue;
		if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
			ECO_ERROR(ECO_INVALID_ARGUMENT,
					  errmsg("%s %d is not a JSON object", batch->what, element.number + 1));
		read_members(&element, value.val.binary.data);
		batch->read(&element, all + batch->size * element.number);
		element.number++;
	}
	return all;
}

static void
read_members(EcoElement *element, JsonbContainer *object)
{
	const char *const *names = element->batch->members;
	uint32		known = 0;

	for (int i = 0; names[i] != NULL; i++)
	{
		element->found[i] = getKeyJsonValueFromContainer(object, names[i], (int) strlen(names[i]),
														 &element->values[i]);
		known += element->found[i] != NULL;
	}
	if (known != JsonContainerSize(object))
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("%s %d has an unknown key", element->batch->what, element->number + 1));
}

static void *
read_arrays(const EcoBatch *batch, FunctionCallInfo fcinfo, int *n)
{
	Array		arrays[ECO_MAX_MEMBERS] = {0};
	EcoElement	element = {.batch = batch, .arrays = arrays};
	char	   *all;

	/* an older release has fewer of them */
	for (int i = 0; i < PG_NARGS() && batch->arrays[i] != NULL; i++)
	{
		int			count;

		if (i < batch->required)
			eco_require_arg(fcinfo, i, batch->arrays[i]);
		if (PG_ARGISNULL(i))
			continue;
		count = read_array(batch, fcinfo, i, &arrays[i]);
		if (i > 0 && count != *n)
			ECO_ERROR(ECO_INVALID_ARGUMENT,
					  errmsg("%s has %d elements where %s has %d", batch->arrays[i], count,
							 batch->arrays[0], *n));
		*n = count;
	}
	all = make_room(batch, *n);
	for (; element.number < *n; element.number++)
	{
		CHECK_FOR_INTERRUPTS();
		batch->read(&element, all + batch->size * element.number);
	}
	return all;
}

/* The number of elements. */
static int
read_array(const EcoBatch *batch, FunctionCallInfo fcinfo, int argno, Array *array)
{
	ArrayType  *value = PG_GETARG_ARRAYTYPE_P(argno);
	int			n = ArrayGetNItems(ARR_NDIM(value), ARR_DIMS(value));
	int16		len;
	bool		byval;
	char		align;

	if (ARR_NDIM(value) > 1 || n > batch->most)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("%s must be at most %d elements in one dimension", batch->arrays[argno],
						 batch->most),
				  errhint("Send them in several calls."));
	array->given = true;
	array->type = ARR_ELEMTYPE(value);
	get_typlenbyvalalign(array->type, &len, &byval, &align);
	deconstruct_array(value, array->type, len, byval, align, &array->values, &array->nulls, &n);
	return n;
}

int
eco_element_number(const EcoElement *element)
{
	return element->number;
}

static bool
is_absent(const EcoElement *element, int member)
{
	return element->arrays != NULL ? !element->arrays[member].given :
		element->found[member] == NULL;
}

bool
eco_element_has(const EcoElement *element, int member)
{
	return !is_absent(element, member) &&
		(element->arrays != NULL ? !element->arrays[member].nulls[element->number] :
		 element->found[member]->type != jbvNull);
}

static void
require(const EcoElement *element, int member, bool ok, const char *should)
{
	if (!ok)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("%s %d: %s must be %s", element->batch->what, element->number + 1,
						 element->batch->members[member], should));
}

/* An element of an array, which must not be null. */
static Datum
value_in_array(const EcoElement *element, int member)
{
	const Array *array = &element->arrays[member];

	if (array->nulls[element->number])
		ECO_ERROR(ECO_NULL_ARGUMENT,
				  errmsg("%s %d: %s must not be null", element->batch->what, element->number + 1,
						 element->batch->members[member]));
	return array->values[element->number];
}

static text *
text_in_object(const EcoElement *element, int member, int max)
{
	JsonbValue *value = element->found[member];

	require(element, member, value != NULL && value->type == jbvString, "a text");
	/* not copied before it is known to be short */
	return cstring_to_text_with_len(value->val.string.val, Min(value->val.string.len, max + 1));
}

EcoText
eco_element_text(const EcoElement *element, int member, int max)
{
	text	   *value = element->arrays == NULL ? text_in_object(element, member, max) :
	DatumGetTextPP(value_in_array(element, member));
	EcoText		result = {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), PointerGetDatum(value)};

	if (result.len < 1 || result.len > max)
		ECO_ERROR(ECO_ARGUMENT_TOO_LONG,
				  errmsg("%s %d: %s must have 1 to %d bytes", element->batch->what,
						 element->number + 1, element->batch->members[member], max));
	return result;
}

/* Compared as numeric, so that a huge number is refused and not an overflow. */
static bool
within_bigint(Datum number)
{
	static Datum least = 0;
	static Datum most = 0;

	if (most == 0)
	{
		MemoryContext old_context = MemoryContextSwitchTo(TopMemoryContext);

		least = NumericGetDatum(int64_to_numeric(PG_INT64_MIN));
		most = NumericGetDatum(int64_to_numeric(PG_INT64_MAX));
		MemoryContextSwitchTo(old_context);
	}
	return DatumGetBool(DirectFunctionCall2(numeric_ge, number, least)) &&
		DatumGetBool(DirectFunctionCall2(numeric_le, number, most));
}

/*
 * The text of a whole number, as drivers send a bigint; taken as an argument of
 * type bigint takes it.  False when it is none, or does not fit.
 */
static bool
text_int(const JsonbValue *value, int64 *whole)
{
	char	   *written = pnstrdup(value->val.string.val, value->val.string.len);
	char	   *digits = written + strspn(written, " \t\n\v\f\r");
	char	   *end;

	digits += *digits == '-' || *digits == '+';
	end = digits + strspn(digits, "0123456789");
	if (end == digits || end[strspn(end, " \t\n\v\f\r")] != '\0')
		return false;
	errno = 0;
	*whole = strtoll(written, NULL, 10);
	return errno == 0;
}

static int64
int_in_object(const EcoElement *element, int member)
{
	JsonbValue *value = element->found[member];
	Datum		number;
	int64		whole;

	if (value != NULL && value->type == jbvString)
	{
		require(element, member, text_int(value, &whole), "a whole number");
		return whole;
	}
	require(element, member, value != NULL && value->type == jbvNumeric, "a number");
	number = NumericGetDatum(value->val.numeric);
	require(element, member, within_bigint(number), "a number that fits bigint");
	whole = DatumGetInt64(DirectFunctionCall1(numeric_int8, number));
	require(element, member,
			DatumGetBool(DirectFunctionCall2(numeric_eq, number,
											 NumericGetDatum(int64_to_numeric(whole)))),
			"a whole number");
	return whole;
}

int64
eco_element_int(const EcoElement *element, int member)
{
	Datum		value;

	if (element->arrays == NULL)
		return int_in_object(element, member);
	value = value_in_array(element, member);
	return element->arrays[member].type == INT4OID ? DatumGetInt32(value) : DatumGetInt64(value);
}

int64
eco_element_int_or(const EcoElement *element, int member, int64 fallback)
{
	return is_absent(element, member) ? fallback : eco_element_int(element, member);
}

Jsonb *
eco_element_object(const EcoElement *element, int member)
{
	JsonbValue *value = element->found[member];
	Jsonb	   *object = NULL;

	if (!eco_element_has(element, member))
		return NULL;
	if (element->arrays != NULL)
		object = DatumGetJsonbP(value_in_array(element, member));
	else if (value->type == jbvBinary)
		object = JsonbValueToJsonb(value);
	require(element, member, object != NULL && JB_ROOT_IS_OBJECT(object), "a JSON object");
	if (strlen(JsonbToCString(NULL, &object->root, VARSIZE(object))) > ECO_MAX_JSON)
		ECO_ERROR(ECO_ARGUMENT_TOO_LONG,
				  errmsg("%s %d: %s has more than %d bytes as text", element->batch->what,
						 element->number + 1, element->batch->members[member], ECO_MAX_JSON));
	return object;
}

EcoTurn *
eco_turns_make(int n)
{
	return palloc_extended(sizeof(EcoTurn) * Max(n, 1), MCXT_ALLOC_HUGE);
}

static int
by_user(const void *a, const void *b, void *arg)
{
	const EcoTurn *x = a;
	const EcoTurn *y = b;

	if (x->user_id != y->user_id)
		return x->user_id < y->user_id ? -1 : 1;
	return x->number - y->number;
}

void
eco_turns_sort(EcoTurn *turns, int n)
{
	qsort_interruptible(turns, n, sizeof(EcoTurn), by_user, NULL);
}
