/*
 * products.c
 *		products(): what a shop page shows, and whether the user may buy it.
 *
 * Whether he may is asked of the very rules that purchase() has, as of the statement's
 * snapshot; nothing is locked, so a purchase may still be refused.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "clock.h"
#include "errors.h"
#include "ledger/archive.h"
#include "ledger/args.h"
#include "ledger/entry.h"
#include "ledger/result.h"
#include "shop/journal.h"
#include "shop/order.h"
#include "shop/purchase.h"
#include "shop/refunds.h"
#include "shop/reservation.h"

/* columns of economy.product_offer */
enum
{
	OFR_PRODUCT_ID,
	OFR_CATEGORY,
	OFR_TAGS,
	OFR_POSITION,
	OFR_TEXTS,
	OFR_EXTRA,
	OFR_EFFECT_CODE,
	OFR_PRICE_GOLD,
	OFR_SOURCE_POINTS,
	OFR_GRANTED_GOLD,
	OFR_EXPECTED_PRICE,
	OFR_GLOBAL_KEY,
	OFR_STARTS_AT,
	OFR_ENDS_AT,
	OFR_STOCK_REMAINING,
	OFR_USER_LIMIT,
	OFR_USER_LIMIT_REMAINING,
	OFR_LIMIT_PERIOD,
	OFR_RENEWS_AT,
	OFR_MAY_BUY,
	OFR_CODE,
	OFR_DETAIL,
	OFR_CONTENTS,
	OFR_PRICE_ITEMS,
	OFR_GRANTED_XP,
	OFR_SETTLEMENT,
	OFR_COLUMNS
};

#define MAX_TAG 512				/* bytes: shop_products_tags_check */
#define OFFER_TYPES "ttTijjtllllbzzliltzbtj+jjlt"

PG_FUNCTION_INFO_V1(eco_products);
PG_FUNCTION_INFO_V1(eco_product);

/* For whom, and what of the shop. */
typedef struct Asked
{
	EcoOpenTables *open;
	bool		has_user;		/* asked for, and */
	bool		is_known;		/* registered */
	EcoAccount	account;
	EcoBought  *bought;			/* by it, when it is of many products */
	bool		has_category;
	char		category;		/* its first letter */
	Datum		tag;			/* text, or 0 */
	bool		only_available;
} Asked;

typedef struct Offer
{
	int32		position;
	EcoText		product_id;
	HeapTuple	tuple;
} Offer;

/* The offers as they are found. */
typedef struct ShopPage
{
	const Asked *asked;
	TupleDesc	desc;
	MemoryContext kept;			/* has them */
	MemoryContext each;			/* of one product */
	Offer	   *offers;
	int			room;
	int			n;
} ShopPage;

static void open_shop(Asked *asked, FunctionCallInfo fcinfo, int user_arg);
static void read_filters(Asked *asked, FunctionCallInfo fcinfo);
static void see_product(void *state, const Datum *columns, const bool *isnull);
static void add_offer(ShopPage *page, const Datum *values, const bool *isnull);
static bool is_asked_for(const Asked *asked, const Datum *columns, const EcoProduct *product);
static bool has_tag(Datum tags, Datum tag);
static void fill_offer(const Asked *asked, const Datum *columns, const bool *missing,
					   const EcoProduct *product, Datum *values, bool *isnull);
static void tell_limit(const EcoPurchase *p, Datum *values, bool *isnull);
static int	compare_offers(const void *a, const void *b);

/*
 * eco_products(user_id bigint, category text, tag text, only_available boolean)
 *		returns setof economy.product_offer, by position and product_id
 */
Datum
eco_products(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	EcoBought	bought = {.is_read = false};
	Asked		asked = {.bought = &bought};
	ShopPage	page = {.asked = &asked, .kept = CurrentMemoryContext, .room = 64};

	read_filters(&asked, fcinfo);
	eco_result_set_begin(fcinfo, OFFER_TYPES);
	open_shop(&asked, fcinfo, 0);
	page.desc = info->setDesc;
	page.each = AllocSetContextCreate(page.kept, "economy product", ALLOCSET_DEFAULT_SIZES);
	page.offers = palloc(sizeof(Offer) * page.room);
	if (!eco_rows_visit(&eco_shop_shelf, see_product, &page))
	{
		EcoScan    *scan = eco_scan_begin(&eco_shop_shelf, 0, 0, 0, NULL);
		EcoRow		row;

		while (eco_scan_next(scan, &row))
			see_product(&page, row.values, row.isnull);
		eco_scan_end(scan);
	}
	eco_tables_close(asked.open);
	if (page.n > 1)
		qsort(page.offers, page.n, sizeof(Offer), compare_offers);
	for (int i = 0; i < page.n; i++)
		tuplestore_puttuple(info->setResult, page.offers[i].tuple);
	return (Datum) 0;
}

static void
see_product(void *state, const Datum *columns, const bool *missing)
{
	ShopPage   *page = state;
	Datum		values[OFR_COLUMNS];
	bool		isnull[OFR_COLUMNS];
	EcoProduct	product;

	CHECK_FOR_INTERRUPTS();
	eco_product_of(columns, missing, &product);
	MemoryContextReset(page->each);
	MemoryContextSwitchTo(page->each);
	if (is_asked_for(page->asked, columns, &product))
	{
		fill_offer(page->asked, columns, missing, &product, values, isnull);
		MemoryContextSwitchTo(page->kept);
		add_offer(page, values, isnull);
	}
	MemoryContextSwitchTo(page->kept);
}

static void
add_offer(ShopPage *page, const Datum *values, const bool *isnull)
{
	Offer	   *offer;
	bool		null;

	if (page->n == page->room)
		page->offers = repalloc_huge(page->offers, sizeof(Offer) * (page->room *= 2));
	offer = &page->offers[page->n++];
	offer->tuple = heap_form_tuple(page->desc, unconstify(Datum *, values),
								   unconstify(bool *, isnull));
	offer->position = DatumGetInt32(values[OFR_POSITION]);
	offer->product_id = eco_text_in(heap_getattr(offer->tuple, OFR_PRODUCT_ID + 1, page->desc,
												 &null));
}

/*
 * eco_product(product_id text, user_id bigint)
 *		returns setof economy.product_offer, at most one
 */
Datum
eco_product(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	Asked		asked = {0};
	EcoRow		row;
	Datum		id;

	eco_result_set_begin(fcinfo, OFFER_TYPES);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	id = PointerGetDatum(PG_GETARG_TEXT_PP(0));
	open_shop(&asked, fcinfo, 1);
	if (eco_row_find(&eco_shop_shelf, 0, 0, 1, &id, &row))
	{
		EcoProduct	product;
		Datum		values[OFR_COLUMNS];
		bool		isnull[OFR_COLUMNS];

		eco_product_of(row.values, row.isnull, &product);
		fill_offer(&asked, row.values, row.isnull, &product, values, isnull);
		tuplestore_putvalues(info->setResult, info->setDesc, values, isnull);
	}
	eco_tables_close(asked.open);
	return (Datum) 0;
}

/* All that the rules may ask for, and the account, under one snapshot. */
static void
open_shop(Asked *asked, FunctionCallInfo fcinfo, int user_arg)
{
	static EcoTable *const for_nobody[] = {
		&eco_shop_shelf, &eco_shop_stock, &eco_shop_reservations, NULL
	};
	static EcoTable *const for_user[] = {
		&eco_shop_transactions, &eco_accounts, &eco_shop_shelf, &eco_shop_stock,
		&eco_shop_user_units_more, &eco_items, &eco_user_holdings_more,
		&eco_shop_reservations, &eco_shop_refunds, &eco_payment_orders, NULL
	};
	static EcoTable *const of_archives[] = {&eco_archived_keys, NULL};
	int64		user_id;

	asked->has_user = !PG_ARGISNULL(user_arg);
	if (!asked->has_user)
	{
		asked->open = eco_tables_open(ECO_READ, for_nobody);
		return;
	}
	user_id = PG_GETARG_INT64(user_arg);
	asked->open = eco_user_tables_open(ECO_READ, user_id, for_user);
	do
		asked->is_known = eco_account_read(user_id, &asked->account);
	while (asked->is_known && asked->account.pruned_seq > 0 &&
		   eco_tables_add(asked->open, of_archives));
}

static void
read_filters(Asked *asked, FunctionCallInfo fcinfo)
{
	asked->has_category = !PG_ARGISNULL(1);
	if (asked->has_category)
	{
		EcoText		category = eco_text_arg(fcinfo, 1, "category", ECO_MAX_NAME);
		const char *word = pnstrdup(category.data, category.len);

		if (strcmp(word, "item") != 0 && strcmp(word, "conversion") != 0)
			ECO_ERROR(ECO_INVALID_ARGUMENT,
					  errmsg("category must be conversion or item"),
					  errhint("Leave it out for both; tags are for further groups."));
		asked->category = word[0];
	}
	if (!PG_ARGISNULL(2))
		asked->tag = eco_text_arg(fcinfo, 2, "tag", MAX_TAG).datum;
	eco_require_arg(fcinfo, 3, "only_available");
	asked->only_available = PG_GETARG_BOOL(3);
}

static bool
is_asked_for(const Asked *asked, const Datum *columns, const EcoProduct *product)
{
	if (asked->has_category && (asked->category == 'c') != product->is_conversion)
		return false;
	if (asked->tag != (Datum) 0 && !has_tag(columns[PRD_TAGS], asked->tag))
		return false;
	return !asked->only_available || eco_product_not_on_sale(product, eco_now()) == NULL;
}

static bool
has_tag(Datum tags, Datum tag)
{
	const EcoText wanted = eco_text_in(tag);
	Datum	   *elements;
	bool	   *isnull;
	int			n;

	deconstruct_array(DatumGetArrayTypeP(tags), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, &isnull, &n);
	for (int i = 0; i < n; i++)
		if (!isnull[i])
		{
			EcoText		has = eco_text_in(elements[i]);

			if (has.len == wanted.len && memcmp(has.data, wanted.data, has.len) == 0)
				return true;
		}
	return false;
}

/* What the rules say of the product for who asks. */
static const char *
look(const Asked *asked, EcoPurchase *p)
{
	const char *refusal = eco_purchase_look(p, asked->is_known ? &asked->account : NULL);

	if (!asked->has_user || asked->is_known)
		return refusal;
	/* so it is as well for what is not on sale */
	p->detail = (EcoDetail)
	{
		0
	};
	return "USER_NOT_FOUND";
}

/* As it can be handed out: whole, not where to find it. */
static Datum
whole(Datum value)
{
	return PointerGetDatum(PG_DETOAST_DATUM_PACKED(value));
}

/* A row of the result; what it points to lives as long as the product's columns. */
static void
fill_offer(const Asked *asked, const Datum *columns, const bool *missing,
		   const EcoProduct *product, Datum *values, bool *isnull)
{
	EcoPurchase p;
	const char *refusal;
	Datum		detail;

	memset(&p, 0, sizeof(p));
	p.product = *product;
	p.product_id = product->product_id;
	p.user_id = asked->account.user_id;
	p.bought = asked->bought;
	refusal = look(asked, &p);
	detail = eco_detail_end(&p.detail);

	memset(isnull, false, sizeof(bool) * OFR_COLUMNS);
	values[OFR_PRODUCT_ID] = columns[PRD_ID];
	values[OFR_CATEGORY] = columns[PRD_CATEGORY];
	values[OFR_TAGS] = whole(columns[PRD_TAGS]);
	values[OFR_POSITION] = columns[PRD_POSITION];
	values[OFR_TEXTS] = whole(columns[PRD_TEXTS]);
	values[OFR_EXTRA] = whole(columns[PRD_EXTRA]);
	values[OFR_EFFECT_CODE] = columns[PRD_EFFECT_CODE];
	isnull[OFR_EFFECT_CODE] = missing[PRD_EFFECT_CODE];
	values[OFR_PRICE_GOLD] = Int64GetDatum(product->price_gold);
	values[OFR_SOURCE_POINTS] = Int64GetDatum(product->source_points);
	values[OFR_GRANTED_GOLD] = Int64GetDatum(product->granted_gold);
	values[OFR_EXPECTED_PRICE] = Int64GetDatum(product->is_conversion ? product->source_points :
											   product->price_gold);
	values[OFR_GLOBAL_KEY] = BoolGetDatum(product->global_key);
	values[OFR_STARTS_AT] = columns[PRD_STARTS_AT];
	isnull[OFR_STARTS_AT] = missing[PRD_STARTS_AT];
	values[OFR_ENDS_AT] = columns[PRD_ENDS_AT];
	isnull[OFR_ENDS_AT] = missing[PRD_ENDS_AT];
	values[OFR_STOCK_REMAINING] = Int64GetDatum(p.stock_left);
	isnull[OFR_STOCK_REMAINING] = !product->has_stock;
	tell_limit(&p, values, isnull);
	values[OFR_MAY_BUY] = BoolGetDatum(refusal == NULL);
	values[OFR_CODE] = CStringGetTextDatum(refusal == NULL ? "OK" : refusal);
	values[OFR_DETAIL] = detail;
	isnull[OFR_DETAIL] = detail == (Datum) 0;
	isnull[OFR_CONTENTS] = product->contents == (Datum) 0;
	if (!isnull[OFR_CONTENTS])
		values[OFR_CONTENTS] = whole(product->contents);
	isnull[OFR_PRICE_ITEMS] = product->price_items == (Datum) 0;
	if (!isnull[OFR_PRICE_ITEMS])
		values[OFR_PRICE_ITEMS] = whole(product->price_items);
	values[OFR_GRANTED_XP] = Int64GetDatum(product->granted_xp);
	values[OFR_SETTLEMENT] = columns[PRD_SETTLEMENT];
	isnull[OFR_SETTLEMENT] = missing[PRD_SETTLEMENT];
}

/* The product's limit per user, and what of it this user has left. */
static void
tell_limit(const EcoPurchase *p, Datum *values, bool *isnull)
{
	const EcoProduct *product = &p->product;
	bool		is_limited = product->limit_once || product->per_user_limit > 0;
	bool		renews = is_limited && product->limit_period != ECO_PERIOD_EVER;

	isnull[OFR_USER_LIMIT] = isnull[OFR_LIMIT_PERIOD] = !is_limited;
	isnull[OFR_USER_LIMIT_REMAINING] = p->user_limit_left < 0;
	isnull[OFR_RENEWS_AT] = !renews;
	values[OFR_USER_LIMIT_REMAINING] = Int64GetDatum(p->user_limit_left);
	if (!is_limited)
		return;
	values[OFR_USER_LIMIT] = Int32GetDatum(product->limit_once ? 1 : product->per_user_limit);
	values[OFR_LIMIT_PERIOD] = CStringGetTextDatum(eco_period_word(product->limit_period));
	if (renews)
		values[OFR_RENEWS_AT] = TimestampTzGetDatum(eco_product_renews_at(product, eco_now()));
}

static int
compare_offers(const void *a, const void *b)
{
	const Offer *x = a;
	const Offer *y = b;
	int			order;

	if (x->position != y->position)
		return x->position < y->position ? -1 : 1;
	order = memcmp(x->product_id.data, y->product_id.data,
				   Min(x->product_id.len, y->product_id.len));
	return order != 0 ? order : x->product_id.len - y->product_id.len;
}
