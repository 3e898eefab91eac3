/*
 * session.c
 *		The connection: everything that waits, and ends early for a signal.
 *
 * The signals are blocked but for the time of ppoll(), so none can fall
 * between a look at the flag and the wait.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "session.h"

#define CONNECT_MS 10000		/* for one attempt */
#define ANSWER_MS 60000			/* without a byte of an answer */

static volatile sig_atomic_t stopping = 0;
static sigset_t while_waiting;

static void
stop(int signal_number)
{
	(void) signal_number;
	stopping = 1;
}

void
session_catch_signals(void)
{
	struct sigaction action = {.sa_handler = stop};
	sigset_t	blocked;

	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, &while_waiting);
	sigdelset(&while_waiting, SIGINT);
	sigdelset(&while_waiting, SIGTERM);
	/* a reader that went away is an error of writing, with an exit code */
	signal(SIGPIPE, SIG_IGN);
}

int64_t
session_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * Wait for events of fd, -1 being none; DONE also when the time is over.
 * FAILED as soon as nobody reads the output any more, not at the next event.
 */
static Outcome
wait_for(int fd, short events, int64_t until)
{
	struct pollfd wanted[] = {{.fd = fd, .events = events}, {.fd = STDOUT_FILENO}};
	struct timespec timeout = {0};
	int64_t		left = until - session_now_ms();

	if (left > 0)
	{
		timeout.tv_sec = (time_t) (left / 1000);
		timeout.tv_nsec = (long) (left % 1000) * 1000000;
	}
	if (ppoll(wanted, 2, until == 0 ? NULL : &timeout, &while_waiting) < 0 && errno != EINTR)
	{
		fprintf(stderr, "economy_tail: cannot wait: %s\n", strerror(errno));
		return FAILED;
	}
	if (stopping)
		return STOPPED;
	if (wanted[1].revents & POLLERR)
	{
		fprintf(stderr, "economy_tail: nobody reads the output\n");
		return FAILED;
	}
	return DONE;
}

Outcome
session_wait_to_write(void)
{
	struct pollfd wanted = {.fd = STDOUT_FILENO, .events = POLLOUT};

	if (ppoll(&wanted, 1, NULL, &while_waiting) < 0 && errno != EINTR)
		return FAILED;
	if (stopping)
		return STOPPED;
	return DONE;
}

Outcome
session_sleep(int64_t ms)
{
	return wait_for(-1, 0, session_now_ms() + ms);
}

/* Neither libpq's messages nor ours contain the password. */
static Outcome
complain(const char *what, const char *message)
{
	size_t		len = strlen(message);

	while (len > 0 && message[len - 1] == '\n')
		len--;
	fprintf(stderr, "economy_tail: %s: %.*s\n", what, (int) len, message);
	return LOST;
}

Outcome
session_open(Session *session, const Options *options)
{
	int64_t		until = session_now_ms() + CONNECT_MS;
	PostgresPollingStatusType wants = PGRES_POLLING_WRITING;

	session->conn = PQconnectStartParams(options->server.keywords, options->server.values, 1);
	if (session->conn == NULL || PQstatus(session->conn) == CONNECTION_BAD)
		return complain("no connection", session->conn == NULL ? "out of memory" :
						PQerrorMessage(session->conn));
	for (;;)
	{
		Outcome		outcome;
		short		events = wants == PGRES_POLLING_READING ? POLLIN : POLLOUT;

		outcome = wait_for(PQsocket(session->conn), events, until);
		if (outcome != DONE)
			return outcome;
		if (session_now_ms() >= until)
			return complain("no connection", "no answer");
		wants = PQconnectPoll(session->conn);
		if (wants == PGRES_POLLING_OK)
			return DONE;
		if (wants == PGRES_POLLING_FAILED)
			return complain("no connection", PQerrorMessage(session->conn));
	}
}

void
session_close(Session *session)
{
	PQfinish(session->conn);
	session->conn = NULL;
}

/*
 * An error of a live session is worth another try, unless it is about the
 * statement, the extension or the role's rights.
 */
static Outcome
refused(const Session *session, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	complain("the server says", PQresultErrorMessage(result));
	if (PQstatus(session->conn) == CONNECTION_BAD || state == NULL ||
		strncmp(state, "57P", 3) == 0)
		return LOST;
	if (!session->was_live || strncmp(state, "42", 2) == 0 || strncmp(state, "3F", 2) == 0 ||
		strncmp(state, "XE", 2) == 0)
		return FAILED;
	return LOST;
}

/* The last result, or the first error. */
static Outcome
collect(Session *session, PGresult **result)
{
	Outcome		outcome = DONE;
	PGresult   *next;

	*result = NULL;
	for (;;)
	{
		while (PQisBusy(session->conn))
		{
			int64_t		until = session_now_ms() + ANSWER_MS;

			/* behind an error, too, which stays what it is */
			Outcome		waited = wait_for(PQsocket(session->conn), POLLIN, until);

			if (waited != DONE)
				return waited;
			if (session_now_ms() >= until)
				return complain("connection lost", "no answer");
			if (!PQconsumeInput(session->conn))
				return complain("connection lost", PQerrorMessage(session->conn));
		}
		next = PQgetResult(session->conn);
		if (next == NULL)
			return outcome;
		if (outcome == DONE && PQresultStatus(next) != PGRES_TUPLES_OK &&
			PQresultStatus(next) != PGRES_COMMAND_OK)
			outcome = refused(session, next);
		PQclear(*result);
		*result = next;
		if (PQstatus(session->conn) == CONNECTION_BAD)
			return LOST;
	}
}

Outcome
session_run(Session *session, const char *sql, int n, const char *const *args,
			PGresult **result)
{
	PGresult   *found = NULL;
	Outcome		outcome;
	int			sent;

	if (n == 0)
		sent = PQsendQuery(session->conn, sql);
	else
		sent = PQsendQueryParams(session->conn, sql, n, NULL, args, NULL, NULL, 0);
	if (sent)
		outcome = collect(session, &found);
	else
		outcome = complain("connection lost", PQerrorMessage(session->conn));
	/* the connection ended before there was any */
	if (outcome == DONE && found == NULL)
		outcome = complain("connection lost", PQerrorMessage(session->conn));
	if (outcome == DONE && result != NULL)
		*result = found;
	else
		PQclear(found);
	return outcome;
}

Outcome
session_wait(Session *session, int64_t until)
{
	Outcome		outcome = wait_for(PQsocket(session->conn), POLLIN, until);

	if (outcome != DONE)
		return outcome;
	if (!PQconsumeInput(session->conn))
		return complain("connection lost", PQerrorMessage(session->conn));
	return DONE;
}
