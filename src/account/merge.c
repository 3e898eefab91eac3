/*
 * merge.c
 *		JSON merge patch, RFC 7386.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "account/merge.h"

static JsonbValue *merge(JsonbParseState **state, JsonbContainer *object, JsonbContainer *patch);
static void merge_member(JsonbParseState **state, JsonbValue *key, const JsonbValue *before,
						 JsonbValue *patch);

Jsonb *
eco_merge_patch(Jsonb *object, Jsonb *patch)
{
	JsonbParseState *state = NULL;

	return JsonbValueToJsonb(merge(&state, &object->root, &patch->root));
}

static bool
is_object(const JsonbValue *value)
{
	return value != NULL && value->type == jbvBinary &&
		JsonContainerIsObject(value->val.binary.data);
}

static JsonbValue *
merge(JsonbParseState **state, JsonbContainer *object, JsonbContainer *patch)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	check_stack_depth();
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	it = object != NULL ? JsonbIteratorInit(object) : NULL;
	while (it != NULL && (token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		JsonbValue *change;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		change = findJsonbValueFromContainer(patch, JB_FOBJECT, &key);
		if (change != NULL)
			merge_member(state, &key, &value, change);
		else
		{
			pushJsonbValue(state, WJB_KEY, &key);
			pushJsonbValue(state, WJB_VALUE, &value);
		}
	}
	it = JsonbIteratorInit(patch);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		if (object == NULL || findJsonbValueFromContainer(object, JB_FOBJECT, &key) == NULL)
			merge_member(state, &key, NULL, &value);
	}
	return pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
merge_member(JsonbParseState **state, JsonbValue *key, const JsonbValue *before,
			 JsonbValue *patch)
{
	if (patch->type == jbvNull)
		return;
	pushJsonbValue(state, WJB_KEY, key);
	if (is_object(patch))
		(void) merge(state, is_object(before) ? before->val.binary.data : NULL,
					 patch->val.binary.data);
	else
		pushJsonbValue(state, WJB_VALUE, patch);
}
