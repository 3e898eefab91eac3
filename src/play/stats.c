/*
 * stats.c
 *		game_stats: maintained with every action, never by a trigger (I6).
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "play/stats.h"

EcoTable	eco_game_stats = {
	.name = "game_stats",
	.ncolumns = STA_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"game", TEXTOID, false},
		{"total", INT8OID, true},
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

bool
eco_stats_find(int64 user_id, Datum game, EcoRow *row)
{
	Datum		key[2] = {Int64GetDatum(user_id), game};

	return eco_row_find(&eco_game_stats, user_id, 0, 2, key, row);
}

void
eco_stats_load(EcoGameStats *stats, int64 user_id, const EcoText *game)
{
	Datum		key[2] = {Int64GetDatum(user_id), game->datum};
	EcoRow		registered;

	stats->game = *game;
	stats->exists = eco_stats_find(user_id, game->datum, &stats->row);
	stats->stored = stats->exists;
	/* a game with statistics was registered once, and games do not go */
	stats->registered = stats->exists ||
		eco_row_find(&eco_games, 0, 0, 1, &game->datum, &registered);
	if (!stats->exists)
	{
		eco_row_init(&stats->row, &eco_game_stats);
		for (int i = STA_TOTAL; i < STA_LAST_ACTION_AT; i++)
			eco_row_set(&stats->row, i, Int64GetDatum(0));
		eco_row_set(&stats->row, STA_USER_ID, key[0]);
		eco_row_set(&stats->row, STA_GAME, key[1]);
	}
	stats->total_before = eco_row_int(&stats->row, STA_TOTAL);
}

static void
add(EcoRow *row, int column, int64 amount)
{
	row->values[column] = Int64GetDatum(eco_row_int(row, column) + amount);
}

bool
eco_stats_fit(const EcoGameStats *stats, const EcoAction *action)
{
	return action->bet <= PG_INT64_MAX - eco_row_int(&stats->row, STA_BET_SUM) &&
		action->win <= PG_INT64_MAX - eco_row_int(&stats->row, STA_WIN_SUM);
}

void
eco_stats_count(EcoGameStats *stats, const EcoAction *action, EcoOutcome outcome,
				TimestampTz at)
{
	EcoRow	   *row = &stats->row;

	add(row, STA_TOTAL, 1);
	add(row, STA_WINS, outcome == ECO_OUTCOME_WIN);
	add(row, STA_LOSSES, outcome == ECO_OUTCOME_LOSS);
	add(row, STA_DRAWS, outcome == ECO_OUTCOME_DRAW);
	add(row, STA_BET_SUM, action->bet);
	add(row, STA_WIN_SUM, action->win);
	if (action->win > eco_row_int(row, STA_MAX_WIN))
		row->values[STA_MAX_WIN] = Int64GetDatum(action->win);
	/* the clock can go back; the latest moment stays */
	if (row->isnull[STA_LAST_ACTION_AT] ||
		at > DatumGetTimestampTz(row->values[STA_LAST_ACTION_AT]))
		eco_row_set(row, STA_LAST_ACTION_AT, TimestampTzGetDatum(at));
}

bool
eco_stats_changed(const EcoGameStats *stats)
{
	return eco_row_int(&stats->row, STA_TOTAL) != stats->total_before;
}

void
eco_stats_flush(EcoGameStats *stats, const EcoAccount *account)
{
	if (!eco_stats_changed(stats))
		return;
	if (stats->stored)
		eco_row_update(&stats->row, account->user_id);
	else
		eco_row_insert(&stats->row, account->user_id);
	stats->stored = true;
	stats->total_before = eco_row_int(&stats->row, STA_TOTAL);
}
