/*
 * record.c
 *		economy.record_action().
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "crash_point.h"
#include "errors.h"
#include "play/action.h"
#include "play/stats.h"

PG_FUNCTION_INFO_V1(eco_record_action);

static bool do_record(const EcoAction *action, FunctionCallInfo fcinfo, EcoResult *result,
					  bool in_passing);
static bool take_what_is_needed(EcoAccount *account);
static void post(const EcoAction *action, EcoAccount *account, EcoResult *result);
static void replay(const EcoAction *action, const EcoRow *first, EcoResult *result);

/* Objects of 0.2.0 have no such argument. */
static int64
xp_arg(FunctionCallInfo fcinfo, int argno)
{
	if (PG_NARGS() <= argno)
		return 0;
	eco_require_arg(fcinfo, argno, "xp");
	return PG_GETARG_INT64(argno);
}

/*
 * eco_record_action(user_id, game, action_type, action_id, bet, win, outcome, details, xp)
 */
Datum
eco_record_action(PG_FUNCTION_ARGS)
{
	EcoAction	action = {0};
	EcoResult	result;
	const char *wrong;

	eco_require_arg(fcinfo, 0, "user_id");
	action.user_id = PG_GETARG_INT64(0);
	action.game = eco_text_arg(fcinfo, 1, "game", ECO_MAX_NAME);
	action.action_type = eco_text_arg(fcinfo, 2, "action_type", ECO_MAX_NAME);
	action.action_id = eco_text_arg(fcinfo, 3, "action_id", ECO_MAX_KEY);
	eco_require_arg(fcinfo, 4, "bet");
	eco_require_arg(fcinfo, 5, "win");
	action.bet = PG_GETARG_INT64(4);
	action.win = PG_GETARG_INT64(5);
	if (!PG_ARGISNULL(6))
	{
		text	   *outcome = PG_GETARG_TEXT_PP(6);

		action.outcome = eco_outcome_of(VARDATA_ANY(outcome), VARSIZE_ANY_EXHDR(outcome));
	}
	action.details = eco_object_arg(fcinfo, 7, "details");
	action.xp = xp_arg(fcinfo, 8);
	wrong = eco_action_wrong(&action);
	if (wrong != NULL)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("%s", wrong));
	PreventCommandIfReadOnly("economy.record_action()");

	if (!do_record(&action, fcinfo, &result, true))
		(void) do_record(&action, fcinfo, &result, false);
	ECO_CRASH_POINT("record:done");
	return eco_result_row(&result);
}

static bool
do_record(const EcoAction *action, FunctionCallInfo fcinfo, EcoResult *result, bool in_passing)
{
	EcoCall		call;

	eco_result_begin(result, fcinfo, ACTION_TYPES);
	eco_call_init(&call, &eco_actions, action->user_id,
				  action->xp > 0 ? eco_action_tables_with_xp : eco_action_tables);
	call.tables_of_new = eco_action_tables_of_new;
	call.in_passing = in_passing;
	call.key = ECO_ACT_BY_KEY;
	call.texts[call.ntexts++] = action->game;
	call.texts[call.ntexts++] = action->action_id;
	switch (eco_call_begin(&call))
	{
		case ECO_CALL_NEW:
			if (take_what_is_needed(&call.account))
				post(action, &call.account, result);
			break;
		case ECO_CALL_REPLAY:
			replay(action, &call.first, result);
			break;
		case ECO_CALL_BUSY:
			eco_result_busy(result, ACTION_RETRY_AFTER_MS);
			break;
		case ECO_CALL_ARCHIVED: /* none leaves: they are pruned */
		case ECO_CALL_NO_USER:
			eco_result_outcome(result, "refused", "USER_NOT_FOUND");
			break;
	}
	eco_call_end(&call);
	return eco_call_passed(&call);
}

/*
 * In passing an action goes by the account alone.  What was pruned, and statistics that
 * have rows, are read under its lock, which is got without a wait, or all begins anew.
 */
static bool
take_what_is_needed(EcoAccount *account)
{
	if (!account->is_unlocked || (account->pruned_seq == 0 && !eco_stats_have_rows(account)))
		return true;
	eco_account_hold(account);
	eco_snapshot_renew();
	return !account->is_unlocked;
}

static void
post(const EcoAction *action, EcoAccount *account, EcoResult *result)
{
	EcoGameStats stats;
	EcoEntry	entry;

	eco_stats_load(&stats, account, action->user_id, &action->game);
	if (!eco_action_try(action, account, &stats, result))
	{
		eco_account_hold(account);
		return;
	}
	eco_action_entry(action, &entry);
	eco_entry_prepare(account, &entry);
	eco_action_made(action, &entry, &stats, result);
	eco_stats_put(&stats, account);
	if (!eco_account_write(account))
		return;
	ECO_CRASH_POINT("action:before_stats");
	eco_stats_write(&stats, account);
	ECO_CRASH_POINT("action:after_stats");
	eco_entry_write(&entry);
}

static void
replay(const EcoAction *action, const EcoRow *first, EcoResult *result)
{
	EcoGameStats stats;

	eco_stats_load(&stats, NULL, action->user_id, &action->game);
	eco_action_replay(action, first, &stats, result);
}
