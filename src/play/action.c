/*
 * action.c
 *		Game actions into the ledger.
 *
 * One mechanism for one action and for a million: actions are grouped by user;
 * the user's account is locked once, the account with the statistics is written once,
 * and the entries are appended.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "crash_point.h"
#include "errors.h"
#include "event/event.h"
#include "ledger/batch.h"
#include "ledger/call.h"
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
		{"details", JSONBOID, false},
	},
	.nkeys = 2,
	.keys = {
		{2, {ECO_COL_USER_ID, ECO_COL_SEQ}},
		{3, {ECO_COL_USER_ID, ACT_GAME, ACT_ID}},
	},
	.digest = ACT_DIGEST,
};

#define KEY_BY_ACTION 1
#define WRITE_ENTRIES 256		/* of one user at once */

static const char *const outcome_words[] = {NULL, "win", "loss", "draw"};

/* What is known of a user while a group of the user's actions is recorded. */
typedef struct Player
{
	MemoryContext context;		/* lives as long as the group */
	EcoAccount *account;		/* locked; NULL: there is only to replay */

	/* prepared and not written yet, in a context of their own */
	MemoryContext entry_context;
	int			at_once;		/* so many; 1 where user code runs at writes,
								 * which may send a key of the group */
	int			nentries;
	EcoEntry   *entries[WRITE_ENTRIES];

	EcoScan    *keys;			/* looks keys up under the current snapshot,
								 * or NULL */

	int			ngames;
	EcoGameStats **stats;		/* by game_number; NULL until asked for */
	int			reading;		/* rises when a trigger made entries of the
								 * user: stats read before are outdated */
	int			nchanged;		/* with counts of entries not written yet */
	EcoGameStats *changed[WRITE_ENTRIES];
} Player;

static EcoAction **ordered_by_user(EcoAction *actions, int n);
static void record_group(EcoAction **group, int n, EcoDuplicate duplicate, TupleDesc desc,
						 EcoActionSink sink, void *arg);
static int	mark_places(EcoAction **group, int n);
static void answer(Player *player, EcoCall *call, EcoCallState state,
				   const EcoAction *action, EcoResult *result);
static void write_entries(Player *player);
static bool may_be_known(Player *player, const EcoAction *action);
static bool find_first(Player *player, const EcoAction *action, EcoRow *row);
static void forget_keys(Player *player);
static void record_one(Player *player, const EcoAction *action, EcoResult *result);
static const char *check_rules(const EcoAccount *account, const EcoGameStats *stats,
							   const EcoAction *action, EcoDetail *detail);
static void set_detail(EcoResult *result, EcoDetail *detail);
static void append_entry(Player *player, EcoGameStats *stats, const EcoAction *action,
						 EcoResult *result);
static void refuse_pruned(const EcoAction *action, int64 seq, EcoResult *result);
static void replay(Player *player, const EcoAction *action, const EcoRow *first,
				   EcoResult *result);
static EcoGameStats *stats_of(Player *player, const EcoAction *action);
static void set_stats(EcoResult *result, const EcoGameStats *stats);
static void tell(const EcoRow *row, EcoListener *listener);
static void tell_stats(const EcoRow *row, EcoListener *listener);
static bool find_stats(const EcoRow *row, EcoFigures *figures);
static void put_stats(EcoJson *json, const EcoRow *row, const EcoFigures *figures);

static EcoTable *const stats_tables[] = {&eco_accounts, &eco_game_stats_more, NULL};
static EcoTable *const new_action_tables[] = {&eco_games, &eco_pruned_actions, NULL};

const EcoJournal eco_actions = {
	.letter = 'A',
	.noun = "action",
	.light = true,
	.table = &user_actions,
	.tell_tables = stats_tables,
	.tell = tell,
	.types = ECO_TYPE_BIT(ECO_USER_ACTION) | ECO_TYPE_BIT(ECO_STATS_DELTA),
};

bool
eco_action_in_range(const EcoAction *action)
{
	return action->bet >= 0 && action->win >= 0 &&
		action->bet <= ECO_MAX_AMOUNT && action->win <= ECO_MAX_AMOUNT;
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

static EcoAction **
ordered_by_user(EcoAction *actions, int n)
{
	EcoAction **order = palloc_extended(sizeof(EcoAction *) * Max(n, 1), MCXT_ALLOC_HUGE);
	EcoTurn    *turns = eco_turns_make(n);

	for (int i = 0; i < n; i++)
	{
		turns[i].user_id = actions[i].user_id;
		turns[i].number = i;
	}
	eco_turns_sort(turns, n);
	for (int i = 0; i < n; i++)
		order[i] = &actions[turns[i].number];
	pfree(turns);
	return order;
}

void
eco_actions_record(EcoAction *actions, int n, EcoDuplicate duplicate,
				   TupleDesc result_desc, EcoActionSink sink, void *arg)
{
	EcoAction **order = ordered_by_user(actions, n);
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext group_context = AllocSetContextCreate(caller, "economy actions",
														ALLOCSET_DEFAULT_SIZES);
	int			end;

	for (int start = 0; start < n; start = end)
	{
		for (end = start + 1; end < n && order[end]->user_id == order[start]->user_id; end++)
			;
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(group_context);
		record_group(order + start, end - start, duplicate, result_desc, sink, arg);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(group_context);
	}
	MemoryContextDelete(group_context);
	pfree(order);
}

/*
 * A single action announces its key, so that a duplicate is told at once; of a
 * group only the account is taken, and keys are looked up under that lock.
 */
static void
record_group(EcoAction **group, int n, EcoDuplicate duplicate, TupleDesc desc,
			 EcoActionSink sink, void *arg)
{
	EcoCall		call;
	EcoCallState state;
	Player		player = {.context = CurrentMemoryContext};
	MemoryContext action_context = AllocSetContextCreate(player.context, "economy action",
														 ALLOCSET_DEFAULT_SIZES);

	eco_call_init(&call, &eco_actions, group[0]->user_id, stats_tables);
	call.tables_of_new = new_action_tables;
	call.key = KEY_BY_ACTION;
	if (n == 1 && duplicate == ECO_DUPLICATE_TELL)
	{
		call.texts[call.ntexts++] = group[0]->game;
		call.texts[call.ntexts++] = group[0]->action_id;
	}
	player.ngames = mark_places(group, n);
	player.stats = palloc0(sizeof(EcoGameStats *) * player.ngames);
	state = eco_call_begin(&call);
	player.account = state == ECO_CALL_NEW ? &call.account : NULL;
	player.at_once = eco_tables_plain(call.open) ? WRITE_ENTRIES : 1;
	player.entry_context = AllocSetContextCreate(player.context, "economy entries",
												 ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < n; i++)
	{
		EcoResult	result = {.desc = desc};

		CHECK_FOR_INTERRUPTS();
		if (player.nentries == player.at_once || group[i]->repeated)
			write_entries(&player);
		MemoryContextSwitchTo(action_context);
		memset(result.isnull, true, ACTION_COLUMNS);
		answer(&player, &call, state, group[i], &result);
		sink(arg, group[i], &result);
		MemoryContextReset(action_context);
	}
	MemoryContextSwitchTo(player.context);
	write_entries(&player);
	forget_keys(&player);
	eco_call_end(&call);
}

static void
answer(Player *player, EcoCall *call, EcoCallState state, const EcoAction *action,
	   EcoResult *result)
{
	switch (state)
	{
		case ECO_CALL_NO_USER:
			eco_result_outcome(result, "refused", "USER_NOT_FOUND");
			break;
		case ECO_CALL_BUSY:
			eco_result_busy(result, ACTION_RETRY_AFTER_MS);
			break;
		case ECO_CALL_NEW:
			/* one that announced its key was looked up already */
			if (call->ntexts > 0 || !may_be_known(player, action) ||
				!find_first(player, action, &call->first))
			{
				record_one(player, action, result);
				break;
			}
			/* FALLTHROUGH */
		case ECO_CALL_REPLAY:
			replay(player, action, &call->first, result);
			break;
	}
}

static int
by_game(const EcoAction *x, const EcoAction *y)
{
	int			order = x->game.len - y->game.len;

	return order != 0 ? order : memcmp(x->game.data, y->game.data, x->game.len);
}

static int
by_key(const EcoAction *x, const EcoAction *y)
{
	int			order = by_game(x, y);

	if (order == 0)
		order = x->action_id.len - y->action_id.len;
	if (order == 0)
		order = memcmp(x->action_id.data, y->action_id.data, x->action_id.len);
	return order;
}

static int
by_key_and_number(const void *a, const void *b, void *arg)
{
	const EcoAction *x = *(const EcoAction *const *) a;
	const EcoAction *y = *(const EcoAction *const *) b;
	int			order = by_key(x, y);

	return order != 0 ? order : x->number - y->number;
}

/*
 * Number the games of a group and say how many there are.  An action whose key an
 * earlier one has is marked: it can only be looked up when that one is written.
 */
static int
mark_places(EcoAction **group, int n)
{
	EcoAction **order;
	int			game = 0;

	group[0]->game_number = 0;
	group[0]->repeated = false;
	if (n == 1)
		return 1;
	order = palloc(sizeof(EcoAction *) * n);
	memcpy(order, group, sizeof(EcoAction *) * n);
	qsort_interruptible(order, n, sizeof(EcoAction *), by_key_and_number, NULL);
	order[0]->game_number = 0;
	for (int i = 1; i < n; i++)
	{
		game += by_game(order[i - 1], order[i]) != 0;
		order[i]->game_number = game;
		order[i]->repeated = by_key(order[i - 1], order[i]) == 0;
	}
	pfree(order);
	return game + 1;
}

/*
 * Write the prepared entries, with the account and the statistics, and renew the
 * snapshot so that it sees them.  The journal comes last: when a trigger on it makes
 * entries of the same user, these find everything else written, and what was read
 * before is outdated.
 */
static void
write_entries(Player *player)
{
	MemoryContext old_context;

	if (player->nentries == 0)
		return;
	old_context = MemoryContextSwitchTo(player->entry_context);
	for (int i = 0; i < player->nchanged; i++)
		eco_stats_put(player->changed[i], player->account);
	eco_account_flush(player->account);
	for (int i = 0; i < player->nchanged; i++)
	{
		ECO_CRASH_POINT("action:before_stats");
		eco_stats_write(player->changed[i], player->account);
		ECO_CRASH_POINT("action:after_stats");
	}
	player->nchanged = 0;
	eco_entries_write(player->entries, player->nentries);
	MemoryContextSwitchTo(old_context);
	MemoryContextReset(player->entry_context);
	player->nentries = 0;
	forget_keys(player);
	eco_snapshot_renew();
	if (eco_account_moved_on(player->account))
		player->reading++;
}

/*
 * Whether the action's key has to be looked up.  A user without statistics of the
 * game has no action of it but those of this group.
 */
static bool
may_be_known(Player *player, const EcoAction *action)
{
	return action->repeated || stats_of(player, action)->exists;
}

static bool
find_first(Player *player, const EcoAction *action, EcoRow *row)
{
	Datum		values[3] = {Int64GetDatum(action->user_id), action->game.datum,
	action->action_id.datum};

	if (player->keys != NULL)
		eco_scan_again(player->keys, values);
	else
	{
		MemoryContext old_context = MemoryContextSwitchTo(player->context);

		player->keys = eco_scan_begin(&user_actions, action->user_id, KEY_BY_ACTION, 3, values);
		MemoryContextSwitchTo(old_context);
	}
	return eco_scan_next(player->keys, row);
}

static void
forget_keys(Player *player)
{
	if (player->keys != NULL)
		eco_scan_end(player->keys);
	player->keys = NULL;
}

static void
record_one(Player *player, const EcoAction *action, EcoResult *result)
{
	EcoAccount *account = player->account;
	EcoGameStats *stats = stats_of(player, action);
	EcoDetail	detail = {0};
	const char *refusal;
	int64		seq;

	if (eco_action_pruned(account, action, &seq))
	{
		refuse_pruned(action, seq, result);
		return;
	}
	refusal = check_rules(account, stats, action, &detail);
	if (refusal == NULL)
	{
		append_entry(player, stats, action, result);
		return;
	}
	eco_result_outcome(result, "refused", refusal);
	eco_result_set(result, ACTION_GOLD, Int64GetDatum(account->gold));
	set_detail(result, &detail);
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

static void
append_entry(Player *player, EcoGameStats *stats, const EcoAction *action, EcoResult *result)
{
	EcoOutcome	outcome = derive(action);
	MemoryContext old_context = MemoryContextSwitchTo(player->entry_context);
	EcoEntry   *entry = palloc(sizeof(EcoEntry));
	EcoRow	   *row = &entry->row;

	eco_entry_init(entry, &eco_actions);
	entry->gold_delta = action->win - action->bet;
	eco_row_set(row, ACT_BET, Int64GetDatum(action->bet));
	eco_row_set(row, ACT_WIN, Int64GetDatum(action->win));
	eco_row_set(row, ACT_OUTCOME, CStringGetTextDatum(outcome_words[outcome]));
	eco_row_set(row, ACT_GAME, action->game.datum);
	eco_row_set(row, ACT_TYPE, action->action_type.datum);
	eco_row_set(row, ACT_ID, action->action_id.datum);
	if (action->details != NULL)
		eco_row_set(row, ACT_DETAILS, JsonbPGetDatum(action->details));
	eco_entry_prepare(player->account, entry);
	player->entries[player->nentries++] = entry;
	MemoryContextSwitchTo(old_context);
	if (!eco_stats_changed(stats))
		player->changed[player->nchanged++] = stats;
	eco_stats_count(stats, action, outcome, entry->created_at);

	eco_result_outcome(result, "new", "OK");
	eco_result_entry(result, &eco_actions, row);
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

/* The first result; the statistics are those of now. */
static void
replay(Player *player, const EcoAction *action, const EcoRow *first, EcoResult *result)
{
	EcoDetail	detail = {0};

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
	set_stats(result, stats_of(player, action));
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

static EcoGameStats *
stats_of(Player *player, const EcoAction *action)
{
	EcoGameStats **stats = &player->stats[action->game_number];

	if (*stats == NULL || (*stats)->reading != player->reading)
	{
		MemoryContext old_context = MemoryContextSwitchTo(player->context);

		if (*stats == NULL)
			*stats = palloc(sizeof(EcoGameStats));
		eco_stats_load(*stats, player->account, action->user_id, &action->game);
		(*stats)->reading = player->reading;
		MemoryContextSwitchTo(old_context);
	}
	return *stats;
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

/* One event, or two; by setting the same for all who are told. */
static void
tell(const EcoRow *row, EcoListener *listener)
{
	EcoEvent	event;
	EcoFigures	stats;

	eco_event_begin(&event, ECO_USER_ACTION, NULL, &eco_actions, row);
	eco_event_text(&event, "game", row, ACT_GAME);
	eco_event_text(&event, "action_type", row, ACT_TYPE);
	eco_event_text(&event, "action_id", row, ACT_ID);
	eco_json_int(&event.json, "bet", eco_row_int(row, ACT_BET));
	eco_json_int(&event.json, "win", eco_row_int(row, ACT_WIN));
	eco_event_text(&event, "outcome", row, ACT_OUTCOME);
	if (eco_notify_stats == ECO_STATS_WITH_ACTION && find_stats(row, &stats))
	{
		eco_json_open(&event.json, "stats", '{');
		put_stats(&event.json, row, &stats);
		eco_json_close(&event.json, '}');
	}
	eco_event_end(&event, row, listener);
	if (eco_notify_stats != ECO_STATS_WITH_ACTION && !eco_is_deaf(listener, ECO_STATS_DELTA))
		tell_stats(row, listener);
}

static void
tell_stats(const EcoRow *row, EcoListener *listener)
{
	EcoEvent	event;
	EcoFigures	stats;

	if (!find_stats(row, &stats))
		return;
	eco_event_begin(&event, ECO_STATS_DELTA, "stats", &eco_actions, row);
	eco_event_text(&event, "game", row, ACT_GAME);
	put_stats(&event.json, row, &stats);
	eco_event_end(&event, row, listener);
}

static bool
find_stats(const EcoRow *row, EcoFigures *figures)
{
	return eco_stats_find(eco_row_int(row, ECO_COL_USER_ID), row->values[ACT_GAME], figures);
}

/* What the action added, and the totals of now, which may count later actions. */
static void
put_stats(EcoJson *json, const EcoRow *row, const EcoFigures *figures)
{
	text	   *outcome = DatumGetTextPP(row->values[ACT_OUTCOME]);
	char		first = *VARDATA_ANY(outcome);

	eco_json_int(json, "total_delta", 1);
	eco_json_int(json, "wins_delta", first == 'w');
	eco_json_int(json, "losses_delta", first == 'l');
	eco_json_int(json, "draws_delta", first == 'd');
	eco_json_int(json, "bet_delta", eco_row_int(row, ACT_BET));
	eco_json_int(json, "win_delta", eco_row_int(row, ACT_WIN));
	eco_json_int(json, "total", eco_figures_total(figures));
	eco_json_int(json, "wins", figures->wins);
	eco_json_int(json, "losses", figures->losses);
	eco_json_int(json, "draws", figures->draws);
	eco_json_int(json, "max_win", figures->max_win);
}
