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

/* 16 renamed relation file nodes, changed ownership checks and soft errors */
#if PG_VERSION_NUM < 160000
#define RelFileLocator RelFileNode
#define RelFileNumber Oid
#define GetNewRelFileNumber GetNewRelFileNode
#define RelationAssumeNewRelfilelocator RelationAssumeNewRelfilenode
#define rd_newRelfilelocatorSubid rd_newRelfilenodeSubid
#define rd_firstRelfilelocatorSubid rd_firstRelfilenodeSubid
#define shoal_owns_table(relid, userid) pg_class_ownercheck(relid, userid)
#define shoal_name_list(string) stringToQualifiedNameList(string)
#else
#define shoal_name_list(string) stringToQualifiedNameList(string, NULL)
#define shoal_owns_table(relid, userid) \
	object_ownercheck(RelationRelationId, relid, userid)
#endif

/* 17 gave reindex_relation the statement */
#if PG_VERSION_NUM < 170000
#define shoal_reindex_relation(relid, flags, params) \
	reindex_relation(relid, flags, params)
#else
#define shoal_reindex_relation(relid, flags, params) \
	reindex_relation(NULL, relid, flags, params)
#endif

/* 18 counts frozen pages, and has no unlogged partitioned tables */
#if PG_VERSION_NUM < 180000
#define shoal_clear_allfrozen(form) ((void) 0)
#define SHOAL_PARTITIONED_ONLY_PERMANENT false
#else
#define shoal_clear_allfrozen(form) ((void) ((form)->relallfrozen = 0))
#define SHOAL_PARTITIONED_ONLY_PERMANENT true
#endif

#endif							/* BASE_COMPAT_H */
