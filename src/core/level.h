/*
 * level.h
 *		The linear level curve: level = floor(xp / 500) + 1.
 */
#ifndef ECO_LEVEL_H
#define ECO_LEVEL_H

#include <stdint.h>

#define ECO_LINEAR_XP_PER_LEVEL 500

/* xp >= 0; the result is >= 1 and fits an int32 for every xp <= 2^39 */
static inline int64_t
eco_level_linear(int64_t xp)
{
	return xp / ECO_LINEAR_XP_PER_LEVEL + 1;
}

#endif
