/*
 * archive.h
 *		What stays of entries that were archived: the keys of their calls, the hashes
 *		that receipts behind them go on from, and what proves the archive.
 */
#ifndef ECO_ARCHIVE_H
#define ECO_ARCHIVE_H

#include "postgres.h"

#include "utils/uuid.h"

#include "ledger/args.h"
#include "ledger/checkpoint.h"

enum
{
	AKY_USER_ID,
	AKY_PRODUCT_ID,				/* empty where nothing is kept but the key */
	AKY_KEY,
	AKY_SEQ,
	AKY_CREATED_AT,				/* from here on as EcoKept */
	AKY_MONETARY,
	AKY_QUANTITY,
	AKY_STOCK_UNITS,
	AKY_COLUMNS
};

enum
{
	AHS_USER_ID,
	AHS_SEQ,
	AHS_HASH,
	AHS_COLUMNS
};

enum
{
	ARC_USER_ID,
	ARC_JOURNAL,
	ARC_UPTO_SEQ,
	ARC_FROM_SEQ,
	ARC_ENTRIES,
	ARC_FREEZES,
	ARC_DIGEST,
	ARC_CREATED_AT,
	ARC_COLUMNS
};

/*
 * Whoever asks what was archived opens these.  Calls that look a key up lock the table as
 * readers do, and go by the direct way whatever triggers a DBA has on its writes; it is
 * written as the other one.
 */
extern EcoTable eco_archived_keys;
extern EcoTable eco_archived_keys_to_keep;
extern EcoTable eco_archived_hashes;
extern EcoTable eco_archives;

/* The key of the call that made the entry. */
extern void eco_archive_key_of(const EcoJournal *journal, const EcoRow *row, pg_uuid_t *key);

/* The digest of an archive goes on: with what the entry says, and with its proof. */
extern void eco_archive_digest_add(const EcoJournal *journal, const EcoRow *row,
								   uint8 digest[ECO_HASH_LEN]);

/* The seq at which the last archive of the user's entries in the journal ended; 0: none. */
extern int64 eco_archive_end(const EcoJournal *journal, int64 user_id);

/*
 * Whether the entry with this key went into an archive; *seq is its number.  The account
 * is locked or read, and eco_archived_keys is open.
 */
extern bool eco_archive_has_key(const EcoAccount *account, const EcoJournal *journal,
								const EcoText *texts, int64 *seq);

/*
 * Whether the entry of the journal was archived, or stayed where those around it were:
 * what it depends on may be gone.  eco_archives and eco_archived_keys are open.
 */
extern bool eco_archive_passed(const EcoJournal *journal, int64 user_id, int64 seq);

/*
 * What stays of the user's archived purchases of a product, or of all, and of others then,
 * whose created_at is null.  eco_archived_keys is open.
 */
extern EcoScan *eco_archived_begin(int64 user_id, const EcoText *product_id);

/* The hash of an archived entry that a receipt goes on from; false when it is not kept. */
extern bool eco_archive_hash(int64 user_id, int64 seq, uint8 hash[ECO_HASH_LEN]);

/* The digest of what stays of the user's archived entries, which checkpoints sign. */
extern void eco_archive_digest(int64 user_id, uint8 digest[ECO_HASH_LEN]);

#endif
