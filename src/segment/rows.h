/*
 * rows.h
 *		The rows that refreshes write from C: user_segments, its history, and who is due.
 */
#ifndef ECO_SEGMENT_ROWS_H
#define ECO_SEGMENT_ROWS_H

#include "segment/rfm.h"

enum
{
	ECO_SEH_USER_ID,
	ECO_SEH_CHANGE_NO,
	ECO_SEH_FROM,
	ECO_SEH_TO,
	ECO_SEH_CHANGED_AT,
	ECO_SEH_SNAPSHOT_ID,
	ECO_SEH_COLUMNS
};

enum
{
	ECO_SEG_USER_ID,
	ECO_SEG_SEQ,
	ECO_SEG_FREQUENCY,
	ECO_SEG_MONETARY,
	ECO_SEG_SINCE,
	ECO_SEG_NEXT_CHANGE_AT,
	ECO_SEG_CHANGES,
	ECO_SEG_R,
	ECO_SEG_F,
	ECO_SEG_M,
	ECO_SEG_SEGMENT,
	ECO_SEG_BUCKETS,
	ECO_SEG_COLUMNS
};

extern EcoTable eco_user_segments;
extern EcoTable eco_segment_history;
extern EcoTable eco_rfm_due;

/* Write scores and segment into a row. */
extern void eco_segment_row_score(EcoRow *row, const EcoCompiled *compiled,
								  const EcoRfmInputs *inputs, const EcoRfmScores *scores);

/* The hour that a moment lies in, by which rfm_due is kept. */
extern TimestampTz eco_rfm_hour(TimestampTz at);

/* A user, and the hour by which rfm_due is to hold him. */
typedef struct EcoDue
{
	TimestampTz hour;
	int64		user_id;
} EcoDue;

/* Put them into rfm_due, in any order, each once: a further chunk of each hour. */
extern void eco_due_write(EcoDue *due, size_t n);

#endif
