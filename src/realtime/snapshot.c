/*
 * snapshot.c
 *		The active snapshot as a value that outlives it.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "fmgr.h"
#include "lib/qunique.h"
#include "lib/stringinfo.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "realtime/snapshot.h"

PG_FUNCTION_INFO_V1(eco_feed_snapshot);

static int
compare_xids(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return (x > y) - (x < y);
}

/* With its epoch; no snapshot reaches back a whole epoch. */
static uint64
full_xid(TransactionId xid, FullTransactionId next)
{
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch, xid));
}

char *
eco_snapshot_text(void)
{
	Snapshot	snapshot = GetActiveSnapshot();
	FullTransactionId next = ReadNextFullTransactionId();
	TransactionId mine = GetTopTransactionIdIfAny();
	bool		on_standby = snapshot->takenDuringRecovery;
	TransactionId *running = on_standby ? snapshot->subxip : snapshot->xip;
	size_t		n = on_standby ? (size_t) snapshot->subxcnt : snapshot->xcnt;
	uint64		xmin = full_xid(snapshot->xmin, next);
	uint64		xmax = full_xid(snapshot->xmax, next);
	uint64	   *xids = palloc(sizeof(uint64) * (n + 1));
	StringInfoData text;

	for (size_t i = 0; i < n; i++)
		xids[i] = full_xid(running[i], next);
	if (TransactionIdIsValid(mine))
		xids[n++] = full_xid(mine, next);
	qsort(xids, n, sizeof(uint64), compare_xids);
	n = qunique(xids, n, sizeof(uint64), compare_xids);

	initStringInfo(&text);
	appendStringInfo(&text, UINT64_FORMAT ":" UINT64_FORMAT ":", xmin, xmax);
	for (size_t i = 0, printed = 0; i < n; i++)
		if (xids[i] >= xmin && xids[i] < xmax)
			appendStringInfo(&text, "%s" UINT64_FORMAT, printed++ > 0 ? "," : "", xids[i]);
	pfree(xids);
	return text.data;
}

/* eco_feed_snapshot() returns pg_snapshot */
Datum
eco_feed_snapshot(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(OidInputFunctionCall(F_PG_SNAPSHOT_IN, eco_snapshot_text(), InvalidOid, -1));
}
