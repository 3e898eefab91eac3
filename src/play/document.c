/*
 * document.c
 *		game_stats_me(): a user's statistics as one document.
 *
 * Members are put in the order in which jsonb keeps them, which spares it the sorting.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "ledger/args.h"
#include "ledger/result.h"
#include "play/stats.h"

/* Figures of one game, or of all together. */
typedef struct Figures
{
	int64		total;
	int64		wins;
	int64		losses;
	int64		draws;
	int64		max_win;
} Figures;

PG_FUNCTION_INFO_V1(eco_game_stats_me);

static void put_games(EcoDetail *document, int64 user_id, Figures *sum);
static void put_game(EcoDetail *document, const EcoRow *game, const Figures *f);
static void put_win_rate(EcoDetail *document, const Figures *f);
static void put_sum(EcoDetail *document, const Figures *sum);

/*
 * eco_game_stats_me(user_id bigint) returns jsonb
 *		The statistics document: every registered game has its keys, with zeros
 *		where the user never played.
 */
Datum
eco_game_stats_me(PG_FUNCTION_ARGS)
{
	static EcoTable *const tables[] = {&eco_games, &eco_accounts, &eco_game_stats_more, NULL};
	EcoOpenTables *open;
	EcoDetail	document = {0};
	Figures		sum = {0};

	eco_require_arg(fcinfo, 0, "user_id");
	open = eco_tables_open(ECO_READ, tables);
	eco_detail_open_object(&document, "games", (int) strlen("games"));
	put_games(&document, PG_GETARG_INT64(0), &sum);
	eco_detail_close_object(&document);
	eco_tables_close(open);
	eco_detail_int(&document, "user_id", PG_GETARG_INT64(0));
	put_sum(&document, &sum);
	return eco_detail_end(&document);
}

static bool
is_named(const EcoGame *game, Datum name)
{
	text	   *other = DatumGetTextPP(name);

	return game->len == (int) VARSIZE_ANY_EXHDR(other) &&
		memcmp(game->name, VARDATA_ANY(other), game->len) == 0;
}

/* Both go by the name of the game. */
static void
put_games(EcoDetail *document, int64 user_id, Figures *sum)
{
	EcoScan    *all = eco_scan_begin(&eco_games, 0, 0, 0, NULL);
	int			n;
	EcoGame    *mine = eco_stats_all(user_id, &n);
	EcoGame    *end = mine + n;
	EcoRow		game;

	while (eco_scan_next(all, &game))
	{
		Figures		f = {0};

		if (mine < end && is_named(mine, game.values[0]))
		{
			f.total = eco_figures_total(&mine->figures);
			f.wins = mine->figures.wins;
			f.losses = mine->figures.losses;
			f.draws = mine->figures.draws;
			f.max_win = mine->figures.max_win;
			mine++;
		}
		put_game(document, &game, &f);
		sum->total += f.total;
		sum->wins += f.wins;
		sum->losses += f.losses;
		sum->draws += f.draws;
		sum->max_win = Max(sum->max_win, f.max_win);
	}
	eco_scan_end(all);
}

static void
put_game(EcoDetail *document, const EcoRow *game, const Figures *f)
{
	text	   *name = DatumGetTextPP(game->values[0]);

	eco_detail_open_object(document, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	eco_detail_int(document, "wins", f->wins);
	eco_detail_int(document, "draws", f->draws);
	eco_detail_int(document, "total", f->total);
	eco_detail_int(document, "losses", f->losses);
	eco_detail_int(document, "max_win", f->max_win);
	put_win_rate(document, f);
	eco_detail_close_object(document);
}

/* wins / (wins + losses) to 4 places, half up; 0 without either */
static void
put_win_rate(EcoDetail *document, const Figures *f)
{
	int64		games = f->wins + f->losses;
	int64		rate = 0;

	if (games > 0)
		rate = (int64) (((int128) f->wins * 20000 + games) / (2 * (int128) games));
	eco_detail_numeric(document, "win_rate", int64_div_fast_to_numeric(rate, 4));
}

static void
put_sum(EcoDetail *document, const Figures *sum)
{
	put_win_rate(document, sum);
	eco_detail_int(document, "total_wins", sum->wins);
	eco_detail_int(document, "total_draws", sum->draws);
	eco_detail_int(document, "total_losses", sum->losses);
	eco_detail_int(document, "overall_max_win", sum->max_win);
	eco_detail_int(document, "total_games_played", sum->total);
}
