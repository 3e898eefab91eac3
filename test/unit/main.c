/*
 * main.c
 *		Runs the unit tests of core/ and prints TAP.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

static int	n_checks = 0;
static int	n_failed = 0;
static const char *module = "";

void
unit_check(bool ok, const char *file, int line, const char *name)
{
	n_checks++;
	printf("%sok %d - %s: %s\n", ok ? "" : "not ", n_checks, module, name);
	if (!ok)
	{
		n_failed++;
		printf("# at %s line %d\n", file, line);
	}
}

void
unit_check_int(int64_t have, int64_t want, const char *file, int line,
			   const char *name)
{
	unit_check(have == want, file, line, name);
	if (have != want)
		printf("# have %" PRId64 ", want %" PRId64 "\n", have, want);
}

static void
print_bytes(const char *label, const uint8_t *bytes, size_t len)
{
	printf("# %s", label);
	for (size_t i = 0; i < len && i < 200; i++)
		printf(bytes[i] >= 0x20 && bytes[i] < 0x7f ? "%c" : "\\x%02x", bytes[i]);
	printf("\n");
}

void
unit_check_bytes(const void *have, size_t have_len,
				 const void *want, size_t want_len,
				 const char *file, int line, const char *name)
{
	bool		same = have_len == want_len &&
		(have_len == 0 || memcmp(have, want, have_len) == 0);

	unit_check(same, file, line, name);
	if (!same)
	{
		print_bytes("have ", have, have_len);
		print_bytes("want ", want, want_len);
	}
}

size_t
unit_hex(const char *hex, uint8_t *bytes, size_t cap)
{
	size_t		len = strlen(hex) / 2;

	if (len > cap)
		abort();
	for (size_t i = 0; i < len; i++)
	{
		char		pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

		bytes[i] = (uint8_t) strtoul(pair, NULL, 16);
	}
	return len;
}

uint64_t
unit_random(void)
{
	static uint64_t state = 88172645463325252;

	/* xorshift64 */
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* The list of modules is a list of calls. */
#define UNIT_ENTRY(name) {#name, test_##name},

static const struct
{
	const char *name;
	void		(*run) (void);
}			modules[] = {UNIT_MODULES(UNIT_ENTRY)};

int
main(void)
{
	for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++)
	{
		module = modules[i].name;
		modules[i].run();
	}
	printf("1..%d\n", n_checks);
	if (n_failed > 0)
		printf("# %d of %d failed\n", n_failed, n_checks);
	return n_failed > 0 || n_checks == 0 ? 1 : 0;
}
