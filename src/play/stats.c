/*
 * stats.c
 *		Statistics of games: maintained with every action, never by a trigger (I6).
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "play/stats.h"

/* columns of economy_internal.game_stats_more */
enum
{
	STA_USER_ID,
	STA_GAME,
	STA_WINS,
	STA_LOSSES,
	STA_DRAWS,
	STA_MAX_WIN,
	STA_BET_SUM,
	STA_WIN_SUM,
	STA_LAST_ACTION_AT,
	STA_COLUMNS
};

EcoTable	eco_game_stats_more = {
	.name = "game_stats_more",
	.internal = true,
	.ncolumns = STA_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"game", TEXTOID, false},
		{"wins", INT8OID, true},
		{"losses", INT8OID, true},
		{"draws", INT8OID, true},
		{"max_win", INT8OID, true},
		{"bet_sum", INT8OID, true},
		{"win_sum", INT8OID, true},
		{"last_action_at", TIMESTAMPTZOID, true},
	},
	.nkeys = 1,
	.keys = {{2, {STA_USER_ID, STA_GAME}}},
};

EcoTable	eco_games = {
	.name = "games",
	.only_read = true,
	.ncolumns = 1,
	.columns = {{"game", TEXTOID, false}},
	.nkeys = 1,
	.keys = {{1, {0}}},
};

ECO_NORETURN static void
damaged(int64 user_id)
{
	ECO_ERROR(ECO_LEDGER_DAMAGED,
			  errmsg("account of user %lld has damaged statistics of games", (long long) user_id));
}

static void
read_row(const EcoRow *row, EcoFigures *f)
{
	f->wins = eco_row_int(row, STA_WINS);
	f->losses = eco_row_int(row, STA_LOSSES);
	f->draws = eco_row_int(row, STA_DRAWS);
	f->max_win = eco_row_int(row, STA_MAX_WIN);
	f->bet_sum = eco_row_int(row, STA_BET_SUM);
	f->win_sum = eco_row_int(row, STA_WIN_SUM);
	f->last_action_at = DatumGetTimestampTz(row->values[STA_LAST_ACTION_AT]);
}

static bool
find_row(int64 user_id, Datum game, EcoRow *row)
{
	Datum		key[2] = {Int64GetDatum(user_id), game};

	return eco_row_find(&eco_game_stats_more, user_id, 0, 2, key, row);
}

/* In the account; false: not there, and *more says whether a row may have it. */
static bool
find_packed(const EcoAccount *account, const char *name, int len, EcoFigures *figures, bool *more)
{
	EcoSection	section;
	EcoReader	reader;
	EcoGame		game = {.name = ""};

	(void) eco_account_section(account, ECO_SECTION_GAMES, &section);
	eco_games_read(&reader, &section, more);
	while (eco_games_next(&reader, &game))
		if (game.len == len && memcmp(game.name, name, len) == 0)
		{
			*figures = game.figures;
			return true;
		}
	if (reader.damaged)
		damaged(account->user_id);
	return false;
}

bool
eco_stats_have_rows(const EcoAccount *account)
{
	EcoSection	section;
	EcoReader	reader;
	bool		more;

	(void) eco_account_section(account, ECO_SECTION_GAMES, &section);
	eco_games_read(&reader, &section, &more);
	return more;
}

/* *row is what was found, unless it was found in the account. */
static bool
find(const EcoAccount *account, Datum game, EcoFigures *figures, EcoRow *row, bool *has_row)
{
	text	   *name = DatumGetTextPP(game);
	bool		more;

	*has_row = false;
	if (find_packed(account, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), figures, &more))
		return true;
	if (!more || !find_row(account->user_id, game, row))
		return false;
	read_row(row, figures);
	*has_row = true;
	return true;
}

bool
eco_stats_find(int64 user_id, Datum game, EcoFigures *figures)
{
	EcoAccount	account;
	EcoRow		row;
	bool		has_row;

	return eco_account_read(user_id, &account) &&
		find(&account, game, figures, &row, &has_row);
}

static int
by_name(const void *a, const void *b)
{
	const EcoGame *x = a;
	const EcoGame *y = b;
	int			order = memcmp(x->name, y->name, Min(x->len, y->len));

	return order != 0 ? order : x->len - y->len;
}

/* Add those that have rows to the n that are there. */
static EcoGame *
add_rows(int64 user_id, EcoGame *games, int *n)
{
	int			room = *n;
	Datum		key = Int64GetDatum(user_id);
	EcoScan    *scan = eco_scan_begin(&eco_game_stats_more, user_id, 0, 1, &key);
	EcoRow		row;

	while (eco_scan_next(scan, &row))
	{
		text	   *name = DatumGetTextPP(row.values[STA_GAME]);
		EcoGame    *game;

		if (*n == room)
		{
			room = 2 * room + 8;
			games = repalloc(games, sizeof(EcoGame) * room);
		}
		game = &games[(*n)++];
		game->name = VARDATA_ANY(name);
		game->len = VARSIZE_ANY_EXHDR(name);
		read_row(&row, &game->figures);
	}
	eco_scan_end(scan);
	qsort(games, *n, sizeof(EcoGame), by_name);
	return games;
}

EcoGame *
eco_stats_all(int64 user_id, int *n)
{
	EcoGame    *games = palloc(sizeof(EcoGame) * (ECO_GAMES_ROOM / ECO_GAME_MIN));
	EcoGame		game = {.name = ""};
	EcoAccount *account = palloc(sizeof(EcoAccount));
	EcoSection	section;
	EcoReader	reader;
	bool		more;

	*n = 0;
	if (!eco_account_read(user_id, account))
		return games;
	(void) eco_account_section(account, ECO_SECTION_GAMES, &section);
	eco_games_read(&reader, &section, &more);
	while (eco_games_next(&reader, &game))
		games[(*n)++] = game;
	if (reader.damaged)
		damaged(user_id);
	return more ? add_rows(user_id, games, n) : games;
}

void
eco_stats_load(EcoGameStats *stats, const EcoAccount *account, int64 user_id, const EcoText *game)
{
	EcoAccount	read;
	bool		replays = account == NULL;
	EcoRow		registered;

	stats->game = *game;
	stats->has_row = false;
	if (replays && eco_account_read(user_id, &read))
		account = &read;
	stats->exists = account != NULL &&
		find(account, game->datum, &stats->figures, &stats->row, &stats->has_row);
	stats->row_stored = stats->has_row;

	/*
	 * a game with statistics, or an action, was registered once, and games do
	 * not go
	 */
	stats->registered = stats->exists || replays ||
		eco_row_find(&eco_games, 0, 0, 1, &game->datum, &registered);
	if (!stats->exists)
		stats->figures = (EcoFigures)
	{
		.last_action_at = DT_NOBEGIN
	};
	stats->total_before = eco_figures_total(&stats->figures);
}

bool
eco_stats_fit(const EcoGameStats *stats, const EcoAction *action)
{
	return action->bet <= PG_INT64_MAX - stats->figures.bet_sum &&
		action->win <= PG_INT64_MAX - stats->figures.win_sum;
}

void
eco_stats_count(EcoGameStats *stats, const EcoAction *action, EcoOutcome outcome,
				TimestampTz at)
{
	EcoFigures *f = &stats->figures;

	f->wins += outcome == ECO_OUTCOME_WIN;
	f->losses += outcome == ECO_OUTCOME_LOSS;
	f->draws += outcome == ECO_OUTCOME_DRAW;
	f->bet_sum += action->bet;
	f->win_sum += action->win;
	f->max_win = Max(f->max_win, action->win);
	/* the clock can go back; the latest moment stays */
	f->last_action_at = Max(f->last_action_at, at);
}

/* Whether anything was counted since they were read or written. */
static bool
is_changed(const EcoGameStats *stats)
{
	return eco_figures_total(&stats->figures) != stats->total_before;
}

/* The account with the game, or without it and with the note that there are rows. */
static bool
pack(const EcoGameStats *stats, EcoAccount *account, bool keep)
{
	EcoGame		game = {
		.name = stats->game.data, .len = stats->game.len, .figures = stats->figures
	};
	EcoSection	section;
	EcoReader	reader;
	bool		more;
	uint8		payload[ECO_GAMES_ROOM + 1 + ECO_GAME_MAX];

	(void) eco_account_section(account, ECO_SECTION_GAMES, &section);
	eco_games_read(&reader, &section, &more);
	section.len = eco_games_put(&section, more || !keep, &game, keep, payload);
	if (section.len == 0)
		damaged(account->user_id);
	if (section.len > ECO_GAMES_ROOM)
		return false;
	section.version = ECO_GAMES_VERSION;
	section.data = payload;
	eco_account_set_section(account, ECO_SECTION_GAMES, &section);
	return true;
}

void
eco_stats_put(EcoGameStats *stats, EcoAccount *account)
{
	if (!is_changed(stats) || stats->has_row || pack(stats, account, true))
		return;

	/*
	 * taking a game out makes room; the note has its place from the first
	 * game on
	 */
	(void) pack(stats, account, false);
	stats->has_row = true;
	stats->row_stored = false;
}

static void
set_row(EcoRow *row, const EcoFigures *f)
{
	eco_row_set(row, STA_WINS, Int64GetDatum(f->wins));
	eco_row_set(row, STA_LOSSES, Int64GetDatum(f->losses));
	eco_row_set(row, STA_DRAWS, Int64GetDatum(f->draws));
	eco_row_set(row, STA_MAX_WIN, Int64GetDatum(f->max_win));
	eco_row_set(row, STA_BET_SUM, Int64GetDatum(f->bet_sum));
	eco_row_set(row, STA_WIN_SUM, Int64GetDatum(f->win_sum));
	eco_row_set(row, STA_LAST_ACTION_AT, TimestampTzGetDatum(f->last_action_at));
}

void
eco_stats_write(EcoGameStats *stats, const EcoAccount *account)
{
	if (!is_changed(stats))
		return;
	stats->total_before = eco_figures_total(&stats->figures);
	if (!stats->has_row)
		return;
	if (!stats->row_stored)
	{
		eco_row_init(&stats->row, &eco_game_stats_more);
		eco_row_set(&stats->row, STA_USER_ID, Int64GetDatum(account->user_id));
		eco_row_set(&stats->row, STA_GAME, stats->game.datum);
	}
	set_row(&stats->row, &stats->figures);
	if (stats->row_stored)
		eco_row_update(&stats->row, account->user_id);
	else
		eco_row_insert(&stats->row, account->user_id);
	stats->row_stored = true;
}
