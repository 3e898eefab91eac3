/*
 * rows_private.h
 *		What rows.c, rows_direct.c and rows_sql.c share.
 */
#ifndef ECO_ROWS_PRIVATE_H
#define ECO_ROWS_PRIVATE_H

#include "ledger/rows.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "nodes/execnodes.h"
#include "utils/portal.h"

#define ECO_MAX_INDEXES 8

/*
 * Facts about the relation behind an EcoTable, looked up by name once and
 * thrown away by the relation's invalidation.
 */
typedef struct EcoTableCache
{
	MemoryContext context;
	Oid			relid;
	bool		stale;
	bool		direct;			/* the direct way is allowed */
	AttrNumber	attno[ECO_MAX_COLUMNS];
	int16		typlen[ECO_MAX_COLUMNS];
	bool		typbyval[ECO_MAX_COLUMNS];
	Oid			key_index[ECO_MAX_KEYS];
	int			nindexes;
	Oid			index[ECO_MAX_INDEXES];
	IndexInfo  *index_info[ECO_MAX_INDEXES];
	TupleDesc	desc;			/* a private copy, not reference-counted */
	EState	   *estate;			/* holds the compiled CHECK constraints */
	ResultRelInfo *result_rel;
} EcoTableCache;

struct EcoScan
{
	EcoTable   *table;
	int			key;
	int			nvalues;

	MemoryContext context;		/* it began in: the index keeps memory there */

	/* direct way */
	Relation	rel;
	Relation	index;
	IndexScanDesc desc;
	ScanKeyData keys[ECO_MAX_KEY_COLUMNS];
	TupleTableSlot *slot;

	/* SQL way: a cursor, and the rows fetched from it but not handed out */
	Portal		portal;
	MemoryContext batch_context;
	EcoRow	   *batch;
	uint64		batch_rows;
	uint64		next;
};

/* The opened relation when the direct way is allowed, else NULL. */
extern Relation eco_open_direct(EcoTable *table, int64 user_id, LOCKMODE mode);

/* after: NULL, or the lower bound of eco_scan_begin_after() */
extern void eco_direct_scan_begin(EcoScan *scan, Relation rel, const Datum *values,
								  const int64 *after);
extern void eco_direct_scan_again(EcoScan *scan, const Datum *values);
extern bool eco_direct_scan_next(EcoScan *scan, EcoRow *row);
extern void eco_direct_scan_end(EcoScan *scan);
extern EcoLock eco_direct_lock(EcoRow *row, Relation rel, EcoWait wait);
extern void eco_direct_update(EcoRow *row, Relation rel);
extern void eco_direct_insert(EcoRow **rows, int n, Relation rel);

extern void eco_sql_scan_begin(EcoScan *scan, const Datum *values, const int64 *after);
extern bool eco_sql_scan_next(EcoScan *scan, EcoRow *row);
extern void eco_sql_scan_end(EcoScan *scan);
extern EcoLock eco_sql_lock(EcoRow *row);
extern void eco_sql_update(EcoRow *row);
extern void eco_sql_insert(EcoRow *row);

#endif
