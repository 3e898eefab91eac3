/*
 * fuzz_section.c
 *		Sections of an account, statistics of games, the daily streak and units of products
 *		in them: any bytes are read without harm and in one way only, and what is put comes
 *		back.
 */
#include "postgres.h"

#include "fuzz.h"
#include "play/games.h"
#include "reward/streak_section.h"
#include "shop/units_section.h"

#define MAX_GAMES 16

/* Each in a place of exactly its size, so that ASan sees every step beyond. */
static void
check_games(const EcoSection *section)
{
	EcoReader	reader;
	EcoReader	again;
	EcoGame		game = {.name = ""};
	EcoGame		same = {.name = ""};
	bool		more;
	uint8_t    *without = malloc(section->len + 1 + ECO_GAME_MAX);
	uint8_t    *with = malloc(section->len + 1 + 2 * ECO_GAME_MAX);

	eco_games_read(&reader, section, &more);
	while (eco_games_next(&reader, &game))
		CHECK(eco_figures_fit(&game.figures) && IS_VALID_TIMESTAMP(game.figures.last_action_at));
	if (reader.damaged)
		game.len = 0;
	eco_games_read(&again, section, &more);
	/* a longer name than calls take is read, and never written */
	while (!reader.damaged && eco_games_next(&again, &same) && same.len <= 64)
	{
		EcoSection	rest = {.version = section->version, .data = without};

		rest.len = eco_games_put(section, more, &same, false, without);
		CHECK(rest.len > 0 && rest.len < section->len);
		CHECK(eco_games_put(&rest, more, &same, true, with) == section->len);
		CHECK(memcmp(with, section->data, section->len) == 0);
	}
	free(without);
	free(with);
}

static void
check_streak(const EcoSection *section)
{
	EcoStoredStreak stored;
	uint8_t		out[ECO_STREAK_MAX];

	if (section->len == 0 || !eco_streak_read(section, &stored))
		return;
	CHECK(stored.day >= 0 && stored.best >= 0 && stored.last_seq >= 0);
	CHECK(eco_streak_write(&stored, out) == section->len);
	CHECK(memcmp(out, section->data, section->len) == 0);
}

/*
 * What is taken out and put again, before any date, is as it was; after all dates, when
 * everything is over, nothing is more than that.
 */
static void
check_units(const EcoSection *section)
{
	EcoReader	reader;
	EcoReader	again;
	EcoUnitsOf	of = {.id = ""};
	EcoUnitsOf	same = {.id = ""};
	bool		more;
	uint8_t    *without = malloc(section->len + 1 + ECO_UNITS_MAX);
	uint8_t    *with = malloc(section->len + 1 + 2 * ECO_UNITS_MAX);

	eco_units_read(&reader, section, &more);
	while (eco_units_next(&reader, &of))
		CHECK(eco_units_sound(&of));
	eco_units_read(&again, section, &more);
	while (!reader.damaged && eco_units_next(&again, &same))
	{
		EcoSection	rest = {.version = section->version, .data = without};
		EcoUnitsOf	counted = same;

		rest.len = eco_units_put(section, more, &same, false, INT32_MIN, without);
		CHECK(rest.len > 0 && rest.len < section->len);
		CHECK(eco_units_put(&rest, more, &same, true, INT32_MIN, with) == section->len);
		CHECK(memcmp(with, section->data, section->len) == 0);
		CHECK(eco_units_put(section, more, &same, true, INT32_MAX, with) <= section->len);
		eco_units_count(&counted, 3, same.last_on / 2);
		CHECK(counted.units[0] > ECO_UNITS_MOST || eco_units_sound(&counted));
		CHECK(counted.units[0] == same.units[0] + 3);
	}
	free(without);
	free(with);
}

/* A section is put into these, found again, and the others stay. */
static void
check_sections(const uint8_t *bytes, size_t len, Input *in)
{
	EcoSectionId id = (EcoSectionId) (1 + take_byte(in) % 255);
	EcoSection	section = {.version = take_byte(in)};
	EcoSection	found;
	uint8_t    *data = take_bytes(in, 300, &section.len);
	uint8_t    *out = malloc(len + ECO_SECTION_HEADER + section.len);
	size_t		out_len;

	section.data = data;
	out_len = eco_section_put(bytes, len, id, &section, out);
	CHECK(out_len <= len + ECO_SECTION_HEADER + section.len);
	CHECK(eco_sections_sound(out, out_len));
	CHECK(eco_section_find(out, out_len, id, &found) == (section.len > 0));
	CHECK(found.len == section.len);
	CHECK(found.len == 0 || (found.version == section.version &&
							 memcmp(found.data, data, section.len) == 0));
	for (int other = 1; other < 256; other++)
	{
		EcoSection	before;
		EcoSection	after;
		bool		has = eco_section_find(bytes, len, (EcoSectionId) other, &before);

		if (other == (int) id)
			continue;
		CHECK(eco_section_find(out, out_len, (EcoSectionId) other, &after) == has);
		CHECK(before.len == after.len && before.version == after.version);
		CHECK(before.len == 0 || memcmp(before.data, after.data, after.len) == 0);
	}
	free(out);
	free(data);
}

/* Games that are put one after the other, in any order, against their plain list. */
static void
check_history(Input *in)
{
	static const char letters[] = "ab\xff\1cdef";
	EcoGame		list[MAX_GAMES];
	char		names[MAX_GAMES][2];
	int			n = 0;
	uint8_t		bytes[2][ECO_GAMES_ROOM + 1 + ECO_GAME_MAX];
	EcoSection	section = {.data = bytes[0]};
	EcoReader	reader;
	EcoGame		game = {.name = ""};
	bool		more;
	int			found = 0;

	for (int turn = 1; in->left > 0 && n < MAX_GAMES; turn = 1 - turn)
	{
		uint8_t		byte = take_byte(in);
		EcoGame    *one = &list[n];
		int			at = 0;

		names[n][0] = letters[byte % 8];
		names[n][1] = letters[byte / 8 % 8];
		*one = (EcoGame) {.name = names[n], .len = 1 + byte / 64 % 2};
		one->figures = (EcoFigures) {
			.wins = take_int(in) & PG_INT64_MAX >> 2, .losses = take_byte(in), .draws = take_byte(in),
			.max_win = take_int(in) & PG_INT64_MAX, .bet_sum = take_int(in) & PG_INT64_MAX,
			.win_sum = take_byte(in), .last_action_at = (int32_t) take_int(in)
		};
		while (at < n && (list[at].len != one->len || memcmp(list[at].name, one->name, one->len) != 0))
			at++;
		section.len = eco_games_put(&section, false, one, true, bytes[turn]);
		CHECK(section.len > 0 && section.len <= ECO_GAMES_ROOM);
		section.version = ECO_GAMES_VERSION;
		section.data = bytes[turn];
		if (at < n)
			list[at].figures = one->figures;
		else
			n++;
	}
	eco_games_read(&reader, &section, &more);
	while (eco_games_next(&reader, &game))
	{
		int			at = 0;

		while (at < n && (list[at].len != game.len || memcmp(list[at].name, game.name, game.len) != 0))
			at++;
		CHECK(at < n && memcmp(&list[at].figures, &game.figures, sizeof(EcoFigures)) == 0);
		found++;
	}
	CHECK(!reader.damaged && !more && found == n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		in = {data, size};
	uint8_t		what = take_byte(&in);
	size_t		len;
	uint8_t    *bytes = take_bytes(&in, 2048, &len);
	EcoSection	section = {.version = what / 8 % 4, .data = bytes, .len = len};

	if (what % 4 == 0)
	{
		check_games(&section);
		check_units(&section);
	}
	else if (what % 4 == 1)
		check_streak(&section);
	else if (what % 4 == 2)
		check_history(&in);
	else if (eco_sections_sound(bytes, len))
	{
		check_sections(bytes, len, &in);
		if (eco_section_find(bytes, len, ECO_SECTION_GAMES, &section))
			check_games(&section);
		if (eco_section_find(bytes, len, ECO_SECTION_STREAK, &section))
			check_streak(&section);
		if (eco_section_find(bytes, len, ECO_SECTION_UNITS, &section))
			check_units(&section);
	}
	free(bytes);
	return 0;
}
