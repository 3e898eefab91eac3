/*
 * compat.h
 *		Differences between PostgreSQL 15 and 18, in one place.
 */
#ifndef ECO_COMPAT_H
#define ECO_COMPAT_H

#include "postgres.h"

#include "access/genam.h"
#include "access/tableam.h"

#if PG_VERSION_NUM < 150000
#error "economy needs PostgreSQL 15 or newer"
#endif

/* before a declaration, as C11's own */
#if PG_VERSION_NUM >= 180000
#define ECO_NORETURN pg_noreturn
#else
#define ECO_NORETURN _Noreturn
#endif

#if PG_VERSION_NUM >= 180000
#define eco_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#else
#define eco_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#endif

/* PostgreSQL 16 made the "does an update need index entries" answer an enum. */
#if PG_VERSION_NUM >= 160000
typedef TU_UpdateIndexes EcoUpdateIndexes;
#define ECO_NEEDS_INDEX_ENTRIES(answer) ((answer) == TU_All)
#define ECO_NEEDS_SUMMARIES(answer) ((answer) == TU_Summarizing)
#else
typedef bool EcoUpdateIndexes;
#define ECO_NEEDS_INDEX_ENTRIES(answer) (answer)
#define ECO_NEEDS_SUMMARIES(answer) (false)
#endif

#if PG_VERSION_NUM >= 170000
#define eco_index_insert_cleanup(index, info) index_insert_cleanup(index, info)
#else
#define eco_index_insert_cleanup(index, info) ((void) 0)
#endif

/* PostgreSQL 17 took the check for "snapshot too old" out, and its argument. */
#if PG_VERSION_NUM >= 170000
#define eco_brin_revmap(index, range) brinRevmapInitialize(index, range)
#define eco_brin_tuple(revmap, block, buffer, offset) \
	brinGetTupleForHeapBlock(revmap, block, buffer, offset, NULL, BUFFER_LOCK_SHARE)
#else
#define eco_brin_revmap(index, range) brinRevmapInitialize(index, range, NULL)
#define eco_brin_tuple(revmap, block, buffer, offset) \
	brinGetTupleForHeapBlock(revmap, block, buffer, offset, NULL, BUFFER_LOCK_SHARE, NULL)
#endif

/* What the hook that checks a setting leaves, freed by guc.c, which changed allocators in 16. */
#if PG_VERSION_NUM >= 160000
#define eco_guc_alloc(size) guc_malloc(LOG, size)
#else
#define eco_guc_alloc(size) malloc(size)
#endif

/*
 * Whether an update of a heap may be asked not to wait.  No caller in the server does, and
 * one built to check assertions holds that none ever will; without them the answer is
 * TM_BeingModified.
 */
#ifdef USE_ASSERT_CHECKING
#define ECO_UPDATES_WITHOUT_WAIT false
#else
#define ECO_UPDATES_WITHOUT_WAIT true
#endif

#if PG_VERSION_NUM >= 170000
#define eco_my_lxid (MyProc->vxid.lxid)
#else
#define eco_my_lxid (MyProc->lxid)
#endif

#endif
