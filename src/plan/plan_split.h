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

#endif							/* PLAN_SPLIT_H */
