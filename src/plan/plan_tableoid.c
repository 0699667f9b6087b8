/*
 * plan_tableoid.c
 *		The system column tableoid of distributed tables.
 *
 * It names the table that a row is in as users know it: the table that was
 * distributed, or, if that is itself partitioned by something else, its
 * partition (shoal.table_of, on the node).
 *
 * Nodes have numbers of their own for a table, so values are of type regclass
 * as long as they travel.  What takes them for numbers is done here
 * (shoal_expr_numbers_table).
 *
 * Where a user's query names it, it is replaced as soon as the query is planned; so
 * is ctid (plan_ctid.c).
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_type_d.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "plan/plan_ctid.h"
#include "plan/plan_expr.h"
#include "plan/plan_tableoid.h"

typedef struct TableoidContext
{
	List	   *queries;		/* Query nodes from the innermost outwards */
} TableoidContext;

static Expr *
as_oid(Expr *regclass)
{
	return (Expr *) makeRelabelType(regclass, OIDOID, -1, InvalidOid,
									COERCE_EXPLICIT_CAST);
}

/* shoal.table_of(tableoid), NULL where an outer join has no row */
Expr *
shoal_tableoid_column(Var *var)
{
	Oid			argtypes[] = {OIDOID};
	Oid			funcid = shoal_expr_own_function("table_of", 1, argtypes);

	return (Expr *) makeFuncExpr(funcid, REGCLASSOID, list_make1(copyObject(var)),
								 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

static Node *
tableoid_mutator(Node *node, TableoidContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var) &&
		(((Var *) node)->varattno == TableOidAttributeNumber ||
		 ((Var *) node)->varattno == SelfItemPointerAttributeNumber))
	{
		Var		   *var = (Var *) node;
		Query	   *query = list_nth(context->queries, var->varlevelsup);
		RangeTblEntry *rte = rt_fetch(var->varno, query->rtable);
		const ShoalTable *table = rte->rtekind == RTE_RELATION ?
			shoal_meta_table(rte->relid) : NULL;

		if (table == NULL || table->kind != SHOAL_KIND_DISTRIBUTED)
			return copyObject(node);
		if (var->varattno == SelfItemPointerAttributeNumber)
			return (Node *) shoal_ctid_column(var, table);
		return (Node *) as_oid(shoal_tableoid_column(var));
	}
	if (IsA(node, Query))
	{
		Node	   *result;

		context->queries = lcons(node, context->queries);
		result = (Node *) query_tree_mutator((Query *) node, tableoid_mutator,
											 (void *) context, 0);
		context->queries = list_delete_first(context->queries);
		return result;
	}
	return expression_tree_mutator(node, tableoid_mutator, (void *) context);
}

Query *
shoal_tableoid_rewrite(Query *query)
{
	TableoidContext context = {NIL};

	return (Query *) tableoid_mutator((Node *) query, &context);
}

Expr *
shoal_tableoid_from_column(Var *column)
{
	column->vartype = REGCLASSOID;
	return as_oid((Expr *) column);
}
