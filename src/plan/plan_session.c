/*
 * plan_session.c
 *		Functions on nodes that do something to the client's session.
 *
 * A trigger that runs on a node may call pg_notify() or set_config().  That is told to
 * the coordinator by functions of ours (xact_session.c), which have the same arguments
 * and results, so they take the others' places where these are called.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "nodes/nodeFuncs.h"
#include "utils/fmgroids.h"

#include "base/base_compat.h"
#include "plan/plan_expr.h"
#include "plan/plan_session.h"

static bool
rewrite_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, FuncExpr))
	{
		static const Oid types[] = {TEXTOID, TEXTOID, BOOLOID};
		FuncExpr   *call = (FuncExpr *) node;

		if (call->funcid == F_PG_NOTIFY)
			call->funcid = shoal_expr_own_function("session_notify", 2, types);
		else if (call->funcid == F_SET_CONFIG)
			call->funcid = shoal_expr_own_function("session_set_config", 3, types);
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, rewrite_walker, context, 0);
	return expression_tree_walker(node, rewrite_walker, context);
}

void
shoal_session_rewrite(Query *query)
{
	(void) rewrite_walker((Node *) query, NULL);
}

static void
rewrite_node(Plan *plan)
{
	if (plan == NULL)
		return;
	(void) rewrite_walker((Node *) plan->targetlist, NULL);
	(void) rewrite_walker((Node *) plan->qual, NULL);
	rewrite_node(plan->lefttree);
	rewrite_node(plan->righttree);
}

void
shoal_session_rewrite_plan(PlannedStmt *stmt)
{
	ListCell   *lc;

	rewrite_node(stmt->planTree);
	foreach(lc, stmt->subplans)
		rewrite_node(lfirst(lc));
}
