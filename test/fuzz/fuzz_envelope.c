/*
 * fuzz_envelope.c
 *		What economy_tail makes of a payload, which may be anything: the parts of an
 *		event lie within it, and what follows an event makes it none.
 */
#include "envelope.h"
#include "fuzz.h"
#include "seen.h"

static char *
text_of(Input *in, const char *tail)
{
	char	   *text = malloc(in->left + strlen(tail) + 1);

	CHECK(text != NULL);
	memcpy(text, in->data, in->left);
	strcpy(text + in->left, tail);
	return text;
}

static void
check_span(const char *text, Span span)
{
	CHECK(span.at >= text && span.at + span.len <= text + strlen(text));
}

static void
check_seen(const Envelope *event)
{
	Seen		seen = {0};
	SeenUser   *user = seen_add(&seen, event->user_id);

	CHECK(seen_find(&seen, event->user_id) == user);
	seen_set(user, 0);
	switch (seen_judge(user, event))
	{
		case SEEN_NEXT:
			seen_note(user, event);
			CHECK(seen_judge(user, event) == SEEN_OLD);
			break;
		case SEEN_GAP:
			CHECK(event->seq > 1);
			break;
		case SEEN_OLD:
			CHECK(event->seq <= 0);
			break;
	}
	seen_clear(&seen);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		in = {data, size};
	char	   *text = text_of(&in, "");
	Envelope	event;

	if (envelope_read(text, &event))
	{
		char	   *longer = text_of(&in, "}");
		Envelope	none;

		check_span(text, event.id);
		check_span(text, event.type);
		check_span(text, event.time);
		check_span(text, event.data);
		CHECK(memchr(data, '\0', size) != NULL || !envelope_read(longer, &none));
		check_seen(&event);
		free(longer);
	}
	free(text);
	return 0;
}
