/*
 * fold.c
 *		The journal's purchases as packed daily buckets, user by user.
 *
 * A query reads the purchases in the order in which they lie; they are sorted
 * by user here, 32 bytes each, in work_mem.  Beyond that they are spread over parts
 * on disk, each of a range of users, which are sorted in memory one after the other.
 * PostgreSQL's own sorting and hashing give the same, in three times the time.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/buffile.h"
#include "utils/backend_status.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "core/varint.h"
#include "errors.h"
#include "ledger/args.h"
#include "ledger/installation.h"
#include "segment/fold.h"
#include "segment/rfm.h"

PG_FUNCTION_INFO_V1(eco_rfm_fold);

#define FIRST_ROOM		1024	/* purchases */
#define PROGRESS_STEP	262144
#define FEW				256		/* purchases that are sorted at once */
#define SPREAD_MAX		(4 * ECO_VARINT_MAX)	/* bytes of a purchase on disk */
#define SPREAD_LINES	256
#define MIN_PARTS		16
#define MAX_PARTS		512

/* Of the user's distance from the least one, so many bits. */
#define DIGIT_BITS		11
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

/*
 * What lies on disk, in the order in which it was read, of a range of users.  Of each
 * purchase the user's distance from where the part begins, the number of the entry, the time
 * since the purchase before, and the sum, as numbers of core/varint.h: a third of the bytes.
 */
typedef struct Part
{
	BufFile    *file;
	size_t		n;
	size_t		bytes;
	TimestampTz at;				/* of the last purchase */
	int64		least;			/* user */
	int64		most;
	size_t		waiting;		/* bytes that are not in the file yet: a few
								 * lines of each part fit in the cache */
	uint8		lines[SPREAD_LINES];
} Part;

/* A part that is read. */
typedef struct PartReader
{
	BufFile    *file;
	size_t		left;			/* bytes that are not in memory yet */
	uint64		base;			/* where the part begins */
	TimestampTz at;
	EcoReader	in;
	uint8		bytes[BLCKSZ];
} PartReader;

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
	int64		seen;

	Part	   *parts;			/* NULL: all is in memory */
	int			nparts;
	int64		least;			/* user of the first part, of those that are
								 * foreseen */
	int			shift;			/* of a user's distance from that one, to the
								 * number of the part */

	size_t		passed;			/* of those in memory */
	int			next_part;
	EcoFold    *inner;			/* of a part that does not fit in memory */
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

/* The user that a part begins with. */
static uint64
base_of(const EcoFold *fold, uint64 number)
{
	return (uint64) fold->least + (number << fold->shift);
}

static void
write_waiting(Part *part)
{
	BufFileWrite(part->file, part->lines, part->waiting);
	part->bytes += part->waiting;
	part->waiting = 0;
}

static void
begin_part(EcoFold *fold, Part *part, int64 user_id)
{
	MemoryContext old = MemoryContextSwitchTo(fold->context);

	part->file = BufFileCreateTemp(false);
	part->least = part->most = user_id;
	MemoryContextSwitchTo(old);
}

/* Put a purchase on disk, among those of the users beside it. */
static void
spread(EcoFold *fold, const EcoPurchase *purchase)
{
	uint64		distance = (uint64) purchase->user_id - (uint64) fold->least;
	uint64		number = purchase->user_id <= fold->least ? 0 :
	Min(distance >> fold->shift, (uint64) fold->nparts - 1);
	Part	   *part = &fold->parts[number];
	uint8	   *end;

	if (part->file == NULL)
		begin_part(fold, part, purchase->user_id);
	if (part->waiting + SPREAD_MAX > sizeof(part->lines))
		write_waiting(part);
	end = part->lines + part->waiting;
	/* modulo 2^64, for who is not in the range that was foreseen */
	eco_varint_write(&end, (uint64) purchase->user_id - base_of(fold, number));
	eco_varint_write(&end, (uint64) purchase->seq);
	eco_varint_write(&end, eco_zigzag((int64) ((uint64) purchase->at - (uint64) part->at)));
	eco_varint_write(&end, eco_zigzag(purchase->monetary));
	part->waiting = (size_t) (end - part->lines);
	part->at = purchase->at;
	part->least = Min(part->least, purchase->user_id);
	part->most = Max(part->most, purchase->user_id);
	part->n++;
}

static void
begin_reading(PartReader *reader, const EcoFold *fold, Part *part)
{
	write_waiting(part);
	reader->file = part->file;
	reader->left = part->bytes;
	reader->base = base_of(fold, (uint64) (part - fold->parts));
	reader->at = 0;
	reader->in.at = reader->in.end = reader->bytes;
	reader->in.damaged = false;
	if (BufFileSeek(part->file, 0, 0, SEEK_SET) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not rewind a temporary file")));
}

/* Have the next purchase in memory, when there is one. */
static void
refill(PartReader *reader)
{
	size_t		kept = (size_t) (reader->in.end - reader->in.at);
	size_t		more = Min(reader->left, sizeof(reader->bytes) - kept);

	memmove(reader->bytes, reader->in.at, kept);
	if (BufFileRead(reader->file, reader->bytes + kept, more) != more)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not read a temporary file")));
	reader->left -= more;
	reader->in.at = reader->bytes;
	reader->in.end = reader->bytes + kept + more;
}

static EcoPurchase
read_purchase(PartReader *reader)
{
	EcoPurchase purchase;
	int64		since;

	if (reader->in.end - reader->in.at < SPREAD_MAX && reader->left > 0)
		refill(reader);
	purchase.user_id = (int64) (reader->base + eco_varint_read(&reader->in, UINT64_MAX));
	purchase.seq = (int64) eco_varint_read(&reader->in, UINT64_MAX);
	since = eco_unzigzag(eco_varint_read(&reader->in, UINT64_MAX));
	purchase.at = (int64) ((uint64) reader->at + (uint64) since);
	purchase.monetary = eco_unzigzag(eco_varint_read(&reader->in, UINT64_MAX));
	reader->at = purchase.at;
	return purchase;
}

/* Foresee users of that range; others go to the first part, or the last. */
static void
make_parts(EcoFold *fold, int64 least, int64 most)
{
	Size		files = (Size) work_mem * 1024 / 8 / BLCKSZ;

	fold->nparts = (int) Min(Max(files, MIN_PARTS), MAX_PARTS);
	fold->parts = MemoryContextAllocZero(fold->context, sizeof(Part) * (Size) fold->nparts);
	fold->least = least;
	for (fold->shift = 0; ((uint64) most - (uint64) least) >> fold->shift >= (uint64) fold->nparts;
		 fold->shift++)
		;
}

/* The range of users that may have purchases. */
static void
known_users(int64 *least, int64 *most)
{
	bool		isnull[2] = {true, true};

	SPI_connect();
	if (SPI_execute("SELECT min(user_id), max(user_id) FROM economy.accounts", true, 1) !=
		SPI_OK_SELECT || SPI_processed != 1)
		ECO_ERROR(ECO_SCHEMA_DAMAGED, errmsg("the users cannot be read"));
	*least = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
										 &isnull[0]));
	*most = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2,
										&isnull[1]));
	SPI_finish();
	if (isnull[0] || isnull[1])
		*least = *most = 0;
}

/* Give back the memory of purchases that are elsewhere. */
static void
forget(EcoFold *fold)
{
	pfree(fold->purchases);
	if (fold->spare != NULL)
		pfree(fold->spare);
	fold->spare = NULL;
	fold->spare_room = 0;
	fold->n = 0;
	fold->room = FIRST_ROOM;
	fold->purchases = MemoryContextAlloc(fold->context, FIRST_ROOM * sizeof(EcoPurchase));
}

/* What is in memory, and all that comes, goes to disk. */
static void
spread_all(EcoFold *fold)
{
	int64		least;
	int64		most;

	known_users(&least, &most);
	make_parts(fold, least, most);
	for (size_t i = 0; i < fold->n; i++)
		spread(fold, &fold->purchases[i]);
	forget(fold);
}

static void
add_purchase(EcoFold *fold, int64 user_id, int64 seq, TimestampTz at, int64 monetary)
{
	EcoPurchase purchase = {.user_id = user_id, .seq = seq, .at = at, .monetary = monetary};

	if (fold->parts == NULL && fold->n == fold->most)
		spread_all(fold);
	if (++fold->seen % PROGRESS_STEP == 0)
		pgstat_report_activity(STATE_RUNNING,
							   psprintf("economy progress: rfm_fold %lld of %lld",
										(long long) fold->seen, (long long) fold->seen));
	if (fold->parts != NULL)
	{
		spread(fold, &purchase);
		return;
	}
	if (fold->n == fold->room)
	{
		fold->room = Min(fold->room * 2, fold->most);
		fold->purchases = repalloc_huge(fold->purchases, fold->room * sizeof(EcoPurchase));
	}
	fold->purchases[fold->n++] = purchase;
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
	EcoOpenTables *open = eco_rfm_journal_open(ECO_ALL_USERS);
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
		source = "(SELECT * FROM economy_internal.shop_purchases WHERE status = 'SUCCESS')";
		if (since == 0 && visit_journal(fold))
			source = "economy_internal.archived_purchases";
	}
	if (SPI_execute_extended(psprintf(query, source), &options) != SPI_OK_SELECT)
		ECO_ERROR(ECO_SCHEMA_DAMAGED, errmsg("the journal of purchases cannot be read"));
	SPI_finish();
}

static EcoFold *
make_fold(EcoPacking *packing)
{
	EcoFold    *fold = palloc0(sizeof(EcoFold));

	fold->receiver = (DestReceiver)
	{
		.receiveSlot = receive_purchase, .rStartup = no_startup,
			.rShutdown = no_shutdown, .rDestroy = no_shutdown, .mydest = DestTuplestore
	};
	fold->context = CurrentMemoryContext;
	fold->packing = packing;
	/* sorting takes as much again */
	fold->most = Max((size_t) work_mem * 1024 / 2 / sizeof(EcoPurchase), FIRST_ROOM);
	fold->room = FIRST_ROOM;
	fold->purchases = palloc(FIRST_ROOM * sizeof(EcoPurchase));
	return fold;
}

/* Spread a part that does not fit in memory once more, over as many. */
static EcoFold *
divide(EcoFold *fold, Part *part)
{
	MemoryContext old = MemoryContextSwitchTo(fold->context);
	EcoFold    *inner = make_fold(fold->packing);
	PartReader	reader;

	MemoryContextSwitchTo(old);
	make_parts(inner, part->least, part->most);
	begin_reading(&reader, fold, part);
	for (size_t i = 0; i < part->n; i++)
	{
		EcoPurchase purchase = read_purchase(&reader);

		if (i % PROGRESS_STEP == 0)
			CHECK_FOR_INTERRUPTS();
		spread(inner, &purchase);
	}
	return inner;
}

/* Sort a part in memory. */
static void
take_in(EcoFold *fold, Part *part)
{
	PartReader	reader;

	if (part->n > fold->room)
	{
		fold->room = part->n;
		fold->purchases = repalloc_huge(fold->purchases, fold->room * sizeof(EcoPurchase));
	}
	begin_reading(&reader, fold, part);
	for (size_t i = 0; i < part->n; i++)
		fold->purchases[i] = read_purchase(&reader);
	fold->n = part->n;
	sort_in_memory(fold);
}

/* Take up the next part; false after the last. */
static bool
load_part(EcoFold *fold)
{
	Part	   *part;

	while (fold->next_part < fold->nparts && fold->parts[fold->next_part].n == 0)
		fold->next_part++;
	if (fold->next_part == fold->nparts)
		return false;
	part = &fold->parts[fold->next_part++];
	fold->n = fold->passed = 0;
	/* the purchases of one user are gathered in memory, however many */
	if (part->n > fold->most && part->least < part->most)
		fold->inner = divide(fold, part);
	else
		take_in(fold, part);
	BufFileClose(part->file);
	return true;
}

EcoFold *
eco_fold_begin(int64 transaction, bool unheld)
{
	EcoFold    *fold = make_fold(eco_packing_make());

	read_journal(fold, transaction, unheld);
	if (fold->parts == NULL)
		sort_in_memory(fold);
	return fold;
}

/* Pack the purchases of the user whose first one is the next in memory. */
static void
hand_out(EcoFold *fold, EcoFolded *user)
{
	const EcoPurchase *first = &fold->purchases[fold->passed];

	user->user_id = first->user_id;
	user->first_seq = first->seq;
	user->since = first->at;
	user->packing = fold->packing;
	fold->packing->n = 0;
	for (; fold->passed < fold->n && fold->purchases[fold->passed].user_id == first->user_id;
		 fold->passed++)
	{
		const EcoPurchase *purchase = &fold->purchases[fold->passed];

		user->since = Min(user->since, purchase->at);
		user->seq = purchase->seq;
		eco_packing_add(fold->packing, purchase->at, purchase->monetary, purchase->seq);
	}
	user->purchases = first;
	user->n = (size_t) (&fold->purchases[fold->passed] - first);
}

bool
eco_fold_next(EcoFold *fold, EcoFolded *user)
{
	CHECK_FOR_INTERRUPTS();
	for (;;)
	{
		if (fold->inner != NULL && eco_fold_next(fold->inner, user))
			return true;
		if (fold->inner != NULL)
			eco_fold_end(fold->inner);
		fold->inner = NULL;
		if (fold->passed < fold->n)
		{
			hand_out(fold, user);
			return true;
		}
		if (fold->parts == NULL || !load_part(fold))
			return false;
	}
}

void
eco_fold_end(EcoFold *fold)
{
	pfree(fold->purchases);
	if (fold->spare != NULL)
		pfree(fold->spare);
	if (fold->parts != NULL)
		pfree(fold->parts);
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
