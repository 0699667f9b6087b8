/*
 * plan_moved.h
 *		Rows that are moved to other nodes, as entries of a range table.
 */
#ifndef PLAN_MOVED_H
#define PLAN_MOVED_H

#include "nodes/pathnodes.h"

#include "plan/plan_fragment.h"
#include "plan/plan_shape.h"

/*
 * Rows that are moved from node to node before a fragment runs.  In the
 * fragment's query they are a call of shoal.moved_rows in FROM; one that is
 * planned on a node becomes a scan of what has arrived there.
 */
typedef struct ShoalMove
{
	int			number;			/* from 0, in shoal_planning->moves */
	Query	   *source;			/* SELECT of the columns that travel, plain
								 * enough to be aggregated as it is */
	Oid			relid;			/* the first column is like a key of this table
								 * and puts each row to its shard; InvalidOid:
								 * every node gets all rows */
	double		rows;			/* estimated */
	bool		distinct;		/* rows that are the same may be moved once; the
								 * source has one column, passed by value */
	Query	   *policy_rows;	/* if policies read the rows: how they see them */
	ShoalShape *shape;			/* where the source runs, if each node's rows are
								 * wanted as they are; NULL: where that is right */
} ShoalMove;

/* True if values of the type can be moved. */
extern bool shoal_moved_is_movable(Oid type);

/* True if they are moved as they are, not as text. */
extern bool shoal_moved_is_plain(Oid type);

/* Of how many values a node that moves distinct ones knows whether it has, at least. */
extern int	shoal_moved_values_seen(void);

/*
 * Registers a move with shoal_planning.  The query is put under it as its
 * source, which is fixed from now on.
 */
extern ShoalMove *shoal_moved_add(Query *source, Oid relid, double rows);

/*
 * The moved rows as a query with these columns.  Of attnos and exprs the i-th
 * tell which of them the source's i-th column is, and what it was before it
 * was moved; all others are NULL.
 */
extern Query *shoal_moved_query(ShoalMove *move, List *attnos, List *exprs,
								List *names);

/* The move that a range table entry stands for, or NULL. */
extern ShoalMove *shoal_moved_find(RangeTblEntry *rte);

/* ShoalFragmentMoves of all moved rows that a query reads. */
extern List *shoal_moved_compile(Query *query, List *params);

/*
 * On a node: whether a query that is planned from a text may read moved rows, the specs
 * of those that it reads, and a subplan that removes their files at the plan's end.
 */
extern bool shoal_moved_are_read(const char *query_string);
extern List *shoal_moved_specs(Query *query);
extern void shoal_moved_add_end(PlannedStmt *stmt, List *specs);

/* set_rel_pathlist_hook: on a node, scans of moved rows. */
extern void shoal_moved_pathlist(PlannerInfo *root, RelOptInfo *rel,
								 RangeTblEntry *rte);

#endif							/* PLAN_MOVED_H */
