/*
 * pruned.c
 *		Actions that were pruned: their ids are still known.
 */
#include "postgres.h"

#include "utils/uuid.h"

#include "core/encode.h"
#include "ledger/hash.h"
#include "play/pruned.h"

#define KEY_LETTER 'K'
#define KEY_BYTES \
	(ECO_ENCODED_HEADER + ECO_ENCODED_BYTES(ECO_MAX_NAME) + ECO_ENCODED_BYTES(ECO_MAX_KEY))

PG_FUNCTION_INFO_V1(eco_action_key);

void
eco_pruned_key(const EcoText *game, const EcoText *action_id, pg_uuid_t *key)
{
	static const uint8 zeros[ECO_HASH_LEN] = {0};
	uint8		buf[KEY_BYTES];
	uint8		hash[ECO_HASH_LEN];
	EcoEncoder	enc;

	eco_encode_begin(&enc, buf, sizeof(buf), ECO_HASH_ALGO_VERSION, KEY_LETTER);
	eco_encode_bytes(&enc, game->data, game->len);
	eco_encode_bytes(&enc, action_id->data, action_id->len);
	if (!eco_chain_hash(zeros, &enc, hash))
		eco_hash_failed();
	memcpy(key->data, hash, UUID_LEN);
}

/*
 * eco_action_key(game text, action_id text) returns uuid
 */
Datum
eco_action_key(PG_FUNCTION_ARGS)
{
	EcoText		game = eco_text_arg(fcinfo, 0, "game", ECO_MAX_NAME);
	EcoText		action_id = eco_text_arg(fcinfo, 1, "action_id", ECO_MAX_KEY);
	pg_uuid_t  *key = palloc(sizeof(pg_uuid_t));

	eco_pruned_key(&game, &action_id, key);
	PG_RETURN_UUID_P(key);
}

bool
eco_action_pruned(const EcoAccount *account, const EcoAction *action, int64 *seq)
{
	pg_uuid_t	key;
	Datum		values[2];
	EcoRow		row;

	if (account->pruned_seq == 0)
		return false;
	eco_pruned_key(&action->game, &action->action_id, &key);
	values[0] = Int64GetDatum(account->user_id);
	values[1] = UUIDPGetDatum(&key);
	if (!eco_row_find(&eco_pruned_actions, account->user_id, 0, 2, values, &row))
		return false;
	*seq = eco_row_int(&row, PRU_SEQ);
	return true;
}
