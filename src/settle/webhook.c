/*
 * webhook.c
 *		Whether a webhook is of a payment provider: its headers, and its signature under the
 *		provider's secrets.
 *
 * Secrets are read under the latest snapshot at every isolation level, as signing keys are,
 * and leave the table for a keyed context alone, which lives as long as the call.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "core/webhook.h"
#include "errors.h"
#include "ledger/args.h"
#include "ledger/result.h"
#include "ledger/rows.h"

PG_FUNCTION_INFO_V1(eco_verify_webhook);
PG_FUNCTION_INFO_V1(eco_payment_key);

enum
{
	PRO_PROVIDER,
	PRO_PROFILE,
	PRO_COLUMNS
};

static EcoTable providers = {
	.name = "payment_providers",
	.only_read = true,
	.later = true,
	.ncolumns = PRO_COLUMNS,
	.columns = {
		{"provider", TEXTOID, false},
		{"profile", TEXTOID, false},
	},
	.nkeys = 1,
	.keys = {{1, {PRO_PROVIDER}}},
};

enum
{
	SEC_PROVIDER,
	SEC_VERSION,
	SEC_STATE,
	SEC_MATERIAL,
	SEC_COLUMNS
};

static EcoTable secrets = {
	.name = "payment_secrets",
	.only_read = true,
	.later = true,
	.ncolumns = SEC_COLUMNS,
	.columns = {
		{"provider", TEXTOID, false},
		{"version", INT4OID, false},
		{"state", TEXTOID, false},
		{"material", BYTEAOID, false},
	},
	.nkeys = 1,
	.keys = {{2, {SEC_PROVIDER, SEC_VERSION}}},
};

/* columns of economy.webhook_check */
enum
{
	CHECK_VALID,
	CHECK_REASON,
	CHECK_WEBHOOK_ID,
	CHECK_SENT_AT,
	CHECK_SECRET_VERSION
};

static const char *const verdicts[] = {
	[ECO_WEBHOOK_OK] = "OK",
	[ECO_WEBHOOK_NO_HEADER] = "HEADER_MISSING",
	[ECO_WEBHOOK_BAD_HEADER] = "HEADER_NOT_VALID",
	[ECO_WEBHOOK_TOO_OLD] = "TOO_OLD",
	[ECO_WEBHOOK_TOO_NEW] = "TOO_NEW",
	[ECO_WEBHOOK_UNSIGNED] = "WRONG_SIGNATURE"
};

static bool
profile_of(Datum word, EcoWebhookProfile *profile)
{
	const char *name = TextDatumGetCString(word);

	*profile = strcmp(name, "stripe") == 0 ? ECO_WEBHOOK_STRIPE : ECO_WEBHOOK_STANDARD;
	return *profile == ECO_WEBHOOK_STRIPE || strcmp(name, "standard") == 0;
}

/* A text, or, as some frameworks give a header, an array of that text alone. */
static bool
text_in(const JsonbValue *value, EcoBytes *text)
{
	JsonbValue *first;

	if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data) &&
		JsonContainerSize(value->val.binary.data) == 1)
	{
		first = getIthJsonbValueFromContainer(value->val.binary.data, 0);
		return first->type == jbvString && text_in(first, text);
	}
	if (value->type != jbvString)
		return false;
	text	  ->data = value->val.string.val;
	text	  ->len = (size_t) value->val.string.len;

	return true;
}

/*
 * A header, whose name is written in capitals or not.  False: it is there twice, or is no
 * text; which one is meant is not for us to choose.
 */
static bool
find_header(Jsonb *headers, const char *name, EcoBytes *header)
{
	JsonbIterator *it = JsonbIteratorInit(&headers->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	int			len = (int) strlen(name);

	header->data = NULL;
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		bool		is_named = token == WJB_KEY && value.val.string.len == len &&
		pg_strncasecmp(value.val.string.val, name, (size_t) len) == 0;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		if (is_named && (header->data != NULL || !text_in(&value, header)))
			return false;
	}
	return true;
}

static EcoWebhookVerdict
read_webhook(EcoWebhook *webhook, Jsonb *headers, bytea *body)
{
	bool		is_standard = webhook->profile == ECO_WEBHOOK_STANDARD;

	webhook->body.data = VARDATA_ANY(body);
	webhook->body.len = VARSIZE_ANY_EXHDR(body);
	if (is_standard && (!find_header(headers, "webhook-id", &webhook->id) ||
						!find_header(headers, "webhook-timestamp", &webhook->timestamp)))
		return ECO_WEBHOOK_BAD_HEADER;
	if (!find_header(headers, is_standard ? "webhook-signature" : "stripe-signature",
					 &webhook->signatures))
		return ECO_WEBHOOK_BAD_HEADER;
	return eco_webhook_read(webhook, timestamptz_to_time_t(eco_now()));
}

/* Whether it is signed with this secret. */
static bool
is_signed_with(const EcoWebhook *webhook, bytea *material)
{
	EcoSigner  *signer = eco_signer_create((uint8 *) VARDATA_ANY(material),
										   VARSIZE_ANY_EXHDR(material));
	bool		is_signed = false;
	bool		checked = signer != NULL && eco_webhook_check(webhook, signer, &is_signed);

	eco_signer_free(signer);
	eco_wipe(VARDATA_ANY(material), VARSIZE_ANY_EXHDR(material));
	if (!checked)
		ECO_ERROR(ECO_CRYPTO_FAILED, errmsg("could not verify a signature"));
	return is_signed;
}

/*
 * Why it is not signed with a secret of the provider, or OK; version: of which one.  All
 * are tried, whichever it is.
 */
static const char *
check_secrets(const EcoWebhook *webhook, Datum provider, int32 *version)
{
	EcoScan    *scan = eco_scan_begin(&secrets, 0, 0, 1, &provider);
	const char *reason = "NO_SECRET";
	EcoRow		row;

	*version = 0;
	while (eco_scan_next(scan, &row))
	{
		bytea	   *material = DatumGetByteaPP(row.values[SEC_MATERIAL]);

		if (strcmp(TextDatumGetCString(row.values[SEC_STATE]), "active") != 0 ||
			VARSIZE_ANY_EXHDR(material) < ECO_WEBHOOK_MIN_KEY)
			continue;
		if (is_signed_with(webhook, material))
			*version = DatumGetInt32(row.values[SEC_VERSION]);
		reason = *version > 0 ? verdicts[ECO_WEBHOOK_OK] : verdicts[ECO_WEBHOOK_UNSIGNED];
	}
	eco_scan_end(scan);
	return reason;
}

static const char *
check_webhook(EcoWebhook *webhook, EcoText provider, Jsonb *headers, bytea *body, int32 *version)
{
	EcoWebhookVerdict verdict;
	EcoRow		row;

	if (!eco_row_find(&providers, 0, 0, 1, &provider.datum, &row) ||
		!profile_of(row.values[PRO_PROFILE], &webhook->profile))
		return "PROVIDER_NOT_FOUND";
	verdict = read_webhook(webhook, headers, body);
	if (verdict != ECO_WEBHOOK_OK)
		return verdicts[verdict];
	return check_secrets(webhook, provider.datum, version);
}

/* What is known of a webhook that is the provider's. */
static void
describe(EcoResult *result, const EcoWebhook *webhook, int32 version)
{
	pg_time_t	sent_at = (pg_time_t) webhook->sent_at;

	if (webhook->id.data != NULL)
		eco_result_text(result, CHECK_WEBHOOK_ID, pnstrdup(webhook->id.data, webhook->id.len));
	eco_result_set(result, CHECK_SENT_AT, TimestampTzGetDatum(time_t_to_timestamptz(sent_at)));
	eco_result_set(result, CHECK_SECRET_VERSION, Int32GetDatum(version));
}

/*
 * eco_verify_webhook(provider text, headers jsonb, body bytea)
 *		returns economy.webhook_check
 */
Datum
eco_verify_webhook(PG_FUNCTION_ARGS)
{
	static EcoTable *const tables[] = {&providers, &secrets, NULL};
	EcoText		provider = eco_text_arg(fcinfo, 0, "provider", ECO_MAX_NAME);
	EcoWebhook	webhook = {0};
	EcoOpenTables *open;
	EcoResult	result;
	const char *reason;
	int32		version = 0;

	eco_require_arg(fcinfo, 1, "headers");
	eco_require_arg(fcinfo, 2, "body");
	if (!JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(1)))
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("headers must be a JSON object"));
	eco_result_begin(&result, fcinfo, "bttzi");
	open = eco_tables_open(ECO_READ_LATEST, tables);
	reason = check_webhook(&webhook, provider, PG_GETARG_JSONB_P(1), PG_GETARG_BYTEA_PP(2),
						   &version);
	eco_tables_close(open);
	eco_result_set(&result, CHECK_VALID, BoolGetDatum(version > 0));
	eco_result_text(&result, CHECK_REASON, reason);
	if (version > 0)
		describe(&result, &webhook, version);
	PG_RETURN_DATUM(eco_result_row(&result));
}

/*
 * eco_payment_key(profile text, secret text) returns bytea: NULL when it is no secret
 */
Datum
eco_payment_key(PG_FUNCTION_ARGS)
{
	EcoText		secret = eco_text_in(PG_GETARG_DATUM(1));
	EcoBytes	given = {secret.data, (size_t) secret.len};
	uint8		key[ECO_WEBHOOK_MAX_KEY];
	EcoWebhookProfile profile;
	size_t		len = profile_of(PG_GETARG_DATUM(0), &profile) ?
	eco_webhook_key(profile, given, key) : 0;
	Datum		result = len == 0 ? (Datum) 0 : eco_bytea(key, len);

	eco_wipe(key, sizeof(key));
	if (len == 0)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}
