/*
 * output.h
 *		What economy_tail prints.
 */
#ifndef TAIL_OUTPUT_H
#define TAIL_OUTPUT_H

#include "envelope.h"
#include "options.h"
#include "session.h"

/* An event to stdout, unless it is of a type that is not wanted. */
extern void output_event(const Options *options, const char *json, const Envelope *event);

/* Hand over what was printed; FAILED when nobody takes it. */
extern Outcome output_flush(void);

/*
 * To stderr: events after `after` are not there any more.  The account's state
 * stands for them; the strings are numbers.
 */
extern void output_resync_user(const Options *options, int64_t user_id, int64_t after,
							   const char *seq, const char *gold, const char *experience_points);
extern void output_resync_all(const Options *options, const char *cursor);

#endif
