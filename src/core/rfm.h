/*
 * rfm.h
 *		Recency, frequency and monetary value of a user, out of daily buckets, and
 *		their scores.
 *
 * A user's buckets are one packed string: a record per UTC day with a purchase,
 * the newest day first, so that what a window needs stands at the front.  A
 * record is numbers as core/varint.h has them:
 *
 *	day, days before the record in front of it (of the first: zigzag of the day);
 *	purchases; us of the day at the first one;
 *	with more than one purchase: us from the first to the last, and span;
 *	zigzag of monetary; zigzag of first_seq less that of the record in front
 *
 * Days and times count from 2000-01-01 UTC.  The day's purchases have the entry
 * numbers first_seq .. first_seq + span, with others in between.
 */
#ifndef ECO_RFM_H
#define ECO_RFM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/varint.h"

#define ECO_BUCKET_MAX		48	/* bytes of a record, at most */
#define ECO_BUCKET_MIN		5
#define ECO_US_PER_DAY		INT64_C(86400000000)
#define ECO_NEVER			INT64_MAX	/* a moment that does not come */
#define ECO_RFM_BOUNDS		4	/* between five scores */
#define ECO_RULE_FIELDS		7

typedef struct EcoBucket
{
	int64_t		first_at;
	int64_t		last_at;
	int64_t		monetary;		/* INT64_MAX when the sum is beyond it */
	int64_t		first_seq;
	uint32_t	purchases;
	uint32_t	span;			/* UINT32_MAX: or more */
} EcoBucket;

/* The UTC day of a moment, counted from 2000-01-01. */
extern int64_t eco_utc_day(int64_t at);

/* Reads a packed string record by record. */
typedef struct EcoBucketReader
{
	EcoReader	in;				/* damaged: it is no packed string; reading
								 * has ended */
	bool		began;
	int64_t		day;			/* of the record before */
	int64_t		seq;
} EcoBucketReader;

extern void eco_buckets_read(EcoBucketReader *reader, const uint8_t *packed, size_t len);
extern bool eco_buckets_next(EcoBucketReader *reader, EcoBucket *bucket);

/* Writes one, with ECO_BUCKET_MAX bytes of room for each record. */
typedef struct EcoBucketWriter
{
	uint8_t    *at;
	bool		began;
	int64_t		day;
	int64_t		seq;
} EcoBucketWriter;

extern void eco_buckets_write(EcoBucketWriter *writer, uint8_t *packed);

/* Add a day, which must lie before those that were added. */
extern void eco_buckets_add(EcoBucketWriter *writer, const EcoBucket *bucket);

/*
 * Whether a purchase can be packed: within PostgreSQL's finite times, with an
 * entry number that is not negative.
 */
extern bool eco_bucket_fits(int64_t at, int64_t seq);

/* The bucket of a day with this one purchase. */
extern EcoBucket eco_bucket_of(int64_t at, int64_t monetary, int64_t seq);

/* Add b, of the same day, to a. */
extern void eco_bucket_join(EcoBucket *a, const EcoBucket *b);

/* Bytes that the days of two packed strings together need at most. */
#define ECO_MERGED_MAX(alen, blen) \
	(((alen) + (blen)) / ECO_BUCKET_MIN * ECO_BUCKET_MAX)

/*
 * The days of two packed strings together; out has that room, and is neither
 * of them.  The length, or SIZE_MAX when one is no packed string.
 */
extern size_t eco_buckets_merge(const uint8_t *a, size_t alen,
								const uint8_t *b, size_t blen, uint8_t *out);

/* What purchases up to as_of say. */
typedef struct EcoRfmInputs
{
	bool		damaged;		/* no packed string; the rest means nothing */
	bool		bought;			/* ever */
	int64_t		last_day;		/* UTC day of the newest purchase */
	int64_t		frequency;		/* purchases in (as_of - window, as_of] */
	int64_t		monetary;		/* their sum */
	int64_t		next_change_at; /* when purchases leave or enter the window,
								 * or ECO_NEVER */
} EcoRfmInputs;

/* Told of one purchase; state is the counter's own. */
typedef void (*EcoPurchaseSeen) (void *state, int64_t at, int64_t monetary);

/*
 * Visits the purchases of a bucket one by one, in any order.  A bucket does not
 * know its single purchases, so it is asked of those days that an edge of the
 * window cuts, two at most.
 */
typedef void (*EcoPurchaseSource) (void *arg, const EcoBucket *bucket,
								   EcoPurchaseSeen seen, void *state);

/* window is in us, 0 for all time. */
extern EcoRfmInputs eco_rfm_inputs(const uint8_t *packed, size_t len, int64_t as_of,
								   int64_t window, EcoPurchaseSource source, void *arg);

/* One segment's condition; all of it must hold.  Bounds are inclusive. */
typedef struct EcoSegmentRule
{
	int64_t		bought;			/* 0, 1, or -1 for either */
	int64_t		recency_from;
	int64_t		recency_to;
	int64_t		frequency_from;
	int64_t		frequency_to;
	int64_t		monetary_from;
	int64_t		monetary_to;
} EcoSegmentRule;

/*
 * What gives a user scores and a segment between two full refreshes: the model
 * with its bounds, and the rules with the quantiles that the last one found.
 */
typedef struct EcoRfmProgram
{
	int64_t		window;			/* us, 0 for all time */
	int64_t		clamp;			/* largest recency in days; also of who never
								 * bought */
	bool		everybody;		/* who bought before the window alone was
								 * ranked too */
	bool		collapsed[3];	/* R, F, M: all who were ranked had the same
								 * value, so there are no bounds */
	int64_t		bounds[3][ECO_RFM_BOUNDS];	/* R, F, M: the next score begins
											 * with each of these values */
	int			nrules;
	const EcoSegmentRule *rules;
} EcoRfmProgram;

/* Words of a serialised program without its rules. */
#define ECO_PROGRAM_HEADER	(3 + 3 + 3 * ECO_RFM_BOUNDS)

/* Read a program; false when the words are none.  Its rules point into the words. */
extern bool eco_rfm_program(const int64_t *words, size_t nwords, EcoRfmProgram *program);

typedef struct EcoRfmScores
{
	int64_t		recency;
	int			r;
	int			f;
	int			m;
	int			rule;			/* first that matches, from 0; -1 for none */
	int64_t		next_change_at; /* that of the inputs, or when recency alone
								 * changes a score or the rule */
} EcoRfmScores;

extern EcoRfmScores eco_rfm_score(const EcoRfmProgram *program,
								  const EcoRfmInputs *inputs, int64_t as_of);

#endif
