/*
 * settings.c
 *		The configuration variables, by domain.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "clock.h"
#include "core/streak.h"
#include "event_types.h"
#include "settings.h"

#define DUPLICATE_WAIT_DEFAULT_MS	0
#define DUPLICATE_WAIT_MAX_MS		60000
#define NODE_ID_MAX					4095
#define JOURNAL_PARTITIONS_MAX		1024
#define RING_SIZE_DEFAULT			16384
#define RING_SIZE_MIN				16
#define RING_SIZE_MAX				1048576
#define RELAY_DATABASES_DEFAULT		4
#define RELAY_DATABASES_MAX			64
#define STREAK_DAY_OFFSET_MAX_H		23
#define STREAK_GRACE_DAYS_DEFAULT	7
#define STREAK_DORMANCY_DAYS_DEFAULT 30
#define STREAK_DAYS_MAX				3650
#define STREAK_CAP_DAY_DEFAULT		7
#define STREAK_MAX_FREEZES_DEFAULT	5
#define STREAK_MAX_FREEZES_MAX		100
#define RFM_MEMORY_DEFAULT_KB		65536
#define RFM_MEMORY_MIN_KB			1024
#define RFM_MEMORY_MAX_KB			67108864
#define RETENTION_DEFAULT_DAYS		180
#define RETENTION_MAX_DAYS			36500

int			eco_row_access = ECO_ROW_ACCESS_AUTO;
int			eco_async_commit = ECO_ASYNC_NONE;
int			eco_notify = ECO_NOTIFY_INLINE;
int			eco_notify_payload = ECO_PAYLOAD_FULL;
int			eco_notify_stats = ECO_STATS_SEPARATE;
bool		eco_notify_user_channels = false;
int			eco_ring_size = RING_SIZE_DEFAULT;
int			eco_relay_databases = RELAY_DATABASES_DEFAULT;
int			eco_duplicate_wait_ms = DUPLICATE_WAIT_DEFAULT_MS;
int			eco_node_id = 0;
bool		eco_allow_drop = false;
int			eco_streak_day_offset = 0;
int			eco_streak_grace_days = STREAK_GRACE_DAYS_DEFAULT;
int			eco_streak_dormancy_days = STREAK_DORMANCY_DAYS_DEFAULT;
int			eco_streak_cap = ECO_CAP_NONE;
int			eco_streak_cap_day = STREAK_CAP_DAY_DEFAULT;
int			eco_streak_max_freezes = STREAK_MAX_FREEZES_DEFAULT;

/* read by SQL alone */
static int	journal_partitions = 0;
static bool collect_debts = false;
static int	rfm_memory = RFM_MEMORY_DEFAULT_KB;
static int	recommendation_retention = RETENTION_DEFAULT_DAYS;
static char *rfm_model = NULL;

static char *test_clock = NULL;
static char *notify_types = NULL;

static const struct config_enum_entry row_access_options[] = {
	{"auto", ECO_ROW_ACCESS_AUTO, false},
	{"sql", ECO_ROW_ACCESS_SQL, false},
	{NULL, 0, false}
};

static const struct config_enum_entry async_commit_options[] = {
	{"none", ECO_ASYNC_NONE, false},
	{"actions", ECO_ASYNC_ACTIONS, false},
	{"all", ECO_ASYNC_ALL, false},
	{NULL, 0, false}
};

static const struct config_enum_entry notify_options[] = {
	{"off", ECO_NOTIFY_OFF, false},
	{"inline", ECO_NOTIFY_INLINE, false},
	{"relay", ECO_NOTIFY_RELAY, false},
	{NULL, 0, false}
};

static const struct config_enum_entry notify_payload_options[] = {
	{"full", ECO_PAYLOAD_FULL, false},
	{"reference", ECO_PAYLOAD_REFERENCE, false},
	{NULL, 0, false}
};

static const struct config_enum_entry notify_stats_options[] = {
	{"separate", ECO_STATS_SEPARATE, false},
	{"with_action", ECO_STATS_WITH_ACTION, false},
	{NULL, 0, false}
};

static const struct config_enum_entry streak_cap_options[] = {
	{"none", ECO_CAP_NONE, false},
	{"hold", ECO_CAP_HOLD, false},
	{"cycle", ECO_CAP_CYCLE, false},
	{NULL, 0, false}
};

static bool check_journal_partitions(int *value, void **extra, GucSource source);
static void define_ledger_settings(void);
static void define_realtime_settings(void);
static void define_streak_settings(void);
static void define_segment_settings(void);

void
eco_settings_install(void)
{
	define_ledger_settings();
	define_realtime_settings();
	define_streak_settings();
	define_segment_settings();
	MarkGUCPrefixReserved("economy");
}

/* One partition would be the price of many without a gain. */
static bool
check_journal_partitions(int *value, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	if (*value != 1)
		return true;
	GUC_check_errdetail("It must be 0, for none, or from 2 to %d.", JOURNAL_PARTITIONS_MAX);
	return false;
}

static void
define_ledger_settings(void)
{
	DefineCustomEnumVariable("economy.row_access",
							 "How hot functions reach their rows.",
							 "auto: directly where the table allows it, else by SQL; "
							 "sql: always by SQL.",
							 &eco_row_access, ECO_ROW_ACCESS_AUTO,
							 row_access_options, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomEnumVariable("economy.async_commit",
							 "Which entries may commit without waiting for the disk.",
							 "none; actions: those of record_action(); all. A crash may take "
							 "those of the last three times wal_writer_delay. A transaction "
							 "that has written anything else waits.",
							 &eco_async_commit, ECO_ASYNC_NONE,
							 async_commit_options, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("economy.duplicate_wait",
							"How long a concurrent duplicate waits for the first call's end.",
							"0 answers in_progress at once.",
							&eco_duplicate_wait_ms, DUPLICATE_WAIT_DEFAULT_MS,
							0, DUPLICATE_WAIT_MAX_MS, PGC_USERSET, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("economy.node_id",
							"Number of this node in a group of nodes that share the users.",
							"It is the upper part of every user_id made here.",
							&eco_node_id, 0, 0, NODE_ID_MAX, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("economy.journal_partitions",
							"Partitions by user of every journal, when the extension is created.",
							"0: journals are plain tables. Read by CREATE EXTENSION alone.",
							&journal_partitions, 0, 0, JOURNAL_PARTITIONS_MAX, PGC_USERSET, 0,
							check_journal_partitions, NULL, NULL);
	DefineCustomBoolVariable("economy.collect_debts",
							 "Lets the job debts take gold that refunds could not take.",
							 NULL, &collect_debts, false, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("economy.allow_drop",
							 "Allows DROP EXTENSION while a journal holds rows.",
							 NULL, &eco_allow_drop, false, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomStringVariable("economy.test_clock",
							   "Replaces the server's clock in every rule; empty is off.",
							   "For tests and demonstrations only.",
							   &test_clock, "", PGC_SUSET, GUC_NOT_IN_SAMPLE,
							   eco_test_clock_check, eco_test_clock_assign, NULL);
}

/* Rings and the relay live in shared memory, so they need the preload. */
static void
define_realtime_settings(void)
{
	bool		preloaded = process_shared_preload_libraries_in_progress;

	DefineCustomEnumVariable("economy.notify",
							 "How events reach listeners.",
							 "relay: after the commit, by a background worker; "
							 "inline: NOTIFY inside the transaction; off: not at all.",
							 &eco_notify, preloaded ? ECO_NOTIFY_RELAY : ECO_NOTIFY_INLINE,
							 notify_options, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomEnumVariable("economy.notify_payload",
							 "What NOTIFY tells of an event.",
							 "full: all of it; "
							 "reference: whose and which, to be read with economy.replay().",
							 &eco_notify_payload, ECO_PAYLOAD_FULL,
							 notify_payload_options, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomEnumVariable("economy.notify_stats",
							 "How the statistics of an action are told.",
							 "separate: as the event stats_delta; "
							 "with_action: in the action's event, by economy.replay() and "
							 "economy.changes() too.",
							 &eco_notify_stats, ECO_STATS_SEPARATE,
							 notify_stats_options, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomStringVariable("economy.notify_types",
							   "Types of events that are sent.",
							   "all, or a list; the others are told by economy.replay() and "
							   "economy.changes() only.",
							   &notify_types, "all", PGC_SUSET, GUC_LIST_INPUT,
							   eco_notify_types_check, eco_notify_types_assign, NULL);
	DefineCustomBoolVariable("economy.notify_user_channels",
							 "Sends every event on the channel economy_user_<id> as well.",
							 NULL, &eco_notify_user_channels, false, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	if (!preloaded)
		return;
	DefineCustomIntVariable("economy.ring_size",
							"Entries that can wait for the relay of a database.",
							"What does not fit is read from the journals.",
							&eco_ring_size, RING_SIZE_DEFAULT, RING_SIZE_MIN, RING_SIZE_MAX,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("economy.relay_databases",
							"Databases that can have a relay at the same time.",
							"In others events are sent inline.",
							&eco_relay_databases, RELAY_DATABASES_DEFAULT, 1, RELAY_DATABASES_MAX,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

static void
define_streak_settings(void)
{
	DefineCustomIntVariable("economy.streak_day_offset",
							"Hours after local midnight at which the streak's day begins.",
							NULL, &eco_streak_day_offset,
							0, 0, STREAK_DAY_OFFSET_MAX_H, PGC_SUSET, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("economy.streak_grace_days",
							"Days from one missed date that grace covers to the next.",
							NULL, &eco_streak_grace_days,
							STREAK_GRACE_DAYS_DEFAULT, 1, STREAK_DAYS_MAX, PGC_SUSET, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("economy.streak_dormancy_days",
							"Days without a claim after which grace is there again.",
							NULL, &eco_streak_dormancy_days,
							STREAK_DORMANCY_DAYS_DEFAULT, 2, STREAK_DAYS_MAX, PGC_SUSET, 0,
							NULL, NULL, NULL);
	DefineCustomEnumVariable("economy.streak_cap",
							 "What the reward does after economy.streak_cap_day.",
							 "none: grows on; hold: stays; cycle: starts over.",
							 &eco_streak_cap, ECO_CAP_NONE,
							 streak_cap_options, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("economy.streak_cap_day",
							"Day of the streak at which economy.streak_cap acts.",
							NULL, &eco_streak_cap_day,
							STREAK_CAP_DAY_DEFAULT, 1, STREAK_DAYS_MAX, PGC_SUSET, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("economy.streak_max_freezes",
							"Streak freezes a user can hold.",
							NULL, &eco_streak_max_freezes,
							STREAK_MAX_FREEZES_DEFAULT, 0, STREAK_MAX_FREEZES_MAX, PGC_SUSET, 0,
							NULL, NULL, NULL);
}

static void
define_segment_settings(void)
{
	DefineCustomIntVariable("economy.rfm_memory",
							"Memory that a sort or hash of rfm_refresh() may take before it "
							"goes to disk.",
							"It replaces work_mem there.",
							&rfm_memory, RFM_MEMORY_DEFAULT_KB,
							RFM_MEMORY_MIN_KB, RFM_MEMORY_MAX_KB, PGC_SUSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomIntVariable("economy.recommendation_retention",
							"Days for which decisions of recommend() are kept after their window.",
							NULL, &recommendation_retention, RETENTION_DEFAULT_DAYS,
							1, RETENTION_MAX_DAYS, PGC_SUSET, 0,
							NULL, NULL, NULL);
	DefineCustomStringVariable("economy.rfm_model",
							   "Model by which rfm_refresh() scores users.",
							   NULL, &rfm_model, "standard", PGC_SUSET, 0,
							   NULL, NULL, NULL);
}
