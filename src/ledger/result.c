/*
 * result.c
 *		Rows that functions return, and the jsonb objects in them.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/typcache.h"

#include "errors.h"
#include "ledger/result.h"
#include "ledger/version.h"

/* at random, so that duplicates do not come again together */
#define RETRY_AFTER_MIN_MS	150
#define RETRY_AFTER_MAX_MS	300

/* stands for the type of a row */
static char code_alone;

static Oid
type_of_letter(char letter)
{
	switch (letter)
	{
		case 'b':
			return BOOLOID;
		case 'd':
			return DATEOID;
		case 'f':
			return FLOAT8OID;
		case 'i':
			return INT4OID;
		case 'j':
			return JSONBOID;
		case 'J':
			return JSONOID;
		case 'l':
			return INT8OID;
		case 's':
			return INT2OID;
		case 't':
			return TEXTOID;
		case 'x':
			return BYTEAOID;
		case 'T':
			return TEXTARRAYOID;
		case 'z':
			return TIMESTAMPTZOID;
	}
	return InvalidOid;
}

/* The row ends at the end of the types, or, of an older release, at a mark. */
static bool
has_types(TupleDesc desc, const char *types)
{
	for (int i = 0; i < desc->natts; i++)
	{
		types += *types == ECO_RES_LATER;
		/* a dropped column has no type */
		if (*types == '\0' || TupleDescAttr(desc, i)->atttypid != type_of_letter(*types++))
			return false;
	}
	return *types == '\0' || *types == ECO_RES_LATER;
}

static void
check_types(TupleDesc desc, const char *types)
{
	if (!has_types(desc, types))
		ECO_ERROR(ECO_SCHEMA_DAMAGED,
				  errmsg("the function's result type does not fit the library"),
				  errhint("%s", eco_version_hint()));
}

/* What the function returns, kept with the call: a row, or its code alone. */
static void *
look_up(FunctionCallInfo fcinfo, const char *types)
{
	Oid			type;
	TupleDesc	desc;

	switch (get_call_result_type(fcinfo, &type, &desc))
	{
		case TYPEFUNC_COMPOSITE:
			check_types(desc, types);
			return BlessTupleDesc(desc);
		case TYPEFUNC_SCALAR:
			if (type == TEXTOID && strncmp(types, "bttt", ECO_RES_OWN) == 0)
				return &code_alone;
			/* FALLTHROUGH */
		default:
			elog(ERROR, "return type must be a row type");
	}
	return NULL;
}

/* The row's type where the executor has looked it up already, as it has for FROM; or NULL. */
static TupleDesc
known_type(FunctionCallInfo fcinfo, const char *types)
{
	const ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;

	if (info == NULL || !IsA(info, ReturnSetInfo) || info->expectedDesc == NULL ||
		info->expectedDesc->tdtypeid == RECORDOID || !has_types(info->expectedDesc, types))
		return NULL;
	return info->expectedDesc;
}

void
eco_result_begin(EcoResult *result, FunctionCallInfo fcinfo, const char *types)
{
	int			n;

	result->desc = known_type(fcinfo, types);
	/* asked once per query and kept with the call, not once per row */
	if (result->desc == NULL && fcinfo->flinfo->fn_extra == NULL)
	{
		MemoryContext old_context = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		fcinfo->flinfo->fn_extra = look_up(fcinfo, types);
		MemoryContextSwitchTo(old_context);
	}
	if (result->desc == NULL && fcinfo->flinfo->fn_extra != &code_alone)
		result->desc = fcinfo->flinfo->fn_extra;
	n = (int) strlen(types);
	memset(result->values, 0, sizeof(Datum) * n);
	memset(result->isnull, true, n);
}

void
eco_result_set_begin(FunctionCallInfo fcinfo, const char *types)
{
	/* which the executor has looked up already */
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	check_types(((ReturnSetInfo *) fcinfo->resultinfo)->setDesc, types);
}

Datum
eco_result_row(EcoResult *result)
{
	if (result->desc == NULL)
		return PointerGetDatum(DatumGetTextPCopy(result->values[ECO_RES_CODE]));
	return HeapTupleGetDatum(heap_form_tuple(result->desc, result->values, result->isnull));
}

void
eco_result_outcome(EcoResult *result, const char *state, const char *code)
{
	bool		success = strcmp(state, "new") == 0 || strcmp(state, "reuse") == 0;

	eco_result_set(result, ECO_RES_SUCCESS, BoolGetDatum(success));
	eco_result_text(result, ECO_RES_STATE, state);
	eco_result_text(result, ECO_RES_CODE, code);
}

void
eco_result_text(EcoResult *result, int column, const char *value)
{
	eco_result_set(result, column, CStringGetTextDatum(value));
}

int32
eco_retry_after_ms(void)
{
	return (int32) pg_prng_uint64_range(&pg_global_prng_state,
										RETRY_AFTER_MIN_MS, RETRY_AFTER_MAX_MS);
}

void
eco_result_busy(EcoResult *result, int retry_after_column)
{
	eco_result_outcome(result, "in_progress", "IN_PROGRESS");
	eco_result_set(result, retry_after_column, Int32GetDatum(eco_retry_after_ms()));
}

void
eco_result_entry(EcoResult *result, const EcoJournal *journal, const EcoRow *entry)
{
	eco_result_text(result, ECO_RES_TRANSACTION_ID,
					eco_transaction_id(journal, eco_row_int(entry, ECO_COL_USER_ID),
									   eco_row_int(entry, ECO_COL_SEQ)));
}

static void
push_key(EcoDetail *detail, const char *key, int len)
{
	JsonbValue	name;

	if (!detail->open)
	{
		pushJsonbValue(&detail->state, WJB_BEGIN_OBJECT, NULL);
		detail->open = true;
	}
	name.type = jbvString;
	name.val.string.val = unconstify(char *, key);
	name.val.string.len = len;
	pushJsonbValue(&detail->state, WJB_KEY, &name);
}

static void
push(EcoDetail *detail, const char *key, JsonbValue *value)
{
	push_key(detail, key, (int) strlen(key));
	pushJsonbValue(&detail->state, WJB_VALUE, value);
}

void
eco_detail_open_object(EcoDetail *detail, const char *key, int len)
{
	push_key(detail, key, len);
	pushJsonbValue(&detail->state, WJB_BEGIN_OBJECT, NULL);
}

void
eco_detail_close_object(EcoDetail *detail)
{
	pushJsonbValue(&detail->state, WJB_END_OBJECT, NULL);
}

void
eco_detail_text(EcoDetail *detail, const char *key, const char *value, int len)
{
	JsonbValue	json;

	json.type = jbvString;
	json.val.string.val = unconstify(char *, value);
	json.val.string.len = len;
	push(detail, key, &json);
}

void
eco_detail_str(EcoDetail *detail, const char *key, const char *value)
{
	eco_detail_text(detail, key, value, (int) strlen(value));
}

void
eco_detail_numeric(EcoDetail *detail, const char *key, Numeric value)
{
	JsonbValue	json;

	json.type = jbvNumeric;
	json.val.numeric = value;
	push(detail, key, &json);
}

void
eco_detail_int(EcoDetail *detail, const char *key, int64 value)
{
	eco_detail_numeric(detail, key, int64_to_numeric(value));
}

void
eco_detail_bool(EcoDetail *detail, const char *key, bool value)
{
	JsonbValue	json;

	json.type = jbvBool;
	json.val.boolean = value;
	push(detail, key, &json);
}

void
eco_detail_moment(EcoDetail *detail, const char *key, TimestampTz value)
{
	char		moment[MAXDATELEN + 1];
	int			utc = 0;

	JsonEncodeDateTime(moment, TimestampTzGetDatum(value), TIMESTAMPTZOID, &utc);
	eco_detail_str(detail, key, pstrdup(moment));
}

void
eco_detail_json(EcoDetail *detail, const char *key, Jsonb *value)
{
	JsonbValue	json;

	json.type = jbvNull;
	if (value != NULL)
	{
		json.type = jbvBinary;
		json.val.binary.data = &value->root;
		json.val.binary.len = VARSIZE(value) - VARHDRSZ;
	}
	push(detail, key, &json);
}

/* A bigint, integer, text or jsonb column of a row. */
static void
detail_column(EcoDetail *detail, const char *key, const EcoRow *row, int column)
{
	Datum		value = row->values[column];

	if (row->isnull[column])
		eco_detail_json(detail, key, NULL);
	else if (row->table->columns[column].type == TEXTOID)
		eco_detail_str(detail, key, TextDatumGetCString(value));
	else if (row->table->columns[column].type == JSONBOID)
		eco_detail_json(detail, key, DatumGetJsonbP(value));
	else if (row->table->columns[column].type == INT4OID)
		eco_detail_int(detail, key, DatumGetInt32(value));
	else
		eco_detail_int(detail, key, DatumGetInt64(value));
}

bool
eco_same_json(Jsonb *a, Jsonb *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return compareJsonbContainers(&a->root, &b->root) == 0;
}

bool
eco_same_object(const EcoRow *first, int column, Jsonb *object)
{
	return eco_same_json(first->isnull[column] ? NULL : DatumGetJsonbP(first->values[column]),
						 object);
}

void
eco_detail_field(EcoDetail *detail, const char *field, const EcoRow *first, int column)
{
	eco_detail_str(detail, "field", field);
	detail_column(detail, "first", first, column);
}

Datum
eco_detail_end(EcoDetail *detail)
{
	if (!detail->open)
		return (Datum) 0;
	detail->open = false;
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&detail->state,
														   WJB_END_OBJECT, NULL)));
}

void
eco_result_archived(EcoResult *result, int detail_column, const EcoJournal *journal,
					int64 user_id, int64 seq)
{
	EcoDetail	detail = {0};

	eco_result_outcome(result, "refused", "RESYNC_REQUIRED");
	eco_result_text(result, ECO_RES_TRANSACTION_ID, eco_transaction_id(journal, user_id, seq));
	eco_detail_str(&detail, "reason", "archived");
	eco_result_set(result, detail_column, eco_detail_end(&detail));
}
