/*
 * version.h
 *		Which release the library is of, and what to do when its objects are of another.
 */
#ifndef ECO_VERSION_H
#define ECO_VERSION_H

/* For errhint() of ECO_SCHEMA_DAMAGED: restart, or update. */
extern const char *eco_version_hint(void);

#endif
