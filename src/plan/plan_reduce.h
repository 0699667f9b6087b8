/*
 * plan_reduce.h
 *		Rows that need not be moved, since nothing will be joined with them.
 */
#ifndef PLAN_REDUCE_H
#define PLAN_REDUCE_H

#include "nodes/params.h"

#include "plan/plan_leaf.h"

/*
 * Sets the reducer of each table for which one is found that keeps few of its
 * rows, and its size accordingly.  Sizes of all tables are known.
 */
extern void shoal_reduce_leaves(ShoalLeaves *leaves, ParamListInfo params);

#endif							/* PLAN_REDUCE_H */
