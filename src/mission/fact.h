/*
 * fact.h
 *		What a mission can ask of an entry: event.*, user.* and time.*.
 *
 * A fact is read from the row of the entry alone, so that a mission says the same of an
 * entry whenever it is asked: when the entry is made, and when the audit reads it again.
 */
#ifndef ECO_FACT_H
#define ECO_FACT_H

#include "postgres.h"

#include "utils/numeric.h"

#include "ledger/journal.h"

#define ECO_FACT_KEYS 4			/* of details, one within the other */

/* What entries a mission looks at. */
typedef struct EcoTrigger
{
	const char *word;
	char		letter;			/* of their journal; 0: all entries */
} EcoTrigger;

/* NULL: none is called so. */
extern const EcoTrigger *eco_trigger_of(const char *word, int len);

typedef enum EcoFactKind
{
	ECO_FACT_INT,
	ECO_FACT_TEXT,
	ECO_FACT_JSON				/* whatever stands there: its type is known
								 * when it is read */
} EcoFactKind;

typedef enum EcoFactSource
{
	ECO_FACT_COLUMN,
	ECO_FACT_SPENT,				/* gold that the entry took, or 0 */
	ECO_FACT_GAINED,			/* gold that it gave, or 0 */
	ECO_FACT_HOUR,				/* of its time by UTC, 0 to 23 */
	ECO_FACT_WEEKDAY			/* 1, Monday, to 7 */
} EcoFactSource;

typedef struct EcoFactKey
{
	const char *name;
	int			len;
} EcoFactKey;

typedef struct EcoFact
{
	EcoFactKind kind;
	EcoFactSource source;
	int			column;
	Oid			type;			/* of the column */
	int			nkeys;			/* ECO_FACT_JSON: the way to the value */
	EcoFactKey	keys[ECO_FACT_KEYS];
} EcoFact;

/* A value of a fact, or one that it is compared with. */
typedef enum EcoValueKind
{
	ECO_VALUE_MISSING,
	ECO_VALUE_INT,
	ECO_VALUE_TEXT,
	ECO_VALUE_NUMERIC,
	ECO_VALUE_BOOL,
	ECO_VALUE_OTHER				/* an array or an object */
} EcoValueKind;

typedef struct EcoValue
{
	EcoValueKind kind;
	int64		number;			/* or a truth value */
	Numeric		numeric;
	const char *text;
	int			len;
} EcoValue;

/*
 * The fact that a path names for entries of the trigger; its keys point into the path, which
 * is not copied.  False: it names none.
 */
extern bool eco_fact_of(const EcoTrigger *trigger, const char *path, int len, EcoFact *fact);

/* Paths that there are for the trigger, for a hint; palloc'd. */
extern char *eco_fact_paths(const EcoTrigger *trigger);

/* Read it from an entry; what the value points to is the row's. */
extern void eco_fact_read(const EcoFact *fact, const EcoRow *row, EcoValue *value);

/* The same as a whole number: rounded, as a cast of SQL does; false: it is none. */
extern bool eco_fact_int(const EcoFact *fact, const EcoRow *row, int64 *number);

/* The column of the table that is called so; -1: none. */
extern int	eco_column_named(const EcoTable *table, const char *name);

#endif
