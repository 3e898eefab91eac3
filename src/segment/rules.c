/*
 * rules.c
 *		SQL face of core/rules.h.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"

#include "core/rules.h"
#include "errors.h"
#include "ledger/args.h"
#include "ledger/result.h"

PG_FUNCTION_INFO_V1(eco_segment_rules_gap);

enum
{
	GAP_BOUGHT,
	GAP_RECENCY,
	GAP_FREQUENCY,
	GAP_MONETARY,
	GAP_P60,
	GAP_P95
};

StaticAssertDecl(sizeof(EcoRuleSource) == ECO_RULE_WORDS * sizeof(int64), "no padding");

static void
look_up(void)
{
	CHECK_FOR_INTERRUPTS();
}

/*
 * eco_segment_rules_gap(rules bigint[], window_days integer, recency_clamp integer)
 *		returns (bought, recency, frequency, monetary, p60, p95)
 *		A user that no rule matches; null when there can be none.
 */
Datum
eco_segment_rules_gap(PG_FUNCTION_ARGS)
{
	int64		window = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1);
	int64		clamp = PG_ARGISNULL(2) ? ECO_NO_RECENCY : PG_GETARG_INT32(2);
	ArrayType  *words;
	EcoRuleCase gap;
	EcoResult	result;
	int			nwords;

	eco_require_arg(fcinfo, 0, "rules");
	words = PG_GETARG_ARRAYTYPE_P(0);
	nwords = ARR_NDIM(words) == 1 && !ARR_HASNULL(words) ? ARR_DIMS(words)[0] : 0;
	if (nwords == 0 || nwords % ECO_RULE_WORDS != 0 || nwords > ECO_RULE_WORDS * ECO_RULES_MAX)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("rules must be an array of %d numbers for each of 1 to %d rules",
						 ECO_RULE_WORDS, ECO_RULES_MAX));
	if (!eco_rules_gap((const EcoRuleSource *) ARR_DATA_PTR(words), nwords / ECO_RULE_WORDS,
					   window, clamp, look_up, palloc(eco_rule_sets_size), &gap))
		PG_RETURN_NULL();
	eco_result_begin(&result, fcinfo, "blllll");
	eco_result_set(&result, GAP_BOUGHT, BoolGetDatum(gap.bought));
	eco_result_set(&result, GAP_RECENCY, Int64GetDatum(gap.recency));
	eco_result_set(&result, GAP_FREQUENCY, Int64GetDatum(gap.frequency));
	eco_result_set(&result, GAP_MONETARY, Int64GetDatum(gap.monetary));
	if (gap.measured)
	{
		eco_result_set(&result, GAP_P60, Int64GetDatum(gap.p60));
		eco_result_set(&result, GAP_P95, Int64GetDatum(gap.p95));
	}
	return eco_result_row(&result);
}
