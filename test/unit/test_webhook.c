/*
 * test_webhook.c
 *		Webhooks' signatures against the vectors of Standard Webhooks 1.0 and of Stripe's
 *		rule, and what must not pass for them.
 */
#include <stdio.h>
#include <string.h>

#include "core/webhook.h"
#include "unit.h"

#define SENT 1614265330

static const char standard_secret[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
static const char standard_body[] = "{\"test\": 2432232314}";
static const char standard_id[] = "msg_p5jXN8AQM9LWM0D4loKWxJek";
static const char stripe_body[] = "{\n  \"id\": \"evt_test_webhook\",\n  \"object\": \"event\"\n}";

#define STANDARD "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
#define STRIPE "v1=af4ead0627a34a8cca29808e8de9ada8e41a92e6237c63cef6eacf51d36cca34"

static EcoBytes
bytes_of(const char *text)
{
	EcoBytes	bytes = {text, text == NULL ? 0 : strlen(text)};

	return bytes;
}

static bool
is_signed(const EcoWebhook *webhook, const char *secret)
{
	uint8_t		key[ECO_WEBHOOK_MAX_KEY];
	size_t		len = eco_webhook_key(webhook->profile, bytes_of(secret), key);
	EcoSigner  *signer = eco_signer_create(key, len);
	bool		result = false;

	check(signer != NULL && eco_webhook_check(webhook, signer, &result), "is looked at");
	eco_signer_free(signer);
	return result;
}

static EcoWebhook
standard(const char *id, const char *timestamp, const char *signatures)
{
	EcoWebhook	webhook = {ECO_WEBHOOK_STANDARD, bytes_of(id), bytes_of(timestamp),
	bytes_of(signatures), bytes_of(standard_body), 0};

	return webhook;
}

static EcoWebhook
stripe(const char *signatures)
{
	EcoWebhook	webhook = {ECO_WEBHOOK_STRIPE, {NULL, 0}, {NULL, 0},
	bytes_of(signatures), bytes_of(stripe_body), 0};

	return webhook;
}

static void
secrets(void)
{
	static const char *const none[] = {"", "whsec_", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILP ZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
	"AAECAwQFBgcICQoLDA0ODw", "whsec_=MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa", "c2hvcnQ=", "whsec_whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"};
	char		text[600];
	uint8_t		key[ECO_WEBHOOK_MAX_KEY];
	uint8_t		again[ECO_WEBHOOK_MAX_KEY];

	check_int((int64_t) eco_webhook_key(ECO_WEBHOOK_STANDARD, bytes_of(standard_secret), key), 24, "a secret");
	check_int((int64_t) eco_webhook_key(ECO_WEBHOOK_STANDARD, bytes_of(standard_secret + 6), again), 24,
			  "without its prefix");
	check_bytes(key, 24, again, 24, "is the same");
	check_int((int64_t) eco_webhook_key(ECO_WEBHOOK_STANDARD, bytes_of("AAECAwQFBgcICQoLDA0ODw=="), key), 16,
			  "with padding");
	check_int(key[15], 15, "to the last byte");
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		check_int((int64_t) eco_webhook_key(ECO_WEBHOOK_STANDARD, bytes_of(none[i]), key), 0, none[i]);
	check_int((int64_t) eco_webhook_key(ECO_WEBHOOK_STRIPE, bytes_of("whsec_test_secret"), key), 17,
			  "of Stripe the whole");
	check_bytes(key, 17, "whsec_test_secret", 17, "as it is written");
	check_int((int64_t) eco_webhook_key(ECO_WEBHOOK_STRIPE, bytes_of("whsec_short"), key), 0, "too short");
	check_int((int64_t) eco_webhook_key(ECO_WEBHOOK_STRIPE, bytes_of("whsec_test_secret\n"), key), 0, "a line's end");
	check_int((int64_t) eco_webhook_key(ECO_WEBHOOK_STRIPE, bytes_of("whsec_test\303\244secret"), key), 0, "no ASCII");
	memset(text, 'A', sizeof(text));
	for (size_t len = 320; len <= 360; len++)
	{
		EcoBytes	secret = {text, len};

		check_int((int64_t) eco_webhook_key(ECO_WEBHOOK_STANDARD, secret, key),
				  len % 4 != 0 || len > 340 ? 0 : (int64_t) len * 6 / 8, "a long one");
	}
	for (size_t len = 255; len <= 258; len++)
	{
		EcoBytes	secret = {text, len};

		check_int((int64_t) eco_webhook_key(ECO_WEBHOOK_STRIPE, secret, key), len > 256 ? 0 : (int64_t) len,
				  "a long one of Stripe's");
	}
}

static void
standard_signatures(void)
{
	static const char *const good[] = {STANDARD, "v1,AAAA v2,AAAA " STANDARD " v1,AAAA", " " STANDARD " ",
	STANDARD " " STANDARD};
	static const char *const bad[] = {"", "v1,", "v1", "v1,g0hM9SsE",
		"v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=",
		"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=",
		"v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
		/* each is decoded to the same bytes by a decoder that is not strict */
		"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE",
		"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=",
		"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\n",
		"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3\nuFJELVlNIOLJ1OE=",
		"v1,g0hM9SsE-OTPJTGt_tmIKtSyZlE3uFJELVlNIOLJ1OE=",
		"V1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
		"v1=g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
	"\tv1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="};
	EcoWebhook	webhook;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		webhook = standard(standard_id, "1614265330", good[i]);
		check_int(eco_webhook_read(&webhook, SENT), ECO_WEBHOOK_OK, "is read");
		check_int(webhook.sent_at, SENT, "sent then");
		check(is_signed(&webhook, standard_secret), good[i]);
		check(!is_signed(&webhook, "whsec_AAECAwQFBgcICQoLDA0ODw=="), "not with another secret");
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		webhook = standard(standard_id, "1614265330", bad[i]);
		check_int(eco_webhook_read(&webhook, SENT), ECO_WEBHOOK_OK, "is read");
		check(!is_signed(&webhook, standard_secret), bad[i]);
	}
	webhook = standard(standard_id, "1614265330", "v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A=");
	webhook.body = bytes_of("");
	check(is_signed(&webhook, standard_secret), "of an empty body");
	webhook.body = bytes_of(standard_body);
	check(!is_signed(&webhook, standard_secret), "and of no other");
	webhook = standard("msg_other", "1614265330", STANDARD);
	check(!is_signed(&webhook, standard_secret), "of another id");
	webhook = standard(standard_id, "1614265331", STANDARD);
	check(!is_signed(&webhook, standard_secret), "of another time");
}

static void
standard_headers(void)
{
	static const struct
	{
		const char *id;
		const char *timestamp;
		const char *signatures;
		int64_t		now;
		EcoWebhookVerdict verdict;
		const char *name;
	}			cases[] = {
		{"a", "1000", "", 1000, ECO_WEBHOOK_OK, "now"},
		{"a", "1000", "", 1300, ECO_WEBHOOK_OK, "300 s ago"},
		{"a", "1000", "", 1301, ECO_WEBHOOK_TOO_OLD, "301 s ago"},
		{"a", "1000", "", 700, ECO_WEBHOOK_OK, "in 300 s"},
		{"a", "1000", "", 699, ECO_WEBHOOK_TOO_NEW, "in 301 s"},
		{NULL, "1000", "", 1000, ECO_WEBHOOK_NO_HEADER, "without an id"},
		{"a", NULL, "", 1000, ECO_WEBHOOK_NO_HEADER, "without a time"},
		{"a", "1000", NULL, 1000, ECO_WEBHOOK_NO_HEADER, "without a signature"},
		{"", "1000", "", 1000, ECO_WEBHOOK_BAD_HEADER, "an empty id"},
		{"a.1", "1000", "", 1000, ECO_WEBHOOK_BAD_HEADER, "an id with a point"},
		{"a", "", "", 1000, ECO_WEBHOOK_BAD_HEADER, "an empty time"},
		{"a", "hello", "", 1000, ECO_WEBHOOK_BAD_HEADER, "a word"},
		{"a", "1000.5", "", 1000, ECO_WEBHOOK_BAD_HEADER, "a fraction"},
		{"a", "-1000", "", 1000, ECO_WEBHOOK_BAD_HEADER, "a negative one"},
		{"a", " 1000", "", 1000, ECO_WEBHOOK_BAD_HEADER, "white space"},
		{"a", "01000", "", 1000, ECO_WEBHOOK_BAD_HEADER, "zeros in front"},
		{"a", "0", "", 0, ECO_WEBHOOK_OK, "the first second"},
		{"a", "999999999999", "", 999999999999, ECO_WEBHOOK_OK, "a far one"},
		{"a", "9999999999999", "", 1000, ECO_WEBHOOK_BAD_HEADER, "milliseconds"},
	};
	char		id[ECO_WEBHOOK_MAX_ID + 2];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		EcoWebhook	webhook = standard(cases[i].id, cases[i].timestamp, cases[i].signatures);

		check_int(eco_webhook_read(&webhook, cases[i].now), cases[i].verdict, cases[i].name);
	}
	memset(id, 'a', sizeof(id));
	for (size_t len = ECO_WEBHOOK_MAX_ID; len <= ECO_WEBHOOK_MAX_ID + 1; len++)
	{
		EcoWebhook	webhook = standard("", "1000", "");

		webhook.id.data = id;
		webhook.id.len = len;
		check_int(eco_webhook_read(&webhook, 1000),
				  len > ECO_WEBHOOK_MAX_ID ? ECO_WEBHOOK_BAD_HEADER : ECO_WEBHOOK_OK, "a long id");
	}
}

static void
stripe_signatures(void)
{
	static const struct
	{
		const char *signatures;
		int64_t		now;
		EcoWebhookVerdict verdict;
		bool		is_signed;
		const char *name;
	}			cases[] = {
		{"t=1614265330," STRIPE, SENT, ECO_WEBHOOK_OK, true, "a signature"},
		{STRIPE ",t=1614265330", SENT, ECO_WEBHOOK_OK, true, "in another order"},
		{"t=1614265330,v1=00,v0=11," STRIPE, SENT, ECO_WEBHOOK_OK, true, "several"},
		{"t=1614265330," STRIPE, SENT + 300, ECO_WEBHOOK_OK, true, "300 s ago"},
		{"t=1614265330," STRIPE, SENT + 301, ECO_WEBHOOK_TOO_OLD, true, "301 s ago"},
		{"t=1614265330," STRIPE, SENT - 100000, ECO_WEBHOOK_OK, true, "of the future"},
		{"t=1614265331," STRIPE, SENT, ECO_WEBHOOK_OK, false, "of another time"},
		{"t=1614265330,v0=af4ead0627a34a8cca29808e8de9ada8e41a92e6237c63cef6eacf51d36cca34", SENT,
		ECO_WEBHOOK_OK, false, "of another version"},
		{"t=1614265330,v1=AF4EAD0627A34A8CCA29808E8DE9ADA8E41A92E6237C63CEF6EACF51D36CCA34", SENT,
		ECO_WEBHOOK_OK, false, "in capitals"},
		{"t=1614265330,v1=af4ead0627a34a8cca29808e8de9ada8e41a92e6237c63cef6eacf51d36cca3", SENT,
		ECO_WEBHOOK_OK, false, "cut off"},
		{"t=1614265330,v1=", SENT, ECO_WEBHOOK_OK, false, "an empty one"},
		{"t=1614265330", SENT, ECO_WEBHOOK_OK, false, "none"},
		{STRIPE, SENT, ECO_WEBHOOK_BAD_HEADER, false, "no time"},
		{"t=1614265330,t=1614265331," STRIPE, SENT, ECO_WEBHOOK_BAD_HEADER, false, "two times"},
		{"t=," STRIPE, SENT, ECO_WEBHOOK_BAD_HEADER, false, "an empty time"},
		{"t=hello," STRIPE, SENT, ECO_WEBHOOK_BAD_HEADER, false, "a word"},
		{"", SENT, ECO_WEBHOOK_BAD_HEADER, false, "an empty header"},
		{NULL, SENT, ECO_WEBHOOK_NO_HEADER, false, "no header"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		EcoWebhook	webhook = stripe(cases[i].signatures);
		EcoWebhookVerdict verdict = eco_webhook_read(&webhook, cases[i].now);

		check_int(verdict, cases[i].verdict, cases[i].name);
		if (verdict != ECO_WEBHOOK_BAD_HEADER && verdict != ECO_WEBHOOK_NO_HEADER)
			check(is_signed(&webhook, "whsec_test_secret") == cases[i].is_signed, cases[i].name);
	}
}

void
test_webhook(void)
{
	secrets();
	standard_signatures();
	standard_headers();
	stripe_signatures();
}
