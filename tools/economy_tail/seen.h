/*
 * seen.h
 *		How far each user's events have been shown.
 *
 * A user's entries are numbered without a gap, so one number tells all that
 * was shown, but for the newest entry: it may have several events, of which a
 * lost connection may have let some through.  Their ids are kept until the
 * entry is known to be complete or the next one comes.
 */
#ifndef TAIL_SEEN_H
#define TAIL_SEEN_H

#include "envelope.h"

/* What a notification said. */
typedef struct Told
{
	int64_t		seq;
	char	   *json;
} Told;

typedef struct SeenUser
{
	int64_t		user_id;
	int64_t		seq;			/* of the newest entry shown */
	bool		complete;		/* all of its events were shown */
	bool		behind;			/* something is missing: replay */
	size_t		n_ids;
	char	  **ids;			/* shown events of the newest entry */

	/* what the journals said counts more than what notifications did */
	int64_t		read;			/* all up to here was read */
	size_t		n_told;
	size_t		first_told;		/* those before it were read */
	Told	   *told;			/* shown as notified, not read yet */
} SeenUser;

typedef struct Seen
{
	SeenUser  **slots;			/* open addressing */
	size_t		n_slots;		/* a power of 2 */
	size_t		n_users;
} Seen;

typedef enum Verdict
{
	SEEN_OLD,					/* was shown */
	SEEN_NEXT,					/* to be shown now */
	SEEN_GAP					/* entries before it were not shown */
} Verdict;

/* Forget all users. */
extern void seen_clear(Seen *seen);

/* NULL when nothing is known of the user. */
extern SeenUser *seen_find(const Seen *seen, int64_t user_id);

/* The user, which begins before its first entry when nothing is known of it. */
extern SeenUser *seen_add(Seen *seen, int64_t user_id);

/* All up to seq counts as shown. */
extern void seen_set(SeenUser *user, int64_t seq);

extern Verdict seen_judge(const SeenUser *user, const Envelope *event);
extern void seen_note(SeenUser *user, const Envelope *event);

/* An event was shown as a notification said it; the journals may say otherwise. */
extern void seen_tell(SeenUser *user, int64_t seq, const char *json);

/* Whether it was; the totals of statistics may differ. */
extern bool seen_was_told(const SeenUser *user, int64_t seq, const char *json);

/* Whether an event of the journals is new. */
extern bool seen_is_unread(const SeenUser *user, const Envelope *event, const char *json);

/* Where to ask for events from. */
extern int64_t seen_after(const SeenUser *user);

/* malloc() and kin, which end the program when there is no memory. */
extern void *must_alloc(void *old, size_t size);
extern char *must_copy(const char *bytes, size_t len);

#endif
