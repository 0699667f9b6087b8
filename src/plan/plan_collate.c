/*
 * plan_collate.c
 *		Collations that a query's text has to say.
 *
 * A tree says of each operator which collation it uses.  A text says so only by
 * COLLATE, which is gone once core's planner has simplified a condition, and
 * by the collations of columns and expressions.  An expression that became a
 * parameter had one, too; the parameter has that of its type.  So before a
 * query is printed, the collations are worked out as the parser on the node will
 * do it, and where something else comes of that, COLLATE is put in.
 */
#include "postgres.h"

#include "catalog/pg_aggregate.h"
#include "catalog/pg_collation.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"

#include "plan/plan_collate.h"

/* The collation that an expression has when its text is read. */
static Oid
read_collation(Node *node)
{
	Node	   *arg;
	Oid			collation;

	switch (nodeTag(node))
	{
		case T_Param:
			if (((Param *) node)->paramkind != PARAM_EXTERN)
				return exprCollation(node);
			return get_typcollation(exprType(node));
		case T_RelabelType:
			arg = (Node *) ((RelabelType *) node)->arg;
			break;
		case T_CoerceViaIO:
			arg = (Node *) ((CoerceViaIO *) node)->arg;
			break;
		case T_ArrayCoerceExpr:
			arg = (Node *) ((ArrayCoerceExpr *) node)->arg;
			break;
		case T_SubscriptingRef:
			arg = (Node *) ((SubscriptingRef *) node)->refexpr;
			break;
		default:
			return exprCollation(node);
	}
	if (!OidIsValid(get_typcollation(exprType(node))))
		return InvalidOid;
	collation = read_collation(arg);
	return OidIsValid(collation) ? collation : get_typcollation(exprType(node));
}

static bool
is_explicit(Node *node)
{
	while (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	if (IsA(node, Const))
		return exprCollation(node) != get_typcollation(exprType(node));
	return IsA(node, CollateExpr);
}

/* Something that has no text of its own. */
static bool
is_placeholder(Node *node)
{
	while (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return IsA(node, CaseTestExpr) ||
		(IsA(node, Param) && ((Param *) node)->paramkind != PARAM_EXTERN);
}

static Node *
collate(Node *node, Oid collation)
{
	CollateExpr *result = makeNode(CollateExpr);

	result->arg = (Expr *) node;
	result->collOid = collation;
	result->location = -1;
	return (Node *) result;
}

/* Will the parser take this collation for what has these arguments? */
static bool
is_read_as(List *args, Oid collation)
{
	Oid			found = InvalidOid;
	ListCell   *lc;

	foreach(lc, args)
	{
		Oid			own = read_collation(lfirst(lc));

		if (is_explicit(lfirst(lc)))
			return true;
		if (!OidIsValid(own) || own == found)
			continue;
		if (!OidIsValid(found) || found == DEFAULT_COLLATION_OID)
			found = own;
		else if (own != DEFAULT_COLLATION_OID)
			return false;
	}
	return found == collation || !OidIsValid(found);
}

/* Gives one of the arguments a COLLATE if that is needed. */
static void
show(List *args, Oid collation)
{
	ListCell   *lc;

	if (!OidIsValid(collation) || is_read_as(args, collation))
		return;
	foreach(lc, args)
	{
		if (OidIsValid(read_collation(lfirst(lc))) && !is_placeholder(lfirst(lc)))
		{
			lfirst(lc) = collate(lfirst(lc), collation);
			return;
		}
	}
}

static Expr *
show_one(Expr *expr, Oid collation)
{
	List	   *args = list_make1(expr);

	show(args, collation);
	return linitial(args);
}

static void
show_in_case(CaseExpr *expr)
{
	List	   *results = NIL;
	ListCell   *lc;

	foreach(lc, expr->args)
		results = lappend(results, lfirst_node(CaseWhen, lc)->result);
	if (expr->defresult)
		results = lappend(results, expr->defresult);
	show(results, expr->casecollid);
	foreach(lc, expr->args)
		lfirst_node(CaseWhen, lc)->result = list_nth(results, foreach_current_index(lc));
	if (expr->defresult)
		expr->defresult = llast(results);
}

static void
show_in_aggregate(Aggref *agg)
{
	List	   *args = NIL;
	ListCell   *lc;

	/* others tell what they are ordered by from what they are called with */
	if (agg->aggkind != AGGKIND_NORMAL)
		return;
	foreach(lc, agg->args)
		args = lappend(args, lfirst_node(TargetEntry, lc)->expr);
	show(args, agg->inputcollid);
	foreach(lc, agg->args)
		lfirst_node(TargetEntry, lc)->expr = list_nth(args, foreach_current_index(lc));
}

static void
show_in_row_compare(RowCompareExpr *expr)
{
	ListCell   *left;
	ListCell   *right;
	ListCell   *collation;

	forthree(left, expr->largs, right, expr->rargs, collation, expr->inputcollids)
	{
		List	   *args = list_make2(lfirst(left), lfirst(right));

		show(args, lfirst_oid(collation));
		lfirst(left) = linitial(args);
		lfirst(right) = lsecond(args);
	}
}

/* The rows of VALUES have one collation per column. */
static void
show_in_values(RangeTblEntry *rte)
{
	ListCell   *lc;

	foreach(lc, rte->colcollations)
	{
		int			n = foreach_current_index(lc);
		List	   *column = NIL;
		ListCell   *lcr;

		if (!OidIsValid(lfirst_oid(lc)))
			continue;
		foreach(lcr, rte->values_lists)
			column = lappend(column, list_nth(lfirst(lcr), n));
		show(column, lfirst_oid(lc));
		foreach(lcr, rte->values_lists)
			list_nth_cell(lfirst(lcr), n)->ptr_value =
				list_nth(column, foreach_current_index(lcr));
	}
}

static void
show_in_expression(Node *node)
{
	switch (nodeTag(node))
	{
		case T_FuncExpr:
			show(((FuncExpr *) node)->args, ((FuncExpr *) node)->inputcollid);
			break;
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
			show(((OpExpr *) node)->args, ((OpExpr *) node)->inputcollid);
			break;
		case T_ScalarArrayOpExpr:
			show(((ScalarArrayOpExpr *) node)->args,
				 ((ScalarArrayOpExpr *) node)->inputcollid);
			break;
		case T_WindowFunc:
			show(((WindowFunc *) node)->args, ((WindowFunc *) node)->inputcollid);
			break;
		case T_MinMaxExpr:
			show(((MinMaxExpr *) node)->args, ((MinMaxExpr *) node)->inputcollid);
			break;
		case T_CoalesceExpr:
			show(((CoalesceExpr *) node)->args, ((CoalesceExpr *) node)->coalescecollid);
			break;
		case T_ArrayExpr:
			show(((ArrayExpr *) node)->elements, ((ArrayExpr *) node)->array_collid);
			break;
		case T_Aggref:
			show_in_aggregate((Aggref *) node);
			break;
		case T_CaseExpr:
			show_in_case((CaseExpr *) node);
			break;
		case T_RowCompareExpr:
			show_in_row_compare((RowCompareExpr *) node);
			break;
		case T_RelabelType:
			((RelabelType *) node)->arg =
				show_one(((RelabelType *) node)->arg, ((RelabelType *) node)->resultcollid);
			break;
		default:
			break;
	}
}

static bool
show_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		shoal_collate_show((Query *) node);
		return false;
	}
	if (IsA(node, RangeTblEntry))
	{
		if (((RangeTblEntry *) node)->rtekind == RTE_VALUES)
			show_in_values((RangeTblEntry *) node);
		return false;
	}
	show_in_expression(node);
	return expression_tree_walker(node, show_walker, context);
}

void
shoal_collate_show(Query *query)
{
	ListCell   *lc;

	(void) query_tree_walker(query, show_walker, NULL,
							 QTW_EXAMINE_RTES_BEFORE | QTW_IGNORE_JOINALIASES);
	if (query->commandType != CMD_SELECT)
		return;
	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		tle->expr = show_one(tle->expr, exprCollation((Node *) tle->expr));
	}
}
