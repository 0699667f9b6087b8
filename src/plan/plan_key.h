/*
 * plan_key.h
 *		Keys of distributed tables: what equals them, where that puts a row.
 */
#ifndef PLAN_KEY_H
#define PLAN_KEY_H

#include "meta/meta.h"
#include "plan/plan_shape.h"

/* An equality that holds for all rows; sides are stripped of relabeling. */
typedef struct ShoalEquality
{
	Oid			opno;
	Oid			collation;
	Node	   *left;
	Node	   *right;
	bool		any_of;			/* left = ANY (right) */
} ShoalEquality;

/*
 * The equalities among ANDed conditions of a query level.  USING columns are
 * replaced by what they stand for.
 */
extern List *shoal_key_equalities(Query *query, List *quals);

/* Does the equality compare as the table's i-th key column is hashed? */
extern bool shoal_key_equality_fits(const ShoalEquality *eq,
									const ShoalTable *table, int i);

/* Is the expression that column of the level? */
extern bool shoal_key_is_column(Node *node, const ShoalKeyColumn *column);

/*
 * All expressions that equal a key column: the column itself and what chains
 * of equalities lead to.  Arrays that have it are appended to *arrays.
 */
extern List *shoal_key_equals(const ShoalKeyColumn *column,
							  const ShoalTable *table, int i,
							  List *equalities, List **arrays);

/* Is a key of one shape equal to a key of the other, column by column? */
extern bool shoal_key_meet(const ShoalShape *a, const ShoalShape *b,
						   List *equalities);

/*
 * Looks for values that a key of the shape is known to have, and notes them
 * as its pin.  One value is better than an array of them.
 */
extern void shoal_key_pin(ShoalShape *shape, List *equalities);

/* Two single-shard shapes: surely the same shard? */
extern bool shoal_key_same_shard(const ShoalShape *a, const ShoalShape *b);

#endif							/* PLAN_KEY_H */
