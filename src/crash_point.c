/*
 * crash_point.c
 *		What happens at crash points, in a test build only.
 *
 * Settings of such a build, for superusers:
 *	crash_point		the place; "any" is every place; empty is off
 *	crash_after		times that it is passed before it happens
 *	crash_action	kill: SIGKILL to this backend; error: XX000
 *	fail_alloc		the n-th allocation from now on fails; counts down to 0
 * The allocations are those of our own code: the test build is linked with
 * --wrap for them.
 */
#ifdef ECO_CRASH_POINTS

#include "postgres.h"

#include <limits.h>
#include <signal.h>
#include <unistd.h>

#include "utils/guc.h"
#include "utils/memutils.h"

#include "crash_point.h"

enum
{
	ACTION_KILL,
	ACTION_ERROR
};

static const struct config_enum_entry actions[] = {
	{"kill", ACTION_KILL, false},
	{"error", ACTION_ERROR, false},
	{NULL, 0, false}
};

static char *point = NULL;
static int	passages = 0;
static int	action = ACTION_KILL;
static int	fail_alloc = 0;

/* declared by the linker's --wrap */
extern void *__real_palloc(Size size);
extern void *__real_palloc0(Size size);
extern void *__real_repalloc(void *pointer, Size size);
extern void *__real_MemoryContextAlloc(MemoryContext context, Size size);
extern MemoryContext __real_AllocSetContextCreateInternal(MemoryContext parent, const char *name,
														  Size min, Size init, Size max);
extern void *__wrap_palloc(Size size);
extern void *__wrap_palloc0(Size size);
extern void *__wrap_repalloc(void *pointer, Size size);
extern void *__wrap_MemoryContextAlloc(MemoryContext context, Size size);
extern MemoryContext __wrap_AllocSetContextCreateInternal(MemoryContext parent, const char *name,
														  Size min, Size init, Size max);

void
eco_crash_point_install(void)
{
	DefineCustomStringVariable("economy.crash_point", "Place at which this session ends.",
							   NULL, &point, "", PGC_SUSET, GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
	DefineCustomIntVariable("economy.crash_after", "Times that the place is passed before.",
							NULL, &passages, 0, 0, INT_MAX, PGC_SUSET, GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
	DefineCustomEnumVariable("economy.crash_action", "How it ends.",
							 NULL, &action, ACTION_KILL, actions, PGC_SUSET, GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
	DefineCustomIntVariable("economy.fail_alloc", "Allocation that fails.",
							NULL, &fail_alloc, 0, 0, INT_MAX, PGC_SUSET, GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
}

void
eco_crash_point(const char *name)
{
	if (point == NULL || point[0] == '\0' ||
		(strcmp(point, name) != 0 && strcmp(point, "any") != 0))
		return;
	if (passages-- > 0)
		return;
	passages = 0;
	if (action == ACTION_KILL)
		kill(getpid(), SIGKILL);
	ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("crash point \"%s\"", name)));
}

static void
maybe_fail(Size size)
{
	if (fail_alloc > 0 && --fail_alloc == 0)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("A test failed the allocation of %zu bytes.", size)));
}

void *
__wrap_palloc(Size size)
{
	maybe_fail(size);
	return __real_palloc(size);
}

void *
__wrap_palloc0(Size size)
{
	maybe_fail(size);
	return __real_palloc0(size);
}

void *
__wrap_repalloc(void *pointer, Size size)
{
	maybe_fail(size);
	return __real_repalloc(pointer, size);
}

void *
__wrap_MemoryContextAlloc(MemoryContext context, Size size)
{
	maybe_fail(size);
	return __real_MemoryContextAlloc(context, size);
}

MemoryContext
__wrap_AllocSetContextCreateInternal(MemoryContext parent, const char *name,
									 Size min, Size init, Size max)
{
	maybe_fail(init);
	return __real_AllocSetContextCreateInternal(parent, name, min, init, max);
}

#endif
