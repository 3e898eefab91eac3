/*
 * rows_heap.c
 *		All rows of a table, in the order in which they lie.
 *
 * For the few calls that read a journal whole.  The executor would take each row
 * apart up to the last column that is wanted; here the columns in front, which are
 * of a fixed size and never null, have a known place, and only those behind them
 * are passed one by one.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/tupmacs.h"
#include "miscadmin.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "ledger/rows_private.h"

#define CALM_ROWS	4096		/* between two looks at interrupts */

/* Where the columns of a table are in a row of it. */
typedef struct Walk
{
	TupleDesc	desc;
	int			last;			/* attributes up to that which is wanted last */
	int			nfixed;			/* of them in front, with a known place */
	uint32		fixed_end;		/* where these end */
	int			nfront;			/* of those in front that are wanted */
	int			front[ECO_MAX_COLUMNS]; /* attributes */
	uint32		offset[ECO_MAX_COLUMNS];
	int		   *place;			/* of an attribute in values, or -1 */
	Datum		values[ECO_MAX_COLUMNS];
	bool		isnull[ECO_MAX_COLUMNS];
} Walk;

static Walk *
walk_of(const EcoOpenTable *open)
{
	Walk	   *walk = palloc0(sizeof(Walk));

	walk->desc = RelationGetDescr(open->rel);
	walk->place = palloc(sizeof(int) * walk->desc->natts);
	memset(walk->place, -1, sizeof(int) * walk->desc->natts);
	/* what a column that is not there stays */
	memset(walk->isnull, true, sizeof(walk->isnull));
	for (int i = 0; i < open->table->ncolumns; i++)
	{
		if (open->cache->attno[i] != InvalidAttrNumber)
			walk->place[open->cache->attno[i] - 1] = i;
		walk->last = Max(walk->last, open->cache->attno[i]);
	}
	for (; walk->nfixed < walk->last; walk->nfixed++)
	{
		Form_pg_attribute att = TupleDescAttr(walk->desc, walk->nfixed);
		uint32		offset = att_align_nominal(walk->fixed_end, att->attalign);

		if (att->attlen <= 0 || !att->attnotnull || att->attisdropped)
			break;
		walk->fixed_end = offset + att->attlen;
		if (walk->place[walk->nfixed] < 0)
			continue;
		walk->front[walk->nfront] = walk->nfixed;
		walk->offset[walk->nfront++] = offset;
	}
	return walk;
}

/* Whether the attributes in front are where they should be: the row has them, and none is null. */
static bool
is_as_usual(const Walk *walk, HeapTuple tuple)
{
	const bits8 *bits = tuple->t_data->t_bits;
	int			n = walk->nfixed;

	if (HeapTupleHeaderGetNatts(tuple->t_data) < walk->last)
		return false;
	if (!HeapTupleHasNulls(tuple))
		return true;
	for (; n >= 8; n -= 8)
		if (*bits++ != 0xff)
			return false;
	return n == 0 || (*bits & ((1 << n) - 1)) == (1 << n) - 1;
}

static void
take(Walk *walk, int attribute, Datum value, bool isnull)
{
	int			place = walk->place[attribute];

	if (place < 0)
		return;
	walk->values[place] = value;
	walk->isnull[place] = isnull;
}

static void
walk_along(Walk *walk, HeapTuple tuple)
{
	const char *data = (const char *) tuple->t_data + tuple->t_data->t_hoff;
	bool		has_nulls = HeapTupleHasNulls(tuple);
	uint32		at = walk->fixed_end;

	for (int i = 0; i < walk->nfront; i++)
	{
		Form_pg_attribute att = TupleDescAttr(walk->desc, walk->front[i]);

		take(walk, walk->front[i], fetchatt(att, data + walk->offset[i]), false);
	}
	for (int a = walk->nfixed; a < walk->last; a++)
	{
		Form_pg_attribute att = TupleDescAttr(walk->desc, a);

		if (has_nulls && att_isnull(a, tuple->t_data->t_bits))
		{
			take(walk, a, (Datum) 0, true);
			continue;
		}
		at = att_align_pointer(at, att->attalign, att->attlen, data + at);
		take(walk, a, fetchatt(att, data + at), false);
		at = att_addlength_pointer(at, att->attlen, data + at);
	}
}

/* A row of before a column was added, or with a null where there should be none. */
static void
take_apart(Walk *walk, HeapTuple tuple)
{
	Datum		values[MaxTupleAttributeNumber];
	bool		isnull[MaxTupleAttributeNumber];

	heap_deform_tuple(tuple, walk->desc, values, isnull);
	for (int a = 0; a < walk->last; a++)
		take(walk, a, values[a], isnull[a]);
}

static void
visit_relation(const EcoOpenTable *open, EcoRowSeen seen, void *state)
{
	TableScanDesc scan = table_beginscan(open->rel, GetActiveSnapshot(), 0, NULL);
	Walk	   *walk = walk_of(open);
	HeapTuple	tuple;
	uint64		n = 0;

	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		if (is_as_usual(walk, tuple))
			walk_along(walk, tuple);
		else
			take_apart(walk, tuple);
		seen(state, walk->values, walk->isnull);
		if (++n % CALM_ROWS == 0)
			CHECK_FOR_INTERRUPTS();
	}
	table_endscan(scan);
	pfree(walk->place);
	pfree(walk);
}

bool
eco_rows_visit(EcoTable *table, EcoRowSeen seen, void *state)
{
	EcoOpenTable *whole = eco_whole_of(table);
	int			nparts = whole->is_spread ? whole->cache->spread->nparts : 0;

	if (!whole->is_spread && !whole->direct)
		return false;
	for (int i = 0; i < nparts; i++)
		if (!eco_spread_part(whole, i)->direct)
			return false;
	if (!whole->is_spread)
		visit_relation(whole, seen, state);
	for (int i = 0; i < nparts; i++)
		visit_relation(eco_spread_part(whole, i), seen, state);
	return true;
}
