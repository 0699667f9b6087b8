/*
 * meta.h
 *		What the cluster looks like: nodes, colocation groups, tables and
 *		placements, read through a per-backend cache.
 *
 * The truth is in tables of schema shoal (src/schema/10_meta.sql), the same on
 * every node but for shoal.local_node.  Entries returned here belong to the
 * cache.  They are immutable and stay valid until the end of the current
 * transaction, even when a newer version has been read meanwhile; copy what
 * must live longer.  All look-ups may read catalogs, so they need a
 * transaction; none takes a lock that outlives the call.
 */
#ifndef META_H
#define META_H

#include "access/attnum.h"
#include "access/transam.h"
#include "nodes/pg_list.h"
#include "partitioning/partdefs.h"
#include "pg_config_manual.h"
#include "utils/relcache.h"

typedef struct ShoalNode
{
	int			node_id;
	char	   *server_name;	/* its FOREIGN SERVER */
	char	   *host;			/* options of that server */
	int			port;
	char	   *dbname;
	bool		is_local;		/* the node this backend runs on */
	bool		holds_shards;	/* new shards may be placed here */
	uint64		system_id;		/* of its server; equal for nodes that share
								 * one server (and so roles, tablespaces) */
	bool		is_active;		/* it has not been given up ('down') */
	int			times_down;		/* how often it has been, ever */
} ShoalNode;

/* values of ShoalTable.kind and ShoalGroup.kind */
#define SHOAL_KIND_DISTRIBUTED	'd' /* hash-partitioned over a group's shards */
#define SHOAL_KIND_REFERENCE	'r' /* full copy on every node */
#define SHOAL_KIND_SINGLE		's' /* whole on one node: shard 0 of its group */

/* values of ShoalCopy.state: the first letters of shoal.placement.state */
#define SHOAL_COPY_ACTIVE	'a' /* equal to the primary */
#define SHOAL_COPY_COPYING	'c' /* gets all writes, lacks older rows */
#define SHOAL_COPY_STALE	's' /* has missed writes, gets none */
#define SHOAL_COPY_DROPPING	'd' /* the same, and will be gone */

/* A placement of a shard. */
typedef struct ShoalCopy
{
	int			shard;
	int			node_id;
	bool		is_primary;
	char		state;
	TransactionId xmin;			/* of this version of the placement */
} ShoalCopy;

/* it gets all writes */
#define SHOAL_COPY_IS_KEPT(copy) \
	((copy)->state == SHOAL_COPY_ACTIVE || (copy)->state == SHOAL_COPY_COPYING)

typedef struct ShoalGroup
{
	int			group_id;
	char		kind;
	int			shard_count;	/* 1 for reference and single-shard groups */
	int			replicas;
	bool		closed;			/* tables join it only when asked to by name
								 * (colocation_group.closed) */
	int		   *primary;		/* by shard: node id of the active primary, 0
								 * if there is none; for a reference group
								 * primary[0] is the lowest node id */
	int			ncopies;		/* placements, by shard and node; none for
								 * reference groups */
	ShoalCopy  *copies;
	uint32	   *placements;		/* by shard: a hash of those that get writes */
	TransactionId newest;		/* the latest xmin of them */
	bool		filling;		/* a replica is being filled */
	bool		moving;			/* a copy is about to take the place of another */
	bool		mirrored;		/* writes of a shard at least are repeated on
								 * another node */
	bool		all_local;		/* every primary is on this node (reference:
								 * this is the only node) */
} ShoalGroup;

typedef struct ShoalTable
{
	Oid			relid;
	char		kind;
	int			group_id;

	/* the rest is set for distributed tables only, in key order */
	int			shard_count;	/* of its group */
	int			nkeys;
	AttrNumber	keyattr[PARTITION_MAX_KEYS];
	Oid			keytype[PARTITION_MAX_KEYS];	/* the column's type */
	Oid			keyinput[PARTITION_MAX_KEYS];	/* its operator class's type */
	Oid			keyopfamily[PARTITION_MAX_KEYS];	/* hash operator family */
	Oid			keycollation[PARTITION_MAX_KEYS];	/* partition collation */
} ShoalTable;

/* ---- reading (meta_cache.c) ---- */

/* False if the extension is not created in this database (or is being). */
extern bool shoal_meta_enabled(void);

/*
 * The table's entry, NULL if Shoal does not know the relation.  Cheap for
 * relations that are not Shoal's (one hash probe).  A range or list partition
 * of a distributed table that is itself hash-sub-partitioned has an entry of
 * its own.  Shard partitions (in schemas shoal_<g>_<n>) have none.
 */
extern const ShoalTable *shoal_meta_table(Oid relid);

/* The group; error 58000 (corrupt metadata) if it does not exist. */
extern const ShoalGroup *shoal_meta_group(int group_id);

/* The same, but NULL if it does not exist. */
extern const ShoalGroup *shoal_meta_find_group(int group_id);

/* A shard of the group has more than one copy. */
extern bool shoal_meta_has_replicas(const ShoalGroup *group);

/* All groups (int list).  Opens no table but the metadata's. */
extern List *shoal_meta_group_ids(void);

/* The node's placement of a shard, NULL if it has none. */
extern const ShoalCopy *shoal_meta_copy(const ShoalGroup *group, int shard,
										int node_id);

/* The node, NULL if there is none of that id. */
extern const ShoalNode *shoal_meta_node(int node_id);

/* All active nodes, List of const ShoalNode *, ordered by node id. */
extern List *shoal_meta_nodes(void);

/* Id of the node this backend runs on; 0 if the extension is not set up. */
extern int	shoal_meta_local_node_id(void);

/*
 * What proves to another node that a session of this user is a coordinator's.
 * palloc'd; only while shoal_meta_enabled() is true.
 */
extern char *shoal_meta_origin_proof(const char *user);

/*
 * The same for a session of this user, in a process of the node, which is to act as
 * another role, in a security-restricted operation or not.
 */
extern char *shoal_meta_role_proof(const char *user, const char *role,
								   bool restricted, int pid);

/* Compares two; false if there is none. */
extern bool shoal_meta_is_proof(const char *a, const char *b);

/* Role that owns the extension. */
extern Oid	shoal_meta_owner(void);

/* True if the cluster has just this node. */
extern bool shoal_meta_is_alone(void);

/* OIDs of all Shoal tables (of the group, or of all groups if 0). */
extern List *shoal_meta_table_oids(int group_id);

/* All nodes, those that were given up, too. */
extern List *shoal_meta_all_nodes(void);

/*
 * Whether metadata have changed since this backend has read them, as far as it has
 * been told.  For processes that look on their own, also outside of transactions.
 */
extern bool shoal_meta_has_changed(void);

/*
 * Leaves nodes (int list) out of shoal_meta_nodes() in this backend from now on,
 * whatever the metadata say.
 */
extern void shoal_meta_ignore_nodes(List *node_ids);

/*
 * Called when a group with replicas has been read, or a node that was given up.
 * Or NULL.
 */
extern void (*shoal_meta_on_replicas) (void);

/* Registers invalidation callbacks.  Called once, from _PG_init. */
extern void shoal_meta_init(void);

/* ---- key to shard (meta_hash.c) ---- */

/*
 * The shard of a key, hashed as core hashes the partition key.  types[i] is
 * the type of values[i], which may differ from the key's type as long as it
 * is in the same operator family (a bigint compared with an int key).  Error
 * 42804 if the family has no hash function for it.
 */
extern int	shoal_meta_shard_of(const ShoalTable *table, const Datum *values,
								const bool *nulls, const Oid *types);

/* True if values of that type hash like the table's i-th key column. */
extern bool shoal_meta_hashable_as(const ShoalTable *table, int key, Oid type);

/* ---- writing (meta_write.c): this node's copy of the metadata only ---- */

/*
 * These write as the extension's owner (the caller has checked rights) and
 * make the change visible to this command's successors.  They send the cache
 * invalidations that other backends need.
 */
extern void shoal_meta_add_group(int group_id, char kind, int shard_count,
								 int replicas, bool closed);
extern void shoal_meta_drop_group(int group_id);	/* placements and shard
													 * schemas too */
extern void shoal_meta_add_table(Oid relid, char kind, int group_id);
extern void shoal_meta_drop_table(Oid relid);	/* no error if unknown; drops
												 * the group with its last
												 * table */
extern void shoal_meta_add_placement(int group_id, int shard, int node_id,
									 const char *role, const char *state);
extern void shoal_meta_set_placement(int group_id, int shard, int node_id,
									 const char *role, const char *state);
extern void shoal_meta_set_replicas(int group_id, int replicas);
extern void shoal_meta_drop_placement(int group_id, int shard, int node_id);
extern int	shoal_meta_next_group_id(void);

/* Name of a shard's schema, "shoal_<group>_<shard>"; palloc'd. */
extern char *shoal_meta_shard_schema(int group_id, int shard);

/*
 * If the schema is a shard's, sets group and shard and returns true.  By
 * OID, cached.
 */
extern bool shoal_meta_is_shard_schema(Oid nspid, int *group_id, int *shard);

/* Sends the relcache invalidations that make other backends look again. */
extern void shoal_meta_invalidate_table(Oid relid);
extern void shoal_meta_invalidate_all(void);

#endif							/* META_H */
