/*
 * plan_sequence.h
 *		Sequences that give each value once in the whole cluster.
 */
#ifndef PLAN_SEQUENCE_H
#define PLAN_SEQUENCE_H

#include "nodes/parsenodes.h"

/*
 * True if it takes more than this node's sequences: this is not the node with
 * the lowest id, whose sequences count, or another one may have to go on.
 */
extern bool shoal_sequence_is_elsewhere(void);

/* Whether the expression's own function is nextval(), setval(), currval() or lastval(). */
extern bool shoal_sequence_is_moved_by(Node *node);

/* Whether it is a call of shoal.cluster_nextval(), which is evaluated here always. */
extern bool shoal_sequence_is_value(Node *node);

/*
 * Replaces nextval() by shoal.cluster_nextval(), setval() by shoal.cluster_setval(),
 * and so on, at all levels of a query.
 */
extern Query *shoal_sequence_rewrite(Query *query);

/* The same for an expression: a copy. */
extern Node *shoal_sequence_rewrite_expr(Node *node);

#endif							/* PLAN_SEQUENCE_H */
