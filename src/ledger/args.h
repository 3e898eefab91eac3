/*
 * args.h
 *		Checks of function arguments that every domain makes the same way.
 */
#ifndef ECO_ARGS_H
#define ECO_ARGS_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/jsonb.h"

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

/* A constant as if it were such an argument. */
extern EcoText eco_text_of(const char *constant);

/* A text of a row, which it lives as long as. */
extern EcoText eco_text_in(Datum value);

extern void eco_require_arg(FunctionCallInfo fcinfo, int argno, const char *name);

/* A text of 1 to max bytes. */
extern EcoText eco_text_arg(FunctionCallInfo fcinfo, int argno, const char *name, int max);

/* A JSON object of at most ECO_MAX_JSON bytes as text, or NULL. */
extern Jsonb *eco_object_arg(FunctionCallInfo fcinfo, int argno, const char *name);

/*
 * An interval from 1 second to so many hours, in whole seconds, rounded up.  A day has 24 hours
 * and a month 30 days, in every session.
 */
extern int64 eco_seconds_arg(FunctionCallInfo fcinfo, int argno, const char *name,
							 int most_hours);

/* What to do where a user has less than is to be taken back. */
#define ECO_REFUSE			"refuse"
#define ECO_TAKE_AVAILABLE	"take_available"

/* Whether the policy, an argument, is to take what is there. */
extern bool eco_takes_available(FunctionCallInfo fcinfo, int argno);

#endif
