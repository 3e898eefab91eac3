/*
 * result.h
 *		Rows that functions return: composite results by column name, and the
 *		small jsonb objects in their "detail" column.
 */
#ifndef ECO_RESULT_H
#define ECO_RESULT_H

#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "ledger/journal.h"

#define ECO_MAX_RESULT_COLUMNS 24

typedef struct EcoResult
{
	TupleDesc	desc;			/* NULL: the function returns the code alone */
	Datum		values[ECO_MAX_RESULT_COLUMNS];
	bool		isnull[ECO_MAX_RESULT_COLUMNS];
} EcoResult;

/*
 * The columns' types, a letter each: b boolean, d date, f double precision, i integer,
 * j jsonb, J json, l bigint, s smallint, t text, T text[], x bytea, z timestamptz.  An owner can
 * alter a type; a row that is built for another one would be read as what it is not.  Behind
 * the mark are columns that an older release does not have: its rows end there.
 */
#define ECO_RES_LATER '+'

/*
 * A row of the function's result type, all columns null; of other types it is XE105.
 * One that begins with the columns below may be of a function that returns text: its
 * eco_result_row() is the code.
 */
extern void eco_result_begin(EcoResult *result, FunctionCallInfo fcinfo, const char *types);

/* The function returns a set of such rows, in info->setResult and setDesc. */
extern void eco_result_set_begin(FunctionCallInfo fcinfo, const char *types);
extern Datum eco_result_row(EcoResult *result);

static inline void
eco_result_set(EcoResult *result, int column, Datum value)
{
	result->values[column] = value;
	result->isnull[column] = false;
}

/* Columns that open the result of every function that makes an entry. */
enum
{
	ECO_RES_SUCCESS,
	ECO_RES_STATE,
	ECO_RES_CODE,
	ECO_RES_TRANSACTION_ID,
	ECO_RES_OWN					/* the function's own columns start here */
};

/* state is new, reuse, in_progress or refused; the first two are a success */
extern void eco_result_outcome(EcoResult *result, const char *state, const char *code);
extern void eco_result_text(EcoResult *result, int column, const char *value);

/* Another transaction is in that very call; the column says when to come again. */
extern void eco_result_busy(EcoResult *result, int retry_after_column);

/* After how long a call is to be tried again that another transaction is in. */
extern int32 eco_retry_after_ms(void);

/* The transaction_id of an entry of the journal. */
extern void eco_result_entry(EcoResult *result, const EcoJournal *journal, const EcoRow *entry);

/* A jsonb object under construction, which may hold others. */
typedef struct EcoDetail
{
	JsonbParseState *state;
	bool		open;
} EcoDetail;

extern void eco_detail_text(EcoDetail *detail, const char *key, const char *value, int len);
extern void eco_detail_str(EcoDetail *detail, const char *key, const char *value);
extern void eco_detail_int(EcoDetail *detail, const char *key, int64 value);
extern void eco_detail_numeric(EcoDetail *detail, const char *key, Numeric value);
extern void eco_detail_bool(EcoDetail *detail, const char *key, bool value);

/* As JSON has a timestamptz, in UTC. */
extern void eco_detail_moment(EcoDetail *detail, const char *key, TimestampTz value);

/* NULL: null */
extern void eco_detail_json(EcoDetail *detail, const char *key, Jsonb *value);

/* An object within it, until it is closed. */
extern void eco_detail_open_object(EcoDetail *detail, const char *key, int len);
extern void eco_detail_close_object(EcoDetail *detail);

/*
 * Whether a retry gives the same object as the first call; NULL: null.  The second
 * compares with a column of the first call's row.
 */
extern bool eco_same_json(Jsonb *a, Jsonb *b);
extern bool eco_same_object(const EcoRow *first, int column, Jsonb *object);

/* "field" and "first" of IDEMPOTENCY_MISMATCH; the caller adds "now". */
extern void eco_detail_field(EcoDetail *detail, const char *field, const EcoRow *first, int column);

/* The object, or 0 when nothing was added. */
extern Datum eco_detail_end(EcoDetail *detail);

/*
 * Refuse what an archived entry would have to answer: RESYNC_REQUIRED, with its name, and
 * why in the column for details.
 */
extern void eco_result_archived(EcoResult *result, int detail_column, const EcoJournal *journal,
								int64 user_id, int64 seq);

#endif
