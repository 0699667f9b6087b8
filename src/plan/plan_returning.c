/*
 * plan_returning.c
 *		RETURNING with expressions that have to be worked out here.
 *
 * A function of a user's, which may read any table, runs on the coordinator.  If
 * RETURNING calls one, nodes return the columns that it needs, and the plan node
 * that receives them works out the rest, once for each row.  So it puts rows together
 * that are of no named type, which nodes could not send.  If RETURNING has subqueries
 * that nodes can't answer, the write becomes a WITH query, from which a SELECT reads
 * what it returned.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"

#include "base/base_compat.h"
#include "plan/plan_expr.h"
#include "plan/plan_query.h"
#include "plan/plan_returning.h"
#include "plan/plan_with.h"

/* ---- rows without a type that nodes could send ---- */

/* Is it a whole row of a subquery, a function, a join or the like? */
static bool
is_record(Node *node)
{
	return IsA(node, Var) && ((Var *) node)->varattno == 0 &&
		((Var *) node)->varlevelsup == 0 && ((Var *) node)->vartype == RECORDOID;
}

static bool
record_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return is_record(node) || expression_tree_walker(node, record_walker, context);
}

/* Is there such a row, or has an outer join put NULL in its place? */
static NullTest *
make_record_test(Var *record)
{
	NullTest   *test = makeNode(NullTest);

	test->arg = (Expr *) copyObject(record);
	test->nulltesttype = IS_NOT_NULL;
	test->location = -1;
	return test;
}

/* The columns of a join that has a name, which hides those of its tables. */
static List *
columns_of_join(RangeTblEntry *rte, Var *record, List **names)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, rte->joinaliasvars)
	{
		int			n = foreach_current_index(lc);
		Var		   *column = copyObject(record);

		/* it has been dropped */
		if (lfirst(lc) == NULL)
			continue;
		column->varattno = column->varattnosyn = n + 1;
		column->varnosyn = column->varno;
		column->vartype = exprType(lfirst(lc));
		column->vartypmod = exprTypmod(lfirst(lc));
		column->varcollid = exprCollation(lfirst(lc));
		result = lappend(result, column);
		*names = lappend(*names, list_nth(rte->eref->colnames, n));
	}
	return result;
}

/* Puts it together of columns, here. */
static Node *
record_mutator(Node *node, Query *query)
{
	RangeTblEntry *rte;
	RowExpr    *row;
	CaseWhen   *when;
	CaseExpr   *result;

	if (node == NULL)
		return NULL;
	if (!is_record(node))
		return expression_tree_mutator(node, record_mutator, (void *) query);
	rte = rt_fetch(((Var *) node)->varno, query->rtable);
	row = makeNode(RowExpr);
	row->row_typeid = RECORDOID;
	row->row_format = COERCE_IMPLICIT_CAST;
	row->location = -1;
	/* one of a join is never NULL as a whole */
	if (rte->rtekind == RTE_JOIN)
	{
		row->args = columns_of_join(rte, (Var *) node, &row->colnames);
		return (Node *) row;
	}
	shoal_expand_rte(rte, ((Var *) node)->varno, false, &row->colnames, &row->args);
	when = makeNode(CaseWhen);
	when->expr = (Expr *) make_record_test((Var *) node);
	when->result = (Expr *) row;
	when->location = -1;
	result = makeNode(CaseExpr);
	result->casetype = RECORDOID;
	result->args = list_make1(when);
	result->defresult = (Expr *) makeNullConst(RECORDOID, -1, InvalidOid);
	result->location = -1;
	return (Node *) result;
}

/* ---- columns ---- */

static bool
is_column(Node *node)
{
	return IsA(node, Var) || shoal_expr_is_of_row(node) ||
		shoal_returning_is_record_test(node);
}

bool
shoal_returning_is_record_test(Node *node)
{
	return IsA(node, NullTest) && !((NullTest *) node)->argisrow &&
		is_record((Node *) ((NullTest *) node)->arg);
}

static bool
columns_walker(Node *node, List **columns)
{
	if (node == NULL)
		return false;
	if (is_column(node))
	{
		*columns = list_append_unique(*columns, node);
		return false;
	}
	return expression_tree_walker(node, columns_walker, (void *) columns);
}

/* Each column once, as an entry of its own. */
static List *
needed_columns(Query *query)
{
	List	   *distinct = NIL;
	List	   *result = NIL;
	ListCell   *lc;

	columns_walker((Node *) query->returningList, &distinct);
	/* nodes have to return a row all the same */
	if (distinct == NIL)
		distinct = list_make1(makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
										Int32GetDatum(1), false, true));
	foreach(lc, distinct)
	{
		int			n = foreach_current_index(lc) + 1;

		result = lappend(result, makeTargetEntry(copyObject(lfirst(lc)), n,
												 psprintf("c%d", n), false));
	}
	return result;
}

static Node *
refer_mutator(Node *node, List *columns)
{
	if (node == NULL)
		return NULL;
	if (is_column(node))
	{
		ListCell   *lc;

		foreach(lc, columns)
		{
			TargetEntry *column = (TargetEntry *) lfirst(lc);

			if (equal(column->expr, node))
				return (Node *) makeVar(INDEX_VAR, column->resno,
										exprType(node), exprTypmod(node),
										exprCollation(node), 0);
		}
		elog(ERROR, "column of RETURNING is not among its columns");
	}
	return expression_tree_mutator(node, refer_mutator, (void *) columns);
}

/* Whether it has something that only the node can tell, or that core plans. */
static bool
belongs_to_node_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink) || shoal_is_merge_function(node))
		return true;
	return expression_tree_walker(node, belongs_to_node_walker, context);
}

List *
shoal_returning_columns(Query *query)
{
	List	   *columns;
	List	   *result;

	if (belongs_to_node_walker((Node *) query->returningList, NULL) ||
		shoal_expr_returns_old_or_new((Node *) query->returningList))
		return NIL;
	query->returningList = (List *) record_mutator((Node *) query->returningList,
												   query);
	columns = needed_columns(query);
	result = (List *) refer_mutator((Node *) query->returningList, columns);
	query->returningList = columns;
	return result;
}

List *
shoal_returning_cut(Query **query, bool each)
{
	Node	   *returning = (Node *) (*query)->returningList;
	Query	   *copy;
	List	   *result;

	if (returning == NULL || (*query)->commandType == CMD_SELECT ||
		!(shoal_expr_is_stuck(returning, false) || record_walker(returning, NULL) ||
		  (each && shoal_expr_is_volatile(returning, false))))
		return NIL;
	copy = copyObject(*query);
	result = shoal_returning_columns(copy);
	if (result != NIL)
		*query = copy;
	return result;
}

void
shoal_returning_put(PlannedStmt *stmt, List *targetlist)
{
	Plan	   *plan = stmt->planTree;
	ListCell   *lc;

	Assert(IsA(plan, CustomScan));
	foreach(lc, targetlist)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);
		List	   *relids;
		List	   *items;

		tle->expr = expression_planner_with_deps(tle->expr, &relids, &items);
		stmt->relationOids = list_concat(stmt->relationOids, relids);
		stmt->invalItems = list_concat(stmt->invalItems, items);
	}
	plan->targetlist = targetlist;
}

/* ---- subqueries ---- */

#define WRITTEN		"shoal written"

typedef struct ApartContext
{
	List	   *columns;		/* what the write returns */
	int			depth;
} ApartContext;

/* Columns of the write become columns of entry 1, which is what it returned. */
static Node *
apart_mutator(Node *node, ApartContext *context)
{
	if (node == NULL)
		return NULL;
	if ((IsA(node, Var) && ((Var *) node)->varlevelsup == context->depth) ||
		(context->depth == 0 && (shoal_expr_is_of_row(node) ||
								 shoal_returning_is_record_test(node))) ||
		shoal_is_merge_function(node))
	{
		Node	   *column = copyObject(node);
		Var		   *result;

		if (IsA(column, Var))
			((Var *) column)->varlevelsup = 0;
		context->columns = list_append_unique(context->columns, column);
		result = makeVar(1, 0, exprType(column), exprTypmod(column),
						 exprCollation(column), context->depth);
		while (!equal(list_nth(context->columns, result->varattno), column))
			result->varattno++;
		result->varattno++;
		return (Node *) result;
	}
	if (IsA(node, Query))
	{
		Node	   *result;

		context->depth++;
		result = (Node *) query_tree_mutator((Query *) node, apart_mutator,
											 (void *) context, 0);
		context->depth--;
		return result;
	}
	return expression_tree_mutator(node, apart_mutator, (void *) context);
}

/* The write as a WITH query that returns columns. */
static CommonTableExpr *
make_written(Query *query, List *columns)
{
	CommonTableExpr *cte = makeNode(CommonTableExpr);
	Query	   *write = copyObject(query);
	ListCell   *lc;

	write->cteList = NIL;
	write->hasRecursive = false;
	write->returningList = NIL;
	shoal_with_lift((Node *) write, -1);
	cte->ctename = pstrdup(WRITTEN);
	foreach(lc, columns)
	{
		Node	   *column = lfirst(lc);
		int			n = foreach_current_index(lc) + 1;
		char	   *name = psprintf("c%d", n);

		write->returningList = lappend(write->returningList,
									   makeTargetEntry((Expr *) column, n, name, false));
		cte->ctecolnames = lappend(cte->ctecolnames, makeString(pstrdup(name)));
		cte->ctecoltypes = lappend_oid(cte->ctecoltypes, exprType(column));
		cte->ctecoltypmods = lappend_int(cte->ctecoltypmods, exprTypmod(column));
		cte->ctecolcollations = lappend_oid(cte->ctecolcollations,
											exprCollation(column));
	}
	cte->ctequery = (Node *) write;
	cte->cterefcount = 1;
	cte->location = -1;
	return cte;
}

Query *
shoal_returning_apart(Query *query)
{
	ApartContext context = {NIL, 0};
	Query	   *result;
	CommonTableExpr *cte;
	List	   *columns = (List *)
		apart_mutator(record_mutator((Node *) query->returningList, query), &context);

	/* nodes have to return a row all the same */
	if (context.columns == NIL)
		context.columns = list_make1(makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
											   Int32GetDatum(1), false, true));
	cte = make_written(query, context.columns);
	result = shoal_query_from(shoal_with_entry(cte, 0));
	result->targetList = columns;
	result->canSetTag = query->canSetTag;
	result->hasModifyingCTE = true;
	result->hasSubLinks = true;
	result->hasRecursive = query->hasRecursive;
	result->hasRowSecurity = query->hasRowSecurity;
	result->queryId = query->queryId;
	result->stmt_location = query->stmt_location;
	result->stmt_len = query->stmt_len;
	result->cteList = lappend(copyObject(query->cteList), cte);
	return result;
}
