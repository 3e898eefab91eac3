/*
 * crash_point.c
 *		What happens at crash points, in a test build only.
 *
 * Settings of such a build, for superusers:
 *	crash_point		the place; "any" is every place; empty is off
 *	crash_after		times that it is passed before it happens
 *	crash_action	kill: SIGKILL to this backend; error: XX000; cancel: as if a
 *					cancel request had come
 *	alloc_point		the n-th allocation from now on; counts down to 0
 *	alloc_action	fail: out of memory; cancel
 *	fail_malloc		the n-th malloc() of the backend from now on fails, when
 *					test/stress/fail_malloc.c is preloaded
 * The allocations are those of our own code: the test build is linked with
 * --wrap for them.
 */
#ifdef ECO_CRASH_POINTS

#include "postgres.h"

#include <dlfcn.h>
#include <limits.h>
#include <signal.h>
#include <unistd.h>

#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "crash_point.h"

enum
{
	ACTION_KILL,
	ACTION_ERROR,
	ACTION_CANCEL
};

static const struct config_enum_entry crash_actions[] = {
	{"kill", ACTION_KILL, false},
	{"error", ACTION_ERROR, false},
	{"cancel", ACTION_CANCEL, false},
	{NULL, 0, false}
};

static const struct config_enum_entry alloc_actions[] = {
	{"fail", ACTION_ERROR, false},
	{"cancel", ACTION_CANCEL, false},
	{NULL, 0, false}
};

static char *point = NULL;
static int	passages = 0;
static int	crash_action = ACTION_KILL;
static int	alloc_point = 0;
static int	alloc_action = ACTION_ERROR;
static int	fail_malloc = 0;

static void assign_fail_malloc(int newval, void *extra);

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
							NULL, &passages, 0, 0, INT_MAX, PGC_SUSET, GUC_NOT_IN_SAMPLE, NULL,
							NULL, NULL);
	DefineCustomEnumVariable("economy.crash_action", "How it ends.",
							 NULL, &crash_action, ACTION_KILL, crash_actions, PGC_SUSET,
							 GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
	DefineCustomIntVariable("economy.alloc_point", "Allocation at which something happens.",
							NULL, &alloc_point, 0, 0, INT_MAX, PGC_SUSET, GUC_NOT_IN_SAMPLE, NULL,
							NULL, NULL);
	DefineCustomEnumVariable("economy.alloc_action", "What happens there.",
							 NULL, &alloc_action, ACTION_ERROR, alloc_actions, PGC_SUSET,
							 GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
	DefineCustomIntVariable("economy.fail_malloc", "malloc() that fails.",
							NULL, &fail_malloc, 0, 0, INT_MAX, PGC_SUSET, GUC_NOT_IN_SAMPLE,
							NULL, assign_fail_malloc, NULL);
}

/* The counter is the preloaded library's. */
static void
assign_fail_malloc(int newval, void *extra)
{
	int		   *counter = dlsym(RTLD_DEFAULT, "eco_fail_malloc");

	(void) extra;
	if (counter != NULL)
		*counter = newval;
}

/* As if the client had asked for it just now. */
static void
cancel(void)
{
	QueryCancelPending = true;
	InterruptPending = true;
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
	if (crash_action == ACTION_KILL)
		kill(getpid(), SIGKILL);
	if (crash_action == ACTION_CANCEL)
	{
		cancel();
		return;
	}
	ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("crash point \"%s\"", name)));
}

static void
at_allocation(Size size)
{
	if (alloc_point == 0 || --alloc_point > 0)
		return;
	if (alloc_action == ACTION_CANCEL)
		cancel();
	else
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
						errdetail("A test failed the allocation of %zu bytes.", size)));
}

void *
__wrap_palloc(Size size)
{
	at_allocation(size);
	return __real_palloc(size);
}

void *
__wrap_palloc0(Size size)
{
	at_allocation(size);
	return __real_palloc0(size);
}

void *
__wrap_repalloc(void *pointer, Size size)
{
	at_allocation(size);
	return __real_repalloc(pointer, size);
}

void *
__wrap_MemoryContextAlloc(MemoryContext context, Size size)
{
	at_allocation(size);
	return __real_MemoryContextAlloc(context, size);
}

MemoryContext
__wrap_AllocSetContextCreateInternal(MemoryContext parent, const char *name,
									 Size min, Size init, Size max)
{
	at_allocation(init);
	return __real_AllocSetContextCreateInternal(parent, name, min, init, max);
}

#endif
