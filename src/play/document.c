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

static void put_games(EcoDetail *document, Datum user_id, Figures *sum);
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
	static EcoTable *const tables[] = {&eco_games, &eco_game_stats, NULL};
	EcoOpenTables *open;
	EcoDetail	document = {0};
	Figures		sum = {0};

	eco_require_arg(fcinfo, 0, "user_id");
	open = eco_tables_open(ECO_READ, tables);
	eco_detail_open_object(&document, "games", (int) strlen("games"));
	put_games(&document, PG_GETARG_DATUM(0), &sum);
	eco_detail_close_object(&document);
	eco_tables_close(open);
	eco_detail_int(&document, "user_id", PG_GETARG_INT64(0));
	put_sum(&document, &sum);
	return eco_detail_end(&document);
}

static bool
same_text(Datum a, Datum b)
{
	text	   *one = DatumGetTextPP(a);
	text	   *other = DatumGetTextPP(b);

	return VARSIZE_ANY_EXHDR(one) == VARSIZE_ANY_EXHDR(other) &&
		memcmp(VARDATA_ANY(one), VARDATA_ANY(other), VARSIZE_ANY_EXHDR(one)) == 0;
}

/* Both scans go by the name of the game. */
static void
put_games(EcoDetail *document, Datum user_id, Figures *sum)
{
	EcoScan    *all = eco_scan_begin(&eco_games, 0, 0, 0, NULL);
	EcoScan    *mine = eco_scan_begin(&eco_game_stats, DatumGetInt64(user_id), 0, 1, &user_id);
	EcoRow		game;
	EcoRow		row;
	bool		has_row = eco_scan_next(mine, &row);

	while (eco_scan_next(all, &game))
	{
		Figures		f = {0};

		if (has_row && same_text(row.values[STA_GAME], game.values[0]))
		{
			f.total = eco_row_int(&row, STA_TOTAL);
			f.wins = eco_row_int(&row, STA_WINS);
			f.losses = eco_row_int(&row, STA_LOSSES);
			f.draws = eco_row_int(&row, STA_DRAWS);
			f.max_win = eco_row_int(&row, STA_MAX_WIN);
			has_row = eco_scan_next(mine, &row);
		}
		put_game(document, &game, &f);
		sum->total += f.total;
		sum->wins += f.wins;
		sum->losses += f.losses;
		sum->draws += f.draws;
		sum->max_win = Max(sum->max_win, f.max_win);
	}
	eco_scan_end(mine);
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
