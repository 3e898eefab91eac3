/*
 * account.h
 *		The journals of what an account is: adjustments of gold, and who the user is.
 */
#ifndef ECO_ACCOUNT_H
#define ECO_ACCOUNT_H

#include "ledger/journal.h"

extern const EcoJournal eco_adjustments;
extern const EcoJournal eco_user_entries;

#endif
