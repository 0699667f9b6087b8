/*
 * ddl.h
 *		Statements that change the schema, and making tables distributed.
 */
#ifndef DDL_H
#define DDL_H

#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"
#include "storage/lockdefs.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"

#include "meta/meta.h"

/* Installs ProcessUtility_hook and, by shoal_ddl_drop_init, object_access_hook. */
extern void shoal_ddl_init(void);

/*
 * ddl_drop.c: installs object_access_hook, which forgets tables that are
 * dropped.  Called by shoal_ddl_init.
 */
extern void shoal_ddl_drop_init(void);

/*
 * ddl_lock.c: locks tables (OIDs of Shoal tables) on all nodes, all or none at
 * any moment, so that no query on another node is in the way for good.  Error
 * 55P03 after lock_timeout, or after half a minute in a transaction block.
 */
extern void shoal_ddl_lock_tables(List *relids, LOCKMODE mode);

/* ---- ddl_convert.c: on this node only ---- */

/*
 * Turns a plain table into an empty hash-partitioned one in place, keeping
 * its OID and everything that hangs on it.  Rows that it holds end up in a
 * new plain table, whose OID is returned (InvalidOid if it was empty); same
 * column numbers; the caller drops it.
 */
extern Oid	shoal_ddl_convert(Oid relid, List *keyattrs);

/*
 * Moves the rows of a plain table to a new one like shoal_ddl_convert does;
 * the table stays plain and is empty then.
 */
extern Oid	shoal_ddl_detach_rows(Oid relid);

/*
 * Makes an empty plain table with the columns of another one, which
 * shoal_ddl_convert_back can make that one's storage.
 */
extern Oid	shoal_ddl_make_heap(Oid relid, char persistence);

/*
 * Turns a partitioned table without partitions into a plain one with the rows
 * of a heap made by shoal_ddl_make_heap, which is gone then.  For a table
 * that is plain already, shoal_ddl_replace_heap just replaces the storage.
 */
extern void shoal_ddl_convert_back(Oid relid, Oid heap);
extern void shoal_ddl_replace_heap(Oid relid, Oid heap);

/*
 * Gives a hash-partitioned table another partition key: no columns (NIL), or
 * ones by which its rows are where they belong.  The caller has locked it ACCESS
 * EXCLUSIVE.
 */
extern void shoal_ddl_replace_key(Oid relid, List *keyattrs);

/* ---- ddl_mirror.c: on this node only ---- */

/*
 * Gives a table's copies of shards that are here the trigger that repeats
 * writes, where its group has replicas and they don't have it yet, or not
 * enabled.
 */
extern void shoal_ddl_mirror_table(Oid relid, int group_id);

/* The same for all tables of this node. */
extern void shoal_ddl_mirror_all(void);

/* Its copies of shards that are here and lack it (list of OIDs), whatever the group has. */
extern List *shoal_ddl_unmirrored(Oid relid);

/* Whether all of them have it.  Takes no lock on any. */
extern bool shoal_ddl_is_mirrored(void);

/* ---- ddl_copies.c: on this node only ---- */

/* Empties a table without looking at foreign keys or firing triggers. */
extern void shoal_ddl_empty_table(Oid relid);

/* The tables of a colocation group that have shards, or are one: their OIDs. */
extern List *shoal_ddl_group_leaves(int group_id);

/* ---- ddl_partition.c: on this node only ---- */

/* What a partitioned table cannot remember for its partitions. */
typedef struct ShoalStorage
{
	List	   *options;		/* DefElem *: fillfactor and the like */
	char		persistence;	/* permanent or unlogged */
} ShoalStorage;

/* That of a plain table, or of a shard partition of a partitioned one. */
extern ShoalStorage *shoal_ddl_storage_of(Oid relid);

/*
 * Makes the partitions of a table for some shards (int list), each in its
 * shard's schema (made if missing), with the parent's name; indexes and
 * constraints get the parent's names.
 */
extern void shoal_ddl_create_partitions(Oid relid, int group_id, List *shards,
										int shard_count,
										const ShoalStorage *storage);

/*
 * The table and, if it is partitioned by range or list, the partitions that
 * make its tree down to those that are or can be split into shards; locked,
 * parents first.  Shard partitions are not among them.
 */
extern List *shoal_ddl_members(Oid relid, LOCKMODE lockmode);

/* True for a member that has (or can be split into) shards itself. */
extern bool shoal_ddl_is_leaf(Oid relid);

/* Makes one, like the others of the table that are on this node. */
extern void shoal_ddl_create_partition(Oid relid, int group_id, int shard,
									   int shard_count);

/*
 * Gives shard partitions, their indexes and constraints the names of their
 * parents' (after a CREATE INDEX, ALTER TABLE or RENAME on the parent).
 */
extern void shoal_ddl_align_names(Oid relid);

/* ---- ddl_check.c: what can be distributed ---- */

/* A foreign key of a table, or on it. */
typedef struct ShoalForeignKey
{
	Oid			oid;
	char	   *name;
	Oid			from;			/* referencing table */
	Oid			to;				/* referenced table */
	bool		validated;
	int			nkeys;
	AttrNumber	fromatt[INDEX_MAX_KEYS];
	AttrNumber	toatt[INDEX_MAX_KEYS];
} ShoalForeignKey;

/* All of them, List of ShoalForeignKey *, ordered by name. */
extern List *shoal_ddl_foreign_keys(Oid relid);

/* Is the column of a table one that refers, or is referred to? */
extern bool shoal_ddl_foreign_key_has(const ShoalForeignKey *fk, Oid relid,
									  AttrNumber attnum);

/* The columns named in a comma-separated list, as an int list of attnums. */
extern List *shoal_ddl_key_columns(Relation rel, const char *names);

/* The columns of another table that have the same names as these. */
extern List *shoal_ddl_same_columns(Relation rel, List *attnums,
									Relation other);

/* Raises an error for what cannot become a Shoal table of any kind. */
extern void shoal_ddl_check_relation(Relation rel);

/*
 * The same for one that passed that, and a kind and distribution key; looks
 * at its partitions, too.
 */
extern void shoal_ddl_check_table(Relation rel, char kind, List *keyattrs);

/* The same for the indexes of a table that has shards, or a leaf of one. */
extern void shoal_ddl_check_indexes(Relation rel, List *keyattrs);

/* Error 0A000 if a constraint or a generated column would see the shard for the table. */
extern void shoal_ddl_check_expressions(Relation rel);

/*
 * Raises an error for foreign keys that could not be enforced if the table
 * were of that kind, in that group (0: a new one).
 */
extern void shoal_ddl_check_foreign_keys(Relation rel, char kind, int group_id,
										 List *keyattrs);

/* True if the table could join a group that this table is of. */
extern bool shoal_ddl_keys_match(Relation rel, List *keyattrs,
								 const ShoalTable *other);

/*
 * Raises an error if a new partition by range or list of a distributed table
 * cannot be split into shards.
 */
extern void shoal_ddl_check_new_partition(Relation rel, List *keyattrs);

/* ---- ddl_distribute.c ---- */

/*
 * Before CREATE TABLE ... PARTITION OF is run on a node (coordinator or not):
 * makes it PARTITION BY HASH (distribution column) if the parent is a table
 * that is distributed below its partitions by range or list.  Changes the
 * statement, which must be the caller's to change, and returns the storage
 * parameters taken out of it (they are for the shards).
 */
extern List *shoal_ddl_prepare_partition(CreateStmt *stmt);

/*
 * After CREATE TABLE ... PARTITION OF or ATTACH PARTITION was run on a node:
 * registers the partition and makes its shards if its parent is such a table
 * and it is not known yet; does nothing otherwise.  options are storage parameters for the shards.
 * An error if it cannot be: only an empty table that is partitioned by hash of
 * the distribution column can be attached.
 */
extern void shoal_ddl_adopt_partition(Oid relid, List *options);

/* ---- shared by ddl_distribute.c and ddl_undistribute.c ---- */

/*
 * Opens a table of the current user's, locked ACCESS EXCLUSIVE; an error if
 * it is gone or somebody else's.
 */
extern Relation shoal_ddl_open_own_table(Oid relid);

/*
 * The start of a function (named for errors) by which users change what is
 * distributed: checks that it may run here, and takes the cluster lock.
 */
extern void shoal_ddl_begin_change(const char *function);

/* The start of a function that only coordinators may call. */
extern void shoal_ddl_begin_internal(void);

/*
 * Drops the foreign keys that tables have and returns what
 * shoal_ddl_add_foreign_keys needs to add them again.
 */
extern List *shoal_ddl_drop_foreign_keys(List *relids);
extern void shoal_ddl_add_foreign_keys(List *saved);

/* What the functions for users do: on all nodes, with the rows. */
extern void shoal_ddl_undistribute(Oid relid);
extern void shoal_ddl_distribute(Oid relid, const char *columns,
								 const char *colocate_with, int shard_count,
								 int replicas);

/* ---- ddl_refuse.c ---- */

/* The error for an unlogged table of which there are to be several copies: 0A000. */
extern void shoal_ddl_refuse_unlogged(const char *name, bool reference)
			__attribute__((noreturn));

#endif							/* DDL_H */
