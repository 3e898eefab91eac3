/*
 * draw_table.h
 *		What can be drawn: the definition of a draw table, and an outcome of it.
 *
 * A definition is a JSON object that has one of
 *
 *	entries: [{"entry": "dragon", "weight": 5, "class": "rare", "gold": 10, "xp": 5,
 *			   "items": {}, "limit": 100, "else": "gold"}, ...]
 *	dice: {"count": 2, "sides": 6}
 *	reels: [["cherry", "bell"], ["cherry", "bell", "seven"]]
 *	sample: {"count": 5, "of": 52}
 *	crash: {"edge": 10000}
 *	hand: {}
 *
 * and may have a price, {"gold": 100, "items": {"ticket": 1}}; with entries also a pity,
 * {"class": "rare", "after": 90}: after so many draws without the class comes one of it.
 * An entry with a limit gives its prize so many times, to all users together, and from then
 * on that of the entry that "else" names, which has none.  What is drawn is the same.
 */
#ifndef ECO_HOLD_DRAW_TABLE_H
#define ECO_HOLD_DRAW_TABLE_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "core/draw.h"
#include "ledger/holdings.h"

#define ECO_DRAW_ENTRIES	1000
#define ECO_DRAW_NUMBERS	1000	/* of a sample, and of dice */
#define ECO_DRAW_REELS		16

typedef enum EcoDrawKind
{
	ECO_DRAW_NOTHING,
	ECO_DRAW_BY_WEIGHT,
	ECO_DRAW_DICE,
	ECO_DRAW_REEL,
	ECO_DRAW_SOME,
	ECO_DRAW_CRASH,
	ECO_DRAW_HAND
} EcoDrawKind;

typedef struct EcoDrawEntry
{
	EcoText		id;
	EcoText		class;			/* len 0: none */
	int64		gold;
	int64		xp;
	JsonbContainer *items;		/* NULL: none */
	int64		limit;			/* 0: none */
	EcoText		other;			/* the entry that gives its prize beyond it */
} EcoDrawEntry;

typedef struct EcoDrawTable
{
	EcoDrawKind kind;
	int			code;			/* of errors */
	bool		is_published;

	/* entries; their weights, and the same where all but those of pity are 0 */
	int			n;
	EcoDrawEntry *entries;
	int64	   *weights;
	int64	   *rare;
	int64		sum;
	int64		rare_sum;
	int64		most_gold;
	int64		most_xp;
	EcoText		pity;			/* its class; len 0: none */
	int64		pity_after;

	/* others: count and sides, count and of, or where the reels may stop */
	int			count;
	int			of;
	int			stops[ECO_DRAW_REELS];
	JsonbContainer *symbols[ECO_DRAW_REELS];
	int			edge;

	int64		price_gold;
	JsonbContainer *price_items;	/* NULL: none */
} EcoDrawTable;

/*
 * Reads a definition, which the table refers to; raises XE002 when it is none, XE103 when
 * it is one that was published.  Of that it is only asked what reading it needs: the rest was
 * asked then.  Whether its items exist is not asked.
 */
extern void eco_draw_table_read(Jsonb *definition, bool is_published, EcoDrawTable *table);

static inline bool
eco_draw_is_rare(const EcoDrawTable *table, int entry)
{
	return table->rare[entry] > 0;
}

/* The entry that gives its prize when that of this one has reached its limit. */
extern int	eco_draw_instead(const EcoDrawTable *table, int entry);

typedef struct EcoOutcome
{
	int			entry;
	bool		is_guaranteed;	/* pity gave it */
	int64		pity;			/* draws without the class after this one */
	int64		number;			/* hundredths, or the hand */
	int			numbers[ECO_DRAW_NUMBERS];
} EcoOutcome;

/* pity: draws without the class before this one */
extern void eco_outcome_draw(const EcoDrawTable *table, EcoDraw *draw, int64 pity,
							 EcoOutcome *outcome);
extern Jsonb *eco_outcome_json(const EcoDrawTable *table, const EcoOutcome *outcome);

#endif
