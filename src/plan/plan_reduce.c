/*
 * plan_reduce.c
 *		Rows that need not be moved, since nothing will be joined with them.
 *
 * If a table's rows count only where a column of it equals one of another table,
 * of which few rows satisfy the conditions on that one alone, then only the rows
 * whose column is among those need be moved: a semi-join before the join.  The
 * other table may be joined beside it, or be one of the query around, to whose
 * rows a correlated subquery is tied; there a row of the other table that fails
 * its conditions counts for nothing whatever the subquery returns for it.
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "plan/plan_expr.h"
#include "plan/plan_query.h"
#include "plan/plan_reduce.h"
#include "plan/plan_text.h"

/* a reducer is used if it keeps no more than this part of the rows ... */
#define MAX_KEPT		0.3

/* ... and if those are so many times as large as the other table's */
#define MIN_RATIO		4

/* The table that a column without more is of, as seen from a leaf's level. */
static ShoalLeaf *
table_of(ShoalLeaves *leaves, ShoalLeaf *leaf, Node *expr)
{
	Var		   *var = (Var *) shoal_expr_strip(expr);

	if (var == NULL || !IsA(var, Var) || var->varattno <= 0 ||
		var->varlevelsup > 1)
		return NULL;
	for (int i = 0; i < leaves->ntables; i++)
	{
		ShoalLeaf  *other = &leaves->tables[i];

		if (other->varno == var->varno &&
			other->level == (var->varlevelsup == 0 ? leaf->level : leaf->outer))
			return other;
	}
	return NULL;
}

/* "SELECT expr FROM table WHERE conditions on it alone" */
static Query *
make_subselect(ShoalLeaf *other, Node *expr)
{
	RangeTblEntry *rte = copyObject(&other->saved);
	Query	   *query = shoal_query_from(rte);
	List	   *quals = copyObject(other->quals);

	expr = copyObject(expr);
	((Var *) shoal_expr_strip(expr))->varlevelsup = 0;
	ChangeVarNodes(expr, other->varno, 1, 0);
	ChangeVarNodes((Node *) quals, other->varno, 1, 0);
	rte->inFromCl = true;
	shoal_query_copy_permissions(query, other->level, rte);
	query->jointree->quals = (Node *) make_ands_explicit(quals);
	query->targetList = list_make1(makeTargetEntry((Expr *) expr, 1, "key", false));
	return query;
}

/* "column = ANY (subselect)" */
static Node *
make_reducer(OpExpr *op, Oid opno, Node *column, Query *subselect)
{
	SubLink    *sublink = makeNode(SubLink);
	Node	   *expr = (Node *) ((TargetEntry *) linitial(subselect->targetList))->expr;
	Param	   *param = makeNode(Param);
	Expr	   *test;

	param->paramkind = PARAM_SUBLINK;
	param->paramid = 1;
	param->paramtype = exprType(expr);
	param->paramtypmod = exprTypmod(expr);
	param->paramcollid = exprCollation(expr);
	param->location = -1;
	test = make_opclause(opno, BOOLOID, false, (Expr *) copyObject(column),
						 (Expr *) param, InvalidOid, op->inputcollid);
	set_opfuncid((OpExpr *) test);
	sublink->subLinkType = ANY_SUBLINK;
	sublink->testexpr = (Node *) test;
	sublink->operName = list_make1(makeString(get_opname(opno)));
	sublink->subselect = (Node *) subselect;
	sublink->location = -1;
	return (Node *) sublink;
}

/* The part of a table's rows that its own conditions leave. */
static double
part_left(ShoalLeaf *other, ParamListInfo params)
{
	List	   *quals = other->quals;
	ShoalSize	all;
	bool		known;

	if (other->is_local)
		return 1;
	other->quals = NIL;
	known = shoal_size_of_query(shoal_leaf_source(other), params, &all);
	other->quals = quals;
	return known && all.rows > 0 ? Min(other->size.rows / all.rows, 1.0) : 1;
}

/* One of the conditions as a reducer, if it is good; *kept: how good. */
static Node *
try_reducer(ShoalLeaves *leaves, ShoalLeaf *leaf, OpExpr *op,
			ParamListInfo params, double *kept)
{
	RegProcedure left;
	RegProcedure right;

	if (!IsA(op, OpExpr) || list_length(op->args) != 2 ||
		!get_op_hash_functions(op->opno, &left, &right))
		return NULL;
	for (int i = 0; i < 2; i++)
	{
		Node	   *column = list_nth(op->args, i);
		Node	   *value = list_nth(op->args, 1 - i);
		ShoalLeaf  *other = table_of(leaves, leaf, value);
		Oid			opno = i == 0 ? op->opno : get_commutator(op->opno);
		Query	   *subselect;
		double		part;

		if (other == NULL || other == leaf || other->is_target ||
			other->quals == NIL || !OidIsValid(opno) ||
			table_of(leaves, leaf, column) != leaf)
			continue;
		part = part_left(other, params);
		if (shoal_move_threshold > 0 &&
			(part > MAX_KEPT ||
			 leaf->size.bytes * part < other->size.bytes * MIN_RATIO))
			continue;
		subselect = make_subselect(other, value);
		if (part > *kept || !shoal_text_is_for_user(subselect))
			continue;
		*kept = part;
		return make_reducer(op, opno, column, subselect);
	}
	return NULL;
}

void
shoal_reduce_leaves(ShoalLeaves *leaves, ParamListInfo params)
{
	for (int i = 0; i < leaves->ntables; i++)
	{
		ShoalLeaf  *leaf = &leaves->tables[i];
		double		kept = 1;
		ListCell   *lc;

		if (!leaf->movable || leaf->is_local ||
			leaf->size.bytes < shoal_move_threshold * 1024.0)
			continue;
		foreach(lc, leaf->above)
		{
			Node	   *reducer = try_reducer(leaves, leaf, lfirst(lc), params,
											  &kept);

			if (reducer)
				leaf->reducer = reducer;
		}
		leaf->moved.rows = leaf->size.rows * kept;
		leaf->moved.bytes = leaf->size.bytes * kept;
	}
}
