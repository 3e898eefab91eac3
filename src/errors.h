/*
 * errors.h
 *		SQLSTATEs of class XE that C raises, in groups of a hundred per domain.
 *
 * SQL raises others of these groups and all of XE3, shop, and XE8, access.  Every
 * code is listed in doc/reference.md; a check keeps the two equal.
 */
#ifndef ECO_ERRORS_H
#define ECO_ERRORS_H

#include "postgres.h"

/* XE0: arguments of any function */
#define ECO_NULL_ARGUMENT			MAKE_SQLSTATE('X', 'E', '0', '0', '1')
#define ECO_INVALID_ARGUMENT		MAKE_SQLSTATE('X', 'E', '0', '0', '2')
#define ECO_ARGUMENT_TOO_LONG		MAKE_SQLSTATE('X', 'E', '0', '0', '3')

/* XE1: ledger */
#define ECO_JOURNAL_APPEND_ONLY		MAKE_SQLSTATE('X', 'E', '1', '0', '1')
#define ECO_DROP_REFUSED			MAKE_SQLSTATE('X', 'E', '1', '0', '2')
#define ECO_LEDGER_DAMAGED			MAKE_SQLSTATE('X', 'E', '1', '0', '3')
#define ECO_CRYPTO_FAILED			MAKE_SQLSTATE('X', 'E', '1', '0', '4')
#define ECO_SCHEMA_DAMAGED			MAKE_SQLSTATE('X', 'E', '1', '0', '5')
#define ECO_ENTRY_NOT_FOUND			MAKE_SQLSTATE('X', 'E', '1', '0', '6')

/* XE2: account */
#define ECO_INVALID_TIMEZONE		MAKE_SQLSTATE('X', 'E', '2', '0', '1')
#define ECO_USER_NOT_FOUND			MAKE_SQLSTATE('X', 'E', '2', '0', '2')
#define ECO_KEY_REUSED				MAKE_SQLSTATE('X', 'E', '2', '0', '3')

/* XE4: reward, mission */
#define ECO_RESERVED_NAME			MAKE_SQLSTATE('X', 'E', '4', '0', '1')
#define ECO_UNKNOWN_CURVE			MAKE_SQLSTATE('X', 'E', '4', '0', '2')
#define ECO_INVALID_MISSION			MAKE_SQLSTATE('X', 'E', '4', '0', '3')

/* XE5: play */
#define ECO_CAPTURE_MISUSED			MAKE_SQLSTATE('X', 'E', '5', '0', '1')
#define ECO_CAPTURE_REFUSED			MAKE_SQLSTATE('X', 'E', '5', '0', '2')

/* XE6: segment */
#define ECO_NO_SEGMENT				MAKE_SQLSTATE('X', 'E', '6', '0', '2')

/* One macro, so that level and code cannot be swapped. */
#define ECO_ERROR(code, ...) \
	ereport(ERROR, (errcode(code), __VA_ARGS__))

#endif
