/*
 * plan_step.h
 *		Subqueries of a write that are run first, here.
 */
#ifndef PLAN_STEP_H
#define PLAN_STEP_H

#include "nodes/parsenodes.h"

#include "plan/plan_fragment.h"

/*
 * Takes uncorrelated subqueries out of the conditions and new values of an
 * UPDATE or DELETE.  Returns a query of one row that computes them, with a
 * changed copy of the write in *rest, in which each is a parameter
 * (PARAM_EXEC, by column of that row from 0).  NULL if there are none.
 */
extern Query *shoal_step_extract(Query *query, Query **rest);

/* Makes a fragment take those parameters from the row of its outer plan. */
extern void shoal_step_bind(ShoalFragment *frag);

#endif							/* PLAN_STEP_H */
