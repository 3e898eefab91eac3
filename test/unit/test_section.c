/*
 * test_section.c
 *		Sections of an account: put, found and taken out; and numbers of seven bits a byte.
 */
#include <string.h>

#include "core/section.h"
#include "core/varint.h"
#include "unit.h"

/* ids that nobody owns are sections like the others */
#define ID(n) ((EcoSectionId) (n))

static size_t
put(uint8_t *bytes, size_t len, int id, const char *payload)
{
	EcoSection	section = {.version = 7, .data = (const uint8_t *) payload, .len = strlen(payload)};
	uint8_t		out[256];

	len = eco_section_put(bytes, len, ID(id), &section, out);
	memcpy(bytes, out, len);
	return len;
}

static void
places(void)
{
	uint8_t		bytes[256] = {0};
	EcoSection	section;
	size_t		len = 0;

	check(eco_sections_sound(bytes, 0), "none are sound");
	check(!eco_section_find(NULL, 0, ID(5), &section), "and have no section");
	len = put(bytes, len, 5, "five");
	len = put(bytes, len, 9, "nine");
	len = put(bytes, len, 2, "two");
	check_bytes(bytes, len, "\2\7\0\3two\5\7\0\4five\11\7\0\4nine", 23, "by ascending id");
	len = put(bytes, len, 5, "another");
	check_bytes(bytes, len, "\2\7\0\3two\5\7\0\7another\11\7\0\4nine", 26, "put again");
	check(eco_section_find(bytes, len, ID(5), &section), "found in the middle");
	check_bytes(section.data, section.len, "another", 7, "as it was put");
	check_int(section.version, 7, "with its version");
	check(eco_section_find(bytes, len, ID(9), &section) && section.len == 4, "found at the end");
	check(!eco_section_find(bytes, len, ID(1), &section), "none before the first");
	check(!eco_section_find(bytes, len, ID(7), &section), "none between two");
	check(!eco_section_find(bytes, len, ID(10), &section), "none behind the last");
	check_int((int64_t) section.len, 0, "none has no byte");
	len = put(bytes, len, 5, "");
	len = put(bytes, len, 5, "");
	check_bytes(bytes, len, "\2\7\0\3two\11\7\0\4nine", 15, "taken out, once");
	len = put(bytes, len, 9, "");
	len = put(bytes, len, 2, "");
	check_int((int64_t) len, 0, "the last one leaves nothing");
}

static void
sound(void)
{
	static const struct
	{
		const char *bytes;
		size_t		len;
		bool		is_sound;
	}			cases[] = {
		{"\1\1\0\1x", 5, true}, {"\1\1\0\1x\2\1\0\1y", 10, true}, {"\377\1\0\1x", 5, true},
		{"\1\1\0\1", 4, false}, {"\1\1\0", 3, false}, {"\1\1\0\2x", 5, false},
		{"\1\1\0\1xy", 6, false}, {"\1\1\0\0", 4, false}, {"\0\1\0\1x", 5, false},
		{"\2\1\0\1x\1\1\0\1y", 10, false}, {"\1\1\0\1x\1\1\0\1y", 10, false},
		{"\1\1\1\1x", 5, false},
	};
	uint8_t		large[300] = {1, 1, 1, 0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(eco_sections_sound((const uint8_t *) cases[i].bytes, cases[i].len) ==
			  cases[i].is_sound, "sections, or none");
	check(eco_sections_sound(large, 4 + 256), "256 bytes");
	check(!eco_sections_sound(large, 4 + 255), "and not one less");
}

static void
numbers(void)
{
	static const uint64_t values[] = {
		0, 1, 127, 128, 16383, 16384, INT64_MAX, (uint64_t) INT64_MAX + 1, UINT64_MAX
	};
	uint8_t		bytes[16];

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
	{
		uint8_t    *at = bytes;
		EcoReader	reader = {.at = bytes};

		eco_varint_write(&at, values[i]);
		reader.end = at;
		check(eco_varint_read(&reader, UINT64_MAX) == values[i] && !reader.damaged &&
			  reader.at == at && at - bytes <= ECO_VARINT_MAX, "a number comes back");
		reader = (EcoReader) {.at = bytes, .end = at - 1};
		(void) eco_varint_read(&reader, UINT64_MAX);
		check(reader.damaged, "not without its last byte");
		reader = (EcoReader) {.at = bytes, .end = at};
		(void) eco_varint_read(&reader, values[i] - 1);
		check(reader.damaged == (values[i] > 0), "nor above the largest allowed");
	}
}

static void
damaged_numbers(void)
{
	static const struct
	{
		const char *bytes;
		size_t		len;
	}			cases[] = {
		{"\200\0", 2}, {"", 0}, {"\377\377\377\377\377\377\377\377\377\2", 10},
		{"\377\377\377\377\377\377\377\377\377\377\1", 11},
	};
	uint8_t		bytes[8];
	uint8_t    *at = bytes;
	EcoReader	reader;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const uint8_t *begin = (const uint8_t *) cases[i].bytes;

		reader = (EcoReader) {.at = begin, .end = begin + cases[i].len};
		(void) eco_varint_read(&reader, UINT64_MAX);
		check(reader.damaged, "no number, or one that is written in another way");
	}
	eco_int64_write(&at, INT64_C(-2));
	check_bytes(bytes, 8, "\377\377\377\377\377\377\377\376", 8, "eight bytes, the high one first");
	reader = (EcoReader) {.at = bytes, .end = at};
	check_int(eco_int64_read(&reader), -2, "come back");
	reader = (EcoReader) {.at = bytes, .end = at - 1};
	(void) eco_int64_read(&reader);
	check(reader.damaged, "not seven of them");
}

void
test_section(void)
{
	places();
	sound();
	numbers();
	damaged_numbers();
}
