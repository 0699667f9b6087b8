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
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

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

static bool
inline_function(RangeTblEntry *rte, PlannerInfo *root)
{
	Query	   *body;

	rte->functions = (List *) eval_const_expressions(root, (Node *) rte->functions);
	body = inline_set_returning_function(root, rte);
	if (body == NULL)
		return false;
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = body;
	name_columns(body, rte->eref->colnames);
	rte->security_barrier = false;
	rte->functions = NIL;
	rte->funcordinality = false;
	return true;
}

/* ---- rows of a function as values ---- */

/* An entry of a query's range table, seen from some levels below. */
typedef struct RowContext
{
	int			varno;
	int			depth;
} RowContext;

/* The row is of a table's type, while a subquery's would be a mere record. */
static Node *
row_of_columns(Var *var)
{
	RowExpr    *row = makeNode(RowExpr);
	TupleDesc	desc = lookup_rowtype_tupdesc(var->vartype, -1);

	row->row_typeid = var->vartype;
	row->row_format = COERCE_EXPLICIT_CAST;
	row->location = -1;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		row->colnames = lappend(row->colnames, makeString(pstrdup(NameStr(att->attname))));
		row->args = lappend(row->args, att->attisdropped ?
							(Node *) makeNullConst(INT4OID, -1, InvalidOid) :
							(Node *) makeVar(var->varno, i + 1, att->atttypid, att->atttypmod,
											 att->attcollation, var->varlevelsup));
	}
	ReleaseTupleDesc(desc);
	return (Node *) row;
}

static Node *
row_mutator(Node *node, RowContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		if (var->varno == context->varno && (int) var->varlevelsup == context->depth &&
			var->varattno == 0 && get_typtype(var->vartype) == TYPTYPE_COMPOSITE)
			return row_of_columns(var);
		return copyObject(node);
	}
	if (IsA(node, Query))
	{
		Node	   *result;

		context->depth++;
		result = (Node *) query_tree_mutator((Query *) node, row_mutator,
											 (void *) context, 0);
		context->depth--;
		return result;
	}
	return expression_tree_mutator(node, row_mutator, (void *) context);
}

static bool
has_outer_join(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, JoinExpr) && IS_OUTER_JOIN(((JoinExpr *) node)->jointype))
		return true;
	return expression_tree_walker(node, has_outer_join, context);
}

/* ---- all levels ---- */

/* What has taken a function's place is looked through, too. */
static bool
inline_walker(Node *node, PlannerInfo *root)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		List	   *places = NIL;
		ListCell   *lc;

		foreach(lc, query->rtable)
		{
			if (shoal_inline_may(lfirst(lc)) && inline_function(lfirst(lc), root))
				places = lappend_int(places, foreach_current_index(lc) + 1);
		}
		/* a row that an outer join leaves out is null as a whole */
		if (places != NIL && has_outer_join((Node *) query->jointree, NULL))
			places = NIL;
		foreach(lc, places)
		{
			RowContext	context = {lfirst_int(lc), 0};

			(void) query_tree_mutator(query, row_mutator, (void *) &context,
									  QTW_DONT_COPY_QUERY);
		}
		return query_tree_walker(query, inline_walker, (void *) root, 0);
	}
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
