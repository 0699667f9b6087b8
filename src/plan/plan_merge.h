/*
 * plan_merge.h
 *		MERGE on Shoal tables.
 */
#ifndef PLAN_MERGE_H
#define PLAN_MERGE_H

#include "meta/meta.h"
#include "plan/plan_shape.h"

/*
 * The shape of a MERGE's FROM and WHERE, from those of its target and of its
 * source.  NONE if shards can't each do their part of it.
 */
extern ShoalShape shoal_merge_shape(Query *query, const ShoalShape *target,
									const ShoalShape *source);

/*
 * A copy of a MERGE on a distributed table: rows of its source that match
 * nothing are inserted by the node of their key only, also if every node sees
 * them.
 */
extern Query *shoal_merge_restrict(Query *query, const ShoalTable *table);

/*
 * Puts the conditions of views that MERGEs of a query, at any level, write through into
 * the conditions of the MERGE.
 */
extern void shoal_merge_add_view_conditions(Query *query);

/* Does an action set a distribution column? */
extern bool shoal_merge_moves_rows(Query *query, const ShoalTable *table);

#endif							/* PLAN_MERGE_H */
