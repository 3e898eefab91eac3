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

PG_FUNCTION_INFO_V1(eco_rfm_fold);

#define FIRST_ROOM		1024	/* purchases */
#define PROGRESS_STEP	262144

typedef struct Purchase
{
	int64		user_id;
	int64		seq;
	int64		at;
	int64		monetary;
} Purchase;

static inline int
compare_purchases(const Purchase *a, const Purchase *b)
{
	if (a->user_id != b->user_id)
		return a->user_id < b->user_id ? -1 : 1;
	return a->seq < b->seq ? -1 : a->seq > b->seq ? 1 : 0;
}

#define ST_SORT sort_purchases
#define ST_ELEMENT_TYPE Purchase
#define ST_COMPARE(a, b) compare_purchases(a, b)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

typedef struct Run
{
	BufFile    *file;
	Purchase	next;
	size_t		left;			/* behind next */
} Run;

/* The purchases that are being sorted, and then handed out. */
struct EcoFold
{
	DestReceiver receiver;		/* first, for the executor knows no more */
	MemoryContext context;		/* of all that is here */
	size_t		n;				/* purchases in memory */
	size_t		room;
	size_t		most;
	Purchase   *purchases;
	int			nruns;
	Run		   *runs;
	int64		seen;

	size_t		passed;			/* of those in memory */
	binaryheap *heap;			/* of runs, that with the least purchase on
								 * top */
	Purchase	next;
	bool		has_next;
	EcoPacking *packing;
};

static void
sort_in_memory(EcoFold *fold)
{
	if (fold->n > 1)
		sort_purchases(fold->purchases, fold->n);
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
	run->file = BufFileCreateTemp(false);
	run->left = fold->n;
	BufFileWrite(run->file, fold->purchases, fold->n * sizeof(Purchase));
	fold->n = 0;
	MemoryContextSwitchTo(old);
}

static bool
receive_purchase(TupleTableSlot *slot, DestReceiver *self)
{
	EcoFold    *fold = (EcoFold *) self;
	Purchase   *purchase;

	slot_getallattrs(slot);
	if (fold->n == fold->most)
		end_run(fold);
	else if (fold->n == fold->room)
	{
		fold->room = Min(fold->room * 2, fold->most);
		fold->purchases = repalloc_huge(fold->purchases, fold->room * sizeof(Purchase));
	}
	purchase = &fold->purchases[fold->n++];
	purchase->user_id = DatumGetInt64(slot->tts_values[0]);
	purchase->seq = DatumGetInt64(slot->tts_values[1]);
	purchase->at = DatumGetTimestampTz(slot->tts_values[2]);
	purchase->monetary = DatumGetInt64(slot->tts_values[3]);
	if (++fold->seen % PROGRESS_STEP == 0)
		pgstat_report_activity(STATE_RUNNING,
							   psprintf("economy progress: rfm_fold %lld of %lld",
										(long long) fold->seen, (long long) fold->seen));
	return true;
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
		source = "(SELECT * FROM economy.shop_transactions WHERE status = 'SUCCESS')";
	if (SPI_execute_extended(psprintf(query, source), &options) != SPI_OK_SELECT)
		ECO_ERROR(ECO_SCHEMA_DAMAGED, errmsg("the journal of purchases cannot be read"));
	SPI_finish();
}

static bool
advance(Run *run)
{
	if (run->left == 0)
	{
		BufFileClose(run->file);
		return false;
	}
	run->left--;
	if (BufFileRead(run->file, &run->next, sizeof(Purchase)) != sizeof(Purchase))
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not read a temporary file")));
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
		if (advance(run))
			binaryheap_add_unordered(fold->heap, PointerGetDatum(run));
	}
	binaryheap_build(fold->heap);
}

/* Go to the next purchase in the order of user and seq. */
static void
step(EcoFold *fold)
{
	Run		   *run;

	if (fold->heap == NULL)
	{
		fold->has_next = fold->passed < fold->n;
		if (fold->has_next)
			fold->next = fold->purchases[fold->passed++];
		return;
	}
	fold->has_next = !binaryheap_empty(fold->heap);
	if (!fold->has_next)
		return;
	run = (Run *) DatumGetPointer(binaryheap_first(fold->heap));
	fold->next = run->next;
	if (advance(run))
		binaryheap_replace_first(fold->heap, PointerGetDatum(run));
	else
		binaryheap_remove_first(fold->heap);
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
	fold->most = Max((size_t) work_mem * 1024 / sizeof(Purchase), FIRST_ROOM);
	fold->room = FIRST_ROOM;
	fold->purchases = palloc(FIRST_ROOM * sizeof(Purchase));
	read_journal(fold, transaction, unheld);
	if (fold->nruns == 0)
		sort_in_memory(fold);
	else
	{
		end_run(fold);
		pfree(fold->purchases);
		begin_merge(fold);
	}
	step(fold);
	return fold;
}

bool
eco_fold_next(EcoFold *fold, EcoFolded *user)
{
	CHECK_FOR_INTERRUPTS();
	if (!fold->has_next)
		return false;
	fold->packing->n = 0;
	*user = (EcoFolded)
	{
		.user_id = fold->next.user_id, .first_seq = fold->next.seq, .since = fold->next.at,
			.packing = fold->packing
	};
	do
	{
		user->seq = fold->next.seq;
		user->since = Min(user->since, fold->next.at);
		eco_packing_add(fold->packing, fold->next.at, fold->next.monetary, fold->next.seq);
		step(fold);
	} while (fold->has_next && fold->next.user_id == user->user_id);
	return true;
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
	MemoryContextDelete(row_context);
	return (Datum) 0;
}
