/*
 * plan_moved.c
 *		Rows that are moved to other nodes, as entries of a range table.
 *
 * What is moved is the result of a source query.  Its columns travel as they
 * are if their types are built in, else as text.  In the query that needs the
 * rows they stand as a subquery over shoal.moved_rows(), which turns texts back
 * into values and gives the columns the numbers that they had before, so that
 * nothing else in that query has to change.
 *
 * Both statements refer to the rows by a slot (plan_expr.h), a parameter that
 * the executor fills in.
 *
 * On the node the rows have no index, so a subquery that asks for those of each
 * outer row would read all of them each time.  A condition that a column equals
 * a value of outside is told to the scan, which looks rows up by it.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "base/base_types.h"
#include "plan/plan_expr.h"
#include "plan/plan_moved.h"
#include "plan/plan_part.h"
#include "plan/plan_query.h"
#include "plan/plan_text.h"

/* bytes at most for values that a node has moved */
#define MAX_SEEN	(64 * 1024 * 1024)

static Plan *plan_moved_path(PlannerInfo *root, RelOptInfo *rel,
							 CustomPath *best_path, List *tlist, List *clauses,
							 List *custom_plans);

static const CustomPathMethods moved_path_methods = {
	.CustomName = SHOAL_MOVED,
	.PlanCustomPath = plan_moved_path,
};

/* ---- types ---- */

bool
shoal_moved_is_plain(Oid type)
{
	return type < FirstNormalObjectId && shoal_types_is_binary(type) &&
		!shoal_types_names_object(type);
}

bool
shoal_moved_is_movable(Oid type)
{
	return type != RECORDOID && type != RECORDARRAYOID &&
		get_typtype(type) != TYPTYPE_PSEUDO && !shoal_types_names_object(type);
}

int
shoal_moved_values_seen(void)
{
	return Min(get_hash_memory_limit(), MAX_SEEN) / sizeof(Datum);
}

/* Reads a text, as an explicit cast does. */
static Expr *
coerce_from_text(Expr *arg, Oid type, Oid collation)
{
	CoerceViaIO *result = makeNode(CoerceViaIO);

	result->arg = arg;
	result->resulttype = type;
	result->resultcollid = collation;
	result->coerceformat = COERCE_EXPLICIT_CAST;
	result->location = -1;
	return (Expr *) result;
}

/* ---- moves ---- */

ShoalMove *
shoal_moved_add(Query *source, Oid relid, double rows)
{
	ShoalMove  *move = palloc0(sizeof(ShoalMove));
	ListCell   *lc;

	move->number = list_length(shoal_planning->moves);
	move->source = source;
	move->relid = relid;
	move->rows = rows;
	foreach(lc, source->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		if (!shoal_moved_is_plain(exprType((Node *) tle->expr)))
			tle->expr = shoal_expr_text_of(tle->expr);
	}
	shoal_planning->moves = lappend(shoal_planning->moves, move);
	return move;
}

/* "shoal.moved_rows(slot) AS x(c1 type, ...)" */
static RangeTblEntry *
make_rows_rte(ShoalMove *move)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	RangeTblFunction *function = makeNode(RangeTblFunction);
	Oid			argtypes[1] = {TEXTOID};
	Oid			funcid = shoal_expr_own_function("moved_rows", 1, argtypes);
	ListCell   *lc;

	rte->rtekind = RTE_FUNCTION;
	rte->inFromCl = true;
	rte->eref = makeAlias("shoal", NIL);
	function->funcexpr = (Node *)
		makeFuncExpr(funcid, RECORDOID,
					 list_make1(shoal_expr_make_slot(2 * move->number)),
					 InvalidOid, DEFAULT_COLLATION_OID, COERCE_EXPLICIT_CALL);
	((FuncExpr *) function->funcexpr)->funcretset = true;
	foreach(lc, move->source->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);
		Node	   *expr = (Node *) tle->expr;
		String	   *name = makeString(psprintf("c%d", tle->resno));

		rte->eref->colnames = lappend(rte->eref->colnames, name);
		function->funccolnames = lappend(function->funccolnames, name);
		function->funccoltypes = lappend_oid(function->funccoltypes,
											 exprType(expr));
		function->funccoltypmods = lappend_int(function->funccoltypmods,
											   exprTypmod(expr));
		function->funccolcollations =
			lappend_oid(function->funccolcollations, exprCollation(expr));
		function->funccolcount++;
	}
	rte->alias = makeAlias("shoal", NIL);
	rte->functions = list_make1(function);
	return rte;
}

Query *
shoal_moved_query(ShoalMove *move, List *attnos, List *exprs, List *names)
{
	Query	   *query = shoal_query_from(make_rows_rte(move));
	ListCell   *lc;

	foreach(lc, names)
	{
		int			attno = foreach_current_index(lc) + 1;
		int			column = 0;
		Expr	   *expr = NULL;
		ListCell   *lca;
		ListCell   *lce;

		forboth(lca, attnos, lce, exprs)
		{
			Node	   *moved = lfirst(lce);
			TargetEntry *tle = list_nth(move->source->targetList, column++);
			Node	   *sent = (Node *) tle->expr;

			if (lfirst_int(lca) != attno)
				continue;
			expr = (Expr *) makeVar(1, column, exprType(sent), exprTypmod(sent),
									exprCollation(sent), 0);
			if (exprType(sent) != exprType(moved))
				expr = coerce_from_text(expr, exprType(moved),
										exprCollation(moved));
		}
		if (expr == NULL)
			expr = (Expr *) makeNullConst(INT4OID, -1, InvalidOid);
		query->targetList = lappend(query->targetList,
									makeTargetEntry(expr, attno,
													pstrdup(strVal(lfirst(lc))),
													false));
	}
	return query;
}

/* The call of a function of one argument that an entry is; NULL if it isn't. */
static FuncExpr *
only_call(RangeTblEntry *rte)
{
	FuncExpr   *call;

	if (rte->rtekind != RTE_FUNCTION || list_length(rte->functions) != 1)
		return NULL;
	call = (FuncExpr *) ((RangeTblFunction *) linitial(rte->functions))->funcexpr;
	return call && IsA(call, FuncExpr) && list_length(call->args) == 1 ? call : NULL;
}

ShoalMove *
shoal_moved_find(RangeTblEntry *rte)
{
	FuncExpr   *call = only_call(rte);
	int			number;

	if (shoal_planning == NULL || call == NULL ||
		!shoal_expr_is_slot(linitial(call->args)))
		return NULL;
	number = shoal_expr_slot_number(linitial(call->args)) / 2;
	return number < list_length(shoal_planning->moves) ?
		list_nth(shoal_planning->moves, number) : NULL;
}

/* ---- into fragments ---- */

static bool
find_moves_walker(Node *node, List **moves)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		ShoalMove  *move = shoal_moved_find((RangeTblEntry *) node);

		if (move)
			*moves = list_append_unique_ptr(*moves, move);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, find_moves_walker,
								 (void *) moves, QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, find_moves_walker, (void *) moves);
}

static Oid
scatter_aggregate(const char *name)
{
	Oid			argtypes[2] = {TEXTOID, ANYOID};
	Oid			result = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
										 CStringGetDatum(name),
										 PointerGetDatum(buildoidvector(argtypes, 2)),
										 ObjectIdGetDatum(get_namespace_oid("shoal", false)));

	if (!OidIsValid(result))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("aggregate shoal.%s(text, \"any\") does not exist", name),
				 errhint("Update the extension.")));
	return result;
}

/* "SELECT shoal.scatter(slot, columns) FROM ..." */
static Query *
make_scatter(ShoalMove *move, Node *slot)
{
	Query	   *query = copyObject(move->source);
	Aggref	   *agg = makeNode(Aggref);
	ListCell   *lc;

	agg->aggfnoid = scatter_aggregate(move->distinct ? "scatter_distinct" : "scatter");
	agg->aggtype = TEXTOID;
	agg->aggcollid = DEFAULT_COLLATION_OID;
	agg->args = list_make1(makeTargetEntry((Expr *) slot, 1, NULL, false));
	agg->aggargtypes = list_make1_oid(TEXTOID);
	foreach(lc, query->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		agg->args = lappend(agg->args,
							makeTargetEntry(tle->expr, tle->resno + 1, NULL,
											false));
		agg->aggargtypes = lappend_oid(agg->aggargtypes,
									   exprType((Node *) tle->expr));
	}
	agg->aggkind = AGGKIND_NORMAL;
	agg->aggno = agg->aggtransno = -1;
	agg->location = -1;
	query->targetList = list_make1(makeTargetEntry((Expr *) agg, 1, "scatter",
												   false));
	query->hasAggs = true;
	return query;
}

/* Position of a slot among parameters. */
static int
find_slot(List *params, Node *slot)
{
	ListCell   *lc;

	foreach(lc, params)
	{
		if (equal(lfirst(lc), slot))
			return foreach_current_index(lc);
	}
	elog(ERROR, "moved rows are not among the parameters of a fragment");
	return -1;
}

List *
shoal_moved_compile(Query *query, List *params)
{
	List	   *moves = NIL;
	List	   *result = NIL;
	ListCell   *lc;

	if (shoal_planning == NULL || shoal_planning->moves == NIL)
		return NIL;
	(void) find_moves_walker((Node *) query, &moves);
	foreach(lc, moves)
	{
		ShoalMove  *move = (ShoalMove *) lfirst(lc);
		ShoalFragmentMove *fragmove = palloc(sizeof(ShoalFragmentMove));
		Node	   *slot = shoal_expr_make_slot(2 * move->number + 1);
		ShoalAnalysis analysis;
		ShoalShape *whole = &analysis.whole;
		ShoalShapeKind kind;

		/* what is spread over no shards is here, or is computed here */
		if (move->shape)
			*whole = *move->shape;
		else
			shoal_shape_analyze(move->source, &analysis);
		kind = whole->kind;
		if (kind != SHOAL_SHAPE_SHARDED)
			whole->kind = SHOAL_SHAPE_ANY;
		fragmove->source = shoal_text_compile(make_scatter(move, slot), whole);
		if (kind == SHOAL_SHAPE_NONE)
			fragmove->source->group_id = SHOAL_GROUP_HERE;
		fragmove->source_param = find_slot(fragmove->source->params, slot);
		fragmove->spec_param = find_slot(params,
										 shoal_expr_make_slot(2 * move->number));
		fragmove->relid = move->relid;
		fragmove->rows = move->rows;
		result = lappend(result, fragmove);
	}
	return result;
}

/* ---- on the node ---- */

static FuncExpr *
call_of_moved_rows(RangeTblEntry *rte)
{
	FuncExpr   *call = only_call(rte);

	if (call == NULL || call->funcid < FirstNormalObjectId ||
		get_func_namespace(call->funcid) != get_namespace_oid("shoal", true) ||
		strcmp(get_func_name(call->funcid), "moved_rows") != 0)
		return NULL;
	return call;
}

bool
shoal_moved_are_read(const char *query_string)
{
	return query_string && strstr(query_string, "shoal.moved_rows(") != NULL;
}

static bool
specs_walker(Node *node, List **specs)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		FuncExpr   *call = call_of_moved_rows((RangeTblEntry *) node);

		if (call)
			*specs = list_append_unique(*specs, copyObject(linitial(call->args)));
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, specs_walker, specs,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, specs_walker, specs);
}

List *
shoal_moved_specs(Query *query)
{
	List	   *specs = NIL;

	(void) specs_walker((Node *) query, &specs);
	return specs;
}

void
shoal_moved_add_end(PlannedStmt *stmt, List *specs)
{
	CustomScan *cscan;

	if (specs == NIL)
		return;
	cscan = makeNode(CustomScan);
	cscan->methods = GetCustomScanMethods(SHOAL_MOVED_FILES, false);
	cscan->custom_exprs = specs;
	stmt->subplans = lappend(stmt->subplans, cscan);
}

/* A condition "column = value of outside" among others; NULL if there is none. */
static OpExpr *
find_lookup(List *quals, Index varno, Var **column, Node **value)
{
	ListCell   *lc;

	foreach(lc, quals)
	{
		OpExpr	   *op = (OpExpr *) lfirst(lc);
		RegProcedure left;
		RegProcedure right;

		if (!IsA(op, OpExpr) || list_length(op->args) != 2 ||
			!get_op_hash_functions(op->opno, &left, &right))
			continue;
		for (int i = 0; i < 2; i++)
		{
			*column = (Var *) shoal_expr_strip(list_nth(op->args, i));
			*value = list_nth(op->args, 1 - i);
			if (IsA(*column, Var) && (*column)->varno == varno &&
				(*column)->varattno > 0 && shoal_expr_is_closed(*value) &&
				!contain_volatile_functions(*value) &&
				shoal_expr_has_exec_param(*value))
				return op;
		}
	}
	return NULL;
}

/*
 * Of the conditions those without values of outside have been tested before the
 * rows were moved, which their number tells.
 */
static double
matching_rows(PlannerInfo *root, RelOptInfo *rel)
{
	List	   *open = NIL;
	ListCell   *lc;

	foreach(lc, rel->baserestrictinfo)
	{
		if (shoal_expr_has_exec_param((Node *) ((RestrictInfo *) lfirst(lc))->clause))
			open = lappend(open, lfirst(lc));
	}
	return clamp_row_est(rel->tuples *
						 clauselist_selectivity(root, open, 0, JOIN_INNER, NULL));
}

void
shoal_moved_pathlist(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte)
{
	FuncExpr   *call = call_of_moved_rows(rte);
	ShoalMove  *move;
	Node	   *spec;
	bool		known = false;
	double		rows;
	double		cost;
	Var		   *column;
	Node	   *value;

	if (call == NULL || IS_DUMMY_REL(rel))
		return;
	spec = estimate_expression_value(root, linitial(call->args));
	if (IsA(spec, Const) && !((Const *) spec)->constisnull &&
		sscanf(TextDatumGetCString(((Const *) spec)->constvalue), "%lf",
			   &rows) == 1)
		known = true;
	else if ((move = shoal_moved_find(rte)) != NULL)
	{
		rows = move->rows;
		known = true;
	}
	if (known)
	{
		rel->tuples = clamp_row_est(rows);
		set_baserel_size_estimates(root, rel);
		rel->rows = matching_rows(root, rel);
	}
	cost = rel->tuples * (cpu_tuple_cost + cpu_operator_cost) +
		rel->tuples * rel->reltarget->width / BLCKSZ * seq_page_cost;
	/* all of them are read once, the first time */
	if (find_lookup(get_actual_clauses(rel->baserestrictinfo), rel->relid, &column,
					&value))
		cost = cost / 100 + rel->rows * seq_page_cost;
	shoal_part_set_path(root, rel, &moved_path_methods, NIL, 0, cost);
}

/* What the scan has to know to look rows up. */
static void
add_lookup(CustomScan *cscan, OpExpr *op, Var *column, Node *value)
{
	RegProcedure left;
	RegProcedure right;
	bool		reversed = (value == linitial(op->args));

	(void) get_op_hash_functions(op->opno, &left, &right);
	cscan->custom_exprs = lappend(cscan->custom_exprs, value);
	cscan->custom_private = list_make2(list_make1_int(column->varattno),
									   list_make3_oid(reversed ? right : left,
													  reversed ? left : right,
													  op->inputcollid));
}

static Plan *
plan_moved_path(PlannerInfo *root, RelOptInfo *rel, CustomPath *best_path,
				List *tlist, List *clauses, List *custom_plans)
{
	RangeTblEntry *rte = planner_rt_fetch(rel->relid, root);
	RangeTblFunction *function = linitial(rte->functions);
	CustomScan *cscan = makeNode(CustomScan);
	OpExpr	   *lookup;
	Var		   *column;
	Node	   *value;

	cscan->custom_scan_tlist =
		shoal_part_scan_tlist(shoal_part_vars(rel->relid, function->funccoltypes,
											  function->funccoltypmods,
											  function->funccolcollations));
	cscan->methods = GetCustomScanMethods(SHOAL_MOVED, false);
	cscan->flags = CUSTOMPATH_SUPPORT_PROJECTION;
	cscan->custom_exprs = list_make1(linitial(((FuncExpr *) function->funcexpr)->args));
	cscan->scan.plan.targetlist = tlist;
	cscan->scan.plan.qual = extract_actual_clauses(clauses, false);
	lookup = find_lookup(cscan->scan.plan.qual, rel->relid, &column, &value);
	if (lookup)
		add_lookup(cscan, lookup, column, value);
	return (Plan *) cscan;
}
