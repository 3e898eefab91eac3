/*
 * rows.h
 *		Access to one row at a time, by key: find, scan, lock, update, insert.
 *
 * The one door through which C code reaches tables.  A domain describes its
 * table once (EcoTable) and works on EcoRows.  Two ways lie behind the door
 * and behave alike: the direct way goes to the heap and its indexes; the SQL
 * way runs kept plans.  The direct way is taken when the table is a plain heap
 * table without row triggers and everything the executor would do for it is
 * done here too; see direct_possible() in rows.c.
 *
 * Rows are read under the active snapshot.  A function that writes pushes a
 * fresh one with eco_snapshot_push(); a STABLE one uses its caller's.
 * Values are copied into the current memory context.
 *
 * Neither way checks privileges or row security: EXECUTE on the function that
 * calls is the gate.
 */
#ifndef ECO_ROWS_H
#define ECO_ROWS_H

#include "postgres.h"

#include "executor/spi.h"
#include "storage/itemptr.h"
#include "utils/relcache.h"

#define ECO_MAX_COLUMNS		28
#define ECO_MAX_KEYS		3
#define ECO_MAX_KEY_COLUMNS 3

typedef struct EcoColumn
{
	const char *name;
	Oid			type;
	bool		is_mutable;		/* written by eco_row_update() */
} EcoColumn;

/* Columns that lead a btree index; a scan may give values for a prefix. */
typedef struct EcoKey
{
	int			ncolumns;
	int			columns[ECO_MAX_KEY_COLUMNS];	/* places in EcoTable.columns */
} EcoKey;

/* What a kept plan does; the plans of a table are indexed by it. */
typedef enum EcoPlanOp
{
	ECO_PLAN_SCAN,				/* + key * (ECO_MAX_KEY_COLUMNS + 1) + values */
	ECO_PLAN_SCAN_AFTER = ECO_PLAN_SCAN + ECO_MAX_KEYS * (ECO_MAX_KEY_COLUMNS + 1),
	ECO_PLAN_LOCK = ECO_PLAN_SCAN_AFTER + ECO_MAX_KEYS * (ECO_MAX_KEY_COLUMNS + 1),
	ECO_PLAN_UPDATE,
	ECO_PLAN_INSERT,
	ECO_NPLANS
} EcoPlanOp;

/*
 * A table as its domain describes it.  keys[0] is the primary key.  What is
 * below the line belongs to rows.c.
 */
typedef struct EcoTable
{
	const char *name;			/* in schema economy */
	bool		only_read;		/* never written from C: it may have any
								 * defaults, triggers and further columns */
	int			ncolumns;
	EcoColumn	columns[ECO_MAX_COLUMNS];
	int			nkeys;
	EcoKey		keys[ECO_MAX_KEYS];

	struct EcoTableCache *cache;	/* facts about the relation, or NULL */
	SPIPlanPtr	plans[ECO_NPLANS];
} EcoTable;

typedef struct EcoRow
{
	EcoTable   *table;
	ItemPointerData tid;		/* the version the values came from */
	Datum		values[ECO_MAX_COLUMNS];
	bool		isnull[ECO_MAX_COLUMNS];
} EcoRow;

typedef struct EcoScan EcoScan;

typedef enum EcoLock
{
	ECO_LOCKED,					/* the version that was found is the newest */
	ECO_LOCKED_NEWER,			/* a newer one is; the row holds its values */
	ECO_LOCK_BUSY,				/* somebody else has it (ECO_SKIP only) */
	ECO_LOCK_GONE				/* deleted meanwhile */
} EcoLock;

typedef enum EcoWait
{
	ECO_WAIT,
	ECO_SKIP					/* never wait; a changed version counts as
								 * busy */
} EcoWait;

/*
 * A fresh snapshot at READ COMMITTED, the transaction's own above it; always
 * with the effects of this transaction so far.
 */
extern void eco_snapshot_push(void);
extern void eco_snapshot_pop(void);

/* An empty row of the table: all columns null. */
extern void eco_row_init(EcoRow *row, EcoTable *table);

/* The row with these values in the leading columns of the key, if any. */
extern bool eco_row_find(EcoTable *table, int64 user_id, int key, int nvalues,
						 const Datum *values, EcoRow *row);

/* All such rows, in the key's order; with no values, all rows. */
extern EcoScan *eco_scan_begin(EcoTable *table, int64 user_id, int key,
							   int nvalues, const Datum *values);

/* Of these, the rows whose next key column, a bigint, is greater than after. */
extern EcoScan *eco_scan_begin_after(EcoTable *table, int64 user_id, int key,
									 int nvalues, const Datum *values, int64 after);
extern bool eco_scan_next(EcoScan *scan, EcoRow *row);

/* Begin again with other values, under the same snapshot. */
extern void eco_scan_again(EcoScan *scan, const Datum *values);
extern void eco_scan_end(EcoScan *scan);

/*
 * Lock a found row FOR NO KEY UPDATE, until the end of the transaction.
 * Raises 40001 at REPEATABLE READ and above when a newer version exists.
 */
extern EcoLock eco_row_lock(EcoRow *row, int64 user_id, EcoWait wait);

/* Raise 40001. */
extern void eco_serialization_failure(void) pg_attribute_noreturn();

/* Write the mutable columns of a locked row. */
extern void eco_row_update(EcoRow *row, int64 user_id);

extern void eco_row_insert(EcoRow *row, int64 user_id);

/* The same for n rows of one table, cheaper than one by one. */
extern void eco_rows_insert(EcoRow **rows, int n, int64 user_id);

/* A bytea Datum of these bytes, palloc'd. */
extern Datum eco_bytea(const uint8 *bytes, size_t len);

/* OID of a table of the extension; raises when the extension is not there. */
extern Oid	eco_table_oid(const char *name);

/* Role that owns the extension's tables: the SQL way runs as it. */
extern Oid	eco_owner(void);

/*
 * Run a statement that is no hot path as the owner, with a pinned search_path.
 * Returns the first column of the first row, or 0 when there is none; a
 * by-reference value does not outlive the next call.
 */
extern Datum eco_run_as_owner(const char *sql, int nargs, const Oid *types,
							  const Datum *values);

static inline int64
eco_row_int(const EcoRow *row, int column)
{
	return DatumGetInt64(row->values[column]);
}

static inline void
eco_row_set(EcoRow *row, int column, Datum value)
{
	row->values[column] = value;
	row->isnull[column] = false;
}

#endif
