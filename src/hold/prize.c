/*
 * prize.c
 *		What an outcome of a draw table gives, less the price of the draw.
 *
 * Of a prize with a limit it is counted how many were given, to all users, in a row of
 * draw_prizes, which only who has drawn it locks, behind everything else.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"

#include "crash_point.h"
#include "errors.h"
#include "hold/prize.h"

/* columns of economy.draw_prizes */
enum
{
	PRZ_TABLE_ID,
	PRZ_ENTRY,
	PRZ_GIVEN,
	PRZ_COLUMNS
};

EcoTable	eco_draw_prizes = {
	.name = "draw_prizes",
	.ncolumns = PRZ_COLUMNS,
	.columns = {
		{"table_id", TEXTOID, false},
		{"entry", TEXTOID, false},
		{"given", INT8OID, ECO_MUTABLE},
	},
	.nkeys = 1,
	.keys = {{2, {PRZ_TABLE_ID, PRZ_ENTRY}}},
};

static bool
same_item(const EcoHolding *a, const EcoHolding *b)
{
	return a->item_id.len == b->item_id.len &&
		memcmp(a->item_id.data, b->item_id.data, a->item_id.len) == 0;
}

/* The largest amounts of them all; false, and nothing is taken over, when there is no room. */
static bool
take_over(EcoHoldings *most, const EcoHoldings *prize)
{
	int			n = most->n;

	for (int i = 0; i < prize->n; i++)
	{
		int			k = 0;

		while (k < n && !same_item(&most->of[k], &prize->of[i]))
			k++;
		if (k == ECO_MAX_HOLDINGS)
			return false;
		if (k == n)
			most->of[n++] = prize->of[i];
		most->of[k].amount = Max(most->of[k].amount, prize->of[i].amount);
	}
	most->n = n;
	return true;
}

/* They mostly have items in common. */
const char *
eco_prizes_refusal(const EcoDrawTable *table, const EcoAccount *account, EcoDetail *detail)
{
	const char *refusal = eco_amount_refusal(account, table->most_gold, table->most_xp);
	EcoHoldings *prize = palloc(sizeof(EcoHoldings));
	EcoHoldings *most = palloc(sizeof(EcoHoldings));

	most->n = 0;
	for (int i = 0; refusal == NULL && i < table->n; i++)
	{
		if (table->entries[i].items == NULL)
			continue;
		CHECK_FOR_INTERRUPTS();
		eco_holdings_in(table->entries[i].items, "items", ECO_HOLDING_GIVE, prize);
		if (take_over(most, prize))
			continue;
		refusal = eco_holdings_refusal(most, account, detail);
		*most = *prize;
	}
	if (refusal == NULL && most->n > 0)
		refusal = eco_holdings_refusal(most, account, detail);
	pfree(most);
	pfree(prize);
	return refusal;
}

/* What is left of them when those of the others have been taken off. */
static void
keep_rest(EcoHoldings *all, const EcoHoldings *others)
{
	int			n = 0;

	for (int i = 0; i < all->n; i++)
	{
		EcoHolding	one = all->of[i];

		for (int k = 0; k < others->n; k++)
			if (same_item(&one, &others->of[k]))
				one.amount -= others->of[k].amount;
		if (one.amount > 0)
			all->of[n++] = one;
	}
	all->n = n;
}

/* Of an item that is both price and prize the entry carries the difference. */
static EcoPrize *
settle(const EcoDrawTable *table, const EcoText *table_id, const EcoAccount *account, int entry)
{
	const EcoDrawEntry *gives = table->n > 0 ? &table->entries[entry] : NULL;
	EcoHoldings *price = palloc(sizeof(EcoHoldings));
	EcoHoldings *won = palloc(sizeof(EcoHoldings));
	EcoPrize   *prize = palloc(sizeof(EcoPrize));
	EcoHoldings *lost = &prize->items;
	EcoDetail	detail = {.open = false};

	price->n = won->n = 0;
	prize->entry = entry;
	prize->number = 0;
	prize->gold_delta = (gives != NULL ? gives->gold : 0) - table->price_gold;
	prize->xp_delta = gives != NULL ? gives->xp : 0;
	if (table->price_items != NULL)
		eco_holdings_in(table->price_items, "items", ECO_HOLDING_USE_UP, price);
	if (gives != NULL && gives->items != NULL)
		eco_holdings_in(gives->items, "items", ECO_HOLDING_GIVE, won);
	*lost = *price;
	keep_rest(lost, won);
	keep_rest(won, price);
	if (lost->n + won->n > ECO_MAX_HOLDINGS)
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("draw table \"%.*s\" is damaged", table_id->len, table_id->data));
	for (int i = 0; i < won->n; i++)
		lost->of[lost->n++] = won->of[i];
	if (eco_amount_refusal(account, prize->gold_delta, prize->xp_delta) != NULL ||
		eco_holdings_refusal(lost, account, &detail) != NULL)
		elog(ERROR, "a draw was refused after it had been drawn");
	pfree(price);
	pfree(won);
	return prize;
}

/* The newest row of a prize, locked: whoever was waited for may have given some. */
static void
lock_prize(const EcoText *table_id, const EcoDrawEntry *entry, EcoRow *row)
{
	EcoText		id = eco_text_of(pnstrdup(entry->id.data, entry->id.len));
	Datum		key[2] = {table_id->datum, id.datum};
	EcoLock		lock = ECO_LOCKED_AGAIN;

	while (lock == ECO_LOCKED_AGAIN)
	{
		if (!eco_row_find(&eco_draw_prizes, 0, 0, 2, key, row))
			lock = ECO_LOCK_GONE;
		else
			lock = eco_row_lock(row, 0, ECO_WAIT);
		if (lock == ECO_LOCKED_AGAIN)
			eco_snapshot_renew();
	}
	if (lock == ECO_LOCK_GONE)
		ECO_ERROR(ECO_LEDGER_DAMAGED,
				  errmsg("prizes of draw table \"%.*s\" are not counted", table_id->len,
						 table_id->data),
				  errdetail("economy.draw_prizes lacks the entry \"%s\".", id.data));
}

/*
 * Both prizes are settled before the wait for the count, behind which an item may be one that
 * is not given any more: nothing is refused that was drawn.
 */
EcoPrize *
eco_prize_take(const EcoDrawTable *table, const EcoText *table_id, const EcoAccount *account,
			   int entry)
{
	EcoPrize   *prize = settle(table, table_id, account, entry);
	EcoPrize   *other;
	int64		limit = table->n == 0 ? 0 : table->entries[entry].limit;
	EcoRow		row;

	if (limit == 0)
		return prize;
	other = settle(table, table_id, account, eco_draw_instead(table, entry));
	lock_prize(table_id, &table->entries[entry], &row);
	prize->number = eco_row_int(&row, PRZ_GIVEN) + 1;
	if (prize->number > limit)
		return other;
	eco_row_set(&row, PRZ_GIVEN, Int64GetDatum(prize->number));
	eco_row_update(&row, 0);
	ECO_CRASH_POINT("draw:after_prize");
	return prize;
}
