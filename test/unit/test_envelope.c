/*
 * test_envelope.c
 *		economy_tail's reading of events, in whatever order their members are,
 *		and its refusal of what is none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "envelope.h"
#include "unit.h"

#define REST "\"specversion\":\"1.0\",\"type\":\"user_action\",\"time\":\"2026-03-02T12:00:00.000000Z\",\"data\":{\"bet\":5}"
#define HEAD "\"id\":\"A\",\"subject\":\"4\",\"sequence\":\"3\",\"type\":\"t\",\"time\":\"\""
#define EVENT "{\"id\":\"A4-3\",\"subject\":\"4\",\"sequence\":\"00000000000000000003\"," REST "}"

static bool
is_event(const char *json)
{
	Envelope	envelope;

	return envelope_read(json, &envelope);
}

static void
members(void)
{
	static const char *const orders[] = {
		EVENT,
		"{" REST ",\"sequence\":\"3\",\"subject\":\"4\",\"id\":\"A4-3\"}",
		" { \"subject\" : \"4\" , \"x\" : [ 1 , {\"id\":\"no\"} , -1.5e+3 ] , \"id\" : \"A4-3\" , \"sequence\" : \"3\" , " REST " } ",
	};

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
	{
		Envelope	e;

		check(envelope_read(orders[i], &e), "members in any order");
		check(span_is(e.id, "A4-3") && span_is(e.type, "user_action"), "id and type");
		check(span_is(e.time, "2026-03-02T12:00:00.000000Z"), "time");
		check(span_is(e.data, "{\"bet\":5}"), "data as it is");
		check_int(e.user_id, 4, "subject");
		check_int(e.seq, 3, "sequence");
	}
}

static void
contents(void)
{
	Envelope	e;

	check(envelope_read("{\"id\":\"A4-3/\\\"}{\\\\\\u00e9\",\"subject\":\"-9223372036854775808\",\"sequence\":\"09223372036854775807\"," REST "}", &e),
		  "escapes and the largest numbers");
	check(span_is(e.id, "A4-3/\\\"}{\\\\\\u00e9"), "an escaped quote ends no string");
	check_int(e.user_id, INT64_MIN, "the smallest subject");
	check_int(e.seq, INT64_MAX, "the largest sequence");
	check(is_event("{\"id\":\"A4-3\x7f\xc3\xa9\",\"subject\":\"4\",\"sequence\":\"3\"," REST "}"), "DEL and UTF-8 are text");
}

static void
refusals(void)
{
	static const char *const wrong[] = {
		"", " ", "{", "{}", "[]", "null", "\"id\"", "hello",
		"{" REST "}",
		"{" HEAD "}",
		"{\"subject\":\"4\",\"sequence\":\"3\"," REST "}",
		"{\"id\":\"A\",\"subject\":\"4\",\"sequence\":\"3\",\"time\":\"\",\"data\":1}",
		"{\"id\":\"A\",\"subject\":\"4\",\"sequence\":\"3\",\"type\":\"\",\"time\":\"\",\"data\":1}",
		"{\"id\":\"A\",\"subject\":\"4\",\"sequence\":\"3\",\"type\":\"t\",\"data\":1}",
		"{\"id\":\"A\",\"subject\":\"4\",\"sequence\":\"\"," REST "}",
		EVENT "x",
		EVENT EVENT,
		"{\"id\":\"\",\"subject\":\"4\",\"sequence\":\"3\"," REST "}",
		"{\"id\":4,\"subject\":\"4\",\"sequence\":\"3\"," REST "}",
		"{\"id\":\"A\",\"subject\":4,\"sequence\":\"3\"," REST "}",
		"{\"id\":\"A\",\"subject\":\"\",\"sequence\":\"3\"," REST "}",
		"{\"id\":\"A\",\"subject\":\"-\",\"sequence\":\"3\"," REST "}",
		"{\"id\":\"A\",\"subject\":\"4 \",\"sequence\":\"3\"," REST "}",
		"{\"id\":\"A\",\"subject\":\"9223372036854775808\",\"sequence\":\"3\"," REST "}",
		"{\"id\":\"A\",\"subject\":\"-9223372036854775809\",\"sequence\":\"3\"," REST "}",
		"{\"id\":\"A\",\"subject\":\"4\",\"sequence\":\"-3\"," REST "}",
		"{\"id\":\"A\",\"subject\":\"4\",\"sequence\":\"0x3\"," REST "}",
		"{\"id\":\"A\",\"subject\":\"4\",\"sequence\":\"3:\"," REST "}",
		"{\"id\":\"A\",\"subject\":\"4\",\"sequence\":\"3/\"," REST "}",
		"{\"id\":\"A\",\"sequence\":\"3\"," REST "}",
		"{\"id\":\"A\",\"subject\":\"4\"," REST "}",
		"{\"id\":\"A\nB\",\"subject\":\"4\",\"sequence\":\"3\"," REST "}",
		"{\"id\":\"A\",\n\"subject\":\"4\",\"sequence\":\"3\"," REST "}",
		"{\"id\":\"A\\x\",\"subject\":\"4\",\"sequence\":\"3\"," REST "}",
		"{\"id\":\"A\\u00g0\",\"subject\":\"4\",\"sequence\":\"3\"," REST "}",
		"{\"id\":\"A\",\"subject\":\"4\",\"sequence\":\"3\",\"x\":tru," REST "}",
		"{\"id\":\"A\",\"subject\":\"4\",\"sequence\":\"3\",\"x\":01," REST "}",
		"{\"id\":\"A\",\"subject\":\"4\",\"sequence\":\"3\",\"x\":1.," REST "}",
		"{\"id\":\"A\",\"subject\":\"4\",\"sequence\":\"3\",\"x\":[1,]," REST "}",
		"{\"id\":\"A\",\"subject\":\"4\",\"sequence\":\"3\",\"x\":[1}," REST "}",
		"{\"id\":\"A\",\"subject\":\"4\",\"sequence\":\"3\",\"x\":," REST "}",
		"{\"id\":\"A\",\"subject\":\"4\",\"sequence\":\"3\"," REST ",}",
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		check(!is_event(wrong[i]), "no event");
}

/* Any value of JSON may be the data, or a member that nobody knows. */
static void
values(void)
{
	static const char *const good[] = {
		"null", "true", "false", "0", "-0", "9", "10", "90", "-109", "1.5", "0.05", "1e5", "1E+5", "1e-09", "-2.50E10",
		"\"\"", "\" \"", "\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u09aF\"", "[]", "[ ]", "[1]", "[1,2]", "[[],[{}]]",
		"{}", "{ }", "{\"a\":1}", "{\"a\":{\"b\":[null,true]},\"c\":\"\",\"\":false}"
	};
	static const char *const wrong[] = {
		"", "nul", "nulL", "tru", "truE", "fals", "falsy", "01", "-", "-01", "+1", ".5", "1.", "1.e5", "1e", "1e+", "1E-", "1e+-5", "0x1",
		"\"", "\"\\\"", "\"\\u12\"", "\"\\u123g\"", "\"\\u12345", "\"\\x\"", "\"\x1f\"", "'a'",
		"[", "]", "[1", "[1,", "[,1]", "[1,,2]", "[1 2]", "[1}", "{", "}", "{]", "{1:2}", "{\"a\"}", "{\"a\":}", "{\"a\" 1}", "{\"a\":1,}",
		"{\"a\":1 \"b\":2}", "{,}", "{\"a\":1]"
	};
	char		json[512];
	Envelope	e;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		snprintf(json, sizeof(json), "{" HEAD ",\"data\":%s}", good[i]);
		check(envelope_read(json, &e) && span_is(e.data, good[i]), good[i]);
		snprintf(json, sizeof(json), "{\"x\":%s," HEAD ",\"data\":1}", good[i]);
		check(envelope_read(json, &e) && span_is(e.data, "1"), good[i]);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		snprintf(json, sizeof(json), "{" HEAD ",\"data\":%s}", wrong[i]);
		check(!is_event(json), "no data");
		snprintf(json, sizeof(json), "{\"x\":%s," HEAD ",\"data\":1}", wrong[i]);
		check(!is_event(json), "no member");
	}
}

static bool
nests(int depth)
{
	char		json[512] = "{" REST ",\"id\":\"A\",\"subject\":\"4\",\"sequence\":\"3\",\"x\":";

	for (int i = 0; i < depth; i++)
		strcat(json, "[");
	for (int i = 0; i < depth; i++)
		strcat(json, "]");
	return is_event(strcat(json, "}"));
}

/* Every beginning of an event, in memory that ends with it, and deep nesting. */
static void
ends(void)
{
	static char deep[8000];
	bool		any = false;

	for (size_t len = 0; len < strlen(EVENT); len++)
	{
		char	   *part = calloc(len + 1, 1);

		if (part == NULL)
			abort();
		memcpy(part, EVENT, len);
		any |= is_event(part);
		free(part);
	}
	check(!any, "no part of an event is one");
	memset(deep, '[', sizeof(deep) - 1);
	memcpy(deep, "{\"x\":", 5);
	check(!is_event(deep), "nesting has a limit");
	check(nests(32), "as deep as it may be");
	check(!nests(33), "and not deeper");
}

void
test_envelope(void)
{
	members();
	contents();
	refusals();
	values();
	ends();
}
