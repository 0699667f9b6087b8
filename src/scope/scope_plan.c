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
 */
#include "postgres.h"

#include "nodes/pathnodes.h"
#include "optimizer/cost.h"
#include "optimizer/paths.h"
#include "optimizer/plancat.h"
#include "optimizer/planner.h"
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
} ActiveScope;

static ActiveScope *active_scopes = NULL;

static get_relation_info_hook_type previous_relation_info_hook = NULL;
static planner_hook_type previous_planner_hook = NULL;

static void
hide_relation(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	const ShoalScope *scope = active_scopes ? active_scopes->scope : NULL;
	int			group_id;
	int			shard;

	if (previous_relation_info_hook)
		previous_relation_info_hook(root, relid, inhparent, rel);

	/* only what is reached through a parent */
	if (scope == NULL || rel->reloptkind != RELOPT_OTHER_MEMBER_REL)
		return;
	if (shoal_meta_is_shard_schema(get_rel_namespace(relid), &group_id,
								   &shard) &&
		group_id == scope->group_id && !bms_is_member(shard, scope->shards))
		mark_dummy_rel(rel);
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

/* The planner with the scope, or none, in force. */
static PlannedStmt *
plan_in_scope(Query *query, const char *query_string, int cursor_options,
			  ParamListInfo params, const ShoalScope *scope)
{
	ActiveScope active = {scope, active_scopes};
	bool		partitionwise_join = enable_partitionwise_join;
	bool		partitionwise_aggregate = enable_partitionwise_aggregate;
	PlannedStmt *stmt;

	/* tables of a group are joined shard by shard, in smaller hash tables */
	if (scope && shoal_enable_partitionwise &&
		bms_membership(scope->shards) == BMS_MULTIPLE)
		enable_partitionwise_join = enable_partitionwise_aggregate = true;
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
		return plan_by_core(query, query_string, cursor_options, params);
	return plan_in_scope(query, query_string, cursor_options, params, NULL);
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
		shoal_scope_substitute(query, scope);
		stmt = plan_in_scope(query, query_string, cursor_options, params,
							 scope);
	}
	if (partial)
		shoal_scope_partial_finish(stmt);
	return stmt;
}

void
shoal_scope_init(void)
{
	previous_relation_info_hook = get_relation_info_hook;
	get_relation_info_hook = hide_relation;

	/* the hook of the plan layer comes before this one */
	previous_planner_hook = planner_hook;
	planner_hook = plan_without_scope;
	shoal_scope_children_init();
	shoal_scope_local_init();
}
