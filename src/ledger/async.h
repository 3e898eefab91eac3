/*
 * async.h
 *		Which transactions may commit without waiting for the disk.
 */
#ifndef ECO_ASYNC_H
#define ECO_ASYNC_H

#include "postgres.h"

#include "ledger/journal.h"

extern void eco_async_install(void);

/* Around the outermost tables that are open: what is written in between is a call's. */
extern void eco_async_enter(void);
extern void eco_async_leave(bool may_write);

/* The transaction has made an entry of this journal. */
extern void eco_async_note(const EcoJournal *journal);

/*
 * The commit is to wait for the disk, whatever is set: it tells of entries, and
 * nothing that is told may be gone after a crash.
 */
extern void eco_async_forbid(void);

#endif
