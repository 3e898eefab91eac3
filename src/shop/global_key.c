/*
 * global_key.c
 *		Keys that are unique over all users, such as a store's transaction ids.
 *
 * The name of a key is locked before it is looked up, and never waited for:
 * who has it may hold it for as long as his transaction takes.  Only a transaction
 * that takes very many leaves the locks out, and may have to wait for the row; so may
 * another one that has the lock for such a transaction.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"

#include "ledger/lock.h"
#include "ledger/rows.h"
#include "shop/global_key.h"

/* written by SQL alone */
EcoTable	eco_shop_keys = {
	.name = "shop_keys",
	.internal = true,
	.only_read = true,
	.ncolumns = 2,
	.columns = {
		{"product_id", TEXTOID, false},
		{"idempotency_key", TEXTOID, false},
	},
	.nkeys = 1,
	.keys = {{2, {0, 1}}},
};

EcoGlobalKey
eco_global_key_look(const EcoText *product_id, const EcoText *key, bool take)
{
	Datum		values[2] = {product_id->datum, key->datum};
	bool		busy = false;
	EcoRow		row;

	if (take && eco_lock_affordable())
	{
		char	   *name = psprintf("economy.key:%.*s:%.*s", product_id->len, product_id->data,
									key->len, key->data);

		busy = !eco_name_lock(name, (int) strlen(name), true);
		pfree(name);
	}

	/*
	 * What was committed before we had the lock, or by one who is still
	 * letting go of its locks, one after the other.
	 */
	eco_snapshot_renew();
	if (eco_row_find(&eco_shop_keys, 0, 0, 2, values, &row))
		return ECO_GLOBAL_KEY_USED;
	return busy ? ECO_GLOBAL_KEY_BUSY : ECO_GLOBAL_KEY_FREE;
}

bool
eco_global_key_use(const EcoText *product_id, const EcoText *key, int64 user_id, int64 seq)
{
	Oid			types[4] = {TEXTOID, TEXTOID, INT8OID, INT8OID};
	Datum		values[4] = {
		product_id->datum, key->datum, Int64GetDatum(user_id), Int64GetDatum(seq)
	};

	/* for one that the snapshot does not see the INSERT raises 40001 */
	return eco_run_as_owner("WITH used AS (INSERT INTO economy_internal.shop_keys"
							" (product_id, idempotency_key, user_id, seq)"
							" VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING user_id)"
							" SELECT user_id FROM used",
							4, types, values) != (Datum) 0;
}

void
eco_global_keys_apart(const EcoText *product_id, bool locked)
{
	char	   *name = psprintf("economy.keys:%.*s", product_id->len, product_id->data);
	LOCKTAG		tag;

	eco_name_tag(&tag, name, (int) strlen(name));
	(void) LockAcquire(&tag, locked ? ShareLock : ExclusiveLock, false, false);
	pfree(name);
}
