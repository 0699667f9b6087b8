/*
 * ddl.h
 *		Statements that change the schema, and making tables distributed.
 */
#ifndef DDL_H
#define DDL_H

#include "nodes/pg_list.h"

/* Installs ProcessUtility_hook and, by shoal_ddl_drop_init, object_access_hook. */
extern void shoal_ddl_init(void);

/*
 * ddl_convert.c, on this node only: turns a plain table into an empty
 * hash-partitioned one in place, keeping its OID and everything that hangs on
 * it.  Rows that it holds end up in a new plain table, whose OID is returned
 * (InvalidOid if it was empty); same column numbers; the caller drops it.
 */
extern Oid	shoal_ddl_convert(Oid relid, List *keyattrs);

/*
 * On this node only: makes the partition of a table for a shard, in the
 * shard's schema (made if missing), with the parent's name; indexes and
 * constraints get the parent's names.
 */
extern void shoal_ddl_create_partition(Oid relid, int group_id, int shard,
									   int shard_count);

/*
 * Gives the indexes and constraints of shard partitions the names of their
 * parents' (after a CREATE INDEX or ALTER TABLE on the parent).
 */
extern void shoal_ddl_align_names(Oid relid);

/*
 * ddl_drop.c: installs object_access_hook, which forgets tables that are
 * dropped.  Called by shoal_ddl_init.
 */
extern void shoal_ddl_drop_init(void);

#endif							/* DDL_H */
