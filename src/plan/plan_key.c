/*
 * plan_key.c
 *		Keys of distributed tables: what equals them, where that puts a row.
 *
 * Conditions of a query level that are equalities connect columns with each
 * other and with values.  Following them from a key column finds the other
 * keys that it meets and the values that pin it to a shard.  Only equality as
 * the table's own hashing understands it counts: of the same operator family,
 * under a collation that tells the same values apart.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_collation.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "plan/plan_expr.h"
#include "plan/plan_key.h"

/*
 * Collects the equalities among ANDed conditions.  USING columns are replaced
 * by what they stand for.
 */
List *
shoal_key_equalities(Query *query, List *quals)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, quals)
	{
		Node	   *qual = (Node *) lfirst(lc);
		ShoalEquality   *eq;
		List	   *args;
		bool		any_of = false;
		Oid			opno;
		Oid			collation;

		if (IsA(qual, OpExpr))
		{
			opno = ((OpExpr *) qual)->opno;
			collation = ((OpExpr *) qual)->inputcollid;
			args = ((OpExpr *) qual)->args;
		}
		else if (IsA(qual, ScalarArrayOpExpr) &&
				 ((ScalarArrayOpExpr *) qual)->useOr)
		{
			opno = ((ScalarArrayOpExpr *) qual)->opno;
			collation = ((ScalarArrayOpExpr *) qual)->inputcollid;
			args = ((ScalarArrayOpExpr *) qual)->args;
			any_of = true;
		}
		else
			continue;
		if (list_length(args) != 2)
			continue;
		args = (List *) shoal_flatten_join_alias_vars(query, (Node *) copyObject(args));
		eq = palloc(sizeof(ShoalEquality));
		eq->opno = opno;
		eq->collation = collation;
		eq->any_of = any_of;
		eq->left = shoal_expr_strip(linitial(args));
		eq->right = shoal_expr_strip(lsecond(args));
		result = lappend(result, eq);
	}
	return result;
}

/* Does the equality compare as the table's i-th key column is hashed? */
bool
shoal_key_equality_fits(const ShoalEquality *eq, const ShoalTable *table, int i)
{
	if (get_op_opfamily_strategy(eq->opno, table->keyopfamily[i]) !=
		HTEqualStrategyNumber)
		return false;
	if (!OidIsValid(table->keycollation[i]) ||
		eq->collation == table->keycollation[i])
		return true;
	return OidIsValid(eq->collation) &&
		get_collation_isdeterministic(eq->collation) &&
		get_collation_isdeterministic(table->keycollation[i]);
}

bool
shoal_key_is_column(Node *node, const ShoalKeyColumn *column)
{
	return node && IsA(node, Var) && ((Var *) node)->varlevelsup == 0 &&
		((Var *) node)->varno == column->varno &&
		((Var *) node)->varattno == column->attno;
}

/*
 * All expressions that equal a key column: the column itself and what chains
 * of equalities lead to.  Arrays that have it are appended to *arrays.
 */
List *
shoal_key_equals(const ShoalKeyColumn *column, const ShoalTable *table, int i,
				 List *equalities, List **arrays)
{
	List	   *found;
	ListCell   *lc;
	int			pos = 0;

	found = list_make1(makeVar(column->varno, column->attno, InvalidOid, -1,
							   InvalidOid, 0));
	while (pos < list_length(found))
	{
		Node	   *known = list_nth(found, pos++);
		ShoalKeyColumn known_column;

		/* chains go through columns of this query only */
		if (!IsA(known, Var) || ((Var *) known)->varlevelsup != 0)
			continue;
		known_column.varno = ((Var *) known)->varno;
		known_column.attno = ((Var *) known)->varattno;
		foreach(lc, equalities)
		{
			ShoalEquality   *eq = (ShoalEquality *) lfirst(lc);
			Node	   *other;

			if (shoal_key_is_column(eq->left, &known_column))
				other = eq->right;
			else if (!eq->any_of && shoal_key_is_column(eq->right, &known_column))
				other = eq->left;
			else
				continue;
			if (!shoal_key_equality_fits(eq, table, i))
				continue;
			if (eq->any_of)
			{
				if (arrays)
					*arrays = lappend(*arrays, other);
			}
			else if (!list_member_ptr(found, other))
			{
				ListCell   *lc2;
				bool		seen = false;

				foreach(lc2, found)
				{
					if (IsA(other, Var) && IsA(lfirst(lc2), Var) &&
						((Var *) other)->varno == ((Var *) lfirst(lc2))->varno &&
						((Var *) other)->varattno == ((Var *) lfirst(lc2))->varattno &&
						((Var *) other)->varlevelsup == ((Var *) lfirst(lc2))->varlevelsup)
						seen = true;
				}
				if (!seen)
					found = lappend(found, other);
			}
		}
	}
	return found;
}

/* Are two keys equal, column by column? */
static bool
keys_meet(const ShoalKey *a, const ShoalKey *b, const ShoalTable *table,
		  List *equalities)
{
	for (int i = 0; i < table->nkeys; i++)
	{
		List	   *found = shoal_key_equals(&a->columns[i], table, i,
											 equalities, NULL);
		ListCell   *lc;
		bool		meets = false;

		foreach(lc, found)
		{
			if (shoal_key_is_column(lfirst(lc), &b->columns[i]))
				meets = true;
		}
		if (!meets)
			return false;
	}
	return true;
}

/*
 * Is it a key, or whichever of several is not NULL?  What outer joins leave of keys
 * tells a row's shard, so the merged column of FULL JOIN ... USING does.
 */
static bool
is_key(const ShoalShape *shape, Node *node)
{
	ListCell   *lc;

	if (IsA(node, CoalesceExpr))
	{
		foreach(lc, ((CoalesceExpr *) node)->args)
		{
			if (!is_key(shape, shoal_expr_strip((Node *) lfirst(lc))))
				return false;
		}
		return true;
	}
	foreach(lc, shape->keys)
	{
		if (shoal_key_is_column(node, ((ShoalKey *) lfirst(lc))->columns))
			return true;
	}
	return false;
}

bool
shoal_key_meet(const ShoalShape *a, const ShoalShape *b, List *equalities)
{
	const ShoalTable *table = shoal_meta_table(a->relid);
	ListCell   *lca;
	ListCell   *lcb;

	if (a->nkeycols == 0 || table == NULL)
		return false;
	foreach(lca, a->keys)
	{
		foreach(lcb, b->keys)
		{
			if (keys_meet(lfirst(lca), lfirst(lcb), table, equalities))
				return true;
		}
	}
	foreach(lca, a->nkeycols == 1 ? equalities : NIL)
	{
		ShoalEquality *eq = (ShoalEquality *) lfirst(lca);

		if (!eq->any_of && shoal_key_equality_fits(eq, table, 0) &&
			((is_key(a, eq->left) && is_key(b, eq->right)) ||
			 (is_key(a, eq->right) && is_key(b, eq->left))))
			return true;
	}
	return false;
}

/*
 * Looks for values that a key of the shape is known to have, and notes them
 * as its pin.  One value is better than an array of them.
 */
void
shoal_key_pin(ShoalShape *shape, List *equalities)
{
	const ShoalTable *table;
	ListCell   *lc;

	if (shape->kind != SHOAL_SHAPE_SHARDED || shape->single ||
		shape->nkeycols == 0)
		return;
	table = shoal_meta_table(shape->relid);
	foreach(lc, shape->keys)
	{
		ShoalKey   *key = (ShoalKey *) lfirst(lc);
		List	   *pin = NIL;
		List	   *arrays = NIL;
		ListCell   *lc2;

		for (int i = 0; i < shape->nkeycols; i++)
		{
			foreach(lc2, shoal_key_equals(&key->columns[i], table, i,
										  equalities, &arrays))
			{
				Node	   *value = lfirst(lc2);

				if (shoal_expr_is_closed(value) &&
					!contain_volatile_functions(value) &&
					shoal_meta_hashable_as(table, i, exprType(value)))
				{
					pin = lappend(pin, value);
					break;
				}
			}
			if (list_length(pin) <= i)
				break;
		}
		if (list_length(pin) == shape->nkeycols)
		{
			shape->pin = pin;
			shape->pin_is_array = false;
			shape->single = true;
			return;
		}
		foreach(lc2, arrays)
		{
			Node	   *value = lfirst(lc2);

			if (shape->pin == NIL && shape->nkeycols == 1 &&
				shoal_expr_is_closed(value) &&
				!contain_volatile_functions(value) &&
				shoal_meta_hashable_as(table, 0,
									   get_element_type(exprType(value))))
			{
				shape->pin = list_make1(value);
				shape->pin_is_array = true;
			}
		}
	}
}

/* The shard of a pin of constants; -1 if it is not known yet. */
static int
constant_shard(const ShoalShape *shape)
{
	const ShoalTable *table = shoal_meta_table(shape->relid);
	Datum		values[PARTITION_MAX_KEYS];
	bool		nulls[PARTITION_MAX_KEYS];
	Oid			types[PARTITION_MAX_KEYS];

	if (shape->nkeycols == 0)
		return 0;
	if (table == NULL || list_length(shape->pin) != shape->nkeycols)
		return -1;
	for (int i = 0; i < shape->nkeycols; i++)
	{
		Const	   *value = (Const *) list_nth(shape->pin, i);

		if (!IsA(value, Const) || value->constisnull)
			return -1;
		values[i] = value->constvalue;
		nulls[i] = false;
		types[i] = value->consttype;
	}
	return shoal_meta_shard_of(table, values, nulls, types);
}

/* Two single-shard shapes of one group: surely the same shard? */
bool
shoal_key_same_shard(const ShoalShape *a, const ShoalShape *b)
{
	int			shard;

	if (a->group_id != b->group_id)
		return false;
	if (a->nkeycols == 0 || equal(a->pin, b->pin))
		return true;
	shard = constant_shard(a);
	return shard >= 0 && shard == constant_shard(b);
}
