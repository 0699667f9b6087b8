/*
 * plan_part.c
 *		Parts of a query that come from nodes, while core plans the rest.
 *
 * Core sees a part as a relation of unknown content: a named tuplestore.  Its
 * only path is ours, a CustomPath, which takes along what core found out about
 * the relation: the columns that are needed and the conditions that can be
 * tested on it.  When the path becomes a plan the part's query is compiled
 * into a fragment with both.
 *
 * The tables that a part reads do not appear in what core plans.  They are put
 * into the finished plan's range table, as core does for views, so that locks,
 * rights and plan invalidation are as for any statement.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "plan/plan_expr.h"
#include "plan/plan_part.h"
#include "plan/plan_query.h"
#include "plan/plan_sequence.h"
#include "plan/plan_statistics.h"
#include "plan/plan_text.h"
#include "plan/plan_with.h"

#define PART_NAME	"*shoal* "

/*
 * That of asking nodes.  It is the same in all plans of a query, which core takes for
 * equal if they differ by a hundredth: with much more, for any few rows.
 */
#define START_COST	10

ShoalPlanning *shoal_planning = NULL;

static Plan *plan_part_path(PlannerInfo *root, RelOptInfo *rel,
							CustomPath *best_path, List *tlist, List *clauses,
							List *custom_plans);

static const CustomPathMethods part_path_methods = {
	.CustomName = SHOAL_SCAN,
	.PlanCustomPath = plan_part_path,
};

void
shoal_part_begin(ShoalPlanning *planning, ParamListInfo params)
{
	planning->outer = shoal_planning;
	planning->params = params;
	planning->moves = shoal_planning ? list_copy(shoal_planning->moves) : NIL;
	shoal_planning = planning;
}

/* ---- tables that leave the query ---- */

static bool
note_tables_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		ListCell   *lc;

		foreach(lc, query->rtable)
		{
			RangeTblEntry *rte = (RangeTblEntry *) lfirst(lc);

			if (rte->rtekind == RTE_RELATION)
			{
				shoal_planning->removed = lappend(shoal_planning->removed,
												  copyObject(rte));
				shoal_planning->removed_perms =
					lappend(shoal_planning->removed_perms,
							shoal_rte_permissions(query, rte));
			}
		}
		return query_tree_walker(query, note_tables_walker, context, 0);
	}
	return expression_tree_walker(node, note_tables_walker, context);
}

void
shoal_part_note_tables(Query *query)
{
	note_tables_walker((Node *) query, NULL);
}

/* ---- range table entries ---- */

void
shoal_part_columns(List *targetlist, List **names, List **types,
				   List **typmods, List **collations)
{
	ListCell   *lc;

	*names = *types = *typmods = *collations = NIL;
	foreach(lc, targetlist)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);
		Node	   *expr = (Node *) tle->expr;

		if (tle->resjunk)
			continue;
		*names = lappend(*names, makeString(pstrdup(tle->resname ? tle->resname :
													"?column?")));
		*types = lappend_oid(*types, exprType(expr));
		*typmods = lappend_int(*typmods, exprTypmod(expr));
		*collations = lappend_oid(*collations, exprCollation(expr));
	}
}

bool
shoal_part_is_sendable(Query *query)
{
	List	   *names;
	List	   *types;
	List	   *typmods;
	List	   *collations;

	shoal_part_columns(query->targetList, &names, &types, &typmods,
					   &collations);
	return shoal_expr_are_sendable(types);
}

static RangeTblEntry *
make_rte(char *enrname, double rows, List *names, List *types, List *typmods,
		 List *collations)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_NAMEDTUPLESTORE;
	rte->enrname = enrname;
	rte->enrtuples = rows;
	rte->coltypes = types;
	rte->coltypmods = typmods;
	rte->colcollations = collations;
	rte->eref = makeAlias("shoal", names);
	rte->inFromCl = true;
	return rte;
}

RangeTblEntry *
shoal_part_make_rte(ShoalPart *part, List *names, List *types, List *typmods,
					List *collations)
{
	shoal_planning->parts = lappend(shoal_planning->parts, part);
	return make_rte(psprintf(PART_NAME "%d",
							 list_length(shoal_planning->parts)),
					part->rows, names, types, typmods, collations);
}

/* A WITH query that nobody reads, which core does not run. */
static CommonTableExpr *
make_idle_cte(void)
{
	CommonTableExpr *cte = makeNode(CommonTableExpr);
	Query	   *query = makeNode(Query);

	query->commandType = CMD_SELECT;
	query->jointree = makeFromExpr(NIL, NULL);
	cte->ctename = "shoal";
	cte->ctequery = (Node *) query;
	return cte;
}

/*
 * Core leaves a subquery that has a WITH query where it is, and still pushes
 * conditions into it.
 */
void
shoal_part_keep_apart(Query *query)
{
	if (shoal_planning->keep_apart && query->cteList == NIL)
		query->cteList = list_make1(make_idle_cte());
}

Query *
shoal_part_wrap(ShoalPart *part)
{
	Query	   *wrap;
	List	   *names;
	List	   *types;
	List	   *typmods;
	List	   *collations;
	ListCell   *lc;
	int			attno = 0;

	shoal_part_columns(part->query->targetList, &names, &types, &typmods,
					   &collations);
	wrap = shoal_query_from(shoal_part_make_rte(part, names, types, typmods,
												collations));
	shoal_part_keep_apart(wrap);
	foreach(lc, part->query->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);
		TargetEntry *new;
		Var		   *var;

		if (tle->resjunk)
			continue;
		attno++;
		var = makeVar(1, attno, exprType((Node *) tle->expr),
					  exprTypmod((Node *) tle->expr),
					  exprCollation((Node *) tle->expr), 0);
		new = makeTargetEntry((Expr *) var, attno, tle->resname, false);
		new->resorigtbl = tle->resorigtbl;
		new->resorigcol = tle->resorigcol;
		wrap->targetList = lappend(wrap->targetList, new);
	}
	return wrap;
}

/* ---- composing the query that the nodes run ---- */

/* Can conditions and columns be changed inside the query itself? */
static bool
is_open(Query *query)
{
	return query->commandType == CMD_SELECT && !query->hasAggs &&
		!query->hasWindowFuncs && !query->hasTargetSRFs &&
		!query->groupClause && !query->groupingSets && !query->havingQual &&
		!query->distinctClause && !query->setOperations &&
		!query->limitCount && !query->limitOffset &&
		!contain_volatile_functions((Node *) query->targetList);
}

typedef struct SendableContext
{
	PlannerInfo *root;
	Index		varno;			/* the part's own columns */
} SendableContext;

typedef struct SubstituteContext
{
	Index		varno;
	List	   *targetlist;		/* expressions by column */
} SubstituteContext;

static Node *
substitute_mutator(Node *node, SubstituteContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && ((Var *) node)->varno == context->varno)
	{
		TargetEntry *tle = list_nth(context->targetlist,
									((Var *) node)->varattno - 1);

		return copyObject((Node *) tle->expr);
	}
	return expression_tree_mutator(node, substitute_mutator, (void *) context);
}

static List *
without_junk(List *targetlist)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, targetlist)
	{
		if (!((TargetEntry *) lfirst(lc))->resjunk)
			result = lappend(result, lfirst(lc));
	}
	return result;
}

/*
 * The part's query with just these columns and further conditions, both in
 * terms of the part's columns (Vars of varno).
 */
static Query *
compose_query(ShoalPart *part, Index varno, List *vars, List *quals)
{
	SubstituteContext context;
	Query	   *query;
	List	   *targetlist = NIL;
	ListCell   *lc;

	context.varno = varno;
	if (is_open(part->query))
	{
		query = copyObject(part->query);
		context.targetlist = without_junk(query->targetList);
		query->sortClause = NIL;
	}
	else
	{
		RangeTblEntry *rte = makeNode(RangeTblEntry);
		Query	   *inner = copyObject(part->query);
		int			attno = 0;

		context.targetlist = NIL;
		shoal_query_forget_view(inner);
		rte->rtekind = RTE_SUBQUERY;
		rte->subquery = inner;
		rte->inFromCl = true;
		rte->eref = makeAlias("shoal", NIL);

		/* names must be unique to be referred to */
		foreach(lc, without_junk(inner->targetList))
		{
			TargetEntry *tle = (TargetEntry *) lfirst(lc);

			attno++;
			rte->eref->colnames = lappend(rte->eref->colnames,
										  makeString(psprintf("c%d", attno)));
			context.targetlist =
				lappend(context.targetlist,
						makeTargetEntry((Expr *) makeVar(1, attno,
														 exprType((Node *) tle->expr),
														 exprTypmod((Node *) tle->expr),
														 exprCollation((Node *) tle->expr),
														 0),
										attno, tle->resname, false));
		}
		rte->alias = copyObject(rte->eref);
		query = shoal_query_from(rte);
		query->hasSubLinks = inner->hasSubLinks;
	}

	foreach(lc, vars)
	{
		Var		   *var = (Var *) lfirst(lc);
		TargetEntry *tle = list_nth(context.targetlist, var->varattno - 1);

		targetlist = lappend(targetlist,
							 makeTargetEntry(copyObject(tle->expr),
											 list_length(targetlist) + 1,
											 tle->resname, false));
	}
	if (quals != NIL)
	{
		/* a flat list, as it was when the part was found to be spread */
		List	   *all = make_ands_implicit((Expr *) query->jointree->quals);

		all = list_concat_copy(all, (List *) substitute_mutator((Node *) quals, &context));
		query->jointree->quals = (Node *) make_ands_explicit(all);
	}
	query->targetList = targetlist;
	return query;
}

/* ---- how many rows ---- */

typedef struct SizeContext
{
	int			others;			/* what rows come from, besides parts */
	bool		sizes;			/* parts' rows are to be found out */
} SizeContext;

static bool
size_walker(Node *node, SizeContext *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;
		ShoalPart  *part = shoal_part_of_rte(rte);
		int			width;

		if (part == NULL)
			context->others += rte->rtekind != RTE_SUBQUERY &&
				rte->rtekind != RTE_JOIN && rte->rtekind != RTE_RESULT;
		else if (context->sizes && part->guessed &&
				 shoal_statistics_of_query(part->query, shoal_planning->params,
										   &part->rows, &width))
		{
			part->guessed = false;
			rte->enrtuples = part->rows;
		}
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, size_walker, (void *) context,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, size_walker, (void *) context);
}

void
shoal_part_sizes(Query *query)
{
	SizeContext context = {0};

	(void) size_walker((Node *) query, &context);
	if (list_length(shoal_planning->parts) + context.others < 2)
		return;
	context.sizes = true;
	(void) size_walker((Node *) query, &context);
}

/* ---- paths and plans ---- */

ShoalPart *
shoal_part_of_rte(RangeTblEntry *rte)
{
	if (shoal_planning == NULL || rte->rtekind != RTE_NAMEDTUPLESTORE ||
		strncmp(rte->enrname, PART_NAME, strlen(PART_NAME)) != 0)
		return NULL;
	return list_nth(shoal_planning->parts,
					atoi(rte->enrname + strlen(PART_NAME)) - 1);
}

/* Is it the result of a subquery that is run once, before the rest? */
static bool
is_initplan_result(PlannerInfo *root, int paramid)
{
	ListCell   *lc;

	for (; root != NULL; root = root->parent_root)
	{
		foreach(lc, root->init_plans)
		{
			if (list_member_int(((SubPlan *) lfirst(lc))->setParam, paramid))
				return true;
		}
	}
	return false;
}

static bool
has_unsendable_walker(Node *node, SendableContext *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_SubLink:
		case T_SubPlan:
		case T_AlternativeSubPlan:
		case T_PlaceHolderVar:
			return true;
		case T_Param:
			return ((Param *) node)->paramkind != PARAM_EXTERN &&
				!(((Param *) node)->paramkind == PARAM_EXEC &&
				  is_initplan_result(context->root,
									 ((Param *) node)->paramid));
		case T_RelabelType:
			return shoal_expr_numbers_table(node) ||
				has_unsendable_walker((Node *) ((RelabelType *) node)->arg,
									  context);
		case T_Var:
			/* of other relations: a lateral reference */
			return ((Var *) node)->varno != context->varno ||
				((Var *) node)->varattno <= 0;
		default:
			return expression_tree_walker(node, has_unsendable_walker,
										  (void *) context);
	}
}

static bool
is_foreign_function(Oid funcid, void *context)
{
	return funcid >= FirstNormalObjectId;
}

static bool
has_foreign_function_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return check_functions_in_node(node, is_foreign_function, NULL) ||
		shoal_expr_is_checked(node) ||
		expression_tree_walker(node, has_foreign_function_walker, context);
}

/*
 * May a condition of the user's be tested with somebody else's rights?  Only
 * if it cannot do anything but compare.
 */
static bool
is_harmless(Node *clause)
{
	return !contain_leaked_vars(clause) &&
		!has_foreign_function_walker(clause, NULL);
}

/*
 * May the user not call a function that somebody else may, or could it do something else
 * for that one?  Volatile ones read files, run queries, send signals.
 */
static bool
asks_for_user(Oid funcid, void *context)
{
	static const char *const harmless[] = {"random", "gen_random_uuid", "clock_timestamp",
	"timeofday", "pg_typeof", "pg_column_size"};
	char		kind = func_volatile(funcid);
	char	   *name;

	if (object_aclcheck(ProcedureRelationId, funcid, GetUserId(),
						ACL_EXECUTE) != ACLCHECK_OK)
		return true;
	if (kind == PROVOLATILE_IMMUTABLE)
		return false;
	if (funcid >= FirstNormalObjectId)
		return true;
	name = get_func_name(funcid);
	for (int i = 0; i < lengthof(harmless); i++)
	{
		if (strcmp(name, harmless[i]) == 0)
			return false;
	}
	return kind == PROVOLATILE_VOLATILE || strncmp(name, "pg_", 3) == 0 ||
		strncmp(name, "has_", 4) == 0 || strstr(name, "_to_xml") != NULL ||
		strcmp(name, "row_security_active") == 0 ||
		strcmp(name, "current_setting") == 0;
}

static bool
asks_for_user_walker(Node *node, void *context)
{
	if (node == NULL || shoal_sequence_is_value(node))
		return false;
	if (shoal_expr_is_checked(node) ||
		check_functions_in_node(node, asks_for_user, context))
		return true;
	if (IsA(node, Query))
		return !shoal_with_is_rows((Query *) node) &&
			query_tree_walker((Query *) node, asks_for_user_walker, context, 0);
	return expression_tree_walker(node, asks_for_user_walker, context);
}

bool
shoal_part_asks_for_user(Query *query)
{
	return asks_for_user_walker((Node *) query, NULL);
}

/*
 * What is read with the rights of a view's owner runs as the owner, but the
 * view's functions have to see the user (current_user itself is a parameter).
 */
static void
check_run_as(ShoalPart *part)
{
	if (OidIsValid(part->run_as) &&
		shoal_part_asks_for_user(part->query))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot call a function for the current user with the rights of a view's owner"),
				 errdetail("The view cannot run on each shard by itself, and it has a function that may depend on who calls it."),
				 errhint("Use a view WITH (security_invoker), or a security-definer function.")));
}

static bool
is_sendable(PlannerInfo *root, Index varno, ShoalPart *part,
			RestrictInfo *rinfo)
{
	Node	   *clause = (Node *) rinfo->clause;
	SendableContext context = {root, varno};

	return !part->fixed && !rinfo->pseudoconstant &&
		!has_unsendable_walker(clause, &context) &&
		!contain_volatile_functions(clause) &&
		!shoal_expr_is_stuck(clause, false) &&
		(!OidIsValid(part->run_as) || is_harmless(clause));
}

void
shoal_part_set_path(PlannerInfo *root, RelOptInfo *rel,
					const CustomPathMethods *methods, List *pathkeys,
					Cost startup_cost, Cost total_cost)
{
	CustomPath *path = makeNode(CustomPath);

	path->path.pathtype = T_CustomScan;
	path->path.parent = rel;
	path->path.pathtarget = rel->reltarget;
	/* expressions of a subquery above it may be evaluated with its rows */
	path->path.param_info = get_baserel_parampathinfo(root, rel,
													  rel->lateral_relids);
	path->path.rows = rel->rows;
	path->path.startup_cost = startup_cost;
	path->path.total_cost = total_cost;
	path->path.pathkeys = pathkeys;
	path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
	path->methods = methods;
	rel->pathlist = NIL;
	rel->partial_pathlist = NIL;
	add_path(rel, (Path *) path);
}

List *
shoal_part_vars(Index varno, List *types, List *typmods, List *collations)
{
	List	   *vars = NIL;
	ListCell   *lct;
	ListCell   *lcm;
	ListCell   *lcc;

	forthree(lct, types, lcm, typmods, lcc, collations)
		vars = lappend(vars, makeVar(varno, list_length(vars) + 1,
									 lfirst_oid(lct), lfirst_int(lcm),
									 lfirst_oid(lcc), 0));
	return vars;
}

List *
shoal_part_scan_tlist(List *vars)
{
	List	   *scan_tlist = NIL;
	ListCell   *lc;

	foreach(lc, vars)
		scan_tlist = lappend(scan_tlist,
							 makeTargetEntry((Expr *) copyObject(lfirst(lc)),
											 list_length(scan_tlist) + 1,
											 NULL, false));
	return scan_tlist;
}

void
shoal_part_pathlist(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte)
{
	ShoalPart  *part = shoal_part_of_rte(rte);

	/* core may have proved that no row is wanted, and forgotten the condition */
	if (part == NULL || IS_DUMMY_REL(rel))
		return;
	shoal_part_set_path(root, rel, &part_path_methods,
						part->sort ? root->sort_pathkeys : NIL, START_COST,
						START_COST + rel->rows * (cpu_tuple_cost + 2 * cpu_operator_cost));
}

static CustomScan *
make_scan(const ShoalFragment *frag, List *scan_tlist)
{
	CustomScan *cscan = makeNode(CustomScan);

	cscan->methods = GetCustomScanMethods(SHOAL_SCAN, false);
	cscan->flags = CUSTOMPATH_SUPPORT_PROJECTION;
	cscan->custom_scan_tlist = scan_tlist;
	if (frag)
		shoal_fragment_store(cscan, frag);
	return cscan;
}

/* Vars of the relation, each once; others are lateral references. */
static List *
own_columns(Index varno, List *vars)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, vars)
	{
		if (((Var *) lfirst(lc))->varno == varno)
			result = list_append_unique(result, lfirst(lc));
	}
	return result;
}

static Plan *
plan_part_path(PlannerInfo *root, RelOptInfo *rel, CustomPath *best_path,
			   List *tlist, List *clauses, List *custom_plans)
{
	ShoalPart  *part = shoal_part_of_rte(planner_rt_fetch(rel->relid, root));
	List	   *sent = NIL;
	List	   *kept = NIL;
	List	   *vars;
	Query	   *query;
	ShoalAnalysis analysis;
	ShoalFragment *frag;
	CustomScan *cscan;
	ListCell   *lc;

	part->run_as = shoal_text_owner(part->query);
	check_run_as(part);
	foreach(lc, clauses)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		if (is_sendable(root, rel->relid, part, rinfo))
			sent = lappend(sent, rinfo->clause);
		else
			kept = lappend(kept, rinfo->clause);
	}

	if (part->fixed)
	{
		RangeTblEntry *rte = planner_rt_fetch(rel->relid, root);

		query = part->query;
		vars = shoal_part_vars(rel->relid, rte->coltypes, rte->coltypmods,
							   rte->colcollations);
		analysis.whole = part->shape;
	}
	else
	{
		/* not from tlist, which core may leave out and put on the node later */
		vars = list_concat(pull_var_clause((Node *) rel->reltarget->exprs,
										   PVC_RECURSE_PLACEHOLDERS),
						   pull_var_clause((Node *) kept,
										   PVC_RECURSE_PLACEHOLDERS));
		vars = own_columns(rel->relid, vars);
		query = compose_query(part, rel->relid, vars, sent);
		shoal_shape_analyze(query, &analysis);
		/* what tied it to one shard may have been in a column that nobody needs */
		if (analysis.whole.kind == SHOAL_SHAPE_ANY && part->shape.single)
			analysis.whole = part->shape;
		if (analysis.whole.kind != SHOAL_SHAPE_SHARDED)
			elog(ERROR, "part of a query cannot be sent to nodes: %s",
				 analysis.whole.reason ? analysis.whole.reason : "");
	}
	frag = shoal_text_compile(query, &analysis.whole);
	frag->partial = part->partial;
	frag->run_as = part->run_as;
	frag->sort = part->sort;
	frag->way = part->way;
	frag->reason = part->reason;
	cscan = make_scan(frag, shoal_part_scan_tlist(vars));
	cscan->scan.plan.targetlist = tlist;
	cscan->scan.plan.qual = kept;
	return (Plan *) cscan;
}

CustomScan *
shoal_part_make_scan(const ShoalFragment *frag, int varno, List *names,
					 List *types, List *typmods, List *collations)
{
	List	   *scan_tlist = NIL;
	List	   *tlist = NIL;
	CustomScan *cscan;
	ListCell   *lcn;
	ListCell   *lct;
	ListCell   *lcm;
	ListCell   *lcc;
	int			attno = 0;

	forfour(lcn, names, lct, types, lcm, typmods, lcc, collations)
	{
		attno++;
		scan_tlist = lappend(scan_tlist,
							 makeTargetEntry((Expr *) makeVar(varno, attno,
															  lfirst_oid(lct),
															  lfirst_int(lcm),
															  lfirst_oid(lcc), 0),
											 attno, strVal(lfirst(lcn)), false));
		tlist = lappend(tlist,
						makeTargetEntry((Expr *) makeVar(INDEX_VAR, attno,
														 lfirst_oid(lct),
														 lfirst_int(lcm),
														 lfirst_oid(lcc), 0),
										attno, strVal(lfirst(lcn)), false));
	}
	cscan = make_scan(frag, scan_tlist);
	cscan->scan.plan.targetlist = tlist;
	return cscan;
}

/* ---- after core is done ---- */

static void finish_plan_node(Plan *plan, List *rtable);

static void
finish_plan_list(List *plans, List *rtable)
{
	ListCell   *lc;

	foreach(lc, plans)
		finish_plan_node((Plan *) lfirst(lc), rtable);
}

/*
 * EXPLAIN wants to find a partial aggregate below a combining one: columns of
 * partial fragments are described as such.  (Just their types matter when the
 * plan is run.)
 */
static void
describe_states(CustomScan *cscan, List *rtable)
{
	ListCell   *lc;

	foreach(lc, cscan->custom_scan_tlist)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);
		Var		   *var = (Var *) tle->expr;
		ShoalPart  *part;
		Aggref	   *agg;

		if (!IsA(var, Var))
			continue;
		part = shoal_part_of_rte(rt_fetch(var->varno, rtable));
		if (part == NULL || !part->partial)
			continue;
		agg = (Aggref *)
			((TargetEntry *) list_nth(part->query->targetList,
									  var->varattno - 1))->expr;
		if (!IsA(agg, Aggref))
			continue;
		agg = copyObject(agg);
		agg->aggsplit = AGGSPLIT_INITIAL_SERIAL;
		agg->aggtype = var->vartype;
		agg->aggfilter = NULL;
		if (!agg->aggstar)
			agg->args = list_make1(makeTargetEntry((Expr *) var, 1, NULL, false));
		tle->expr = (Expr *) agg;
	}
}

static bool
merge_aggs_walker(Node *node, bool *found)
{
	if (node == NULL)
		return false;
	if (IsA(node, Aggref))
	{
		Aggref	   *agg = (Aggref *) node;
		TargetEntry *arg = agg->args ? linitial(agg->args) : NULL;

		if (arg && arg->resname && strcmp(arg->resname, SHOAL_STATE_NAME) == 0)
		{
			agg->aggsplit = AGGSPLIT_FINAL_DESERIAL;
			*found = true;
		}
		return false;
	}
	return expression_tree_walker(node, merge_aggs_walker, (void *) found);
}

/*
 * Switches Agg nodes over partial fragments from computing aggregates to
 * combining their transition states.
 */
static void
finish_plan_node(Plan *plan, List *rtable)
{
	if (plan == NULL)
		return;
	switch (nodeTag(plan))
	{
		case T_Agg:
			{
				bool		found = false;

				merge_aggs_walker((Node *) plan->targetlist, &found);
				merge_aggs_walker((Node *) plan->qual, &found);
				if (found)
					((Agg *) plan)->aggsplit = AGGSPLIT_FINAL_DESERIAL;
			}
			break;
		case T_Append:
			finish_plan_list(((Append *) plan)->appendplans, rtable);
			break;
		case T_MergeAppend:
			finish_plan_list(((MergeAppend *) plan)->mergeplans, rtable);
			break;
		case T_SubqueryScan:
			finish_plan_node(((SubqueryScan *) plan)->subplan, rtable);
			break;
		case T_CustomScan:
			describe_states((CustomScan *) plan, rtable);
			break;
		default:
			break;
	}
	finish_plan_node(outerPlan(plan), rtable);
	finish_plan_node(innerPlan(plan), rtable);
}

void
shoal_part_add_tables(PlannedStmt *stmt)
{
	ListCell   *lc;
	ListCell   *lcp;

	forboth(lc, shoal_planning->removed, lcp, shoal_planning->removed_perms)
	{
		RangeTblEntry *rte = (RangeTblEntry *) lfirst(lc);

		rte->inh = false;
		rte->tablesample = NULL;
		rte->securityQuals = NIL;
		shoal_plan_add_rte(stmt, rte, lfirst(lcp));
		stmt->relationOids = lappend_oid(stmt->relationOids, rte->relid);
	}
	/* whether views are sent by name depends on who asks */
	stmt->dependsOnRole = true;
}

void
shoal_part_finish(PlannedStmt *stmt)
{
	shoal_part_add_tables(stmt);
	finish_plan_node(stmt->planTree, stmt->rtable);
	finish_plan_list(stmt->subplans, stmt->rtable);
}
