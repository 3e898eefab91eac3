/*
 * transfer_rules.h
 *		What set_transfer_rules() allows: of whatever passes from one user to another.
 */
#ifndef ECO_TRANSFER_RULES_H
#define ECO_TRANSFER_RULES_H

#include "postgres.h"

#include "hold/sent.h"
#include "ledger/entry.h"
#include "ledger/result.h"

#define ECO_TRANSFER_TABLES 2

typedef struct EcoTransferRules
{
	int32		fee_per_mille;
	int64		daily_gold;		/* -1: no limit */
	int32		minimum_age_hours;
} EcoTransferRules;

/* Begin a call's list of tables with those that the rules need; their number. */
extern int	eco_transfer_tables(EcoTable **tables);

/* False: nothing is transferred. */
extern bool eco_transfer_rules(EcoTransferRules *rules);

/* TRANSFER_TOO_YOUNG, with the rest in the detail, or NULL. */
extern const char *eco_transfer_age(const EcoTransferRules *rules, int64 user_id, TimestampTz at,
									EcoOpenTables *open, EcoDetail *detail);

/*
 * TRANSFER_DAILY_LIMIT or NULL; *sent is what the user has sent in the day, with this gold:
 * eco_sent_set() of a sender whose account is written.
 */
extern const char *eco_transfer_day(const EcoTransferRules *rules, const EcoAccount *from,
									TimestampTz at, int64 gold, EcoSent *sent, EcoDetail *detail);
extern void eco_sent_set(const EcoSent *sent, EcoAccount *from);

/* Rounded up; of gold up to 2^53 - 1 nothing overflows. */
extern int64 eco_transfer_fee(int64 gold, int32 per_mille);

#endif
