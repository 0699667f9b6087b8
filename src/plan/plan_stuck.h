/*
 * plan_stuck.h
 *		What must not run on a node, whatever its arguments are.
 */
#ifndef PLAN_STUCK_H
#define PLAN_STUCK_H

#include "nodes/pg_list.h"

/* Whether a function must not; a check_function_callback. */
extern bool shoal_stuck_function(Oid funcid, void *context);

/* Whether the node itself is of a type or operator in pg_temp, which nodes don't have. */
extern bool shoal_stuck_in_temp(Node *node);

/*
 * Whether the node itself takes an object's name (regclass and the like) for its number,
 * or makes a name of a number.
 */
extern bool shoal_stuck_numbers_object(Node *node);

/*
 * If the node compares two names for equality, which core does by their numbers: the two
 * arguments as names, else NIL.
 */
extern List *shoal_stuck_compared_names(Node *node);

#endif							/* PLAN_STUCK_H */
