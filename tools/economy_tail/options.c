/*
 * options.c
 *		The command line of economy_tail.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "envelope.h"
#include "options.h"
#include "seen.h"

#define DEFAULT_POLL_MS 5000
#define MAX_POLL_S 86400

#define TYPE_NAME(name) name,
static const char *const type_names[] = {TYPES(TYPE_NAME) NULL};

enum
{
	OPT_HELP = 256,
	OPT_USER,
	OPT_TYPE,
	OPT_SINCE,
	OPT_POLL,
	OPT_JSON,
	OPT_VERIFY
};

static const struct option long_options[] = {
	{"host", required_argument, NULL, 'h'},
	{"port", required_argument, NULL, 'p'},
	{"username", required_argument, NULL, 'U'},
	{"dbname", required_argument, NULL, 'd'},
	{"user", required_argument, NULL, OPT_USER},
	{"type", required_argument, NULL, OPT_TYPE},
	{"since", required_argument, NULL, OPT_SINCE},
	{"poll", required_argument, NULL, OPT_POLL},
	{"json", no_argument, NULL, OPT_JSON},
	{"verify", no_argument, NULL, OPT_VERIFY},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0}
};

static void
print_help(void)
{
	printf("economy_tail shows the events of the economy extension as they are committed,\n"
		   "each once and in order per user, also across restarts of the server.\n"
		   "\n"
		   "Usage: economy_tail [OPTION]... [DBNAME | CONNINFO | URI]\n"
		   "\n"
		   "  -h, --host=HOST, -p, --port=PORT, -U, --username=ROLE, -d, --dbname=DB\n"
		   "                   as for psql; so are the PG* variables and ~/.pgpass\n"
		   "      --user=ID    only events of this user; may be repeated\n"
		   "      --type=TYPE  only events of this type; may be repeated\n"
		   "      --since=now  begin with what happens from now on (default)\n"
		   "      --since=start\n"
		   "                   begin with the first event that is there\n"
		   "      --since=SEQ  with --user: begin after the user's entry SEQ\n"
		   "      --since=CURSOR\n"
		   "                   without --user: begin after a cursor of economy.changes()\n"
		   "      --poll=SECONDS\n"
		   "                   how often to look for events without a notification;\n"
		   "                   default 5, 0 never\n"
		   "      --verify     show only what the journals say: a notification's content\n"
		   "                   is not believed, it only makes economy_tail look\n"
		   "      --json       print each event's JSON as it is, one per line\n"
		   "      --help       print this\n"
		   "      --version    print the version\n"
		   "\n"
		   "Types:");
	for (int i = 0; type_names[i] != NULL; i++)
		printf("%s%s", i == 3 ? "\n       " : " ", type_names[i]);
	printf("\n\n"
		   "Exit codes: 0 ended by SIGINT or SIGTERM; 1 the first connection failed, the\n"
		   "server refuses for good, or the output cannot be written; 2 wrong arguments.\n");
}

/* What is wrong, and with which argument. */
static void
wrong(const char *argument, const char *what)
{
	fprintf(stderr, "economy_tail: %s%s%s\neconomy_tail: try --help\n",
			argument, *argument != '\0' ? " " : "", what);
	exit(EXIT_ARGUMENTS);
}

static int64_t
number_of(const char *argument, const char *what, int64_t min, int64_t max)
{
	Span		span = {argument, strlen(argument)};
	int64_t		number;

	if (!number_read(span, &number) || number < min || number > max)
		wrong(argument, what);
	return number;
}

static void
add_user(Options *options, const char *argument)
{
	size_t		size = sizeof(int64_t) * (size_t) (options->n_users + 1);

	options->users = must_alloc(options->users, size);
	options->users[options->n_users++] = number_of(argument, "is no user_id", INT64_MIN, INT64_MAX);
}

static void
add_type(Options *options, const char *name)
{
	size_t		size = sizeof(char *) * (size_t) (options->n_types + 1);
	int			i = 0;

	while (type_names[i] != NULL && strcmp(type_names[i], name) != 0)
		i++;
	if (type_names[i] == NULL)
		wrong(name, "is no type of event");
	options->types = must_alloc(options->types, size);
	options->types[options->n_types++] = type_names[i];
}

static void
read_since(Options *options, const char *argument)
{
	if (strcmp(argument, "now") == 0)
		options->since = SINCE_NOW;
	else if (strcmp(argument, "start") == 0)
		options->since = SINCE_START;
	else if (strchr(argument, '|') != NULL)
	{
		options->since = SINCE_CURSOR;
		options->since_cursor = argument;
	}
	else
	{
		options->since = SINCE_SEQ;
		options->since_seq = number_of(argument, "is no seq, cursor, start or now", 0, INT64_MAX);
	}
}

/* A database's name or a connection string. */
static const char *
database_of(char *argument)
{
	const char *database = conninfo_take(argument);

	if (database == NULL)
		wrong("", "the connection string cannot be read");
	return database;
}

static void
read_arguments(Options *options, int argc, char **argv)
{
	ConninfoArguments server = {0};
	int			c;

	while ((c = getopt_long(argc, argv, "h:p:U:d:V", long_options, NULL)) != -1)
		switch (c)
		{
			case 'h':
				server.host = optarg;
				break;
			case 'p':
				server.port = optarg;
				break;
			case 'U':
				server.role = optarg;
				break;
			case 'd':
				server.database = database_of(optarg);
				break;
			case 'V':
				printf("economy_tail %s\n", TOOL_VERSION);
				exit(0);
			case OPT_USER:
				add_user(options, optarg);
				break;
			case OPT_TYPE:
				add_type(options, optarg);
				break;
			case OPT_SINCE:
				read_since(options, optarg);
				break;
			case OPT_POLL:
				options->poll_ms =
					(int) number_of(optarg, "is no number of seconds", 0, MAX_POLL_S) * 1000;
				break;
			case OPT_JSON:
				options->json = true;
				break;
			case OPT_VERIFY:
				options->verify = true;
				break;
			case OPT_HELP:
				print_help();
				exit(0);
			default:
				/* getopt has said what is wrong */
				exit(EXIT_ARGUMENTS);
		}
	if (optind < argc && server.database == NULL)
		server.database = database_of(argv[optind++]);
	if (optind < argc)
		wrong("", "there is one argument too many");
	conninfo_set(&options->server, "economy_tail", &server);
}

void
options_read(Options *options, int argc, char **argv)
{
	memset(options, 0, sizeof(*options));
	options->poll_ms = DEFAULT_POLL_MS;
	read_arguments(options, argc, argv);
	if (options->since == SINCE_SEQ && options->n_users == 0)
		wrong("", "a seq belongs to a user: --since=SEQ goes with --user");
	if (options->since == SINCE_CURSOR && options->n_users > 0)
		wrong("", "a cursor is of all users: --since=CURSOR does not go with --user");
}
