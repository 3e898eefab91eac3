/*
 * test_seen.c
 *		What economy_tail shows of what it hears, and drops of what it has shown.
 */
#include <stdio.h>
#include <string.h>

#include "seen.h"
#include "unit.h"

static Verdict
judge(const SeenUser *user, int64_t seq, const char *id)
{
	Envelope	event = {.id = {id, strlen(id)},.user_id = user->user_id,.seq = seq};

	return seen_judge(user, &event);
}

static void
note(SeenUser *user, int64_t seq, const char *id)
{
	Envelope	event = {.id = {id, strlen(id)},.user_id = user->user_id,.seq = seq};

	seen_note(user, &event);
}

static void
order(void)
{
	Seen		seen = {0};
	SeenUser   *user = seen_add(&seen, 7);

	check(judge(user, 1, "R7-1") == SEEN_NEXT, "the first entry");
	check(judge(user, 2, "R7-2") == SEEN_GAP, "not the second one before it");
	note(user, 1, "R7-1");
	check(judge(user, 1, "R7-1") == SEEN_OLD, "the same event again");
	check(judge(user, 1, "R7-1/level") == SEEN_NEXT, "another event of the entry");
	check_int(seen_after(user), 0, "an entry that may be half shown is asked for again");
	note(user, 1, "R7-1/level");
	check(judge(user, 1, "R7-1") == SEEN_OLD && judge(user, 1, "R7-1/level") == SEEN_OLD, "each once");
	check(judge(user, 2, "R7-2") == SEEN_NEXT, "the next entry");
	note(user, 2, "R7-2");
	check(judge(user, 1, "R7-1/other") == SEEN_OLD, "an entry ends with the next one");
	seen_set(user, 2);
	check(judge(user, 2, "R7-2/level") == SEEN_OLD, "what was read is complete");
	check_int(seen_after(user), 2, "and not asked for again");
	check(judge(user, INT64_MAX, "R7-9") == SEEN_GAP, "the largest number");
	seen_clear(&seen);
	check(seen_find(&seen, 7) == NULL, "cleared");
}

static bool
is_unread(const SeenUser *user, int64_t seq, const char *json)
{
	Envelope	event = {.user_id = user->user_id,.seq = seq};

	return seen_is_unread(user, &event, json);
}

static void
told(void)
{
	Seen		seen = {0};
	SeenUser   *user = seen_add(&seen, 7);

	seen_tell(user, 1, "{\"gold\":5}");
	seen_tell(user, 1, "{\"total\":1,\"wins\":0,\"gold\":5}");
	seen_tell(user, 2, "{\"gold\":6}");
	seen_tell(user, 3, "{\"gold\":7}");
	check(!is_unread(user, 1, "{\"gold\":5}"), "what was notified is read without being shown again");
	check(!is_unread(user, 1, "{\"total\":17,\"wins\":9,\"gold\":5}"), "whatever the totals are by now");
	check(is_unread(user, 1, "{\"total\":1,\"wins\":0,\"gold\":55}"), "but not with another content");
	check(is_unread(user, 2, "{\"gold\":5}") && is_unread(user, 2, "{\"gold\":66}"), "nor of another entry");
	seen_tell(user, 3, "{\"losses\":1,\"draws\":0,\"max_win\":2,\"level\":1,\"leveled_up\":false,\"gold\":8}");
	check(!is_unread(user, 3, "{\"losses\":2,\"draws\":3,\"max_win\":3,\"level\":4,\"leveled_up\":true,\"gold\":8}"), "nor whatever the level is by now");
	seen_tell(user, 3, "{\"outcome\":\"win\",\"stats\":{\"total_delta\":1,\"total\":1},\"seq\":3}");
	check(!is_unread(user, 3, "{\"outcome\":\"win\",\"stats\":{\"total_delta\":1,\"total\":2},\"seq\":3}"), "nor with statistics inside");
	check(!is_unread(user, 3, "{\"outcome\":\"win\",\"seq\":3}"), "which may be an event of their own when it is read");
	check(is_unread(user, 3, "{\"outcome\":\"win\",\"stats\":{\"total_delta\":1},\"seq\":4}"), "but what follows them counts");
	seen_tell(user, 3, "{\"action_id\":\"\\\"stats\\\":{x\",\"seq\":3}");
	check(is_unread(user, 3, "{\"action_id\":\"\\\"stats\\\":{y\",\"seq\":3}"), "and what looks so in a text is none");
	check_int(seen_after(user), 0, "notifications do not count as read");
	seen_set(user, 2);
	check(!is_unread(user, 2, "{\"gold\":66}"), "what was read is not shown again");
	check(!is_unread(user, 3, "{\"gold\":7}") && is_unread(user, 3, "{}"), "what was notified behind it is still known");
	seen_set(user, 3);
	check(user->told == NULL && user->n_told == 0, "and forgotten when it was read");
	seen_clear(&seen);
}

static void
many(void)
{
	Seen		seen = {0};
	bool		all = true;

	for (int64_t id = -5000; id < 5000; id++)
		seen_set(seen_add(&seen, id * 256), id + 6000);
	for (int64_t id = -5000; id < 5000; id++)
	{
		SeenUser   *user = seen_find(&seen, id * 256);

		all &= user != NULL && user->seq == id + 6000 && seen_add(&seen, id * 256) == user;
	}
	check(all, "ten thousand users are told apart");
	check(seen_find(&seen, 1) == NULL, "and from others");
	check_int((int64_t) seen.n_users, 10000, "each counted once");
	seen_clear(&seen);
}

void
test_seen(void)
{
	order();
	told();
	many();
}
