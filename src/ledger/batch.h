/*
 * batch.h
 *		Batches of calls as a jsonb array of objects, or as arrays, read and checked as
 *		strictly as the arguments of a single call.  Errors name the element and the member.
 */
#ifndef ECO_BATCH_H
#define ECO_BATCH_H

#include "postgres.h"

#include "funcapi.h"
#include "utils/jsonb.h"

#include "ledger/args.h"

#define ECO_MAX_MEMBERS 12
#define ECO_MAX_BATCH 1000000	/* what is read of them stays below 1 GB */

/* The number of elements; raises when it is no array, or has more than most. */
extern int	eco_batch_size(Jsonb *array, const char *what, int most);

/* Call read() for every element, numbered from 0; raises for a non-object. */
extern void eco_batch_read(Jsonb *array, const char *what,
						   void (*read) (JsonbContainer *object, int number, void *arg),
						   void *arg);

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

/* Return one row for each element, in the order of the batch, and free them. */
extern void eco_batch_return(ReturnSetInfo *info, HeapTuple *rows, int n);

/* The members of one object, by place in a list of names. */
typedef struct EcoMembers
{
	const char *what;			/* for messages: "reward" */
	int			number;
	const char *const *names;
	JsonbValue	values[ECO_MAX_MEMBERS];
	JsonbValue *found[ECO_MAX_MEMBERS]; /* NULL where absent */
} EcoMembers;

/* names ends with NULL; raises for a key that is not among them. */
extern void eco_members_read(EcoMembers *m, const char *what, JsonbContainer *object,
							 int number, const char *const *names);

/* fallback: the value as text when the member is absent, NULL when it is required */
extern EcoText eco_member_text(EcoMembers *m, int member, int max, const char *fallback);

/* A number, or the text of one: a driver that reads a bigint as text sends it so. */
extern int64 eco_member_int(EcoMembers *m, int member, const char *fallback);

/* NULL when absent or null */
extern Jsonb *eco_member_object(EcoMembers *m, int member);

/*
 * Batches as arguments that are arrays, one for each member.  The first ones must be
 * given; all have as many elements, at most `most`.
 */
typedef struct EcoArrays
{
	const char *what;			/* for messages: "purchase" */
	const char *const *members;
	int			n;
	bool		given[ECO_MAX_MEMBERS];
	Datum	   *values[ECO_MAX_MEMBERS];
	bool	   *nulls[ECO_MAX_MEMBERS];
} EcoArrays;

/* names and members end with NULL */
extern void eco_arrays_read(EcoArrays *arrays, FunctionCallInfo fcinfo, const char *what,
							const char *const *names, const char *const *members,
							int required, int most);

/* An element, which must not be null. */
extern Datum eco_array_value(const EcoArrays *arrays, int member, int number);
extern EcoText eco_array_text(const EcoArrays *arrays, int member, int number, int max);

/* NULL when null */
extern Jsonb *eco_array_object(const EcoArrays *arrays, int member, int number);

#endif
