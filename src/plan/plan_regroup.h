/*
 * plan_regroup.h
 *		Many groups: the nodes send each other what they have of them.
 */
#ifndef PLAN_REGROUP_H
#define PLAN_REGROUP_H

#include "nodes/params.h"
#include "nodes/parsenodes.h"

/*
 * For the levels of a SELECT (the query itself, and the subquery that is all of its
 * FROM, and so on) that group by other columns than the key: if there are many
 * groups, and their aggregates can be computed from those of parts of the groups,
 * puts in the place of FROM and WHERE what each node has of the groups, moved so
 * that each group is on one node.  Changes the query in place, and returns true, if that was done for
 * any level.  Registers moves with shoal_planning; asks nodes for estimates.
 */
extern bool shoal_regroup_levels(Query *query, ParamListInfo params);

#endif							/* PLAN_REGROUP_H */
