/*
 * plan_clock.h
 *		What asks on a node for the time at which the transaction began.
 */
#ifndef PLAN_CLOCK_H
#define PLAN_CLOCK_H

#include "nodes/parsenodes.h"

/* May policies in the query ask for it, or constraints of the table that it writes to? */
extern bool shoal_clock_is_asked(Query *query);

/* Do constraints of a table that is written to, or domains of its columns? */
extern bool shoal_clock_is_asked_by_table(Oid relid);

#endif							/* PLAN_CLOCK_H */
