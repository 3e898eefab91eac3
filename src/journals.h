/*
 * journals.h
 *		One function per journal that makes it known to the ledger; _PG_init calls
 *		them, so that readers of whole streams know every journal.
 */
#ifndef ECO_JOURNALS_H
#define ECO_JOURNALS_H

extern void eco_purchase_register(void);
extern void eco_adjust_register(void);
extern void eco_reward_register(void);
extern void eco_action_register(void);
extern void eco_user_change_register(void);

#endif
