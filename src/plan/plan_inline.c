/*
 * plan_inline.c
 *		Functions in FROM whose body takes their place.
 *
 * Core's planner puts the query of a simple SQL function that returns rows where it is
 * called in FROM.  It would do so after we have looked which tables a query reads, and
 * read what this node has of a distributed table.  So it is done before.
 */
#include "postgres.h"

#include "access/transam.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"

#include "base/base_compat.h"
#include "plan/plan_inline.h"

bool
shoal_inline_may(const RangeTblEntry *rte)
{
	Node	   *function;

	if (rte->rtekind != RTE_FUNCTION || list_length(rte->functions) != 1)
		return false;
	function = linitial_node(RangeTblFunction, rte->functions)->funcexpr;
	return IsA(function, FuncExpr) && ((FuncExpr *) function)->funcid >= FirstNormalObjectId;
}

/* The body's columns are called what the function's are: that is how texts name them. */
static void
name_columns(Query *body, List *names)
{
	ListCell   *name = list_head(names);
	ListCell   *lc;

	foreach(lc, body->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		if (tle->resjunk || name == NULL)
			continue;
		tle->resname = pstrdup(strVal(lfirst(name)));
		name = lnext(names, name);
	}
}

static void
inline_function(RangeTblEntry *rte, PlannerInfo *root)
{
	Query	   *body;

	rte->functions = (List *) eval_const_expressions(root, (Node *) rte->functions);
	body = inline_set_returning_function(root, rte);
	if (body == NULL)
		return;
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = body;
	name_columns(body, rte->eref->colnames);
	rte->security_barrier = false;
	rte->functions = NIL;
	rte->funcordinality = false;
}

/* What has taken a function's place is looked through, too. */
static bool
inline_walker(Node *node, PlannerInfo *root)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		if (shoal_inline_may((RangeTblEntry *) node))
			inline_function((RangeTblEntry *) node, root);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, inline_walker, (void *) root,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, inline_walker, (void *) root);
}

PlannerGlobal *
shoal_inline_functions(Query *query)
{
	PlannerInfo *root = makeNode(PlannerInfo);

	root->glob = makeNode(PlannerGlobal);
	root->parse = query;
	root->query_level = 1;
	root->planner_cxt = CurrentMemoryContext;
	(void) inline_walker((Node *) query, root);
	return root->glob;
}

void
shoal_inline_note(PlannedStmt *stmt, const PlannerGlobal *glob)
{
	if (glob == NULL)
		return;
	stmt->invalItems = list_concat(stmt->invalItems, glob->invalItems);
	stmt->dependsOnRole |= glob->dependsOnRole;
}
