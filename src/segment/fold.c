/*
 * fold.c
 *		The journal's purchases as packed daily buckets, user by user.
 *
 * A query reads the purchases in the order in which they lie; they are sorted
 * by user here, 32 bytes each, in work_mem and beyond that in runs on disk.
 * PostgreSQL's own sorting and hashing give the same, in three times the time.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/binaryheap.h"
#include "miscadmin.h"
#include "storage/buffile.h"
#include "utils/backend_status.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "errors.h"
#include "ledger/args.h"
#include "ledger/installation.h"
#include "segment/fold.h"
#include "segment/rfm.h"

PG_FUNCTION_INFO_V1(eco_rfm_fold);

#define FIRST_ROOM		1024	/* purchases */
#define PROGRESS_STEP	262144
#define FEW				256		/* purchases that are sorted at once */
#define CHUNK			256		/* and that are read at once */

/* Of the user's distance from the least one, so many bits. */
#define DIGIT_BITS		10
#define DIGITS			(1 << DIGIT_BITS)
#define DIGIT_AT(user_id, least, shift) \
	((((uint64) (user_id) - (uint64) (least)) >> (shift)) & (DIGITS - 1))

static inline int
compare_purchases(const EcoPurchase *a, const EcoPurchase *b)
{
	if (a->user_id != b->user_id)
		return a->user_id < b->user_id ? -1 : 1;
	return a->seq < b->seq ? -1 : a->seq > b->seq ? 1 : 0;
}

#define ST_SORT sort_purchases
#define ST_ELEMENT_TYPE EcoPurchase
#define ST_COMPARE(a, b) compare_purchases(a, b)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

typedef struct Run
{
	BufFile    *file;
	EcoPurchase next;
	EcoPurchase *chunk;			/* that was read, of which some are behind
								 * next */
	size_t		at;
	size_t		read;
	size_t		left;			/* in the file */
} Run;

/* The purchases that are being sorted, and then handed out. */
struct EcoFold
{
	DestReceiver receiver;		/* first, for the executor knows no more */
	MemoryContext context;		/* of all that is here */
	size_t		n;				/* purchases in memory */
	size_t		room;
	size_t		most;
	EcoPurchase *purchases;
	EcoPurchase *spare;			/* as much memory, for sorting; or NULL */
	size_t		spare_room;
	int			nruns;
	Run		   *runs;
	int64		seen;

	size_t		passed;			/* of those in memory */
	binaryheap *heap;			/* of runs, that with the least purchase on
								 * top */
	EcoPacking *packing;
};

/* Memory as large as that of the purchases. */
static void
have_spare(EcoFold *fold)
{
	if (fold->spare_room == fold->room)
		return;
	if (fold->spare != NULL)
		pfree(fold->spare);
	fold->spare = MemoryContextAllocHuge(fold->context, fold->room * sizeof(EcoPurchase));
	fold->spare_room = fold->room;
}

/*
 * By user, some bits of the id after the other, the low ones first: purchases of one
 * user stay in the order in which they lie, which most often is that of seq.
 */
static void
sort_by_user(EcoFold *fold)
{
	int64		least = fold->purchases[0].user_id;
	int64		most = least;

	for (size_t i = 1; i < fold->n; i++)
	{
		least = Min(least, fold->purchases[i].user_id);
		most = Max(most, fold->purchases[i].user_id);
	}
	have_spare(fold);
	for (int shift = 0; shift < 64 && ((uint64) most - (uint64) least) >> shift != 0;
		 shift += DIGIT_BITS)
	{
		EcoPurchase *from = fold->purchases;
		EcoPurchase *to = fold->spare;
		size_t		start[DIGITS + 1] = {0};

		for (size_t i = 0; i < fold->n; i++)
			start[1 + DIGIT_AT(from[i].user_id, least, shift)]++;
		for (int d = 1; d < DIGITS; d++)
			start[d] += start[d - 1];
		for (size_t i = 0; i < fold->n; i++)
			to[start[DIGIT_AT(from[i].user_id, least, shift)]++] = from[i];
		fold->purchases = to;
		fold->spare = from;
	}
}

/* Those of one user. */
static void
sort_by_seq(EcoPurchase *purchases, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (purchases[i - 1].seq > purchases[i].seq)
		{
			sort_purchases(purchases, n);
			return;
		}
}

static void
sort_in_memory(EcoFold *fold)
{
	size_t		end;

	if (fold->n < FEW)
	{
		if (fold->n > 1)
			sort_purchases(fold->purchases, fold->n);
		return;
	}
	sort_by_user(fold);
	for (size_t start = 0; start < fold->n; start = end)
	{
		for (end = start + 1; end < fold->n &&
			 fold->purchases[end].user_id == fold->purchases[start].user_id; end++)
			;
		sort_by_seq(&fold->purchases[start], end - start);
	}
}

/* Sort what is in memory and put it on disk. */
static void
end_run(EcoFold *fold)
{
	MemoryContext old = MemoryContextSwitchTo(fold->context);
	Run		   *run;

	sort_in_memory(fold);
	fold->runs = fold->runs == NULL ? palloc(sizeof(Run)) :
		repalloc_huge(fold->runs, sizeof(Run) * (size_t) (fold->nruns + 1));
	run = &fold->runs[fold->nruns++];
	*run = (Run)
	{
		.file = BufFileCreateTemp(false), .left = fold->n
	};
	BufFileWrite(run->file, fold->purchases, fold->n * sizeof(EcoPurchase));
	fold->n = 0;
	MemoryContextSwitchTo(old);
}

static void
add_purchase(EcoFold *fold, int64 user_id, int64 seq, TimestampTz at, int64 monetary)
{
	if (fold->n == fold->most)
		end_run(fold);
	else if (fold->n == fold->room)
	{
		fold->room = Min(fold->room * 2, fold->most);
		fold->purchases = repalloc_huge(fold->purchases, fold->room * sizeof(EcoPurchase));
	}
	fold->purchases[fold->n++] = (EcoPurchase)
	{
		.user_id = user_id, .seq = seq, .at = at, .monetary = monetary
	};
	if (++fold->seen % PROGRESS_STEP == 0)
		pgstat_report_activity(STATE_RUNNING,
							   psprintf("economy progress: rfm_fold %lld of %lld",
										(long long) fold->seen, (long long) fold->seen));
}

static bool
receive_purchase(TupleTableSlot *slot, DestReceiver *self)
{
	slot_getallattrs(slot);
	add_purchase((EcoFold *) self, DatumGetInt64(slot->tts_values[0]),
				 DatumGetInt64(slot->tts_values[1]), DatumGetTimestampTz(slot->tts_values[2]),
				 DatumGetInt64(slot->tts_values[3]));
	return true;
}

/* The same of a row of the journal. */
static void
see_purchase(void *fold, const Datum *values, const bool *isnull)
{
	if (!isnull[ECO_BUY_STATUS] && eco_rfm_is_made(values[ECO_BUY_STATUS]))
		add_purchase(fold, DatumGetInt64(values[ECO_BUY_USER_ID]),
					 DatumGetInt64(values[ECO_BUY_SEQ]),
					 DatumGetTimestampTz(values[ECO_BUY_CREATED_AT]),
					 DatumGetInt64(values[ECO_BUY_MONETARY]));
}

/* Read all that lies in the journal, which is most often a table like ours; false when not. */
static bool
visit_journal(EcoFold *fold)
{
	EcoOpenTables *open = eco_rfm_journal_open();
	bool		visited = eco_rows_visit(&eco_rfm_purchases, see_purchase, fold);

	eco_tables_close(open);
	return visited;
}

static void
no_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
no_shutdown(DestReceiver *self)
{
}

static bool
any_reversal(void)
{
	return SPI_execute("SELECT FROM economy_internal.rfm_reversals LIMIT 1", true, 1) !=
		SPI_OK_SELECT || SPI_processed > 0;
}

/*
 * Read the purchases since that transaction into the fold; since 0 reads all.  With
 * unheld those that user_segments holds are left out.
 */
static void
read_journal(EcoFold *fold, int64 since, bool unheld)
{
	/*
	 * The transaction numbers of another cluster, which a restore brings,
	 * mean nothing here: without a lower bound there is no upper one either.
	 */
	static const char query[] =
	"SELECT t.user_id, t.seq, t.created_at, t.monetary FROM %s t"
	" WHERE t.position >= $2 AND t.xact >= $1 AND ($1 = 0"
	" OR t.xact < (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint)"
	" OR t.xact = (SELECT pg_current_xact_id_if_assigned()::text::bigint))";
	const char *source = "economy_internal.rfm_purchases";
	int64		position = since == 0 ? 0 : eco_position_of_xid(since);
	ParamListInfo params = makeParamList(2);
	SPIExecuteOptions options = {.params = params, .read_only = true, .dest = &fold->receiver};

	params->params[0] = (ParamExternData)
	{
		.value = Int64GetDatum(since), .pflags = PARAM_FLAG_CONST, .ptype = INT8OID
	};
	params->params[1] = (ParamExternData)
	{
		.value = Int64GetDatum(position), .pflags = PARAM_FLAG_CONST, .ptype = INT8OID
	};
	SPI_connect();
	if (unheld)
		source = "economy_internal.rfm_unfolded";
	/* the view's join takes a third of the time, most often for nothing */
	else if (!any_reversal())
	{
		source = "(SELECT * FROM economy.shop_transactions WHERE status = 'SUCCESS')";
		if (since == 0 && visit_journal(fold))
		{
			SPI_finish();
			return;
		}
	}
	if (SPI_execute_extended(psprintf(query, source), &options) != SPI_OK_SELECT)
		ECO_ERROR(ECO_SCHEMA_DAMAGED, errmsg("the journal of purchases cannot be read"));
	SPI_finish();
}

static bool
advance(Run *run)
{
	if (run->at == run->read)
	{
		run->read = Min(run->left, CHUNK);
		run->at = 0;
		if (run->read == 0)
		{
			BufFileClose(run->file);
			return false;
		}
		if (BufFileRead(run->file, run->chunk, run->read * sizeof(EcoPurchase)) !=
			run->read * sizeof(EcoPurchase))
			ereport(ERROR, (errcode_for_file_access(), errmsg("could not read a temporary file")));
		run->left -= run->read;
	}
	run->next = run->chunk[run->at++];
	return true;
}

/* Puts the run with the least purchase on top of the heap, which has the greatest there. */
static int
compare_runs(Datum a, Datum b, void *arg)
{
	return compare_purchases(&((Run *) DatumGetPointer(b))->next,
							 &((Run *) DatumGetPointer(a))->next);
}

static void
begin_merge(EcoFold *fold)
{
	fold->heap = binaryheap_allocate(fold->nruns, compare_runs, NULL);
	for (int i = 0; i < fold->nruns; i++)
	{
		Run		   *run = &fold->runs[i];

		if (BufFileSeek(run->file, 0, 0, SEEK_SET) != 0)
			ereport(ERROR,
					(errcode_for_file_access(), errmsg("could not rewind a temporary file")));
		run->chunk = palloc(CHUNK * sizeof(EcoPurchase));
		if (advance(run))
			binaryheap_add_unordered(fold->heap, PointerGetDatum(run));
	}
	binaryheap_build(fold->heap);
}

/* Put the purchases of the next user side by side. */
static void
gather(EcoFold *fold, EcoFolded *user)
{
	Run		   *run = (Run *) DatumGetPointer(binaryheap_first(fold->heap));
	int64		user_id = run->next.user_id;

	fold->n = 0;
	while (!binaryheap_empty(fold->heap))
	{
		bool		more = true;

		run = (Run *) DatumGetPointer(binaryheap_first(fold->heap));
		if (run->next.user_id != user_id)
			break;
		for (; more && run->next.user_id == user_id; more = advance(run))
		{
			if (fold->n == fold->room)
			{
				fold->room *= 2;
				fold->purchases = repalloc_huge(fold->purchases,
												fold->room * sizeof(EcoPurchase));
			}
			fold->purchases[fold->n++] = run->next;
		}
		if (more)
			binaryheap_replace_first(fold->heap, PointerGetDatum(run));
		else
			binaryheap_remove_first(fold->heap);
	}

	/*
	 * a later run has later ones, but where somebody has put the table in
	 * another order
	 */
	sort_by_seq(fold->purchases, fold->n);
	user->purchases = fold->purchases;
	user->n = fold->n;
}

EcoFold *
eco_fold_begin(int64 transaction, bool unheld)
{
	EcoFold    *fold = palloc0(sizeof(EcoFold));

	fold->receiver = (DestReceiver)
	{
		.receiveSlot = receive_purchase, .rStartup = no_startup,
			.rShutdown = no_shutdown, .rDestroy = no_shutdown, .mydest = DestTuplestore
	};
	fold->context = CurrentMemoryContext;
	fold->packing = eco_packing_make();
	/* sorting takes as much again */
	fold->most = Max((size_t) work_mem * 1024 / 2 / sizeof(EcoPurchase), FIRST_ROOM);
	fold->room = FIRST_ROOM;
	fold->purchases = palloc(FIRST_ROOM * sizeof(EcoPurchase));
	read_journal(fold, transaction, unheld);
	if (fold->nruns == 0)
	{
		sort_in_memory(fold);
		return fold;
	}
	end_run(fold);
	pfree(fold->purchases);
	if (fold->spare != NULL)
		pfree(fold->spare);
	fold->spare = NULL;
	fold->room = FIRST_ROOM;
	fold->purchases = palloc(FIRST_ROOM * sizeof(EcoPurchase));
	begin_merge(fold);
	return fold;
}

bool
eco_fold_next(EcoFold *fold, EcoFolded *user)
{
	CHECK_FOR_INTERRUPTS();
	if (fold->heap != NULL)
	{
		if (binaryheap_empty(fold->heap))
			return false;
		gather(fold, user);
	}
	else
	{
		if (fold->passed == fold->n)
			return false;
		user->purchases = &fold->purchases[fold->passed];
		user->n = 1;
		while (++fold->passed < fold->n &&
			   fold->purchases[fold->passed].user_id == user->purchases->user_id)
			user->n++;
	}
	user->user_id = user->purchases[0].user_id;
	user->first_seq = user->purchases[0].seq;
	user->seq = user->purchases[user->n - 1].seq;
	user->since = user->purchases[0].at;
	user->packing = fold->packing;
	fold->packing->n = 0;
	for (size_t i = 0; i < user->n; i++)
	{
		const EcoPurchase *purchase = &user->purchases[i];

		user->since = Min(user->since, purchase->at);
		eco_packing_add(fold->packing, purchase->at, purchase->monetary, purchase->seq);
	}
	return true;
}

void
eco_fold_end(EcoFold *fold)
{
	pfree(fold->purchases);
	if (fold->spare != NULL)
		pfree(fold->spare);
	pfree(fold);
}

/*
 * eco_rfm_fold(transaction bigint, unheld boolean)
 *		returns setof (user_id, first_seq, seq, since, buckets)
 *		The purchases of that transaction and later ones, user by user in their order;
 *		with unheld, without those that user_segments holds.
 */
Datum
eco_rfm_fold(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext row_context;
	MemoryContext old;
	EcoFold    *fold;
	EcoFolded	user;

	eco_require_arg(fcinfo, 0, "transaction");
	eco_require_arg(fcinfo, 1, "unheld");
	InitMaterializedSRF(fcinfo, 0);
	row_context = AllocSetContextCreate(CurrentMemoryContext, "economy fold",
										ALLOCSET_DEFAULT_SIZES);
	fold = eco_fold_begin(PG_GETARG_INT64(0), PG_GETARG_BOOL(1));
	while (eco_fold_next(fold, &user))
	{
		bool		isnull[5] = {false};
		Datum		values[5];

		old = MemoryContextSwitchTo(row_context);
		values[0] = Int64GetDatum(user.user_id);
		values[1] = Int64GetDatum(user.first_seq);
		values[2] = Int64GetDatum(user.seq);
		values[3] = TimestampTzGetDatum(user.since);
		values[4] = PointerGetDatum(eco_packing_end(user.packing));
		tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_context);
	}
	eco_fold_end(fold);
	MemoryContextDelete(row_context);
	return (Datum) 0;
}
