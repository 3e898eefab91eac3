/*
 * rows_private.h
 *		What rows.c and the rows_*.c below it share.
 */
#ifndef ECO_ROWS_PRIVATE_H
#define ECO_ROWS_PRIVATE_H

#include "ledger/rows.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/transam.h"
#include "access/xact.h"
#include "fmgr.h"
#include "nodes/execnodes.h"
#include "storage/buf.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"

#define ECO_MAX_INDEXES 8
#define ECO_PLACES 16			/* rows of a table whose place is known */
#define ECO_GROUPS 64			/* of rows, the same */

/* Where a row was found by its primary key: the beginning of its chain of versions. */
typedef struct EcoPlace
{
	uint64		hash;			/* of the key */
	ItemPointerData root;		/* invalid: nowhere */
} EcoPlace;

/* Where all rows whose primary key begins with the same values were found. */
typedef struct EcoGroup
{
	uint64		hash;			/* of these */
	int			n;
	ItemPointerData roots[ECO_MAX_GROUP];
} EcoGroup;

/* The partitions by hash of user_id that a table is spread over. */
typedef struct EcoSpread
{
	int			nparts;
	Oid		   *oids;
	struct EcoTableCache **caches;	/* of each, or NULL */
	int			nhomes;			/* remainders of a hash */
	int		   *homes;			/* the partition of each, or -1 */
	FmgrInfo	hash;
	Oid			collation;
	bool		plain;			/* nothing comes with a write but what the
								 * partition asks for */
} EcoSpread;

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
	bool		deletes_direct; /* to deletes too */
	bool		is_whole;		/* the next version needs nothing of the last */
	bool		has_children;	/* tables that inherit, or partitions of
								 * another kind than these: */
	EcoSpread  *spread;			/* or NULL */
	TransactionId changed_by;	/* wrote the row in pg_class; invalid: long
								 * ago */
	AttrNumber	attno[ECO_MAX_COLUMNS]; /* 0: it is ECO_LATER, and not there */
	uint32		lacking;		/* a bit for each of those */
	int16		typlen[ECO_MAX_COLUMNS];
	bool		typbyval[ECO_MAX_COLUMNS];
	Oid			key_index[ECO_MAX_KEYS];
	int			nindexes;
	Oid			index[ECO_MAX_INDEXES];
	IndexInfo  *index_info[ECO_MAX_INDEXES];
	TupleDesc	desc;			/* a private copy, not reference-counted */
	EState	   *estate;			/* for CHECK constraints; NULL while in use */
	ResultRelInfo *result_rel;	/* holds these compiled */
	EcoPlace	places[ECO_PLACES]; /* of a table that is only read */
	EcoGroup   *groups[ECO_GROUPS]; /* or NULL */
} EcoTableCache;

typedef struct EcoOpenTable
{
	EcoTable   *table;
	EcoTableCache *cache;		/* as of the opening: the locks keep it true */
	Relation	rel;
	LOCKMODE	mode;
	bool		direct;
	bool		is_spread;		/* the rest is of a table that is: */
	ResourceOwner owner;		/* of what is open */
	int			locked;			/* the one partition that is, or -1: all */
	struct EcoOpenTable **parts;	/* opened so far, or NULL */
	struct EcoOpenTable *part;	/* the last that was asked for, or NULL, */
	int64		user_id;		/* for this user */
} EcoOpenTable;

/* What one eco_tables_open() has opened. */
struct EcoOpenTables
{
	EcoAccess	access;
	int			level;			/* of the subtransaction that it belongs to */
	bool		has_inner;		/* another one to write was opened within it */
	bool		is_part;		/* of the one that it is opened within */
	int64		user_id;		/* whose rows, or ECO_ALL_USERS */
	int			ntables;
	EcoOpenTable tables[ECO_MAX_OPEN];
};

/* What the column behind those with values is asked for. */
typedef enum EcoBound
{
	ECO_UNBOUNDED,
	ECO_AFTER,					/* eco_scan_begin_after() */
	ECO_BEFORE					/* eco_scan_begin_before(): backwards */
} EcoBound;

struct EcoScan
{
	EcoTable   *table;
	EcoOpenTable *open;
	bool		direct;
	int			key;
	int			nvalues;
	Datum		values[ECO_MAX_KEY_COLUMNS];	/* of a key with a digest */
	EcoBound	bound;
	int64		limit;			/* that lies outside */
	int64		least;			/* the digests to look at */
	int64		most;

	MemoryContext context;		/* it began in: the index keeps memory there */

	/* direct way */
	Relation	index;
	IndexScanDesc desc;			/* NULL: the table has not one page */
	ScanKeyData keys[ECO_MAX_KEY_COLUMNS];
	Buffer		buffer;			/* pinned, or invalid */
	ItemPointerData root;		/* of the row last handed out, as the index
								 * has it */

	/* SQL way: a cursor, and the rows fetched from it but not handed out */
	Portal		portal;
	MemoryContext batch_context;
	EcoRow	   *batch;
	uint64		batch_rows;
	uint64		next;
};

/*
 * The resolver: which of the relations that the innermost eco_tables_open() has
 * opened holds this user's rows of the table; raises when none does.  Of a table that
 * is spread it is the user's partition.
 */
extern EcoOpenTable *eco_relation_for(const EcoTable *table, int64 user_id);

/* The table itself, as the innermost eco_tables_open() has opened it. */
extern EcoOpenTable *eco_whole_of(const EcoTable *table);

/* Whether the transaction, another one than ours, is newer than the snapshot. */
static inline bool
eco_is_newer(TransactionId xid, Snapshot snapshot)
{
	return TransactionIdIsNormal(xid) && !TransactionIdIsCurrentTransactionId(xid) &&
		XidInMVCCSnapshot(xid, snapshot);
}

/* Whether the relation's row in pg_class is newer than the snapshot. */
extern bool eco_relation_is_newer(Oid relid, Snapshot snapshot);

/* Lock the partition of the user, or all. */
extern void eco_spread_lock(EcoOpenTable *whole, int64 user_id);

/* Whether one of those that are locked was changed after the snapshot. */
extern bool eco_spread_is_newer(const EcoOpenTable *whole, Snapshot snapshot);

/* Whether the direct way is allowed to all of those. */
extern bool eco_spread_is_plain(const EcoOpenTable *whole);

/* A partition by its number, and that of a user. */
extern EcoOpenTable *eco_spread_part(EcoOpenTable *whole, int part);
extern EcoOpenTable *eco_spread_part_of(EcoOpenTable *whole, int64 user_id);
extern void eco_spread_close(EcoOpenTable *whole);
extern void eco_spread_forget(EcoOpenTable *whole);

/* Whether the scan's key is one with a digest, which stands for its texts. */
static inline bool
eco_scan_by_digest(const EcoScan *scan)
{
	return scan->key == ECO_DIGESTED_KEY && scan->nvalues > 1 && scan->table->digest != 0;
}

/* The digests that a key with these values, the user and one text or two, can have. */
extern void eco_digest_range(int nvalues, const Datum *values, int64 *least, int64 *most);

/* Whether the row has the texts that the scan is for, and not only their digest. */
extern bool eco_digest_meant(const EcoScan *scan, const EcoRow *row);

/* The columns that lead the key's index, as it stands for the key; how many. */
extern int	eco_key_in_index(const EcoTable *table, int key, int columns[ECO_MAX_KEY_COLUMNS]);

/* Facts about the table, looked up again when they may have changed. */
extern EcoTableCache *eco_table_cache(EcoTable *table);

/* The same about a partition of it. */
extern EcoTableCache *eco_part_cache(EcoTable *table, EcoTableCache *whole, int part);

/* Whether a call that writes must see this table's newest rows, above READ COMMITTED. */
extern bool eco_must_be_newest(const EcoTable *table);

/*
 * False when the key's index lacks rows that the snapshot sees, which SQL finds
 * elsewhere.
 */
extern bool eco_direct_scan_begin(EcoScan *scan, const Datum *values);

/* See eco_digests_find(). */
extern bool eco_direct_digests_find(EcoOpenTable *open, int64 user_id, const int64 *digests,
									int n, bool *found);

/* See eco_digests_read(). */
extern int	eco_direct_digests_read(EcoOpenTable *open, int64 user_id, int64 *digests, int most);

/*
 * The row with these values in its primary key, where it was found last; false when
 * another look is needed.  Only for a table that is only read, and all columns of
 * its primary key.
 */
extern bool eco_direct_find_again(EcoOpenTable *open, const Datum *values, EcoRow *row);

/* The n rows of a group, where they were found last; false when another look is needed. */
extern bool eco_direct_find_all_again(EcoOpenTable *open, int nvalues, const Datum *values,
									  int n, EcoRow *rows);

/* Keep where the scan has found that row. */
extern void eco_direct_found(EcoScan *scan, const Datum *values);
extern void eco_direct_scan_again(EcoScan *scan, const Datum *values);
extern bool eco_direct_scan_next(EcoScan *scan, EcoRow *row);
extern void eco_direct_scan_end(EcoScan *scan);

/* Whether the version that was read is still the newest that this transaction knows of. */
extern bool eco_direct_is_newest(Relation rel, const EcoRow *row);

extern EcoLock eco_direct_lock(EcoRow *row, EcoOpenTable *open, EcoWait wait);

/* False: it is not the newest version, or, when it is not locked, somebody else has it. */
extern bool eco_direct_update(EcoRow *row, EcoOpenTable *open, bool is_locked);
extern void eco_direct_insert(EcoRow **rows, int n, EcoOpenTable *open);
extern void eco_direct_delete(EcoRow **rows, int n, EcoOpenTable *open);

/* The version of such a row that the active snapshot sees; its page is pinned. */
extern bool eco_place_look(const EcoOpenTable *open, const Datum *values,
						   HeapTuple tuple, Buffer *buffer);
extern void eco_place_keep(const EcoOpenTable *open, const Datum *values, ItemPointer root);

/*
 * The places of a group of n rows, or NULL; what is at those of them that are on one page,
 * which is pinned, in the versions that the active snapshot sees: false when one is not
 * there.
 */
extern const EcoGroup *eco_group_look(const EcoOpenTable *open, int nvalues, const Datum *values,
									  int n);
extern bool eco_group_read(const EcoOpenTable *open, const ItemPointerData *roots, int n,
						   Buffer buffer, HeapTuple tuples);
extern void eco_group_keep(const EcoOpenTable *open, int nvalues, const Datum *values,
						   const ItemPointerData *roots, int n);

extern void eco_sql_scan_begin(EcoScan *scan, const Datum *values);
extern bool eco_sql_scan_next(EcoScan *scan, EcoRow *row);
extern void eco_sql_scan_end(EcoScan *scan);
extern EcoLock eco_sql_lock(EcoRow *row, EcoWait wait);
extern void eco_sql_update(EcoRow *row, Relation rel);
extern void eco_sql_insert(EcoRow *row);
extern void eco_sql_delete(EcoRow **rows, int n);

/* Raise that a value was to be written to a column that is not there. */
ECO_NORETURN extern void eco_column_lacks(const EcoTable *table, int column);

/* Raise that a write did not change the one row that it was to change. */
ECO_NORETURN extern void eco_row_not_one(const EcoTable *table, uint64 changed);

#endif
