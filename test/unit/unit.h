/*
 * unit.h
 *		Tiny checks with TAP output, and the list of modules under test.
 *
 * A module's test is one file test_<module>.c with one function that calls
 * check() and its kin; it is added to UNIT_MODULES and needs nothing else.
 */
#ifndef ECO_UNIT_H
#define ECO_UNIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNIT_MODULES(X) \
	X(encode) \
	X(digest) \
	X(section) \
	X(sign) \
	X(webhook) \
	X(draw) \
	X(json) \
	X(streak) \
	X(travel) \
	X(period) \
	X(moment) \
	X(snapshot) \
	X(probability) \
	X(rfm) \
	X(rules) \
	X(beta) \
	X(envelope) \
	X(seen)

#define UNIT_DECLARE(module) extern void test_##module(void);
UNIT_MODULES(UNIT_DECLARE)

extern void unit_check(bool ok, const char *file, int line, const char *name);
extern void unit_check_int(int64_t have, int64_t want, const char *file, int line,
						   const char *name);
extern void unit_check_bytes(const void *have, size_t have_len,
							 const void *want, size_t want_len,
							 const char *file, int line, const char *name);

#define check(ok, name) unit_check(ok, __FILE__, __LINE__, name)
#define check_int(have, want, name) unit_check_int(have, want, __FILE__, __LINE__, name)
#define check_bytes(have, have_len, want, want_len, name) \
	unit_check_bytes(have, have_len, want, want_len, __FILE__, __LINE__, name)
#define check_str(have, want, name) \
	unit_check_bytes(have, strlen(have), want, strlen(want), __FILE__, __LINE__, name)

/* Bytes from hexadecimal; returns their number. */
extern size_t unit_hex(const char *hex, uint8_t *bytes, size_t cap);

/* A generator that gives the same numbers in every run. */
extern uint64_t unit_random(void);

#endif
