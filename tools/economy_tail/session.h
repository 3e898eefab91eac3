/*
 * session.h
 *		The connection: everything that waits, and ends early for a signal.
 */
#ifndef TAIL_SESSION_H
#define TAIL_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "options.h"

typedef enum Outcome
{
	DONE,
	STOPPED,					/* SIGINT or SIGTERM */
	LOST,						/* connect again */
	FAILED						/* connecting again would not help */
} Outcome;

typedef struct Session
{
	PGconn	   *conn;
	bool		was_live;		/* some connection got as far as listening */
} Session;

/* From here on SIGINT and SIGTERM end waits instead of the program. */
extern void session_catch_signals(void);

extern Outcome session_open(Session *session, const Options *options);
extern void session_close(Session *session);

/*
 * Run a statement.  *result, which may be NULL, is to be cleared by the caller
 * and is valid only when the outcome is DONE; what went wrong has been said.
 */
extern Outcome session_run(Session *session, const char *sql, int n, const char *const *args,
						   PGresult **result);

/* Wait for notifications until a time of session_now_ms(); 0 is no limit. */
extern Outcome session_wait(Session *session, int64_t until);

/* Wait until a write of up to PIPE_BUF bytes to the output does not block. */
extern Outcome session_wait_to_write(void);

/* Do nothing for a while. */
extern Outcome session_sleep(int64_t ms);

/* Monotonic */
extern int64_t session_now_ms(void);

#endif
