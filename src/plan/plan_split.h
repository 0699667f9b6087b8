/*
 * plan_split.h
 *		Splitting a query into what each shard can do and what is left.
 */
#ifndef PLAN_SPLIT_H
#define PLAN_SPLIT_H

#include "plan/plan_shape.h"

/*
 * For a SELECT whose FROM and WHERE are spread over shards (analysis->from)
 * but which as a whole is not: turns it, in place, into a query over one part
 * that does FROM, WHERE and as much more as can be done shard by shard.
 * Returns false, with nothing changed, if it can't.
 */
extern bool shoal_split_query(Query *query, const ShoalAnalysis *analysis);

/* FROM, WHERE and WITH of a query alone, as a copy without columns. */
extern Query *shoal_split_bare_copy(Query *query);

/*
 * Groups a query by a further expression, which has this number in its target
 * list; false if values of its type can't be grouped.
 */
extern bool shoal_split_group_by(Query *query, Index ref, Node *expr);

/*
 * Makes a query, whose expressions are replaced already, one over a single entry
 * in place of its FROM, WHERE and WITH.
 */
extern void shoal_split_put_over(Query *query, RangeTblEntry *rte);

#endif							/* PLAN_SPLIT_H */
