/*
 * conninfo.c
 *		The connection parameters of a command line, as psql takes them.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "conninfo.h"

static bool
is_conninfo(const char *argument)
{
	return strchr(argument, '=') != NULL || strncmp(argument, "postgres://", 11) == 0 ||
		strncmp(argument, "postgresql://", 13) == 0;
}

static bool
has_password(const PQconninfoOption *parts)
{
	for (; parts->keyword != NULL; parts++)
		if (parts->val != NULL && strstr(parts->keyword, "password") != NULL)
			return true;
	return false;
}

/* libpq's message about a wrong string quotes parts of it: it is not told. */
const char *
conninfo_take(char *argument)
{
	char	   *copy = strdup(argument);
	char	   *ignored = NULL;
	PQconninfoOption *parts;

	if (copy == NULL)
		abort();
	if (!is_conninfo(copy))
		return copy;
	parts = PQconninfoParse(copy, &ignored);
	PQfreemem(ignored);
	if (parts == NULL || has_password(parts))
		memset(argument, 'x', strlen(argument));
	if (parts == NULL)
	{
		free(copy);
		return NULL;
	}
	PQconninfoFree(parts);
	return copy;
}

static void
add(Conninfo *conninfo, const char *keyword, const char *value)
{
	int			i = 0;

	if (value == NULL)
		return;
	while (conninfo->keywords[i] != NULL)
		i++;
	conninfo->keywords[i] = keyword;
	conninfo->values[i] = value;
}

void
conninfo_set(Conninfo *conninfo, const char *program, const ConninfoArguments *arguments)
{
	memset(conninfo, 0, sizeof(*conninfo));
	add(conninfo, "fallback_application_name", program);
	/* a server that vanished without a word is noticed within a minute */
	add(conninfo, "keepalives_idle", "30");
	add(conninfo, "keepalives_interval", "10");
	add(conninfo, "keepalives_count", "3");
	add(conninfo, "tcp_user_timeout", "60000");
	add(conninfo, "dbname", arguments->database);
	add(conninfo, "host", arguments->host);
	add(conninfo, "port", arguments->port);
	add(conninfo, "user", arguments->role);
	add(conninfo, "client_encoding", "UTF8");
}
