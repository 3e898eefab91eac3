/*
 * crash_point.h
 *		Named places between two writes, for tests that end a call there.
 *
 * They are nothing, unless the extension is built with -DECO_CRASH_POINTS; see
 * crash_point.c and doc/testing.md.
 */
#ifndef ECO_CRASH_POINT_H
#define ECO_CRASH_POINT_H

#ifdef ECO_CRASH_POINTS
extern void eco_crash_point(const char *name);
extern void eco_crash_point_install(void);

#define ECO_CRASH_POINT(name) eco_crash_point(name)
#define ECO_CRASH_POINT_INSTALL() eco_crash_point_install()
#else
#define ECO_CRASH_POINT(name) ((void) 0)
#define ECO_CRASH_POINT_INSTALL() ((void) 0)
#endif

#endif
