/*
 * plan_step.h
 *		Subqueries that are run first, here, as values for a fragment.
 */
#ifndef PLAN_STEP_H
#define PLAN_STEP_H

#include "nodes/params.h"
#include "nodes/parsenodes.h"

/*
 * Takes uncorrelated subqueries out of a query, in place: each becomes a step
 * (plan_expr.h) that is registered with shoal_planning.  Of a SELECT those in
 * FROM and WHERE that nodes can't answer by themselves, if what they return is
 * small; of a write all in its conditions and new values.  False if there are
 * none.
 */
extern bool shoal_step_extract(Query *query, ParamListInfo params);

/*
 * Parameters of a fragment that are worked out from steps become steps themselves:
 * nothing is evaluated after these.
 */
extern List *shoal_step_combine(List *params);

/* ShoalFragmentSteps for those steps that are among parameters. */
extern List *shoal_step_compile(List *params);

#endif							/* PLAN_STEP_H */
