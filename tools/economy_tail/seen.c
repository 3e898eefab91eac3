/*
 * seen.c
 *		How far each user's events have been shown.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "seen.h"

#define FIRST_SLOTS 64

void *
must_alloc(void *old, size_t size)
{
	void	   *memory = realloc(old, size);

	if (memory == NULL)
	{
		fprintf(stderr, "economy_tail: out of memory\n");
		exit(1);
	}
	return memory;
}

char *
must_copy(const char *bytes, size_t len)
{
	char	   *copy = must_alloc(NULL, len + 1);

	memcpy(copy, bytes, len);
	copy[len] = '\0';
	return copy;
}

static size_t
hash(int64_t user_id)
{
	/* Fibonacci hashing: neighbouring ids spread over the high bits */
	return (size_t) (((uint64_t) user_id * UINT64_C(0x9E3779B97F4A7C15)) >> 32);
}

/* The user's slot, or the free one where it belongs. */
static SeenUser **
slot_of(const Seen *seen, int64_t user_id)
{
	size_t		i = hash(user_id) & (seen->n_slots - 1);

	while (seen->slots[i] != NULL && seen->slots[i]->user_id != user_id)
		i = (i + 1) & (seen->n_slots - 1);
	return &seen->slots[i];
}

static void
grow(Seen *seen)
{
	Seen		bigger = {.n_slots = seen->n_slots > 0 ? seen->n_slots * 2 : FIRST_SLOTS};

	bigger.slots = must_alloc(NULL, bigger.n_slots * sizeof(SeenUser *));
	memset(bigger.slots, 0, bigger.n_slots * sizeof(SeenUser *));
	for (size_t i = 0; i < seen->n_slots; i++)
		if (seen->slots[i] != NULL)
			*slot_of(&bigger, seen->slots[i]->user_id) = seen->slots[i];
	bigger.n_users = seen->n_users;
	free(seen->slots);
	*seen = bigger;
}

static void
forget_ids(SeenUser *user)
{
	for (size_t i = 0; i < user->n_ids; i++)
		free(user->ids[i]);
	free(user->ids);
	user->ids = NULL;
	user->n_ids = 0;
}

static void
forget_told(SeenUser *user, int64_t upto)
{
	while (user->first_told < user->n_told && user->told[user->first_told].seq <= upto)
		free(user->told[user->first_told++].json);
	if (user->first_told < user->n_told)
		return;
	free(user->told);
	user->told = NULL;
	user->n_told = user->first_told = 0;
}

void
seen_clear(Seen *seen)
{
	for (size_t i = 0; i < seen->n_slots; i++)
		if (seen->slots[i] != NULL)
		{
			forget_ids(seen->slots[i]);
			forget_told(seen->slots[i], INT64_MAX);
			free(seen->slots[i]);
		}
	free(seen->slots);
	memset(seen, 0, sizeof(*seen));
}

SeenUser *
seen_find(const Seen *seen, int64_t user_id)
{
	return seen->n_slots > 0 ? *slot_of(seen, user_id) : NULL;
}

SeenUser *
seen_add(Seen *seen, int64_t user_id)
{
	SeenUser  **slot;

	/* at most three quarters full */
	if ((seen->n_users + 1) * 4 > seen->n_slots * 3)
		grow(seen);
	slot = slot_of(seen, user_id);
	if (*slot == NULL)
	{
		*slot = must_alloc(NULL, sizeof(SeenUser));
		**slot = (SeenUser)
		{
			.user_id = user_id, .complete = true
		};
		seen->n_users++;
	}
	return *slot;
}

void
seen_set(SeenUser *user, int64_t seq)
{
	forget_ids(user);
	forget_told(user, seq);
	user->read = seq;
	user->seq = seq;
	user->complete = true;
	user->behind = false;
}

static bool
has_id(const SeenUser *user, Span id)
{
	for (size_t i = 0; i < user->n_ids; i++)
		if (span_is(id, user->ids[i]))
			return true;
	return false;
}

Verdict
seen_judge(const SeenUser *user, const Envelope *event)
{
	if (event->seq < user->seq)
		return SEEN_OLD;
	if (event->seq == user->seq)
		return user->complete || has_id(user, event->id) ? SEEN_OLD : SEEN_NEXT;
	return event->seq - user->seq == 1 ? SEEN_NEXT : SEEN_GAP;
}

void
seen_note(SeenUser *user, const Envelope *event)
{
	if (event->seq != user->seq)
		forget_ids(user);
	user->seq = event->seq;
	user->complete = false;
	user->ids = must_alloc(user->ids, (user->n_ids + 1) * sizeof(char *));
	user->ids[user->n_ids++] = must_copy(event->id.at, event->id.len);
}

int64_t
seen_after(const SeenUser *user)
{
	return user->read;
}

void
seen_tell(SeenUser *user, int64_t seq, const char *json)
{
	/* at each power of two, twice the room */
	if ((user->n_told & (user->n_told - 1)) == 0)
		user->told = must_alloc(user->told,
								(user->n_told > 0 ? user->n_told * 2 : 1) * sizeof(Told));
	user->told[user->n_told++] = (Told)
	{
		seq, must_copy(json, strlen(json))
	};
}

/* Behind a member whose value depends on when the event was told. */
static const char *
skip_moment(const char *json)
{
	static const char *const members[] = {
		"\"total\":", "\"wins\":", "\"losses\":", "\"draws\":", "\"max_win\":",
		"\"level\":", "\"leveled_up\":"
	};

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (strncmp(json, members[i], strlen(members[i])) == 0)
			return json + strcspn(json, ",}");
	return json;
}

/* Behind the statistics of an action, which by setting are an event of their own. */
static const char *
skip_stats(const char *json)
{
	static const char member[] = "\"stats\":{";

	if (strncmp(json, member, strlen(member)) != 0)
		return json;
	json += strcspn(json, "}");
	return json + strspn(json, "},");
}

static bool
is_same(const char *a, const char *b)
{
	for (;;)
	{
		const char *next;

		a = skip_stats(a);
		b = skip_stats(b);
		if (*a != *b || *a == '\0')
			return *a == *b;
		next = skip_moment(a);
		b = next != a ? skip_moment(b) : b + 1;
		a = next != a ? next : a + 1;
	}
}

bool
seen_was_told(const SeenUser *user, int64_t seq, const char *json)
{
	for (size_t i = user->first_told; i < user->n_told; i++)
		if (user->told[i].seq == seq && is_same(user->told[i].json, json))
			return true;
	return false;
}

bool
seen_is_unread(const SeenUser *user, const Envelope *event, const char *json)
{
	return event->seq > user->read && !seen_was_told(user, event->seq, json);
}
