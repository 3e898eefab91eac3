/*
 * options.h
 *		The command line of economy_settle.
 */
#ifndef SETTLE_OPTIONS_H
#define SETTLE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/conninfo.h"

/* Exit codes */
#define EXIT_ENDED		0		/* by a signal, or by --once */
#define EXIT_FAILED		1		/* no connection at first, or refused */
#define EXIT_ARGUMENTS	2

#define MAX_ORDERS		100		/* that are asked of at a time */
#define MAX_HEADERS		16
#define MAX_WORKER		255		/* bytes, as economy.settlement_lease() takes */

typedef struct Options
{
	Conninfo	server;
	const char *provider;
	const char *url;
	char		worker[MAX_WORKER + 1];
	const char *headers[MAX_HEADERS];	/* "Name: value" */
	int			n_headers;
	unsigned char *secret;		/* that requests are signed with; NULL: none */
	size_t		secret_len;
	int			max;			/* orders at a time */
	long		timeout_ms;		/* of a request */
	int			poll_ms;
	bool		once;
	bool		quiet;
} Options;

/* Ends the program for --help, --version and arguments that are wrong. */
extern void options_read(Options *options, int argc, char **argv);

#endif
