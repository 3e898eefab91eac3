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
 * For who uses several keys of the product in one call: wait until nobody else does who
 * would wait for him as well, at the row of a key.  Those who lock all their keys
 * (`locked`) never wait for each other; who has too many for that is alone.
 */
extern void eco_global_keys_apart(const EcoText *product_id, bool locked);

#endif
