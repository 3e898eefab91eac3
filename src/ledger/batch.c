/*
 * batch.c
 *		Batches of calls as a jsonb array of objects, or as arrays.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/tuplestore.h"

#include "errors.h"
#include "ledger/batch.h"

int
eco_batch_size(Jsonb *array, const char *what, int most)
{
	if (!JB_ROOT_IS_ARRAY(array) || JB_ROOT_IS_SCALAR(array))
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("%s must be a JSON array of objects", what));
	if (JB_ROOT_COUNT(array) > (uint32) most)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("%s must be at most %d objects", what, most),
				  errhint("Send them in several calls."));
	return JB_ROOT_COUNT(array);
}

void
eco_batch_read(Jsonb *array, const char *what,
			   void (*read) (JsonbContainer *object, int number, void *arg),
			   void *arg)
{
	JsonbIterator *iterator = JsonbIteratorInit(&array->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	int			number = 0;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token != WJB_ELEM)
			continue;
		if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
			ECO_ERROR(ECO_INVALID_ARGUMENT,
					  errmsg("%s %d is not a JSON object", what, number + 1));
		read(value.val.binary.data, number++, arg);
	}
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

void
eco_batch_return(ReturnSetInfo *info, HeapTuple *rows, int n)
{
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		tuplestore_puttuple(info->setResult, rows[i]);
		heap_freetuple(rows[i]);
	}
}

void
eco_members_read(EcoMembers *m, const char *what, JsonbContainer *object,
				 int number, const char *const *names)
{
	uint32		known = 0;

	m->what = what;
	m->number = number;
	m->names = names;
	for (int i = 0; names[i] != NULL; i++)
	{
		m->found[i] = getKeyJsonValueFromContainer(object, names[i], (int) strlen(names[i]),
												   &m->values[i]);
		known += m->found[i] != NULL;
	}
	if (known != JsonContainerSize(object))
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("%s %d has an unknown key", what, number + 1));
}

static void
require(EcoMembers *m, int member, bool ok, const char *should)
{
	if (!ok)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("%s %d: %s must be %s", m->what, m->number + 1,
						 m->names[member], should));
}

static void
wrong_length(const char *what, int number, const char *name, int max)
{
	ECO_ERROR(ECO_ARGUMENT_TOO_LONG,
			  errmsg("%s %d: %s must have 1 to %d bytes", what, number + 1, name, max));
}

EcoText
eco_member_text(EcoMembers *m, int member, int max, const char *fallback)
{
	JsonbValue *value = m->found[member];
	text	   *copy;
	EcoText		result;

	if (value == NULL && fallback != NULL)
		return eco_text_of(fallback);
	require(m, member, value != NULL && value->type == jbvString, "a text");
	if (value->val.string.len < 1 || value->val.string.len > max)
		wrong_length(m->what, m->number, m->names[member], max);
	copy = cstring_to_text_with_len(value->val.string.val, value->val.string.len);
	result.datum = PointerGetDatum(copy);
	result.data = VARDATA(copy);
	result.len = value->val.string.len;
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

int64
eco_member_int(EcoMembers *m, int member, const char *fallback)
{
	JsonbValue *value = m->found[member];
	Datum		number;
	int64		whole;

	if (value == NULL && fallback != NULL)
		return strtoll(fallback, NULL, 10);
	if (value != NULL && value->type == jbvString)
	{
		require(m, member, text_int(value, &whole), "a whole number");
		return whole;
	}
	require(m, member, value != NULL && value->type == jbvNumeric, "a number");
	number = NumericGetDatum(value->val.numeric);
	require(m, member, within_bigint(number), "a number that fits bigint");
	whole = DatumGetInt64(DirectFunctionCall1(numeric_int8, number));
	require(m, member, DatumGetBool(DirectFunctionCall2(numeric_eq, number,
														NumericGetDatum(int64_to_numeric(whole)))),
			"a whole number");
	return whole;
}

static Jsonb *
checked_object(Jsonb *object, const char *what, int number, const char *name)
{
	if (object == NULL || !JB_ROOT_IS_OBJECT(object))
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("%s %d: %s must be a JSON object", what, number + 1, name));
	if (strlen(JsonbToCString(NULL, &object->root, VARSIZE(object))) > ECO_MAX_JSON)
		ECO_ERROR(ECO_ARGUMENT_TOO_LONG,
				  errmsg("%s %d: %s has more than %d bytes as text", what, number + 1, name,
						 ECO_MAX_JSON));
	return object;
}

Jsonb *
eco_member_object(EcoMembers *m, int member)
{
	JsonbValue *value = m->found[member];

	if (value == NULL || value->type == jbvNull)
		return NULL;
	return checked_object(value->type == jbvBinary ? JsonbValueToJsonb(value) : NULL,
						  m->what, m->number, m->names[member]);
}

void
eco_arrays_read(EcoArrays *arrays, FunctionCallInfo fcinfo, const char *what,
				const char *const *names, const char *const *members,
				int required, int most)
{
	arrays->what = what;
	arrays->members = members;
	arrays->n = 0;
	for (int i = 0; names[i] != NULL; i++)
	{
		ArrayType  *array;
		int16		len;
		bool		byval;
		char		align;
		int			n;

		if (i < required)
			eco_require_arg(fcinfo, i, names[i]);
		arrays->given[i] = !PG_ARGISNULL(i);
		if (!arrays->given[i])
			continue;
		array = PG_GETARG_ARRAYTYPE_P(i);
		n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
		if (ARR_NDIM(array) > 1 || n > most)
			ECO_ERROR(ECO_INVALID_ARGUMENT,
					  errmsg("%s must be at most %d elements in one dimension", names[i], most),
					  errhint("Send them in several calls."));
		if (i > 0 && n != arrays->n)
			ECO_ERROR(ECO_INVALID_ARGUMENT,
					  errmsg("%s has %d elements where %s has %d", names[i], n, names[0],
							 arrays->n));
		arrays->n = n;
		get_typlenbyvalalign(ARR_ELEMTYPE(array), &len, &byval, &align);
		deconstruct_array(array, ARR_ELEMTYPE(array), len, byval, align,
						  &arrays->values[i], &arrays->nulls[i], &n);
	}
}

Datum
eco_array_value(const EcoArrays *arrays, int member, int number)
{
	if (arrays->nulls[member][number])
		ECO_ERROR(ECO_NULL_ARGUMENT,
				  errmsg("%s %d: %s must not be null", arrays->what, number + 1,
						 arrays->members[member]));
	return arrays->values[member][number];
}

EcoText
eco_array_text(const EcoArrays *arrays, int member, int number, int max)
{
	text	   *value = DatumGetTextPP(eco_array_value(arrays, member, number));
	EcoText		result = {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), PointerGetDatum(value)};

	if (result.len < 1 || result.len > max)
		wrong_length(arrays->what, number, arrays->members[member], max);
	return result;
}

Jsonb *
eco_array_object(const EcoArrays *arrays, int member, int number)
{
	if (arrays->nulls[member][number])
		return NULL;
	return checked_object(DatumGetJsonbP(arrays->values[member][number]), arrays->what, number,
						  arrays->members[member]);
}
