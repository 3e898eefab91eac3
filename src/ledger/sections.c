/*
 * sections.c
 *		The sections of an account as they are stored: a bytea, or null for none.
 */
#include "postgres.h"

#include "fmgr.h"

#include "compat.h"
#include "ledger/sections.h"

PG_FUNCTION_INFO_V1(eco_account_sections_sound);

static size_t
bytes_of(const bytea *all, const uint8 **bytes)
{
	*bytes = all == NULL ? NULL : (const uint8 *) VARDATA_ANY(all);
	return all == NULL ? 0 : VARSIZE_ANY_EXHDR(all);
}

bool
eco_sections_get(const bytea *all, EcoSectionId id, EcoSection *section)
{
	const uint8 *bytes;
	size_t		len = bytes_of(all, &bytes);
	bool		sound = eco_sections_sound(bytes, len);

	(void) eco_section_find(bytes, sound ? len : 0, id, section);
	return sound;
}

bytea *
eco_sections_set(const bytea *all, EcoSectionId id, const EcoSection *section)
{
	const uint8 *bytes;
	size_t		len = bytes_of(all, &bytes);
	bytea	   *now = palloc(VARHDRSZ + len + ECO_SECTION_HEADER + section->len);

	len = eco_section_put(bytes, len, id, section, (uint8 *) VARDATA(now));
	SET_VARSIZE(now, VARHDRSZ + len);
	return len == 0 ? NULL : now;
}

/*
 * eco_account_sections_sound(sections bytea) returns boolean
 *		Whether they are sections, each of which somebody owns; null: there are none.
 */
Datum
eco_account_sections_sound(PG_FUNCTION_ARGS)
{
	const uint8 *bytes;
	size_t		len = bytes_of(PG_ARGISNULL(0) ? NULL : PG_GETARG_BYTEA_PP(0), &bytes);
	EcoSection	section;
	size_t		known = 0;

	if (!eco_sections_sound(bytes, len))
		PG_RETURN_BOOL(false);
	for (int id = 1; id < ECO_SECTION_END; id++)
		if (eco_section_find(bytes, len, (EcoSectionId) id, &section))
			known += ECO_SECTION_HEADER + section.len;
	PG_RETURN_BOOL(known == len);
}
