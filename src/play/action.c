/*
 * action.c
 *		Game actions: their journal, and the rules that one has with one of many.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "errors.h"
#include "event/event.h"
#include "ledger/level.h"
#include "play/action.h"
#include "play/pruned.h"
#include "play/stats.h"
#include "settings.h"

static EcoTable user_actions = {
	.name = "user_actions",
	.ncolumns = ACT_COLUMNS,
	.columns = {
		ECO_JOURNAL_HEADER,
		{"key_digest", INT8OID, false},
		{"bet", INT8OID, false},
		{"win", INT8OID, false},
		{"outcome", TEXTOID, false},
		{"game", TEXTOID, false},
		{"action_type", TEXTOID, false},
		{"action_id", TEXTOID, false},
		{"details", JSONBOID, ECO_NULLABLE},
	},
	.nkeys = 2,
	.keys = {
		{2, {ECO_COL_USER_ID, ECO_COL_SEQ}},
		{3, {ECO_COL_USER_ID, ACT_GAME, ACT_ID}},
	},
	.digest = ACT_DIGEST,
};

/* What events tell beside the row; handed over with it, that of right after the action. */
typedef struct Totals
{
	int64		wins;
	int64		losses;
	int64		draws;
	int64		max_win;
	EcoLevelStep level;			/* of an action that gives XP */
} Totals;

static const char *const outcome_words[] = {NULL, "win", "loss", "draw"};

static const char *check_rules(const EcoAccount *account, const EcoGameStats *stats,
							   const EcoAction *action, EcoDetail *detail);
static void set_detail(EcoResult *result, EcoDetail *detail);
static void refuse_pruned(const EcoAction *action, int64 seq, EcoResult *result);
static void set_stats(EcoResult *result, const EcoGameStats *stats);
static void tell(const EcoRow *row, const void *beside, EcoListener *listener);
static void tell_stats(const EcoRow *row, const Totals *totals, EcoListener *listener);
static const Totals *find_totals(const EcoRow *row, Totals *totals);
static void put_stats(EcoJson *json, const EcoRow *row, const Totals *totals);

EcoTable   *const eco_action_tables[] = {&eco_accounts, &eco_game_stats_more, NULL};
EcoTable   *const eco_action_tables_with_xp[] = {
	&eco_accounts, &eco_game_stats_more, ECO_LEVEL_TABLES, NULL
};
EcoTable   *const eco_action_tables_of_new[] = {&eco_games, &eco_pruned_actions, NULL};

const EcoJournal eco_actions = {
	.letter = 'A',
	.noun = "action",
	.light = true,
	.table = &user_actions,
	.shown = {[ECO_SHOWN_SOURCE] = ACT_GAME,[ECO_SHOWN_REASON] = ACT_TYPE},
	.tell_tables = eco_action_tables_with_xp,
	.beside_bytes = sizeof(Totals),
	.tell = tell,
	.types = ECO_TYPE_BIT(ECO_USER_ACTION) | ECO_TYPE_BIT(ECO_STATS_DELTA) |
	ECO_TYPE_BIT(ECO_PROFILE_UPDATE),
};

const char *
eco_action_wrong(const EcoAction *action)
{
	if (action->bet < 0 || action->win < 0 ||
		action->bet > ECO_MAX_AMOUNT || action->win > ECO_MAX_AMOUNT)
		return "bet and win must be from 0 to 2^53-1";
	if (action->xp < 0 || action->xp > ECO_MAX_AMOUNT)
		return "xp must be from 0 to 2^53-1";
	return NULL;
}

EcoOutcome
eco_outcome_of(const char *word, int len)
{
	if (word == NULL)
		return ECO_OUTCOME_DERIVED;
	for (int i = ECO_OUTCOME_WIN; i <= ECO_OUTCOME_DRAW; i++)
		if ((int) strlen(outcome_words[i]) == len && memcmp(word, outcome_words[i], len) == 0)
			return (EcoOutcome) i;
	ECO_ERROR(ECO_INVALID_ARGUMENT,
			  errmsg("outcome must be win, loss or draw"),
			  errhint("Null derives it from bet and win."));
	return ECO_OUTCOME_DERIVED;
}

static EcoOutcome
derive(const EcoAction *action)
{
	if (action->outcome != ECO_OUTCOME_DERIVED)
		return action->outcome;
	if (action->win > action->bet)
		return ECO_OUTCOME_WIN;
	return action->win < action->bet ? ECO_OUTCOME_LOSS : ECO_OUTCOME_DRAW;
}

bool
eco_action_try(const EcoAction *action, const EcoAccount *account, const EcoGameStats *stats,
			   EcoResult *result)
{
	EcoDetail	detail = {0};
	const char *refusal;
	int64		seq;

	if (eco_action_pruned(account, action, &seq))
	{
		refuse_pruned(action, seq, result);
		return false;
	}
	refusal = check_rules(account, stats, action, &detail);
	if (refusal == NULL)
		return true;
	eco_result_outcome(result, "refused", refusal);
	eco_result_set(result, ACTION_GOLD, Int64GetDatum(account->gold));
	set_detail(result, &detail);
	return false;
}

/* The code of the first rule that refuses, or NULL; detail says by how much. */
static const char *
check_rules(const EcoAccount *account, const EcoGameStats *stats, const EcoAction *action,
			EcoDetail *detail)
{
	if (account->suspended)
		return "USER_SUSPENDED";
	if (!stats->registered)
	{
		eco_detail_text(detail, "game", action->game.data, action->game.len);
		return "GAME_NOT_FOUND";
	}
	if (action->bet > account->gold)
	{
		eco_detail_int(detail, "bet", action->bet);
		eco_detail_int(detail, "gold", account->gold);
		return "INSUFFICIENT_GOLD";
	}
	if (eco_amount_refusal(account, action->win - action->bet, 0) != NULL)
	{
		eco_detail_int(detail, "gold", account->gold);
		eco_detail_int(detail, "at_most", ECO_MAX_AMOUNT);
		return "GOLD_OVERFLOW";
	}
	if (eco_amount_refusal(account, 0, action->xp) != NULL)
	{
		eco_detail_int(detail, "experience_points", account->xp);
		eco_detail_int(detail, "at_most", ECO_MAX_AMOUNT);
		return "GOLD_OVERFLOW";
	}
	if (!eco_stats_fit(stats, action))
	{
		eco_detail_str(detail, "statistics", "bet_sum or win_sum");
		return "GOLD_OVERFLOW";
	}
	return NULL;
}

static void
set_detail(EcoResult *result, EcoDetail *detail)
{
	Datum		value = eco_detail_end(detail);

	if (value != (Datum) 0)
		eco_result_set(result, ACTION_DETAIL, value);
}

void
eco_action_entry(const EcoAction *action, EcoEntry *entry)
{
	EcoRow	   *row = &entry->row;

	eco_entry_init(entry, &eco_actions);
	entry->beside = palloc(sizeof(Totals));
	entry->gold_delta = action->win - action->bet;
	entry->xp_delta = action->xp;
	eco_row_set(row, ACT_BET, Int64GetDatum(action->bet));
	eco_row_set(row, ACT_WIN, Int64GetDatum(action->win));
	eco_row_set(row, ACT_OUTCOME, CStringGetTextDatum(outcome_words[derive(action)]));
	eco_row_set(row, ACT_GAME, action->game.datum);
	eco_row_set(row, ACT_TYPE, action->action_type.datum);
	eco_row_set(row, ACT_ID, action->action_id.datum);
	if (action->details != NULL)
		eco_row_set(row, ACT_DETAILS, JsonbPGetDatum(action->details));
}

static void
set_totals(Totals *totals, const EcoFigures *figures)
{
	*totals = (Totals)
	{
		.wins = figures->wins, .losses = figures->losses,
			.draws = figures->draws, .max_win = figures->max_win
	};
}

/* What an entry with XP led to, in the detail of its answer. */
static void
set_level(EcoResult *result, const EcoRow *row, Totals *totals)
{
	EcoDetail	detail = {0};

	if (eco_row_int(row, ECO_COL_XP_DELTA) == 0)
		return;
	totals->level = eco_level_detail(&detail, row);
	set_detail(result, &detail);
}

void
eco_action_made(const EcoAction *action, EcoEntry *entry, EcoGameStats *stats, EcoResult *result)
{
	eco_stats_count(stats, action, derive(action), entry->created_at);
	set_totals(entry->beside, &stats->figures);
	set_level(result, &entry->row, entry->beside);
	eco_result_outcome(result, "new", "OK");
	eco_result_entry(result, &eco_actions, &entry->row);
	eco_result_set(result, ACTION_GOLD_DELTA, Int64GetDatum(entry->gold_delta));
	eco_result_set(result, ACTION_GOLD, Int64GetDatum(entry->gold));
	set_stats(result, stats);
}

static bool
same_text(Datum stored, const char *data, int len)
{
	text	   *value = DatumGetTextPP(stored);

	return (int) VARSIZE_ANY_EXHDR(value) == len && memcmp(VARDATA_ANY(value), data, len) == 0;
}

/*
 * Name the first field in which a repeated action differs from its first call,
 * with both values.  False: they are the same.
 */
static bool
differs(const EcoAction *action, const EcoRow *first, EcoDetail *detail)
{
	const char *outcome = outcome_words[derive(action)];

	if (!same_text(first->values[ACT_TYPE], action->action_type.data, action->action_type.len))
	{
		eco_detail_field(detail, "action_type", first, ACT_TYPE);
		eco_detail_text(detail, "now", action->action_type.data, action->action_type.len);
	}
	else if (eco_row_int(first, ACT_BET) != action->bet)
	{
		eco_detail_field(detail, "bet", first, ACT_BET);
		eco_detail_int(detail, "now", action->bet);
	}
	else if (eco_row_int(first, ACT_WIN) != action->win)
	{
		eco_detail_field(detail, "win", first, ACT_WIN);
		eco_detail_int(detail, "now", action->win);
	}
	else if (eco_row_int(first, ECO_COL_XP_DELTA) != action->xp)
	{
		eco_detail_field(detail, "xp", first, ECO_COL_XP_DELTA);
		eco_detail_int(detail, "now", action->xp);
	}
	else if (!same_text(first->values[ACT_OUTCOME], outcome, (int) strlen(outcome)))
	{
		eco_detail_field(detail, "outcome", first, ACT_OUTCOME);
		eco_detail_str(detail, "now", outcome);
	}
	else if (!eco_same_object(first, ACT_DETAILS, action->details))
	{
		eco_detail_field(detail, "details", first, ACT_DETAILS);
		eco_detail_json(detail, "now", action->details);
	}
	else
		return false;
	return true;
}

void
eco_action_replay(const EcoAction *action, const EcoRow *first, const EcoGameStats *stats,
				  EcoResult *result)
{
	EcoDetail	detail = {0};
	Totals		then;

	eco_result_entry(result, &eco_actions, first);
	if (differs(action, first, &detail))
	{
		eco_result_outcome(result, "refused", "IDEMPOTENCY_MISMATCH");
		set_detail(result, &detail);
		return;
	}
	eco_result_outcome(result, "reuse", "OK");
	eco_result_set(result, ACTION_GOLD_DELTA, first->values[ECO_COL_GOLD_DELTA]);
	eco_result_set(result, ACTION_GOLD, first->values[ECO_COL_GOLD]);
	set_level(result, first, &then);
	set_stats(result, stats);
}

/* Refuse a retry of a pruned action: the first result cannot be returned any more. */
static void
refuse_pruned(const EcoAction *action, int64 seq, EcoResult *result)
{
	EcoDetail	detail = {0};

	eco_result_outcome(result, "refused", "RESYNC_REQUIRED");
	eco_detail_str(&detail, "reason", "pruned");
	set_detail(result, &detail);
	eco_result_text(result, ECO_RES_TRANSACTION_ID,
					eco_transaction_id(&eco_actions, action->user_id, seq));
}

static void
set_stats(EcoResult *result, const EcoGameStats *stats)
{
	const EcoFigures *f = &stats->figures;

	eco_result_set(result, ACTION_TOTAL, Int64GetDatum(eco_figures_total(f)));
	eco_result_set(result, ACTION_WINS, Int64GetDatum(f->wins));
	eco_result_set(result, ACTION_LOSSES, Int64GetDatum(f->losses));
	eco_result_set(result, ACTION_MAX_WIN, Int64GetDatum(f->max_win));
}

/*
 * One event, two or three; by setting the same for all who are told.  Where the totals were
 * not handed over, they are those of now.
 */
static void
tell(const EcoRow *row, const void *beside, EcoListener *listener)
{
	bool		with_action = eco_notify_stats == ECO_STATS_WITH_ACTION;
	const Totals *totals = beside;
	Totals		found;
	EcoEvent	event;

	if (totals == NULL && (with_action || !eco_is_deaf(listener, ECO_STATS_DELTA)))
		totals = find_totals(row, &found);
	eco_event_begin(&event, ECO_USER_ACTION, NULL, &eco_actions, row);
	eco_event_text(&event, "game", row, ACT_GAME);
	eco_event_text(&event, "action_type", row, ACT_TYPE);
	eco_event_text(&event, "action_id", row, ACT_ID);
	eco_json_int(&event.json, "bet", eco_row_int(row, ACT_BET));
	eco_json_int(&event.json, "win", eco_row_int(row, ACT_WIN));
	eco_event_text(&event, "outcome", row, ACT_OUTCOME);
	if (with_action && totals != NULL)
	{
		eco_json_open(&event.json, "stats", '{');
		put_stats(&event.json, row, totals);
		eco_json_close(&event.json, '}');
	}
	eco_event_end(&event, row, listener);
	if (!with_action && totals != NULL)
		tell_stats(row, totals, listener);
	eco_tell_step(&eco_actions, row, beside == NULL ? NULL : &((const Totals *) beside)->level,
				  listener);
}

static void
tell_stats(const EcoRow *row, const Totals *totals, EcoListener *listener)
{
	EcoEvent	event;

	if (eco_is_deaf(listener, ECO_STATS_DELTA))
		return;
	eco_event_begin(&event, ECO_STATS_DELTA, "stats", &eco_actions, row);
	eco_event_text(&event, "game", row, ACT_GAME);
	put_stats(&event.json, row, totals);
	eco_event_end(&event, row, listener);
}

/* NULL: there are none. */
static const Totals *
find_totals(const EcoRow *row, Totals *totals)
{
	EcoFigures	figures;

	if (!eco_stats_find(eco_row_int(row, ECO_COL_USER_ID), row->values[ACT_GAME], &figures))
		return NULL;
	set_totals(totals, &figures);
	return totals;
}

/* What the action added, and the totals. */
static void
put_stats(EcoJson *json, const EcoRow *row, const Totals *totals)
{
	text	   *outcome = DatumGetTextPP(row->values[ACT_OUTCOME]);
	char		first = *VARDATA_ANY(outcome);

	eco_json_int(json, "total_delta", 1);
	eco_json_int(json, "wins_delta", first == 'w');
	eco_json_int(json, "losses_delta", first == 'l');
	eco_json_int(json, "draws_delta", first == 'd');
	eco_json_int(json, "bet_delta", eco_row_int(row, ACT_BET));
	eco_json_int(json, "win_delta", eco_row_int(row, ACT_WIN));
	eco_json_int(json, "total", totals->wins + totals->losses + totals->draws);
	eco_json_int(json, "wins", totals->wins);
	eco_json_int(json, "losses", totals->losses);
	eco_json_int(json, "draws", totals->draws);
	eco_json_int(json, "max_win", totals->max_win);
}
