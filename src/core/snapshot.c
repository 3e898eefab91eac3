/*
 * snapshot.c
 *		Which transactions had ended at a moment, as a value.
 */
#include <stdlib.h>

#include "core/snapshot.h"

static int
compare_xids(const void *a, const void *b)
{
	uint64_t	x = *(const uint64_t *) a;
	uint64_t	y = *(const uint64_t *) b;

	return (x > y) - (x < y);
}

bool
eco_snapshot_is_nowhere(const EcoSnapshot *snapshot)
{
	return snapshot->xmax == ECO_FIRST_XID;
}

bool
eco_snapshot_sees(const EcoSnapshot *snapshot, uint64_t xid)
{
	if (xid < snapshot->xmin)
		return true;
	if (xid >= snapshot->xmax)
		return false;
	return bsearch(&xid, snapshot->running, (size_t) snapshot->n, sizeof(xid),
				   compare_xids) == NULL;
}

bool
eco_snapshot_covers(const EcoSnapshot *snapshot, const EcoSnapshot *other)
{
	if (snapshot->xmax < other->xmax)
		return false;
	for (int i = 0; i < snapshot->n; i++)
		if (eco_snapshot_sees(other, snapshot->running[i]))
			return false;
	return true;
}

uint64_t
eco_snapshot_first_news(const EcoSnapshot *old, const EcoSnapshot *new)
{
	for (int i = 0; i < old->n; i++)
		if (eco_snapshot_sees(new, old->running[i]))
			return old->running[i];
	return old->xmax;
}

bool
eco_snapshot_news_up_to(const EcoSnapshot *old, const EcoSnapshot *new, uint64_t xid)
{
	uint64_t	end = xid < new->xmax ? xid + 1 : new->xmax;
	uint64_t	running = 0;

	for (int i = 0; i < old->n && old->running[i] <= xid; i++)
		if (eco_snapshot_sees(new, old->running[i]))
			return true;
	if (end <= old->xmax)
		return false;
	for (int i = 0; i < new->n; i++)
		running += new->running[i] >= old->xmax && new->running[i] < end;
	return end - old->xmax > running;
}

static bool
read_xid(const char **at, const char *end, uint64_t *xid)
{
	uint64_t	value = 0;
	const char *start = *at;

	for (; *at < end && **at >= '0' && **at <= '9'; (*at)++)
	{
		if (value > (INT64_MAX - 9) / 10)
			return false;
		value = value * 10 + (uint64_t) (**at - '0');
	}
	*xid = value;
	return *at > start && value >= ECO_FIRST_XID;
}

static bool
read_char(const char **at, const char *end, char c)
{
	if (*at == end || **at != c)
		return false;
	(*at)++;
	return true;
}

int
eco_snapshot_room(const char *at, const char *end)
{
	return (int) ((end - at) / 2) + 1;
}

bool
eco_snapshot_read(const char *at, const char *end, EcoSnapshot *snapshot)
{
	snapshot->n = 0;
	if (!read_xid(&at, end, &snapshot->xmin) || !read_char(&at, end, ':') ||
		!read_xid(&at, end, &snapshot->xmax) || !read_char(&at, end, ':') ||
		snapshot->xmin > snapshot->xmax)
		return false;
	while (at < end)
	{
		uint64_t   *xid = &snapshot->running[snapshot->n];

		if ((snapshot->n > 0 && !read_char(&at, end, ',')) || !read_xid(&at, end, xid) ||
			*xid < snapshot->xmin || *xid >= snapshot->xmax || (snapshot->n > 0 && *xid <= xid[-1]))
			return false;
		snapshot->n++;
	}
	return true;
}
