/*
 * scope_internal.h
 *		What the files of this folder share.
 */
#ifndef SCOPE_INTERNAL_H
#define SCOPE_INTERNAL_H

#include "nodes/parsenodes.h"
#include "nodes/pathnodes.h"
#include "nodes/plannodes.h"
#include "storage/lockdefs.h"

#include "scope/scope.h"

/* ---- scope_local.c ---- */

/* True if a marker at the start of this text counts. */
extern bool shoal_scope_is_trusted(const char *query_string);

extern void shoal_scope_local_init(void);

/* ---- scope_marker.c ---- */

/* Whether a trusted marker that the text begins with asks for packs of rows.  Cheap. */
extern bool shoal_scope_is_packed(const char *query_string);

/* ---- scope_pack.c ---- */

extern void shoal_scope_pack_init(void);

/* ---- scope_rules.c ---- */

extern void shoal_scope_rules_init(void);

/* ---- scope_children.c ---- */

/* The partitions of a distributed table that are on this node, cached. */
typedef struct ShoalChildren
{
	Oid			parent;			/* hash key */
	bool		valid;
	bool		by_hash;		/* else: by range or list, above the hash */
	List	   *parts;			/* then: OIDs of its partitions, in place of
								 * what follows */
	Bitmapset  *shards;			/* those that are here */
	int			nshards;		/* length of child: highest shard + 1 */
	int			allocated;
	Oid		   *child;			/* by shard, InvalidOid if not here */
	bool	   *same_row;		/* by shard: columns have the parent's numbers */
} ShoalChildren;

/*
 * The partitions of a table.  Valid until the next call or
 * lock.  The caller holds a lock on the table.
 */
extern const ShoalChildren *shoal_scope_children(Oid parent);

extern void shoal_scope_children_init(void);

/* ---- scope_scan.c ---- */

/* A table that is planned as one relation, read by a Shard Scan. */
typedef struct ShoalSmallTable
{
	Oid			relid;
	int			pages;			/* of all shards in scope */
	double		rows;
	bool		unsure;			/* the catalogs do not tell its size */
} ShoalSmallTable;

/* True if the query changes and locks nothing and has no system columns. */
extern bool shoal_scope_only_reads(Query *query);

/*
 * The size of some shards of a table, whose partitions it locks; NULL if it is
 * too large for a Shard Scan, or a partition is not here or differs.
 */
extern ShoalSmallTable *shoal_scope_measure(Oid relid, const Bitmapset *shards);

/*
 * For the planner's hooks: what the relation is like, and (in the place of its
 * other paths) how to read it.
 */
extern void shoal_scope_describe_small(const ShoalSmallTable *small,
									   PlannerInfo *root, RelOptInfo *rel);
extern void shoal_scope_small_path(PlannerInfo *root, RelOptInfo *rel,
								   const Bitmapset *shards);

extern void shoal_scope_scan_init(void);

/* ---- scope_substitute.c ---- */

/*
 * Prepares a query for its scope: checks that the scope's shards are here, and
 * for a scope of one shard puts partitions in the places of their parents
 * where that is safe; for several turns the range-table entries of small tables into
 * ones of plain tables, to be read by a Shard Scan, and returns those tables
 * (ShoalSmallTable).
 */
extern List *shoal_scope_substitute(Query *query, const ShoalScope *scope);

/*
 * The same checks once more, when core has planned and locked: a shard may have been
 * moved while a lock on it was waited for, and core leaves out what is gone.
 */
extern void shoal_scope_check_plan(const PlannedStmt *stmt,
								   const ShoalScope *scope);

/* ---- scope_partial.c ---- */

/*
 * Before planning: gives the aggregates of the query's result the types of
 * their transition states.  0A000 if the query is not of the form that can be
 * split.
 */
extern void shoal_scope_partial_prepare(Query *query);

/* After planning: makes the plan stop at transition states. */
extern void shoal_scope_partial_finish(PlannedStmt *stmt);

/* ---- scope_named.c ---- */

extern void shoal_scope_named_init(void);

#endif							/* SCOPE_INTERNAL_H */
