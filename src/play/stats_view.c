/*
 * stats_view.c
 *		What the view economy.game_stats, the audit and corrections ask of a user's
 *		packed statistics.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "ledger/args.h"
#include "ledger/sections.h"
#include "play/games.h"

PG_FUNCTION_INFO_V1(eco_games_of);
PG_FUNCTION_INFO_V1(eco_games_sound);
PG_FUNCTION_INFO_V1(eco_with_game);

static void
put_row(ReturnSetInfo *info, const EcoGame *game)
{
	const EcoFigures *f = &game->figures;
	Datum		values[] = {
		PointerGetDatum(cstring_to_text_with_len(game->name, game->len)),
		Int64GetDatum(f->wins), Int64GetDatum(f->losses), Int64GetDatum(f->draws),
		Int64GetDatum(f->max_win), Int64GetDatum(f->bet_sum), Int64GetDatum(f->win_sum),
		TimestampTzGetDatum(f->last_action_at)
	};
	bool		isnull[lengthof(values)] = {false};

	tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
}

/* What others only compare is shown here: a name that is no text is damage, too. */
static bool
next_game(EcoReader *reader, EcoGame *game)
{
	if (!eco_games_next(reader, game))
		return false;
	reader->damaged = !pg_verify_mbstr(PG_UTF8, game->name, game->len, true);
	return !reader->damaged;
}

/* eco_games_of(sections bytea) returns table, STRICT */
Datum
eco_games_of(PG_FUNCTION_ARGS)
{
	EcoSection	section;
	EcoReader	reader;
	EcoGame		game = {.name = ""};
	bool		more;

	InitMaterializedSRF(fcinfo, 0);
	(void) eco_sections_get(PG_GETARG_BYTEA_PP(0), ECO_SECTION_GAMES, &section);
	eco_games_read(&reader, &section, &more);
	while (next_game(&reader, &game))
		put_row((ReturnSetInfo *) fcinfo->resultinfo, &game);
	return (Datum) 0;
}

/* eco_games_sound(sections bytea, further boolean) returns boolean; null: none */
Datum
eco_games_sound(PG_FUNCTION_ARGS)
{
	EcoSection	section;
	EcoReader	reader;
	EcoGame		game = {.name = ""};
	bool		more;

	eco_require_arg(fcinfo, 1, "further");
	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(!PG_GETARG_BOOL(1));
	if (!eco_sections_get(PG_GETARG_BYTEA_PP(0), ECO_SECTION_GAMES, &section))
		PG_RETURN_BOOL(false);
	eco_games_read(&reader, &section, &more);
	while (next_game(&reader, &game))
		;
	PG_RETURN_BOOL(!reader.damaged && more == PG_GETARG_BOOL(1));
}

static int64
amount_arg(FunctionCallInfo fcinfo, int argno, const char *name)
{
	eco_require_arg(fcinfo, argno, name);
	if (PG_GETARG_INT64(argno) < 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("%s must be 0 or more", name));
	return PG_GETARG_INT64(argno);
}

/*
 * eco_with_game(sections bytea, game text, wins, losses, draws, max_win, bet_sum,
 *				 win_sum bigint, last_action_at timestamptz) returns bytea
 *		Null sections are none; wins null takes the game out.
 */
Datum
eco_with_game(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"losses", "draws", "max_win", "bet_sum", "win_sum"};
	bytea	   *all = PG_ARGISNULL(0) ? NULL : PG_GETARG_BYTEA_PP(0);
	EcoText		name = eco_text_arg(fcinfo, 1, "game", ECO_MAX_NAME);
	EcoGame		game = {.name = name.data, .len = name.len};
	int64	   *amounts[] = {
		&game.figures.losses, &game.figures.draws, &game.figures.max_win,
		&game.figures.bet_sum, &game.figures.win_sum
	};
	bool		keep = !PG_ARGISNULL(2);
	EcoSection	section;
	EcoReader	reader;
	bool		more;
	uint8	   *payload;
	bytea	   *result;

	if (keep)
	{
		game.figures.wins = amount_arg(fcinfo, 2, "wins");
		for (size_t i = 0; i < lengthof(names); i++)
			*amounts[i] = amount_arg(fcinfo, (int) i + 3, names[i]);
		if (!eco_figures_fit(&game.figures))
			ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("the games add up to more than a bigint"));
		eco_require_arg(fcinfo, 8, "last_action_at");
		game.figures.last_action_at = PG_GETARG_TIMESTAMPTZ(8);
		if (TIMESTAMP_NOT_FINITE(game.figures.last_action_at))
			ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("last_action_at must be finite"));
	}
	if (!eco_sections_get(all, ECO_SECTION_GAMES, &section))
		ECO_ERROR(ECO_LEDGER_DAMAGED, errmsg("these are no sections of an account"));
	eco_games_read(&reader, &section, &more);
	payload = palloc(section.len + 1 + ECO_GAME_MAX);
	section.len = eco_games_put(&section, more, &game, keep, payload);
	if (section.len == 0)
		ECO_ERROR(ECO_LEDGER_DAMAGED, errmsg("these statistics of games are damaged"),
				  errhint("Begin with sections that are null, and add all games of the user."));
	if (section.len > ECO_GAMES_ROOM)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("there is no room for this game in the account"),
				  errhint("Its statistics stand in economy_internal.game_stats_more."));
	if (section.len == 1 && !more)
		section.len = 0;
	section.version = ECO_GAMES_VERSION;
	section.data = payload;
	result = eco_sections_set(all, ECO_SECTION_GAMES, &section);
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(result);
}
