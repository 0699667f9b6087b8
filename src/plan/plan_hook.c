/*
 * plan_hook.c
 *		The planner hook: which way a query takes.
 *
 * On a node, for a fragment: the scope that its marker tells.  Otherwise, in
 * this order: not ours (no Shoal table in it), local (all shards it needs are
 * here), router (one shard: one fragment), push (shard by shard: one fragment
 * per node), and parts merged by an ordinary plan.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "optimizer/planner.h"
#include "parser/parsetree.h"
#include "tcop/tcopprot.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "plan/plan.h"
#include "plan/plan_current.h"
#include "plan/plan_direct.h"
#include "plan/plan_expr.h"
#include "plan/plan_inline.h"
#include "plan/plan_merge.h"
#include "plan/plan_moved.h"
#include "plan/plan_part.h"
#include "plan/plan_policy.h"
#include "plan/plan_rewrite.h"
#include "plan/plan_sample.h"
#include "plan/plan_rights.h"
#include "plan/plan_sequence.h"
#include "plan/plan_session.h"
#include "plan/plan_shape.h"
#include "plan/plan_statistics.h"
#include "plan/plan_tableoid.h"
#include "plan/plan_texts.h"
#include "plan/plan_text.h"
#include "plan/plan_with.h"
#include "plan/plan_write.h"
#include "scope/scope.h"
#include "xact/xact.h"
#include "xact/xact_health.h"

static planner_hook_type next_planner = NULL;
static set_rel_pathlist_hook_type next_pathlist = NULL;

static PlannedStmt *plan_statement(Query *query, const char *query_string,
								   int cursor_options, ParamListInfo params,
								   const ShoalTables *tables);

static PlannedStmt *
plan_by_core(Query *query, const char *query_string, int cursor_options,
			 ParamListInfo params)
{
	if (next_planner)
		return next_planner(query, query_string, cursor_options, params);
	return standard_planner(query, query_string, cursor_options, params);
}

/*
 * If constants pin the query to a shard that is on this node, and everything
 * can be done by core on that shard: its plan.  Else NULL.
 */
static PlannedStmt *
plan_local_shard(Query *query, const ShoalShape *shape,
				 const char *query_string, int cursor_options,
				 ParamListInfo params)
{
	const ShoalTable *table = shoal_meta_table(shape->relid);
	const ShoalGroup *group = shoal_meta_group(shape->group_id);
	Datum		values[PARTITION_MAX_KEYS];
	bool		nulls[PARTITION_MAX_KEYS];
	Oid			types[PARTITION_MAX_KEYS];
	ShoalScope	scope = {0};
	int			shard = 0;

	if (!shoal_enable_local || !shape->single || shoal_planning != NULL)
		return NULL;
	if (shape->nkeycols > 0 && group->shard_count > 1)
	{
		for (int i = 0; i < shape->nkeycols; i++)
		{
			Const	   *value = (Const *) eval_const_expressions(NULL,
																 list_nth(shape->pin, i));

			if (!IsA(value, Const) || value->constisnull)
				return NULL;
			values[i] = value->constvalue;
			nulls[i] = false;
			types[i] = value->consttype;
		}
		shard = shoal_meta_shard_of(table, values, nulls, types);
	}
	if (!shoal_scope_settle(shape->relid, shard, query->commandType == CMD_SELECT ?
							AccessShareLock : RowExclusiveLock))
		return NULL;
	scope.group_id = shape->group_id;
	scope.shards = bms_make_singleton(shard);
	return shoal_scope_plan(query, query_string, cursor_options, params, &scope);
}

/* Core plans the query with everything distributed replaced by parts. */
static PlannedStmt *
plan_with_parts(Query *query, const char *query_string, int cursor_options,
				ParamListInfo params)
{
	ShoalPlanning planning = {0};
	PlannedStmt *stmt;

	shoal_part_begin(&planning, params);
	PG_TRY();
	{
		planning.keep_apart = query->commandType != CMD_SELECT || query->hasModifyingCTE ||
			shoal_expr_locks_rows((Node *) query);
		shoal_rewrite_query(query);
		shoal_part_sizes(query);
		stmt = plan_by_core(query, query_string, cursor_options, params);
		shoal_part_finish(stmt);
	}
	PG_FINALLY();
	{
		shoal_planning = planning.outer;
	}
	PG_END_TRY();
	return stmt;
}

/* Whether a plan's tables are all here, now that they are locked. */
static bool
is_all_local(const PlannedStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->relationOids)
	{
		const ShoalTable *table = shoal_meta_table(lfirst_oid(lc));

		if (table != NULL && table->kind != SHOAL_KIND_REFERENCE &&
			!shoal_meta_group(table->group_id)->all_local)
			return false;
	}
	return true;
}

/*
 * By core, as all shards are here.  While it waited for a lock on one of them, that
 * may have been moved away, and been hidden from the plan; then it is planned anew.
 */
static PlannedStmt *
plan_all_local(Query *query, const char *query_string, int cursor_options,
			   ParamListInfo params)
{
	Query	   *copy = shoal_meta_is_alone() ? NULL : copyObject(query);
	PlannedStmt *stmt = plan_by_core(query, query_string, cursor_options, params);
	ShoalTables tables;

	if (copy == NULL || is_all_local(stmt))
		return stmt;
	CHECK_FOR_INTERRUPTS();
	shoal_rewrite_find_tables(copy, &tables);
	return plan_statement(copy, query_string, cursor_options, params, &tables);
}

static PlannedStmt *
plan_select(Query *query, const char *query_string, int cursor_options,
			ParamListInfo params, const ShoalTables *tables)
{
	ShoalAnalysis analysis;
	ShoalShape *whole = &analysis.whole;

	if (!tables->sharded && !tables->writes_reference)
		return plan_by_core(query, query_string, cursor_options, params);
	if (tables->all_local && shoal_enable_local)
		return plan_all_local(query, query_string, cursor_options, params);

	shoal_shape_analyze(query, &analysis);
	if (whole->kind == SHOAL_SHAPE_SHARDED && shoal_text_is_for_user(query))
	{
		PlannedStmt *stmt;

		if (shoal_enable_push &&
			shoal_current_is_wanted(query, whole, cursor_options))
			return shoal_current_plan(query, whole, cursor_options);
		stmt = plan_local_shard(query, whole, query_string, cursor_options,
								params);
		if (stmt)
			return stmt;
		if (shoal_part_is_sendable(query) &&
			(whole->single ? shoal_enable_router :
			 shoal_enable_push && query->sortClause == NIL))
		{
			ShoalFragment *frag = shoal_text_compile(query, whole);

			frag->way = whole->single ? "router" : "push";
			return shoal_direct_plan(query, frag, cursor_options);
		}
	}
	if (tables->writes_in_with)
		return shoal_with_plan(query, query_string, cursor_options, params, 0);
	return plan_with_parts(query, query_string, cursor_options, params);
}

static PlannedStmt *plan_for_nodes(Query *query, const char *query_string,
								   int cursor_options, ParamListInfo params,
								   const ShoalTables *tables);

/* A subquery that a write is left with, of whichever tables. */
static PlannedStmt *
plan_select_of_write(Query *query, const char *query_string,
					 int cursor_options, ParamListInfo params)
{
	ShoalTables tables;

	shoal_rewrite_find_tables(query, &tables);
	return plan_for_nodes(query, query_string, cursor_options, params, &tables);
}

static PlannedStmt *
plan_write(Query *query, const char *query_string, int cursor_options,
		   ParamListInfo params, const ShoalTables *tables)
{
	RangeTblEntry *target = rt_fetch(query->resultRelation, query->rtable);

	if (tables->all_local && shoal_enable_local)
		return plan_all_local(query, query_string, cursor_options, params);
	if (shoal_with_is_needed(query, tables))
		return shoal_with_plan(query, query_string, cursor_options, params, 0);
	if (shoal_meta_table(target->relid) == NULL)
		return plan_with_parts(query, query_string, cursor_options, params);
	return shoal_write_plan(query, query_string, cursor_options, params);
}

static PlannedStmt *
plan_as_it_is(Query *query, const char *query_string, int cursor_options,
			  ParamListInfo params, const ShoalTables *tables)
{
	if (query->commandType == CMD_SELECT)
		return plan_select(query, query_string, cursor_options, params, tables);
	return plan_write(query, query_string, cursor_options, params, tables);
}

/*
 * A query whose policies read what has to be moved to nodes before; NULL if there
 * are none such.
 */
static PlannedStmt *
plan_with_policies(Query *query, const char *query_string, int cursor_options,
				   ParamListInfo params)
{
	ShoalPlanning planning = {0};
	ShoalTables tables;
	PlannedStmt *stmt = NULL;
	Query	   *copy = copyObject(query);

	shoal_part_begin(&planning, params);
	if (shoal_policy_spread(copy))
	{
		shoal_rewrite_find_tables(copy, &tables);
		stmt = plan_as_it_is(copy, query_string, cursor_options, params,
							 &tables);
		shoal_part_add_tables(stmt);
	}
	shoal_planning = planning.outer;
	return stmt;
}

static PlannedStmt *
plan_for_nodes(Query *query, const char *query_string, int cursor_options,
			   ParamListInfo params, const ShoalTables *tables)
{
	PlannedStmt *stmt;

	/* of an INSERT nothing is moved, and parts of WITH are planned by themselves */
	if (query->hasRowSecurity && !query->hasModifyingCTE &&
		query->commandType != CMD_INSERT && shoal_enable_move &&
		!(tables->all_local && shoal_enable_local) &&
		(stmt = plan_with_policies(query, query_string, cursor_options,
								   params)) != NULL)
		return stmt;
	return plan_as_it_is(query, query_string, cursor_options, params, tables);
}

/*
 * Rows on the nullable side of an outer join can't be locked.  What that side is
 * only core knows, once it has flattened views and reduced joins.
 */
static void
check_locking(Query *query, const char *query_string, int cursor_options,
			  ParamListInfo params, const ShoalTables *tables)
{
	if (tables->locks && tables->outer_join &&
		!(tables->all_local && shoal_enable_local))
		(void) plan_by_core(copyObject(query), query_string, cursor_options,
							params);
}

/* A planner call inside another one has nothing to do with its parts. */
static PlannedStmt *
plan_statement(Query *query, const char *query_string, int cursor_options,
			   ParamListInfo params, const ShoalTables *tables)
{
	ShoalPlanning *outer = shoal_planning;
	PlannedStmt *stmt;

	shoal_planning = NULL;
	PG_TRY();
	{
		check_locking(query, query_string, cursor_options, params, tables);
		stmt = plan_for_nodes(query, query_string, cursor_options, params,
							  tables);
	}
	PG_FINALLY();
	{
		shoal_planning = outer;
	}
	PG_END_TRY();
	return stmt;
}

/*
 * An unmarked query inside a fragment: a function on the node, as a rule a
 * trigger's.  It may use one shard, which turns out to be here, or not, when it
 * runs; what is here is what the transaction sees there.
 */
static void
check_inside_fragment(Query *query, const ShoalTables *tables)
{
	ShoalAnalysis analysis;
	bool		single;

	if (query->hasModifyingCTE || tables->writes_reference)
		single = false;
	else if (tables->all_local)
		single = true;
	else if (query->commandType != CMD_SELECT)
		single = shoal_write_is_single(query);
	else
	{
		shoal_shape_analyze(query, &analysis);
		single = analysis.whole.kind == SHOAL_SHAPE_SHARDED &&
			analysis.whole.single && shoal_part_is_sendable(query) &&
			shoal_enable_router;
	}
	if (!single)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a function that runs on a node cannot use distributed tables"),
				 errdetail("Only rows of one value of the distribution column can be used there, if they are on the same node."),
				 errhint("Call the function in a query of its own, or declare it so that it runs on the coordinator.")));
}

/* Such a function would find or leave rows that the user's session does not see. */
static void
check_tables_of_node(const ShoalTables *tables)
{
	if (OidIsValid(tables->of_node) && shoal_xact_depth() > 0 &&
		debug_query_string && shoal_scope_is_fragment(debug_query_string))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a function that runs on a node cannot use table \"%s\", which is local",
						get_rel_name(tables->of_node)),
				 errhint("Make it a reference table with shoal.create_reference_table().")));
}

/*
 * A cursor that is declared without a word about scrolling can go backward if
 * its plan can, which on one server is nearly always so.  It costs that the rows
 * which have been fetched are kept.
 */
static bool
may_scroll(Query *query, int cursor_options)
{
	return (cursor_options & CURSOR_OPT_FAST_PLAN) &&
		!(cursor_options & (CURSOR_OPT_SCROLL | CURSOR_OPT_NO_SCROLL)) &&
		query->commandType == CMD_SELECT && query->rowMarks == NIL;
}

/* The columns that clients are shown of a query, as the parser has described them. */
static List *
described_columns(Query *query)
{
	List	   *columns = NIL;
	ListCell   *lc;

	foreach(lc, query->commandType == CMD_SELECT ? query->targetList : query->returningList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		if (!tle->resjunk)
			columns = lappend(columns, flatCopyTargetEntry(tle));
	}
	return columns;
}

/*
 * Clients are told which column of which table each column of a result is.  Drivers
 * ask for that to make results that can be edited.  Plans whose columns come from
 * fragments only know these.
 */
static void
describe_columns(PlannedStmt *stmt, const List *columns)
{
	ListCell   *next = list_head(columns);
	ListCell   *lc;

	if (stmt->commandType != CMD_SELECT && !stmt->hasReturning)
		return;
	foreach(lc, stmt->planTree->targetlist)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		if (tle->resjunk)
			continue;
		if (next == NULL)
			break;
		tle->resorigtbl = lfirst_node(TargetEntry, next)->resorigtbl;
		tle->resorigcol = lfirst_node(TargetEntry, next)->resorigcol;
		next = lnext(columns, next);
	}
}

/* A statement of a user's; a function's, too, in a coordinator's session. */
static PlannedStmt *
plan_of_user(Query *query, const char *query_string, int cursor_options,
			 ParamListInfo params, ShoalTables *tables)
{
	PlannedStmt *stmt;
	List	   *columns;

	if (shoal_origin > 0)
		check_tables_of_node(tables);
	if (tables->nextval && shoal_sequence_is_elsewhere())
		query = shoal_sequence_rewrite(query);
	if (!tables->sharded && !tables->writes_reference)
		return plan_by_core(query, query_string, cursor_options, params);
	columns = described_columns(query);
	if (tables->with)
	{
		shoal_rewrite_drop_idle_ctes(query);
		shoal_rewrite_find_tables(query, tables);
	}
	if (may_scroll(query, cursor_options))
		cursor_options |= CURSOR_OPT_SCROLL;
	if (tables->tableoid)
		query = shoal_tableoid_rewrite(query);
	shoal_query_flatten_groups(query);
	shoal_merge_add_view_conditions(query);
	query = shoal_query_show_old_and_new(query);
	if (shoal_origin > 0)
		check_inside_fragment(query, tables);

	stmt = plan_statement(query, query_string, cursor_options, params, tables);
	describe_columns(stmt, columns);
	return stmt;
}

static PlannedStmt *
plan_users(Query *query, const char *query_string, int cursor_options,
		   ParamListInfo params, ShoalTables *tables)
{
	PlannedStmt *stmt;

	if (!shoal_session_is_elsewhere(query_string))
		return plan_of_user(query, query_string, cursor_options, params, tables);
	shoal_session_rewrite(query);
	stmt = plan_of_user(query, query_string, cursor_options, params, tables);
	shoal_session_rewrite_plan(stmt);
	return stmt;
}

static PlannedStmt *
shoal_planner(Query *query, const char *query_string, int cursor_options,
			  ParamListInfo params)
{
	PlannedStmt *stmt;
	PlannerGlobal *inlined = NULL;
	ShoalScope	scope;
	ShoalTables tables;

	shoal_scope_resume_rules();
	if (query->commandType == CMD_UTILITY || !shoal_meta_enabled())
		return plan_by_core(query, query_string, cursor_options, params);
	shoal_health_note_metadata();
	if (query_string && shoal_scope_parse(query_string, &scope))
	{
		List	   *specs = shoal_moved_are_read(query_string) ?
			shoal_moved_specs(query) : NIL;

		if (scope.fired)
			shoal_query_clear_rights(query);
		if (scope.rights > 0)
			shoal_rights_apply(query, scope.rights);
		/* policies are looked at as the coordinator has looked at them */
		if (query->hasRowSecurity && !scope.local)
			inlined = shoal_inline_functions(query);
		if (scope.policies > 0)
			shoal_policy_apply(query, scope.policies);
		if (scope.local)
			stmt = plan_by_core(query, query_string, cursor_options, params);
		else
			stmt = shoal_scope_plan(query, query_string, cursor_options,
									params, &scope);
		if (scope.text)
			shoal_texts_of_rows(stmt);
		shoal_moved_add_end(stmt, specs);
		shoal_inline_note(stmt, inlined);
		return stmt;
	}
	if (shoal_scope_is_foreign_key_check(query_string))
		return plan_by_core(query, query_string, cursor_options, params);
	shoal_rewrite_find_tables(query, &tables);
	if (shoal_scope_is_local_work())
	{
		if (tables.sharded)
			shoal_scope_note_local_plan();
		return plan_by_core(query, query_string, cursor_options, params);
	}
	if (tables.functions)
	{
		inlined = shoal_inline_functions(query);
		shoal_rewrite_find_tables(query, &tables);
	}
	if (tables.samples)
		shoal_sample_rewrite(query);
	stmt = plan_users(query, query_string, cursor_options, params, &tables);
	shoal_inline_note(stmt, inlined);
	return stmt;
}

/* A part of a query with WITH queries that write, of whichever tables. */
static PlannedStmt *
plan_part_of_with(Query *query, const char *query_string, int cursor_options,
				  ParamListInfo params)
{
	ShoalTables tables;

	shoal_rewrite_find_tables(query, &tables);
	if (!tables.sharded && !tables.writes_reference)
		return plan_by_core(query, query_string, cursor_options, params);
	return plan_statement(query, query_string, cursor_options, params, &tables);
}

static void
shoal_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti,
			   RangeTblEntry *rte)
{
	if (next_pathlist)
		next_pathlist(root, rel, rti, rte);
	shoal_part_pathlist(root, rel, rte);
	shoal_moved_pathlist(root, rel, rte);
}

void
shoal_plan_init(void)
{
	next_planner = planner_hook;
	planner_hook = shoal_planner;
	next_pathlist = set_rel_pathlist_hook;
	set_rel_pathlist_hook = shoal_pathlist;
	shoal_statistics_init();
	shoal_write_select_planner = plan_select_of_write;
	shoal_with_part_planner = plan_part_of_with;
}
