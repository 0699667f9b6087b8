/*
 * plan_current.c
 *		WHERE CURRENT OF a cursor on a Shoal table.
 *
 * A cursor over one distributed table, the query of which is one fragment, gets
 * hidden columns behind those that were asked for: the row's distribution key
 * and its place (node, partition and ctid, exec_current.c).  A write WHERE
 * CURRENT OF it asks the cursor for these and becomes
 *
 *		WHERE key = shoal.cursor_row('c', ...) AND
 *			shoal.is_row(tableoid, ctid, shoal.cursor_row('c', ...))
 *
 * What is asked of the cursor is evaluated here and goes to the row's shard like any
 * write by key.  An order over several shards is made here, above the fragment; like core's own
 * cursors such a one can be written through only if it is FOR UPDATE or the like.
 *
 * From the start of the cursor to its end its snapshots are kept on the nodes
 * (exec_statement.c), so that what it has read is not cleaned away and a later
 * version of a row can be found from it.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/sysattr.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "plan/plan_current.h"
#include "plan/plan_direct.h"
#include "plan/plan_expr.h"
#include "plan/plan_part.h"
#include "plan/plan_text.h"

/* ---- the cursor ---- */

/* The only thing that the query reads, if it is one table of ours; else NULL. */
static const ShoalTable *
only_table(Query *query, int *varno)
{
	RangeTblRef *ref;
	RangeTblEntry *rte;
	const ShoalTable *table;

	if (list_length(query->jointree->fromlist) != 1)
		return NULL;
	ref = linitial(query->jointree->fromlist);
	if (!IsA(ref, RangeTblRef))
		return NULL;
	*varno = ref->rtindex;
	rte = rt_fetch(ref->rtindex, query->rtable);
	if (rte->rtekind != RTE_RELATION)
		return NULL;
	table = shoal_meta_table(rte->relid);
	if (table == NULL ||
		(table->kind != SHOAL_KIND_SINGLE &&
		 (table->kind != SHOAL_KIND_DISTRIBUTED ||
		  !shoal_text_is_hashed(table->relid))))
		return NULL;
	return table;
}

bool
shoal_current_is_wanted(Query *query, const ShoalShape *whole,
						int cursor_options)
{
	int			varno;

	return (cursor_options & CURSOR_OPT_FAST_PLAN) &&
		query->commandType == CMD_SELECT && !query->hasAggs &&
		!query->hasWindowFuncs && !query->hasTargetSRFs &&
		!query->groupClause && !query->groupingSets && !query->havingQual &&
		!query->distinctClause && !query->setOperations &&
		query->cteList == NIL &&
		(query->sortClause == NIL || whole->single || query->rowMarks != NIL) &&
		shoal_part_is_sendable(query) && only_table(query, &varno) != NULL;
}

/* "shoal.row_place(tableoid, ctid)" */
static Expr *
make_place(int varno)
{
	Oid			argtypes[2] = {OIDOID, TIDOID};

	return (Expr *) makeFuncExpr(shoal_expr_own_function("row_place", 2, argtypes), TEXTOID,
								 list_make2(shoal_expr_column(InvalidOid, varno, TableOidAttributeNumber),
											shoal_expr_column(InvalidOid, varno, SelfItemPointerAttributeNumber)),
								 DEFAULT_COLLATION_OID, InvalidOid,
								 COERCE_EXPLICIT_CALL);
}

static void
add_column(Query *query, Expr *expr, int number)
{
	query->targetList =
		lappend(query->targetList,
				makeTargetEntry(expr, list_length(query->targetList) + 1,
								psprintf(SHOAL_CURRENT_NAME "%d", number),
								false));
}

/* Sorts the rows of the plan as the query says; its columns are the query's. */
static Plan *
put_sort_on_top(Query *query, Plan *child)
{
	Sort	   *sort = makeNode(Sort);
	int			n = list_length(query->sortClause);
	ListCell   *lc;

	sort->sortColIdx = palloc(n * sizeof(AttrNumber));
	sort->sortOperators = palloc(n * sizeof(Oid));
	sort->collations = palloc(n * sizeof(Oid));
	sort->nullsFirst = palloc(n * sizeof(bool));
	foreach(lc, query->sortClause)
	{
		SortGroupClause *clause = (SortGroupClause *) lfirst(lc);
		TargetEntry *tle = get_sortgroupref_tle(clause->tleSortGroupRef,
												query->targetList);

		sort->sortColIdx[sort->numCols] = tle->resno;
		sort->sortOperators[sort->numCols] = clause->sortop;
		sort->collations[sort->numCols] = exprCollation((Node *) tle->expr);
		sort->nullsFirst[sort->numCols] = clause->nulls_first;
		sort->numCols++;
	}
	sort->plan.startup_cost = sort->plan.total_cost = child->total_cost;
	sort->plan.plan_rows = child->plan_rows;
	sort->plan.plan_width = child->plan_width;
	foreach(lc, child->targetlist)
	{
		TargetEntry *tle = flatCopyTargetEntry((TargetEntry *) lfirst(lc));

		tle->expr = (Expr *) makeVar(OUTER_VAR, tle->resno,
									 exprType((Node *) tle->expr),
									 exprTypmod((Node *) tle->expr),
									 exprCollation((Node *) tle->expr), 0);
		sort->plan.targetlist = lappend(sort->plan.targetlist, tle);
	}
	outerPlan(sort) = child;
	return (Plan *) sort;
}

/*
 * The query without its order; returns how many columns are there only for that,
 * which are shown then.
 */
static int
show_order(Query *shown)
{
	int			njunk = 0;
	ListCell   *lc;

	foreach(lc, shown->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		if (!tle->resjunk)
			continue;
		tle->resjunk = false;
		tle->resname = psprintf("shoal order %d", ++njunk);
	}
	shown->sortClause = NIL;
	return njunk;
}

PlannedStmt *
shoal_current_plan(Query *query, const ShoalShape *whole, int cursor_options)
{
	Query	   *shown = copyObject(query);
	int			varno;
	const ShoalTable *table = only_table(shown, &varno);
	RangeTblEntry *rte = rt_fetch(varno, shown->rtable);
	ShoalFragment *frag;
	PlannedStmt *stmt;
	int			hidden = 1 + table->nkeys;
	bool		sorts = query->sortClause != NIL && !whole->single;
	int			njunk = sorts ? show_order(shown) : 0;
	ListCell   *lc;

	add_column(shown, make_place(varno), 0);
	for (int i = 0; i < table->nkeys; i++)
		add_column(shown, (Expr *) shoal_expr_column(rte->relid, varno, table->keyattr[i]), i + 1);
	frag = shoal_text_compile(shown, whole);
	frag->way = whole->single ? "router" : "push";
	frag->only_primary = true;
	stmt = shoal_direct_plan(shown, frag, cursor_options);
	if (sorts)
		stmt->planTree = put_sort_on_top(query, stmt->planTree);
	foreach(lc, stmt->planTree->targetlist)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		if (foreach_current_index(lc) >=
			list_length(stmt->planTree->targetlist) - hidden - njunk)
			tle->resjunk = true;
		if (foreach_current_index(lc) <
			list_length(stmt->planTree->targetlist) - hidden)
			continue;
		tle->resname = psprintf(SHOAL_CURRENT_NAME "%d",
								hidden - list_length(stmt->planTree->targetlist) +
								foreach_current_index(lc));
		tle->resorigtbl = table->relid;
	}
	return stmt;
}

/* ---- the write ---- */

static bool
current_of_walker(Node *node, CurrentOfExpr **found)
{
	if (node == NULL)
		return false;
	if (IsA(node, CurrentOfExpr))
	{
		*found = (CurrentOfExpr *) node;
		return true;
	}
	return expression_tree_walker(node, current_of_walker, (void *) found);
}

bool
shoal_current_is_used(Query *query)
{
	CurrentOfExpr *found;

	return current_of_walker((Node *) query->jointree, &found);
}

/* The cursor's name: a constant, or the value of a parameter of type refcursor. */
static Expr *
cursor_name(CurrentOfExpr *current)
{
	if (current->cursor_name)
		return (Expr *) makeConst(TEXTOID, -1, DEFAULT_COLLATION_OID, -1,
								  CStringGetTextDatum(current->cursor_name),
								  false, false);
	return (Expr *)
		makeRelabelType((Expr *) shoal_text_make_param(current->cursor_param,
													   REFCURSOROID, -1, InvalidOid),
						TEXTOID, -1, DEFAULT_COLLATION_OID, COERCE_EXPLICIT_CAST);
}

/* "shoal.cursor_row(cursor, table, column, NULL::type)" */
static Expr *
make_value(CurrentOfExpr *current, Oid relid, int number, Oid type,
		   int32 typmod, Oid collation)
{
	Oid			argtypes[4] = {TEXTOID, OIDOID, INT4OID, ANYELEMENTOID};

	return (Expr *)
		makeFuncExpr(shoal_expr_own_function("cursor_row", 4, argtypes), type,
					 list_make4(cursor_name(current),
								makeConst(OIDOID, -1, InvalidOid, sizeof(Oid),
										  ObjectIdGetDatum(relid), false, true),
								makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
										  Int32GetDatum(number), false, true),
								makeNullConst(type, typmod, collation)),
					 collation, collation, COERCE_EXPLICIT_CALL);
}

/* A value as one of the type that an operator takes. */
static Expr *
relabel(Expr *expr, Oid type)
{
	if (exprType((Node *) expr) == type || IsPolymorphicType(type) ||
		type == RECORDOID)
		return expr;
	return (Expr *) makeRelabelType(expr, type, -1, exprCollation((Node *) expr),
									COERCE_IMPLICIT_CAST);
}

/* "key = value" */
static Expr *
make_equality(const ShoalTable *table, int i, Expr *key, Expr *value)
{
	Oid			opno = get_opfamily_member(table->keyopfamily[i],
										   table->keyinput[i],
										   table->keyinput[i],
										   HTEqualStrategyNumber);
	Expr	   *result;

	if (!OidIsValid(opno))
		elog(ERROR, "missing operator for a distribution column");
	result = make_opclause(opno, BOOLOID, false,
						   relabel(key, table->keyinput[i]),
						   relabel(value, table->keyinput[i]), InvalidOid,
						   table->keycollation[i]);
	set_opfuncid((OpExpr *) result);
	return result;
}

/* "shoal.is_row(tableoid, ctid, place)" */
static Expr *
make_is_row(int varno, Expr *place)
{
	Oid			argtypes[3] = {OIDOID, TIDOID, TEXTOID};

	return (Expr *) makeFuncExpr(shoal_expr_own_function("is_row", 3, argtypes), BOOLOID,
								 list_make3(shoal_expr_column(InvalidOid, varno, TableOidAttributeNumber),
											shoal_expr_column(InvalidOid, varno, SelfItemPointerAttributeNumber),
											place),
								 InvalidOid, DEFAULT_COLLATION_OID,
								 COERCE_EXPLICIT_CALL);
}

typedef struct ReplaceContext
{
	CurrentOfExpr *current;
	Node	   *condition;
} ReplaceContext;

static Node *
replace_mutator(Node *node, ReplaceContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, CurrentOfExpr))
		return context->condition;
	return expression_tree_mutator(node, replace_mutator, (void *) context);
}

Query *
shoal_current_replace(Query *query, const ShoalTable *table)
{
	ReplaceContext context = {0};
	int			varno = query->resultRelation;
	RangeTblEntry *rte = rt_fetch(varno, query->rtable);
	List	   *conditions = NIL;

	if (table->kind == SHOAL_KIND_REFERENCE ||
		(table->kind == SHOAL_KIND_DISTRIBUTED &&
		 !shoal_text_is_hashed(table->relid)))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("WHERE CURRENT OF is not supported for reference tables and tables partitioned by range or list"),
				 errhint("Name the row by its key; FOR UPDATE in the cursor's query keeps it locked.")));
	query = copyObject(query);
	current_of_walker((Node *) query->jointree, &context.current);
	for (int i = 0; i < table->nkeys; i++)
	{
		Expr	   *key = (Expr *) shoal_expr_column(rte->relid, varno, table->keyattr[i]);
		Expr	   *value = make_value(context.current, table->relid, i + 1,
									   exprType((Node *) key),
									   exprTypmod((Node *) key),
									   exprCollation((Node *) key));

		conditions = lappend(conditions, make_equality(table, i, key, value));
	}
	conditions = lappend(conditions,
						 make_is_row(varno, make_value(context.current, table->relid,
													   0, TEXTOID, -1,
													   DEFAULT_COLLATION_OID)));
	context.condition = (Node *) make_ands_explicit(conditions);
	query->jointree = (FromExpr *) replace_mutator((Node *) query->jointree,
												   &context);
	return query;
}
