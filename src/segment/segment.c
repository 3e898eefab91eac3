/*
 * segment.c
 *		segment(): the segment of a user.
 *
 * Its query is an SQL function, economy_internal.segment_seen().  What SQL cannot do
 * is done here: lock the tables first, and read under a snapshot that is no older.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "errors.h"
#include "ledger/entry.h"

PG_FUNCTION_INFO_V1(eco_segment);

/* Opened here, and read by the query alone, hence described without columns. */
static EcoTable user_segments = {.name = "user_segments", .only_read = true};
static EcoTable state = {.name = "rfm_state", .only_read = true};
static EcoTable snapshots = {.name = "rfm_snapshots", .only_read = true};

/* The query, looked up once per statement. */
static FmgrInfo *
query(FunctionCallInfo fcinfo)
{
	static const Oid types[] = {INT8OID};

	if (fcinfo->flinfo->fn_extra == NULL)
	{
		FmgrInfo   *info = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(FmgrInfo));
		Oid			schema = get_namespace_oid("economy_internal", true);
		oidvector  *arguments = buildoidvector(types, 1);

		/* not by LookupFuncName(): the caller may not use the schema */
		Oid			function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
											   CStringGetDatum("segment_seen"),
											   PointerGetDatum(arguments),
											   ObjectIdGetDatum(schema));

		if (!OidIsValid(function))
			ECO_ERROR(ECO_SCHEMA_DAMAGED,
					  errmsg("function economy_internal.segment_seen() does not exist"));
		fmgr_info_cxt(function, info, fcinfo->flinfo->fn_mcxt);
		fcinfo->flinfo->fn_extra = info;
	}
	return fcinfo->flinfo->fn_extra;
}

/*
 * eco_segment(user_id bigint) returns what economy_internal.segment_seen() does
 */
Datum
eco_segment(PG_FUNCTION_ARGS)
{
	static EcoTable *const tables[] = {&eco_accounts, &user_segments, &state, &snapshots, NULL};

	LOCAL_FCINFO(call, 1);
	EcoOpenTables *open;
	Datum		result;

	InitFunctionCallInfoData(*call, query(fcinfo), 1, InvalidOid, NULL, fcinfo->resultinfo);
	call->args[0] = fcinfo->args[0];
	open = eco_tables_open(ECO_READ, tables);
	result = FunctionCallInvoke(call);
	eco_tables_close(open);
	fcinfo->isnull = call->isnull;
	return result;
}
