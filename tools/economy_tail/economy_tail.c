/*
 * economy_tail.c
 *		Shows the events of the economy extension, each once and in order per
 *		user, across restarts of the server.  The reference for listeners.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "options.h"
#include "tail.h"

#define FIRST_BACKOFF_MS 100
#define MAX_BACKOFF_MS 10000

/* One connection, from its beginning to its end. */
static Outcome
serve(Tail *tail, bool *connected, int *backoff)
{
	Outcome		outcome = session_open(&tail->session, tail->options);

	/* parameters that never worked will not work later */
	if (outcome == LOST && !*connected)
		return FAILED;
	if (outcome != DONE)
		return outcome;
	*connected = true;
	outcome = tail_begin(tail);
	if (outcome != DONE)
		return outcome;
	fprintf(stderr, "economy_tail: listening\n");
	tail->session.was_live = true;
	*backoff = FIRST_BACKOFF_MS;
	return tail_follow(tail);
}

/* Half of it is random, so that listeners do not all come back at once. */
static Outcome
back_off(int *backoff)
{
	Outcome		outcome = session_sleep(*backoff / 2 + random() % (*backoff / 2 + 1));

	*backoff = *backoff * 2 < MAX_BACKOFF_MS ? *backoff * 2 : MAX_BACKOFF_MS;
	return outcome;
}

int
main(int argc, char **argv)
{
	Options		options;
	Tail		tail = {.options = &options};
	Outcome		outcome;
	bool		connected = false;
	int			backoff = FIRST_BACKOFF_MS;

	options_read(&options, argc, argv);
	session_catch_signals();
	srandom((unsigned int) time(NULL) ^ (unsigned int) getpid() << 16);
	do
	{
		outcome = serve(&tail, &connected, &backoff);
		session_close(&tail.session);
		if (outcome == LOST)
		{
			outcome = back_off(&backoff);
			if (outcome == DONE)
				outcome = LOST;
		}
	} while (outcome == LOST);
	seen_clear(&tail.seen);
	return outcome == STOPPED ? EXIT_ENDED : EXIT_FAILED;
}
