/*
 * provider.c
 *		The payment provider: asks it about orders by HTTP.
 *
 * An order is posted as often as is needed, always with the same Idempotency-Key: the
 * first request is the order, each further one asks what became of it.  The signature is
 * that of Standard Webhooks 1.0: HMAC-SHA256 of id.timestamp.body, in base64.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "provider.h"

#define MAX_BODY 65536
#define MAX_PAUSE_S 3600
#define POLL_MS 1000

/* A request on its way. */
typedef struct Request
{
	CURL	   *curl;
	struct curl_slist *headers;
	Order	   *order;
	size_t		len;			/* of the answer's body */
	bool		too_long;
} Request;

static size_t
add_to_body(char *data, size_t size, size_t n, void *state)
{
	Request    *request = state;
	Answer	   *answer = &request->order->answer;
	size_t		len = size * n;

	if (request->len + len > MAX_BODY)
	{
		request->too_long = true;
		return 0;
	}
	if (answer->body == NULL)
		answer->body = malloc(MAX_BODY + 1);
	if (answer->body == NULL)
		return 0;
	memcpy(answer->body + request->len, data, len);
	request->len += len;
	answer->body[request->len] = '\0';
	return len;
}

static void
add_header(Request *request, const char *name, const char *value)
{
	char		header[512];
	struct curl_slist *longer;

	snprintf(header, sizeof(header), "%s: %s", name, value);
	longer = curl_slist_append(request->headers, header);
	if (longer == NULL)
		abort();
	request->headers = longer;
}

static void
sign(Request *request, const Options *options)
{
	const Order *order = request->order;
	size_t		room = strlen(order->order_id) + strlen(order->request) + 32;
	char	   *signed_text = malloc(room);
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int mac_len = 0;
	unsigned char encoded[2 * EVP_MAX_MD_SIZE];
	char		timestamp[24];
	char		signature[3 + sizeof(encoded)];

	snprintf(timestamp, sizeof(timestamp), "%lld", (long long) time(NULL));
	if (signed_text == NULL)
		abort();
	snprintf(signed_text, room, "%s.%s.%s", order->order_id, timestamp, order->request);
	if (HMAC(EVP_sha256(), options->secret, (int) options->secret_len,
			 (unsigned char *) signed_text, strlen(signed_text), mac, &mac_len) == NULL)
		abort();
	free(signed_text);
	EVP_EncodeBlock(encoded, mac, (int) mac_len);
	snprintf(signature, sizeof(signature), "v1,%s", (char *) encoded);
	add_header(request, "webhook-id", order->order_id);
	add_header(request, "webhook-timestamp", timestamp);
	add_header(request, "webhook-signature", signature);
}

static void
make_request(Request *request, const Options *options, Order *order)
{
	CURL	   *curl = curl_easy_init();

	if (curl == NULL)
		abort();
	*request = (Request)
	{
		.curl = curl, .order = order
	};
	add_header(request, "Content-Type", "application/json");
	add_header(request, "Idempotency-Key", order->order_id);
	add_header(request, "Expect", "");
	for (int i = 0; i < options->n_headers; i++)
		request->headers = curl_slist_append(request->headers, options->headers[i]);
	if (options->secret != NULL)
		sign(request, options);
	curl_easy_setopt(curl, CURLOPT_URL, options->url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, order->request);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, request->headers);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "economy_settle/" TOOL_VERSION);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, options->timeout_ms);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, add_to_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, request);
	curl_easy_setopt(curl, CURLOPT_PRIVATE, request);
}

/* The body says nothing of the order. */
static void
drop_body(Answer *answer)
{
	free(answer->body);
	answer->body = NULL;
}

/*
 * What a status says of an order.  Only 400, 402 and 422 are about the order itself, and
 * only the first time: one that was acknowledged fails when the provider says so of it, in
 * its words.  What else is refused, a key or a URL say, may be mended, and it is asked again.
 */
static void
judge(Request *request, CURLcode code)
{
	Answer	   *answer = &request->order->answer;
	long		status = 0;

	curl_easy_getinfo(request->curl, CURLINFO_RESPONSE_CODE, &status);
	answer->report = "unknown";
	if (code != CURLE_OK)
		snprintf(answer->reason, sizeof(answer->reason), "%s",
				 request->too_long ? "an answer of more than 65536 bytes" :
				 curl_easy_strerror(code));
	else
		snprintf(answer->reason, sizeof(answer->reason), "HTTP %ld", status);
	if (answer->body != NULL && strlen(answer->body) != request->len)
		drop_body(answer);
	if (code != CURLE_OK)
		drop_body(answer);
	else if (status == 200 || status == 201)
		answer->report = NULL;
	else if (status == 202)
		answer->report = "pending";
	else if (status == 400 || status == 402 || status == 422)
	{
		answer->report = request->order->is_known ? "unknown" : "failed";
		drop_body(answer);
	}
	else if (status != 409)
		drop_body(answer);
}

/* When it has too many requests, or is being repaired. */
static long
pause_asked_for(const Request *request)
{
	curl_off_t	seconds = 0;

	if (curl_easy_getinfo(request->curl, CURLINFO_RETRY_AFTER, &seconds) != CURLE_OK ||
		seconds < 0)
		return 0;
	return seconds < MAX_PAUSE_S ? (long) seconds : MAX_PAUSE_S;
}

static void
end_request(CURLM *all, Request *request)
{
	curl_multi_remove_handle(all, request->curl);
	curl_easy_cleanup(request->curl);
	curl_slist_free_all(request->headers);
}

long
provider_ask(const Options *options, Lease *lease,
			 void (*take) (void *state, Order *order), void *state)
{
	static CURLM *all = NULL;	/* keeps connections */
	static Request requests[MAX_ORDERS];
	int			running = lease->n;
	long		pause = 0;

	if (all == NULL && (all = curl_multi_init()) == NULL)
		abort();
	for (int i = 0; i < lease->n; i++)
	{
		make_request(&requests[i], options, &lease->orders[i]);
		curl_multi_add_handle(all, requests[i].curl);
	}
	while (running > 0)
	{
		CURLMsg    *message;
		int			ignored;

		curl_multi_perform(all, &ignored);
		while ((message = curl_multi_info_read(all, &ignored)) != NULL)
		{
			Request    *request;
			CURLcode	code = message->data.result;
			long		asked;

			curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &request);
			judge(request, code);
			asked = pause_asked_for(request);
			pause = asked > pause ? asked : pause;
			end_request(all, request);
			take(state, request->order);
			running--;
		}
		if (running > 0)
			curl_multi_poll(all, NULL, 0, POLL_MS, NULL);
	}
	return pause;
}
