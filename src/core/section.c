/*
 * section.c
 *		Small pieces of a user's state, packed one behind the other.
 */
#include <string.h>

#include "core/section.h"

static size_t
length_at(const uint8_t *at)
{
	return (size_t) at[2] << 8 | at[3];
}

bool
eco_sections_sound(const uint8_t *bytes, size_t len)
{
	int			last = 0;

	for (size_t at = 0; at < len; at += ECO_SECTION_HEADER + length_at(bytes + at))
	{
		if (len - at < ECO_SECTION_HEADER || bytes[at] <= last ||
			length_at(bytes + at) == 0 ||
			len - at - ECO_SECTION_HEADER < length_at(bytes + at))
			return false;
		last = bytes[at];
	}
	return true;
}

/* Where the section of this id stands, or would. */
static size_t
place_of(const uint8_t *bytes, size_t len, EcoSectionId id)
{
	size_t		at = 0;

	while (at < len && bytes[at] < id)
		at += ECO_SECTION_HEADER + length_at(bytes + at);
	return at;
}

bool
eco_section_find(const uint8_t *bytes, size_t len, EcoSectionId id, EcoSection *section)
{
	size_t		at = place_of(bytes, len, id);

	if (at == len || bytes[at] != id)
	{
		static const uint8_t nothing[1];

		*section = (EcoSection)
		{
			.data = nothing
		};
		return false;
	}
	section->version = bytes[at + 1];
	section->len = length_at(bytes + at);
	section->data = bytes + at + ECO_SECTION_HEADER;
	return true;
}

size_t
eco_section_put(const uint8_t *bytes, size_t len, EcoSectionId id, const EcoSection *section,
				uint8_t *out)
{
	size_t		before = place_of(bytes, len, id);
	size_t		after = before;
	size_t		n = before;

	if (before < len && bytes[before] == id)
		after += ECO_SECTION_HEADER + length_at(bytes + before);
	if (before > 0)
		memcpy(out, bytes, before);
	if (section->len > 0)
	{
		out[n++] = (uint8_t) id;
		out[n++] = section->version;
		out[n++] = (uint8_t) (section->len >> 8);
		out[n++] = (uint8_t) section->len;
		memcpy(out + n, section->data, section->len);
		n += section->len;
	}
	if (after < len)
		memcpy(out + n, bytes + after, len - after);
	return n + len - after;
}
