/*
 * progress.c
 *		Progress of long work, for people who look: it stands in the "query" column
 *		of pg_stat_activity while the work runs, and economy.progress() reads it.
 *
 * This needs no shared memory of ours, so it works without preloading.
 */
#include "postgres.h"

#include "fmgr.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"

#include "ledger/args.h"

PG_FUNCTION_INFO_V1(eco_report_progress);

/*
 * eco_report_progress(task text, done bigint, total bigint) returns void
 *		A null task puts the statement back.
 */
Datum
eco_report_progress(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		pgstat_report_activity(STATE_RUNNING, debug_query_string);
	else
	{
		EcoText		task = eco_text_arg(fcinfo, 0, "task", ECO_MAX_NAME);

		eco_require_arg(fcinfo, 1, "done");
		eco_require_arg(fcinfo, 2, "total");
		pgstat_report_activity(STATE_RUNNING,
							   psprintf("economy progress: %.*s %lld of %lld", task.len, task.data,
										(long long) PG_GETARG_INT64(1),
										(long long) PG_GETARG_INT64(2)));
	}
	PG_RETURN_VOID();
}
