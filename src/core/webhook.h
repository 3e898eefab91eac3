/*
 * webhook.h
 *		Signatures of webhooks, by two published rules: Standard Webhooks 1.0, and that of
 *		Stripe.
 *
 *	standard	"v1," base64(HMAC-SHA256(key, id "." timestamp "." body)), several of them
 *				with spaces between; the key is the secret's base64 behind "whsec_"
 *	stripe		"t=" timestamp ",v1=" hex(HMAC-SHA256(key, timestamp "." body)), several v1;
 *				the key is the whole secret as it is written
 *
 * What is compared is the encoded text, in constant time: another text may be decoded to
 * the same bytes.
 */
#ifndef ECO_WEBHOOK_H
#define ECO_WEBHOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/sign.h"

#define ECO_WEBHOOK_TOLERANCE	300 /* seconds */
#define ECO_WEBHOOK_MAX_ID		255 /* bytes */

/* of a secret's key, in bytes */
#define ECO_WEBHOOK_MIN_KEY		16
#define ECO_WEBHOOK_MAX_KEY		256

typedef enum EcoWebhookProfile
{
	ECO_WEBHOOK_STANDARD,
	ECO_WEBHOOK_STRIPE
} EcoWebhookProfile;

typedef struct EcoBytes
{
	const char *data;			/* NULL: it was not sent */
	size_t		len;
} EcoBytes;

/* A webhook as it was sent; id and timestamp are headers of the standard one alone. */
typedef struct EcoWebhook
{
	EcoWebhookProfile profile;
	EcoBytes	id;
	EcoBytes	timestamp;		/* eco_webhook_read() takes Stripe's from
								 * signatures */
	EcoBytes	signatures;
	EcoBytes	body;
	int64_t		sent_at;		/* seconds since 1970; set by
								 * eco_webhook_read() */
} EcoWebhook;

typedef enum EcoWebhookVerdict
{
	ECO_WEBHOOK_OK,
	ECO_WEBHOOK_NO_HEADER,		/* one that must be there is not */
	ECO_WEBHOOK_BAD_HEADER,		/* one is not what it must be */
	ECO_WEBHOOK_TOO_OLD,
	ECO_WEBHOOK_TOO_NEW,
	ECO_WEBHOOK_UNSIGNED		/* no signature is of this key */
} EcoWebhookVerdict;

/* The key in a secret; 0: it is none.  key has room for ECO_WEBHOOK_MAX_KEY bytes. */
extern size_t eco_webhook_key(EcoWebhookProfile profile, EcoBytes secret, uint8_t *key);

/* Everything but the signature; now in seconds since 1970. */
extern EcoWebhookVerdict eco_webhook_read(EcoWebhook *webhook, int64_t now);

/*
 * Whether one of the signatures of a webhook that was read is made with the key.  False
 * when the crypto library failed; *is_signed is then false, too.
 */
extern bool eco_webhook_check(const EcoWebhook *webhook, EcoSigner *signer, bool *is_signed);

#endif
