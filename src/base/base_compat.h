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

/* a wait set that lives as long as the backend */
#if PG_VERSION_NUM < 170000
#define shoal_create_wait_set(nevents) \
	CreateWaitEventSet(TopMemoryContext, (nevents))
#else
#define shoal_create_wait_set(nevents) CreateWaitEventSet(NULL, (nevents))
#endif

/* all settings and their number; sorted by name */
#if PG_VERSION_NUM < 160000
#define shoal_guc_array(total) \
	(*(total) = GetNumConfigOptions(), get_guc_variables())
#else
#define shoal_guc_array(total) get_guc_variables(total)
#endif

/* the last parameter of ExecutorRun() before 18 */
#if PG_VERSION_NUM < 180000
#define SHOAL_EXECUTE_ONCE_PARAM , bool execute_once
#define SHOAL_EXECUTE_ONCE , execute_once
#else
#define SHOAL_EXECUTE_ONCE_PARAM
#define SHOAL_EXECUTE_ONCE
#endif

#endif							/* BASE_COMPAT_H */
