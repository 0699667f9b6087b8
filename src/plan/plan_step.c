/*
 * plan_step.c
 *		Subqueries of a write that are run first, here.
 *
 * A subquery that does not depend on the rows being written has one result for
 * the whole statement.  If it can't run where the rows are (it reads tables of
 * another group, or of this node only) it is computed first, by any way that
 * a SELECT has, and its result goes to the nodes as a parameter: a scalar as
 * it is, the rows of "x IN (SELECT ...)" as an array, "x = ANY ($1)", which
 * treats NULLs and no rows alike.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "plan/plan_expr.h"
#include "plan/plan_step.h"

typedef struct ExtractContext
{
	List	   *targetlist;		/* of the query that computes the results */
} ExtractContext;

/* The parameter that stands for a further column of the row. */
static Param *
add_result(ExtractContext *context, Expr *expr)
{
	Param	   *param = makeNode(Param);
	int			resno = list_length(context->targetlist) + 1;

	context->targetlist = lappend(context->targetlist,
								  makeTargetEntry(expr, resno,
												  psprintf("step%d", resno),
												  false));
	param->paramkind = PARAM_EXEC;
	param->paramid = resno - 1;
	param->paramtype = exprType((Node *) expr);
	param->paramtypmod = exprTypmod((Node *) expr);
	param->paramcollid = exprCollation((Node *) expr);
	param->location = -1;
	return param;
}

/* "x = ANY ($n)" for "x IN (SELECT ...)"; NULL if that can't be written so. */
static Node *
extract_any(ExtractContext *context, SubLink *sublink)
{
	OpExpr	   *test = (OpExpr *) sublink->testexpr;
	Param	   *member;
	SubLink    *array;
	ScalarArrayOpExpr *result;

	if (test == NULL || !IsA(test, OpExpr) || list_length(test->args) != 2)
		return NULL;
	member = (Param *) lsecond(test->args);
	if (!IsA(member, Param) || member->paramkind != PARAM_SUBLINK ||
		!OidIsValid(get_promoted_array_type(member->paramtype)) ||
		type_is_array(member->paramtype))
		return NULL;

	array = makeNode(SubLink);
	array->subLinkType = ARRAY_SUBLINK;
	array->subselect = sublink->subselect;
	array->location = -1;

	result = makeNode(ScalarArrayOpExpr);
	result->opno = test->opno;
	result->opfuncid = test->opfuncid;
	result->useOr = true;
	result->inputcollid = test->inputcollid;
	result->args = list_make2(linitial(test->args),
							  add_result(context, (Expr *) array));
	result->location = -1;
	return (Node *) result;
}

static Node *
extract_mutator(Node *node, ExtractContext *context)
{
	SubLink    *sublink = (SubLink *) node;

	if (node == NULL || IsA(node, Query))
		return node;
	if (IsA(node, SubLink) &&
		!shoal_expr_reaches_out((Query *) sublink->subselect))
	{
		Node	   *replaced = NULL;

		if (sublink->subLinkType == EXPR_SUBLINK ||
			sublink->subLinkType == EXISTS_SUBLINK ||
			sublink->subLinkType == ARRAY_SUBLINK)
			replaced = (Node *) add_result(context, (Expr *) copyObject(sublink));
		else if (sublink->subLinkType == ANY_SUBLINK)
			replaced = extract_any(context, copyObject(sublink));
		if (replaced)
			return replaced;
	}
	return expression_tree_mutator(node, extract_mutator, (void *) context);
}

Query *
shoal_step_extract(Query *query, Query **rest)
{
	ExtractContext context = {0};
	Query	   *copy = copyObject(query);
	Query	   *step;

	copy->jointree = (FromExpr *) extract_mutator((Node *) copy->jointree,
												  &context);
	copy->targetList = (List *) extract_mutator((Node *) copy->targetList,
												&context);
	if (context.targetlist == NIL)
		return NULL;
	*rest = copy;

	step = makeNode(Query);
	step->commandType = CMD_SELECT;
	step->canSetTag = true;
	step->queryId = query->queryId;
	step->jointree = makeFromExpr(NIL, NULL);
	step->targetList = context.targetlist;
	step->hasSubLinks = true;
	return step;
}

static Node *
bind_mutator(Node *node, void *context)
{
	Param	   *param = (Param *) node;

	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && param->paramkind == PARAM_EXEC)
		return (Node *) makeVar(OUTER_VAR, param->paramid + 1, param->paramtype,
								param->paramtypmod, param->paramcollid, 0);
	return expression_tree_mutator(node, bind_mutator, context);
}

void
shoal_step_bind(ShoalFragment *frag)
{
	frag->params = (List *) bind_mutator((Node *) frag->params, NULL);
}
