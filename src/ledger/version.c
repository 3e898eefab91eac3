/*
 * version.c
 *		Which release the library is of, and what to do when its objects are of another.
 *
 * A preloaded library stays what it was until the server restarts, whatever
 * was installed meanwhile.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "ledger/version.h"

PG_FUNCTION_INFO_V1(eco_library_version);

static char *installed_version(void);

/* eco_library_version() returns text */
Datum
eco_library_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(ECO_RELEASE));
}

const char *
eco_version_hint(void)
{
	char	   *installed = installed_version();

	if (installed == NULL || strcmp(installed, ECO_RELEASE) == 0)
		return "An object of the extension was changed or is missing; see economy.audit_schema().";
	return psprintf("The library that this session has loaded is of version %s, "
					"the extension of version %s. "
					"Restart the server if the library is preloaded, or connect again; "
					"then, if the extension is the older one, run ALTER EXTENSION economy UPDATE.",
					ECO_RELEASE, installed);
}

/* What pg_extension says; NULL without the extension. */
static char *
installed_version(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *result = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("economy"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		version = heap_getattr(tuple, Anum_pg_extension_extversion,
										   RelationGetDescr(rel), &isnull);

		result = isnull ? NULL : TextDatumGetCString(version);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}
