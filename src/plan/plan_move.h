/*
 * plan_move.h
 *		UPDATE of the distribution column.
 */
#ifndef PLAN_MOVE_H
#define PLAN_MOVE_H

#include "nodes/parsenodes.h"
#include "meta/meta.h"

/* Do these targets of the query's result relation change its key? */
extern bool shoal_move_is_needed(Query *query, List *targetlist,
								 const ShoalTable *table);

/*
 * Makes a DELETE that returns the new rows, and an INSERT with one target for
 * each of their columns and without a source.  Error 0A000 if the two would
 * not do what the UPDATE does.
 */
extern void shoal_move_split(Query *query, Query **removal, Query **insertion);

#endif							/* PLAN_MOVE_H */
