/*
 * level.c
 *		Levels: the linear curve, curves from a table, and which one a user has.
 *
 * A user's arm is decided by a hash of user and experiment, so it needs no
 * stored assignment and is the same on every node and after every restore.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "errors.h"
#include "ledger/args.h"
#include "ledger/journal.h"
#include "ledger/level.h"
#include "ledger/rows.h"

#define LINEAR_XP_PER_LEVEL 500 /* level = floor(xp / 500) + 1 */
#define LINEAR_TOP_LEVEL PG_INT32_MAX	/* it ends there, as every curve ends */
#define SHARE_UNITS 10000		/* shares are in hundredths of a percent */

enum
{
	CRV_CURVE,
	CRV_LEVEL,
	CRV_XP,
	CRV_COLUMNS
};

EcoTable	eco_level_curves = {
	.name = "level_curves",
	.only_read = true,
	.ncolumns = CRV_COLUMNS,
	.columns = {
		{"curve", TEXTOID, false},
		{"level", INT4OID, false},
		{"xp", INT8OID, false},
	},
	.nkeys = 1,
	.keys = {{2, {CRV_CURVE, CRV_LEVEL}}},
};

enum
{
	EXP_EXPERIMENT,
	EXP_ARM,
	EXP_CURVE,
	EXP_SHARE,
	EXP_ENABLED,
	EXP_COLUMNS
};

/*
 * One row per arm; `enabled` is the same in all rows of an experiment.  The curve of who is in
 * no arm is that of these names.  An experiment might have this one in release 0.2.0, whose
 * update asks for another.
 */
#define EVERYBODY "*"
#define EVERYBODYS_ARM "all"

EcoTable	eco_level_experiments = {
	.name = "level_experiments",
	.only_read = true,
	.ncolumns = EXP_COLUMNS,
	.columns = {
		{"experiment", TEXTOID, false},
		{"arm", TEXTOID, false},
		{"curve", TEXTOID, false},
		{"share", INT4OID, false},
		{"enabled", BOOLOID, false},
	},
	.nkeys = 1,
	.keys = {{2, {EXP_EXPERIMENT, EXP_ARM}}},
};

EcoTable   *const eco_level_tables[] = {ECO_LEVEL_TABLES, NULL};

PG_FUNCTION_INFO_V1(eco_level_for);
PG_FUNCTION_INFO_V1(eco_level_of);

EcoLevel
eco_level_at(const char *curve, int64 xp)
{
	EcoLevel	at = {1, xp, -1};
	Datum		key;
	EcoScan    *scan;
	EcoRow		row;
	bool		known = false;

	if (strcmp(curve, ECO_LINEAR_CURVE) == 0)
	{
		at.level = (int32) Min(xp / LINEAR_XP_PER_LEVEL + 1, LINEAR_TOP_LEVEL);
		at.xp_into_level = xp - LINEAR_XP_PER_LEVEL * ((int64) at.level - 1);
		if (at.level < LINEAR_TOP_LEVEL)
			at.xp_to_next = LINEAR_XP_PER_LEVEL - at.xp_into_level;
		return at;
	}
	key = CStringGetTextDatum(curve);
	scan = eco_scan_begin(&eco_level_curves, 0, 0, 1, &key);
	while (eco_scan_next(scan, &row))
	{
		known = true;
		if (eco_row_int(&row, CRV_XP) > xp)
		{
			at.xp_to_next = eco_row_int(&row, CRV_XP) - xp;
			break;
		}
		at.level = DatumGetInt32(row.values[CRV_LEVEL]);
		at.xp_into_level = xp - eco_row_int(&row, CRV_XP);
	}
	eco_scan_end(scan);
	if (!known)
		ECO_ERROR(ECO_UNKNOWN_CURVE,
				  errmsg("level curve \"%s\" does not exist", curve),
				  errhint("economy.set_level_curve() makes one; \"linear\" is always there."));
	return at;
}

const char *
eco_level_curve_of(int64 user_id)
{
	EcoScan    *scan = eco_scan_begin(&eco_level_experiments, 0, 0, 0, NULL);
	EcoRow		row;
	char	   *experiment = NULL;
	const char *curve = NULL;
	const char *everybodys = ECO_LINEAR_CURVE;
	int32		ticket = 0;
	int32		upto = 0;

	while (curve == NULL && eco_scan_next(scan, &row))
	{
		char	   *name;

		if (!DatumGetBool(row.values[EXP_ENABLED]))
			continue;
		name = TextDatumGetCString(row.values[EXP_EXPERIMENT]);
		if (strcmp(name, EVERYBODY) == 0 &&
			strcmp(TextDatumGetCString(row.values[EXP_ARM]), EVERYBODYS_ARM) == 0)
		{
			everybodys = TextDatumGetCString(row.values[EXP_CURVE]);
			continue;
		}
		if (experiment == NULL || strcmp(experiment, name) != 0)
		{
			experiment = name;
			ticket = (int32) (hash_bytes_extended((unsigned char *) name, (int) strlen(name),
												  (uint64) user_id) % SHARE_UNITS);
			upto = 0;
		}
		upto += DatumGetInt32(row.values[EXP_SHARE]);
		if (ticket < upto)
			curve = TextDatumGetCString(row.values[EXP_CURVE]);
	}
	eco_scan_end(scan);
	return curve != NULL ? curve : everybodys;
}

/* Often one look-up does. */
static EcoLevelStep
step_to(int64 user_id, int64 xp_delta, int64 xp)
{
	const char *curve = eco_level_curve_of(user_id);
	EcoLevelStep step;

	step.after = eco_level_at(curve, xp).level;
	step.before = xp_delta == 0 ? step.after : eco_level_at(curve, xp - xp_delta).level;
	return step;
}

int32
eco_level_change(const EcoRow *row, int32 *before)
{
	EcoLevelStep step = step_to(eco_row_int(row, ECO_COL_USER_ID),
								eco_row_int(row, ECO_COL_XP_DELTA), eco_row_int(row, ECO_COL_XP));

	*before = step.before;
	return step.after;
}

EcoLevelStep
eco_level_detail(EcoDetail *detail, const EcoRow *row)
{
	return eco_level_foretold(detail, eco_row_int(row, ECO_COL_USER_ID),
							  eco_row_int(row, ECO_COL_XP_DELTA), eco_row_int(row, ECO_COL_XP));
}

EcoLevelStep
eco_level_foretold(EcoDetail *detail, int64 user_id, int64 xp_delta, int64 xp)
{
	EcoLevelStep step = step_to(user_id, xp_delta, xp);

	eco_detail_int(detail, "xp_delta", xp_delta);
	eco_detail_int(detail, "experience_points", xp);
	eco_detail_int(detail, "level", step.after);
	eco_detail_bool(detail, "leveled_up", step.after > step.before);
	return step;
}

static int64
xp_arg(FunctionCallInfo fcinfo, int argno)
{
	int64		xp;

	eco_require_arg(fcinfo, argno, "xp");
	xp = PG_GETARG_INT64(argno);
	if (xp < 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("xp must be 0 or more"));
	return xp;
}

/*
 * eco_level_for(xp bigint, curve text) returns int
 */
Datum
eco_level_for(PG_FUNCTION_ARGS)
{
	int64		xp = xp_arg(fcinfo, 0);
	EcoText		curve = eco_text_arg(fcinfo, 1, "curve", ECO_MAX_NAME);
	EcoOpenTables *open = eco_tables_open(ECO_READ, eco_level_tables);
	EcoLevel	at;

	at = eco_level_at(pnstrdup(curve.data, curve.len), xp);
	eco_tables_close(open);
	PG_RETURN_INT32(at.level);
}

/*
 * eco_level_of(user_id bigint, xp bigint)
 *		returns (curve text, level int, xp_into_level bigint, xp_to_next bigint)
 */
Datum
eco_level_of(PG_FUNCTION_ARGS)
{
	EcoResult	result;
	int64		xp = xp_arg(fcinfo, 1);
	EcoOpenTables *open;
	const char *curve;
	EcoLevel	at;

	eco_require_arg(fcinfo, 0, "user_id");
	eco_result_begin(&result, fcinfo, "till");
	open = eco_tables_open(ECO_READ, eco_level_tables);
	curve = eco_level_curve_of(PG_GETARG_INT64(0));
	at = eco_level_at(curve, xp);
	eco_tables_close(open);
	eco_result_text(&result, 0, curve);
	eco_result_set(&result, 1, Int32GetDatum(at.level));
	eco_result_set(&result, 2, Int64GetDatum(at.xp_into_level));
	if (at.xp_to_next >= 0)
		eco_result_set(&result, 3, Int64GetDatum(at.xp_to_next));
	return eco_result_row(&result);
}
