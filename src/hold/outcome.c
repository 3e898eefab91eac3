/*
 * outcome.c
 *		Outcomes of draw tables: drawn, told, checked by anybody, and simulated.
 *
 * What verify_draw() answers for given arguments is for ever the same: it is what draws of
 * the past are held against.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "errors.h"
#include "hold/draw_table.h"
#include "ledger/args.h"
#include "ledger/result.h"

#define MAX_SIMULATED	10000000
#define CURVE			1000	/* lengths that are told one by one */
#define DIGITS			6		/* of shares */
#define MILLION			1000000.0

PG_FUNCTION_INFO_V1(eco_verify_draw);
PG_FUNCTION_INFO_V1(eco_simulate_draws);
PG_FUNCTION_INFO_V1(eco_check_draw_table);

void
eco_outcome_draw(const EcoDrawTable *table, EcoDraw *draw, int64 pity, EcoOutcome *outcome)
{
	switch (table->kind)
	{
		case ECO_DRAW_BY_WEIGHT:
			outcome->is_guaranteed = table->pity.len > 0 && pity >= table->pity_after;
			outcome->entry = outcome->is_guaranteed ?
				eco_draw_weighted(draw, table->rare, table->n, table->rare_sum) :
				eco_draw_weighted(draw, table->weights, table->n, table->sum);
			outcome->pity = eco_draw_is_rare(table, outcome->entry) ? 0 :
				Min(pity, ECO_MAX_AMOUNT - 1) + 1;
			break;
		case ECO_DRAW_DICE:
			eco_draw_dice(draw, table->of, table->count, outcome->numbers);
			break;
		case ECO_DRAW_REEL:
			eco_draw_reels(draw, table->stops, table->count, outcome->numbers);
			break;
		case ECO_DRAW_SOME:
			eco_draw_sample(draw, table->of, table->count, outcome->numbers);
			break;
		case ECO_DRAW_CRASH:
			outcome->number = eco_draw_crash(draw, table->edge);
			break;
		default:
			outcome->number = eco_draw_hand(draw);
	}
	if (draw->failed)
		ECO_ERROR(ECO_CRYPTO_FAILED, errmsg("could not draw"));
}

/* {key: [...]}, of numbers or of what stands at them on the reels */
static Jsonb *
array_json(const EcoDrawTable *table, const char *key, const EcoOutcome *outcome)
{
	JsonbParseState *state = NULL;
	JsonbValue	value = {.type = jbvString};

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	value.val.string.val = unconstify(char *, key);
	value.val.string.len = (int) strlen(key);
	(void) pushJsonbValue(&state, WJB_KEY, &value);
	(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < table->count; i++)
	{
		if (table->kind == ECO_DRAW_REEL)
			value = *getIthJsonbValueFromContainer(table->symbols[i], outcome->numbers[i]);
		else
		{
			value.type = jbvNumeric;
			value.val.numeric = int64_to_numeric(outcome->numbers[i]);
		}
		(void) pushJsonbValue(&state, WJB_ELEM, &value);
	}
	(void) pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static void
tell_entry(EcoDetail *detail, const EcoDrawEntry *entry)
{
	eco_detail_text(detail, "entry", entry->id.data, entry->id.len);
	if (entry->class.len > 0)
		eco_detail_text(detail, "class", entry->class.data, entry->class.len);
}

Jsonb *
eco_outcome_json(const EcoDrawTable *table, const EcoOutcome *outcome)
{
	static const char *const hands[] = {"rock", "paper", "scissors"};
	EcoDetail	detail = {.open = false};

	switch (table->kind)
	{
		case ECO_DRAW_BY_WEIGHT:
			tell_entry(&detail, &table->entries[outcome->entry]);
			if (table->pity.len > 0)
			{
				eco_detail_bool(&detail, "guaranteed", outcome->is_guaranteed);
				eco_detail_int(&detail, "pity", outcome->pity);
			}
			break;
		case ECO_DRAW_DICE:
			return array_json(table, "dice", outcome);
		case ECO_DRAW_REEL:
			return array_json(table, "reels", outcome);
		case ECO_DRAW_SOME:
			return array_json(table, "sample", outcome);
		case ECO_DRAW_CRASH:
			eco_detail_int(&detail, "crash", outcome->number);
			break;
		default:
			eco_detail_str(&detail, "hand", hands[outcome->number]);
	}
	return DatumGetJsonbP(eco_detail_end(&detail));
}

static void
read_definition(FunctionCallInfo fcinfo, int argno, EcoDrawTable *table)
{
	eco_require_arg(fcinfo, argno, "definition");
	eco_draw_table_read(PG_GETARG_JSONB_P(argno), false, table);
}

/* eco_check_draw_table(definition jsonb) returns void: XE002 with what is wrong */
Datum
eco_check_draw_table(PG_FUNCTION_ARGS)
{
	EcoDrawTable table;

	read_definition(fcinfo, 0, &table);
	PG_RETURN_VOID();
}

/* Of 64 digits. */
static EcoSigner *
signer_of_hex(const EcoText *hex)
{
	uint8		seed[ECO_DRAW_SEED];
	EcoSigner  *signer;

	for (int i = 0; i < hex->len; i++)
		if (strchr("0123456789abcdefABCDEF", hex->data[i]) == NULL || hex->data[i] == '\0')
			ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("server_seed must be hexadecimal"));
	if (hex->len != 2 * ECO_DRAW_SEED)
		ECO_ERROR(ECO_INVALID_ARGUMENT,
				  errmsg("server_seed must be %d hexadecimal digits", 2 * ECO_DRAW_SEED));
	(void) hex_decode(hex->data, hex->len, (char *) seed);
	signer = eco_signer_create(seed, sizeof(seed));
	if (signer == NULL)
		ECO_ERROR(ECO_CRYPTO_FAILED, errmsg("could not use a seed"));
	return signer;
}

/*
 * eco_verify_draw(server_seed text, client_seed text, nonce bigint, definition jsonb,
 *		pity bigint) returns jsonb
 */
Datum
eco_verify_draw(PG_FUNCTION_ARGS)
{
	EcoText		server_seed = eco_text_arg(fcinfo, 0, "server_seed", 2 * ECO_DRAW_SEED);
	EcoText		client_seed = eco_text_arg(fcinfo, 1, "client_seed", ECO_CLIENT_SEED);
	EcoDrawTable table;
	EcoOutcome	outcome;
	EcoSigner  *signer;
	EcoDraw		draw;

	eco_require_arg(fcinfo, 2, "nonce");
	read_definition(fcinfo, 3, &table);
	eco_require_arg(fcinfo, 4, "pity");
	if (PG_GETARG_INT64(2) < 0 || PG_GETARG_INT64(4) < 0)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("nonce and pity must be 0 or more"));
	if (!eco_client_seed_fits(client_seed.data, client_seed.len))
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("client_seed must not have a colon"));
	signer = signer_of_hex(&server_seed);
	PG_TRY();
	{
		eco_draw_begin(&draw, signer, client_seed.data, client_seed.len, PG_GETARG_INT64(2));
		eco_outcome_draw(&table, &draw, PG_GETARG_INT64(4), &outcome);
	}
	PG_FINALLY();
	{
		eco_signer_free(signer);
	}
	PG_END_TRY();
	PG_RETURN_JSONB_P(eco_outcome_json(&table, &outcome));
}

/* Simulation */

typedef struct Simulation
{
	EcoDrawTable table;
	int64		draws;
	int64	   *drawn;			/* of each entry */
	int64	   *given;			/* its prizes */
	int64		guaranteed;
	int64		longest;		/* draws without the class of pity in a row */
	int64		lengths[CURVE + 1]; /* how many rows had that length, or more */
} Simulation;

static void
count_prize(Simulation *s, int entry)
{
	int64		limit = s->table.entries[entry].limit;

	if (limit > 0 && s->given[entry] == limit)
		entry = eco_draw_instead(&s->table, entry);
	s->given[entry]++;
}

static void
simulate(Simulation *s, EcoSigner *signer)
{
	static const char client_seed[] = "simulation";
	EcoOutcome *outcome = palloc(sizeof(EcoOutcome));
	EcoDraw		draw;
	int64		pity = 0;

	for (int64 i = 0; i < s->draws; i++)
	{
		CHECK_FOR_INTERRUPTS();
		eco_draw_begin(&draw, signer, client_seed, sizeof(client_seed) - 1, i);
		eco_outcome_draw(&s->table, &draw, pity, outcome);
		s->drawn[outcome->entry]++;
		count_prize(s, outcome->entry);
		if (s->table.pity.len == 0)
			continue;
		s->guaranteed += outcome->is_guaranteed;
		if (outcome->pity == 0)
			s->lengths[Min(pity, CURVE)]++;
		pity = outcome->pity;
		s->longest = Max(s->longest, pity);
	}
	pfree(outcome);
}

/* A ratio with six digits. */
static Numeric
ratio(double number, double of)
{
	return int64_div_fast_to_numeric((int64) rint(number / of * MILLION), DIGITS);
}

static void
tell_share(EcoDetail *detail, const Simulation *s, int i)
{
	const EcoDrawEntry *entry = &s->table.entries[i];

	eco_detail_open_object(detail, entry->id.data, entry->id.len);
	if (entry->class.len > 0)
		eco_detail_text(detail, "class", entry->class.data, entry->class.len);
	eco_detail_int(detail, "drawn", s->drawn[i]);
	if (s->given[i] != s->drawn[i])
		eco_detail_int(detail, "given", s->given[i]);
	eco_detail_numeric(detail, "chance", ratio((double) s->table.weights[i],
											   (double) s->table.sum));
	eco_detail_numeric(detail, "share", ratio((double) s->drawn[i], (double) s->draws));
	eco_detail_close_object(detail);
}

typedef struct Total
{
	EcoText		item_id;
	double		amount;
} Total;

static int
compare_totals(const void *a, const void *b)
{
	const EcoText *one = &((const Total *) a)->item_id;
	const EcoText *other = &((const Total *) b)->item_id;
	int			result = memcmp(one->data, other->data, Min(one->len, other->len));

	return result != 0 ? result : one->len - other->len;
}

static int
add_items(const Simulation *s, int entry, Total *totals)
{
	EcoHoldings all;

	if (s->table.entries[entry].items == NULL)
		return 0;
	eco_holdings_in(s->table.entries[entry].items, "items", ECO_HOLDING_GIVE, &all);
	for (int k = 0; k < all.n; k++)
	{
		totals[k].item_id = all.of[k].item_id;
		totals[k].amount = (double) all.of[k].amount * (double) s->given[entry];
	}
	return all.n;
}

/* What a draw gives on average, gold, XP and each item. */
static void
tell_average(EcoDetail *detail, const Simulation *s)
{
	Total	   *totals = palloc(sizeof(Total) * ECO_MAX_HOLDINGS * s->table.n);
	double		gold = 0;
	double		xp = 0;
	int			n = 0;

	for (int i = 0; i < s->table.n; i++)
	{
		gold += (double) s->table.entries[i].gold * (double) s->given[i];
		xp += (double) s->table.entries[i].xp * (double) s->given[i];
		n += add_items(s, i, &totals[n]);
	}
	qsort(totals, n, sizeof(Total), compare_totals);
	eco_detail_open_object(detail, "average", (int) strlen("average"));
	eco_detail_numeric(detail, "gold", ratio(Min(gold, 1e12 * (double) s->draws),
											 (double) s->draws));
	eco_detail_numeric(detail, "xp", ratio(Min(xp, 1e12 * (double) s->draws),
										   (double) s->draws));
	eco_detail_open_object(detail, "items", (int) strlen("items"));
	for (int i = 0; i < n; i++)
	{
		if (i + 1 < n && compare_totals(&totals[i], &totals[i + 1]) == 0)
			totals[i + 1].amount += totals[i].amount;
		else
		{
			char	   *name = pnstrdup(totals[i].item_id.data, totals[i].item_id.len);

			eco_detail_numeric(detail, name, ratio(Min(totals[i].amount,
													   1e12 * (double) s->draws),
												   (double) s->draws));
		}
	}
	eco_detail_close_object(detail);
	eco_detail_close_object(detail);
	pfree(totals);
}

/* By which draw the class has come, in how many of the rows that have ended. */
static void
tell_pity(EcoDetail *detail, const Simulation *s)
{
	double		all = 0;
	double		by = 0;

	for (int i = 0; i <= CURVE; i++)
		all += (double) s->lengths[i];
	eco_detail_open_object(detail, "pity", (int) strlen("pity"));
	eco_detail_int(detail, "guaranteed", s->guaranteed);
	eco_detail_int(detail, "longest", s->longest);
	eco_detail_open_object(detail, "by_draw", (int) strlen("by_draw"));
	for (int i = 0; i < CURVE && by < all; i++)
	{
		by += (double) s->lengths[i];
		/* the detail does not copy it */
		eco_detail_numeric(detail, psprintf("%d", i + 1), ratio(by, all));
	}
	eco_detail_close_object(detail);
	eco_detail_close_object(detail);
}

static Datum
told(Simulation *s)
{
	EcoDetail	detail = {.open = false};

	eco_detail_int(&detail, "draws", s->draws);
	eco_detail_open_object(&detail, "entries", (int) strlen("entries"));
	for (int i = 0; i < s->table.n; i++)
		tell_share(&detail, s, i);
	eco_detail_close_object(&detail);
	tell_average(&detail, s);
	if (s->table.pity.len > 0)
		tell_pity(&detail, s);
	return eco_detail_end(&detail);
}

/*
 * eco_simulate_draws(definition jsonb, draws integer, seed text) returns jsonb
 */
Datum
eco_simulate_draws(PG_FUNCTION_ARGS)
{
	Simulation *s = palloc0(sizeof(Simulation));
	uint8		seed[ECO_DRAW_SEED] = {0};
	EcoText text;
	EcoSigner  *signer;

	read_definition(fcinfo, 0, &s->table);
	eco_require_arg(fcinfo, 1, "draws");
	s->draws = PG_GETARG_INT32(1);
	text = eco_text_arg(fcinfo, 2, "seed", ECO_DRAW_SEED);

	if (s->draws < 1 || s->draws > MAX_SIMULATED)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("draws must be from 1 to %d", MAX_SIMULATED));
	if (s->table.kind != ECO_DRAW_BY_WEIGHT)
		ECO_ERROR(ECO_INVALID_ARGUMENT, errmsg("only a table with entries can be simulated"));
	s->drawn = palloc0(sizeof(int64) * s->table.n);
	s->given = palloc0(sizeof(int64) * s->table.n);
	memcpy(seed, text.data, text.len);
	signer = eco_signer_create(seed, sizeof(seed));
	if (signer == NULL)
		ECO_ERROR(ECO_CRYPTO_FAILED, errmsg("could not use a seed"));
	PG_TRY();
	{
		simulate(s, signer);
	}
	PG_FINALLY();
	{
		eco_signer_free(signer);
	}
	PG_END_TRY();
	return told(s);
}
