/*
 * event_types.c
 *		The types of events, and economy.notify_types, which says what is sent.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/varlena.h"

#include "compat.h"
#include "event_types.h"

const char *const eco_type_names[ECO_EVENT_TYPES] = {
	[ECO_PURCHASE_UPDATE] = "purchase_update",
	[ECO_REWARD_GRANTED] = "reward_granted",
	[ECO_PROFILE_UPDATE] = "profile_update",
	[ECO_USER_ACTION] = "user_action",
	[ECO_STATS_DELTA] = "stats_delta",
	[ECO_HOLDING_UPDATE] = "holding_update",
	[ECO_PURCHASE_REFUNDED] = "purchase_refunded",
	[ECO_MISSION_UPDATE] = "mission_update",
};

uint32		eco_types_not_sent = 0;

/* The bit of a type by its name; 0: nothing sends it. */
static uint32
type_bit(const char *name)
{
	for (int i = 0; i < ECO_EVENT_TYPES; i++)
		if (strcmp(eco_type_names[i], name) == 0)
			return ECO_TYPE_BIT(i);
	return 0;
}

static void
complain_of_type(const char *name)
{
	StringInfoData known;

	initStringInfo(&known);
	for (int i = 0; i < ECO_EVENT_TYPES; i++)
		appendStringInfo(&known, "%s%s", i > 0 ? ", " : "", eco_type_names[i]);
	GUC_check_errdetail("No event has the type \"%s\".", name);
	GUC_check_errhint("Types are %s; all is all of them.", known.data);
}

/* Read a list of types; false, with the reason, when it is none. */
static bool
parse_types(const char *written, uint32 *wanted)
{
	char	   *copy = pstrdup(written);
	List	   *names;
	ListCell   *lc;

	*wanted = 0;
	if (!SplitIdentifierString(copy, ',', &names))
	{
		GUC_check_errdetail("The list is not written as one.");
		return false;
	}
	if (names == NIL)
	{
		GUC_check_errdetail("The list is empty.");
		GUC_check_errhint("To send nothing set economy.notify to off.");
		return false;
	}
	foreach(lc, names)
	{
		const char *name = lfirst(lc);
		uint32		bit = type_bit(name);

		if (strcmp(name, "all") == 0 && list_length(names) == 1)
			bit = ECO_TYPE_BIT(ECO_EVENT_TYPES) - 1;
		if (bit == 0)
		{
			complain_of_type(name);
			return false;
		}
		*wanted |= bit;
	}
	return true;
}

bool
eco_notify_types_check(char **newval, void **extra, GucSource source)
{
	uint32		wanted;
	uint32	   *not_sent;

	(void) source;
	if (!parse_types(*newval, &wanted))
		return false;
	not_sent = eco_guc_alloc(sizeof(uint32));
	if (not_sent == NULL)
		return false;
	*not_sent = (ECO_TYPE_BIT(ECO_EVENT_TYPES) - 1) & ~wanted;
	*extra = not_sent;
	return true;
}

void
eco_notify_types_assign(const char *newval, void *extra)
{
	(void) newval;
	eco_types_not_sent = *(uint32 *) extra;
}
