/*
 * plan_ungrouped.c
 *		Columns that depend on a primary key by which a query groups.
 *
 * "SELECT a, b FROM t GROUP BY a" is fine if a is the primary key of t.  It is
 * so no longer when something else takes the place of t in the text for a node:
 * rows that have been moved there have no primary key.  To group by b, too, makes
 * the same groups.  What is no group's expression, and in no aggregate, depends
 * on such a key, as otherwise the parser would have refused it.
 *
 * Values of some types (json, say) can't be grouped by.  A query with grouping
 * sets is left alone as well: a set may have one table's key and not another's.
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_clause.h"
#include "rewrite/rewriteManip.h"

#include "plan/plan_split.h"
#include "plan/plan_ungrouped.h"

typedef struct UngroupedContext
{
	List	   *grouped;		/* group expressions */
	List	   *ungrouped;		/* Vars of this level */
	int			levelsup;
} UngroupedContext;

static bool
ungrouped_walker(Node *node, UngroupedContext *context)
{
	if (node == NULL)
		return false;
	if (context->levelsup == 0 && list_member(context->grouped, node))
		return false;
	if (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup == context->levelsup)
		return false;
	if (IsA(node, GroupingFunc))
		return false;
	if (IsA(node, Var))
	{
		Var		   *var = copyObject((Var *) node);

		if (var->varlevelsup != context->levelsup)
			return false;
		IncrementVarSublevelsUp((Node *) var, -context->levelsup, 0);
		if (!list_member(context->grouped, var))
			context->ungrouped = list_append_unique(context->ungrouped, var);
		return false;
	}
	if (IsA(node, Query))
	{
		context->levelsup++;
		query_tree_walker((Query *) node, ungrouped_walker, (void *) context, 0);
		context->levelsup--;
		return false;
	}
	return expression_tree_walker(node, ungrouped_walker, (void *) context);
}

static bool
group_by(Query *query, Expr *expr)
{
	TargetEntry *tle = tlist_member(expr, query->targetList);

	if (tle == NULL)
	{
		tle = makeTargetEntry(expr, list_length(query->targetList) + 1, NULL, true);
		query->targetList = lappend(query->targetList, tle);
	}
	return shoal_split_group_by(query, assignSortGroupRef(tle, query->targetList),
								(Node *) expr);
}

static bool
group_walker(Node *node, void *context)
{
	Query	   *query = (Query *) node;
	UngroupedContext ungrouped = {0};
	bool		all = true;
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, group_walker, context);
	if (query->constraintDeps != NIL && query->groupClause != NIL &&
		query->groupingSets == NIL)
	{
		ungrouped.grouped = get_sortgrouplist_exprs(query->groupClause,
													query->targetList);
		ungrouped_walker((Node *) query->targetList, &ungrouped);
		ungrouped_walker(query->havingQual, &ungrouped);
		foreach(lc, ungrouped.ungrouped)
			all &= group_by(query, lfirst(lc));
		if (all)
			query->constraintDeps = NIL;
	}
	return query_tree_walker(query, group_walker, context, 0);
}

void
shoal_ungrouped_group(Query *query)
{
	group_walker((Node *) query, NULL);
}
