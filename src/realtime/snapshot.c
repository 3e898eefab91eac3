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

#define NOWHERE FirstNormalTransactionId

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

	result->xmin = result->xmax = NOWHERE;
	return result;
}

bool
eco_snapshot_is_nowhere(const EcoSnapshot *snapshot)
{
	return snapshot->xmax == NOWHERE;
}

static bool
read_xid(const char **at, const char *end, uint64 *xid)
{
	uint64		value = 0;
	const char *start = *at;

	for (; *at < end && **at >= '0' && **at <= '9'; (*at)++)
	{
		if (value > (PG_INT64_MAX - 9) / 10)
			return false;
		value = value * 10 + (uint64) (**at - '0');
	}
	*xid = value;
	return *at > start && value >= NOWHERE;
}

static bool
read_char(const char **at, const char *end, char c)
{
	if (*at == end || **at != c)
		return false;
	(*at)++;
	return true;
}

EcoSnapshot *
eco_snapshot_parse(const char *text, const char *end)
{
	EcoSnapshot *result = make((int) (end - text) /2 + 1);

	if (!read_xid(&text, end, &result->xmin) || !read_char(&text, end, ':') ||
		!read_xid(&text, end, &result->xmax) || !read_char(&text, end, ':') ||
		result->xmin > result->xmax)
		return NULL;
	while (text <end)
	{
		uint64	   *xid = &result->running[result->n];

		if ((result->n > 0 && !read_char(&text, end, ',')) || !read_xid(&text, end, xid) ||
			*xid < result->xmin || *xid >= result->xmax || (result->n > 0 && *xid <= xid[-1]))
			return NULL;
		result->n++;
	}
	return result;
}

char *
eco_snapshot_text(const EcoSnapshot *snapshot)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, UINT64_FORMAT ":" UINT64_FORMAT ":", snapshot->xmin, snapshot->xmax);
	for (int i = 0; i < snapshot->n; i++)
		appendStringInfo(&text, "%s" UINT64_FORMAT, i > 0 ? "," : "", snapshot->running[i]);
	return text.data;
}

bool
eco_snapshot_sees(const EcoSnapshot *snapshot, uint64 xid)
{
	if (xid < snapshot->xmin)
		return true;
	if (xid >= snapshot->xmax)
		return false;
	return bsearch(&xid, snapshot->running, snapshot->n, sizeof(uint64), compare_xids) == NULL;
}

bool
eco_snapshot_covers(const EcoSnapshot *snapshot, const EcoSnapshot *other)
{
	if (snapshot->xmax < other->xmax)
		return false;
	for (int i = 0; i < snapshot->n; i++)
		if (eco_snapshot_sees(other, snapshot->running[i]))
			return false;
	return true;
}

uint64
eco_snapshot_first_news(const EcoSnapshot *old, const EcoSnapshot *new)
{
	for (int i = 0; i < old->n; i++)
		if (eco_snapshot_sees(new, old->running[i]))
			return old->running[i];
	return old->xmax;
}

bool
eco_snapshot_news_up_to(const EcoSnapshot *old, const EcoSnapshot *new, uint64 xid)
{
	uint64		end = Min(xid + 1, new->xmax);
	uint64		running = 0;

	for (int i = 0; i < old->n && old->running[i] <= xid; i++)
		if (eco_snapshot_sees(new, old->running[i]))
			return true;
	if (end <= old->xmax)
		return false;
	for (int i = 0; i < new->n; i++)
		running += new->running[i] >= old->xmax && new->running[i] < end;
	return end - old->xmax > running;
}
