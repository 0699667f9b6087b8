/*
 * plan_distinct.h
 *		Rows of which one stands for all that are the same.
 */
#ifndef PLAN_DISTINCT_H
#define PLAN_DISTINCT_H

#include "nodes/params.h"

#include "plan/plan_leaf.h"

/*
 * Finds the tables whose rows are to be moved without duplicates, and sets how
 * many that are.  Sizes of all tables are known.
 */
extern void shoal_distinct_leaves(ShoalLeaves *leaves, ParamListInfo params);

/*
 * Makes a move of such a leaf one without duplicates, if its source runs on the
 * nodes.
 */
extern void shoal_distinct_move(ShoalMove *move);

#endif							/* PLAN_DISTINCT_H */
