/*
 * options.h
 *		The command line of economy_tail.
 */
#ifndef TAIL_OPTIONS_H
#define TAIL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "common/conninfo.h"

/* Exit codes */
#define EXIT_ENDED		0		/* by SIGINT or SIGTERM */
#define EXIT_FAILED		1		/* no connection at first, refused, no output */
#define EXIT_ARGUMENTS	2

/* The channels, each also the type of its events. */
#define TYPES(X) \
	X("purchase_update") \
	X("reward_granted") \
	X("profile_update") \
	X("user_action") \
	X("stats_delta") \
	X("holding_update") \
	X("purchase_refunded") \
	X("mission_update")

typedef enum Since
{
	SINCE_NOW,
	SINCE_START,
	SINCE_SEQ,					/* with users */
	SINCE_CURSOR				/* without */
} Since;

typedef struct Options
{
	Conninfo	server;

	int64_t    *users;			/* none: all */
	int			n_users;
	const char **types;			/* none: all */
	int			n_types;
	Since		since;
	int64_t		since_seq;
	const char *since_cursor;
	int			poll_ms;		/* 0: never */
	bool		json;
	bool		verify;
} Options;

/* Ends the program for --help, --version and arguments that are wrong. */
extern void options_read(Options *options, int argc, char **argv);

#endif
