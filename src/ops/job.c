/*
 * job.c
 *		Runs a job: batch after batch, each in a transaction of its own, as the
 *		owner of the extension.
 *
 * What a job does and how its runs are noted is SQL (schedule.sql).  Two things
 * SQL cannot: commit in a procedure that does not run as its caller, and keep
 * a lock across the commits so that two runs of a job never meet.  The session
 * has that lock until the run ends or its transaction aborts; who gets it
 * finds no other run at work.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "errors.h"
#include "ledger/args.h"
#include "ledger/lock.h"
#include "ledger/rows.h"

PG_FUNCTION_INFO_V1(eco_run_job);

static char *ask(const char *sql, int nargs, Oid *types, Datum *args);
static void commit(void);
static bool lock_job(const EcoText *job);
static void unlock_job(void);
static void forget_job(XactEvent event, void *arg);

static LOCKTAG job_lock;
static bool has_job_lock = false;

/* eco_run_job(job text, INOUT state text) */
Datum
eco_run_job(PG_FUNCTION_ARGS)
{
	CallContext *context = (CallContext *) fcinfo->context;
	EcoText		job = eco_text_arg(fcinfo, 0, "job", ECO_MAX_NAME);
	MemoryContext caller = CurrentMemoryContext;
	Oid			begin_types[] = {TEXTOID, BOOLOID};
	Oid			do_types[] = {INT8OID};
	Datum		args[2];
	char	   *run;
	char	   *state = "skipped";
	TupleDesc	type;
	bool		is_null = false;

	PreventInTransactionBlock(context != NULL && !context->atomic, "economy.run_job()");
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	args[0] = PointerGetDatum(cstring_to_text_with_len(job.data, job.len));
	commit();
	args[1] = BoolGetDatum(lock_job(&job));
	run = ask("SELECT economy_internal.begin_job($1, $2)", 2, begin_types, args);
	commit();
	if (run != NULL)
	{
		args[0] = Int64GetDatum(strtoll(run, NULL, 10));
		do
		{
			state = ask("SELECT economy_internal.do_job($1)", 1, do_types, args);
			commit();
		} while (strcmp(state, "running") == 0);
	}
	unlock_job();
	state = MemoryContextStrdup(caller, state);
	SPI_finish();

	(void) get_call_result_type(fcinfo, NULL, &type);
	args[0] = CStringGetTextDatum(state);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(type), args, &is_null)));
}

/* The answer of a function of schedule.sql that runs as the owner; NULL for null. */
static char *
ask(const char *sql, int nargs, Oid *types, Datum *args)
{
	Oid			user;
	int			security_context;
	char	   *answer;

	CHECK_FOR_INTERRUPTS();
	GetUserIdAndSecContext(&user, &security_context);
	SetUserIdAndSecContext(eco_owner(), security_context | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_execute_with_args(sql, nargs, types, args, NULL, false, 1) != SPI_OK_SELECT)
		ECO_ERROR(ECO_SCHEMA_DAMAGED, errmsg("a job cannot be run"));
	answer = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	SetUserIdAndSecContext(user, security_context);
	return answer;
}

/* What a session's default isolation is does not matter: a batch is short. */
static void
commit(void)
{
	SPI_commit();
	XactIsoLevel = XACT_READ_COMMITTED;
}

static bool
lock_job(const EcoText *job)
{
	static bool registered = false;
	char	   *name = psprintf("economy.job:%.*s", job->len, job->data);

	if (!registered)
		RegisterXactCallback(forget_job, NULL);
	registered = true;
	eco_name_tag(&job_lock, name, (int) strlen(name));
	has_job_lock = LockAcquire(&job_lock, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
	return has_job_lock;
}

static void
unlock_job(void)
{
	if (has_job_lock)
		LockRelease(&job_lock, ExclusiveLock, true);
	has_job_lock = false;
}

/* A batch that fails is noted and does not abort: whatever does ends the run. */
static void
forget_job(XactEvent event, void *arg)
{
	(void) arg;
	if (event == XACT_EVENT_ABORT)
		unlock_job();
}
