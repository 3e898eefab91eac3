/*
 * rfm.c
 *		Recency, frequency and monetary value of a user, and their scores.
 */
#include "core/rfm.h"

#include <endian.h>
#include <string.h>

/* a rule is seven words in this order */
_Static_assert(sizeof(EcoSegmentRule) == ECO_RULE_FIELDS * sizeof(int64_t), "no padding");

/* Sums of money stop at the largest number instead of turning negative. */
static int64_t
sum_of(int64_t a, int64_t b)
{
	int64_t		sum;

	if (__builtin_add_overflow(a, b, &sum))
		return a > 0 ? INT64_MAX : INT64_MIN;
	return sum;
}

int64_t
eco_utc_day(int64_t at)
{
	return at >= 0 ? at / ECO_US_PER_DAY : -((-(at + 1)) / ECO_US_PER_DAY) - 1;
}

static int64_t
read_i64(const uint8_t *from)
{
	uint64_t	word;

	memcpy(&word, from, sizeof(word));
	return (int64_t) le64toh(word);
}

static uint32_t
read_u32(const uint8_t *from)
{
	uint32_t	word;

	memcpy(&word, from, sizeof(word));
	return le32toh(word);
}

static void
write_i64(uint8_t *to, int64_t value)
{
	uint64_t	word = htole64((uint64_t) value);

	memcpy(to, &word, sizeof(word));
}

static void
write_u32(uint8_t *to, uint32_t value)
{
	uint32_t	word = htole32(value);

	memcpy(to, &word, sizeof(word));
}

void
eco_bucket_read(const uint8_t *packed, size_t n, EcoBucket *bucket)
{
	const uint8_t *record = packed + n * ECO_BUCKET_SIZE;

	bucket->first_at = read_i64(record);
	bucket->last_at = read_i64(record + 8);
	bucket->monetary = read_i64(record + 16);
	bucket->first_seq = read_i64(record + 24);
	bucket->purchases = read_u32(record + 32);
	bucket->span = read_u32(record + 36);
}

void
eco_bucket_write(uint8_t *packed, size_t n, const EcoBucket *bucket)
{
	uint8_t    *record = packed + n * ECO_BUCKET_SIZE;

	write_i64(record, bucket->first_at);
	write_i64(record + 8, bucket->last_at);
	write_i64(record + 16, bucket->monetary);
	write_i64(record + 24, bucket->first_seq);
	write_u32(record + 32, bucket->purchases);
	write_u32(record + 36, bucket->span);
}

EcoBucket
eco_bucket_of(int64_t at, int64_t monetary, int64_t seq)
{
	EcoBucket	bucket = {at, at, monetary, seq, 1, 0};

	return bucket;
}

/* The last entry number that may be the day's. */
static int64_t
last_seq(const EcoBucket *bucket)
{
	return bucket->span == UINT32_MAX ? INT64_MAX : bucket->first_seq + bucket->span;
}

void
eco_bucket_join(EcoBucket *a, const EcoBucket *b)
{
	int64_t		first = a->first_seq < b->first_seq ? a->first_seq : b->first_seq;
	int64_t		last = last_seq(a) > last_seq(b) ? last_seq(a) : last_seq(b);

	if (b->first_at < a->first_at)
		a->first_at = b->first_at;
	if (b->last_at > a->last_at)
		a->last_at = b->last_at;
	a->monetary = sum_of(a->monetary, b->monetary);
	a->purchases += b->purchases;
	a->first_seq = first;
	a->span = last - first >= UINT32_MAX ? UINT32_MAX : (uint32_t) (last - first);
}

size_t
eco_buckets_merge(const uint8_t *a, size_t na, const uint8_t *b, size_t nb, uint8_t *out)
{
	size_t		i = 0;
	size_t		j = 0;
	size_t		n = 0;

	while (i < na || j < nb)
	{
		EcoBucket	left;
		EcoBucket	right;
		int64_t		order;

		if (i < na)
			eco_bucket_read(a, i, &left);
		if (j < nb)
			eco_bucket_read(b, j, &right);
		order = i == na ? 1 : j == nb ? -1 :
			eco_utc_day(left.first_at) - eco_utc_day(right.first_at);
		if (order == 0)
			eco_bucket_join(&left, &right);
		eco_bucket_write(out, n++, order <= 0 ? &left : &right);
		i += order <= 0;
		j += order >= 0;
	}
	return n;
}

/* A window over purchases or whole days. */
typedef struct Window
{
	int64_t		after;			/* exclusive */
	int64_t		upto;			/* inclusive */
	int64_t		length;			/* 0: no lower edge */
	EcoRfmInputs *inputs;
} Window;

static void
change_at(EcoRfmInputs *inputs, int64_t at)
{
	if (at < inputs->next_change_at)
		inputs->next_change_at = at;
}

/* Count purchases that lie on one side of each edge. */
static void
count(Window *w, int64_t first_at, int64_t last_at, int64_t purchases, int64_t monetary)
{
	if (first_at > w->upto)
		change_at(w->inputs, first_at);
	else if (w->length == 0 || last_at > w->after)
	{
		w->inputs->frequency += purchases;
		w->inputs->monetary = sum_of(w->inputs->monetary, monetary);
		if (w->length != 0)
			change_at(w->inputs, sum_of(first_at, w->length));
	}
}

static void
count_one(void *state, int64_t at, int64_t monetary)
{
	count(state, at, at, 1, monetary);
}

EcoRfmInputs
eco_rfm_inputs(const uint8_t *packed, size_t n, int64_t as_of, int64_t window,
			   EcoPurchaseSource source, void *arg)
{
	EcoRfmInputs inputs = {.next_change_at = ECO_NEVER};
	Window		w = {sum_of(as_of, -window), as_of, window, &inputs};

	for (size_t i = n; i-- > 0;)
	{
		EcoBucket	b;

		eco_bucket_read(packed, i, &b);
		if (b.first_at <= as_of && !inputs.bought)
		{
			inputs.bought = true;
			inputs.last_day = eco_utc_day(b.first_at);
		}
		/* the days before this one are outside as well */
		if (window != 0 && b.last_at <= w.after)
			break;
		if ((b.first_at <= as_of && b.last_at > as_of) ||
			(window != 0 && b.first_at <= w.after && b.last_at > w.after))
			source(arg, &b, count_one, &w);
		else
			count(&w, b.first_at, b.last_at, b.purchases, b.monetary);
	}
	return inputs;
}

bool
eco_rfm_program(const int64_t *words, size_t nwords, EcoRfmProgram *program)
{
	const int64_t *next = words;

	if (nwords < ECO_PROGRAM_HEADER || (nwords - ECO_PROGRAM_HEADER) % ECO_RULE_FIELDS != 0)
		return false;
	program->window = *next++;
	program->clamp = *next++;
	program->everybody = *next++ != 0;
	if (program->window < 0 || program->clamp < 0)
		return false;
	for (int axis = 0; axis < 3; axis++)
		program->collapsed[axis] = *next++ != 0;
	for (int axis = 0; axis < 3; axis++)
		for (int i = 0; i < ECO_RFM_BOUNDS; i++)
		{
			program->bounds[axis][i] = *next++;
			if (i > 0 && program->bounds[axis][i] < program->bounds[axis][i - 1])
				return false;
		}
	program->nrules = (int) ((nwords - ECO_PROGRAM_HEADER) / ECO_RULE_FIELDS);
	program->rules = (const EcoSegmentRule *) next;
	return true;
}

/* How many bounds the value has reached. */
static int
bin(const int64_t *bounds, int64_t value)
{
	int			n = 0;

	while (n < ECO_RFM_BOUNDS && value >= bounds[n])
		n++;
	return n;
}

static bool
matches(const EcoSegmentRule *rule, const EcoRfmInputs *inputs, int64_t recency)
{
	return (rule->bought < 0 || rule->bought == inputs->bought) &&
		recency >= rule->recency_from && recency <= rule->recency_to &&
		inputs->frequency >= rule->frequency_from && inputs->frequency <= rule->frequency_to &&
		inputs->monetary >= rule->monetary_from && inputs->monetary <= rule->monetary_to;
}

/* The moment from which recency is that many days. */
static void
recency_at(int64_t *next, const EcoRfmInputs *inputs, int64_t recency, int64_t days)
{
	if (days > recency && days < ECO_NEVER / ECO_US_PER_DAY / 2)
	{
		int64_t		at = (inputs->last_day + days) * ECO_US_PER_DAY;

		if (at < *next)
			*next = at;
	}
}

EcoRfmScores
eco_rfm_score(const EcoRfmProgram *program, const EcoRfmInputs *inputs, int64_t as_of)
{
	EcoRfmScores s = {.recency = program->clamp,.rule = -1,.next_change_at = inputs->next_change_at};
	bool		ranked = program->everybody ? inputs->bought : inputs->frequency > 0;
	const int	middle = ECO_RFM_BOUNDS / 2 + 1;

	if (inputs->bought && eco_utc_day(as_of) - inputs->last_day < program->clamp)
		s.recency = eco_utc_day(as_of) - inputs->last_day;
	s.r = program->collapsed[0] ? middle : ECO_RFM_BOUNDS + 1 - bin(program->bounds[0], s.recency);
	/* who was not ranked is not in the middle of those who were */
	s.f = program->collapsed[1] ? (ranked ? middle : 1) : 1 + bin(program->bounds[1], inputs->frequency);
	s.m = program->collapsed[2] ? (ranked ? middle : 1) : 1 + bin(program->bounds[2], inputs->monetary);
	for (int i = 0; s.rule < 0 && i < program->nrules; i++)
		if (matches(&program->rules[i], inputs, s.recency))
			s.rule = i;
	if (!inputs->bought || s.recency == program->clamp)
		return s;
	for (int i = 0; i < ECO_RFM_BOUNDS; i++)
		recency_at(&s.next_change_at, inputs, s.recency, program->bounds[0][i]);
	for (int i = 0; i < program->nrules; i++)
	{
		recency_at(&s.next_change_at, inputs, s.recency, program->rules[i].recency_from);
		if (program->rules[i].recency_to < program->clamp)
			recency_at(&s.next_change_at, inputs, s.recency, program->rules[i].recency_to + 1);
	}
	return s;
}
