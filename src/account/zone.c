/*
 * zone.c
 *		Names of time zones: validated, and in the spelling that is stored.
 */
#include "postgres.h"

#include "pgtime.h"

#include "account/zone.h"
#include "errors.h"

typedef struct LegacyZone
{
	const char *name;
	const char *canonical;
} LegacyZone;

/*
 * Old names that newer Debian keeps in a package of its own, which a server need
 * not have, and those for which they stand, which every server has: a user whose
 * zone was stored here keeps it when the database moves there.  From "L" lines of
 * tzdata.zi, 2026f; sorted without regard to case.
 */
static const LegacyZone legacy_zones[] = {
	{"Africa/Asmera", "Africa/Asmara"},
	{"America/Argentina/ComodRivadavia", "America/Argentina/Catamarca"},
	{"America/Buenos_Aires", "America/Argentina/Buenos_Aires"},
	{"America/Catamarca", "America/Argentina/Catamarca"},
	{"America/Cordoba", "America/Argentina/Cordoba"},
	{"America/Fort_Wayne", "America/Indiana/Indianapolis"},
	{"America/Godthab", "America/Nuuk"},
	{"America/Indianapolis", "America/Indiana/Indianapolis"},
	{"America/Jujuy", "America/Argentina/Jujuy"},
	{"America/Knox_IN", "America/Indiana/Knox"},
	{"America/Louisville", "America/Kentucky/Louisville"},
	{"America/Mendoza", "America/Argentina/Mendoza"},
	{"America/Rosario", "America/Argentina/Cordoba"},
	{"Antarctica/South_Pole", "Antarctica/McMurdo"},
	{"Asia/Ashkhabad", "Asia/Ashgabat"},
	{"Asia/Calcutta", "Asia/Kolkata"},
	{"Asia/Choibalsan", "Asia/Ulaanbaatar"},
	{"Asia/Chungking", "Asia/Shanghai"},
	{"Asia/Dacca", "Asia/Dhaka"},
	{"Asia/Katmandu", "Asia/Kathmandu"},
	{"Asia/Macao", "Asia/Macau"},
	{"Asia/Rangoon", "Asia/Yangon"},
	{"Asia/Saigon", "Asia/Ho_Chi_Minh"},
	{"Asia/Thimbu", "Asia/Thimphu"},
	{"Asia/Ujung_Pandang", "Asia/Makassar"},
	{"Asia/Ulan_Bator", "Asia/Ulaanbaatar"},
	{"Atlantic/Faeroe", "Atlantic/Faroe"},
	{"Australia/ACT", "Australia/Sydney"},
	{"Australia/LHI", "Australia/Lord_Howe"},
	{"Australia/North", "Australia/Darwin"},
	{"Australia/NSW", "Australia/Sydney"},
	{"Australia/Queensland", "Australia/Brisbane"},
	{"Australia/South", "Australia/Adelaide"},
	{"Australia/Tasmania", "Australia/Hobart"},
	{"Australia/Victoria", "Australia/Melbourne"},
	{"Australia/West", "Australia/Perth"},
	{"Brazil/Acre", "America/Rio_Branco"},
	{"Brazil/DeNoronha", "America/Noronha"},
	{"Brazil/East", "America/Sao_Paulo"},
	{"Brazil/West", "America/Manaus"},
	{"Canada/Atlantic", "America/Halifax"},
	{"Canada/Central", "America/Winnipeg"},
	{"Canada/Eastern", "America/Toronto"},
	{"Canada/Mountain", "America/Edmonton"},
	{"Canada/Newfoundland", "America/St_Johns"},
	{"Canada/Pacific", "America/Vancouver"},
	{"Canada/Saskatchewan", "America/Regina"},
	{"Canada/Yukon", "America/Whitehorse"},
	{"CET", "Europe/Brussels"},
	{"Chile/Continental", "America/Santiago"},
	{"Chile/EasterIsland", "Pacific/Easter"},
	{"CST6CDT", "America/Chicago"},
	{"Cuba", "America/Havana"},
	{"EET", "Europe/Athens"},
	{"Egypt", "Africa/Cairo"},
	{"Eire", "Europe/Dublin"},
	{"EST", "America/Panama"},
	{"EST5EDT", "America/New_York"},
	{"Europe/Kiev", "Europe/Kyiv"},
	{"Europe/Uzhgorod", "Europe/Kyiv"},
	{"Europe/Zaporozhye", "Europe/Kyiv"},
	{"GB", "Europe/London"},
	{"GB-Eire", "Europe/London"},
	{"GMT+0", "Etc/GMT"},
	{"GMT-0", "Etc/GMT"},
	{"GMT0", "Etc/GMT"},
	{"Greenwich", "Etc/GMT"},
	{"Hongkong", "Asia/Hong_Kong"},
	{"HST", "Pacific/Honolulu"},
	{"Iceland", "Atlantic/Reykjavik"},
	{"Iran", "Asia/Tehran"},
	{"Israel", "Asia/Jerusalem"},
	{"Jamaica", "America/Jamaica"},
	{"Japan", "Asia/Tokyo"},
	{"Kwajalein", "Pacific/Kwajalein"},
	{"Libya", "Africa/Tripoli"},
	{"MET", "Europe/Brussels"},
	{"Mexico/BajaNorte", "America/Tijuana"},
	{"Mexico/BajaSur", "America/Mazatlan"},
	{"Mexico/General", "America/Mexico_City"},
	{"MST", "America/Phoenix"},
	{"MST7MDT", "America/Denver"},
	{"Navajo", "America/Denver"},
	{"NZ", "Pacific/Auckland"},
	{"NZ-CHAT", "Pacific/Chatham"},
	{"Pacific/Enderbury", "Pacific/Kanton"},
	{"Pacific/Ponape", "Pacific/Pohnpei"},
	{"Pacific/Truk", "Pacific/Chuuk"},
	{"Poland", "Europe/Warsaw"},
	{"Portugal", "Europe/Lisbon"},
	{"PRC", "Asia/Shanghai"},
	{"PST8PDT", "America/Los_Angeles"},
	{"ROC", "Asia/Taipei"},
	{"ROK", "Asia/Seoul"},
	{"Singapore", "Asia/Singapore"},
	{"Turkey", "Europe/Istanbul"},
	{"UCT", "Etc/UTC"},
	{"Universal", "Etc/UTC"},
	{"US/Alaska", "America/Anchorage"},
	{"US/Aleutian", "America/Adak"},
	{"US/Arizona", "America/Phoenix"},
	{"US/Central", "America/Chicago"},
	{"US/East-Indiana", "America/Indiana/Indianapolis"},
	{"US/Eastern", "America/New_York"},
	{"US/Hawaii", "Pacific/Honolulu"},
	{"US/Indiana-Starke", "America/Indiana/Knox"},
	{"US/Michigan", "America/Detroit"},
	{"US/Mountain", "America/Denver"},
	{"US/Pacific", "America/Los_Angeles"},
	{"US/Samoa", "Pacific/Pago_Pago"},
	{"W-SU", "Europe/Moscow"},
	{"WET", "Europe/Lisbon"},
	{"Zulu", "Etc/UTC"},
};

/* Files of the zone directory that are no IANA names. */
static bool
is_local_alias(const char *name)
{
	return pg_strcasecmp(name, "localtime") == 0 ||
		pg_strcasecmp(name, "posixrules") == 0 ||
		pg_strcasecmp(name, "Factory") == 0 ||
		pg_strncasecmp(name, "posix/", strlen("posix/")) == 0;
}

static bool
is_enumerated(const char *name)
{
	pg_tzenum  *zones = pg_tzenumerate_start();
	pg_tz	   *zone;
	bool		found = false;

	while (!found && (zone = pg_tzenumerate_next(zones)) != NULL)
		found = strcmp(pg_get_timezone_name(zone), name) == 0;
	pg_tzenumerate_end(zones);
	return found;
}

static int
legacy_compare(const void *name, const void *entry)
{
	return pg_strcasecmp(name, ((const LegacyZone *) entry)->name);
}

/*
 * PostgreSQL also reads POSIX rules such as "Foo3" as zones.  They all contain
 * a digit, so only a name with one needs the slow look through the directory.
 */
const char *
eco_zone_name(const EcoText *arg)
{
	char	   *given = pnstrdup(arg->data, arg->len);
	const LegacyZone *legacy = bsearch(given, legacy_zones, lengthof(legacy_zones),
									   sizeof(LegacyZone), legacy_compare);
	const char *name = legacy != NULL ? legacy->canonical : given;
	pg_tz	   *zone = pg_tzset(name);

	if (zone == NULL || !pg_tz_acceptable(zone) || is_local_alias(name) ||
		(strpbrk(name, "0123456789") != NULL && !is_enumerated(pg_get_timezone_name(zone))))
		ECO_ERROR(ECO_INVALID_TIMEZONE,
				  errmsg("\"%s\" is not a time zone", given),
				  errdetail("Time zones are IANA names such as \"Europe/Berlin\" or \"UTC\"."),
				  errhint("SELECT name FROM pg_timezone_names lists them."));
	return pg_get_timezone_name(zone);
}
