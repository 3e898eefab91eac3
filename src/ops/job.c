/*
 * job.c
 *		What SQL cannot ask: whether a procedure that commits may begin.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"

PG_FUNCTION_INFO_V1(eco_outside_transaction);

/*
 * eco_outside_transaction() returns void
 *		Inside a transaction block, the error of statements like VACUUM.
 */
Datum
eco_outside_transaction(PG_FUNCTION_ARGS)
{
	PreventInTransactionBlock(true, "economy.run_job()");
	PG_RETURN_VOID();
}
