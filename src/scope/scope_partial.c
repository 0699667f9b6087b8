/*
 * scope_partial.c
 *		Plans that return transition states in place of aggregates' results.
 *
 * The query is one that the coordinator wrote for the purpose: its result
 * consists of grouping expressions and bare aggregates.  Before planning, each
 * such aggregate is given the type of its transition state (or bytea where
 * that is internal), so everything that core then puts above the Agg node has
 * the right types by itself.  After planning, the topmost Agg nodes are told to
 * stop before the final function.  Where the plan is parallel, the topmost Agg
 * combines the workers' states; it then does that and still hands on a state.
 *
 * min() and max() that were planned as an index scan need nothing: they have no
 * final function.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_agg.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "scope/scope.h"
#include "scope/scope_internal.h"

#define SPLIT_RECOMBINE ((AggSplit) (AGGSPLITOP_COMBINE | AGGSPLITOP_SKIPFINAL | \
									 AGGSPLITOP_SERIALIZE | AGGSPLITOP_DESERIALIZE))

/* The type in which an aggregate's transition state leaves the node. */
static Oid
state_type(Aggref *aggref)
{
	HeapTuple	tuple;
	Form_pg_aggregate form;
	Oid			inputs[FUNC_MAX_ARGS];
	int			ninputs;
	Oid			type;
	bool		can_split;

	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggref->aggfnoid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for aggregate %u", aggref->aggfnoid);
	form = (Form_pg_aggregate) GETSTRUCT(tuple);
	can_split = form->aggkind == AGGKIND_NORMAL &&
		OidIsValid(form->aggcombinefn) &&
		(form->aggtranstype != INTERNALOID || OidIsValid(form->aggserialfn)) &&
		aggref->aggdistinct == NIL && aggref->aggorder == NIL &&
		aggref->agglevelsup == 0;
	ninputs = get_aggregate_argtypes(aggref, inputs);
	type = resolve_aggregate_transtype(aggref->aggfnoid, form->aggtranstype,
									   inputs, ninputs);
	ReleaseSysCache(tuple);

	if (!can_split)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("an aggregate of this fragment cannot be computed in part"),
				 errhint("Set shoal.enable_push to off for this statement.")));
	return type == INTERNALOID ? BYTEAOID : type;
}

void
shoal_scope_partial_prepare(Query *query)
{
	ListCell   *lc;

	if (query->commandType != CMD_SELECT || query->havingQual != NULL ||
		query->distinctClause != NIL || query->hasWindowFuncs ||
		query->hasTargetSRFs || query->setOperations != NULL ||
		query->limitCount != NULL || query->limitOffset != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("this fragment cannot be computed in part"),
				 errhint("Set shoal.enable_push to off for this statement.")));

	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		if (IsA(target->expr, Aggref))
		{
			Aggref	   *aggref = (Aggref *) target->expr;

			aggref->aggtype = state_type(aggref);
		}
	}
}

/* Splits the aggregates of an expression as their Agg node is split. */
static bool
mark_walker(Node *node, AggSplit *split)
{
	if (node == NULL)
		return false;
	if (IsA(node, Aggref))
	{
		((Aggref *) node)->aggsplit = *split;
		return false;
	}
	return expression_tree_walker(node, mark_walker, split);
}

static void finish_plan(Plan *plan);

static void
finish_plans(List *plans)
{
	ListCell   *lc;

	foreach(lc, plans)
		finish_plan(lfirst(lc));
}

/* Goes down to the topmost Agg nodes and splits them. */
static void
finish_plan(Plan *plan)
{
	Agg		   *agg;

	if (plan == NULL)
		return;
	switch (nodeTag(plan))
	{
		case T_Agg:
			agg = (Agg *) plan;
			if (agg->aggsplit == AGGSPLIT_SIMPLE)
				agg->aggsplit = AGGSPLIT_INITIAL_SERIAL;
			else if (agg->aggsplit == AGGSPLIT_FINAL_DESERIAL)
				agg->aggsplit = SPLIT_RECOMBINE;
			else
				elog(ERROR, "unexpected kind of aggregation %d",
					 (int) agg->aggsplit);
			mark_walker((Node *) plan->targetlist, &agg->aggsplit);
			break;
		case T_Append:
			finish_plans(((Append *) plan)->appendplans);
			break;
		case T_MergeAppend:
			finish_plans(((MergeAppend *) plan)->mergeplans);
			break;
		case T_SubqueryScan:
			finish_plan(((SubqueryScan *) plan)->subplan);
			break;
		case T_Sort:
		case T_IncrementalSort:
		case T_Material:
		case T_Gather:
		case T_GatherMerge:
		case T_Result:
			finish_plan(plan->lefttree);
			break;
		default:
			/* no aggregates: GROUP BY alone, by Group, Unique or SetOp */
			break;
	}
}

void
shoal_scope_partial_finish(PlannedStmt *stmt)
{
	finish_plan(stmt->planTree);
}
