/*
 * economy_settle.c
 *		Tells a payment provider of the orders of the economy extension, asks it
 *		about those that it knows, and reports what it answers.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "options.h"
#include "orders.h"
#include "provider.h"

#define FIRST_BACKOFF_MS 100
#define MAX_BACKOFF_MS 10000
#define TRIES 8					/* of a report, by new connections */

typedef struct Worker
{
	const Options *options;
	PGconn	   *conn;
	int			backoff;
} Worker;

static volatile sig_atomic_t stopping = 0;

static void
stop(int signal_number)
{
	(void) signal_number;
	stopping = 1;
}

/* The first lets what was asked be reported; a second one ends the program where it is. */
static void
catch_signals(void)
{
	struct sigaction action = {.sa_handler = stop, .sa_flags = (int) SA_RESETHAND};

	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* Less when we are to end; no signal falls between the look at the flag and the wait. */
static void
sleep_ms(long ms)
{
	struct timespec timeout = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	sigset_t	both;
	sigset_t	before;

	sigemptyset(&both);
	sigaddset(&both, SIGINT);
	sigaddset(&both, SIGTERM);
	sigprocmask(SIG_BLOCK, &both, &before);
	if (!stopping)
		(void) ppoll(NULL, 0, &timeout, &before);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

/* Half of it is random, so that workers do not all come back at once. */
static void
back_off(Worker *worker)
{
	sleep_ms(worker->backoff / 2 + random() % (worker->backoff / 2 + 1));
	worker->backoff = worker->backoff * 2 < MAX_BACKOFF_MS ? worker->backoff * 2 : MAX_BACKOFF_MS;
}

static void
disconnect(Worker *worker)
{
	PQfinish(worker->conn);
	worker->conn = NULL;
}

/*
 * What was answered is reported, also by a new connection, and also when we are to end.  When
 * it cannot be, the lease ends, and the provider is asked again.
 */
static void
report(void *state, Order *order)
{
	Worker	   *worker = state;
	Outcome		outcome = LOST;

	for (int i = 0; i < TRIES && outcome == LOST; i++)
	{
		if (worker->conn == NULL && orders_connect(&worker->conn, worker->options) != DONE)
		{
			back_off(worker);
			continue;
		}
		outcome = orders_report(worker->conn, worker->options, order);
		if (outcome == LOST)
			disconnect(worker);
	}
	if (outcome != DONE)
		fprintf(stderr, "economy_settle: order %s is not reported: %s\n", order->order_id,
				order->answer.reason);
}

/* A batch: how many orders there were, or -1, and *pause, to wait before the next. */
static Outcome
settle(Worker *worker, int *n, long *pause)
{
	Lease		lease;
	Outcome		outcome = orders_lease(worker->conn, worker->options, &lease);

	*n = lease.n;
	*pause = 0;
	if (outcome != DONE)
		return outcome;
	if (lease.n > 0)
		*pause = provider_ask(worker->options, &lease, report, worker);
	orders_forget(&lease);
	return DONE;
}

static int
work(Worker *worker)
{
	bool		connected = false;

	while (!stopping)
	{
		int			n;
		long		pause;
		Outcome		outcome;

		if (worker->conn == NULL && orders_connect(&worker->conn, worker->options) != DONE)
		{
			/* parameters that never worked will not work later */
			if (!connected)
				return EXIT_FAILED;
			back_off(worker);
			continue;
		}
		outcome = settle(worker, &n, &pause);
		if (outcome == FAILED || (outcome == LOST && !connected))
			return EXIT_FAILED;
		connected = true;
		if (outcome == LOST)
		{
			disconnect(worker);
			back_off(worker);
			continue;
		}
		worker->backoff = FIRST_BACKOFF_MS;
		if (n == 0 && worker->options->once)
			break;
		if (pause > 0)
			fprintf(stderr, "economy_settle: the provider asks for %ld s without requests\n",
					pause);
		if (n == 0 || pause > 0)
			sleep_ms(pause > 0 ? pause * 1000 : worker->options->poll_ms);
	}
	return EXIT_ENDED;
}

int
main(int argc, char **argv)
{
	Options		options;
	Worker		worker = {.options = &options, .backoff = FIRST_BACKOFF_MS};
	int			code;

	options_read(&options, argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	catch_signals();
	srandom((unsigned int) time(NULL) ^ (unsigned int) getpid() << 16);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	code = work(&worker);
	disconnect(&worker);
	return code;
}
