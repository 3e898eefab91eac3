/*
 * sent.c
 *		The section of a user's account that counts what gold the user has sent in a day,
 *		and what the audit and corrections ask of it.
 */
#include "postgres.h"

#include "common/int.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/date.h"

#include "core/period.h"
#include "errors.h"
#include "hold/sent.h"
#include "ledger/args.h"
#include "ledger/sections.h"

PG_FUNCTION_INFO_V1(eco_sent_of);
PG_FUNCTION_INFO_V1(eco_sent_sound);
PG_FUNCTION_INFO_V1(eco_with_sent);

bool
eco_sent_read(const EcoSection *section, EcoSent *sent)
{
	EcoReader	reader = {.at = section->data, .end = section->data + section->len};

	*sent = (EcoSent)
	{
		.day = 0
	};
	if (section->len == 0)
		return true;
	sent->day = eco_unzigzag(eco_varint_read(&reader, UINT64_MAX));
	sent->gold = (int64) eco_varint_read(&reader, INT64_MAX);
	return section->version == ECO_SENT_VERSION && !reader.damaged && reader.at == reader.end &&
		sent->gold > 0 && IS_VALID_DATE(sent->day);
}

size_t
eco_sent_write(const EcoSent *sent, uint8 *payload)
{
	uint8	   *at = payload;

	eco_varint_write(&at, eco_zigzag(sent->day));
	eco_varint_write(&at, (uint64) sent->gold);
	return at - payload;
}

void
eco_sent_add(EcoSent *sent, TimestampTz at, int64 gold)
{
	int64		today = eco_period_of(ECO_PERIOD_DAY, at);

	if (sent->gold == 0 || today > sent->day)
		*sent = (EcoSent)
	{
		.day = today
	};
	if (pg_add_s64_overflow(sent->gold, gold, &sent->gold))
		sent->gold = PG_INT64_MAX;
}

/* eco_sent_of(sections bytea) returns table, STRICT */
Datum
eco_sent_of(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	EcoSection	section;
	EcoSent		sent;

	InitMaterializedSRF(fcinfo, 0);
	if (eco_sections_get(PG_GETARG_BYTEA_PP(0), ECO_SECTION_SENT, &section) &&
		eco_sent_read(&section, &sent) && sent.gold > 0)
	{
		Datum		values[] = {DateADTGetDatum((DateADT) sent.day), Int64GetDatum(sent.gold)};
		bool		isnull[lengthof(values)] = {false};

		tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
	}
	return (Datum) 0;
}

/* eco_sent_sound(sections bytea) returns boolean; null: none */
Datum
eco_sent_sound(PG_FUNCTION_ARGS)
{
	EcoSection	section;
	EcoSent		sent;

	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(true);
	PG_RETURN_BOOL(eco_sections_get(PG_GETARG_BYTEA_PP(0), ECO_SECTION_SENT, &section) &&
				   eco_sent_read(&section, &sent));
}

/*
 * eco_with_sent(sections bytea, day date, gold bigint) returns bytea
 *		Null sections are none; gold null takes the count out.
 */
Datum
eco_with_sent(PG_FUNCTION_ARGS)
{
	bytea	   *all = PG_ARGISNULL(0) ? NULL : PG_GETARG_BYTEA_PP(0);
	uint8		payload[ECO_SENT_MAX];
	EcoSection	section;
	bytea	   *result;

	if (!eco_sections_get(all, ECO_SECTION_SENT, &section))
		ECO_ERROR(ECO_LEDGER_DAMAGED, errmsg("these are no sections of an account"));
	section = (EcoSection)
	{
		.version = ECO_SENT_VERSION, .data = payload
	};
	if (!PG_ARGISNULL(2))
	{
		EcoSent		sent = {.gold = PG_GETARG_INT64(2)};

		eco_require_arg(fcinfo, 1, "day");
		sent.day = PG_GETARG_DATEADT(1);
		if (sent.gold < 1 || DATE_NOT_FINITE(PG_GETARG_DATEADT(1)))
			ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("gold must be 1 or more, and the day finite"),
					  errhint("Null gold takes the count out."));
		section.len = eco_sent_write(&sent, payload);
	}
	result = eco_sections_set(all, ECO_SECTION_SENT, &section);
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(result);
}
