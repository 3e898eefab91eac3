/*
 * args.h
 *		Checks of function arguments that every domain makes the same way.
 */
#ifndef ECO_ARGS_H
#define ECO_ARGS_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "errors.h"

#define ECO_MAX_NAME	64		/* bytes of a product_id, source, game */
#define ECO_MAX_KEY		255		/* bytes of an idempotency key, event id */
#define ECO_MAX_JSON	4096	/* bytes of a context, details, as text */

/* A text argument without its header; not zero-terminated. */
typedef struct EcoText
{
	const char *data;
	int			len;
	Datum		datum;
} EcoText;

/* The same of a constant. */
static inline EcoText
eco_text_of(const char *constant)
{
	EcoText		result = {constant, (int) strlen(constant), CStringGetTextDatum(constant)};

	return result;
}

static inline void
eco_require_arg(FunctionCallInfo fcinfo, int argno, const char *name)
{
	if (PG_ARGISNULL(argno))
		ECO_ERROR(ECO_NULL_ARGUMENT,
				  errmsg("%s must not be null", name));
}

/* A text of 1 to max bytes. */
static inline EcoText
eco_text_arg(FunctionCallInfo fcinfo, int argno, const char *name, int max)
{
	EcoText		result;
	text	   *value;

	eco_require_arg(fcinfo, argno, name);
	value = PG_GETARG_TEXT_PP(argno);
	result.data = VARDATA_ANY(value);
	result.len = VARSIZE_ANY_EXHDR(value);
	result.datum = PointerGetDatum(value);
	if (result.len == 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("%s must not be empty", name));
	if (result.len > max)
		ECO_ERROR(ECO_ARGUMENT_TOO_LONG,
				  errmsg("%s is too long", name),
				  errdetail("It has %d bytes; at most %d are allowed.", result.len, max));
	return result;
}

/* A JSON object of at most ECO_MAX_JSON bytes as text, or NULL. */
static inline Jsonb *
eco_object_arg(FunctionCallInfo fcinfo, int argno, const char *name)
{
	Jsonb	   *value;
	int			len;

	if (PG_ARGISNULL(argno))
		return NULL;
	value = PG_GETARG_JSONB_P(argno);
	if (!JB_ROOT_IS_OBJECT(value))
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("%s must be a JSON object", name));
	len = (int) strlen(JsonbToCString(NULL, &value->root, VARSIZE(value)));
	if (len > ECO_MAX_JSON)
		ECO_ERROR(ECO_ARGUMENT_TOO_LONG,
				  errmsg("%s is too long", name),
				  errdetail("It has %d bytes as text; at most %d are allowed.",
							len, ECO_MAX_JSON));
	return value;
}

#endif
