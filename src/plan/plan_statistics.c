/*
 * plan_statistics.c
 *		What ANALYZE has gathered of whole tables, for what is planned here.
 *
 * A distributed table's own statistics, apart from those that it inherits from the
 * shards that this node has, are of all of its rows (ddl_statistics.c).
 *
 * How many rows a query has that runs on nodes is asked of core's planner, which
 * gets a copy of it in which distributed tables are tables without partitions.
 * The plan that comes of that is thrown away.  Columns of parts of a query have
 * the statistics of the tables' columns that they are.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_statistic.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/plancat.h"
#include "optimizer/planner.h"
#include "parser/parsetree.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "plan/plan_expr.h"
#include "plan/plan_part.h"
#include "plan/plan_statistics.h"

static get_relation_stats_hook_type previous_stats_hook = NULL;
static get_relation_info_hook_type previous_info_hook = NULL;

double
shoal_statistics_rows(Oid relid)
{
	const ShoalTable *table = shoal_meta_table(relid);
	HeapTuple	tuple;
	double		result;

	if (table == NULL || table->kind != SHOAL_KIND_DISTRIBUTED)
		return 0;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tuple))
		return 0;
	result = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
	ReleaseSysCache(tuple);
	return Max(result, 0);
}

/* ---- rows of queries ---- */

/*
 * Whether one of the tables is not known well enough; with change, distributed
 * tables become tables without partitions.
 */
static bool
take_tables_walker(Node *node, bool *change)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;
		const ShoalTable *table = rte->rtekind == RTE_RELATION ?
			shoal_meta_table(rte->relid) : NULL;

		if (table == NULL || table->kind == SHOAL_KIND_REFERENCE)
			return false;
		if (shoal_statistics_rows(rte->relid) == 0)
			return true;
		if (*change)
		{
			rte->inh = false;
			rte->relkind = RELKIND_RELATION;
			rte->tablesample = NULL;
		}
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, take_tables_walker, (void *) change,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, take_tables_walker, (void *) change);
}

/* Core knows no steps (plan_step.h): to it they are parameters of unknown value. */
static Node *
steps_to_params_mutator(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && shoal_expr_is_step(node))
	{
		Param	   *param = copyObject((Param *) node);

		param->paramkind = PARAM_EXTERN;
		return (Node *) param;
	}
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, steps_to_params_mutator,
										   context, 0);
	return expression_tree_mutator(node, steps_to_params_mutator, context);
}

bool
shoal_statistics_of_query(Query *query, ParamListInfo params, double *rows, int *width)
{
	Query	   *copy;
	PlannedStmt *stmt;
	bool		change = false;

	if (query->commandType != CMD_SELECT || take_tables_walker((Node *) query, &change))
		return false;
	change = true;
	copy = (Query *) steps_to_params_mutator((Node *) copyObject(query), NULL);
	(void) take_tables_walker((Node *) copy, &change);
	stmt = standard_planner(copy, "", 0, params);
	*rows = stmt->planTree->plan_rows;
	*width = stmt->planTree->plan_width;
	return true;
}

/* Indexes of a parent have no pages of which the planner could know the cost. */
static void
forget_indexes_of_parents(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	if (previous_info_hook)
		previous_info_hook(root, relid, inhparent, rel);
	if (!inhparent && rel->indexlist != NIL &&
		((IndexOptInfo *) linitial(rel->indexlist))->amcostestimate == NULL)
		rel->indexlist = NIL;
}

/* ---- columns of parts ---- */

/*
 * The table's column that an output column of a query is; false if it is none.  In
 * groups each value is as frequent as any other one, which matters to all but those
 * who group again.
 */
static bool
find_column(Query *query, AttrNumber attno, bool regrouped, RangeTblEntry **rte,
			AttrNumber *column)
{
	TargetEntry *tle = attno > 0 ? get_tle_by_resno(query->targetList, attno) : NULL;
	Node	   *node = tle ? shoal_expr_strip((Node *) tle->expr) : NULL;

	if (query->setOperations || query->groupingSets || query->hasTargetSRFs ||
		((query->groupClause || query->distinctClause) && !regrouped))
		return false;
	while (node && IsA(node, Var) && ((Var *) node)->varlevelsup == 0 &&
		   ((Var *) node)->varattno > 0)
	{
		*column = ((Var *) node)->varattno;
		*rte = rt_fetch(((Var *) node)->varno, query->rtable);
		if ((*rte)->rtekind == RTE_SUBQUERY)
			return find_column((*rte)->subquery, *column, false, rte, column);
		if ((*rte)->rtekind != RTE_JOIN)
			return (*rte)->rtekind == RTE_RELATION;
		node = list_nth((*rte)->joinaliasvars, *column - 1);
	}
	return false;
}

static bool
find_statistics(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum,
				VariableStatData *vardata)
{
	ShoalPart  *part;
	RangeTblEntry *table;
	AttrNumber	column;
	HeapTuple	tuple;

	if (previous_stats_hook && previous_stats_hook(root, rte, attnum, vardata))
		return true;
	part = shoal_part_of_rte(rte);
	if (part == NULL || !find_column(part->query, attnum, part->partial, &table, &column) ||
		shoal_statistics_rows(table->relid) == 0)
		return false;
	tuple = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(table->relid),
							Int16GetDatum(column), BoolGetDatum(false));
	if (!HeapTupleIsValid(tuple))
		return false;
	vardata->statsTuple = tuple;
	vardata->freefunc = ReleaseSysCache;
	/* whether functions that may tell of values can be shown some */
	vardata->acl_ok = table->securityQuals == NIL &&
		pg_class_aclcheck(table->relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
	return true;
}

void
shoal_statistics_init(void)
{
	previous_stats_hook = get_relation_stats_hook;
	get_relation_stats_hook = find_statistics;
	previous_info_hook = get_relation_info_hook;
	get_relation_info_hook = forget_indexes_of_parents;
}
