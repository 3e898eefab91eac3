/*
 * options.c
 *		The command line of economy_settle.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "options.h"

#define MAX_FILE 8192
#define LEAST_SECRET 16			/* bytes */

enum
{
	OPT_HELP = 256,
	OPT_PROVIDER,
	OPT_URL,
	OPT_WORKER,
	OPT_SECRET,
	OPT_HEADERS,
	OPT_MAX,
	OPT_TIMEOUT,
	OPT_POLL,
	OPT_ONCE,
	OPT_QUIET
};

static const struct option long_options[] = {
	{"host", required_argument, NULL, 'h'},
	{"port", required_argument, NULL, 'p'},
	{"username", required_argument, NULL, 'U'},
	{"dbname", required_argument, NULL, 'd'},
	{"provider", required_argument, NULL, OPT_PROVIDER},
	{"url", required_argument, NULL, OPT_URL},
	{"worker", required_argument, NULL, OPT_WORKER},
	{"secret-file", required_argument, NULL, OPT_SECRET},
	{"header-file", required_argument, NULL, OPT_HEADERS},
	{"max", required_argument, NULL, OPT_MAX},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"poll", required_argument, NULL, OPT_POLL},
	{"once", no_argument, NULL, OPT_ONCE},
	{"quiet", no_argument, NULL, OPT_QUIET},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0}
};

static void
print_help(void)
{
	printf("economy_settle tells a payment provider of the orders of the economy extension,\n"
		   "asks it about those that it knows, and reports what it answers.\n"
		   "\n"
		   "Usage: economy_settle --provider=NAME --url=URL [OPTION]... [DBNAME | CONNINFO | URI]\n"
		   "\n"
		   "  -h, --host=HOST, -p, --port=PORT, -U, --username=ROLE, -d, --dbname=DB\n"
		   "                   as for psql; so are the PG* variables and ~/.pgpass\n"
		   "      --provider=NAME\n"
		   "                   whose orders, as economy.payment_providers names it\n"
		   "      --url=URL    http or https, that each order is posted to\n"
		   "      --secret-file=FILE\n"
		   "                   a secret (whsec_...) that requests are signed with, by\n"
		   "                   Standard Webhooks; readable by its owner alone\n"
		   "      --header-file=FILE\n"
		   "                   further headers (Authorization: ...), one per line; readable\n"
		   "                   by its owner alone\n"
		   "      --worker=NAME\n"
		   "                   who the history says it was; default host and process\n"
		   "      --max=N      so many orders at a time, 1 to 100; default 10\n"
		   "      --timeout=SECONDS\n"
		   "                   of a request, 1 to 300; default 10\n"
		   "      --poll=SECONDS\n"
		   "                   how often to look for orders when none is due, 1 to 3600;\n"
		   "                   default 1\n"
		   "      --once       end when none is due\n"
		   "      --quiet      no line for each order\n"
		   "      --help       print this\n"
		   "      --version    print the version\n"
		   "\n"
		   "SIGTERM and SIGINT: what was asked is waited for and reported, then it ends; a\n"
		   "second one ends it at once.\n"
		   "Exit codes: 0 ended by a signal or --once; 1 the first connection failed, or the\n"
		   "server refuses for good; 2 wrong arguments.\n");
}

/* What is wrong, and with which argument. */
static void
wrong(const char *argument, const char *what)
{
	fprintf(stderr, "economy_settle: %s%s%s\neconomy_settle: try --help\n",
			argument, *argument != '\0' ? " " : "", what);
	exit(EXIT_ARGUMENTS);
}

static int
number_of(const char *argument, const char *what, int max)
{
	char	   *end;
	long		number;

	errno = 0;
	number = strtol(argument, &end, 10);
	if (errno != 0 || end == argument || *end != '\0' || number < 1 || number > max)
		wrong(argument, what);
	return (int) number;
}

static const char *
database_of(char *argument)
{
	const char *database = conninfo_take(argument);

	if (database == NULL)
		wrong("", "the connection string cannot be read");
	return database;
}

/* ps shows the command line: a password belongs into a header. */
static const char *
url_of(const char *argument)
{
	const char *rest = strstr(argument, "://");

	if (strncmp(argument, "http://", 7) != 0 && strncmp(argument, "https://", 8) != 0)
		wrong("", "--url must begin with http:// or https://");
	rest += 3;
	if (memchr(rest, '@', strcspn(rest, "/?#")) != NULL)
		wrong("", "--url must have no password: put an Authorization into --header-file");
	return argument;
}

/* The content of a file that only its owner may read, ended by a zero. */
static char *
read_secret_file(const char *name)
{
	static char content[MAX_FILE + 2];
	FILE	   *file = fopen(name, "r");
	struct stat is;
	size_t		len;

	if (file == NULL || fstat(fileno(file), &is) != 0)
		wrong(name, strerror(errno));
	if (is.st_mode & (S_IRWXG | S_IRWXO))
		wrong(name, "can be read by others: chmod 0600");
	len = fread(content, 1, MAX_FILE + 1, file);
	fclose(file);
	if (len > MAX_FILE || strlen(content) != len)
		wrong(name, "has more than 8192 bytes, or is no text");
	content[len] = '\0';
	return content;
}

static void
read_secret(Options *options, const char *name)
{
	char	   *encoded = read_secret_file(name);
	size_t		len;
	int			decoded;

	if (strncmp(encoded, "whsec_", 6) == 0)
		encoded += 6;
	encoded[strcspn(encoded, "\r\n")] = '\0';
	len = strlen(encoded);
	options->secret = malloc(len + 4);
	decoded = options->secret == NULL || len == 0 || len % 4 != 0 ? -1 :
		EVP_DecodeBlock(options->secret, (unsigned char *) encoded, (int) len);
	if (decoded < 0)
		wrong(name, "has no secret: whsec_ and base64");
	for (size_t i = len; i > 0 && encoded[i - 1] == '='; i--)
		decoded--;
	if (decoded < LEAST_SECRET)
		wrong(name, "has a secret of less than 16 bytes");
	options->secret_len = (size_t) decoded;
	memset(encoded, 0, len);
}

static void
read_headers(Options *options, const char *name)
{
	char	   *rest = strdup(read_secret_file(name));
	char	   *line;

	while ((line = strsep(&rest, "\n")) != NULL)
	{
		line[strcspn(line, "\r")] = '\0';
		if (*line == '\0')
			continue;
		if (strchr(line, ':') == NULL || *line == ':')
			wrong(name, "has a line that is no header: Name: value");
		if (options->n_headers == MAX_HEADERS)
			wrong(name, "has more than 16 headers");
		options->headers[options->n_headers++] = line;
	}
}

static void
take_worker(Options *options, const char *name)
{
	if (*name == '\0' || strlen(name) > MAX_WORKER)
		wrong("", "--worker must have 1 to 255 bytes");
	strcpy(options->worker, name);
}

static void
name_worker(Options *options)
{
	char		host[128] = "";

	(void) gethostname(host, sizeof(host) - 1);
	snprintf(options->worker, sizeof(options->worker), "economy_settle %s %ld", host,
			 (long) getpid());
}

/* What is not about the connection. */
static void
take(Options *options, int c, const char *argument)
{
	switch (c)
	{
		case 'V':
			printf("economy_settle %s\n", TOOL_VERSION);
			exit(EXIT_ENDED);
		case OPT_PROVIDER:
			options->provider = argument;
			break;
		case OPT_URL:
			options->url = url_of(argument);
			break;
		case OPT_WORKER:
			take_worker(options, argument);
			break;
		case OPT_SECRET:
			read_secret(options, argument);
			break;
		case OPT_HEADERS:
			read_headers(options, argument);
			break;
		case OPT_MAX:
			options->max = number_of(argument, "is not from 1 to 100 orders", MAX_ORDERS);
			break;
		case OPT_TIMEOUT:
			options->timeout_ms = 1000L * number_of(argument, "is not from 1 to 300 s", 300);
			break;
		case OPT_POLL:
			options->poll_ms = 1000 * number_of(argument, "is not from 1 to 3600 s", 3600);
			break;
		case OPT_ONCE:
			options->once = true;
			break;
		case OPT_QUIET:
			options->quiet = true;
			break;
		case OPT_HELP:
			print_help();
			exit(EXIT_ENDED);
		default:
			/* getopt has said what is wrong */
			exit(EXIT_ARGUMENTS);
	}
}

void
options_read(Options *options, int argc, char **argv)
{
	ConninfoArguments server = {0};
	int			c;

	*options = (Options)
	{
		.max = 10, .timeout_ms = 10000, .poll_ms = 1000
	};
	name_worker(options);
	while ((c = getopt_long(argc, argv, "h:p:U:d:V", long_options, NULL)) != -1)
		if (c == 'h')
			server.host = optarg;
		else if (c == 'p')
			server.port = optarg;
		else if (c == 'U')
			server.role = optarg;
		else if (c == 'd')
			server.database = database_of(optarg);
		else
			take(options, c, optarg);
	if (optind < argc && server.database == NULL)
		server.database = database_of(argv[optind++]);
	if (optind < argc)
		wrong("", "there is one argument too many");
	if (options->provider == NULL || options->url == NULL)
		wrong("", "--provider and --url must be given");
	conninfo_set(&options->server, "economy_settle", &server);
}
