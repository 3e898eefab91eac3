/*
 * rows.h
 *		Access to one row at a time, by key: find, scan, lock, update, insert, delete.
 *
 * The one door through which C code reaches tables.  A domain describes its
 * table once (EcoTable) and works on EcoRows.  Two ways lie behind the door
 * and behave alike: the direct way goes to the heap and its indexes; the SQL
 * way runs kept plans.  The direct way is taken when the table is a plain heap
 * table without row triggers and everything the executor would do for it is
 * done here too; see direct_possible() in rows_relation.c.
 *
 * Rows are read and written between eco_tables_open() and eco_tables_close(), under
 * the snapshot that these have made active.  They keep one rule (I10): a call never
 * reads under a snapshot that is older than its locks on what it reads.  A snapshot
 * that is older sees a table that was rewritten meanwhile as empty, and a product as
 * it was before it was withdrawn.  Hence
 *
 *	1. a call names all its tables at once; they are locked in the mode that the
 *	   call will need at most, and only then a snapshot is taken;
 *	2. after every wait (eco_row_lock() answers ECO_LOCKED_AGAIN) the call takes a new
 *	   one with eco_snapshot_renew() and reads again;
 *	3. where no fresh snapshot can be had, above READ COMMITTED, a table or a row of
 *	   configuration that has changed since is a serialization failure.  At READ
 *	   COMMITTED there is none.
 *
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
#include "utils/resowner.h"

#include "compat.h"

#define ECO_MAX_COLUMNS		32
#define ECO_MAX_KEYS		3
#define ECO_MAX_KEY_COLUMNS 3
#define ECO_MAX_GROUP		64	/* rows of eco_rows_find() */
#define ECO_MAX_OPEN		24	/* tables of one call */
#define ECO_ALL_USERS		PG_INT64_MIN
#define ECO_DIGESTED_KEY	1

#define ECO_MUTABLE		0x01	/* written by eco_row_update() */
#define ECO_NULLABLE	0x02	/* any other is NOT NULL, and is read as such */
#define ECO_LATER		0x04	/* nullable, and not there in objects of an
								 * older release: null, and never written */

typedef struct EcoColumn
{
	const char *name;
	Oid			type;
	uint8		is;				/* of the above */
} EcoColumn;

/* Columns that lead a btree index; a scan may give values for a prefix. */
typedef struct EcoKey
{
	int			ncolumns;
	int			columns[ECO_MAX_KEY_COLUMNS];	/* places in EcoTable.columns */
} EcoKey;

/*
 * What a kept plan of the SQL way does: its place in EcoTable.plans.  There is a scan
 * for each key and each number of its columns that values are given for.
 */
typedef enum EcoPlanOp
{
	ECO_PLAN_SCAN,				/* + key * (ECO_MAX_KEY_COLUMNS + 1) + nvalues */
	ECO_PLAN_SCAN_AFTER = ECO_PLAN_SCAN + ECO_MAX_KEYS * (ECO_MAX_KEY_COLUMNS + 1),
	ECO_PLAN_SCAN_BEFORE = ECO_PLAN_SCAN_AFTER + ECO_MAX_KEYS * (ECO_MAX_KEY_COLUMNS + 1),
	ECO_PLAN_LOCK = ECO_PLAN_SCAN_BEFORE + ECO_MAX_KEYS * (ECO_MAX_KEY_COLUMNS + 1),
	ECO_PLAN_TRY_LOCK,
	ECO_PLAN_UPDATE,
	ECO_PLAN_INSERT,
	ECO_PLAN_DELETE,
	ECO_NPLANS
} EcoPlanOp;

/*
 * A table as its domain describes it.  keys[0] is the primary key.  The last three
 * members are filled by rows_relation.c and rows_sql.c.
 */
typedef struct EcoTable
{
	const char *name;
	bool		internal;		/* in schema economy_internal, not economy */
	bool		only_read;		/* never written from C: it may have any
								 * defaults, triggers and further columns */
	bool		later;			/* it came after the first release: where it
								 * is not there, nobody opens it */
	int			ncolumns;
	EcoColumn	columns[ECO_MAX_COLUMNS];
	int			nkeys;
	EcoKey		keys[ECO_MAX_KEYS];

	/*
	 * A column that stands in the index of ECO_DIGESTED_KEY, a user and two
	 * texts, for these (see core/digest.h); 0: none.  A scan gives the user
	 * and one text or both, which must outlive it; what it hands out has
	 * them, in no order.  Made from columns that are hashed, it is no part of
	 * a hash.
	 */
	int			digest;

	struct EcoTableCache *cache;	/* facts about the relation, or NULL */
	struct EcoTable *next_known;	/* of those that this session has asked
									 * about */
	bool		is_known;
	uint32		planned_without;	/* EcoTableCache.lacking of the plans */
	SPIPlanPtr	plans[ECO_NPLANS];
} EcoTable;

static inline const char *
eco_schema_of(const EcoTable *table)
{
	return table->internal ? "economy_internal" : "economy";
}

typedef struct EcoRow
{
	EcoTable   *table;
	ItemPointerData tid;		/* the version the values came from */
	CommandId	read_at;		/* direct way: the command in which it was the
								 * newest of this transaction */
	bool		is_free;		/* direct way: nobody had locked or changed it */
	Datum		values[ECO_MAX_COLUMNS];
	bool		isnull[ECO_MAX_COLUMNS];
} EcoRow;

typedef struct EcoScan EcoScan;

typedef struct EcoOpenTables EcoOpenTables;

typedef enum EcoAccess
{
	ECO_READ,					/* read under the caller's snapshot, or a
								 * fresh one when a table was changed since */
	ECO_READ_FRESH,				/* read under the snapshot of ECO_WRITE */
	ECO_READ_LATEST,			/* read under a fresh one at every isolation
								 * level */
	ECO_WRITE,					/* write; under a fresh one at READ COMMITTED,
								 * the transaction's own above it */
	ECO_WRITE_LATEST			/* write under a fresh one at every level */
} EcoAccess;

/*
 * Lock and open the tables, a list that ends with NULL, and make a snapshot
 * active under which they may be read.  Raises 40001 above READ COMMITTED when one
 * was changed since the transaction's snapshot.  Calls may nest.
 */
extern EcoOpenTables *eco_tables_open(EcoAccess access, EcoTable *const *tables);

/*
 * The same for who reads and writes rows of that user alone: of a table that is spread
 * over partitions only the user's is locked, and all of them with ECO_ALL_USERS.
 */
extern EcoOpenTables *eco_user_tables_open(EcoAccess access, int64 user_id,
										   EcoTable *const *tables);

/*
 * The same in the middle of another call, for what it knows nothing of: no user code has made
 * it, and what it does is of that call.
 */
extern EcoOpenTables *eco_part_open(EcoAccess access, int64 user_id, EcoTable *const *tables);

/*
 * Open further ones, for a call that could have done without.  True when one of
 * them was changed under the snapshot, which is renewed then: read again.
 */
extern bool eco_tables_add(EcoOpenTables *open, EcoTable *const *tables);

/* Whether no trigger, rule or the like runs when their rows are written. */
extern bool eco_tables_plain(const EcoOpenTables *open);

/*
 * Whether another call that writes ran within the innermost one that is open: user code,
 * a trigger or a constraint, has made it.
 */
extern bool eco_tables_had_inner(void);

/* Whether the innermost one runs within another: user code of that one has made it. */
extern bool eco_tables_are_inner(void);

/* What an error leaves open, the end of its transaction closes. */
extern void eco_tables_close(EcoOpenTables *open);

/*
 * A fresh snapshot in place of that of the innermost eco_tables_open(), with the
 * effects of this transaction so far; above READ COMMITTED only with these.
 */
extern void eco_snapshot_renew(void);

/*
 * A part of a call that can be taken back, with the locks that it took.  It is a
 * savepoint, so it is for what seldom happens.  Beginning one and taking it back
 * renew the snapshot: what was read is to be read again.  An error does not end it:
 * whoever begins one catches errors and calls eco_attempt_fail(), which ends the
 * attempt and raises the error again.
 */
typedef struct EcoAttempt
{
	bool		open;
	MemoryContext context;
	ResourceOwner owner;
} EcoAttempt;

extern void eco_attempt_begin(EcoAttempt *attempt);
extern void eco_attempt_keep(EcoAttempt *attempt);
extern void eco_attempt_undo(EcoAttempt *attempt);
ECO_NORETURN extern void eco_attempt_fail(EcoAttempt *attempt);

/*
 * Raise 40001 when the rows with these values, as the active snapshot sees them,
 * are not the newest there are, which can only be above READ COMMITTED.  Tables
 * that are only read need not ask: a call that writes does so by itself.
 */
extern void eco_rows_must_be_newest(EcoTable *table, int64 user_id, int key,
									int nvalues, const Datum *values);

typedef enum EcoLock
{
	ECO_LOCKED,					/* what was found is the newest version, and
								 * nobody was waited for */
	ECO_LOCKED_AGAIN,			/* locked, but what was read before may be of
								 * the past: renew the snapshot, read again */
	ECO_LOCK_BUSY,				/* not locked: somebody else has it, or it has
								 * changed (ECO_SKIP only) */
	ECO_LOCK_GONE				/* deleted meanwhile */
} EcoLock;

typedef enum EcoWait
{
	ECO_WAIT,
	ECO_SKIP
} EcoWait;

/* An empty row of the table: all columns null. */
extern void eco_row_init(EcoRow *row, EcoTable *table);

/* Set its digest, before the row is inserted. */
extern void eco_row_digest(EcoRow *row);

/* Whether its digest is not of its texts; *digest is what it should be. */
extern bool eco_row_digest_wrong(const EcoRow *row, int64 *digest);

/* The row with these values in the leading columns of the key, if any. */
extern bool eco_row_find(EcoTable *table, int64 user_id, int key, int nvalues,
						 const Datum *values, EcoRow *row);

/*
 * The same for many, with a scan that is kept from one to the next: NULL at first, and
 * ended by the caller before the snapshot is renewed.
 */
extern bool eco_row_find_next(EcoScan **kept, EcoTable *table, int64 user_id, int key,
							  int nvalues, const Datum *values, EcoRow *row);

/*
 * All rows with these values in the leading columns of the primary key, at most
 * ECO_MAX_GROUP; how many.  Where the caller knows how many there are, and so many are
 * where they were found last, no index is read, and they are in no order.
 */
extern int	eco_rows_find(EcoTable *table, int64 user_id, int nvalues, const Datum *values,
						  int known, EcoRow *rows);

/*
 * Which of n digests, ascending, the index of ECO_DIGESTED_KEY has of the user: no row has
 * another one.  One pass over all that it has between them.  False: that is not known.
 */
extern bool eco_digests_find(EcoTable *table, int64 user_id, const int64 *digests, int n,
							 bool *found);

/*
 * All digests that the index has of the user, ascending; how many.  -1: they are more than
 * most, or that is not known.
 */
extern int	eco_digests_read(EcoTable *table, int64 user_id, int64 *digests, int most);

/* All such rows, in the key's order; with no values, all rows. */
extern EcoScan *eco_scan_begin(EcoTable *table, int64 user_id, int key,
							   int nvalues, const Datum *values);

/* Of them those whose next key column, a bigint, is greater than after. */
extern EcoScan *eco_scan_begin_after(EcoTable *table, int64 user_id, int key,
									 int nvalues, const Datum *values, int64 after);

/* Those that are less than before, the last one first. */
extern EcoScan *eco_scan_begin_before(EcoTable *table, int64 user_id, int key,
									  int nvalues, const Datum *values, int64 before);
extern bool eco_scan_next(EcoScan *scan, EcoRow *row);

/* Told of a row: the values of the table's columns, which do not outlive the call. */
typedef void (*EcoRowSeen) (void *state, const Datum *values, const bool *isnull);

/*
 * Tell of all rows that the active snapshot sees, in the order in which they lie.  False
 * when there is no direct way: nothing is told then.
 */
extern bool eco_rows_visit(EcoTable *table, EcoRowSeen seen, void *state);

/* Begin the scan again with other values, under the same snapshot. */
extern void eco_scan_again(EcoScan *scan, const Datum *values);
extern void eco_scan_end(EcoScan *scan);

/*
 * Lock a found row FOR NO KEY UPDATE, until the end of the transaction.
 * Raises 40001 above READ COMMITTED when a newer version exists.
 */
extern EcoLock eco_row_lock(EcoRow *row, int64 user_id, EcoWait wait);

/* Raise 40001: this table, or a row of it, is newer than the transaction. */
ECO_NORETURN extern void eco_serialization_failure(const EcoTable *table);

/*
 * Write the mutable columns of a locked row.  Raises 27000 when it is no longer the
 * version that was read: user code (a trigger, a CHECK) ran in between and changed it.
 */
extern void eco_row_update(EcoRow *row, int64 user_id);

/*
 * The same for a row that is_free and is not locked.  False, and nothing is written, when
 * it is not the newest version by now, or somebody else has it: nobody is waited for.
 */
extern bool eco_row_try_update(EcoRow *row, int64 user_id);

/* Raise that 27000. */
ECO_NORETURN extern void eco_row_moved(const EcoTable *table);

extern void eco_row_insert(EcoRow *row, int64 user_id);

/* Whether the version that was read is of another transaction than this one. */
extern bool eco_row_is_committed(const EcoRow *row, int64 user_id);

/*
 * The same for n rows of one table, cheaper than one by one; user_id is that of the first.
 * Rows of several users come from a table whose key begins with the user.
 */
extern void eco_rows_insert(EcoRow **rows, int n, int64 user_id);

/*
 * Delete n rows of one table, in the versions that were read under the active snapshot,
 * which nobody else may change: the caller holds a lock that says so.  Of each the key
 * and the version are asked, and no index is read.
 */
extern void eco_rows_delete(EcoRow **rows, int n, int64 user_id);

/* A bytea Datum of these bytes, palloc'd. */
extern Datum eco_bytea(const uint8 *bytes, size_t len);

/* The same in hexadecimal. */
extern char *eco_hex(const uint8 *bytes, size_t len);

/* OID of a relation of schema economy; raises when the extension is not there. */
extern Oid	eco_table_oid(const char *name);

/* The same for a table, in whichever of the two schemas. */
extern Oid	eco_oid_of(const EcoTable *table);

/* Whether the table is there. */
extern bool eco_table_exists(const EcoTable *table);

/* Whether the innermost call that is open has opened it. */
extern bool eco_table_is_open(const EcoTable *table);

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
