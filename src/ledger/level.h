/*
 * level.h
 *		Levels: the linear curve, curves from a table, and which one a user has.
 */
#ifndef ECO_LEVEL_H
#define ECO_LEVEL_H

#include "postgres.h"

#include "ledger/result.h"

#define ECO_LINEAR_CURVE "linear"

typedef struct EcoLevel
{
	int32		level;			/* >= 1 */
	int64		xp_into_level;
	int64		xp_to_next;		/* -1 at the top of a curve */
} EcoLevel;

/* Whoever asks for levels opens these. */
#define ECO_LEVEL_TABLES &eco_level_curves, &eco_level_experiments
extern EcoTable eco_level_curves;
extern EcoTable eco_level_experiments;
extern EcoTable *const eco_level_tables[];

/* Position of xp on a curve; raises XE402 for an unknown one. */
extern EcoLevel eco_level_at(const char *curve, int64 xp);

/*
 * The user's curve: the arm of the first enabled experiment that the user
 * falls into, else that of set_default_level_curve(), else linear.
 */
extern const char *eco_level_curve_of(int64 user_id);

/* The level after an entry and, in *before, that before it. */
extern int32 eco_level_change(const EcoRow *row, int32 *before);

/*
 * Levels before and after an entry, by the curve of when it was made: what a journal has
 * beside those of its rows that give XP (EcoEntry.beside), when few do.
 */
typedef struct EcoLevelStep
{
	int32		before;
	int32		after;
} EcoLevelStep;

/*
 * What the XP of an entry led to, in the detail of its answer: xp_delta, experience_points,
 * level and leveled_up.
 */
extern EcoLevelStep eco_level_detail(EcoDetail *detail, const EcoRow *row);

/* The same of an entry that would be made: of the account as it is after it. */
extern EcoLevelStep eco_level_foretold(EcoDetail *detail, int64 user_id, int64 xp_delta,
									   int64 xp);

#endif
