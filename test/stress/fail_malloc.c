/*
 * fail_malloc.c
 *		Preloaded into a server: lets one malloc() of a backend fail, the n-th from
 *		when economy.fail_malloc was set (src/crash_point.c).  palloc() gets its
 *		blocks from it, and libcrypto everything.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

int			eco_fail_malloc = 0;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *pointer, size_t size);

static bool
fails(void)
{
	if (eco_fail_malloc == 0 || --eco_fail_malloc > 0)
		return false;
	errno = ENOMEM;
	return true;
}

void *
malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *pointer, size_t size)
{
	return fails() ? NULL : __libc_realloc(pointer, size);
}
