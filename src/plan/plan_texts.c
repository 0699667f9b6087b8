/*
 * plan_texts.c
 *		Rows that leave a node as texts which the coordinator reads.
 *
 * The session's settings follow it to the nodes, as what a query computes may
 * depend on them: extra_float_digits = 0 changes f::text.  But the rows
 * themselves must not lose digits on their way to the coordinator, or be
 * misunderstood there because of DateStyle.  So the last thing that the plan of
 * a fragment does is to turn each column whose text depends on settings into
 * one that does not (shoal.text_of, exec_wire.c).
 *
 * That is done to the finished plan, on the node: it concerns neither the
 * fragment's text nor how core plans it.
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"

#include "base/base_types.h"
#include "plan/plan_expr.h"
#include "plan/plan_texts.h"

static void
make_texts(List *targets)
{
	ListCell   *lc;

	foreach(lc, targets)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		if (!target->resjunk &&
			!shoal_types_text_is_fixed(getBaseType(exprType((Node *) target->expr))))
			target->expr = shoal_expr_text_of(target->expr);
	}
}

/* A node above the plan that returns its columns. */
static Plan *
add_result(Plan *plan)
{
	Result	   *result = makeNode(Result);
	ListCell   *lc;

	result->plan.startup_cost = plan->startup_cost;
	result->plan.total_cost = plan->total_cost;
	result->plan.plan_rows = plan->plan_rows;
	result->plan.plan_width = plan->plan_width;
	result->plan.lefttree = plan;
	result->plan.extParam = bms_copy(plan->extParam);
	result->plan.allParam = bms_copy(plan->allParam);
	foreach(lc, plan->targetlist)
	{
		TargetEntry *target = flatCopyTargetEntry(lfirst_node(TargetEntry, lc));

		target->expr = (Expr *) makeVarFromTargetEntry(OUTER_VAR, target);
		result->plan.targetlist = lappend(result->plan.targetlist, target);
	}
	return &result->plan;
}

void
shoal_texts_of_rows(PlannedStmt *stmt)
{
	ListCell   *lc;

	if (IsA(stmt->planTree, ModifyTable))
	{
		List	   *lists = ((ModifyTable *) stmt->planTree)->returningLists;

		foreach(lc, lists)
			make_texts(lfirst_node(List, lc));
		/* it says what the columns are */
		stmt->planTree->targetlist = copyObject(linitial(lists));
		return;
	}
	stmt->planTree = add_result(stmt->planTree);
	make_texts(stmt->planTree->targetlist);
}
