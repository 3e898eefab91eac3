/*
 * gone.c
 *		The actions of one user that a prune deletes, and what stays of them: their
 *		part of the sums in pruned_stats, the keys of their ids in pruned_actions, and
 *		the newest transaction of them in installations.
 *
 * What was read for the proof is what is deleted, row by row where it was found, and
 * what is summed: no statement looks for it again, whose plan could be a bad one.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "core/period.h"
#include "ledger/guard.h"
#include "ledger/installation.h"
#include "play/gone.h"
#include "play/pruned.h"

#define WRITE_ROWS 64			/* at once */

/*
 * Written here, and only here.  Calls that look an id up have eco_pruned_actions, which is
 * only read: they lock the table as readers do, and go by the direct way whatever triggers
 * a DBA has on its writes.
 */
EcoTable	eco_keys_to_keep = {
	.name = "pruned_actions",
	.ncolumns = PRU_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"key", UUIDOID, false},
		{"seq", INT8OID, false},
	},
	.nkeys = 1,
	.keys = {{2, {PRU_USER_ID, PRU_KEY}}},
};

/* Of which sum an action is part. */
typedef struct SumKey
{
	text	   *game;
	int32		day;
} SumKey;

typedef struct Sum
{
	SumKey		key;			/* first, as a hash table wants it */
	int64		numbers[PST_COLUMNS];
	TimestampTz last_action_at;
} Sum;

typedef struct Action
{
	int64		seq;
	pg_uuid_t	key;
	ItemPointerData tid;
} Action;

/* The action that is seen: to be taken, or not. */
typedef struct Seen
{
	Action		action;
	Sum		   *sum;
	int64		bet;
	int64		win;
	EcoOutcome	outcome;
	TimestampTz created_at;
	int64		xact;			/* 0: of another installation */
} Seen;

struct EcoGone
{
	MemoryContext context;
	int64		user_id;
	EcoGoneFeed *feed;
	int64		newest;			/* as in the feed */
	Seen		seen;
	int			n;
	int			max;
	Action	   *actions;
	HTAB	   *sums;
};

static Sum *sum_of(EcoGone *gone, const EcoText *game, int32 day);
static void each_rows(EcoGone *gone, EcoTable *table,
					  void (*fill) (EcoRow *row, Action *action),
					  void (*write) (EcoRow **rows, int n, int64 user_id));
static void fill_action(EcoRow *row, Action *action);
static void fill_key(EcoRow *row, Action *action);
static void delete_actions(EcoGone *gone);
static void add_sum(int64 user_id, const Sum *sum);
static uint32 hash_sum(const void *key, Size size);
static int	compare_sums(const void *a, const void *b, Size size);

EcoGone *
eco_gone_begin(int64 user_id, EcoGoneFeed *feed)
{
	EcoGone    *gone = palloc0(sizeof(EcoGone));
	HASHCTL		how = {
		.keysize = sizeof(SumKey), .entrysize = sizeof(Sum), .hash = hash_sum,
		.match = compare_sums, .hcxt = CurrentMemoryContext
	};

	gone->context = CurrentMemoryContext;
	gone->user_id = user_id;
	gone->feed = feed;
	gone->max = 64;
	gone->actions = palloc(sizeof(Action) * gone->max);
	gone->sums = hash_create("economy sums of pruned actions", 16, &how,
							 HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	return gone;
}

void
eco_gone_see(EcoGone *gone, const EcoRow *row)
{
	EcoText		game = eco_text_in(row->values[ACT_GAME]);
	EcoText		action_id = eco_text_in(row->values[ACT_ID]);
	EcoText		outcome = eco_text_in(row->values[ACT_OUTCOME]);
	Seen	   *seen = &gone->seen;

	seen->action.seq = eco_row_int(row, ECO_COL_SEQ);
	seen->action.tid = row->tid;
	eco_pruned_key(&game, &action_id, &seen->action.key);
	seen->bet = eco_row_int(row, ACT_BET);
	seen->win = eco_row_int(row, ACT_WIN);
	seen->outcome = eco_outcome_of(outcome.data, outcome.len);
	seen->created_at = DatumGetTimestampTz(row->values[ECO_COL_CREATED_AT]);
	seen->xact = eco_gone_feed_xact(gone->feed, row);
	seen->sum = sum_of(gone, &game, (int32) eco_period_of(ECO_PERIOD_DAY, seen->created_at));
}

/* Made with nothing in it when it is not there. */
static Sum *
sum_of(EcoGone *gone, const EcoText *game, int32 day)
{
	SumKey		key = {.game = (text *) DatumGetPointer(game->datum), .day = day};
	bool		found;
	Sum		   *sum = hash_search(gone->sums, &key, HASH_ENTER, &found);

	if (found)
		return sum;
	sum->key.game = (text *) MemoryContextAlloc(gone->context, VARHDRSZ + game->len);
	SET_VARSIZE(sum->key.game, VARHDRSZ + game->len);
	memcpy(VARDATA(sum->key.game), game->data, game->len);
	memset(sum->numbers, 0, sizeof(sum->numbers));
	sum->last_action_at = PG_INT64_MIN;
	return sum;
}

/* Raises 22003 when it is too much. */
static int64
plus(int64 a, int64 b)
{
	return DatumGetInt64(DirectFunctionCall2(int8pl, Int64GetDatum(a), Int64GetDatum(b)));
}

void
eco_gone_take(EcoGone *gone, uint8 keys[ECO_HASH_LEN])
{
	const Seen *seen = &gone->seen;
	Sum		   *sum = seen->sum;

	eco_checkpoint_add_key(gone->user_id, &seen->action.key, seen->action.seq, keys);
	sum->numbers[PST_TOTAL]++;
	sum->numbers[PST_WINS] += seen->outcome == ECO_OUTCOME_WIN;
	sum->numbers[PST_LOSSES] += seen->outcome == ECO_OUTCOME_LOSS;
	sum->numbers[PST_DRAWS] += seen->outcome == ECO_OUTCOME_DRAW;
	sum->numbers[PST_MAX_WIN] = Max(sum->numbers[PST_MAX_WIN], seen->win);
	sum->numbers[PST_BET_SUM] = plus(sum->numbers[PST_BET_SUM], seen->bet);
	sum->numbers[PST_WIN_SUM] = plus(sum->numbers[PST_WIN_SUM], seen->win);
	sum->last_action_at = Max(sum->last_action_at, seen->created_at);
	gone->newest = Max(gone->newest, seen->xact);
	if (gone->n == gone->max)
	{
		gone->max *= 2;
		gone->actions = repalloc_huge(gone->actions, sizeof(Action) * gone->max);
	}
	gone->actions[gone->n++] = seen->action;
}

int64
eco_gone_write(EcoGone *gone)
{
	HASH_SEQ_STATUS all;
	const Sum  *sum;

	if (gone->n == 0)
		return 0;
	delete_actions(gone);
	each_rows(gone, &eco_keys_to_keep, fill_key, eco_rows_insert);
	hash_seq_init(&all, gone->sums);
	while ((sum = hash_seq_search(&all)) != NULL)
		if (sum->numbers[PST_TOTAL] > 0)
			add_sum(gone->user_id, sum);
	gone->feed->newest = Max(gone->feed->newest, gone->newest);
	return gone->n;
}

static void
delete_actions(EcoGone *gone)
{
	PG_TRY();
	{
		eco_guard_let_prune(true);
		each_rows(gone, eco_actions.table, fill_action, eco_rows_delete);
	}
	PG_CATCH();
	{
		eco_guard_let_prune(false);
		PG_RE_THROW();
	}
	PG_END_TRY();
	eco_guard_let_prune(false);
}

/* A row of the table for each action, so many at once as are worth it. */
static void
each_rows(EcoGone *gone, EcoTable *table, void (*fill) (EcoRow *row, Action *action),
		  void (*write) (EcoRow **rows, int n, int64 user_id))
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "economy gone",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);

	for (int start = 0; start < gone->n; start += WRITE_ROWS, MemoryContextReset(context))
	{
		int			n = Min(gone->n - start, WRITE_ROWS);
		EcoRow	   *rows[WRITE_ROWS];

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < n; i++)
		{
			rows[i] = palloc(sizeof(EcoRow));
			eco_row_init(rows[i], table);
			/* the first column of both */
			eco_row_set(rows[i], ECO_COL_USER_ID, Int64GetDatum(gone->user_id));
			fill(rows[i], &gone->actions[start + i]);
		}
		write(rows, n, gone->user_id);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

static void
fill_action(EcoRow *row, Action *action)
{
	row->tid = action->tid;
	eco_row_set(row, ECO_COL_SEQ, Int64GetDatum(action->seq));
}

static void
fill_key(EcoRow *row, Action *action)
{
	eco_row_set(row, PRU_KEY, UUIDPGetDatum(&action->key));
	eco_row_set(row, PRU_SEQ, Int64GetDatum(action->seq));
}

/* To what is there of the day, which the account's lock keeps. */
static void
add_sum(int64 user_id, const Sum *sum)
{
	Datum		key[3] = {
		Int64GetDatum(user_id), PointerGetDatum(sum->key.game), DateADTGetDatum(sum->key.day)
	};
	TimestampTz last = sum->last_action_at;
	EcoRow		row;
	bool		exists = eco_row_find(&eco_pruned_stats, user_id, 0, 3, key, &row);

	if (!exists)
		eco_row_init(&row, &eco_pruned_stats);
	for (int i = PST_USER_ID; i <= PST_DAY; i++)
		eco_row_set(&row, i, key[i]);
	for (int i = PST_TOTAL; i < PST_LAST_ACTION_AT; i++)
	{
		int64		before = exists ? eco_row_int(&row, i) : 0;
		int64		now = i == PST_MAX_WIN ? Max(before, sum->numbers[i]) :
		plus(before, sum->numbers[i]);

		eco_row_set(&row, i, Int64GetDatum(now));
	}
	if (exists)
		last = Max(last, DatumGetTimestampTz(row.values[PST_LAST_ACTION_AT]));
	eco_row_set(&row, PST_LAST_ACTION_AT, TimestampTzGetDatum(last));
	if (exists)
		eco_row_update(&row, user_id);
	else
		eco_row_insert(&row, user_id);
}

static uint32
hash_sum(const void *key, Size size)
{
	const SumKey *of = key;

	(void) size;
	return hash_combine(murmurhash32((uint32) of->day),
						hash_bytes((const unsigned char *) VARDATA_ANY(of->game),
								   VARSIZE_ANY_EXHDR(of->game)));
}

static int
compare_sums(const void *a, const void *b, Size size)
{
	const SumKey *one = a;
	const SumKey *other = b;
	Size		len = VARSIZE_ANY_EXHDR(one->game);

	(void) size;
	return one->day != other->day || len != VARSIZE_ANY_EXHDR(other->game) ||
		memcmp(VARDATA_ANY(one->game), VARDATA_ANY(other->game), len) != 0;
}
