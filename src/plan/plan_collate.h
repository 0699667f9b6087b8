/*
 * plan_collate.h
 *		Collations that a query's text has to say.
 */
#ifndef PLAN_COLLATE_H
#define PLAN_COLLATE_H

#include "nodes/parsenodes.h"

/*
 * Puts COLLATE, in place, where the printed query would be understood with
 * another collation than the tree has.
 */
extern void shoal_collate_show(Query *query);

#endif							/* PLAN_COLLATE_H */
