/*
 * plan_direct.h
 *		Plans that are one fragment and nothing else.
 */
#ifndef PLAN_DIRECT_H
#define PLAN_DIRECT_H

#include "plan/plan_fragment.h"

/*
 * A finished plan for a query that a fragment does as a whole.  Core's planner
 * is not involved.
 */
extern PlannedStmt *shoal_direct_plan(Query *query, const ShoalFragment *frag,
									  int cursor_options);

#endif							/* PLAN_DIRECT_H */
