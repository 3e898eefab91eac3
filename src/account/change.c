/*
 * change.c
 *		Changes of who a user is: status, time zone, profile, external id.
 *
 * Each is an entry of the user's stream that moves no gold and no XP, made under
 * the account's lock together with what it changes (I1), so it is told, replayed
 * and proved as every other entry is.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_collation_d.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "account/account.h"
#include "account/merge.h"
#include "account/zone.h"
#include "crash_point.h"
#include "errors.h"
#include "event/event.h"
#include "ledger/call.h"
#include "ledger/result.h"
#include "ledger/user.h"

/* columns of economy.user_change_result after the common ones */
enum
{
	CHANGE_FIELD = ECO_RES_OWN,
	CHANGE_BEFORE,
	CHANGE_AFTER,
	CHANGE_RETRY_AFTER_MS,
	CHANGE_DETAIL
};
#define CHANGE_TYPES "bttt" "ttt" "ij"

#define MAX_ACTOR 255
#define MAX_REASON 1000
#define KEYS_BYTES 6000			/* of the changed members' names in an event */

PG_FUNCTION_INFO_V1(eco_set_timezone);
PG_FUNCTION_INFO_V1(eco_set_user_status);
PG_FUNCTION_INFO_V1(eco_update_profile);
PG_FUNCTION_INFO_V1(eco_link_external_id);
PG_FUNCTION_INFO_V1(eco_unlink_external_id);

typedef struct Change
{
	EcoCall		call;
	EcoUserField field;
	EcoRow		user;			/* locked, once the call is new */
	EcoText		key;			/* data is NULL for none, as in the others */
	EcoText		actor;
	EcoText		reason;
	EcoRow		entry;			/* posted, or the first call's */
} Change;

static void change_args(Change *change, FunctionCallInfo fcinfo, EcoUserField field,
						int key, int actor, int reason);
static EcoCallState change_begin(Change *change);
static EcoCallState change_begin_waiting(Change *change);
static void change_lock_user(Change *change);
static void change_post(Change *change, Datum before, Datum after);
static bool same_text(Datum a, Datum b);
static bool change_is(const EcoRow *entry, int column, Datum value);
static void result_entry(EcoResult *result, const Change *change);
static bool result_without_change(EcoResult *result, Change *change, EcoCallState state,
								  Datum after);
static void require_same(const Change *change, Datum after);
static void require_user(int64 user_id, EcoCallState state);
static bool try_update(Change *change);
static void link_id(EcoResult *result, Change *change, const EcoText *external_id);
static void tell(const EcoRow *row, const void *beside, EcoListener *listener);
static void tell_keys(EcoEvent *event, const EcoRow *row);

const EcoJournal eco_user_entries = {
	.letter = 'U',
	.table = &eco_user_changes,
	.shown = {[ECO_SHOWN_SOURCE] = UCH_FIELD,[ECO_SHOWN_REASON] = UCH_REASON},
	.tell = tell,
	.types = ECO_TYPE_BIT(ECO_PROFILE_UPDATE),
};

/*
 * eco_set_timezone(user_id bigint, timezone text, idempotency_key text) returns text
 *		The zone in its proper spelling.
 */
Datum
eco_set_timezone(PG_FUNCTION_ARGS)
{
	Change		change;
	EcoText		given;
	EcoCallState state;
	Datum		zone;

	eco_require_arg(fcinfo, 0, "user_id");
	given = eco_text_arg(fcinfo, 1, "timezone", ECO_MAX_NAME);
	zone = CStringGetTextDatum(eco_zone_name(&given));
	change_args(&change, fcinfo, ECO_USER_TIMEZONE, 2, -1, -1);
	PreventCommandIfReadOnly("economy.set_timezone()");
	state = change_begin_waiting(&change);
	require_user(change.call.user_id, state);
	if (state == ECO_CALL_REPLAY)
		require_same(&change, zone);
	else
	{
		Datum		before;

		change_lock_user(&change);
		before = change.user.values[USR_TIMEZONE];
		/* apps say it at every start; without a key that is no news */
		if (change.key.data != NULL || !same_text(before, zone))
		{
			eco_row_set(&change.user, USR_TIMEZONE, zone);
			eco_row_update(&change.user, change.call.user_id);
			ECO_CRASH_POINT("change:after_user");
			change_post(&change, before, zone);
		}
	}
	eco_call_end(&change.call);
	PG_RETURN_DATUM(zone);
}

/*
 * eco_set_user_status(user_id bigint, status text, actor text, idempotency_key text,
 *		reason text) returns text
 *		The flag stands in the account, so no call of the user is half in, half out.
 */
Datum
eco_set_user_status(PG_FUNCTION_ARGS)
{
	Change		change;
	EcoText		status;
	EcoCallState state;
	bool		suspended;

	eco_require_arg(fcinfo, 0, "user_id");
	status = eco_text_arg(fcinfo, 1, "status", ECO_MAX_NAME);
	eco_require_arg(fcinfo, 2, "actor");
	change_args(&change, fcinfo, ECO_USER_STATUS, 3, 2, 4);
	suspended = status.len == 9 && memcmp(status.data, "suspended", 9) == 0;
	if (!suspended && (status.len != 6 || memcmp(status.data, "active", 6) != 0))
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("status must be active or suspended"));
	PreventCommandIfReadOnly("economy.set_user_status()");
	state = change_begin_waiting(&change);
	require_user(change.call.user_id, state);
	if (state == ECO_CALL_REPLAY)
		require_same(&change, status.datum);
	else
	{
		bool		before = change.call.account.suspended;

		change.call.account.suspended = suspended;
		change_post(&change, CStringGetTextDatum(before ? "suspended" : "active"), status.datum);
	}
	eco_call_end(&change.call);
	PG_RETURN_DATUM(status.datum);
}

/* A profile as the journal has it. */
static Datum
profile_text(Jsonb *profile)
{
	return CStringGetTextDatum(JsonbToCString(NULL, &profile->root, VARSIZE(profile)));
}

/* What the journal has for a field that is never null. */
static char *
recorded(const EcoRow *row, int column)
{
	if (row->isnull[column])
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("entry %lld of user %lld does not say what it changed",
						 (long long) eco_row_int(row, ECO_COL_SEQ),
						 (long long) eco_row_int(row, ECO_COL_USER_ID)));
	return TextDatumGetCString(row->values[column]);
}

static Jsonb *
recorded_profile(const EcoRow *row, int column)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(recorded(row, column))));
}

/* The profile that the retry's patch makes of the one that the first call found. */
static Datum
patched_again(const EcoRow *first, Jsonb *patch)
{
	return profile_text(eco_merge_patch(recorded_profile(first, UCH_BEFORE), patch));
}

/*
 * eco_update_profile(user_id bigint, patch jsonb, idempotency_key text, actor text)
 *		returns economy.user_change_result
 *		A JSON merge patch.
 */
Datum
eco_update_profile(PG_FUNCTION_ARGS)
{
	Change		change;
	EcoResult	result;
	EcoCallState state;
	Jsonb	   *patch;
	Jsonb	   *profile;
	Datum		before;
	Datum		after;

	eco_require_arg(fcinfo, 0, "user_id");
	eco_require_arg(fcinfo, 1, "patch");
	patch = eco_object_arg(fcinfo, 1, "patch");
	eco_require_arg(fcinfo, 2, "idempotency_key");
	change_args(&change, fcinfo, ECO_USER_PROFILE, 2, 3, -1);
	PreventCommandIfReadOnly("economy.update_profile()");
	eco_result_begin(&result, fcinfo, CHANGE_TYPES);
	state = change_begin(&change);
	after = state == ECO_CALL_REPLAY ? patched_again(&change.call.first, patch) : (Datum) 0;
	if (!result_without_change(&result, &change, state, after))
	{
		change_lock_user(&change);
		profile = DatumGetJsonbP(change.user.values[USR_PROFILE]);
		before = profile_text(profile);
		profile = eco_merge_patch(profile, patch);
		after = profile_text(profile);
		if (VARSIZE_ANY_EXHDR(DatumGetPointer(after)) > ECO_MAX_JSON)
			eco_result_outcome(&result, "refused", "PROFILE_TOO_LONG");
		else
		{
			eco_row_set(&change.user, USR_PROFILE, JsonbPGetDatum(profile));
			eco_row_update(&change.user, change.call.user_id);
			ECO_CRASH_POINT("change:after_user");
			change_post(&change, before, after);
			eco_result_outcome(&result, "new", "OK");
			result_entry(&result, &change);
		}
	}
	eco_call_end(&change.call);
	PG_RETURN_DATUM(eco_result_row(&result));
}

/*
 * eco_link_external_id(user_id bigint, external_id text, idempotency_key text, actor text)
 *		returns economy.user_change_result
 */
Datum
eco_link_external_id(PG_FUNCTION_ARGS)
{
	Change		change;
	EcoResult	result;
	EcoText		external_id;

	eco_require_arg(fcinfo, 0, "user_id");
	external_id = eco_text_arg(fcinfo, 1, "external_id", ECO_MAX_KEY);
	eco_require_arg(fcinfo, 2, "idempotency_key");
	change_args(&change, fcinfo, ECO_USER_EXTERNAL_ID, 2, 3, -1);
	PreventCommandIfReadOnly("economy.link_external_id()");
	eco_result_begin(&result, fcinfo, CHANGE_TYPES);
	if (!result_without_change(&result, &change, change_begin(&change), external_id.datum))
	{
		change_lock_user(&change);
		link_id(&result, &change, &external_id);
	}
	eco_call_end(&change.call);
	PG_RETURN_DATUM(eco_result_row(&result));
}

static void
link_id(EcoResult *result, Change *change, const EcoText *external_id)
{
	bool		linked = !change->user.isnull[USR_EXTERNAL_ID];
	int64		holder;
	Datum		before = change->user.values[USR_EXTERNAL_ID];

	if (linked && !same_text(before, external_id->datum))
	{
		eco_result_outcome(result, "refused", "ALREADY_LINKED");
		return;
	}
	if (!linked)
	{
		eco_row_set(&change->user, USR_EXTERNAL_ID, external_id->datum);
		if (eco_user_find(external_id->datum, &holder) || !try_update(change))
		{
			eco_result_outcome(result, "refused", "EXTERNAL_ID_TAKEN");
			return;
		}
		ECO_CRASH_POINT("change:after_user");
	}
	change_post(change, linked ? before : (Datum) 0, external_id->datum);
	eco_result_outcome(result, "new", "OK");
	result_entry(result, change);
}

/*
 * eco_unlink_external_id(user_id bigint, idempotency_key text, actor text)
 *		returns economy.user_change_result
 */
Datum
eco_unlink_external_id(PG_FUNCTION_ARGS)
{
	Change		change;
	EcoResult	result;

	eco_require_arg(fcinfo, 0, "user_id");
	eco_require_arg(fcinfo, 1, "idempotency_key");
	change_args(&change, fcinfo, ECO_USER_EXTERNAL_ID, 1, 2, -1);
	PreventCommandIfReadOnly("economy.unlink_external_id()");
	eco_result_begin(&result, fcinfo, CHANGE_TYPES);
	if (!result_without_change(&result, &change, change_begin(&change), (Datum) 0))
	{
		change_lock_user(&change);
		if (change.user.isnull[USR_EXTERNAL_ID])
			eco_result_outcome(&result, "refused", "NOT_LINKED");
		else
		{
			Datum		before = change.user.values[USR_EXTERNAL_ID];

			change.user.isnull[USR_EXTERNAL_ID] = true;
			eco_row_update(&change.user, change.call.user_id);
			ECO_CRASH_POINT("change:after_user");
			change_post(&change, before, (Datum) 0);
			eco_result_outcome(&result, "new", "OK");
			result_entry(&result, &change);
		}
	}
	eco_call_end(&change.call);
	PG_RETURN_DATUM(eco_result_row(&result));
}

/* Read the arguments at these places; -1: the function has no such argument. */
static void
change_args(Change *change, FunctionCallInfo fcinfo, EcoUserField field,
			int key, int actor, int reason)
{
	static EcoTable *const tables[] = {&eco_user_records, &eco_users, NULL};

	memset(change, 0, sizeof(*change));
	change->field = field;
	if (!PG_ARGISNULL(key))
		change->key = eco_text_arg(fcinfo, key, "idempotency_key", ECO_MAX_KEY);
	if (actor >= 0 && !PG_ARGISNULL(actor))
		change->actor = eco_text_arg(fcinfo, actor, "actor", MAX_ACTOR);
	if (reason >= 0 && !PG_ARGISNULL(reason))
		change->reason = eco_text_arg(fcinfo, reason, "reason", MAX_REASON);
	eco_call_init(&change->call, &eco_user_entries, PG_GETARG_INT64(0), tables);
	change->call.key = UCH_BY_KEY;
	if (change->key.data == NULL)
		return;
	change->call.texts[change->call.ntexts++] = eco_text_of(eco_user_field_names[field]);
	change->call.texts[change->call.ntexts++] = change->key;
}

static EcoCallState
change_begin(Change *change)
{
	EcoCallState state = eco_call_begin(&change->call);

	if (state == ECO_CALL_REPLAY)
		change->entry = change->call.first;
	return state;
}

/*
 * For functions whose answer has no room for in_progress: a duplicate waits for the
 * account's lock, and then finds the first call's entry.
 */
static EcoCallState
change_begin_waiting(Change *change)
{
	EcoCall    *call = &change->call;
	EcoCallState state = change_begin(change);
	Datum		values[1 + ECO_MAX_CALL_TEXTS];

	if (state != ECO_CALL_BUSY)
		return state;
	eco_call_end(call);
	values[0] = Int64GetDatum(call->user_id);
	for (int i = 0; i < call->ntexts; i++)
		values[i + 1] = call->texts[i].datum;
	call->ntexts = 0;
	state = eco_call_begin(call);
	if (state == ECO_CALL_NEW &&
		eco_row_find(&eco_user_changes, call->user_id, UCH_BY_KEY, 1 + ECO_MAX_CALL_TEXTS,
					 values, &change->entry))
		return ECO_CALL_REPLAY;
	return state;
}

/* Read and lock the row of the user; changes of the same user wait at the account. */
static void
change_lock_user(Change *change)
{
	int64		user_id = change->call.user_id;
	Datum		key = Int64GetDatum(user_id);

	EcoLock		lock = ECO_LOCKED_AGAIN;

	while (lock == ECO_LOCKED_AGAIN &&
		   eco_row_find(&eco_user_records, user_id, 0, 1, &key, &change->user))
	{
		CHECK_FOR_INTERRUPTS();
		lock = eco_row_lock(&change->user, user_id, ECO_WAIT);
		if (lock == ECO_LOCKED_AGAIN)
			eco_snapshot_renew();
	}
	if (lock != ECO_LOCKED)
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("user %lld has an account and no row in economy.users",
						 (long long) user_id));
}

/* before and after are texts, or 0 for none. */
static void
change_post(Change *change, Datum before, Datum after)
{
	EcoEntry	entry;

	eco_entry_init(&entry, &eco_user_entries);
	eco_row_set(&entry.row, UCH_FIELD, CStringGetTextDatum(eco_user_field_names[change->field]));
	if (before != (Datum) 0)
		eco_row_set(&entry.row, UCH_BEFORE, before);
	if (after != (Datum) 0)
		eco_row_set(&entry.row, UCH_AFTER, after);
	if (change->key.data != NULL)
		eco_row_set(&entry.row, UCH_KEY, change->key.datum);
	if (change->actor.data != NULL)
		eco_row_set(&entry.row, UCH_ACTOR, change->actor.datum);
	if (change->reason.data != NULL)
		eco_row_set(&entry.row, UCH_REASON, change->reason.datum);
	(void) eco_entry_post(&change->call.account, &entry);
	ECO_CRASH_POINT("change:after_entry");
	change->entry = entry.row;
}

static bool
same_text(Datum a, Datum b)
{
	return DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, a, b));
}

static bool
change_is(const EcoRow *entry, int column, Datum value)
{
	if (entry->isnull[column] || value == (Datum) 0)
		return entry->isnull[column] && value == (Datum) 0;
	return same_text(entry->values[column], value);
}

static void
result_entry(EcoResult *result, const Change *change)
{
	const EcoRow *entry = &change->entry;

	eco_result_entry(result, &eco_user_entries, entry);
	eco_result_set(result, CHANGE_FIELD, entry->values[UCH_FIELD]);
	if (!entry->isnull[UCH_BEFORE])
		eco_result_set(result, CHANGE_BEFORE, entry->values[UCH_BEFORE]);
	if (!entry->isnull[UCH_AFTER])
		eco_result_set(result, CHANGE_AFTER, entry->values[UCH_AFTER]);
}

/* The answer where nothing is to be changed; false: go on and change it. */
static bool
result_without_change(EcoResult *result, Change *change, EcoCallState state, Datum after)
{
	EcoDetail	detail = {0};

	if (state == ECO_CALL_NO_USER)
		eco_result_outcome(result, "refused", "USER_NOT_FOUND");
	else if (state == ECO_CALL_BUSY)
	{
		eco_result_busy(result, CHANGE_RETRY_AFTER_MS);
	}
	else if (state == ECO_CALL_NEW && change->call.account.suspended)
		eco_result_outcome(result, "refused", "USER_SUSPENDED");
	else if (state == ECO_CALL_NEW)
		return false;
	else
	{
		result_entry(result, change);
		if (change_is(&change->entry, UCH_AFTER, after))
			eco_result_outcome(result, "reuse", "OK");
		else
		{
			eco_result_outcome(result, "refused", "IDEMPOTENCY_MISMATCH");
			eco_detail_field(&detail, eco_user_field_names[change->field], &change->entry,
							 UCH_AFTER);
			if (after != (Datum) 0)
				eco_detail_str(&detail, "now", TextDatumGetCString(after));
			else
				eco_detail_json(&detail, "now", NULL);
			eco_result_set(result, CHANGE_DETAIL, eco_detail_end(&detail));
		}
	}
	return true;
}

static void
require_same(const Change *change, Datum after)
{
	if (!change_is(&change->entry, UCH_AFTER, after))
		ECO_ERROR(ECO_KEY_REUSED,
				  errmsg("idempotency_key was used for another change of this user's %s",
						 eco_user_field_names[change->field]),
				  errdetail("It is that of %s, to \"%s\".",
							eco_transaction_id(&eco_user_entries, change->call.user_id,
											   eco_row_int(&change->entry, ECO_COL_SEQ)),
							recorded(&change->entry, UCH_AFTER)));
}

static void
require_user(int64 user_id, EcoCallState state)
{
	if (state == ECO_CALL_NO_USER)
		ECO_ERROR(ECO_USER_NOT_FOUND,
				  errmsg("user %lld does not exist", (long long) user_id),
				  errhint("Users are made by economy.register()."));
}

/*
 * Write the row of the user; false when another user has got the external id
 * meanwhile, of which the unique index tells by an error.
 */
static bool
try_update(Change *change)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		eco_row_update(&change->user, change->call.user_id);
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION)
			ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (!done && IsolationUsesXactSnapshot())
		eco_serialization_failure(&eco_users);
	return done;
}

/* Who did it and why is not for listeners, nor what stands in a profile. */
static void
tell(const EcoRow *row, const void *beside, EcoListener *listener)
{
	bool		is_profile = change_is(row, UCH_FIELD,
									   CStringGetTextDatum(eco_user_field_names[ECO_USER_PROFILE]));
	EcoEvent	event;

	(void) beside;
	eco_event_begin(&event, ECO_PROFILE_UPDATE, NULL, &eco_user_entries, row);
	eco_event_text(&event, "field", row, UCH_FIELD);
	if (is_profile)
	{
		eco_json_null(&event.json, "before");
		eco_json_null(&event.json, "after");
		tell_keys(&event, row);
	}
	else
	{
		eco_event_text(&event, "before", row, UCH_BEFORE);
		eco_event_text(&event, "after", row, UCH_AFTER);
	}
	eco_event_end(&event, row, listener);
}

/* Add the names of the members of one that the other lacks or has another value of. */
static void
add_keys(EcoJson *keys, Jsonb *one, Jsonb *other, bool only_missing)
{
	JsonbIterator *it = JsonbIteratorInit(&one->root);
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		JsonbValue *there;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		there = findJsonbValueFromContainer(&other->root, JB_FOBJECT, &key);
		if (there != NULL)
		{
			Jsonb	   *a = JsonbValueToJsonb(&value);
			Jsonb	   *b = JsonbValueToJsonb(there);

			if (only_missing || (VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0))
				continue;
		}
		eco_json_text(keys, NULL, key.val.string.val, key.val.string.len);
	}
}

/* Names of the changed members; null when they are too many for an event. */
static void
tell_keys(EcoEvent *event, const EcoRow *row)
{
	Jsonb	   *before = recorded_profile(row, UCH_BEFORE);
	Jsonb	   *after = recorded_profile(row, UCH_AFTER);
	char	   *buf = palloc(KEYS_BYTES);
	EcoJson		keys;

	eco_json_begin(&keys, buf, KEYS_BYTES);
	eco_json_open(&keys, NULL, '[');
	add_keys(&keys, before, after, false);
	add_keys(&keys, after, before, true);
	eco_json_close(&keys, ']');
	if (keys.overflow)
		eco_json_null(&event->json, "keys");
	else
		eco_json_raw(&event->json, "keys", buf);
}
