/*
 * grant.c
 *		economy.grant_reward(), and the rules that one of many rewards has with it.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "crash_point.h"
#include "errors.h"
#include "ledger/args.h"
#include "ledger/call.h"
#include "ledger/level.h"
#include "ledger/result.h"
#include "reward/grant.h"
#include "reward/reward.h"

PG_FUNCTION_INFO_V1(eco_grant_reward);

static bool do_grant(const EcoGrant *grant, FunctionCallInfo fcinfo, EcoResult *result,
					 bool in_passing);
static void post(const EcoGrant *grant, EcoAccount *account, EcoResult *result);

/*
 * eco_grant_reward(user_id, source, external_event_id, gold, xp, details, items)
 */
Datum
eco_grant_reward(PG_FUNCTION_ARGS)
{
	EcoGrant	grant;
	EcoResult	result;

	eco_require_arg(fcinfo, 0, "user_id");
	grant.user_id = PG_GETARG_INT64(0);
	grant.source = eco_text_arg(fcinfo, 1, "source", ECO_MAX_NAME);
	grant.event_id = eco_text_arg(fcinfo, 2, "external_event_id", ECO_MAX_KEY);
	eco_require_arg(fcinfo, 3, "gold");
	eco_require_arg(fcinfo, 4, "xp");
	grant.gold = PG_GETARG_INT64(3);
	grant.xp = PG_GETARG_INT64(4);
	grant.details = eco_object_arg(fcinfo, 5, "details");
	/* objects of an older release do not give it */
	grant.items = PG_NARGS() > 6 ? eco_object_arg(fcinfo, 6, "items") : NULL;
	eco_grant_check(&grant, -1, false);
	PreventCommandIfReadOnly("economy.grant_reward()");

	if (!do_grant(&grant, fcinfo, &result, true))
		(void) do_grant(&grant, fcinfo, &result, false);
	return eco_result_row(&result);
}

void
eco_grant_check(const EcoGrant *grant, int number, bool any_source)
{
	const char *which = number < 0 ? "" : psprintf("reward %d: ", number + 1);
	int			len = (int) strlen(ECO_RESERVED_SOURCE);

	if (grant->gold < 0 || grant->xp < 0 ||
		grant->gold > ECO_MAX_AMOUNT || grant->xp > ECO_MAX_AMOUNT)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("%sgold and xp must be from 0 to 2^53-1", which),
				  errhint("economy.revoke_reward() takes a reward back."));
	if (grant->items != NULL)
	{
		EcoHoldings items;

		eco_holdings_given(grant->items, psprintf("%sitems", which), ECO_HOLDING_GIVE, &items);
	}
	if (!any_source && grant->source.len >= len &&
		memcmp(grant->source.data, ECO_RESERVED_SOURCE, len) == 0)
		ECO_ERROR(ECO_RESERVED_NAME,
				  errmsg("%ssources that begin with \"%s\" are reserved", which,
						 ECO_RESERVED_SOURCE));
}

/*
 * In passing, for the account is all that decides; the curve of levels is configuration.
 * But items may stand in rows, which the lock guards.
 */
static bool
do_grant(const EcoGrant *grant, FunctionCallInfo fcinfo, EcoResult *result, bool in_passing)
{
	static EcoTable *const of_items[] = {&eco_items, &eco_user_holdings_more, NULL};
	EcoCall		call;

	eco_result_begin(result, fcinfo, GRANT_TYPES);
	eco_call_init(&call, &eco_rewards, grant->user_id, eco_level_tables);
	call.tables_of_new = grant->items != NULL ? of_items : NULL;
	call.in_passing = in_passing && grant->items == NULL;
	call.key = ECO_RWD_BY_EVENT;
	call.texts[call.ntexts++] = grant->source;
	call.texts[call.ntexts++] = grant->event_id;
	switch (eco_call_begin(&call))
	{
		case ECO_CALL_NEW:
			post(grant, &call.account, result);
			break;
		case ECO_CALL_REPLAY:
			eco_grant_replay(grant, &call.first, result);
			break;
		case ECO_CALL_ARCHIVED:
			eco_result_archived(result, GRANT_DETAIL, &eco_rewards, call.user_id,
								call.archived_seq);
			break;
		case ECO_CALL_BUSY:
			eco_result_busy(result, GRANT_RETRY_AFTER_MS);
			break;
		case ECO_CALL_NO_USER:
			eco_grant_refuse(result, "USER_NOT_FOUND", NULL);
			break;
	}
	eco_call_end(&call);
	return eco_call_passed(&call);
}

static void
post(const EcoGrant *grant, EcoAccount *account, EcoResult *result)
{
	EcoHoldings items;
	EcoEntry	entry;

	if (!eco_grant_try(grant, account, &items, result))
	{
		eco_account_hold(account);
		return;
	}
	eco_grant_entry(grant, &items, &entry);
	eco_entry_prepare(account, &entry);
	eco_holdings_save(&items, account);
	(void) eco_holdings_write(&items, account->user_id);
	if (!eco_account_write(account))
		return;
	eco_entry_write(&entry);
	ECO_CRASH_POINT("grant:after_entry");
	eco_grant_made(&entry, result);
}

bool
eco_grant_try(const EcoGrant *grant, const EcoAccount *account, EcoHoldings *items,
			  EcoResult *result)
{
	const char *refusal = account->suspended ? "USER_SUSPENDED" :
	eco_amount_refusal(account, grant->gold, grant->xp);
	EcoDetail	detail = {0};

	items->n = 0;
	if (refusal == NULL && grant->items != NULL)
	{
		eco_holdings_given(grant->items, "items", ECO_HOLDING_GIVE, items);
		refusal = eco_holdings_refusal(items, account, &detail);
	}
	if (refusal == NULL)
		return true;
	eco_grant_refuse(result, refusal, account);
	if (detail.open)
		eco_result_set(result, GRANT_DETAIL, eco_detail_end(&detail));
	return false;
}

void
eco_grant_entry(const EcoGrant *grant, const EcoHoldings *items, EcoEntry *entry)
{
	eco_entry_init(entry, &eco_rewards);
	entry->gold_delta = grant->gold;
	entry->xp_delta = grant->xp;
	eco_row_set(&entry->row, RWD_SOURCE, grant->source.datum);
	eco_row_set(&entry->row, RWD_EVENT_ID, grant->event_id.datum);
	if (grant->details != NULL)
		eco_row_set(&entry->row, RWD_DETAILS, JsonbPGetDatum(grant->details));
	if (items->n > 0)
	{
		entry->at = items->at;
		eco_row_set(&entry->row, RWD_ITEMS, eco_holdings_json(items));
	}
}

void
eco_grant_made(const EcoEntry *entry, EcoResult *result)
{
	eco_result_outcome(result, "new", "OK");
	eco_grant_set_entry(result, &entry->row);
}

static bool
same_items(const EcoGrant *grant, const EcoRow *first)
{
	EcoHoldings items;

	eco_holdings_given(grant->items, "items", ECO_HOLDING_GIVE, &items);
	return eco_holdings_same(&items, first->isnull[RWD_ITEMS] ? (Datum) 0 :
							 first->values[RWD_ITEMS]);
}

void
eco_grant_replay(const EcoGrant *grant, const EcoRow *first, EcoResult *result)
{
	EcoDetail	detail = {0};

	if (eco_row_int(first, ECO_COL_GOLD_DELTA) != grant->gold)
	{
		eco_detail_field(&detail, "gold", first, ECO_COL_GOLD_DELTA);
		eco_detail_int(&detail, "now", grant->gold);
	}
	else if (eco_row_int(first, ECO_COL_XP_DELTA) != grant->xp)
	{
		eco_detail_field(&detail, "xp", first, ECO_COL_XP_DELTA);
		eco_detail_int(&detail, "now", grant->xp);
	}
	else if (!eco_same_object(first, RWD_DETAILS, grant->details))
	{
		eco_detail_field(&detail, "details", first, RWD_DETAILS);
		eco_detail_json(&detail, "now", grant->details);
	}
	else if (!same_items(grant, first))
	{
		eco_detail_field(&detail, "items", first, RWD_ITEMS);
		eco_detail_json(&detail, "now", grant->items);
	}
	else
	{
		eco_result_outcome(result, "reuse", "OK");
		eco_grant_set_entry(result, first);
		return;
	}
	eco_grant_mismatch(result, first, &detail);
}

void
eco_grant_set_entry(EcoResult *result, const EcoRow *row)
{
	eco_reward_answer(result, GRANT_GOLD_DELTA, row);
	if (!row->isnull[RWD_ITEMS])
		eco_result_set(result, GRANT_ITEMS, row->values[RWD_ITEMS]);
}

void
eco_grant_refuse(EcoResult *result, const char *code, const EcoAccount *account)
{
	eco_result_outcome(result, "refused", code);
	if (account == NULL)
		return;
	eco_result_set(result, GRANT_GOLD, Int64GetDatum(account->gold));
	eco_result_set(result, GRANT_XP, Int64GetDatum(account->xp));
}

void
eco_grant_mismatch(EcoResult *result, const EcoRow *first, EcoDetail *detail)
{
	eco_result_outcome(result, "refused", "IDEMPOTENCY_MISMATCH");
	eco_result_entry(result, &eco_rewards, first);
	eco_result_set(result, GRANT_DETAIL, eco_detail_end(detail));
}
