/*
 * anomaly.c
 *		SQL faces of core/probability.h, for economy.win_rate_anomalies().
 */
#include "postgres.h"

#include "fmgr.h"

#include "core/probability.h"
#include "errors.h"
#include "ledger/args.h"
#include "ledger/result.h"

PG_FUNCTION_INFO_V1(eco_wilson_interval);
PG_FUNCTION_INFO_V1(eco_binomial_tail);

static void
trials_args(FunctionCallInfo fcinfo, int64 *wins, int64 *n)
{
	eco_require_arg(fcinfo, 0, "wins");
	eco_require_arg(fcinfo, 1, "n");
	*wins = PG_GETARG_INT64(0);
	*n = PG_GETARG_INT64(1);
	if (*n < 1 || *wins < 0 || *wins > *n)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("wins must be from 0 to n, and n at least 1"));
}

/*
 * eco_wilson_interval(wins bigint, n bigint) returns (lower, upper double precision)
 */
Datum
eco_wilson_interval(PG_FUNCTION_ARGS)
{
	EcoResult	result;
	int64		wins;
	int64		n;
	double		lower;
	double		upper;

	trials_args(fcinfo, &wins, &n);
	eco_result_begin(&result, fcinfo, "ff");
	eco_wilson(wins, n, ECO_Z_95, &lower, &upper);
	eco_result_set(&result, 0, Float8GetDatum(lower));
	eco_result_set(&result, 1, Float8GetDatum(upper));
	return eco_result_row(&result);
}

/*
 * eco_binomial_tail(wins bigint, n bigint, p double precision) returns double precision
 */
Datum
eco_binomial_tail(PG_FUNCTION_ARGS)
{
	int64		wins;
	int64		n;
	double		p;

	trials_args(fcinfo, &wins, &n);
	eco_require_arg(fcinfo, 2, "p");
	p = PG_GETARG_FLOAT8(2);
	if (!(p >= 0 && p <= 1))
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("p must be from 0 to 1"));
	PG_RETURN_FLOAT8(eco_binomial_upper_tail(wins, n, p));
}
