/*
 * mark.c
 *		Where an audit found a user's stream clean; verification can go on there.
 */
#include "postgres.h"

#include "ledger/mark.h"

enum
{
	MRK_USER_ID,
	MRK_SEQ,
	MRK_GOLD,
	MRK_XP,
	MRK_HASH,
	MRK_COLUMNS
};

EcoTable	eco_audit_checkpoints = {
	.name = "audit_checkpoints",
	.internal = true,
	.ncolumns = MRK_COLUMNS,
	.columns = {
		{"user_id", INT8OID, false},
		{"seq", INT8OID, true},
		{"gold", INT8OID, true},
		{"experience_points", INT8OID, true},
		{"hash", BYTEAOID, true},
	},
	.nkeys = 1,
	.keys = {{1, {MRK_USER_ID}}},
};

bool
eco_mark_read(int64 user_id, EcoMark *mark)
{
	Datum		key = Int64GetDatum(user_id);
	EcoRow		row;
	bytea	   *hash;

	if (!eco_row_find(&eco_audit_checkpoints, user_id, 0, 1, &key, &row) ||
		eco_row_int(&row, MRK_SEQ) == 0)
		return false;
	mark->seq = eco_row_int(&row, MRK_SEQ);
	mark->gold = eco_row_int(&row, MRK_GOLD);
	mark->xp = eco_row_int(&row, MRK_XP);
	hash = DatumGetByteaPP(row.values[MRK_HASH]);
	mark->valid = VARSIZE_ANY_EXHDR(hash) == ECO_HASH_LEN && mark->seq > 0;
	if (mark->valid)
		memcpy(mark->hash, VARDATA_ANY(hash), ECO_HASH_LEN);
	return true;
}

void
eco_mark_move(int64 user_id, const EcoCheckpoint *checkpoint)
{
	static EcoTable *const tables[] = {&eco_audit_checkpoints, NULL};
	EcoOpenTables *open = eco_tables_open(ECO_WRITE, tables);
	Datum		key = Int64GetDatum(user_id);
	EcoRow		row;
	EcoLock		lock = ECO_LOCK_GONE;

	/*
	 * a sweep may move the mark beyond the checkpoint while we wait for its
	 * row
	 */
	while (eco_row_find(&eco_audit_checkpoints, user_id, 0, 1, &key, &row) &&
		   eco_row_int(&row, MRK_SEQ) > 0 && eco_row_int(&row, MRK_SEQ) < checkpoint->seq &&
		   (lock = eco_row_lock(&row, user_id, ECO_WAIT)) == ECO_LOCKED_AGAIN)
		eco_snapshot_renew();
	if (lock == ECO_LOCKED)
	{
		eco_row_set(&row, MRK_SEQ, Int64GetDatum(checkpoint->seq));
		eco_row_set(&row, MRK_GOLD, Int64GetDatum(checkpoint->gold));
		eco_row_set(&row, MRK_XP, Int64GetDatum(checkpoint->xp));
		eco_row_set(&row, MRK_HASH, eco_bytea(checkpoint->hash, ECO_HASH_LEN));
		eco_row_update(&row, user_id);
	}
	eco_tables_close(open);
}
