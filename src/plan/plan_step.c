/*
 * plan_step.c
 *		Subqueries that are run first, here, as values for a fragment.
 *
 * A subquery that does not depend on the rows of the query around it has one
 * result for the whole statement.  If it can't run where these rows are (it
 * reads tables of another group, or of this node only) it is computed first, by
 * any way that a SELECT has, and its result goes to the nodes as a parameter: a
 * scalar as it is, the rows of "x IN (SELECT ...)" as an array, "x = ANY ($1)",
 * which treats NULLs and no rows alike.  The shards that the fragment needs are
 * known only then: a step may be the value that a key equals.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "plan/plan_expr.h"
#include "plan/plan_part.h"
#include "plan/plan_shape.h"
#include "plan/plan_size.h"
#include "plan/plan_step.h"
#include "plan/plan_text.h"

typedef struct ExtractContext
{
	bool		is_select;
	ParamListInfo params;
	bool		any;			/* extracted */
} ExtractContext;

/* The step that stands for an expression. */
static Node *
make_step(Node *expr)
{
	Node	   *step = shoal_expr_make_step(list_length(shoal_planning->steps),
											expr);

	shoal_planning->steps = lappend(shoal_planning->steps, expr);
	return step;
}

static Node *
add_step(ExtractContext *context, Node *expr)
{
	context->any = true;
	return make_step(expr);
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
							  add_step(context, (Node *) array));
	result->location = -1;
	return (Node *) result;
}

/* Is a subquery of a SELECT better computed here than on the nodes? */
static bool
is_for_here(SubLink *sublink, ExtractContext *context)
{
	Query	   *query = (Query *) sublink->subselect;
	ShoalAnalysis analysis;
	ShoalSize	size;

	shoal_shape_analyze(query, &analysis);
	if (analysis.whole.kind == SHOAL_SHAPE_ANY ||
		!shoal_text_is_for_user(query))
		return false;
	if (sublink->subLinkType == EXPR_SUBLINK ||
		sublink->subLinkType == EXISTS_SUBLINK)
		return true;
	return shoal_size_of_query(query, context->params, &size) &&
		size.bytes < shoal_move_threshold * 1024.0;
}

static Node *
extract_sublink(SubLink *sublink, ExtractContext *context)
{
	if (shoal_expr_reaches_out((Query *) sublink->subselect) ||
		shoal_expr_reads_transition((Query *) sublink->subselect) ||
		(context->is_select && !is_for_here(sublink, context)))
		return NULL;
	switch (sublink->subLinkType)
	{
		case EXPR_SUBLINK:
			if (exprType((Node *) sublink) == RECORDOID)
				return NULL;
			return add_step(context, copyObject((Node *) sublink));
		case EXISTS_SUBLINK:
		case ARRAY_SUBLINK:
			return add_step(context, copyObject((Node *) sublink));
		case ANY_SUBLINK:
			return extract_any(context, copyObject(sublink));
		default:
			return NULL;
	}
}

static Node *
extract_mutator(Node *node, ExtractContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
	{
		if (!context->is_select)
			return node;
		return (Node *) query_tree_mutator((Query *) node, extract_mutator,
										   (void *) context, 0);
	}
	if (IsA(node, SubLink))
	{
		Node	   *replaced = extract_sublink((SubLink *) node, context);

		if (replaced)
			return replaced;
	}
	return expression_tree_mutator(node, extract_mutator, (void *) context);
}

bool
shoal_step_extract(Query *query, ParamListInfo params)
{
	ExtractContext context = {query->commandType == CMD_SELECT, params, false};

	/* a node adds policies by itself, with the subqueries in them */
	if (context.is_select && shoal_expr_has_policies(query))
		return false;
	query->jointree = (FromExpr *) extract_mutator((Node *) query->jointree,
												   &context);
	if (context.is_select)
	{
		query->rtable = range_table_mutator(query->rtable, extract_mutator,
											(void *) &context, 0);
		query->cteList = (List *) extract_mutator((Node *) query->cteList,
												  &context);
	}
	else
		query->targetList = (List *) extract_mutator((Node *) query->targetList,
													 &context);
	return context.any;
}

/* "SELECT expression" */
static Query *
make_step_query(Node *expr)
{
	Query	   *query = makeNode(Query);

	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->jointree = makeFromExpr(NIL, NULL);
	query->targetList = list_make1(makeTargetEntry((Expr *) expr, 1, "step",
												   false));
	query->hasSubLinks = true;
	return query;
}

static bool
has_step_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param))
		return shoal_expr_is_step(node);
	return expression_tree_walker(node, has_step_walker, context);
}

static Node *
undo_steps_mutator(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && shoal_expr_is_step(node))
		return copyObject(list_nth(shoal_planning->steps,
								   shoal_expr_step_number(node)));
	return expression_tree_mutator(node, undo_steps_mutator, context);
}

List *
shoal_step_combine(List *params)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, params)
	{
		Node	   *param = lfirst(lc);

		if (!IsA(param, Param) && has_step_walker(param, NULL))
			param = make_step(undo_steps_mutator(param, NULL));
		result = lappend(result, param);
	}
	return result;
}

List *
shoal_step_compile(List *params)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, params)
	{
		Node	   *param = lfirst(lc);
		ShoalFragmentStep *step;
		ShoalShape	shape = {.kind = SHOAL_SHAPE_ANY};

		if (!shoal_expr_is_step(param))
			continue;
		step = palloc(sizeof(ShoalFragmentStep));
		step->param = foreach_current_index(lc);
		step->source =
			shoal_text_compile(make_step_query(list_nth(shoal_planning->steps,
														shoal_expr_step_number(param))),
							   &shape);
		step->source->group_id = SHOAL_GROUP_HERE;
		result = lappend(result, step);
	}
	return result;
}
