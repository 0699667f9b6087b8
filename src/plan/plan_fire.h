/*
 * plan_fire.h
 *		Writes whose row triggers are fired by the coordinator.
 */
#ifndef PLAN_FIRE_H
#define PLAN_FIRE_H

#include "nodes/parsenodes.h"
#include "utils/relcache.h"

#include "meta/meta.h"
#include "plan/plan_fragment.h"

/*
 * Has the table triggers for what the query does that the coordinator is to
 * fire, or is there another reason to write its rows one by one?  For a write of a
 * Shoal table.
 */
extern bool shoal_fire_is_wanted(Query *query, const ShoalTable *table);

/*
 * Has the table of a MERGE statement triggers with transition tables for what it does?
 * Sets whether they could be filled here.
 */
extern bool shoal_fire_fills_tables(Query *query, const ShoalTable *table,
									bool *possible);

/*
 * Is a MERGE to be taken apart, if that can be, since there are row triggers that may
 * look at tables?
 */
extern bool shoal_fire_is_wanted_for_merge(Query *query, const ShoalTable *table);

/* Is it wanted for COPY FROM, which can become an INSERT then. */
extern bool shoal_fire_is_wanted_for_copy(Relation rel);

/*
 * Takes such a write apart: *select makes its rows, and locks those of the table;
 * the node described by *insert, on top of its plan, does the rest.  What that
 * returns are *columns, from which *returned (a list for shoal_returning_put) is
 * worked out; NIL without RETURNING.  False if that can't be done: then
 * triggers have to fire on nodes.
 */
extern bool shoal_fire_split(Query *query, const ShoalTable *table,
							 Query **select, ShoalInsert *insert,
							 List **columns, List **returned);

#endif							/* PLAN_FIRE_H */
