/*
 * exec_first.c
 *		Which fragment of a plan core will want first.
 *
 * A statement whose snapshots are needed for several fragments has them taken along with
 * its first one (exec_statement.c), which is started before core asks for it.  So it
 * has to be one that core is almost sure to ask for, that depends on nothing which
 * core works out, nor on functions that may run queries in between, and of which
 * nothing is left behind if it is thrown away.  If core
 * wants another one before, rows of this one are kept meanwhile (exec_task.c).
 */
#include "postgres.h"

#include "exec/exec_internal.h"
#include "plan/plan_expr.h"

static CustomScan *find(Plan *plan, PlannedStmt *stmt);

static bool
may_be_first(CustomScan *scan)
{
	const ShoalFragment *frag;

	if (scan->methods != &shoal_scan_methods ||
		shoal_expr_has_exec_param((Node *) scan->custom_exprs) ||
		shoal_expr_calls_users((Node *) scan->custom_exprs))
		return false;
	frag = shoal_fragment_load(scan);
	return frag->command == CMD_SELECT && !frag->is_volatile && !frag->locks_rows &&
		frag->group_id > 0 && frag->moves == NIL && frag->steps == NIL;
}

static CustomScan *
find_in_list(List *plans, PlannedStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, plans)
	{
		CustomScan *scan = find(lfirst(lc), stmt);

		if (scan)
			return scan;
	}
	return NULL;
}

static CustomScan *
find(Plan *plan, PlannedStmt *stmt)
{
	CustomScan *scan;

	if (plan == NULL)
		return NULL;
	switch (nodeTag(plan))
	{
		case T_CustomScan:
			return may_be_first((CustomScan *) plan) ? (CustomScan *) plan : NULL;
		case T_CteScan:
			return find(list_nth(stmt->subplans, ((CteScan *) plan)->ctePlanId - 1), stmt);
		case T_SubqueryScan:
			return find(((SubqueryScan *) plan)->subplan, stmt);
		case T_Append:
			return find_in_list(((Append *) plan)->appendplans, stmt);
		case T_MergeAppend:
			return find_in_list(((MergeAppend *) plan)->mergeplans, stmt);
		case T_NestLoop:
			/* its inner side starts anew with each row of the outer one */
			return find(plan->lefttree, stmt);
		case T_HashJoin:
			scan = find(plan->righttree, stmt);
			return scan ? scan : find(plan->lefttree, stmt);
		default:
			scan = find(plan->lefttree, stmt);
			return scan ? scan : find(plan->righttree, stmt);
	}
}

CustomScan *
shoal_first_scan(PlannedStmt *stmt)
{
	CustomScan *scan;
	ListCell   *lc;

	if (stmt->commandType != CMD_SELECT || stmt->hasModifyingCTE || stmt->rowMarks != NIL)
		return NULL;
	scan = find(stmt->planTree, stmt);
	/* else a subquery of which there is one value */
	foreach(lc, stmt->planTree->initPlan)
	{
		if (scan == NULL)
			scan = find(list_nth(stmt->subplans,
								 lfirst_node(SubPlan, lc)->plan_id - 1), stmt);
	}
	return scan;
}
