/*
 * output.c
 *		What economy_tail prints.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output.h"

/* what has been printed since the last flush */
static FILE *line = NULL;
static char *memory;
static size_t length;

static bool
is_wanted(const Options *options, Span type)
{
	for (int i = 0; i < options->n_types; i++)
		if (span_is(type, options->types[i]))
			return true;
	return options->n_types == 0;
}

/*
 * Texts of users must not command a terminal: DEL and the control characters
 * U+0080 to U+009F are printed as JSON escapes.  The others are escaped anyway.
 */
static void
put_span(Span span)
{
	for (size_t i = 0; i < span.len; i++)
	{
		unsigned char c = (unsigned char) span.at[i];
		unsigned char next = i + 1 < span.len ? (unsigned char) span.at[i + 1] : 0;

		if (c == 0x7f)
			fprintf(line, "\\u007f");
		else if (c == 0xc2 && next >= 0x80 && next < 0xa0)
		{
			fprintf(line, "\\u%04x", next);
			i++;
		}
		else
			fputc(c, line);
	}
}

void
output_event(const Options *options, const char *json, const Envelope *event)
{
	if (!is_wanted(options, event->type))
		return;
	if (line == NULL)
		line = open_memstream(&memory, &length);

	if (line == NULL)
		return;
	if (options->json)
	{
		fprintf(line, "%s\n", json);
		return;
	}
	put_span(event->time);
	fprintf(line, " user=%" PRId64 " seq=%" PRId64 " ", event->user_id, event->seq);
	put_span(event->type);
	fputc(' ', line);
	put_span(event->id);
	fputc(' ', line);
	put_span(event->data);
	fputc('\n', line);
}

/* What is ready; a reader that stops must not keep signals out, so never blocks. */
static Outcome
write_all(const char *at, size_t left)
{
	while (left > 0)
	{
		Outcome		outcome = session_wait_to_write();
		ssize_t		n;

		if (outcome != DONE)
			return outcome;
		n = write(STDOUT_FILENO, at, left < PIPE_BUF ? left : PIPE_BUF);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
		{
			fprintf(stderr, "economy_tail: cannot write: %s\n", strerror(errno));
			return FAILED;
		}
		if (n > 0)
		{
			at += n;
			left -= (size_t) n;
		}
	}
	return DONE;
}

Outcome
output_flush(void)
{
	Outcome		outcome;

	if (line == NULL)
		return DONE;
	if (fclose(line) != 0)
	{
		fprintf(stderr, "economy_tail: out of memory\n");
		return FAILED;
	}
	line = NULL;

	outcome = write_all(memory, length);
	free(memory);
	return outcome;
}

void
output_resync_user(const Options *options, int64_t user_id, int64_t after,
				   const char *seq, const char *gold, const char *experience_points)
{
	if (options->json)
		fprintf(stderr,
				"{\"code\":\"RESYNC_REQUIRED\",\"user_id\":%" PRId64 ",\"after_seq\":%" PRId64
				",\"seq\":%s,\"gold\":%s,\"experience_points\":%s}\n",
				user_id, after, seq, gold, experience_points);
	else
		fprintf(stderr,
				"economy_tail: RESYNC_REQUIRED: the events of user %" PRId64 " after seq %" PRId64
				" cannot be replayed; the account is at seq %s with %s gold and %s XP; "
				"going on from there\n",
				user_id, after, seq, gold, experience_points);
}

void
output_resync_all(const Options *options, const char *cursor)
{
	if (options->json)
		fprintf(stderr, "{\"code\":\"RESYNC_REQUIRED\",\"cursor\":\"%s\"}\n", cursor);
	else
		fprintf(stderr, "economy_tail: RESYNC_REQUIRED: "
				"the cursor is of another database or of one that was set back;"
				" read the accounts' state; going on from %s\n", cursor);
}
