/*
 * conninfo.h
 *		The connection parameters of a command line, as psql takes them.
 */
#ifndef COMMON_CONNINFO_H
#define COMMON_CONNINFO_H

#define CONNINFO_MAX 16

/* By name, NULL-terminated, for PQconnectdbParams() with expand_dbname. */
typedef struct Conninfo
{
	const char *keywords[CONNINFO_MAX];
	const char *values[CONNINFO_MAX];
} Conninfo;

/* What -d, -h, -p and -U name; NULL: not given. */
typedef struct ConninfoArguments
{
	const char *database;		/* of conninfo_take() */
	const char *host;
	const char *port;
	const char *role;
} ConninfoArguments;

/*
 * A database's name, a connection string or a URI of the command line; what has a
 * password is wiped there, so that ps does not show it.  NULL: it cannot be read.
 */
extern const char *conninfo_take(char *argument);

/* The later ones win over what the connection string says. */
extern void conninfo_set(Conninfo *conninfo, const char *program,
						 const ConninfoArguments *arguments);

#endif
