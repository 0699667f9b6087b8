/*
 * plan_with.h
 *		WITH queries that write, over several nodes.
 */
#ifndef PLAN_WITH_H
#define PLAN_WITH_H

#include "nodes/params.h"
#include "nodes/plannodes.h"

#include "plan/plan_rewrite.h"

/* Is the query one whose parts have to be run one by one? */
extern bool shoal_with_is_needed(Query *query, const ShoalTables *tables);

/*
 * Plans it: each part by itself, and a Shoal With node that runs them.  Error
 * 0A000 if a part can't be done.  A query that may be a part of another such has
 * its parts numbered from above base_number, else that is 0.
 */
extern PlannedStmt *shoal_with_plan(Query *query, const char *query_string,
									int cursor_options, ParamListInfo params,
									int base_number);

/* WITH queries of a MERGE that was taken apart; a number follows the second. */
#define SHOAL_MERGE_ROWS	"shoal merge"
#define SHOAL_MERGE_ACTION	"shoal action "

/*
 * Names of WITH queries of a query's own list are made to stand for those of the
 * query around it, in place.  depth: of the node within the query, -1 for the
 * query itself.
 */
extern void shoal_with_lift(Node *node, int depth);

/* A WITH query of the list so many levels above, as an entry of a range table. */
extern RangeTblEntry *shoal_with_entry(CommonTableExpr *cte, int levels);

/* Is a subquery what takes the place of a part, so that only this node has it? */
extern bool shoal_with_is_rows(Query *query);

/* Planner for a part (set by plan_hook.c). */
typedef PlannedStmt *(*ShoalWithPlanner) (Query *query,
										  const char *query_string,
										  int cursor_options,
										  ParamListInfo params);
extern ShoalWithPlanner shoal_with_part_planner;

#endif							/* PLAN_WITH_H */
