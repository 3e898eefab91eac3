/*
 * tail.c
 *		Every event once: from the journals what was missed, else from NOTIFY.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "tail.h"

#define LISTEN_TO(name) "LISTEN " name ";"
#define NUMBER_CHARS 24

/* of a user: then the journals are read, so that they need not be kept */
#define MAX_TOLD 1000

/* columns of economy.replay() and economy.changes() as we ask for them */
enum
{
	COL_CODE,
	COL_POSITION,				/* where to go on: a seq or a cursor */
	COL_EVENT
};

typedef enum Page
{
	PAGE_LAST,
	PAGE_MORE,
	PAGE_RESYNC,
	PAGE_NO_USER
} Page;

static void
format_number(char *buf, int64_t number)
{
	snprintf(buf, NUMBER_CHARS, "%" PRId64, number);
}

static bool
is_followed(const Tail *tail, int64_t user_id)
{
	return tail->options->n_users == 0 || seen_find(&tail->seen, user_id) != NULL;
}

static Outcome
strange_answer(const char *what)
{
	fprintf(stderr, "economy_tail: %s\n", what);
	return FAILED;
}

/* Show an event of the journals, unless it was shown. */
static void
show_read(Tail *tail, const char *json, const Envelope *event)
{
	SeenUser   *user = seen_add(&tail->seen, event->user_id);

	if (seen_is_unread(user, event, json))
		output_event(tail->options, json, event);
}

/* An answer has all events of an entry or none. */
static void
end_entry(Tail *tail, const Envelope *event)
{
	SeenUser   *user = seen_find(&tail->seen, event->user_id);

	if (user != NULL && user->read < event->seq)
		seen_set(user, event->seq);
}

/* Show the events of one answer; *page says what its last row says. */
static Outcome
show_page(Tail *tail, const PGresult *result, Page *page)
{
	Envelope	before = {0};
	int			last = PQntuples(result) - 1;
	const char *code;

	for (int i = 0; i < last; i++)
	{
		const char *json = PQgetvalue(result, i, COL_EVENT);
		Envelope	event;

		if (!envelope_read(json, &event))
			return strange_answer("the server sent an event that cannot be read");
		if (i > 0 && (event.user_id != before.user_id || event.seq != before.seq))
			end_entry(tail, &before);
		show_read(tail, json, &event);
		before = event;
	}
	if (last < 0)
		return strange_answer("the server sent no answer");
	if (last > 0)
		end_entry(tail, &before);
	code = PQgetvalue(result, last, COL_CODE);
	if (strcmp(code, "CAUGHT_UP") == 0)
		*page = PAGE_LAST;
	else if (strcmp(code, "MORE") == 0)
		*page = PAGE_MORE;
	else if (strcmp(code, "RESYNC_REQUIRED") == 0)
		*page = PAGE_RESYNC;
	else
		*page = PAGE_NO_USER;
	return output_flush();
}

/* The account's state, which stands for the events that are gone. */
static Outcome
read_account(Tail *tail, SeenUser *user, bool resync)
{
	char		user_id[NUMBER_CHARS];
	const char *args[] = {user_id};
	PGresult   *result;
	Outcome		outcome;

	format_number(user_id, user->user_id);
	outcome = session_run(&tail->session,
						  "SELECT a.seq, a.gold, a.experience_points FROM economy.account($1) a",
						  1, args, &result);
	if (outcome != DONE)
		return outcome;
	if (PQntuples(result) == 1)
	{
		if (resync)
			output_resync_user(tail->options, user->user_id, seen_after(user),
							   PQgetvalue(result, 0, 0),
							   PQgetvalue(result, 0, 1), PQgetvalue(result, 0, 2));
		seen_set(user, strtoll(PQgetvalue(result, 0, 0), NULL, 10));
	}
	else
	{
		fprintf(stderr, "economy_tail: there is no user %s\n", user_id);
		outcome = FAILED;
	}
	PQclear(result);
	return outcome;
}

static Outcome
replay_page(Tail *tail, SeenUser *user, Page *page)
{
	char		user_id[NUMBER_CHARS];
	char		after[NUMBER_CHARS];
	const char *args[] = {user_id, after};
	PGresult   *result;
	Outcome		outcome;

	format_number(user_id, user->user_id);
	format_number(after, seen_after(user));
	outcome = session_run(&tail->session,
						  "SELECT r.code, r.seq, r.event FROM economy.replay($1, $2, 1000) r",
						  2, args, &result);
	if (outcome != DONE)
		return outcome;
	outcome = show_page(tail, result, page);
	/* also back, if we believed in something that never was committed */
	if (outcome == DONE && (*page == PAGE_LAST || *page == PAGE_MORE))
		seen_set(user, strtoll(PQgetvalue(result, PQntuples(result) - 1, COL_POSITION), NULL, 10));
	PQclear(result);
	return outcome;
}

static Outcome
replay(Tail *tail, SeenUser *user)
{
	Page		page;
	Outcome		outcome;

	do
	{
		outcome = replay_page(tail, user, &page);
		if (outcome != DONE)
			return outcome;
	} while (page == PAGE_MORE);
	return page == PAGE_LAST ? DONE : read_account(tail, user, page == PAGE_RESYNC);
}

static void
move_to(Tail *tail, const char *cursor)
{
	char	   *copy = cursor != NULL ? must_copy(cursor, strlen(cursor)) : NULL;

	free(tail->cursor);
	tail->cursor = copy;
}

/* The numbers and cursors before it mean nothing any more. */
static void
start_over(Tail *tail, const char *cursor)
{
	output_resync_all(tail->options, cursor);
	seen_clear(&tail->seen);
}

static Outcome
changes_page(Tail *tail, Page *page)
{
	const char *args[] = {tail->cursor};
	PGresult   *result;
	Outcome		outcome;

	outcome = session_run(&tail->session,
						  "SELECT c.code, c.next_cursor, c.event FROM economy.changes($1, 1000) c",
						  1, args, &result);
	if (outcome != DONE)
		return outcome;
	outcome = show_page(tail, result, page);
	if (outcome == DONE)
	{
		move_to(tail, PQgetvalue(result, PQntuples(result) - 1, COL_POSITION));
		if (*page == PAGE_RESYNC)
			start_over(tail, tail->cursor);
	}
	PQclear(result);
	return outcome;
}

static Outcome
read_changes(Tail *tail)
{
	Page		page;
	Outcome		outcome;

	do
		outcome = changes_page(tail, &page);
	while (outcome == DONE && page == PAGE_MORE);
	return outcome;
}

/* Read what may be missing: of all, or of the users that are behind. */
static Outcome
catch_up(Tail *tail, bool all)
{
	if (tail->options->n_users == 0)
		return read_changes(tail);
	for (int i = 0; i < tail->options->n_users; i++)
	{
		SeenUser   *user = seen_find(&tail->seen, tail->options->users[i]);
		Outcome		outcome = all || user->behind ? replay(tail, user) : DONE;

		if (outcome != DONE)
			return outcome;
	}
	return DONE;
}

/* Carry out --since. */
static Outcome
take_position(Tail *tail)
{
	const Options *options = tail->options;

	if (options->n_users == 0)
		move_to(tail, options->since == SINCE_START ? "start" : options->since_cursor);
	for (int i = 0; i < options->n_users; i++)
	{
		SeenUser   *user = seen_add(&tail->seen, options->users[i]);
		Outcome		outcome = DONE;

		if (options->since == SINCE_NOW)
			outcome = read_account(tail, user, false);
		else
			seen_set(user, options->since_seq);
		if (outcome != DONE)
			return outcome;
	}
	tail->positioned = true;
	return DONE;
}

Outcome
tail_begin(Tail *tail)
{
	Outcome		outcome;

	/* before anything is read, so that nothing falls in between */
	outcome = session_run(&tail->session, TYPES(LISTEN_TO), 0, NULL, NULL);
	if (outcome != DONE)
		return outcome;
	if (!tail->positioned)
		outcome = take_position(tail);
	if (outcome == DONE)
		outcome = catch_up(tail, true);
	return outcome;
}

/*
 * An event of no entry, a change of segment, cannot be replayed: it is
 * shown when it comes, and once.
 */
static void
show_loose(Tail *tail, const char *json, const Envelope *event)
{
	char	  **place = &tail->loose[tail->next_loose];

	for (int i = 0; i < RECENT_LOOSE; i++)
		if (tail->loose[i] != NULL && span_is(event->id, tail->loose[i]))
			return;
	free(*place);
	*place = must_copy(event->id.at, event->id.len);
	tail->next_loose = (tail->next_loose + 1) % RECENT_LOOSE;
	output_event(tail->options, json, event);
}

/* With economy.notify_payload = reference it only says that there is something. */
static bool
is_whole(const Envelope *event)
{
	for (size_t i = 0; i + 7 <= event->data.len; i++)
		if (memcmp(event->data.at + i, "\"gold\":", 7) == 0)
			return true;
	return false;
}

static void
show_notified(Tail *tail, const PGnotify *notification)
{
	SeenUser   *user;
	Envelope	event;
	Verdict		verdict;

	if (!envelope_read(notification->extra, &event) ||
		!span_is(event.type, notification->relname) || !is_followed(tail, event.user_id))
		return;
	if (event.id.at[0] == 'S')
	{
		if (!tail->options->verify)
			show_loose(tail, notification->extra, &event);
		return;
	}
	user = seen_find(&tail->seen, event.user_id);
	if (user != NULL &&
		(event.seq <= user->read || seen_was_told(user, event.seq, notification->extra)))
		return;
	verdict = user != NULL ? seen_judge(user, &event) : SEEN_GAP;
	if (verdict == SEEN_NEXT && !tail->options->verify && is_whole(&event) &&
		user->n_told < MAX_TOLD)
	{
		seen_note(user, &event);
		seen_tell(user, event.seq, notification->extra);
		output_event(tail->options, notification->extra, &event);
	}
	else
	{
		/* also what looks old: what made it so may be a lie */
		tail->behind = true;
		if (user != NULL)
			user->behind = true;
	}
}

/* All that have arrived, also while something else was read. */
static void
show_notifications(Tail *tail)
{
	PGnotify   *notification;

	while ((notification = PQnotifies(tail->session.conn)) != NULL)
	{
		show_notified(tail, notification);
		PQfreemem(notification);
	}
}

Outcome
tail_follow(Tail *tail)
{
	int			poll_ms = tail->options->poll_ms;
	int64_t		next_poll = poll_ms == 0 ? 0 : session_now_ms() + poll_ms;

	for (;;)
	{
		bool		all;
		Outcome		outcome;

		show_notifications(tail);
		outcome = output_flush();
		if (outcome != DONE)
			return outcome;
		all = next_poll != 0 && session_now_ms() >= next_poll;
		if (!all && !tail->behind)
		{
			outcome = session_wait(&tail->session, next_poll);
			if (outcome != DONE)
				return outcome;
			continue;
		}
		tail->behind = false;
		outcome = catch_up(tail, all);
		if (outcome != DONE)
			return outcome;
		if (all)
			next_poll = session_now_ms() + poll_ms;
	}
}
