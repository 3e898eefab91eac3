/*
 * pack.c
 *		Packing a user's purchases, one by one, into daily buckets (core/rfm.h).
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "ledger/args.h"
#include "segment/pack.h"

PG_FUNCTION_INFO_V1(eco_rfm_pack_add);
PG_FUNCTION_INFO_V1(eco_rfm_pack_end);

EcoPacking *
eco_packing_make(void)
{
	EcoPacking *packing = palloc(sizeof(EcoPacking));

	packing->n = 0;
	packing->room = 4;
	packing->buckets = palloc(packing->room * sizeof(EcoBucket));
	return packing;
}

void
eco_packing_add(EcoPacking *packing, int64 at, int64 monetary, int64 seq)
{
	EcoBucket	bucket = eco_bucket_of(at, monetary, seq);
	int64		day = eco_utc_day(at);
	size_t		place = packing->n;

	if (!eco_bucket_fits(at, seq))
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("a purchase must have a finite time and an entry number"));
	while (place > 0 && eco_utc_day(packing->buckets[place - 1].first_at) > day)
		place--;
	if (place > 0 && eco_utc_day(packing->buckets[place - 1].first_at) == day)
	{
		eco_bucket_join(&packing->buckets[place - 1], &bucket);
		return;
	}
	if (packing->n == packing->room)
	{
		packing->room *= 2;
		packing->buckets = repalloc(packing->buckets, packing->room * sizeof(EcoBucket));
	}
	memmove(&packing->buckets[place + 1], &packing->buckets[place],
			(packing->n - place) * sizeof(EcoBucket));
	packing->buckets[place] = bucket;
	packing->n++;
}

bytea *
eco_packing_end(EcoPacking *packing)
{
	bytea	   *packed = palloc(VARHDRSZ + packing->n * ECO_BUCKET_MAX);
	EcoBucketWriter writer;

	eco_buckets_write(&writer, (uint8 *) VARDATA(packed));
	while (packing->n > 0)
		eco_buckets_add(&writer, &packing->buckets[--packing->n]);
	SET_VARSIZE(packed, writer.at - (uint8 *) packed);
	return packed;
}

/*
 * eco_rfm_pack_add(internal, at timestamptz, monetary bigint, seq bigint) returns internal
 *		Step of the aggregate economy_internal.rfm_pack; any order of rows.
 */
Datum
eco_rfm_pack_add(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	MemoryContext old;
	EcoPacking *packing;

	if (!AggCheckCallContext(fcinfo, &context))
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("rfm_pack_add() is a part of an aggregate"));
	eco_require_arg(fcinfo, 1, "at");
	eco_require_arg(fcinfo, 2, "monetary");
	eco_require_arg(fcinfo, 3, "seq");
	old = MemoryContextSwitchTo(context);
	packing = PG_ARGISNULL(0) ? eco_packing_make() : (EcoPacking *) PG_GETARG_POINTER(0);
	eco_packing_add(packing, PG_GETARG_TIMESTAMPTZ(1), PG_GETARG_INT64(2), PG_GETARG_INT64(3));
	MemoryContextSwitchTo(old);
	PG_RETURN_POINTER(packing);
}

/*
 * eco_rfm_pack_end(internal) returns bytea
 */
Datum
eco_rfm_pack_end(PG_FUNCTION_ARGS)
{
	EcoPacking	none = {0};
	EcoPacking	packing = PG_ARGISNULL(0) ? none : *(EcoPacking *) PG_GETARG_POINTER(0);

	/* a copy, because a state may be asked for its end again */
	PG_RETURN_BYTEA_P(eco_packing_end(&packing));
}
