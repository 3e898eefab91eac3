/*
 * batch.h
 *		Batches of calls as a jsonb array of objects, or as arrays, read and checked as
 *		strictly as the arguments of a single call.  Errors name the element and the member.
 */
#ifndef ECO_BATCH_H
#define ECO_BATCH_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "ledger/args.h"

#define ECO_MAX_MEMBERS 12
#define ECO_MAX_BATCH 1000000	/* what is read of them stays below 1 GB */

typedef struct EcoElement EcoElement;

/* What one element is made of, by place in lists of names that end with NULL. */
typedef struct EcoBatch
{
	const char *what;			/* for messages: "reward" */
	const char *objects;		/* the argument that is an array of objects */
	const char *const *members; /* of each of these */
	const char *const *arrays;	/* the arguments with an array for each member */
	int			required;		/* so many of them, the first ones, must be
								 * given */
	int			most;			/* elements */
	size_t		size;			/* of what one is read into, zeros at first */
	void		(*read) (EcoElement *element, void *into);
} EcoBatch;

/* The function's arguments, read: *n of them, palloc'd. */
extern void *eco_batch_read(const EcoBatch *batch, FunctionCallInfo fcinfo, int *n);

/* One of them, from 0. */
extern int	eco_element_number(const EcoElement *element);

/* Whether it has the member, and not null. */
extern bool eco_element_has(const EcoElement *element, int member);
extern EcoText eco_element_text(const EcoElement *element, int member, int max);

/* A number, or the text of one: a driver that reads a bigint as text sends it so. */
extern int64 eco_element_int(const EcoElement *element, int member);

/* The same; fallback: when the member is absent. */
extern int64 eco_element_int_or(const EcoElement *element, int member, int64 fallback);

/* NULL when absent or null */
extern Jsonb *eco_element_object(const EcoElement *element, int member);

/*
 * Whose element is which: a million of these are sorted, not the elements.  A batch
 * is worked off by ascending user, so that no two lock accounts crosswise, and of a
 * user in its own order.
 */
typedef struct EcoTurn
{
	int64		user_id;
	int			number;
} EcoTurn;

extern EcoTurn *eco_turns_make(int n);
extern void eco_turns_sort(EcoTurn *turns, int n);

#endif
