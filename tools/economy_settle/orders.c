/*
 * orders.c
 *		The database: orders that are due, and what is reported of them.
 *
 * Nothing is kept here: who dies loses a lease, and the next one asks the provider
 * again, with the same key.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "orders.h"

#define TRIES 10				/* of a report that others were in the way of */
#define TRY_AGAIN_MS 50
#define NUMBER_CHARS 24

/* Numbers above 2^53 are not every language's, so user_id is a text. */
static const char lease_sql[] =
"SELECT l.order_id, l.state = 'PENDING', pg_catalog.jsonb_build_object("
" 'order_id', l.order_id, 'user_id', l.user_id::text, 'product_id', l.product_id,"
" 'quantity', l.quantity, 'amount', l.amount, 'currency', l.currency, 'state', l.state,"
" 'provider_ref', l.provider_ref, 'expires_at',"
" pg_catalog.to_char(l.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'))"
" FROM economy.settlement_lease($1, $2, pg_catalog.make_interval(secs => $3), $4) l";

static const char report_sql[] =
"SELECT r.order_state, r.code"
" FROM economy.settlement_report($1, $2, $3, reason => $4) r";

/* A reason of any length; what else does not fit is not understood. */
static const char read_sql[] =
"SELECT r.order_state, r.code FROM (SELECT $4::pg_catalog.jsonb AS body) b"
" CROSS JOIN LATERAL economy.settlement_report($1, coalesce(b.body ->> 'report', $2), $3,"
" b.body ->> 'provider_ref', (b.body ->> 'amount')::pg_catalog.int8, b.body ->> 'currency',"
" nullif(pg_catalog.left(b.body ->> 'reason', 63), '')) r"
" WHERE pg_catalog.jsonb_typeof(b.body) = 'object'";

static void
complain(const char *what, const char *message)
{
	size_t		len = strlen(message);

	while (len > 0 && message[len - 1] == '\n')
		len--;
	fprintf(stderr, "economy_settle: %s: %.*s\n", what, (int) len, message);
}

Outcome
orders_connect(PGconn **conn, const Options *options)
{
	*conn = PQconnectdbParams(options->server.keywords, options->server.values, 1);
	if (PQstatus(*conn) == CONNECTION_OK)
		return DONE;
	complain("no connection", *conn == NULL ? "out of memory" : PQerrorMessage(*conn));
	PQfinish(*conn);
	*conn = NULL;
	return LOST;
}

/* A statement's rows; NULL when there are none, and *state is why. */
static PGresult *
run(PGconn *conn, const char *sql, int n, const char *const *args, char state[6])
{
	PGresult   *result = PQexecParams(conn, sql, n, NULL, args, NULL, NULL, 0);
	const char *why = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	state[0] = '\0';
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		return result;
	snprintf(state, 6, "%s", why != NULL ? why : "");
	PQclear(result);
	return NULL;
}

/* Of a session that worked an error is worth another try, unless it is about rights and names. */
static Outcome
refused(const PGconn *conn, const char *state)
{
	complain("the server says", PQerrorMessage(conn));
	if (PQstatus(conn) == CONNECTION_BAD || state[0] == '\0' || strncmp(state, "57P", 3) == 0)
		return LOST;
	if (strncmp(state, "42", 2) == 0 || strncmp(state, "3F", 2) == 0 ||
		strncmp(state, "XE", 2) == 0)
		return FAILED;
	return LOST;
}

Outcome
orders_lease(PGconn *conn, const Options *options, Lease *lease)
{
	char		max[NUMBER_CHARS];
	char		seconds[NUMBER_CHARS];
	const char *args[] = {options->worker, max, seconds, options->provider};
	char		state[6];

	memset(lease, 0, sizeof(*lease));
	snprintf(max, sizeof(max), "%d", options->max);

	/*
	 * all of them are asked at once: time for that, and as much for the
	 * reports
	 */
	snprintf(seconds, sizeof(seconds), "%ld", 2 * options->timeout_ms / 1000 + 60);
	lease->result = run(conn, lease_sql, 4, args, state);
	if (lease->result == NULL)
		return refused(conn, state);
	lease->n = PQntuples(lease->result);
	for (int i = 0; i < lease->n; i++)
	{
		lease->orders[i].order_id = PQgetvalue(lease->result, i, 0);
		lease->orders[i].is_known = PQgetvalue(lease->result, i, 1)[0] == 't';
		lease->orders[i].request = PQgetvalue(lease->result, i, 2);
	}
	return DONE;
}

void
orders_forget(Lease *lease)
{
	for (int i = 0; i < lease->n; i++)
		free(lease->orders[i].answer.body);
	PQclear(lease->result);
	memset(lease, 0, sizeof(*lease));
}

static void
wait_a_moment(void)
{
	const struct timespec moment = {.tv_nsec = TRY_AGAIN_MS * 1000000L};

	(void) nanosleep(&moment, NULL);
}

/* Tell of it, again while others are in the way; NULL, and *state, when it cannot be told. */
static PGresult *
tell(PGconn *conn, const char *sql, const char *const *args, char state[6])
{
	PGresult   *result;

	for (int i = 0; i < TRIES; i++)
	{
		result = run(conn, sql, 4, args, state);
		if (result != NULL || (strcmp(state, "40001") != 0 && strcmp(state, "40P01") != 0))
			break;
		wait_a_moment();
	}
	return result;
}

/* What the answer is, of one whose body is not understood. */
static bool
is_about_the_body(const char *state)
{
	return strncmp(state, "22", 2) == 0 || strcmp(state, "XE001") == 0 ||
		strcmp(state, "XE002") == 0;
}

Outcome
orders_report(PGconn *conn, const Options *options, const Order *order)
{
	const Answer *answer = &order->answer;
	const char *args[] = {order->order_id, answer->report, options->worker, answer->body};
	PGresult   *result = NULL;
	char		state[6] = "22000";
	Outcome		outcome = DONE;

	if (answer->body != NULL)
		result = tell(conn, read_sql, args, state);
	if (result == NULL ? is_about_the_body(state) : PQntuples(result) == 0)
	{
		PQclear(result);
		args[1] = answer->report != NULL ? answer->report : "unknown";
		args[3] = answer->reason;
		result = tell(conn, report_sql, args, state);
	}
	if (result == NULL)
		outcome = refused(conn, state) == LOST && PQstatus(conn) == CONNECTION_BAD ? LOST : FAILED;
	else if (!options->quiet)
		printf("order %s: %s, %s %s\n", order->order_id, answer->reason,
			   PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1));
	PQclear(result);
	return outcome;
}
