/*
 * rows_spread.c
 *		Tables that are spread over hash partitions by user_id (economy.journal_partitions).
 *
 * A call for one user locks the table and that user's partition, and goes to the rows
 * of the partition directly; the others it does not touch.  Which one that is, is asked
 * of the server's own hash.  They are locked before the snapshot is taken (I10), and
 * opened when their first row is asked for.
 *
 * Partitions of any other kind, foreign ones or such that are divided again, take the SQL
 * way as whatever inherits.
 */
#include "postgres.h"

#include "partitioning/partbounds.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "errors.h"
#include "ledger/rows_private.h"
#include "settings.h"

/* The number of the user's partition, or -1. */
static int
home_of(EcoSpread *spread, int64 user_id)
{
	Datum		value = Int64GetDatum(user_id);
	bool		isnull = false;
	uint64		hash = compute_partition_hash_value(1, &spread->hash, &spread->collation, &value,
													&isnull);

	return spread->homes[hash % (uint64) spread->nhomes];
}

/* All in the order of their OIDs, as the server does. */
static int
compare_oids(const void *a, const void *b)
{
	Oid			x = *(const Oid *) a;
	Oid			y = *(const Oid *) b;

	return x == y ? 0 : x < y ? -1 : 1;
}

static void
lock_all(const EcoSpread *spread, LOCKMODE mode)
{
	Oid		   *oids = palloc(sizeof(Oid) * spread->nparts);

	memcpy(oids, spread->oids, sizeof(Oid) * spread->nparts);
	qsort(oids, spread->nparts, sizeof(Oid), compare_oids);
	for (int i = 0; i < spread->nparts; i++)
		LockRelationOid(oids[i], mode);
	pfree(oids);
}

void
eco_spread_lock(EcoOpenTable *whole, int64 user_id)
{
	EcoSpread  *spread = whole->cache->spread;

	whole->owner = CurrentResourceOwner;
	whole->parts = NULL;
	whole->part = NULL;
	whole->locked = user_id == ECO_ALL_USERS ? -1 : home_of(spread, user_id);
	if (whole->locked >= 0)
		LockRelationOid(spread->oids[whole->locked], whole->mode);
	else
		lock_all(spread, whole->mode);
}

static inline bool
is_locked(const EcoOpenTable *whole, int part)
{
	return whole->locked < 0 || whole->locked == part;
}

bool
eco_spread_is_newer(const EcoOpenTable *whole, Snapshot snapshot)
{
	const EcoSpread *spread = whole->cache->spread;

	for (int i = 0; i < spread->nparts; i++)
		if (is_locked(whole, i) && eco_relation_is_newer(spread->oids[i], snapshot))
			return true;
	return false;
}

bool
eco_spread_is_plain(const EcoOpenTable *whole)
{
	for (int i = 0; i < whole->cache->spread->nparts; i++)
		if (is_locked(whole, i) && !eco_part_cache(whole->table, whole->cache, i)->direct)
			return false;
	return true;
}

/*
 * A call for one user has come upon another one: nothing that it reads there may be
 * older than the lock.
 */
static void
lock_late(const EcoOpenTable *whole, int part)
{
	Oid			relid = whole->cache->spread->oids[part];

	LockRelationOid(relid, whole->mode);
	if (eco_relation_is_newer(relid, GetActiveSnapshot()))
		eco_serialization_failure(whole->table);
}

/* As long as the table is open, whatever becomes of a savepoint within. */
EcoOpenTable *
eco_spread_part(EcoOpenTable *whole, int number)
{
	EcoSpread  *spread = whole->cache->spread;
	ResourceOwner owner = CurrentResourceOwner;
	EcoOpenTable *part;

	if (whole->parts == NULL)
		whole->parts = MemoryContextAllocZero(TopTransactionContext,
											  sizeof(EcoOpenTable *) * spread->nparts);
	if (whole->parts[number] != NULL)
		return whole->parts[number];
	CurrentResourceOwner = whole->owner;
	if (!is_locked(whole, number))
		lock_late(whole, number);
	part = MemoryContextAllocZero(TopTransactionContext, sizeof(EcoOpenTable));
	part->table = whole->table;
	part->mode = whole->mode;
	part->cache = eco_part_cache(whole->table, whole->cache, number);
	part->direct = part->cache->direct && eco_row_access != ECO_ROW_ACCESS_SQL;
	part->rel = RelationIdGetRelation(spread->oids[number]);
	CurrentResourceOwner = owner;
	if (part->rel == NULL)
		ECO_ERROR(ECO_SCHEMA_DAMAGED,
				  errmsg("a partition of table %s.%s was dropped", eco_schema_of(whole->table),
						 whole->table->name));
	whole->parts[number] = part;
	return part;
}

EcoOpenTable *
eco_spread_part_of(EcoOpenTable *whole, int64 user_id)
{
	int			number;

	if (whole->part != NULL && whole->user_id == user_id)
		return whole->part;
	number = home_of(whole->cache->spread, user_id);
	if (number < 0)
		ECO_ERROR(ECO_SCHEMA_DAMAGED,
				  errmsg("table %s.%s has no partition for user %lld",
						 eco_schema_of(whole->table), whole->table->name, (long long) user_id),
				  errhint("Attach the one that was detached; "
						  "economy.audit_schema() tells which."));
	whole->part = eco_spread_part(whole, number);
	whole->user_id = user_id;
	return whole->part;
}

void
eco_spread_close(EcoOpenTable *whole)
{
	ResourceOwner owner = CurrentResourceOwner;

	CurrentResourceOwner = whole->owner;
	for (int i = 0; whole->parts != NULL && i < whole->cache->spread->nparts; i++)
		if (whole->parts[i] != NULL)
			RelationClose(whole->parts[i]->rel);
	CurrentResourceOwner = owner;
	eco_spread_forget(whole);
}

/* What is left where a savepoint was rolled back, which has closed the relations. */
void
eco_spread_forget(EcoOpenTable *whole)
{
	if (whole->parts == NULL)
		return;
	for (int i = 0; i < whole->cache->spread->nparts; i++)
		if (whole->parts[i] != NULL)
			pfree(whole->parts[i]);
	pfree(whole->parts);
	whole->parts = NULL;
	whole->part = NULL;
}
