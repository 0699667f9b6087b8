/*
 * plan_sample.h
 *		Samples of a number of rows.
 */
#ifndef PLAN_SAMPLE_H
#define PLAN_SAMPLE_H

#include "nodes/parsenodes.h"

/* Whether an entry is a sample of a distributed table that is to have a number of rows. */
extern bool shoal_sample_is_counted(const RangeTblEntry *rte);

/*
 * Puts, in place and at all levels, subqueries that keep that number in the place of such
 * samples.  Error 0A000 where the row's place or its lock is asked for.
 */
extern void shoal_sample_rewrite(Query *query);

#endif							/* PLAN_SAMPLE_H */
