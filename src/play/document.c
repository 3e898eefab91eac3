/*
 * document.c
 *		game_stats_me(): a user's statistics as one document.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "core/json.h"
#include "errors.h"
#include "ledger/args.h"
#include "play/stats.h"

#define FIRST_CAPACITY 4096
#define BYTES_PER_GAME (ECO_MAX_NAME * 6 + 300)
#define BYTES_OF_SUM 1024

/* Figures of one game, or of all together. */
typedef struct Figures
{
	int64		total;
	int64		wins;
	int64		losses;
	int64		draws;
	int64		max_win;
} Figures;

/* The part of the document that tells of each game, as it grows. */
typedef struct Games
{
	EcoJson		json;
	size_t		capacity;
	Figures		sum;
} Games;

PG_FUNCTION_INFO_V1(eco_game_stats_me);

static void read_games(Games *games, Datum user_id);
static void add_game(Games *games, const char *name, const Figures *f);
static char *complete(Games *games, Datum user_id);

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
	Games		games = {.capacity = FIRST_CAPACITY};

	eco_require_arg(fcinfo, 0, "user_id");
	eco_json_begin(&games.json, palloc(games.capacity), games.capacity);
	eco_json_open(&games.json, NULL, '{');
	open = eco_tables_open(ECO_READ, tables);
	read_games(&games, PG_GETARG_DATUM(0));
	eco_tables_close(open);
	eco_json_close(&games.json, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(complete(&games, PG_GETARG_DATUM(0))));
}

/* Both scans go by the name of the game. */
static void
read_games(Games *games, Datum user_id)
{
	EcoScan    *all = eco_scan_begin(&eco_games, 0, 0, 0, NULL);
	EcoScan    *mine = eco_scan_begin(&eco_game_stats, DatumGetInt64(user_id), 0, 1, &user_id);
	EcoRow		game;
	EcoRow		row;
	bool		has_row = eco_scan_next(mine, &row);

	while (eco_scan_next(all, &game))
	{
		char	   *name = TextDatumGetCString(game.values[0]);
		Figures		f = {0};

		if (has_row && strcmp(TextDatumGetCString(row.values[STA_GAME]), name) == 0)
		{
			f.total = eco_row_int(&row, STA_TOTAL);
			f.wins = eco_row_int(&row, STA_WINS);
			f.losses = eco_row_int(&row, STA_LOSSES);
			f.draws = eco_row_int(&row, STA_DRAWS);
			f.max_win = eco_row_int(&row, STA_MAX_WIN);
			has_row = eco_scan_next(mine, &row);
		}
		add_game(games, name, &f);
	}
	eco_scan_end(mine);
	eco_scan_end(all);
}

/* wins / (wins + losses) to 4 places, half up; 0 without either */
static void
put_win_rate(EcoJson *json, const Figures *f)
{
	int64		games = f->wins + f->losses;
	int64		rate = 0;

	if (games > 0)
		rate = (int64) (((int128) f->wins * 20000 + games) / (2 * (int128) games));
	eco_json_raw(json, "win_rate",
				 psprintf("%lld.%04lld", (long long) rate / 10000, (long long) rate % 10000));
}

static void
add_game(Games *games, const char *name, const Figures *f)
{
	EcoJson    *json = &games->json;

	if (json->cap - json->len < BYTES_PER_GAME)
	{
		games->capacity *= 2;
		json->buf = repalloc(json->buf, games->capacity);
		json->cap = games->capacity;
	}
	eco_json_open(json, name, '{');
	eco_json_int(json, "total", f->total);
	eco_json_int(json, "wins", f->wins);
	eco_json_int(json, "losses", f->losses);
	eco_json_int(json, "draws", f->draws);
	put_win_rate(json, f);
	eco_json_int(json, "max_win", f->max_win);
	eco_json_close(json, '}');
	games->sum.total += f->total;
	games->sum.wins += f->wins;
	games->sum.losses += f->losses;
	games->sum.draws += f->draws;
	games->sum.max_win = Max(games->sum.max_win, f->max_win);
}

static char *
complete(Games *games, Datum user_id)
{
	EcoJson		json;
	size_t		capacity = games->capacity + BYTES_OF_SUM;
	const Figures *sum = &games->sum;

	eco_json_begin(&json, palloc(capacity), capacity);
	eco_json_open(&json, NULL, '{');
	eco_json_int(&json, "user_id", DatumGetInt64(user_id));
	eco_json_int(&json, "total_games_played", sum->total);
	eco_json_int(&json, "total_wins", sum->wins);
	eco_json_int(&json, "total_losses", sum->losses);
	eco_json_int(&json, "total_draws", sum->draws);
	put_win_rate(&json, sum);
	eco_json_int(&json, "overall_max_win", sum->max_win);
	eco_json_raw(&json, "games", games->json.buf);
	eco_json_close(&json, '}');
	if (games->json.overflow || json.overflow)
		ECO_ERROR(ECO_LEDGER_DAMAGED, errmsg("statistics document does not fit its buffer"));
	return json.buf;
}
