/*
 * webhook.c
 *		Signatures of webhooks, by two published rules.
 */
#include "core/webhook.h"

#include <string.h>

#include <openssl/evp.h>

#define MAX_TIMESTAMP_DIGITS 12

/* the longer one: hexadecimal, and the terminator that the library writes */
#define MAX_ENCODED (2 * ECO_SIGNATURE_LEN + 1)

static const char secret_prefix[] = "whsec_";

static bool
starts_with(EcoBytes text, const char *prefix)
{
	size_t		len = strlen(prefix);

	return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

static EcoBytes
bytes_at(const char *data, size_t len)
{
	EcoBytes	bytes;

	bytes.data = data;
	bytes.len = len;
	return bytes;
}

static EcoBytes
behind(EcoBytes text, size_t len)
{
	return bytes_at(text.data + len, text.len - len);
}

/* The part up to a separator; *text is then what follows it, and without data at the end. */
static EcoBytes
next_part(EcoBytes *text, char separator)
{
	const char *end = memchr(text->data, separator, text->len);
	EcoBytes	part = bytes_at(text->data, end == NULL ? text->len : (size_t) (end - text->data));

	if (end == NULL)
		text	  ->data = NULL;

	else
		*text = behind(*text, part.len + 1);
	return part;
}

static int
base64_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *found = c == '\0' ? NULL : strchr(digits, c);

	return found == NULL ? -1 : (int) (found - digits);
}

/*
 * Strict, unlike most: no white space, and padded, so that what was cut off when it was
 * copied is found.  0: it is no base64, or has more than max bytes.
 */
static size_t
base64_decode(EcoBytes encoded, uint8_t *bytes, size_t max)
{
	uint32_t	bits = 0;
	int			nbits = 0;
	size_t		len = 0;

	if (encoded.len % 4 != 0)
		return 0;
	for (int i = 0; i < 2 && encoded.len > 0; i++)
		if (encoded.data[encoded.len - 1] == '=')
			encoded.len--;
	for (size_t i = 0; i < encoded.len; i++)
	{
		int			digit = base64_digit(encoded.data[i]);

		if (digit < 0)
			return 0;
		bits = bits << 6 | (uint32_t) digit;
		nbits += 6;
		if (nbits < 8)
			continue;
		if (len == max)
			return 0;
		nbits -= 8;
		bytes[len++] = (uint8_t) (bits >> nbits);
	}
	return len;
}

/* Without what sticks to a secret that is copied: white space, a line's end. */
static bool
is_word(EcoBytes text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] <= ' ' || text.data[i] > '~')
			return false;
	return true;
}

size_t
eco_webhook_key(EcoWebhookProfile profile, EcoBytes secret, uint8_t *key)
{
	size_t		len = 0;

	if (profile == ECO_WEBHOOK_STRIPE && secret.len <= ECO_WEBHOOK_MAX_KEY && is_word(secret))
		memcpy(key, secret.data, len = secret.len);
	else if (profile == ECO_WEBHOOK_STANDARD)
		len = base64_decode(starts_with(secret, secret_prefix) ?
							behind(secret, strlen(secret_prefix)) : secret,
							key, ECO_WEBHOOK_MAX_KEY);
	return len >= ECO_WEBHOOK_MIN_KEY ? len : 0;
}

/* Digits alone: what is signed is this text, and there is one for each number. */
static bool
read_number(EcoBytes text, int64_t *number)
{
	if (text.len == 0 || text.len > MAX_TIMESTAMP_DIGITS || (text.data[0] == '0' && text.len > 1))
		return false;
	*number = 0;
	for (size_t i = 0; i < text.len; i++)
	{
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		*number = *number * 10 + (text.data[i] - '0');
	}
	return true;
}

/* Of Stripe's header, where there must be one alone. */
static EcoWebhookVerdict
find_timestamp(EcoWebhook *webhook)
{
	EcoBytes	rest = webhook->signatures;

	webhook->timestamp.data = NULL;
	while (rest.data != NULL)
	{
		EcoBytes	part = next_part(&rest, ',');

		if (!starts_with(part, "t="))
			continue;
		if (webhook->timestamp.data != NULL)
			return ECO_WEBHOOK_BAD_HEADER;
		webhook->timestamp = behind(part, 2);
	}
	return webhook->timestamp.data == NULL ? ECO_WEBHOOK_BAD_HEADER : ECO_WEBHOOK_OK;
}

/*
 * An id with a "." could take what is signed apart in another place: the same bytes would
 * be another webhook, with another id.
 */
static bool
is_id(EcoBytes id)
{
	return id.len > 0 && id.len <= ECO_WEBHOOK_MAX_ID && memchr(id.data, '.', id.len) == NULL;
}

EcoWebhookVerdict
eco_webhook_read(EcoWebhook *webhook, int64_t now)
{
	bool		is_standard = webhook->profile == ECO_WEBHOOK_STANDARD;

	if (webhook->signatures.data == NULL ||
		(is_standard && (webhook->id.data == NULL || webhook->timestamp.data == NULL)))
		return ECO_WEBHOOK_NO_HEADER;
	if (is_standard ? !is_id(webhook->id) : find_timestamp(webhook) != ECO_WEBHOOK_OK)
		return ECO_WEBHOOK_BAD_HEADER;
	if (!read_number(webhook->timestamp, &webhook->sent_at))
		return ECO_WEBHOOK_BAD_HEADER;
	if (webhook->sent_at < now - ECO_WEBHOOK_TOLERANCE)
		return ECO_WEBHOOK_TOO_OLD;
	/* Stripe's own libraries ask for the past alone */
	if (is_standard && webhook->sent_at > now + ECO_WEBHOOK_TOLERANCE)
		return ECO_WEBHOOK_TOO_NEW;
	return ECO_WEBHOOK_OK;
}

static size_t
encode(EcoWebhookProfile profile, const uint8_t signature[ECO_SIGNATURE_LEN],
	   char encoded[MAX_ENCODED])
{
	static const char digits[] = "0123456789abcdef";

	if (profile == ECO_WEBHOOK_STANDARD)
		return (size_t) EVP_EncodeBlock((unsigned char *) encoded, signature, ECO_SIGNATURE_LEN);
	for (int i = 0; i < ECO_SIGNATURE_LEN; i++)
	{
		encoded[2 * i] = digits[signature[i] >> 4];
		encoded[2 * i + 1] = digits[signature[i] & 15];
	}
	return 2 * ECO_SIGNATURE_LEN;
}

static bool
sign(const EcoWebhook *webhook, EcoSigner *signer, uint8_t signature[ECO_SIGNATURE_LEN])
{
	const EcoBytes dot = {".", 1};
	const EcoBytes parts[] = {webhook->id, dot, webhook->timestamp, dot, webhook->body};
	int			first = webhook->profile == ECO_WEBHOOK_STANDARD ? 0 : 2;

	eco_sign_begin(signer);
	for (int i = first; i < 5; i++)
		eco_sign_add(signer, parts[i].data, parts[i].len);
	return eco_sign_end(signer, signature);
}

bool
eco_webhook_check(const EcoWebhook *webhook, EcoSigner *signer, bool *is_signed)
{
	bool		is_standard = webhook->profile == ECO_WEBHOOK_STANDARD;
	const char *version = is_standard ? "v1," : "v1=";
	uint8_t		signature[ECO_SIGNATURE_LEN];
	char		expected[MAX_ENCODED];
	EcoBytes	rest = webhook->signatures;
	size_t		len;

	*is_signed = false;
	if (!sign(webhook, signer, signature))
		return false;
	len = encode(webhook->profile, signature, expected);
	while (rest.data != NULL)
	{
		EcoBytes	part = next_part(&rest, is_standard ? ' ' : ',');

		/* all are looked at, so that the time does not tell which it was */
		if (starts_with(part, version))
			*is_signed |= eco_signature_equal((const uint8_t *) part.data + strlen(version),
											  part.len - strlen(version),
											  (const uint8_t *) expected, len);
	}
	eco_wipe(expected, sizeof(expected));
	eco_wipe(signature, sizeof(signature));
	return true;
}
