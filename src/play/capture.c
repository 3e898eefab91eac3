/*
 * capture.c
 *		capture_actions(): a trigger that feeds the app's own tables into the ledger.
 *
 *		CREATE TRIGGER t AFTER INSERT ON spins REFERENCING NEW TABLE AS new_rows
 *			FOR EACH STATEMENT EXECUTE FUNCTION economy.capture_actions(
 *				'user_col', 'game', 'id_col', 'bet_col', 'win_col' [, option...]);
 *
 * It is a trigger on the app's table, never on one of ours, and every row is
 * recorded under its own id, so a restored dump counts nothing twice.  A row without a
 * win is a round that is still open; it is settled once, for the user whom it names
 * then.  A second trigger, AFTER UPDATE, sees each row as it was as well, so it
 * records what the statement settles and nothing else: a row that was settled
 * before is passed over without a look at its user, who may have lost his external id
 * to somebody else, and is refused when the statement changes what was recorded.
 *
 * The rows of a statement are recorded together, as one record_actions() would: each
 * account is written once for all of them.  To bound the memory, a statement of very many
 * is taken in chunks; accounts are locked in the order of user_id within a chunk.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type_d.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "errors.h"
#include "ledger/user.h"
#include "play/action.h"

#define CHUNK_ROWS ECO_MAX_BATCH
#define FIRST_ROOM 64
#define NO_USER 0				/* no account has this id */
#define ACTION_TYPE "CAPTURE"
#define ROW_CHANGED "ROW_CHANGED"
#define SHOWN_BYTES 64			/* of an id that is too long */

enum
{
	ARG_USER,
	ARG_GAME,
	ARG_ID,
	ARG_BET,
	ARG_WIN,
	ARG_REQUIRED,
	ARG_MOST = ARG_REQUIRED + 2
};

/* Settings that the text of an id depends on: a row must have the same in every session. */
static const char *const pinned_settings[][2] = {
	{"DateStyle", "ISO, MDY"}, {"TimeZone", "UTC"}, {"IntervalStyle", "postgres"},
	{"bytea_output", "hex"}, {"extra_float_digits", "1"}, {"lc_monetary", "C"},
	{"xmlbinary", "base64"}, {"quote_all_identifiers", "off"},
	{"search_path", "pg_catalog, pg_temp"},
};

typedef struct Capture
{
	Relation	rel;
	EcoText		game;
	EcoText		action_type;
	AttrNumber	user_col;
	AttrNumber	id_col;
	AttrNumber	bet_col;
	AttrNumber	win_col;
	FmgrInfo	id_output;
	bool		id_is_plain;	/* its text depends on no setting */
	const char *prefix;			/* of the action's id */
	FmgrInfo	user_output;
	bool		user_is_external;	/* the column has external ids */
	bool		report;			/* refused rows are reported, not raised */
	TupleDesc	result_desc;

	/* the chunk */
	MemoryContext context;
	int			n;
	EcoAction  *actions;
	int			room;			/* for so many */
	char	  **strangers;		/* by number, the external id of a user that
								 * is none */
	List	   *changed;		/* settled rows that are not what they were */

	const char *row;			/* id of the one that is being read, or NULL */
} Capture;

/* Every error of a row says which one it is. */
#define ROW_ERROR(c, code, ...) \
	ECO_ERROR(code, __VA_ARGS__, row_detail(c), errtable((c)->rel))

PG_FUNCTION_INFO_V1(eco_capture_actions);

static void check_event(const TriggerData *trigger);
static void read_trigger(Capture *c, TriggerData *trigger);
static void read_option(Capture *c, const char *option);
static void user_column(Capture *c, const char *name);
static bool read_chunk(Capture *c, TriggerData *trigger, TupleTableSlot *was,
					   TupleTableSlot *is);
static bool read_rows(Capture *c, TriggerData *trigger, TupleTableSlot *was,
					  TupleTableSlot *is);
static void make_room(Capture *c, int room);
static int64 user_of(Capture *c, TupleTableSlot *slot, int number);
static AttrNumber number_column(Relation rel, const char *name);
static AttrNumber any_column(Relation rel, const char *name);
static bool read_row(Capture *c, TupleTableSlot *was, TupleTableSlot *is, EcoAction *action);
static bool settled(const Capture *c, TupleTableSlot *slot);
static AttrNumber changed_column(Capture *c, TupleTableSlot *was, TupleTableSlot *is);
static void refuse_change(Capture *c, TupleTableSlot *was, TupleTableSlot *is, AttrNumber attno);
static const char *id_of(Capture *c, TupleTableSlot *slot);
static int64 int_of(const Capture *c, TupleTableSlot *slot, AttrNumber attno);
static int	row_detail(const Capture *c);
static void judge(void *arg, int number, void *item, EcoResult *result);
static void report_refusal(const Capture *c, const EcoAction *action, Datum code);

/*
 * eco_capture_actions() returns trigger
 */
Datum
eco_capture_actions(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Capture		c;
	TupleTableSlot *was;
	TupleTableSlot *is;
	MemoryContext caller = CurrentMemoryContext;
	bool		more = true;

	check_event(CALLED_AS_TRIGGER(fcinfo) ? trigger : NULL);
	read_trigger(&c, trigger);
	was = MakeSingleTupleTableSlot(RelationGetDescr(c.rel), &TTSOpsMinimalTuple);
	is = MakeSingleTupleTableSlot(RelationGetDescr(c.rel), &TTSOpsMinimalTuple);
	c.context = AllocSetContextCreate(caller, "economy capture", ALLOCSET_DEFAULT_SIZES);
	tuplestore_rescan(trigger->tg_newtable);
	if (trigger->tg_oldtable != NULL)
		tuplestore_rescan(trigger->tg_oldtable);
	while (more)
	{
		ListCell   *row;

		MemoryContextSwitchTo(c.context);
		more = read_chunk(&c, trigger, was, is);
		eco_actions_record(c.actions, c.n, c.result_desc, judge, &c);
		foreach(row, c.changed)
			report_refusal(&c, lfirst(row), CStringGetTextDatum(ROW_CHANGED));
		MemoryContextSwitchTo(caller);
		/* a row that came from a file is the slot's, and in this memory */
		ExecClearTuple(was);
		ExecClearTuple(is);
		MemoryContextReset(c.context);
	}
	MemoryContextDelete(c.context);
	ExecDropSingleTupleTableSlot(was);
	ExecDropSingleTupleTableSlot(is);
	return PointerGetDatum(NULL);
}

static void
check_event(const TriggerData *trigger)
{
	bool		is_update = trigger != NULL && TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);

	if (trigger == NULL || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) ||
		!(is_update || TRIGGER_FIRED_BY_INSERT(trigger->tg_event)) ||
		trigger->tg_newtable == NULL || (is_update && trigger->tg_oldtable == NULL))
		ECO_ERROR(ECO_CAPTURE_MISUSED,
				  errmsg("economy.capture_actions() is a trigger AFTER INSERT or AFTER UPDATE, "
						 "FOR EACH STATEMENT, REFERENCING NEW TABLE, "
						 "and of an UPDATE also OLD TABLE"));

	/*
	 * The two tables have a statement's rows in one order, unless a row got
	 * lost between them.
	 */
	if (is_update &&
		tuplestore_tuple_count(trigger->tg_oldtable) !=
		tuplestore_tuple_count(trigger->tg_newtable))
		ECO_ERROR(ECO_CAPTURE_REFUSED,
				  errmsg("an UPDATE of table \"%s\" removed rows",
						 RelationGetRelationName(trigger->tg_relation)),
				  errdetail("Table \"%s\": %lld rows were updated and %lld are left.",
							RelationGetRelationName(trigger->tg_relation),
							(long long) tuplestore_tuple_count(trigger->tg_oldtable),
							(long long) tuplestore_tuple_count(trigger->tg_newtable)),
				  errhint("A trigger BEFORE INSERT of a partition leaves out "
						  "rows that are moved there."),
				  errtable(trigger->tg_relation));
}

/* The next row as it is, and of an UPDATE as it was. */
static bool
next_row(TriggerData *trigger, TupleTableSlot *was, TupleTableSlot *is)
{
	if (trigger->tg_oldtable != NULL)
		(void) tuplestore_gettupleslot(trigger->tg_oldtable, true, false, was);
	return tuplestore_gettupleslot(trigger->tg_newtable, true, false, is);
}

/* Whether there may be more rows. */
static bool
read_chunk(Capture *c, TriggerData *trigger, TupleTableSlot *was, TupleTableSlot *is)
{
	static EcoTable *const tables[] = {&eco_users, NULL};
	EcoOpenTables *open = c->user_is_external ? eco_tables_open(ECO_READ_LATEST, tables) : NULL;
	int			nest = 0;
	bool		more;

	c->changed = NIL;
	c->n = 0;
	c->room = 0;
	make_room(c, FIRST_ROOM);
	if (!c->id_is_plain)
	{
		nest = NewGUCNestLevel();
		for (size_t i = 0; i < lengthof(pinned_settings); i++)
			(void) set_config_option(pinned_settings[i][0], pinned_settings[i][1], PGC_USERSET,
									 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	}
	more = read_rows(c, trigger, was, is);
	if (!c->id_is_plain)
		AtEOXact_GUC(true, nest);
	if (open != NULL)
		eco_tables_close(open);
	return more;
}

static bool
read_rows(Capture *c, TriggerData *trigger, TupleTableSlot *was, TupleTableSlot *is)
{
	MemoryContext row_context = AllocSetContextCreate(c->context, "economy captured row",
													  ALLOCSET_DEFAULT_SIZES);
	bool		more = true;
	int			number;

	while ((number = c->n + list_length(c->changed)) < CHUNK_ROWS &&
		   (more = next_row(trigger, was, is)))
	{
		EcoAction  *action;

		CHECK_FOR_INTERRUPTS();
		if (number == c->room)
			make_room(c, 2 * c->room);
		action = &c->actions[c->n];
		memset(action, 0, sizeof(EcoAction));
		action->number = number;
		c->strangers[number] = NULL;
		MemoryContextSwitchTo(row_context);
		if (read_row(c, trigger->tg_oldtable != NULL ? was : NULL, is, action))
			c->n++;
		MemoryContextSwitchTo(c->context);
		MemoryContextReset(row_context);
	}
	MemoryContextDelete(row_context);
	return more;
}

static void
make_room(Capture *c, int room)
{
	if (c->room == 0)
	{
		c->actions = palloc(sizeof(EcoAction) * room);
		c->strangers = palloc(sizeof(char *) * room);
	}
	else
	{
		c->actions = repalloc_huge(c->actions, sizeof(EcoAction) * room);
		c->strangers = repalloc_huge(c->strangers, sizeof(char *) * room);
	}
	c->room = room;
}

static void
read_trigger(Capture *c, TriggerData *trigger)
{
	char	  **args = trigger->tg_trigger->tgargs;
	int			nargs = trigger->tg_trigger->tgnargs;
	Oid			output;
	bool		is_varlena;
	Oid			type;

	if (nargs < ARG_REQUIRED || nargs > ARG_MOST)
		ECO_ERROR(ECO_CAPTURE_MISUSED,
				  errmsg("economy.capture_actions() takes %d to %d arguments", ARG_REQUIRED,
						 ARG_MOST),
				  errhint("They are user column, game, id column, bet column, win column, "
						  "then raise or report, and prefix=text."));
	c->rel = trigger->tg_relation;
	c->game = eco_text_of(args[ARG_GAME]);
	c->action_type = eco_text_of(ACTION_TYPE);
	if (c->game.len < 1 || c->game.len > ECO_MAX_NAME)
		ECO_ERROR(ECO_CAPTURE_MISUSED,
				  errmsg("the game of a capture trigger must have 1 to %d bytes", ECO_MAX_NAME));
	user_column(c, args[ARG_USER]);
	c->id_col = any_column(c->rel, args[ARG_ID]);
	c->bet_col = number_column(c->rel, args[ARG_BET]);
	c->win_col = number_column(c->rel, args[ARG_WIN]);
	type = TupleDescAttr(RelationGetDescr(c->rel), c->id_col - 1)->atttypid;
	getTypeOutputInfo(type, &output, &is_varlena);
	fmgr_info(output, &c->id_output);
	c->id_is_plain = type == INT2OID || type == INT4OID || type == INT8OID || type == NUMERICOID ||
		type == TEXTOID || type == VARCHAROID || type == UUIDOID;
	/* tables of one game have ids of their own */
	c->prefix = RelationGetRelationName(c->rel);
	c->report = false;
	for (int i = ARG_REQUIRED; i < nargs; i++)
		read_option(c, args[i]);
	type = get_rel_type_id(get_relname_relid("action_result", get_namespace_oid("economy", false)));
	c->result_desc = lookup_rowtype_tupdesc_copy(type, -1);
}

static void
read_option(Capture *c, const char *option)
{
	if (strncmp(option, "prefix=", strlen("prefix=")) == 0)
		c->prefix = option + strlen("prefix=");
	else if (strcmp(option, "report") == 0)
		c->report = true;
	else if (strcmp(option, "raise") != 0)
		ECO_ERROR(ECO_CAPTURE_MISUSED,
				  errmsg("the last arguments of a capture trigger must be "
						 "raise or report, and prefix=text"));
}

/* The column that names the user: a number is a user_id, a text or uuid an external id. */
static void
user_column(Capture *c, const char *name)
{
	Oid			type;
	Oid			output;
	bool		is_varlena;

	c->user_col = any_column(c->rel, name);
	type = TupleDescAttr(RelationGetDescr(c->rel), c->user_col - 1)->atttypid;
	c->user_is_external = type == TEXTOID || type == VARCHAROID || type == UUIDOID;
	if (!c->user_is_external)
	{
		(void) number_column(c->rel, name);
		return;
	}
	getTypeOutputInfo(type, &output, &is_varlena);
	fmgr_info(output, &c->user_output);
}

static AttrNumber
any_column(Relation rel, const char *name)
{
	AttrNumber	attno = get_attnum(RelationGetRelid(rel), name);

	if (attno <= 0)
		ECO_ERROR(ECO_CAPTURE_MISUSED,
				  errmsg("table \"%s\" has no column \"%s\"", RelationGetRelationName(rel), name),
				  errhint("Correct the arguments of the trigger that calls "
						  "economy.capture_actions()."));
	return attno;
}

static AttrNumber
number_column(Relation rel, const char *name)
{
	AttrNumber	attno = any_column(rel, name);
	Oid			type = TupleDescAttr(RelationGetDescr(rel), attno - 1)->atttypid;

	if (type != INT2OID && type != INT4OID && type != INT8OID && type != NUMERICOID)
		ECO_ERROR(ECO_CAPTURE_MISUSED,
				  errmsg("column \"%s\" of table \"%s\" is of type %s", name,
						 RelationGetRelationName(rel), format_type_be(type)),
				  errhint("It must be smallint, integer, bigint or numeric."));
	return attno;
}

static int64
int_of_numeric(const Capture *c, Datum value, const char *column)
{
	Numeric		number = DatumGetNumeric(value);
	Datum		most = DirectFunctionCall1(int8_numeric, Int64GetDatum(PG_INT64_MAX));

	if (numeric_is_nan(number) || numeric_is_inf(number) ||
		DatumGetBool(DirectFunctionCall2(numeric_gt, DirectFunctionCall1(numeric_abs, value),
										 most)))
		ROW_ERROR(c, ECO_INVALID_ARGUMENT,
				  errmsg("column \"%s\" of a captured row is not within the range of bigint",
						 column));
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, value,
										  DirectFunctionCall2(numeric_trunc, value,
															  Int32GetDatum(0)))))
		ROW_ERROR(c, ECO_INVALID_ARGUMENT,
				  errmsg("column \"%s\" of a captured row is no whole number", column));
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, value));
}

/* The value of a column that a row must have. */
static Datum
value_of(const Capture *c, TupleTableSlot *slot, AttrNumber attno)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, attno, &isnull);

	if (isnull)
		ROW_ERROR(c, ECO_NULL_ARGUMENT,
				  errmsg("column \"%s\" of a captured row must not be null",
						 NameStr(TupleDescAttr(slot->tts_tupleDescriptor, attno - 1)->attname)));
	return value;
}

static int64
int_of(const Capture *c, TupleTableSlot *slot, AttrNumber attno)
{
	Datum		value = value_of(c, slot, attno);
	Form_pg_attribute att = TupleDescAttr(slot->tts_tupleDescriptor, attno - 1);

	switch (att->atttypid)
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case NUMERICOID:
			return int_of_numeric(c, value, NameStr(att->attname));
		default:
			return DatumGetInt64(value);
	}
}

static int64
user_of(Capture *c, TupleTableSlot *slot, int number)
{
	char	   *external_id;
	int64		user_id;

	if (!c->user_is_external)
		return int_of(c, slot, c->user_col);
	external_id = OutputFunctionCall(&c->user_output, value_of(c, slot, c->user_col));
	if (eco_user_find(CStringGetTextDatum(external_id), &user_id))
		return user_id;
	c->strangers[number] = MemoryContextStrdup(c->context, external_id);
	return NO_USER;
}

/* The id of the action that the row is. */
static const char *
id_of(Capture *c, TupleTableSlot *slot)
{
	bool		isnull;
	Datum		id = slot_getattr(slot, c->id_col, &isnull);
	char	   *key;
	int			len;

	c->row = NULL;
	if (isnull)
		ROW_ERROR(c, ECO_NULL_ARGUMENT, errmsg("the id of a captured row must not be null"));
	key = OutputFunctionCall(&c->id_output, id);

	if (key[0] == '\0')
		ROW_ERROR(c, ECO_INVALID_ARGUMENT, errmsg("the id of a captured row must not be empty"));
	if (c->prefix[0] != '\0')
		key = psprintf("%s:%s", c->prefix, key);

	len = (int) strlen(key);
	c->row = key;

	if (len > ECO_MAX_KEY)
	{
		c->row = psprintf("%.*s...", pg_mbcliplen(key, len, SHOWN_BYTES), key);
		ROW_ERROR(c, ECO_ARGUMENT_TOO_LONG,
				  errmsg("the id of a captured row, with its prefix, must have 1 to %d bytes",
						 ECO_MAX_KEY));
	}
	return key;
}

/*
 * Read a captured row into an action.  False: there is nothing to record now.
 * was: the row before the UPDATE, or NULL.
 */
static bool
read_row(Capture *c, TupleTableSlot *was, TupleTableSlot *is, EcoAction *action)
{
	AttrNumber	changed = InvalidAttrNumber;
	const char *wrong;
	const char *id;
	text	   *copy;
	MemoryContext old_context;

	if (was != NULL && settled(c, was))
	{
		changed = changed_column(c, was, is);
		if (changed == InvalidAttrNumber)
			return false;
		refuse_change(c, was, is, changed);
	}
	if (slot_attisnull(is, c->win_col))
		return false;
	id = id_of(c, is);
	action->user_id = user_of(c, is, action->number);
	action->game = c->game;
	action->action_type = c->action_type;
	action->bet = int_of(c, is, c->bet_col);
	action->win = int_of(c, is, c->win_col);
	wrong = eco_action_wrong(action);
	if (wrong != NULL)
		ROW_ERROR(c, ECO_INVALID_ARGUMENT, errmsg("%s", wrong));
	old_context = MemoryContextSwitchTo(c->context);
	copy = cstring_to_text(id);
	action->action_id = (EcoText)
	{
		VARDATA(copy), VARSIZE(copy) - VARHDRSZ, PointerGetDatum(copy)
	};
	if (changed != InvalidAttrNumber)
		c->changed = lappend(c->changed,
							 memcpy(palloc(sizeof(EcoAction)), action, sizeof(EcoAction)));
	MemoryContextSwitchTo(old_context);
	return changed == InvalidAttrNumber;
}

/* Whether the row has all that an action needs, a win above all; else it is open. */
static bool
settled(const Capture *c, TupleTableSlot *slot)
{
	return !slot_attisnull(slot, c->win_col) && !slot_attisnull(slot, c->id_col) &&
		!slot_attisnull(slot, c->user_col) && !slot_attisnull(slot, c->bet_col);
}

/*
 * The first of the captured columns that does not mean the same any more.  Amounts
 * are compared as numbers, 1.0 being 1; ids are compared as the texts that they are
 * recorded by.
 */
static AttrNumber
changed_column(Capture *c, TupleTableSlot *was, TupleTableSlot *is)
{
	AttrNumber	columns[] = {c->id_col, c->user_col, c->bet_col, c->win_col};

	for (size_t i = 0; i < lengthof(columns); i++)
	{
		Form_pg_attribute att = TupleDescAttr(was->tts_tupleDescriptor, columns[i] - 1);
		bool		isnull;
		Datum		before = slot_getattr(was, columns[i], &isnull);
		Datum		after = slot_getattr(is, columns[i], &isnull);

		if (isnull)
			return columns[i];
		if (datum_image_eq(before, after, att->attbyval, att->attlen))
			continue;
		if (columns[i] != c->id_col && att->atttypid == NUMERICOID &&
			DatumGetBool(DirectFunctionCall2(numeric_eq, before, after)))
			continue;
		return columns[i];
	}
	return InvalidAttrNumber;
}

/*
 * Refuse a change of a settled row, which is one round of one user for good.  With
 * the argument report the caller notes the refusal and the statement goes on; but not
 * when it leaves the row open, which could then be settled once more.
 */
static void
refuse_change(Capture *c, TupleTableSlot *was, TupleTableSlot *is, AttrNumber attno)
{
	Form_pg_attribute att = TupleDescAttr(was->tts_tupleDescriptor, attno - 1);
	bool		isnull;
	Datum		after = slot_getattr(is, attno, &isnull);
	Oid			output;
	bool		is_varlena;

	if (c->report && settled(c, is))
		return;
	getTypeOutputInfo(att->atttypid, &output, &is_varlena);
	(void) id_of(c, was);
	ECO_ERROR(ECO_CAPTURE_REFUSED,
			  errmsg("row %s of table \"%s\" was refused: %s", c->row,
					 RelationGetRelationName(c->rel), ROW_CHANGED),
			  errdetail("Table \"%s\", row %s is settled; "
						"its column \"%s\" was %s and would be %s.",
						RelationGetRelationName(c->rel), c->row, NameStr(att->attname),
						OidOutputFunctionCall(output, slot_getattr(was, attno, &isnull)),
						isnull ? "null" : OidOutputFunctionCall(output, after)),
			  errhint("A settled row keeps its id, user, bet and win. "
					  "Correct gold with economy.adjust_gold()."),
			  errtable(c->rel));
}

static int
row_detail(const Capture *c)
{
	const char *table = RelationGetRelationName(c->rel);

	return c->row != NULL ? errdetail("Table \"%s\", row %s.", table, c->row) :
		errdetail("Table \"%s\", a row without an id.", table);
}

static void
raise_refusal(const Capture *c, const EcoAction *action, const EcoResult *result)
{
	const char *stranger = c->strangers[action->number];
	const char *id = TextDatumGetCString(action->action_id.datum);
	const char *user = stranger != NULL ? quote_literal_cstr(stranger) :
	psprintf("%lld", (long long) action->user_id);
	StringInfoData more;

	initStringInfo(&more);
	if (!result->isnull[ACTION_DETAIL])
		(void) JsonbToCString(&more, &DatumGetJsonbP(result->values[ACTION_DETAIL])->root, -1);
	ECO_ERROR(ECO_CAPTURE_REFUSED,
			  errmsg("row %s of table \"%s\" was refused: %s", id, RelationGetRelationName(c->rel),
					 TextDatumGetCString(result->values[ECO_RES_CODE])),
			  errdetail("Table \"%s\", row %s: user %s, bet %lld, win %lld. %s",
						RelationGetRelationName(c->rel), id, user,
						(long long) action->bet, (long long) action->win, more.data),
			  errhint("With the trigger argument report, refused rows go to "
					  "economy.capture_refusals."),
			  errtable(c->rel));
}

static void
judge(void *arg, int number, void *item, EcoResult *result)
{
	Capture    *c = arg;
	const EcoAction *action = item;
	Datum		code = result->values[ECO_RES_CODE];

	(void) number;
	if (DatumGetBool(result->values[ECO_RES_SUCCESS]))
		return;

	/*
	 * counted once and pruned since: as with any known id there is nothing to
	 * do
	 */
	if (strcmp(TextDatumGetCString(code), "RESYNC_REQUIRED") == 0)
		return;
	if (!c->report)
		raise_refusal(c, action, result);
	report_refusal(c, action, code);
}

static void
report_refusal(const Capture *c, const EcoAction *action, Datum code)
{
	char	   *stranger = c->strangers[action->number];
	Oid			types[8] = {TEXTOID, INT8OID, TEXTOID, TEXTOID, INT8OID, INT8OID, TEXTOID, TEXTOID};
	Datum		values[8] = {
		CStringGetTextDatum(RelationGetRelationName(c->rel)), Int64GetDatum(action->user_id),
		action->game.datum, action->action_id.datum, Int64GetDatum(action->bet),
		Int64GetDatum(action->win), code, CStringGetTextDatum(stranger != NULL ? stranger : "")
	};

	eco_run_as_owner("INSERT INTO economy.capture_refusals"
					 " (source, user_id, external_id, game, action_id, bet, win, code, refused_at)"
					 " VALUES"
					 " ($1, nullif($2, 0), nullif($8, ''), $3, $4, $5, $6, $7, economy.now())",
					 8, types, values);
}
