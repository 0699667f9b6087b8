/*
 * plan_order.h
 *		Orders that queries show without an ORDER BY of their own.
 */
#ifndef PLAN_ORDER_H
#define PLAN_ORDER_H

#include "nodes/parsenodes.h"

/* A level's only FROM item, NULL if it has several, or a join. */
extern RangeTblEntry *shoal_order_item(Query *query);

/* Whether a level returns the rows of its only FROM item one by one. */
extern bool shoal_order_is_kept(Query *query);

/* Is there an aggregate whose result depends on the order of its input? */
extern bool shoal_order_is_felt(Node *node);

#endif							/* PLAN_ORDER_H */
