/*
 * journal.h
 *		Journals: tables of entries, one for each domain that moves gold or XP.
 */
#ifndef ECO_JOURNAL_H
#define ECO_JOURNAL_H

#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "datatype/timestamp.h"

#include "core/encode.h"
#include "ledger/rows.h"

#define ECO_MAX_JOURNALS 8

/* The header: the first columns of every journal. */
enum
{
	ECO_COL_USER_ID,
	ECO_COL_SEQ,
	ECO_COL_GOLD_DELTA,
	ECO_COL_XP_DELTA,
	ECO_COL_GOLD,
	ECO_COL_XP,
	ECO_COL_CREATED_AT,
	ECO_COL_XACT,
	ECO_COL_POSITION,			/* in the feed; see installation.h */
	ECO_COL_LIVE,				/* whether the relay tells it */
	ECO_COL_HASH,
	ECO_HEADER_COLUMNS
};

/* The header's descriptions, to open the column list of a journal's EcoTable. */
#define ECO_JOURNAL_HEADER \
	{"user_id", INT8OID, false}, \
	{"seq", INT8OID, false}, \
	{"gold_delta", INT8OID, false}, \
	{"xp_delta", INT8OID, false}, \
	{"gold", INT8OID, false}, \
	{"experience_points", INT8OID, false}, \
	{"created_at", TIMESTAMPTZOID, false}, \
	{"xact", INT8OID, false}, \
	{"position", INT8OID, false}, \
	{"live", BOOLOID, false}, \
	{"hash", BYTEAOID, false}

/* What a statement shows of an entry beside the header. */
typedef enum EcoShown
{
	ECO_SHOWN_PRODUCT,			/* text */
	ECO_SHOWN_SOURCE,			/* text: where it comes from */
	ECO_SHOWN_REASON,			/* text: why it was made */
	ECO_SHOWN_ITEMS,			/* jsonb */
	ECO_SHOWN
} EcoShown;

struct EcoListener;

/*
 * What stays of an archived entry beside its key, for a domain that goes on computing
 * from it: a purchase, of the product that is the first text of its key.
 */
typedef struct EcoKept
{
	Datum		product_id;
	TimestampTz created_at;
	int64		monetary;
	int64		quantity;
	int64		stock_units;	/* that a stock had less; 0: of none */
} EcoKept;

typedef struct EcoJournal
{
	char		letter;			/* in the encoding and in transaction ids: it
								 * never changes */
	const char *noun;			/* what an entry is; NULL: a change of state */
	bool		light;			/* economy.async_commit = actions is for it */
	bool		leaves;			/* its entries may be archived */
	void		(*keep) (const EcoRow *row, EcoKept *kept); /* NULL: of them stays
															 * the key alone */
	EcoTable   *table;			/* the header, then columns of its own */
	int			signature_column;	/* 0: its entries are not signed */
	int			key_version_column;
	int			shown[ECO_SHOWN];	/* columns; 0: it has no such one */

	/*
	 * Tells the events of a row, see event/event.h; NULL: there are none. To
	 * do so it reads these tables, unless it has so many bytes beside the
	 * row, EcoEntry.beside of the entry when it was made; else that is NULL.
	 */
	EcoTable   *const *tell_tables;
	Size		beside_bytes;
	bool		beside_of_few;	/* entries that set none have zeros there */
	void		(*tell) (const EcoRow *row, const void *beside, struct EcoListener *listener);
	uint32		types;			/* ECO_TYPE_BIT() of what it tells */
} EcoJournal;

/* Make all journals known, a list up to NULL, to those who read whole streams. */
extern void eco_journals_install(const EcoJournal *const *all);
extern int	eco_journal_count(void);
extern const EcoJournal *eco_journal_get(int number);

/*
 * Whether its table is there; a call that has opened it asks eco_table_is_open().  Objects of
 * an older release lack one that came later, and it has no entry there.
 */
static inline bool
eco_journal_exists(const EcoJournal *journal)
{
	return !journal->table->later || eco_table_exists(journal->table);
}

/* NULL: none has the letter */
extern const EcoJournal *eco_journal_of(char letter);

static inline bool
eco_journal_is_signed(const EcoJournal *journal)
{
	return journal->signature_column != 0;
}

/* Whether tables are read to tell an entry that was handed over. */
static inline bool
eco_journal_reads_to_tell(const EcoJournal *journal)
{
	return journal->tell_tables != NULL && journal->beside_bytes == 0;
}

/* Whether the column is the hash, or made from it or from others: no hash covers it. */
static inline bool
eco_is_of_proof(const EcoJournal *journal, int column)
{
	return column == ECO_COL_HASH || (column != 0 && column == journal->table->digest) ||
		(eco_journal_is_signed(journal) && column == journal->signature_column);
}

/*
 * Hash of a stored or new row of the journal after `prev`.  The signature is left
 * out: it is made from the hash; and so is the digest of a key, made from its texts.
 * Columns that came later, at the end of the row, are left out as far as they are null:
 * entries from before them have the hash that they had.
 */
extern void eco_entry_hash(const EcoJournal *journal, const EcoRow *row,
						   const uint8 prev[ECO_HASH_LEN], uint8 hash[ECO_HASH_LEN]);

/* The public name of an entry, e.g. "P42-7"; palloc'd. */
extern char *eco_transaction_id(const EcoJournal *journal, int64 user_id, int64 seq);

/* Parse one; false when the text is no such name. */
extern bool eco_transaction_id_parse(const char *id, const EcoJournal **journal,
									 int64 *user_id, int64 *seq);

#endif
