/*
 * global_key.h
 *		Keys of products with global_key: one purchase by all users together.
 */
#ifndef ECO_GLOBAL_KEY_H
#define ECO_GLOBAL_KEY_H

#include "postgres.h"

#include "ledger/args.h"
#include "ledger/rows.h"

/* Whoever looks for such a key opens this. */
extern EcoTable eco_shop_keys;

typedef enum EcoGlobalKey
{
	ECO_GLOBAL_KEY_FREE,
	ECO_GLOBAL_KEY_USED,
	ECO_GLOBAL_KEY_BUSY			/* another transaction is using it */
} EcoGlobalKey;

/*
 * A free key is locked for this transaction, unless `take` is false or it has its share
 * of locks.
 */
extern EcoGlobalKey eco_global_key_look(const EcoText *product_id, const EcoText *key, bool take);

/*
 * Note which purchase uses a key that was found free.  False when another transaction
 * has used it that did not lock it, or ours did not; that one may be waited for here.
 */
extern bool eco_global_key_use(const EcoText *product_id, const EcoText *key,
							   int64 user_id, int64 seq);

/*
 * For who uses more keys of the product than he can lock: wait until no other such
 * transaction does.  Two of them would wait for each other's rows.
 */
extern void eco_global_keys_alone(const EcoText *product_id);

#endif
