/*
 * scope_plan.c
 *		Planning a fragment so that it sees just its shards.
 *
 * A scope is in force for one run of core's planner: scopes form a stack of
 * structs on the C stack, popped on error.  A query that is planned in between
 * (a function folded to a constant may run one) gets an entry that says so.
 *
 * Partitions out of scope are marked as dummy (proven empty) relations as soon
 * as the planner makes them known to itself; joins, aggregates, UPDATE and
 * DELETE through the parent then leave them out.
 *
 * At that moment it is also known how large the others are, and core has not
 * asked yet whether to join and aggregate partition by partition.  That is
 * turned on for tables whose rows are worth the planning and starting of so
 * many small joins.
 *
 * All nodes work on a query over several shards at once.  Nodes that run on
 * one machine share its processors: each gets no more parallel workers than its
 * part of them can serve, or they would just wait for each other.
 */
#include "postgres.h"

#include <unistd.h>

#include "catalog/pg_class.h"
#include "nodes/pathnodes.h"
#include "optimizer/cost.h"
#include "optimizer/paths.h"
#include "optimizer/plancat.h"
#include "optimizer/planner.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "scope/scope_internal.h"

/* The planner runs under way, innermost first. */
typedef struct ActiveScope
{
	const ShoalScope *scope;	/* NULL: a run that has none */
	struct ActiveScope *outer;
	List	   *small;			/* ShoalSmallTable: read by a Shard Scan */
} ActiveScope;

/* Pages of a partition from which on partitionwise plans pay. */
#define PARTITIONWISE_PAGES 64

static ActiveScope *active_scopes = NULL;

/* a foreign-key check is being planned */
static bool planning_check = false;

static get_relation_info_hook_type previous_relation_info_hook = NULL;
static set_rel_pathlist_hook_type previous_pathlist_hook = NULL;
static planner_hook_type previous_planner_hook = NULL;

/* The small table that a relation of the query stands for, NULL if none. */
static const ShoalSmallTable *
small_table(PlannerInfo *root, RelOptInfo *rel)
{
	RangeTblEntry *rte;
	ListCell   *lc;

	if (active_scopes == NULL || active_scopes->small == NIL ||
		!IS_SIMPLE_REL(rel) || rel->rtekind != RTE_RELATION)
		return NULL;
	rte = planner_rt_fetch(rel->relid, root);
	if (rte->inh || rte->relkind != RELKIND_RELATION)
		return NULL;
	foreach(lc, active_scopes->small)
	{
		const ShoalSmallTable *small = lfirst(lc);

		if (small->relid == rte->relid)
			return small;
	}
	return NULL;
}

/*
 * What runs without a scope (foreign-key actions, local work) is about the rows
 * that this node is in charge of.  But a new foreign key is validated for
 * replicas, too, whose rows refer to replicas.
 */
static void
hide_replica(Oid relid, RelOptInfo *rel)
{
	const ShoalGroup *group;
	int			group_id;
	int			shard;

	if (planning_check || rel->reloptkind != RELOPT_OTHER_MEMBER_REL ||
		!shoal_meta_enabled() ||
		!shoal_meta_is_shard_schema(get_rel_namespace(relid), &group_id,
									&shard))
		return;
	group = shoal_meta_find_group(group_id);
	if (group != NULL && shard < group->shard_count &&
		shoal_meta_has_replicas(group) &&
		group->primary[shard] != shoal_meta_local_node_id())
		mark_dummy_rel(rel);
}

static void
look_at_relation(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	const ShoalScope *scope = active_scopes ? active_scopes->scope : NULL;
	const ShoalSmallTable *small;
	int			group_id;
	int			shard;

	if (previous_relation_info_hook)
		previous_relation_info_hook(root, relid, inhparent, rel);

	if (scope == NULL)
	{
		hide_replica(relid, rel);
		return;
	}
	if ((small = small_table(root, rel)) != NULL)
		shoal_scope_describe_small(small, root, rel);

	/* only what is reached through a parent */
	if (rel->reloptkind != RELOPT_OTHER_MEMBER_REL ||
		!shoal_meta_is_shard_schema(get_rel_namespace(relid), &group_id,
									&shard) ||
		group_id != scope->group_id)
		return;
	if (!bms_is_member(shard, scope->shards))
		mark_dummy_rel(rel);
	else if (rel->pages >= PARTITIONWISE_PAGES && shoal_enable_partitionwise &&
			 bms_membership(scope->shards) == BMS_MULTIPLE)
		enable_partitionwise_join = enable_partitionwise_aggregate = true;
}

static void
add_paths(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	if (previous_pathlist_hook)
		previous_pathlist_hook(root, rel, rti, rte);
	if (small_table(root, rel) != NULL)
		shoal_scope_small_path(root, rel, active_scopes->scope->shards);
}

static PlannedStmt *
plan_by_core(Query *query, const char *query_string, int cursor_options,
			 ParamListInfo params)
{
	if (previous_planner_hook)
		return previous_planner_hook(query, query_string, cursor_options,
									 params);
	return standard_planner(query, query_string, cursor_options, params);
}

/* Number of nodes on this node's machine that hold shards of a group. */
static int
nodes_beside(int group_id)
{
	const ShoalGroup *group = shoal_meta_group(group_id);
	const ShoalNode *here = shoal_meta_node(shoal_meta_local_node_id());
	Bitmapset  *seen = NULL;
	int			count = 0;
	int			shard;

	if (group == NULL || here == NULL)
		return 0;
	for (shard = 0; shard < group->shard_count; shard++)
	{
		int			node_id = group->primary[shard];
		const ShoalNode *node;

		if (bms_is_member(node_id, seen))
			continue;
		seen = bms_add_member(seen, node_id);
		node = shoal_meta_node(node_id);
		if (node && strcmp(node->host, here->host) == 0)
			count++;
	}
	bms_free(seen);
	return count;
}

/*
 * Processors that each of these nodes has for itself; as many as one likes if
 * it is the only one.
 */
static int
processors_of_each(int group_id)
{
	int			processors = shoal_processors;
	int			nodes = nodes_beside(group_id);

	if (nodes < 2)
		return PG_INT32_MAX;
	if (processors == 0)
		processors = (int) sysconf(_SC_NPROCESSORS_ONLN);
	return processors / nodes;
}

int
shoal_scope_processors(int group_id, int node_id)
{
	const ShoalNode *here = shoal_meta_node(shoal_meta_local_node_id());
	const ShoalNode *node = shoal_meta_node(node_id);

	if (here == NULL || node == NULL || strcmp(here->host, node->host) != 0)
		return PG_INT32_MAX;
	return processors_of_each(group_id);
}

/* Parallel workers for a query that sees the scope. */
static int
workers_in_scope(const ShoalScope *scope)
{
	if (scope == NULL || max_parallel_workers_per_gather == 0 ||
		bms_membership(scope->shards) != BMS_MULTIPLE)
		return max_parallel_workers_per_gather;
	return Max(0, Min(max_parallel_workers_per_gather,
					  processors_of_each(scope->group_id) - 1));
}

/* The planner with the scope, or none, in force. */
static PlannedStmt *
plan_in_scope(Query *query, const char *query_string, int cursor_options,
			  ParamListInfo params, const ShoalScope *scope, List *small)
{
	ActiveScope active = {scope, active_scopes, small};
	bool		partitionwise_join = enable_partitionwise_join;
	bool		partitionwise_aggregate = enable_partitionwise_aggregate;
	int			workers = max_parallel_workers_per_gather;
	PlannedStmt *stmt;

	max_parallel_workers_per_gather = workers_in_scope(scope);
	active_scopes = &active;
	PG_TRY();
	{
		stmt = plan_by_core(query, query_string, cursor_options, params);
	}
	PG_FINALLY();
	{
		active_scopes = active.outer;
		enable_partitionwise_join = partitionwise_join;
		enable_partitionwise_aggregate = partitionwise_aggregate;
		max_parallel_workers_per_gather = workers;
	}
	PG_END_TRY();
	return stmt;
}

/*
 * As core writes it, for a new foreign key or for a row that refers to another.
 * Not whether rows refer to one that goes: in replicas they still may, as changes
 * reach these when the statement is over.
 */
static bool
is_check(const char *query_string)
{
	return query_string != NULL &&
		(strncmp(query_string, "SELECT fk.", 10) == 0 ||
		 (strncmp(query_string, "SELECT 1 FROM ", 14) == 0 &&
		  strstr(query_string, "\" x WHERE $1 OPERATOR(") == NULL));
}

static PlannedStmt *
plan_check(Query *query, const char *query_string, int cursor_options,
		   ParamListInfo params)
{
	PlannedStmt *stmt;

	planning_check = true;
	PG_TRY();
	{
		stmt = plan_by_core(query, query_string, cursor_options, params);
	}
	PG_FINALLY();
	{
		planning_check = false;
	}
	PG_END_TRY();
	return stmt;
}

/* A function that is evaluated while a query with a scope is planned. */
static PlannedStmt *
plan_without_scope(Query *query, const char *query_string, int cursor_options,
				   ParamListInfo params)
{
	if (active_scopes == NULL)
		return is_check(query_string) ?
			plan_check(query, query_string, cursor_options, params) :
			plan_by_core(query, query_string, cursor_options, params);
	return plan_in_scope(query, query_string, cursor_options, params, NULL,
						 NIL);
}

PlannedStmt *
shoal_scope_plan(Query *query, const char *query_string, int cursor_options,
				 ParamListInfo params, const ShoalScope *scope)
{
	PlannedStmt *stmt;
	bool		partial = scope->partial && query->hasAggs;

	if (partial)
		shoal_scope_partial_prepare(query);
	if (scope->local)
		stmt = plan_without_scope(query, query_string, cursor_options, params);
	else
	{
		List	   *small = shoal_scope_substitute(query, scope);

		stmt = plan_in_scope(query, query_string, cursor_options, params,
							 scope, small);
		shoal_scope_check_plan(stmt, scope);
	}
	if (partial)
		shoal_scope_partial_finish(stmt);
	return stmt;
}

void
shoal_scope_init(void)
{
	previous_relation_info_hook = get_relation_info_hook;
	get_relation_info_hook = look_at_relation;
	previous_pathlist_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = add_paths;

	/* the hook of the plan layer comes before this one */
	previous_planner_hook = planner_hook;
	planner_hook = plan_without_scope;
	shoal_scope_children_init();
	shoal_scope_local_init();
	shoal_scope_scan_init();
	shoal_scope_rules_init();
	shoal_scope_pack_init();
	shoal_scope_named_init();
}
