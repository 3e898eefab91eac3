/*
 * fuzz_webhook.c
 *		Webhooks, whose headers anybody can send: what is signed passes, by one of several
 *		signatures, and nothing else does; and any bytes at all are read without harm.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "core/webhook.h"
#include "fuzz.h"

static EcoBytes
bytes_of(const uint8_t *data, size_t len)
{
	EcoBytes	bytes = {(const char *) data, len};

	return bytes;
}

/* The signature by another way than ours, as the header has it; its length. */
static size_t
expected_text(const EcoWebhook *webhook, const uint8_t *key, size_t key_len, char *text)
{
	size_t		len = 0;
	size_t		all = webhook->id.len + webhook->timestamp.len + webhook->body.len + 2;
	char	   *message = malloc(all + 1);
	uint8_t		mac[EVP_MAX_MD_SIZE];
	unsigned	mac_len;

	if (webhook->profile == ECO_WEBHOOK_STANDARD)
	{
		memcpy(message, webhook->id.data, len = webhook->id.len);
		message[len++] = '.';
	}
	memcpy(message + len, webhook->timestamp.data, webhook->timestamp.len);
	len += webhook->timestamp.len;
	message[len++] = '.';
	memcpy(message + len, webhook->body.data, webhook->body.len);
	len += webhook->body.len;
	CHECK(HMAC(EVP_sha256(), key, (int) key_len, (uint8_t *) message, len, mac, &mac_len) != NULL);
	free(message);
	if (webhook->profile == ECO_WEBHOOK_STANDARD)
		return (size_t) sprintf(text, "v1,") + (size_t) EVP_EncodeBlock((uint8_t *) text + 3, mac, (int) mac_len);
	len = (size_t) sprintf(text, "v1=");
	for (unsigned i = 0; i < mac_len; i++)
		len += (size_t) sprintf(text + len, "%02x", mac[i]);
	return len;
}

/* Whether the header has this text between its separators. */
static bool
has_part(EcoBytes header, char separator, const char *text, size_t len)
{
	for (size_t from = 0; from + len <= header.len; from++)
		if ((from == 0 || header.data[from - 1] == separator) && memcmp(header.data + from, text, len) == 0 &&
			(from + len == header.len || header.data[from + len] == separator))
			return true;
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		in = {data, size};
	EcoWebhook	webhook = {.profile = take_byte(&in) % 2 ? ECO_WEBHOOK_STRIPE : ECO_WEBHOOK_STANDARD};
	char		separator = webhook.profile == ECO_WEBHOOK_STANDARD ? ' ' : ',';
	uint8_t		key[ECO_WEBHOOK_MAX_KEY];
	uint8_t		own_key[ECO_KEY_LEN];
	char		text[100];
	size_t		len;
	uint8_t    *secret = take_bytes(&in, 400, &len);
	size_t		key_len = eco_webhook_key(webhook.profile, bytes_of(secret, len), key);
	uint8_t    *parts[4];
	EcoBytes   *members[] = {&webhook.id, &webhook.timestamp, &webhook.signatures, &webhook.body};
	EcoSigner  *signer;
	EcoWebhookVerdict verdict;
	int64_t		now = take_byte(&in) * 5;
	bool		is_signed;

	CHECK(key_len == 0 || (key_len >= ECO_WEBHOOK_MIN_KEY && key_len <= ECO_WEBHOOK_MAX_KEY && key_len <= len));
	free(secret);
	for (int i = 0; i < 4; i++)
	{
		parts[i] = take_bytes(&in, 500, &len);
		*members[i] = bytes_of(parts[i], len);
	}
	if (key_len == 0)
	{
		take(&in, own_key, sizeof(own_key));
		memcpy(key, own_key, key_len = sizeof(own_key));
	}
	signer = eco_signer_create(key, key_len);
	CHECK(signer != NULL);
	verdict = eco_webhook_read(&webhook, now);
	if (verdict == ECO_WEBHOOK_OK || verdict == ECO_WEBHOOK_TOO_OLD || verdict == ECO_WEBHOOK_TOO_NEW)
	{
		CHECK(verdict == (webhook.sent_at < now - 300 ? ECO_WEBHOOK_TOO_OLD :
						  webhook.profile == ECO_WEBHOOK_STANDARD && webhook.sent_at > now + 300 ? ECO_WEBHOOK_TOO_NEW : ECO_WEBHOOK_OK));
		CHECK(eco_webhook_check(&webhook, signer, &is_signed));
		len = expected_text(&webhook, key, key_len, text);
		CHECK(is_signed == has_part(webhook.signatures, separator, text, len));
		/* the right one, in front of whatever was there */
		if (webhook.profile == ECO_WEBHOOK_STANDARD || webhook.signatures.len > 0)
		{
			char	   *header = malloc(webhook.signatures.len + len + 1);

			memcpy(header, text, len);
			header[len] = separator;
			memcpy(header + len + 1, webhook.signatures.data, webhook.signatures.len);
			webhook.signatures = bytes_of((uint8_t *) header, webhook.signatures.len + len + 1);
			CHECK(eco_webhook_check(&webhook, signer, &is_signed) && is_signed);
			free(header);
		}
	}
	for (int i = 0; i < 4; i++)
		free(parts[i]);
	eco_signer_free(signer);
	return 0;
}
