/*
 * games.c
 *		The section of a user's account that has the statistics of the games played.
 */
#include "postgres.h"

#include "play/games.h"

void
eco_games_read(EcoReader *reader, const EcoSection *section, bool *more)
{
	*more = false;
	*reader = (EcoReader)
	{
		.at = section->data, .end = section->data + section->len
	};
	if (section->len == 0)
		return;
	reader->damaged = section->version != ECO_GAMES_VERSION ||
		section->len > ECO_GAMES_ROOM || *reader->at > 1;
	*more = *reader->at++ == 1;
}

bool
eco_figures_fit(const EcoFigures *f)
{
	int64		total;

	return !__builtin_add_overflow(f->wins, f->losses, &total) &&
		!__builtin_add_overflow(total, f->draws, &total);
}

static void
read_figures(EcoReader *reader, EcoFigures *f)
{
	int64	   *numbers[] = {
		&f->wins, &f->losses, &f->draws, &f->max_win, &f->bet_sum, &f->win_sum
	};

	for (size_t i = 0; i < lengthof(numbers); i++)
		*numbers[i] = (int64) eco_varint_read(reader, PG_INT64_MAX);
	f->last_action_at = eco_int64_read(reader);
	if (!eco_figures_fit(f) || !IS_VALID_TIMESTAMP(f->last_action_at))
		reader->damaged = true;
}

static int
compare_names(const char *a, int a_len, const char *b, int b_len)
{
	int			order = memcmp(a, b, Min(a_len, b_len));

	return order != 0 ? order : a_len - b_len;
}

/* game: the one before, or of no length */
bool
eco_games_next(EcoReader *reader, EcoGame *game)
{
	const uint8 *at = reader->at;
	EcoReader	figures;

	if (reader->damaged || at >= reader->end)
		return false;
	if (reader->end - at < 2 || at[0] == 0 || reader->end - at - 2 < at[0] + at[1] ||
		compare_names(game->name, game->len, (const char *) at + 2, at[0]) >= 0)
	{
		reader->damaged = true;
		return false;
	}
	game->name = (const char *) at + 2;
	game->len = at[0];
	figures = (EcoReader)
	{
		.at = at + 2 + at[0], .end = at + 2 + at[0] + at[1]
	};
	read_figures(&figures, &game->figures);
	reader->damaged = figures.damaged || figures.at != figures.end;
	reader->at = figures.end;
	return !reader->damaged;
}

static uint8 *
write_game(uint8 *out, const EcoGame *game)
{
	const EcoFigures *f = &game->figures;
	int64		numbers[] = {f->wins, f->losses, f->draws, f->max_win, f->bet_sum, f->win_sum};
	uint8	   *begin = out;

	out += 2;
	memcpy(out, game->name, game->len);
	out += game->len;
	for (size_t i = 0; i < lengthof(numbers); i++)
		eco_varint_write(&out, (uint64) numbers[i]);
	eco_int64_write(&out, f->last_action_at);
	begin[0] = (uint8) game->len;
	begin[1] = (uint8) (out - begin - 2 - game->len);
	return out;
}

size_t
eco_games_put(const EcoSection *section, bool more, const EcoGame *game, bool keep, uint8 *out)
{
	EcoReader	reader;
	EcoGame		other = {.name = ""};
	bool		was_more;
	const uint8 *before;		/* end of the games before it */
	const uint8 *after;			/* begin of those after it */
	uint8	   *at = out;
	int			order = 1;

	eco_games_read(&reader, section, &was_more);
	before = after = reader.at;
	while (order > 0 && eco_games_next(&reader, &other))
	{
		order = compare_names(game->name, game->len, other.name, other.len);
		if (order > 0)
			before = reader.at;
		if (order >= 0)
			after = reader.at;
	}
	if (reader.damaged)
		return 0;
	*at++ = more;
	if (section->len > 0)
	{
		memcpy(at, section->data + 1, before - section->data - 1);
		at += before - section->data - 1;
	}
	if (keep)
		at = write_game(at, game);
	if (section->len > 0)
	{
		memcpy(at, after, section->data + section->len - after);
		at += section->data + section->len - after;
	}
	return at - out;
}
