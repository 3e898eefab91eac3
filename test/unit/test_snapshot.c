/*
 * test_snapshot.c
 *		All snapshots of six transactions, and all pairs of them, against what each
 *		transaction says; and their text form.
 */
#include <stdlib.h>
#include <string.h>

#include "core/snapshot.h"
#include "unit.h"

#define FIRST ECO_FIRST_XID
#define IDS 6
#define BEHIND (FIRST + IDS)
#define MAX_SNAPSHOTS 256

typedef struct Small
{
	EcoSnapshot *snapshot;
	bool		ended[IDS + 1]; /* of each id, and of one that nobody has */
} Small;

static Small all[MAX_SNAPSHOTS];
static int	n_all = 0;

static void
add(uint64_t xmin, uint64_t xmax, unsigned running)
{
	Small	   *small = &all[n_all++];
	int			n = (int) (xmax - xmin);
	EcoSnapshot *snapshot = malloc(sizeof(EcoSnapshot) + sizeof(uint64_t) * (size_t) n);

	if (snapshot == NULL || n_all == MAX_SNAPSHOTS)
		abort();
	*snapshot = (EcoSnapshot)
	{
		.xmin = xmin,.xmax = xmax
	};
	for (int i = 0; i < n; i++)
		if (running & 1U << i)
			snapshot->running[snapshot->n++] = xmin + (uint64_t) i;
	for (uint64_t xid = FIRST; xid <= BEHIND; xid++)
		small->ended[xid - FIRST] = xid < xmin || (xid < xmax && !(running & 1U << (xid - xmin)));
	small->snapshot = snapshot;
}

/* The newest below xmax has ended: those that began after it are not known to a snapshot. */
static bool
is_tight(const Small *small)
{
	const EcoSnapshot *snapshot = small->snapshot;

	return snapshot->xmin == snapshot->xmax || small->ended[snapshot->xmax - 1 - FIRST];
}

/* Ids that a says have ended and b does not. */
static int
news(const Small *a, const Small *b, uint64_t upto)
{
	int			n = 0;

	for (uint64_t xid = FIRST; xid <= BEHIND && xid <= upto; xid++)
		n += a->ended[xid - FIRST] && !b->ended[xid - FIRST];
	return n;
}

static void
one_by_one(void)
{
	int			wrong = 0;

	for (int i = 0; i < n_all; i++)
	{
		for (uint64_t xid = 0; xid < FIRST; xid++)
			wrong += !eco_snapshot_sees(all[i].snapshot, xid);
		for (uint64_t xid = FIRST; xid <= BEHIND; xid++)
			wrong += eco_snapshot_sees(all[i].snapshot, xid) != all[i].ended[xid - FIRST];
		wrong += eco_snapshot_is_nowhere(all[i].snapshot) != (all[i].snapshot->xmax == FIRST);
	}
	check_int(n_all, 247, "all snapshots of six transactions");
	check_int(wrong, 0, "each sees what has ended in it");
}

static void
in_pairs(void)
{
	int			covers = 0;
	int			first = 0;
	int			upto = 0;

	for (int i = 0; i < n_all; i++)
		for (int k = 0; k < n_all; k++)
		{
			const Small *old = &all[i];
			const Small *new = &all[k];
			bool		holds = eco_snapshot_covers(old->snapshot, new->snapshot);
			uint64_t	from = eco_snapshot_first_news(old->snapshot, new->snapshot);

			/* one with more room behind it is not known to be covered */
			covers += is_tight(new) ? holds != (news(new, old, BEHIND) == 0) : holds && news(new, old, BEHIND) > 0;
			first += news(new, old, from - 1) > 0 ||
				(from != old->snapshot->xmax && news(new, old, from) == 0);
			for (uint64_t xid = FIRST - 1; xid <= BEHIND; xid++)
				upto += eco_snapshot_news_up_to(old->snapshot, new->snapshot, xid) != (news(new, old, xid) > 0);
			upto += eco_snapshot_news_up_to(old->snapshot, new->snapshot, UINT64_MAX) != (news(new, old, BEHIND) > 0);
		}
	check_int(covers, 0, "one covers another that has nothing more");
	check_int(first, 0, "nothing new stands before the first news");
	check_int(upto, 0, "news up to a transaction");
}

/* In memory that is as large as it says, of a text that ends with its memory. */
static bool
reads(const char *text, uint64_t xmin, uint64_t xmax, int n)
{
	size_t		len = strlen(text);
	char	   *copy = malloc(len > 0 ? len : 1);
	EcoSnapshot *snapshot;
	bool		good;

	if (copy == NULL)
		abort();
	memcpy(copy, text, len);
	snapshot = malloc(sizeof(EcoSnapshot) + sizeof(uint64_t) * (size_t) eco_snapshot_room(copy, copy + len));
	if (snapshot == NULL)
		abort();
	good = eco_snapshot_read(copy, copy + len, snapshot);
	if (good && xmax > 0)
		good = snapshot->xmin == xmin && snapshot->xmax == xmax && snapshot->n == n &&
			(n == 0 || (snapshot->running[0] >= xmin && snapshot->running[n - 1] < xmax));
	free(snapshot);
	free(copy);
	return good;
}

static void
texts(void)
{
	static const char *const wrong[] = {
		"", ":", "::", "3", "3:", "3:3", "2:3:", "0:3:", ":3:", "3::", "4:3:", "-3:3:", "3:3:3", "3:4:4", "4:6:3", "3:9:3,",
		"3:9:,3", "3:9:4,4", "3:9:5,4", "3:9:4;5", "3:9:4,,5", "3:9:4 ,5", " 3:9:", "3:9: ", "3:9:4x", "3:9:4:5", "3x9:", "3:9x",
		"3:9223372036854775800:", "9223372036854775800:9223372036854775800:", "3:18446744073709551619:"
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		check(!reads(wrong[i], 0, 0, 0), wrong[i]);
	check(reads("3:3:", 3, 3, 0), "the first");
	check(reads("3:4:3", 3, 4, 1), "one that runs");
	check(reads("3:9:3,4,5,6,7,8", 3, 9, 6), "all that may run");
	check(reads("10:20:10,12,19", 10, 20, 3), "some");
	check(reads("003:0000000000000000000000009:08", 3, 9, 1), "zeros in front");
	check(reads("3:9223372036854775799:9223372036854775798", 3, INT64_C(9223372036854775799), 1), "the largest");
}

void
test_snapshot(void)
{
	for (uint64_t xmin = FIRST; xmin <= BEHIND; xmin++)
		for (uint64_t xmax = xmin; xmax <= BEHIND; xmax++)
			for (unsigned running = 0; running < 1U << (xmax - xmin); running++)
				add(xmin, xmax, running);
	one_by_one();
	in_pairs();
	texts();
	for (int i = 0; i < n_all; i++)
		free(all[i].snapshot);
}
