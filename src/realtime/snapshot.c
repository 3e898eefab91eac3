/*
 * snapshot.c
 *		Which transactions had ended: a snapshot as a value that outlives it.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "lib/qunique.h"
#include "lib/stringinfo.h"
#include "utils/snapmgr.h"

#include "realtime/snapshot.h"

StaticAssertDecl(ECO_FIRST_XID == FirstNormalTransactionId, "the first id of a transaction");

static int
compare_xids(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return (x > y) - (x < y);
}

/* The id with its epoch: a snapshot does not reach back as far as a whole epoch. */
static uint64
full_xid(TransactionId xid, FullTransactionId next)
{
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch, xid));
}

Size
eco_snapshot_bytes(int n)
{
	return offsetof(EcoSnapshot, running) + sizeof(uint64) * (Size) n;
}

/* Room for n running transactions. */
static EcoSnapshot *
make(int n)
{
	return palloc0(eco_snapshot_bytes(n));
}

EcoSnapshot *
eco_snapshot_copy(const EcoSnapshot *snapshot)
{
	EcoSnapshot *copy = make(snapshot->n);

	memcpy(copy, snapshot, eco_snapshot_bytes(snapshot->n));
	return copy;
}

EcoSnapshot *
eco_snapshot_take(void)
{
	Snapshot	active = GetActiveSnapshot();
	FullTransactionId next = ReadNextFullTransactionId();
	TransactionId mine = GetTopTransactionIdIfAny();
	bool		on_standby = active->takenDuringRecovery;
	TransactionId *running = on_standby ? active->subxip : active->xip;
	int			n = on_standby ? active->subxcnt : (int) active->xcnt;
	EcoSnapshot *result = make(n + 1);
	uint64	   *xids = result->running;
	int			kept = 0;

	result->xmin = full_xid(active->xmin, next);
	result->xmax = full_xid(active->xmax, next);
	for (int i = 0; i < n; i++)
		xids[i] = full_xid(running[i], next);
	if (TransactionIdIsValid(mine))
		xids[n++] = full_xid(mine, next);
	qsort(xids, n, sizeof(uint64), compare_xids);
	n = (int) qunique(xids, n, sizeof(uint64), compare_xids);
	for (int i = 0; i < n; i++)
		if (xids[i] >= result->xmin && xids[i] < result->xmax)
			xids[kept++] = xids[i];
	result->n = kept;
	return result;
}

EcoSnapshot *
eco_snapshot_nowhere(void)
{
	EcoSnapshot *result = make(0);

	result->xmin = result->xmax = ECO_FIRST_XID;
	return result;
}

EcoSnapshot *
eco_snapshot_parse(const char *at, const char *end)
{
	EcoSnapshot *result = make(eco_snapshot_room(at, end));

	return eco_snapshot_read(at, end, result) ? result : NULL;
}

char *
eco_snapshot_text(const EcoSnapshot *snapshot)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, UINT64_FORMAT ":" UINT64_FORMAT ":", snapshot->xmin, snapshot->xmax);
	for (int i = 0; i < snapshot->n; i++)
		appendStringInfo(&out, "%s" UINT64_FORMAT, i > 0 ? "," : "", snapshot->running[i]);
	return out.data;
}
