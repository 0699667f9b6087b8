/*
 * plan_merge_source.c
 *		The source of a MERGE, made one that tells whether there is a row of it.
 *
 * WHEN NOT MATCHED BY SOURCE is for rows of an outer join in which nothing comes
 * from the source.  To tell them from others takes a column of the source that
 * is never null.  So its FROM item becomes a subquery that returns what the
 * MERGE reads of it, and a constant.
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteManip.h"

#include "base/base_compat.h"
#include "plan/plan_merge_source.h"
#include "plan/plan_with.h"

typedef struct SourceContext
{
	Index		target;
	Index		source;			/* the subquery's entry */
	List	   *columns;		/* Vars that it returns */
	bool		any;
	int			depth;
} SourceContext;

static bool
is_of_source(Node *node, const SourceContext *context)
{
	return IsA(node, Var) &&
		((Var *) node)->varlevelsup == context->depth &&
		((Var *) node)->varno != context->target;
}

static bool
reads_source_walker(Node *node, SourceContext *context)
{
	if (node == NULL)
		return false;
	if (is_of_source(node, context))
		context->any = true;
	if (IsA(node, Query))
	{
		context->depth++;
		query_tree_walker((Query *) node, reads_source_walker, (void *) context, 0);
		context->depth--;
		return context->any;
	}
	return context->any ||
		expression_tree_walker(node, reads_source_walker, (void *) context);
}

bool
shoal_merge_reads_source(Node *node, Index target)
{
	SourceContext context = {.target = target};

	(void) reads_source_walker(node, &context);
	return context.any;
}

/* The number of a column of the subquery, which gets it if need be. */
static int
column_number(SourceContext *context, const Var *var)
{
	Var		   *own = copyObject((Var *) var);
	ListCell   *lc;

	own->varlevelsup = 0;
	foreach(lc, context->columns)
	{
		if (equal(lfirst(lc), own))
			return foreach_current_index(lc) + 1;
	}
	context->columns = lappend(context->columns, own);
	return list_length(context->columns);
}

static Node *
source_mutator(Node *node, SourceContext *context)
{
	if (node == NULL)
		return NULL;
	if (is_of_source(node, context))
	{
		Var		   *var = (Var *) node;

		return (Node *) makeVar(context->source, column_number(context, var),
								var->vartype, var->vartypmod, var->varcollid,
								context->depth);
	}
	if (IsA(node, Query))
	{
		Node	   *result;

		context->depth++;
		result = (Node *) query_tree_mutator((Query *) node, source_mutator,
											 (void *) context, 0);
		context->depth--;
		return result;
	}
	return expression_tree_mutator(node, source_mutator, (void *) context);
}

static RangeTblEntry *
idle_entry(void)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_RESULT;
	rte->eref = makeAlias("idle", NIL);
	return rte;
}

/* Leaves of the range table just one entry, or all others. */
static void
keep_entries(Query *query, Index entry, bool keep)
{
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		if ((foreach_current_index(lc) + 1 == entry) != keep)
			lfirst(lc) = idle_entry();
	}
}

/* "SELECT columns, true FROM source" */
static RangeTblEntry *
make_subquery(Query *query, SourceContext *context)
{
	Query	   *subquery = copyObject(query);
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	ListCell   *lc;
	int			n = 0;

	shoal_merge_forget(subquery);
	keep_entries(subquery, context->target, false);
	subquery->commandType = CMD_SELECT;
	subquery->resultRelation = 0;
	subquery->returningList = NIL;
	subquery->withCheckOptions = NIL;
	subquery->cteList = NIL;
	subquery->targetList = NIL;
	subquery->jointree->quals = NULL;
	subquery->canSetTag = false;
	subquery->hasModifyingCTE = false;
	rte->rtekind = RTE_SUBQUERY;
	rte->eref = makeAlias("shoal_source", NIL);
	rte->alias = makeAlias("shoal_source", NIL);
	rte->inFromCl = true;
	foreach(lc, lappend(list_copy(context->columns), makeBoolConst(true, false)))
	{
		char	   *name = psprintf("c%d", ++n);

		subquery->targetList = lappend(subquery->targetList,
									   makeTargetEntry(lfirst(lc), n, name, false));
		rte->eref->colnames = lappend(rte->eref->colnames,
									  makeString(pstrdup(name)));
	}
	subquery->hasSubLinks = checkExprHasSubLink((Node *) subquery->jointree);
	shoal_with_lift((Node *) subquery, -1);
	rte->subquery = subquery;
	return rte;
}

Query *
shoal_merge_wrap_source(Query *query, Index *source, AttrNumber *present)
{
	Query	   *wrapped = copyObject(query);
	SourceContext context = {.target = query->resultRelation};
	RangeTblRef *ref = makeNode(RangeTblRef);

	context.source = list_length(query->rtable) + 1;
	wrapped->mergeActionList = (List *)
		source_mutator((Node *) wrapped->mergeActionList, &context);
	wrapped->returningList = (List *)
		source_mutator((Node *) wrapped->returningList, &context);
	shoal_merge_set_condition(wrapped, wrapped->resultRelation,
							  source_mutator(shoal_merge_condition(wrapped), &context));
	keep_entries(wrapped, context.target, true);
	wrapped->rtable = lappend(wrapped->rtable, make_subquery(query, &context));
	ref->rtindex = context.source;
	wrapped->jointree->fromlist = list_make1(ref);
	*source = context.source;
	*present = list_length(context.columns) + 1;
	return wrapped;
}
