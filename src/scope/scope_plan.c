/*
 * scope_plan.c
 *		Planning a fragment so that it sees just its shards.
 *
 * A scope is in force for one Query while core plans it: scopes form a stack
 * of structs on the C stack, popped on error, and each names its query.  The
 * relation hook asks which query a relation is planned for; so a query that is
 * planned in between (a function folded to a constant may run one) is not
 * affected.
 *
 * Partitions out of scope are marked as dummy (proven empty) relations as soon
 * as the planner makes them known to itself; joins, aggregates, UPDATE and
 * DELETE through the parent then leave them out.
 */
#include "postgres.h"

#include "nodes/pathnodes.h"
#include "optimizer/paths.h"
#include "optimizer/plancat.h"
#include "optimizer/planner.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "scope/scope_internal.h"

typedef struct ActiveScope
{
	const Query *query;
	const ShoalScope *scope;
	struct ActiveScope *outer;
} ActiveScope;

static ActiveScope *active_scopes = NULL;

static get_relation_info_hook_type previous_relation_info_hook = NULL;

/* The scope that a planner run belongs to, NULL if it has none. */
static const ShoalScope *
find_scope(PlannerInfo *root)
{
	while (root->parent_root != NULL)
		root = root->parent_root;
	for (ActiveScope *active = active_scopes; active != NULL;
		 active = active->outer)
	{
		if (active->query == root->parse)
			return active->scope;
	}
	return NULL;
}

static void
hide_relation(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	const ShoalScope *scope;
	int			group_id;
	int			shard;

	if (previous_relation_info_hook)
		previous_relation_info_hook(root, relid, inhparent, rel);

	/* only what is reached through a parent */
	if (active_scopes == NULL || rel->reloptkind != RELOPT_OTHER_MEMBER_REL)
		return;
	scope = find_scope(root);
	if (scope == NULL)
		return;
	if (shoal_meta_is_shard_schema(get_rel_namespace(relid), &group_id,
								   &shard) &&
		group_id == scope->group_id && !bms_is_member(shard, scope->shards))
		mark_dummy_rel(rel);
}

/* Core's planner with the scope in force. */
static PlannedStmt *
plan_in_scope(Query *query, const char *query_string, int cursor_options,
			  ParamListInfo params, const ShoalScope *scope)
{
	ActiveScope active = {query, scope, active_scopes};
	PlannedStmt *stmt;

	active_scopes = &active;
	PG_TRY();
	{
		stmt = standard_planner(query, query_string, cursor_options, params);
	}
	PG_FINALLY();
	{
		active_scopes = active.outer;
	}
	PG_END_TRY();
	return stmt;
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
		stmt = standard_planner(query, query_string, cursor_options, params);
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
	shoal_scope_children_init();
	shoal_scope_local_init();
}
