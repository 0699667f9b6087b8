/*
 * plan_clock.h
 *		What asks on a node for the time at which the transaction began.
 */
#ifndef PLAN_CLOCK_H
#define PLAN_CLOCK_H

#include "nodes/parsenodes.h"

/*
 * May what nodes are sent ask for the time?  query: as it was; sent: with
 * parameters for what is worked out here.
 */
extern bool shoal_clock_is_asked(Query *query, Query *sent);

/* Do constraints of a table that is written to, or domains of its columns? */
extern bool shoal_clock_is_asked_by_table(Oid relid);

#endif							/* PLAN_CLOCK_H */
