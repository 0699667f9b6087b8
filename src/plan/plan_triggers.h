/*
 * plan_triggers.h
 *		Statement triggers that the coordinator has to fire.
 */
#ifndef PLAN_TRIGGERS_H
#define PLAN_TRIGGERS_H

#include "nodes/parsenodes.h"

/* What a write does to its target (scope.h). */
extern int	shoal_triggers_events(Query *query);

/*
 * The Shoal tables with statement triggers that a query writes, each with what it
 * does to them: OIDs and events (scope.h) in turns.  whole: the query runs in
 * one shard, which has all of its rows, or on reference tables.  Error 0A000 for
 * triggers with transition tables if it is not.
 */
extern List *shoal_triggers_find(Query *query, bool whole);

/* The same for a write whose triggers are all fired by the coordinator. */
extern List *shoal_triggers_of_target(Query *query);

#endif							/* PLAN_TRIGGERS_H */
