/*
 * rfm.h
 *		Scoring a user by a compiled snapshot.
 */
#ifndef ECO_SEGMENT_RFM_H
#define ECO_SEGMENT_RFM_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/array.h"
#include "utils/timestamp.h"

#include "core/rfm.h"
#include "ledger/journal.h"

/* A program and the names of its segments: the same from row to row, unpacked once. */
typedef struct EcoCompiled
{
	ArrayType  *words;			/* what the rest was made of */
	ArrayType  *names_array;
	EcoRfmProgram program;
	EcoText    *names;
	TupleDesc	result;			/* of eco_rfm_assess() */
} EcoCompiled;

/* Unpack a program and the names of its segments; raises when they are none. */
extern EcoCompiled *eco_rfm_compile(const ArrayType *words, const ArrayType *names,
									MemoryContext context);

/* Those of two arguments, from the function's last call when they are the same. */
extern EcoCompiled *eco_rfm_compiled(FunctionCallInfo fcinfo, int words_argno, int names_argno);

/* What the buckets of a user, and the journal of the days that the window cuts, say. */
extern EcoRfmInputs eco_rfm_read(int64 user_id, const uint8 *packed, size_t len,
								 TimestampTz as_of, int64 window);

/* The scores; raises when no rule matches. */
extern EcoRfmScores eco_rfm_judge(const EcoCompiled *compiled, int64 user_id,
								  const EcoRfmInputs *inputs, TimestampTz as_of);

/* The segment of who never bought; NULL when no rule matches. */
extern const EcoText *eco_rfm_never_bought(const EcoCompiled *compiled);

/* When they change by time alone; infinity for never. */
static inline TimestampTz
eco_rfm_next_change(const EcoRfmScores *scores)
{
	return scores->next_change_at == ECO_NEVER ? DT_NOEND : scores->next_change_at;
}

/* Buckets that are none. */
ECO_NORETURN extern void eco_not_buckets(void);

/* The journal of purchases, as it is read here. */
extern EcoTable eco_rfm_purchases;

enum
{
	ECO_BUY_USER_ID,
	ECO_BUY_SEQ,
	ECO_BUY_CREATED_AT,
	ECO_BUY_MONETARY,
	ECO_BUY_STATUS,
	ECO_BUY_COLUMNS
};

/* Whether that is the status of a purchase that was made, and is not pending. */
extern bool eco_rfm_is_made(Datum status);

/* Whether a purchase counts: it was made, and not taken back. */
extern bool eco_rfm_counts(const EcoRow *purchase);

/* Open it, and what says that one was taken back, as a part of a call that reads. */
extern EcoOpenTables *eco_rfm_journal_open(int64 user_id);

#endif
