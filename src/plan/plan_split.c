/*
 * plan_split.c
 *		Splitting a query into what each shard can do and what is left.
 *
 * Four splits, the best that fits is taken:
 *
 *	sorted		all but DISTINCT, ORDER BY and LIMIT can be done shard by shard:
 *				the nodes do these, too, the coordinator merges and does them
 *				again
 *	aggregates	the nodes group and return transition states, the coordinator
 *				combines them; needs a combine function for each aggregate
 *	distinct	aggregates are all over the DISTINCT values of the same: the nodes
 *				return these without duplicates
 *	rows		the nodes return the columns that the rest of the query needs
 *
 * The rest stays an ordinary query, which core plans.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_agg.h"
#include "parser/parse_oper.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "base/base_types.h"
#include "plan/plan_assign.h"
#include "plan/plan_expr.h"
#include "plan/plan_part.h"
#include "plan/plan_query.h"
#include "plan/plan_split.h"

/* guesses, used where nothing better is known */
#define GUESS_GROUPS	1000
#define GUESS_ROWS		100000

/* What of the original query is found in which column of the part. */
typedef struct SplitContext
{
	List	   *exprs;			/* by column: expressions of the original query */
	List	   *states;			/* by column: type of the transition state of an
								 * Aggref, InvalidOid for others */
	int			depth;			/* sublink nesting, while replacing */
	bool		distinct;		/* aggregates are all DISTINCT of the same: they
								 * are computed above, their arguments grouped
								 * by below */
	List	   *arguments;		/* if so: these */
	int			group_rti;		/* entry of what is grouped by, or 0; it becomes
								 * the second one */
} SplitContext;

Query *
shoal_split_bare_copy(Query *query)
{
	Query	   *bare = copyObject(query);

	bare->targetList = NIL;
	bare->havingQual = NULL;
	bare->groupClause = NIL;
	bare->groupingSets = NIL;
	bare->groupDistinct = false;
	bare->distinctClause = NIL;
	bare->hasDistinctOn = false;
	bare->sortClause = NIL;
	bare->limitCount = NULL;
	bare->limitOffset = NULL;
	bare->limitOption = LIMIT_OPTION_COUNT;
	bare->windowClause = NIL;
	bare->hasAggs = false;
	bare->hasWindowFuncs = false;
	bare->hasTargetSRFs = false;
	bare->rowMarks = NIL;
	bare->hasForUpdate = false;
	bare->constraintDeps = NIL;
	return bare;
}

void
shoal_split_put_over(Query *query, RangeTblEntry *rte)
{
	Query	   *from = shoal_query_from(rte);

	query->rtable = from->rtable;
	query->jointree = from->jointree;
	query->cteList = NIL;
	query->hasRecursive = false;
	query->rowMarks = NIL;
	query->hasForUpdate = false;
	query->constraintDeps = NIL;
	shoal_query_clear_permissions(query);
}

/* ---- aggregates ---- */

/*
 * Whether what a transition state is made of means the same elsewhere: one of values of
 * whichever type (array_agg) says by its OID which type that is, and has their binary
 * form.
 */
static bool
is_state_portable(Aggref *agg, const Oid *argtypes, int nargs)
{
	Oid		   *declared;
	int			ndeclared;
	bool		result = true;

	(void) get_func_signature(agg->aggfnoid, &declared, &ndeclared);
	for (int i = 0; i < Min(nargs, ndeclared); i++)
	{
		if (IsPolymorphicType(declared[i]))
			result &= shoal_types_is_binary(argtypes[i]) &&
				OidIsValid(shoal_types_wire_oid(argtypes[i]));
	}
	return result;
}

/*
 * The type in which a node returns the transition state of an aggregate;
 * InvalidOid if it can't be combined.
 */
static Oid
state_type(Aggref *agg)
{
	Oid			argtypes[FUNC_MAX_ARGS];
	int			nargs;
	HeapTuple	tuple;
	Form_pg_aggregate form;
	Oid			type;

	if (agg->aggkind != AGGKIND_NORMAL || agg->aggdistinct || agg->aggorder ||
		agg->agglevelsup != 0)
		return InvalidOid;
	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(agg->aggfnoid));
	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	form = (Form_pg_aggregate) GETSTRUCT(tuple);
	nargs = get_aggregate_argtypes(agg, argtypes);
	type = resolve_aggregate_transtype(agg->aggfnoid, form->aggtranstype,
									   argtypes, nargs);
	if (!OidIsValid(form->aggcombinefn))
		type = InvalidOid;
	else if (type == INTERNALOID)
		type = OidIsValid(form->aggserialfn) && OidIsValid(form->aggdeserialfn) &&
			is_state_portable(agg, argtypes, nargs) ? BYTEAOID : InvalidOid;
	else if (get_typtype(type) == TYPTYPE_PSEUDO)
		type = InvalidOid;
	ReleaseSysCache(tuple);
	return type;
}

static int
find_expr(SplitContext *context, Node *node)
{
	ListCell   *lc;
	int			column = 0;

	foreach(lc, context->exprs)
	{
		column++;
		if (equal(lfirst(lc), node))
			return column;
	}
	return 0;
}

static int
add_expr(SplitContext *context, Node *node, Oid state)
{
	int			column = find_expr(context, node);

	if (column != 0)
		return column;
	context->exprs = lappend(context->exprs, node);
	context->states = lappend_oid(context->states, state);
	return list_length(context->exprs);
}

/* The arguments of an aggregate over DISTINCT values; false if it has more. */
static bool
collect_distinct(Aggref *agg, SplitContext *context)
{
	List	   *arguments = NIL;
	ListCell   *lc;

	if (agg->aggkind != AGGKIND_NORMAL || agg->aggdistinct == NIL ||
		agg->aggorder != NIL || agg->aggfilter != NULL ||
		agg->agglevelsup != 0)
		return false;
	foreach(lc, agg->args)
	{
		Node	   *expr = (Node *) ((TargetEntry *) lfirst(lc))->expr;

		if (shoal_expr_is_stuck(expr, false) ||
			shoal_expr_is_volatile(expr, false) || checkExprHasSubLink(expr))
			return false;
		arguments = lappend(arguments, expr);
	}
	if (context->arguments != NIL && !equal(context->arguments, arguments))
		return false;
	context->arguments = arguments;
	foreach(lc, arguments)
		add_expr(context, lfirst(lc), InvalidOid);
	return true;
}

/*
 * Collects Aggrefs, and columns outside of them that are no group's expression
 * (they depend on one: then they can be grouped by as well).  True if
 * something can't be split.
 */
static bool
collect_aggs_walker(Node *node, SplitContext *context)
{
	if (node == NULL)
		return false;
	if (find_expr(context, node) != 0)
		return false;
	if (IsA(node, Aggref) && context->distinct)
		return !collect_distinct((Aggref *) node, context);
	if (IsA(node, Aggref))
	{
		Oid			type = state_type((Aggref *) node);

		if (!OidIsValid(type) || shoal_expr_is_stuck(node, false) ||
			shoal_expr_is_volatile(node, false) || checkExprHasSubLink(node))
			return true;
		add_expr(context, node, type);
		return false;
	}
	if (IsA(node, Var))
	{
		if (((Var *) node)->varlevelsup == 0)
			add_expr(context, node, InvalidOid);
		return false;
	}
	if (IsA(node, SubLink) || IsA(node, GroupingFunc))
		return true;
	return expression_tree_walker(node, collect_aggs_walker, (void *) context);
}

static Node *
replace_aggs_mutator(Node *node, SplitContext *context)
{
	int			column;
	Oid			state;

	if (node == NULL)
		return NULL;
	column = find_expr(context, node);
	if (column == 0)
		return expression_tree_mutator(node, replace_aggs_mutator,
									   (void *) context);
	state = list_nth_oid(context->states, column - 1);
	if (!OidIsValid(state))
		return (Node *) makeVar(1, column, exprType(node), exprTypmod(node),
								exprCollation(node), 0);
	else
	{
		Aggref	   *agg = copyObject((Aggref *) node);
		Var		   *var = makeVar(1, column, state, -1,
								  get_typcollation(state), 0);

		agg->args = list_make1(makeTargetEntry((Expr *) var, 1,
											   SHOAL_STATE_NAME, false));
		agg->aggstar = false;
		agg->aggfilter = NULL;
		return (Node *) agg;
	}
}

bool
shoal_split_group_by(Query *query, Index ref, Node *expr)
{
	SortGroupClause *clause = makeNode(SortGroupClause);

	get_sort_group_operators(exprType(expr), false, false, false,
							 &clause->sortop, &clause->eqop, NULL,
							 &clause->hashable);
	if (!OidIsValid(clause->eqop))
		return false;
	clause->tleSortGroupRef = ref;
	query->groupClause = lappend(query->groupClause, clause);
	return true;
}

static Index
max_sortgroupref(List *targetlist)
{
	Index		result = 0;
	ListCell   *lc;

	foreach(lc, targetlist)
		result = Max(result, ((TargetEntry *) lfirst(lc))->ressortgroupref);
	return result;
}

/*
 * distinct: the nodes don't aggregate, they only leave out duplicates of what
 * aggregates of DISTINCT values take.
 */
static bool
split_aggregates(Query *query, const ShoalAnalysis *analysis, bool distinct)
{
	SplitContext context = {0};
	Query	   *bare;
	ShoalPart  *part;
	List	   *names = NIL;
	List	   *types = NIL;
	List	   *typmods = NIL;
	List	   *collations = NIL;
	List	   *targetlist;
	List	   *more_groups = NIL;
	List	   *extra_targets = NIL;
	Node	   *having;
	Index		next_ref = max_sortgroupref(query->targetList) + 1;
	ListCell   *lc;
	ListCell   *lcs;
	int			column = 0;

	if (!(query->hasAggs || query->groupClause) || query->groupingSets ||
		query->hasTargetSRFs)
		return false;
	context.distinct = distinct;
	foreach(lc, query->groupClause)
	{
		Node	   *expr = get_sortgroupclause_expr(lfirst(lc), query->targetList);

		if (shoal_expr_is_stuck(expr, false) ||
			shoal_expr_is_volatile(expr, false) ||
			checkExprHasSubLink(expr))
			return false;
		add_expr(&context, expr, InvalidOid);
	}
	if (collect_aggs_walker((Node *) query->targetList, &context) ||
		collect_aggs_walker(query->havingQual, &context) ||
		collect_aggs_walker((Node *) query->windowClause, &context))
		return false;

	bare = shoal_split_bare_copy(query);
	forboth(lc, context.exprs, lcs, context.states)
	{
		Node	   *expr = lfirst(lc);
		TargetEntry *tle;
		Oid			state = lfirst_oid(lcs);

		column++;
		tle = makeTargetEntry(copyObject((Expr *) expr), column,
							  psprintf("c%d", column), false);
		bare->targetList = lappend(bare->targetList, tle);
		names = lappend(names, makeString(tle->resname));
		if (OidIsValid(state))
		{
			bare->hasAggs = true;
			types = lappend_oid(types, state);
			typmods = lappend_int(typmods, -1);
			collations = lappend_oid(collations, get_typcollation(state));
			continue;
		}
		types = lappend_oid(types, exprType(expr));
		typmods = lappend_int(typmods, exprTypmod(expr));
		collations = lappend_oid(collations, exprCollation(expr));
		tle->ressortgroupref = column;
		if (!shoal_split_group_by(bare, column, expr))
			return false;
		if (column > list_length(query->groupClause) &&
			!list_member(context.arguments, expr))
			more_groups = lappend(more_groups, expr);
	}
	if ((query->groupClause == NIL && more_groups != NIL) ||
		!shoal_expr_are_sendable(types))
		return false;

	targetlist = (List *) replace_aggs_mutator((Node *) query->targetList,
											   &context);
	having = replace_aggs_mutator(query->havingQual, &context);
	foreach(lc, more_groups)
	{
		TargetEntry *tle;

		tle = makeTargetEntry((Expr *) replace_aggs_mutator(lfirst(lc), &context),
							  list_length(targetlist) + 1, NULL, true);
		tle->ressortgroupref = next_ref;
		extra_targets = lappend(extra_targets, tle);
		targetlist = lappend(targetlist, tle);
		shoal_split_group_by(query, next_ref, lfirst(lc));
		next_ref++;
	}
	query->windowClause = (List *)
		replace_aggs_mutator((Node *) query->windowClause, &context);
	query->targetList = targetlist;
	query->havingQual = having;

	part = palloc0(sizeof(ShoalPart));
	part->query = bare;
	part->fixed = true;
	part->shape = analysis->from;
	part->partial = bare->hasAggs;
	part->rows = query->groupClause ? GUESS_GROUPS : 2;
	part->guessed = (query->groupClause != NIL);
	part->way = "push";
	part->reason = analysis->whole.reason;
	shoal_part_note_tables(bare);
	shoal_split_put_over(query, shoal_part_make_rte(part, names, types, typmods,
													collations));
	return true;
}

/* ---- sorted ---- */

/*
 * LEAST(number, a quarter of what fits): two of them can be added, and nobody
 * counts that far.
 */
static Node *
addable(Node *number)
{
	MinMaxExpr *least = makeNode(MinMaxExpr);
	Const	   *much = makeConst(INT8OID, -1, InvalidOid, sizeof(int64),
								 Int64GetDatum(PG_INT64_MAX / 4), false,
								 FLOAT8PASSBYVAL);

	least->minmaxtype = INT8OID;
	least->op = IS_LEAST;
	least->args = list_make2(copyObject(number), much);
	least->location = -1;
	return (Node *) least;
}

/* limit + offset, or NULL if that can't be told to the nodes. */
static Node *
limit_for_nodes(Query *query)
{
	Node	   *count = query->limitCount;
	Node	   *offset = query->limitOffset;

	if (count == NULL || !shoal_expr_is_closed(count) ||
		contain_volatile_functions(count))
		return NULL;
	if (offset == NULL)
		return copyObject(count);
	if (!shoal_expr_is_closed(offset) || contain_volatile_functions(offset))
		return NULL;
	return (Node *) makeFuncExpr(F_INT8PL, INT8OID,
								 list_make2(addable(count), addable(offset)),
								 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

static List *
sort_keys_of(Query *query)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, query->sortClause)
	{
		SortGroupClause *clause = (SortGroupClause *) lfirst(lc);
		TargetEntry *tle = get_sortgroupclause_tle(clause, query->targetList);
		ShoalSortKey *key = palloc(sizeof(ShoalSortKey));

		key->column = tle->resno;
		key->sortop = clause->sortop;
		key->collation = exprCollation((Node *) tle->expr);
		key->nulls_first = clause->nulls_first;
		result = lappend(result, key);
	}
	return result;
}

/* Each node would have an order of its own. */
static bool
sorts_by_name(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->sortClause)
	{
		if (shoal_types_names_object(exprType(get_sortgroupclause_expr(lfirst(lc),
																	   query->targetList))))
			return true;
	}
	return false;
}

static bool
split_sorted(Query *query, const ShoalAnalysis *analysis)
{
	Query	   *sent;
	Query	   *plain;
	ShoalAnalysis check;
	ShoalPart  *part;
	List	   *names;
	List	   *types;
	List	   *typmods;
	List	   *collations;
	List	   *targetlist = NIL;
	ListCell   *lc;

	if (shoal_expr_is_volatile((Node *) query->targetList, false) ||
		shoal_expr_is_stuck((Node *) query->targetList, false) ||
		shoal_assign_any(query->targetList) || sorts_by_name(query))
		return false;

	/* is it order, DISTINCT and LIMIT alone that need all shards? */
	plain = copyObject(query);
	plain->sortClause = NIL;
	plain->distinctClause = NIL;
	plain->hasDistinctOn = false;
	plain->limitCount = NULL;
	plain->limitOffset = NULL;
	plain->limitOption = LIMIT_OPTION_COUNT;
	shoal_shape_analyze(plain, &check);
	if (check.whole.kind != SHOAL_SHAPE_SHARDED)
		return false;

	sent = copyObject(query);
	foreach(lc, sent->targetList)
		((TargetEntry *) lfirst(lc))->resjunk = false;
	shoal_part_columns(sent->targetList, &names, &types, &typmods, &collations);
	if (!shoal_expr_are_sendable(types))
		return false;
	sent->limitOffset = NULL;
	sent->limitCount = limit_for_nodes(query);
	if (sent->limitCount == NULL)
		sent->limitOption = LIMIT_OPTION_COUNT;

	part = palloc0(sizeof(ShoalPart));
	part->query = sent;
	part->fixed = true;
	part->shape = check.whole;
	part->sort = sort_keys_of(sent);
	part->rows = sent->limitCount ? GUESS_GROUPS : GUESS_ROWS;
	part->guessed = true;
	part->way = "push";
	part->reason = analysis->whole.reason;
	shoal_part_note_tables(sent);

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = flatCopyTargetEntry(lfirst(lc));

		tle->expr = (Expr *) makeVar(1, tle->resno,
									 exprType((Node *) tle->expr),
									 exprTypmod((Node *) tle->expr),
									 exprCollation((Node *) tle->expr), 0);
		targetlist = lappend(targetlist, tle);
	}
	query->targetList = targetlist;
	query->hasSubLinks = query->limitCount != NULL &&
		(checkExprHasSubLink(query->limitCount) ||
		 (query->limitOffset && checkExprHasSubLink(query->limitOffset)));
	query->hasTargetSRFs = false;
	query->hasAggs = false;
	query->hasWindowFuncs = false;
	query->groupClause = NIL;
	query->groupDistinct = false;
	query->groupingSets = NIL;
	query->havingQual = NULL;
	query->windowClause = NIL;
	shoal_split_put_over(query, shoal_part_make_rte(part, names, types, typmods,
													collations));
	return true;
}

/* ---- rows ---- */

/* Collects the columns of the level that the upper part reads. */
static bool
collect_vars_walker(Node *node, SplitContext *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		if (((Var *) node)->varlevelsup == context->depth &&
			((Var *) node)->varno != context->group_rti)
		{
			Var		   *var = copyObject((Var *) node);

			var->varlevelsup = 0;
			add_expr(context, (Node *) var, InvalidOid);
		}
		return false;
	}
	if (IsA(node, Query))
	{
		bool		result;

		context->depth++;
		result = query_tree_walker((Query *) node, collect_vars_walker,
								   (void *) context, 0);
		context->depth--;
		return result;
	}
	return expression_tree_walker(node, collect_vars_walker, (void *) context);
}

static Node *
replace_vars_mutator(Node *node, SplitContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		if (var->varlevelsup == context->depth)
		{
			Var		   *own = copyObject(var);

			if (own->varno == context->group_rti)
			{
				shoal_var_move_group(own, 2);
				return (Node *) own;
			}
			own->varlevelsup = 0;
			return (Node *) makeVar(1, find_expr(context, (Node *) own),
									var->vartype, var->vartypmod, var->varcollid,
									context->depth);
		}
		return copyObject(node);
	}
	if (IsA(node, Query))
	{
		Query	   *result;

		context->depth++;
		result = query_tree_mutator((Query *) node, replace_vars_mutator,
									(void *) context, 0);
		context->depth--;
		return (Node *) result;
	}
	return expression_tree_mutator(node, replace_vars_mutator,
								   (void *) context);
}

static bool
split_rows(Query *query, const ShoalAnalysis *analysis)
{
	SplitContext context = {0};
	Query	   *bare;
	ShoalPart  *part;
	RangeTblEntry *group_rte = NULL;
	List	   *upper;
	List	   *names;
	List	   *types;
	List	   *typmods;
	List	   *collations;
	ListCell   *lc;

	upper = list_make5(query->targetList, query->havingQual,
					   query->windowClause, query->limitCount,
					   query->limitOffset);
	context.group_rti = shoal_query_group_rti(query);
	if (context.group_rti > 0)
	{
		group_rte = rt_fetch(context.group_rti, query->rtable);
		upper = lappend(upper, shoal_rte_group_exprs(group_rte));
	}
	if (query->cteList && checkExprHasSubLink((Node *) upper))
		return false;
	collect_vars_walker((Node *) upper, &context);

	bare = shoal_split_bare_copy(query);
	bare->rowMarks = copyObject(query->rowMarks);
	bare->hasForUpdate = query->hasForUpdate;
	foreach(lc, context.exprs)
	{
		int			column = list_length(bare->targetList) + 1;

		/* system columns differ from node to node */
		if (((Var *) lfirst(lc))->varattno < 0)
			return false;
		bare->targetList = lappend(bare->targetList,
								   makeTargetEntry(copyObject(lfirst(lc)),
												   column,
												   psprintf("c%d", column),
												   false));
	}
	shoal_part_columns(bare->targetList, &names, &types, &typmods, &collations);
	if (!shoal_expr_are_sendable(types))
		return false;

	query->targetList = (List *)
		replace_vars_mutator((Node *) query->targetList, &context);
	query->havingQual = replace_vars_mutator(query->havingQual, &context);
	query->windowClause = (List *)
		replace_vars_mutator((Node *) query->windowClause, &context);
	query->limitCount = replace_vars_mutator(query->limitCount, &context);
	query->limitOffset = replace_vars_mutator(query->limitOffset, &context);

	part = palloc0(sizeof(ShoalPart));
	part->query = bare;
	part->shape = analysis->from;
	part->fixed = true;
	part->rows = GUESS_ROWS;
	part->guessed = true;
	part->way = "push";
	part->reason = analysis->whole.reason;
	shoal_part_note_tables(bare);
	shoal_split_put_over(query, shoal_part_make_rte(part, names, types, typmods,
													collations));
	if (group_rte != NULL)
	{
		List	   *exprs = shoal_rte_group_exprs(group_rte);

		shoal_rte_set_group_exprs(group_rte, (List *)
								  replace_vars_mutator((Node *) exprs, &context));
		query->rtable = lappend(query->rtable, group_rte);
	}
	return true;
}

bool
shoal_split_query(Query *query, const ShoalAnalysis *analysis)
{
	if (query->commandType != CMD_SELECT || query->hasModifyingCTE ||
		query->setOperations || analysis->from.kind != SHOAL_SHAPE_SHARDED)
		return false;
	return split_sorted(query, analysis) ||
		split_aggregates(query, analysis, false) ||
		split_aggregates(query, analysis, true) ||
		split_rows(query, analysis);
}
