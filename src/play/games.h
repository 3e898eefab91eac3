/*
 * games.h
 *		The section of a user's account that has the statistics of the games played.
 *
 *	payload (version 1) = more:u8 game*				by name, bytewise; none twice
 *	game	= name_length:u8 figures_length:u8 name figures
 *	figures = wins losses draws max_win bet_sum win_sum	(numbers of core/varint.h)
 *			  last_action_at:i64					us since 2000-01-01 UTC
 *
 * more is 1 when further games of the user, for which there was no room here, stand in
 * economy_internal.game_stats_more; else 0.
 */
#ifndef ECO_GAMES_H
#define ECO_GAMES_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "core/section.h"
#include "core/varint.h"

#define ECO_GAMES_VERSION	1
#define ECO_GAMES_ROOM		1024	/* bytes of the payload, at most */
#define ECO_GAME_MIN	(2 + 1 + 6 + 8) /* bytes of one game */
#define ECO_GAME_MAX		(2 + 64 + 6 * ECO_VARINT_MAX + 8)

typedef struct EcoFigures
{
	int64		wins;
	int64		losses;
	int64		draws;
	int64		max_win;
	int64		bet_sum;
	int64		win_sum;
	TimestampTz last_action_at;
} EcoFigures;

static inline int64
eco_figures_total(const EcoFigures *f)
{
	return f->wins + f->losses + f->draws;
}

/* Whether the total is a bigint. */
extern bool eco_figures_fit(const EcoFigures *f);

typedef struct EcoGame
{
	const char *name;			/* in the section */
	int			len;
	EcoFigures	figures;
} EcoGame;

/* Read one game after the other, of a section or of none; *more says what it says. */
extern void eco_games_read(EcoReader *reader, const EcoSection *section, bool *more);
extern bool eco_games_next(EcoReader *reader, EcoGame *game);

/*
 * Write the payload with the game in its place, or, unless it is to be kept, without it;
 * out has room for section->len + 1 + ECO_GAME_MAX.  The length; 0: damage.
 */
extern size_t eco_games_put(const EcoSection *section, bool more, const EcoGame *game,
							bool keep, uint8 *out);

#endif
