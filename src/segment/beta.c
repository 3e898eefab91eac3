/*
 * beta.c
 *		SQL faces of core/beta.h.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "utils/array.h"

#include "core/beta.h"
#include "errors.h"
#include "ledger/args.h"

#define MAX_ARMS	ECO_BETA_ARMS
#define MAX_SHAPE	ECO_BETA_SHAPE

PG_FUNCTION_INFO_V1(eco_beta_quantile_sql);
PG_FUNCTION_INFO_V1(eco_beta_shares_sql);

static void
check_shape(double value, double least)
{
	if (!(value >= least && value <= MAX_SHAPE))
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("a and b must be from %g to %g", least, MAX_SHAPE));
}

/*
 * eco_beta_quantile_sql(p, a, b double precision) returns double precision
 */
Datum
eco_beta_quantile_sql(PG_FUNCTION_ARGS)
{
	double		p;

	eco_require_arg(fcinfo, 0, "p");
	eco_require_arg(fcinfo, 1, "a");
	eco_require_arg(fcinfo, 2, "b");
	p = PG_GETARG_FLOAT8(0);
	if (!(p >= 0 && p <= 1))
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("p must be from 0 to 1"));
	check_shape(PG_GETARG_FLOAT8(1), 1e-3);
	check_shape(PG_GETARG_FLOAT8(2), 1e-3);
	PG_RETURN_FLOAT8(eco_beta_quantile(p, PG_GETARG_FLOAT8(1), PG_GETARG_FLOAT8(2)));
}

/* The numbers of an array argument. */
static const double *
shapes_arg(FunctionCallInfo fcinfo, int argno, const char *name, int *n)
{
	ArrayType  *array;
	const double *values;

	eco_require_arg(fcinfo, argno, name);
	array = PG_GETARG_ARRAYTYPE_P(argno);
	if (ARR_NDIM(array) != 1 || ARR_HASNULL(array) || ARR_DIMS(array)[0] > MAX_ARMS)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("%s must be an array of 1 to %d numbers", name, MAX_ARMS));
	*n = ARR_DIMS(array)[0];
	values = (const double *) ARR_DATA_PTR(array);
	for (int i = 0; i < *n; i++)
		check_shape(values[i], 1);
	return values;
}

/*
 * eco_beta_shares_sql(a, b double precision[]) returns double precision[]
 */
Datum
eco_beta_shares_sql(PG_FUNCTION_ARGS)
{
	int			na;
	int			nb;
	const double *a = shapes_arg(fcinfo, 0, "a", &na);
	const double *b = shapes_arg(fcinfo, 1, "b", &nb);

	/* the last answer: what all users of a day ask for takes a millisecond */
	static int	n = 0;
	static double last_a[MAX_ARMS];
	static double last_b[MAX_ARMS];
	static double shares[MAX_ARMS];
	const size_t size = sizeof(double) * (size_t) na;
	Datum		values[MAX_ARMS];

	if (na != nb)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("a and b must have the same length"));
	if (n != na || memcmp(a, last_a, size) != 0 || memcmp(b, last_b, size) != 0)
	{
		eco_beta_shares(na, a, b, shares);
		memcpy(last_a, a, size);
		memcpy(last_b, b, size);
		n = na;
	}
	for (int i = 0; i < na; i++)
		values[i] = Float8GetDatum(shares[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(values, na, FLOAT8OID, sizeof(float8),
										  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
