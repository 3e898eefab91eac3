/*
 * rows.h
 *		The rows that refreshes write from C: user_segments, and who is due.
 */
#ifndef ECO_SEGMENT_ROWS_H
#define ECO_SEGMENT_ROWS_H

#include "segment/rfm.h"

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
extern EcoTable eco_rfm_due;

/* Write scores and segment into a row. */
extern void eco_segment_row_score(EcoRow *row, const EcoCompiled *compiled,
								  const EcoRfmInputs *inputs, const EcoRfmScores *scores);

/* The hour that a moment lies in, by which rfm_due is kept. */
extern TimestampTz eco_rfm_hour(TimestampTz at);

/* Insert a chunk of rfm_due; each user is so many bytes behind the one before. */
extern void eco_due_insert(TimestampTz hour, int64 chunk, const int64 *users, size_t stride,
						   size_t n);

#endif
