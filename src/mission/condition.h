/*
 * condition.h
 *		Which entries a mission counts: a condition in JSON, compiled to a flat program.
 *
 *	{"all": [..]} {"any": [..]} {"not": {..}}
 *	{"eq": [path, value]}, and ne, lt, le, gt, ge
 *	{"in": [path, [value, ..]]} {"between": [path, least, most]} {"exists": path}
 *
 * A value that is missing, null or of another type is unknown, and what is said of it is
 * neither true nor false, as SQL has it; an entry matches when the condition is true.
 */
#ifndef ECO_CONDITION_H
#define ECO_CONDITION_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "mission/fact.h"

#define ECO_CONDITION_DEPTH 16
#define ECO_CONDITION_NODES 256
#define ECO_CONDITION_VALUES 64 /* of one "in" */

typedef struct EcoCondition EcoCondition;

/* What is wrong with one; texts are palloc'd. */
typedef struct EcoFault
{
	char	   *path;			/* where: "$.all[1].eq" */
	char	   *says;
	char	   *hint;			/* or NULL */
} EcoFault;

/* Compile it into the current context, where it keeps the JSON; NULL: the fault says why. */
extern const EcoCondition *eco_condition_compile(const EcoTrigger *trigger, Jsonb *json,
												 EcoFault *fault);

/*
 * A text that a fact is equal to whenever the condition is true, if one is to be seen: who
 * has many conditions asks those of the fact's value alone.
 */
extern bool eco_condition_lifted(const EcoCondition *condition, const EcoFact **fact,
								 const EcoValue **value);

typedef enum EcoTruth
{
	ECO_FALSE,
	ECO_TRUE,
	ECO_UNKNOWN
} EcoTruth;

/* What it is of an entry. */
extern EcoTruth eco_condition_of(const EcoCondition *condition, const EcoRow *row);

#endif
