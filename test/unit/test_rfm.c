/*
 * test_rfm.c
 *		Daily buckets and scores against the definition, purchase by purchase.
 */
#include <string.h>

#include "core/rfm.h"
#include "unit.h"

#define MAX_PURCHASES 60
#define MAX_PACKED ECO_MERGED_MAX(MAX_PURCHASES * ECO_BUCKET_MAX, ECO_BUCKET_MAX)
#define DAY ECO_US_PER_DAY

typedef struct Purchase
{
	int64_t		at;
	int64_t		monetary;
	int64_t		seq;
} Purchase;

typedef struct History
{
	int			n;
	Purchase	purchases[MAX_PURCHASES];
	int			visits;			/* days that were read one by one */
} History;

static void
from_history(void *arg, const EcoBucket *bucket, EcoPurchaseSeen seen, void *state)
{
	History    *history = arg;

	history->visits++;
	for (int i = 0; i < history->n; i++)
	{
		const Purchase *p = &history->purchases[i];

		if (eco_utc_day(p->at) == eco_utc_day(bucket->first_at))
			seen(state, p->at, p->monetary);
	}
}

/* The history's purchases from..to as packed days, merged one by one; the length. */
static size_t
pack(const History *history, int from, int to, uint8_t *packed)
{
	uint8_t		before[MAX_PACKED];
	size_t		len = 0;

	for (int i = from; i < to; i++)
	{
		const Purchase *p = &history->purchases[i];
		EcoBucket	one = eco_bucket_of(p->at, p->monetary, p->seq);
		uint8_t		record[ECO_BUCKET_MAX];
		EcoBucketWriter writer;

		eco_buckets_write(&writer, record);
		eco_buckets_add(&writer, &one);
		memcpy(before, packed, len);
		len = eco_buckets_merge(before, len, record, (size_t) (writer.at - record), packed);
	}
	return len;
}

static void
utc_days(void)
{
	check_int(eco_utc_day(0), 0, "midnight begins a day");
	check_int(eco_utc_day(DAY - 1), 0, "its last moment");
	check_int(eco_utc_day(DAY), 1, "the next");
	check_int(eco_utc_day(-1), -1, "the day before 2000");
	check_int(eco_utc_day(-DAY), -1, "from its midnight");
	check_int(eco_utc_day(-DAY - 1), -2, "and the one before that");
}

static void
random_histories(void)
{
	bool		right = true;
	bool		in_order = true;
	bool		any_order = true;
	bool		calm = true;
	int			edges = 0;

	for (int round = 0; round < 3000; round++)
	{
		static const int64_t windows[] = {0, DAY, 3 * DAY, 30 * DAY};
		History		h = {.n = (int) (unit_random() % MAX_PURCHASES)};
		uint8_t		packed[MAX_PACKED];
		uint8_t		left[MAX_PACKED];
		uint8_t		right_part[MAX_PACKED];
		uint8_t		merged[2 * MAX_PACKED];
		EcoBucketReader reader;
		EcoBucket	b;
		size_t		n;
		int			half;

		for (int i = 0; i < h.n; i++)
		{
			h.purchases[i].at = (int64_t) (unit_random() % (uint64_t) (12 * DAY)) - 4 * DAY;
			if (unit_random() % 4 == 0)
				h.purchases[i].at = h.purchases[i].at / DAY * DAY;
			h.purchases[i].monetary = (int64_t) (unit_random() % 1000);
			h.purchases[i].seq = i * 3 + 1;
		}
		n = pack(&h, 0, h.n, packed);
		eco_buckets_read(&reader, packed, n);
		for (int64_t newer = INT64_MAX; eco_buckets_next(&reader, &b); newer = eco_utc_day(b.first_at))
			in_order &= eco_utc_day(b.first_at) == eco_utc_day(b.last_at) && b.first_at <= b.last_at &&
				eco_utc_day(b.first_at) < newer;
		in_order &= !reader.in.damaged && reader.in.at == packed + n;
		half = h.n > 0 ? (int) (unit_random() % (uint64_t) (h.n + 1)) : 0;
		any_order &= eco_buckets_merge(left, pack(&h, half, h.n, left), right_part,
									   pack(&h, 0, half, right_part), merged) == n &&
			memcmp(merged, packed, n) == 0;

		for (size_t w = 0; w < sizeof(windows) / sizeof(windows[0]); w++)
		{
			int64_t		as_of = (int64_t) (unit_random() % (uint64_t) (14 * DAY)) - 4 * DAY;
			EcoRfmInputs want = {.next_change_at = ECO_NEVER};
			EcoRfmInputs have;
			EcoRfmInputs then;

			if (h.n > 0 && unit_random() % 2 == 0)
				as_of = h.purchases[0].at + (unit_random() % 2 ? windows[w] : 0);
			for (int i = 0; i < h.n; i++)
			{
				const Purchase *p = &h.purchases[i];

				if (p->at > as_of)
				{
					if (p->at < want.next_change_at)
						want.next_change_at = p->at;
					continue;
				}
				if (!want.bought || eco_utc_day(p->at) > want.last_day)
					want.last_day = eco_utc_day(p->at);
				want.bought = true;
				if (windows[w] == 0 || p->at > as_of - windows[w])
				{
					want.frequency++;
					want.monetary += p->monetary;
					if (windows[w] != 0 && p->at + windows[w] < want.next_change_at)
						want.next_change_at = p->at + windows[w];
				}
			}
			h.visits = 0;
			have = eco_rfm_inputs(packed, n, as_of, windows[w], from_history, &h);
			edges += h.visits;
			right &= !have.damaged && have.bought == want.bought && (!want.bought || have.last_day == want.last_day) &&
				have.frequency == want.frequency && have.monetary == want.monetary &&
				have.next_change_at == want.next_change_at && h.visits <= 2;
			/* nothing but recency moves before next_change_at */
			if (have.next_change_at != ECO_NEVER)
			{
				then = eco_rfm_inputs(packed, n, have.next_change_at - 1, windows[w], from_history, &h);
				calm &= then.frequency == have.frequency && then.monetary == have.monetary && then.bought == have.bought;
			}
		}
	}
	check(in_order, "a bucket is a day, and the newest day stands first");
	check(any_order, "buckets do not depend on the order of purchases or of merges");
	check(right, "recency, frequency, monetary and the next change, for all windows");
	check(calm, "until the next change nothing changes");
	check(edges > 1000, "days that an edge cuts were among them");
}

static void
large_numbers(void)
{
	EcoBucket	a = eco_bucket_of(0, INT64_MAX - 1, 1);
	EcoBucket	b = eco_bucket_of(1, 5, INT64_C(1) << 40);
	EcoBucket	c = eco_bucket_of(2, 5, 7);

	eco_bucket_join(&a, &b);
	check_int(a.monetary, INT64_MAX, "a sum stops at the largest number");
	check_int(a.span, UINT32_MAX, "and the entry numbers at an open end");
	eco_bucket_join(&a, &c);
	check_int(a.span, UINT32_MAX, "that stays open");
	check_int(a.purchases, 3, "three purchases");
	a.purchases = UINT32_MAX;
	eco_bucket_join(&a, &c);
	check_int(a.purchases, UINT32_MAX, "their number stops at the largest");
	a.monetary = INT64_MIN + 1;
	b.monetary = -5;
	eco_bucket_join(&a, &b);
	check_int(a.monetary, INT64_MIN, "and a sum below zero at the least");
}

/* Records come back as they went in, whatever their numbers. */
static void
round_trip(void)
{
	static const EcoBucket written[] = {
		{9223371936000000000 - 1, 9223371936000000000 - 1, INT64_MIN, INT64_C(1) << 62, 1, 0},
		{DAY, 2 * DAY - 1, INT64_MAX, 0, UINT32_MAX, UINT32_MAX},
		{5, 5, 0, 127, 2, 128},
		{-1, -1, -1, 128, 1, 0},
		{-9223371936000000000, -9223371936000000000 + 63, 64, 3, 3, 2}
	};
	uint8_t		packed[sizeof(written) / sizeof(written[0]) * ECO_BUCKET_MAX];
	EcoBucketWriter writer;
	EcoBucketReader reader;
	EcoBucket	b;
	bool		same = true;
	size_t		n = 0;

	eco_buckets_write(&writer, packed);
	for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++)
		eco_buckets_add(&writer, &written[i]);
	check((size_t) (writer.at - packed) <= sizeof(packed), "a record has its room");
	eco_buckets_read(&reader, packed, (size_t) (writer.at - packed));
	for (; eco_buckets_next(&reader, &b); n++)
		same &= b.first_at == written[n].first_at && b.last_at == written[n].last_at &&
			b.monetary == written[n].monetary && b.first_seq == written[n].first_seq &&
			b.purchases == written[n].purchases && b.span == written[n].span;
	check(same && n == sizeof(written) / sizeof(written[0]) && !reader.in.damaged, "what was packed is read");
	check(eco_bucket_fits(written[0].first_at, 0) && eco_bucket_fits(written[4].first_at, INT64_C(1) << 62), "these fit");
	check(!eco_bucket_fits(INT64_MAX, 0) && !eco_bucket_fits(INT64_MIN, 0) && !eco_bucket_fits(0, -1) &&
		  !eco_bucket_fits(0, INT64_MAX), "these do not");
}

/* What is no packed string is told, and nothing is read beyond its end. */
static void
damage(void)
{
	static const struct
	{
		const char *bytes;
		size_t		len;
		const char *what;
	}			known[] = {
		{"\0\0\0\0\0", 5, "no purchase"},
		{"\0\1\0\0", 4, "a record that ends early"},
		{"\0\1\0\0\0\0\1\0\0\0", 10, "a day twice"},
		{"\0\1\0\0\1", 5, "a negative entry number"},
		{"\0\2\0\0\0\0", 6, "two purchases without a span"},
		{"\0\1\0\200\0\0", 6, "a number written in two ways"},
		{"\0\1\0\377\377\377\377\377\377\377\377\377\2\0", 14, "a number of 65 bits"},
		{"\0\1\377\377\377\377\377\3\0\0", 10, "a moment after its day"},
		{"\377\377\377\377\377\1\1\0\0\0", 10, "a day beyond all days"},
		/* from noon on, 12 hours: the midnight after it is of another day */
		{"\0\2\200\340\256\367\240\1\200\340\256\367\240\1\0\0\0", 17, "two purchases that end with the next day's begin"},
		{"\0\1\0\0\202\200\200\200\200\200\200\200\200\1", 14, "an entry number beyond all"},
	};
	uint8_t		out[ECO_MERGED_MAX(64, 64)];
	bool		safe = true;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
	{
		const uint8_t *bytes = (const uint8_t *) known[i].bytes;

		check(eco_rfm_inputs(bytes, known[i].len, 0, 0, from_history, NULL).damaged, known[i].what);
		check(eco_buckets_merge(bytes, known[i].len, bytes, 0, out) == SIZE_MAX &&
			  eco_buckets_merge(bytes, 0, bytes, known[i].len, out) == SIZE_MAX, "neither is merged");
	}
	for (int round = 0; round < 200000; round++)
	{
		uint8_t		a[64];
		uint8_t		b[64];
		size_t		alen = unit_random() % sizeof(a);
		size_t		blen = unit_random() % sizeof(b);
		size_t		n;

		/* small numbers, so that many are packed strings */
		for (size_t i = 0; i < sizeof(a); i++)
		{
			a[i] = (uint8_t) (unit_random() % (round % 2 ? 4 : 256));
			b[i] = (uint8_t) (unit_random() % (round % 2 ? 4 : 256));
		}
		n = eco_buckets_merge(a, alen, b, blen, out);
		safe &= n == SIZE_MAX || n <= ECO_MERGED_MAX(alen, blen);
	}
	check(safe, "nothing outgrows its room");
}

/* The standard model: 30 days, R by fixed breaks, F and M by these bounds. */
static void
standard_program(int64_t *words, int64_t window)
{
	static const int64_t header[ECO_PROGRAM_HEADER] = {
		0, 90, 0, 0, 0, 0, 2, 4, 8, 15, 1, 2, 3, 5, 100, 200, 300, 400
	};

	memcpy(words, header, sizeof(header));
	words[0] = window;
	/* never bought, at risk from day 22, everybody else */
	memcpy(words + ECO_PROGRAM_HEADER, (const int64_t[3 * ECO_RULE_FIELDS]) {
		   0, 0, INT64_MAX, 0, INT64_MAX, -INT64_MAX, INT64_MAX,
		   1, 22, INT64_MAX, 0, INT64_MAX, -INT64_MAX, INT64_MAX,
		   -1, 0, INT64_MAX, 0, INT64_MAX, -INT64_MAX, INT64_MAX}, 3 * ECO_RULE_FIELDS * sizeof(int64_t));
}

static void
scores(void)
{
	int64_t		words[ECO_PROGRAM_HEADER + 3 * ECO_RULE_FIELDS];
	const size_t nwords = sizeof(words) / sizeof(words[0]);
	EcoRfmProgram program;
	static const struct
	{
		int64_t		days;
		int			r;
		int			rule;
		int64_t		next_days;
	}			known[] = {
		{0, 5, 2, 2}, {1, 5, 2, 2}, {2, 4, 2, 4}, {3, 4, 2, 4}, {4, 3, 2, 8}, {7, 3, 2, 8}, {8, 2, 2, 15},
		{14, 2, 2, 15}, {15, 1, 2, 22}, {21, 1, 2, 22}, {22, 1, 1, -1}, {89, 1, 1, -1}, {90, 1, 1, -1}, {4000, 1, 1, -1}
	};
	EcoRfmInputs inputs = {.bought = true, .last_day = -10, .frequency = 2, .monetary = 300, .next_change_at = ECO_NEVER};
	EcoRfmScores s;

	standard_program(words, 30 * DAY);
	check(eco_rfm_program(words, nwords, &program) && program.nrules == 3, "a program");
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
	{
		int64_t		as_of = (inputs.last_day + known[i].days) * DAY + 77;

		s = eco_rfm_score(&program, &inputs, as_of);
		check_int(s.r, known[i].r, "R by days");
		check_int(s.recency, known[i].days < 90 ? known[i].days : 90, "recency, clamped");
		check_int(s.rule, known[i].rule, "the first rule that matches");
		check_int(s.next_change_at, known[i].next_days < 0 ? ECO_NEVER : (inputs.last_day + known[i].next_days) * DAY,
				  "the midnight at which a day more matters");
	}
	check(s.f == 3 && s.m == 4, "the least value beyond a bound has the better score");
	words[ECO_PROGRAM_HEADER + 2 * ECO_RULE_FIELDS + 2] = 30;
	for (int day = 29; day <= 31; day++)
		check_int(eco_rfm_score(&program, &inputs, (inputs.last_day + day) * DAY).next_change_at,
				  day <= 30 ? (inputs.last_day + 31) * DAY : ECO_NEVER, "a rule ends behind its last day");
	words[ECO_PROGRAM_HEADER + 2 * ECO_RULE_FIELDS + 2] = 90;
	check_int(eco_rfm_score(&program, &inputs, (inputs.last_day + 29) * DAY).next_change_at, ECO_NEVER, "no day is behind the clamp");
	program.bounds[0][3] = 200;
	check_int(eco_rfm_score(&program, &inputs, (inputs.last_day + 90) * DAY).next_change_at, ECO_NEVER, "nor matters once it is reached");
	program.bounds[0][3] = 15;
	words[ECO_PROGRAM_HEADER + 2 * ECO_RULE_FIELDS + 2] = INT64_MAX;
	inputs.last_day = 106751980;
	program.bounds[0][3] = 50000000;
	s = eco_rfm_score(&program, &inputs, (inputs.last_day + 5) * DAY);
	check_int(s.next_change_at, (inputs.last_day + 8) * DAY, "a day that no timestamp reaches does not matter");
	program.bounds[0][3] = 15;
	inputs.last_day = -10;
	program.collapsed[1] = program.collapsed[2] = true;
	s = eco_rfm_score(&program, &inputs, 0);
	check(s.f == 3 && s.m == 3, "collapsed bounds give the middle");
	inputs.frequency = inputs.monetary = 0;
	s = eco_rfm_score(&program, &inputs, 0);
	check(s.f == 1 && s.m == 1, "but not to who was not ranked");
	program.everybody = true;
	s = eco_rfm_score(&program, &inputs, 0);
	check(s.f == 3 && s.m == 3, "unless everybody was");
	program.collapsed[0] = true;
	inputs.bought = false;
	s = eco_rfm_score(&program, &inputs, 0);
	check(s.rule == 0 && s.recency == 90 && s.r == 3 && s.f == 1, "never bought");
	program.nrules = 0;
	check_int(eco_rfm_score(&program, &inputs, 0).rule, -1, "no rule, no segment");

	check(!eco_rfm_program(words, ECO_PROGRAM_HEADER - 1, &program), "too short");
	check(!eco_rfm_program(words, nwords - 1, &program), "half a rule");
	words[6] = 5;
	check(!eco_rfm_program(words, nwords, &program), "bounds that fall");
	words[6] = 2;
	words[0] = -1;
	check(!eco_rfm_program(words, nwords, &program), "a window that ends before it begins");
	words[0] = 0;
	words[1] = -1;
	check(!eco_rfm_program(words, nwords, &program), "a clamp below 0");
	words[1] = 0;
	check(eco_rfm_program(words, nwords, &program), "but no window, and a clamp of 0");
	words[17] = words[16] - 1;
	check(!eco_rfm_program(words, nwords, &program), "the last bound falls");
}

void
test_rfm(void)
{
	utc_days();
	random_histories();
	large_numbers();
	round_trip();
	damage();
	scores();
}
