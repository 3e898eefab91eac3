/*
 * fuzz_buckets.c
 *		Packed days: any bytes are read without harm and in one way only, and what
 *		is read from purchases is what their plain list says.
 */
#include "core/rfm.h"
#include "fuzz.h"

#define MAX_PURCHASES 24
#define MAX_WORDS 64
#define FIRST_DAY INT64_C(9000)

typedef struct Purchase
{
	int64_t		at;
	int64_t		monetary;
} Purchase;

typedef struct History
{
	int			n;
	Purchase	purchases[MAX_PURCHASES];
	uint8_t		packed[MAX_PURCHASES * ECO_BUCKET_MAX];
	size_t		len;
} History;

static uint8_t *
merge(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen, size_t *len)
{
	uint8_t    *out = malloc(ECO_MERGED_MAX(alen, blen));

	*len = eco_buckets_merge(a, alen, b, blen, out);
	return out;
}

static bool
is_packed(const uint8_t *packed, size_t len)
{
	EcoBucketReader reader;
	EcoBucket	bucket;
	int64_t		before = INT64_MAX;

	eco_buckets_read(&reader, packed, len);
	while (eco_buckets_next(&reader, &bucket))
	{
		CHECK(bucket.purchases > 0 && bucket.first_at <= bucket.last_at);
		CHECK(eco_utc_day(bucket.first_at) == eco_utc_day(bucket.last_at));
		CHECK(eco_utc_day(bucket.first_at) < before);
		before = eco_utc_day(bucket.first_at);
	}
	return !reader.in.damaged;
}

/* There is one way to write what a string says, and no matter which comes first. */
static void
check_merge(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen)
{
	size_t		alone;
	size_t		len;
	size_t		turned;
	uint8_t    *copy = merge(a, alen, a, 0, &alone);
	uint8_t    *both = merge(a, alen, b, blen, &len);
	uint8_t    *back = merge(b, blen, a, alen, &turned);
	bool		a_holds = is_packed(a, alen);

	CHECK(a_holds == (alone != SIZE_MAX));
	CHECK(!a_holds || (alone == alen && (alen == 0 || memcmp(copy, a, alen) == 0)));
	CHECK((len != SIZE_MAX) == (a_holds && is_packed(b, blen)));
	CHECK(len == turned);
	CHECK(len == SIZE_MAX || (is_packed(both, len) && (len == 0 || memcmp(both, back, len) == 0)));
	free(copy);
	free(both);
	free(back);
}

static void
ends_of_bucket(void *arg, const EcoBucket *bucket, EcoPurchaseSeen seen, void *state)
{
	CHECK(arg == NULL);
	seen(state, bucket->first_at, bucket->monetary);
	seen(state, bucket->last_at, 0);
}

static void
day_of_history(void *arg, const EcoBucket *bucket, EcoPurchaseSeen seen, void *state)
{
	const History *history = arg;

	for (int i = 0; i < history->n; i++)
		if (eco_utc_day(history->purchases[i].at) == eco_utc_day(bucket->first_at))
			seen(state, history->purchases[i].at, history->purchases[i].monetary);
}

/* Packed one by one, each merged into what there is. */
static void
take_history(Input *in, History *history)
{
	history->n = take_byte(in) % (MAX_PURCHASES + 1);
	history->len = 0;
	for (int i = 0; i < history->n; i++)
	{
		uint8_t		record[ECO_BUCKET_MAX];
		uint8_t		before[sizeof(history->packed)];
		Purchase   *p = &history->purchases[i];
		EcoBucketWriter writer;
		EcoBucket	bucket;
		size_t		len;
		uint8_t    *all;

		p->at = (FIRST_DAY + take_byte(in) % 64) * ECO_US_PER_DAY +
			(int64_t) ((uint64_t) take_int(in) % (uint64_t) ECO_US_PER_DAY);
		p->monetary = take_int(in) % (INT64_C(1) << 50);
		CHECK(eco_bucket_fits(p->at, i + 1));
		bucket = eco_bucket_of(p->at, p->monetary, i + 1);
		eco_buckets_write(&writer, record);
		eco_buckets_add(&writer, &bucket);
		memcpy(before, history->packed, history->len);
		all = merge(before, history->len, record, (size_t) (writer.at - record), &len);
		CHECK(len <= sizeof(history->packed));
		memcpy(history->packed, all, len);
		history->len = len;
		free(all);
	}
}

static void
check_history(Input *in)
{
	History		history;
	int64_t		as_of = (FIRST_DAY + take_byte(in) % 80) * ECO_US_PER_DAY + take_int(in) % ECO_US_PER_DAY;
	int64_t		window = take_byte(in) % 40 * ECO_US_PER_DAY;
	EcoRfmInputs want = {.next_change_at = ECO_NEVER};
	EcoRfmInputs got;

	take_history(in, &history);
	got = eco_rfm_inputs(history.packed, history.len, as_of, window, day_of_history, &history);
	for (int i = 0; i < history.n; i++)
	{
		const Purchase *p = &history.purchases[i];
		int64_t		change = ECO_NEVER;

		if (p->at > as_of)
			change = p->at;
		else
		{
			if (!want.bought || eco_utc_day(p->at) > want.last_day)
				want.last_day = eco_utc_day(p->at);
			want.bought = true;
			if (window == 0 || p->at > as_of - window)
			{
				want.frequency++;
				want.monetary += p->monetary;
				if (window != 0)
					change = p->at + window;
			}
		}
		if (change < want.next_change_at)
			want.next_change_at = change;
	}
	CHECK(!got.damaged && got.bought == want.bought);
	CHECK(!want.bought || got.last_day == want.last_day);
	CHECK(got.frequency == want.frequency && got.monetary == want.monetary);
	CHECK(got.next_change_at == want.next_change_at);
}

static void
check_score(const uint8_t *packed, size_t len, Input *in)
{
	int64_t    *words;
	size_t		nwords = ECO_PROGRAM_HEADER + take_byte(in) % 4 * ECO_RULE_FIELDS + take_byte(in) % 2;
	int64_t		as_of = take_int(in);
	EcoRfmProgram program;

	words = malloc(nwords * sizeof(int64_t));
	for (size_t i = 0; i < nwords; i++)
		words[i] = take_byte(in) < 128 ? take_byte(in) : take_int(in);
	if (eco_rfm_program(words, nwords, &program))
	{
		EcoRfmInputs inputs = eco_rfm_inputs(packed, len, as_of, program.window, ends_of_bucket, NULL);
		EcoRfmScores s = eco_rfm_score(&program, &inputs, as_of);

		CHECK(s.r >= 1 && s.r <= 5 && s.f >= 1 && s.f <= 5 && s.m >= 1 && s.m <= 5);
		CHECK(s.rule >= -1 && s.rule < program.nrules);
		CHECK(s.recency <= program.clamp && s.next_change_at <= inputs.next_change_at);
	}
	free(words);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		in = {data, size};

	if (take_byte(&in) % 2 == 0)
		check_history(&in);
	else
	{
		size_t		alen;
		size_t		blen;
		uint8_t    *a = take_bytes(&in, 300, &alen);
		uint8_t    *b = take_bytes(&in, 300, &blen);

		check_merge(a, alen, b, blen);
		if (is_packed(a, alen))
			check_score(a, alen, &in);
		free(a);
		free(b);
	}
	return 0;
}
