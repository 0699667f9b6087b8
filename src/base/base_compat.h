/*
 * base_compat.h
 *		Differences between PostgreSQL 15, 16, 17 and 18.
 *
 * This is the only file that looks at PG_VERSION_NUM.  Each macro or inline
 * function gives the newest spelling of something on every version.
 */
#ifndef BASE_COMPAT_H
#define BASE_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "Shoal needs PostgreSQL 15 or newer"
#endif

/*
 * Before 16 PGDLLEXPORT is empty here; we build with -fvisibility=hidden, so
 * what SQL calls has to be marked.  Files with PG_FUNCTION_INFO_V1 include this
 * header.
 */
#if PG_VERSION_NUM < 160000
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#endif

/* the major version that this library was built for */
#define SHOAL_PG_MAJOR	(PG_VERSION_NUM / 10000)

#endif							/* BASE_COMPAT_H */
