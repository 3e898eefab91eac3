/*
 * rfm.c
 *		Recency, frequency and monetary value of a user, and their scores.
 */
#include "core/rfm.h"

#include <string.h>

/* every moment of a day that is no further from 2000-01-01 fits an int64 */
#define DAY_LIMIT	INT64_C(106751990)
#define SEQ_LIMIT	(INT64_C(1) << 62)

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

void
eco_buckets_read(EcoBucketReader *reader, const uint8_t *packed, size_t len)
{
	*reader = (EcoBucketReader)
	{
		.in =
		{
			.at = packed, .end = packed + len
		}
	};
}

bool
eco_buckets_next(EcoBucketReader *reader, EcoBucket *bucket)
{
	int64_t		length = 0;
	uint64_t	days;
	int64_t		start;
	int64_t		further;

	if (reader->in.damaged || reader->in.at >= reader->in.end)
		return false;
	days = eco_varint_read(&reader->in, 2 * DAY_LIMIT);
	if (reader->began && days == 0)
		reader->in.damaged = true;
	reader->day = reader->began ? reader->day - (int64_t) days : eco_unzigzag(days);
	bucket->purchases = (uint32_t) eco_varint_read(&reader->in, UINT32_MAX);
	start = (int64_t) eco_varint_read(&reader->in, ECO_US_PER_DAY - 1);
	bucket->span = 0;
	if (bucket->purchases > 1)
	{
		length = (int64_t) eco_varint_read(&reader->in, ECO_US_PER_DAY - 1);
		bucket->span = (uint32_t) eco_varint_read(&reader->in, UINT32_MAX);
	}
	bucket->monetary = eco_unzigzag(eco_varint_read(&reader->in, UINT64_MAX));
	further = eco_unzigzag(eco_varint_read(&reader->in, UINT64_MAX));
	bucket->first_seq = (int64_t) ((uint64_t) reader->seq + (uint64_t) further);
	if (bucket->purchases == 0 || start + length >= ECO_US_PER_DAY ||
		bucket->first_seq < 0 || bucket->first_seq > SEQ_LIMIT ||
		reader->day < -DAY_LIMIT || reader->day > DAY_LIMIT)
		reader->in.damaged = true;
	if (reader->in.damaged)
		return false;
	bucket->first_at = reader->day * ECO_US_PER_DAY + start;
	bucket->last_at = bucket->first_at + length;
	reader->seq = bucket->first_seq;
	reader->began = true;
	return true;
}

void
eco_buckets_write(EcoBucketWriter *writer, uint8_t *packed)
{
	*writer = (EcoBucketWriter)
	{
		.at = packed
	};
}

void
eco_buckets_add(EcoBucketWriter *writer, const EcoBucket *bucket)
{
	int64_t		day = eco_utc_day(bucket->first_at);
	int64_t		further = (int64_t) ((uint64_t) bucket->first_seq - (uint64_t) writer->seq);

	eco_varint_write(&writer->at, writer->began ? (uint64_t) (writer->day - day) : eco_zigzag(day));
	eco_varint_write(&writer->at, bucket->purchases);
	eco_varint_write(&writer->at, (uint64_t) (bucket->first_at - day * ECO_US_PER_DAY));
	if (bucket->purchases > 1)
	{
		eco_varint_write(&writer->at, (uint64_t) (bucket->last_at - bucket->first_at));
		eco_varint_write(&writer->at, bucket->span);
	}
	eco_varint_write(&writer->at, eco_zigzag(bucket->monetary));
	eco_varint_write(&writer->at, eco_zigzag(further));
	writer->day = day;
	writer->seq = bucket->first_seq;
	writer->began = true;
}

bool
eco_bucket_fits(int64_t at, int64_t seq)
{
	int64_t		day = eco_utc_day(at);

	return day >= -DAY_LIMIT && day <= DAY_LIMIT && seq >= 0 && seq <= SEQ_LIMIT;
}

EcoBucket
eco_bucket_of(int64_t at, int64_t monetary, int64_t seq)
{
	EcoBucket	bucket = {at, at, monetary, seq, 1, 0};

	return bucket;
}

/* The greatest entry number that a purchase of the day may have. */
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
	a->purchases = UINT32_MAX - a->purchases < b->purchases ? UINT32_MAX :
		a->purchases + b->purchases;
	a->first_seq = first;
	a->span = last - first >= UINT32_MAX ? UINT32_MAX : (uint32_t) (last - first);
}

/*
 * Whether the records behind the one that was read last stand behind the one that was
 * written last as they are: they count from its day and entry number.
 */
static bool
goes_on(const EcoBucketReader *reader, const EcoBucketWriter *writer)
{
	return reader->day == writer->day && reader->seq == writer->seq;
}

/* Copy them; they are read all the same, for damage. */
static void
copy_rest(EcoBucketReader *reader, EcoBucketWriter *writer)
{
	const uint8_t *start = reader->in.at;
	EcoBucket	bucket;

	while (eco_buckets_next(reader, &bucket))
		;
	if (reader->in.damaged)
		return;
	memcpy(writer->at, start, (size_t) (reader->in.end - start));
	writer->at += reader->in.end - start;
}

size_t
eco_buckets_merge(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen, uint8_t *out)
{
	EcoBucketReader left_reader;
	EcoBucketReader right_reader;
	EcoBucketWriter writer;
	EcoBucket	left;
	EcoBucket	right;
	bool		have_left;
	bool		have_right;

	eco_buckets_read(&left_reader, a, alen);
	eco_buckets_read(&right_reader, b, blen);
	eco_buckets_write(&writer, out);
	have_left = eco_buckets_next(&left_reader, &left);
	have_right = eco_buckets_next(&right_reader, &right);
	while (have_left || have_right)
	{
		int64_t		order = !have_left ? -1 : !have_right ? 1 :
		eco_utc_day(left.first_at) - eco_utc_day(right.first_at);

		if (order == 0)
			eco_bucket_join(&left, &right);
		eco_buckets_add(&writer, order >= 0 ? &left : &right);
		if (order <= 0)
			have_right = eco_buckets_next(&right_reader, &right);
		if (order >= 0 && !have_right && goes_on(&left_reader, &writer))
		{
			copy_rest(&left_reader, &writer);
			break;
		}
		if (order >= 0)
			have_left = eco_buckets_next(&left_reader, &left);
	}
	if (left_reader.in.damaged || right_reader.in.damaged)
		return SIZE_MAX;
	return (size_t) (writer.at - out);
}

/* The window in which purchases are counted, and what was counted. */
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

/*
 * Count purchases that are all in the window or all outside, and note when the
 * first of them leaves or enters it.
 */
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
eco_rfm_inputs(const uint8_t *packed, size_t len, int64_t as_of, int64_t window,
			   EcoPurchaseSource source, void *arg)
{
	EcoRfmInputs inputs = {.next_change_at = ECO_NEVER};
	Window		w = {sum_of(as_of, -window), as_of, window, &inputs};
	EcoBucketReader reader;
	EcoBucket	b;

	eco_buckets_read(&reader, packed, len);
	while (eco_buckets_next(&reader, &b))
	{
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
	inputs.damaged = reader.in.damaged;
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

/* How many bounds the value has passed. */
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

/* Lower *next to the moment at which recency reaches so many days, if it is to come. */
static void
recency_at(int64_t *next, const EcoRfmInputs *inputs, int64_t recency, int64_t days)
{
	if (days > recency && days < ECO_NEVER / ECO_US_PER_DAY - inputs->last_day)
	{
		int64_t		at = (inputs->last_day + days) * ECO_US_PER_DAY;

		if (at < *next)
			*next = at;
	}
}

EcoRfmScores
eco_rfm_score(const EcoRfmProgram *program, const EcoRfmInputs *inputs, int64_t as_of)
{
	EcoRfmScores s = {
		.recency = program->clamp, .rule = -1, .next_change_at = inputs->next_change_at
	};
	bool		ranked = program->everybody ? inputs->bought : inputs->frequency > 0;
	const int	middle = ECO_RFM_BOUNDS / 2 + 1;

	/*
	 * a user outside the ranking is below all who were ranked, not in their
	 * middle
	 */
	const int	collapsed = ranked ? middle : 1;

	if (inputs->bought && eco_utc_day(as_of) - inputs->last_day < program->clamp)
		s.recency = eco_utc_day(as_of) - inputs->last_day;
	s.r = program->collapsed[0] ? middle : ECO_RFM_BOUNDS + 1 - bin(program->bounds[0], s.recency);
	s.f = program->collapsed[1] ? collapsed : 1 + bin(program->bounds[1], inputs->frequency);
	s.m = program->collapsed[2] ? collapsed : 1 + bin(program->bounds[2], inputs->monetary);
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
