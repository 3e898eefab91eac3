/*
 * flush.c
 *		On disk before it is told.
 *
 * What a snapshot sees may not be on disk yet: with economy.async_commit, or in
 * sessions that have set synchronous_commit to off, a commit does not wait.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"

#include "realtime/flush.h"

void
eco_flush_all(void)
{
	XLogRecPtr	end;

	if (RecoveryInProgress())
		return;

	/*
	 * right behind a page's header the last record ended with the page
	 * before; further on its end can be all that is on this page
	 */
	end = GetXLogInsertRecPtr();
	if (XLogSegmentOffset(end, wal_segment_size) == SizeOfXLogLongPHD)
		end -= SizeOfXLogLongPHD;
	else if (end % XLOG_BLCKSZ == SizeOfXLogShortPHD)
		end -= SizeOfXLogShortPHD;
	XLogFlush(end);
}

XLogRecPtr
eco_commit_place(uint64 xid)
{
	return TransactionIdGetCommitLSN(XidFromFullTransactionId(FullTransactionIdFromU64(xid)));
}
