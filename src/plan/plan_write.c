/*
 * plan_write.c
 *		INSERT, UPDATE, DELETE and MERGE on Shoal tables.
 *
 * A write that each shard can do by itself is one fragment.  Rows of an INSERT
 * that are not one constant row, nor made where they go, are computed by an
 * ordinary plan and sent to their shards by a Shoal Insert node on top of it.
 * A reference table is written on every node; for that nothing in the
 * statement may come out differently on another node.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/transam.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type_d.h"
#include "nodes/extensible.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rewriteDefine.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "plan/plan_assign.h"
#include "plan/plan_check.h"
#include "plan/plan_clock.h"
#include "plan/plan_current.h"
#include "plan/plan_direct.h"
#include "plan/plan_expr.h"
#include "plan/plan_fire.h"
#include "plan/plan_merge.h"
#include "plan/plan_merge_apart.h"
#include "plan/plan_move.h"
#include "plan/plan_owner.h"
#include "plan/plan_part.h"
#include "plan/plan_policy.h"
#include "plan/plan_query.h"
#include "plan/plan_quiet.h"
#include "plan/plan_returning.h"
#include "plan/plan_rights.h"
#include "plan/plan_rows.h"
#include "plan/plan_sequence.h"
#include "plan/plan_shape.h"
#include "plan/plan_spread.h"
#include "plan/plan_step.h"
#include "plan/plan_text.h"
#include "plan/plan_triggers.h"
#include "plan/plan_upsert.h"
#include "plan/plan_with.h"
#include "plan/plan_write.h"

/* number of the first part of a write whose RETURNING is worked out afterwards */
#define RETURNING_BASE_NUMBER	2000000

/* numbers of the row's parameters in the INSERT whose text is cut in two */
#define ROW_PARAM_BASE	60000

ShoalSelectPlanner shoal_write_select_planner = NULL;

static void
refuse(const char *what, const char *why, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s is not supported over several nodes", what),
			 why ? errdetail("It cannot be done shard by shard: %s.", why) : 0,
			 hint ? errhint("%s", hint) : 0));
}

/* What an INSERT does with a row on its node must not need other shards. */
static void
check_subqueries_of_row(Query *query)
{
	const char *reason;

	if (!shoal_shape_fits_row(query,
							  (Node *) list_make3(query->onConflict,
												  query->returningList,
												  query->withCheckOptions),
							  &reason))
		refuse("this INSERT", reason,
			   "Compute what the subquery returns with a query first.");
}

static void
check_functions_of_row(Query *query)
{
	if (shoal_expr_is_stuck((Node *) query->onConflict, false) ||
		shoal_expr_is_stuck((Node *) query->returningList, false))
		refuse("this INSERT", "ON CONFLICT or RETURNING has a function that must run on the coordinator",
			   "Leave the function out of ON CONFLICT and RETURNING.");
}

/* Would the statement come out differently on another node? */
static bool
differs_by_node(Query *query)
{
	return shoal_expr_is_volatile((Node *) query, false) ||
		shoal_expr_is_stuck((Node *) query, false);
}

/*
 * Whether an aggregate gives the same whatever the order of its rows is: one that
 * picks a row by an order of its own, or that core has for exact values.
 */
static bool
is_orderless(Aggref *agg)
{
	HeapTuple	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(agg->aggfnoid));
	bool		picks;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for aggregate %u", agg->aggfnoid);
	picks = OidIsValid(((Form_pg_aggregate) GETSTRUCT(tuple))->aggsortop);
	ReleaseSysCache(tuple);
	return picks ||
		(agg->aggfnoid < FirstNormalObjectId && agg->aggkind == AGGKIND_NORMAL &&
		 (agg->aggtype == BOOLOID || agg->aggtype == INT2OID ||
		  agg->aggtype == INT4OID || agg->aggtype == INT8OID ||
		  agg->aggtype == NUMERICOID || agg->aggtype == INTERVALOID));
}

/*
 * Is there something that each node may do in its own way, as rows lie in another
 * order there?  Sets the reason (const char *).
 */
static bool
depends_on_order_walker(Node *node, const char **reason)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;

		if (query->limitCount || query->limitOffset || query->hasDistinctOn)
			*reason = "LIMIT or DISTINCT ON may choose other rows on each node";
		else if (query->hasWindowFuncs)
			*reason = "a window function may see rows in another order on each node";
		return *reason != NULL ||
			query_tree_walker(query, depends_on_order_walker, reason, 0);
	}
	if (IsA(node, Aggref) && !is_orderless((Aggref *) node))
		*reason = "an aggregate may see rows in another order on each node";
	else if (IsA(node, SubLink) && ((SubLink *) node)->subLinkType == ARRAY_SUBLINK)
		*reason = "ARRAY() may see rows in another order on each node";
	else if (IsA(node, Var) && ((Var *) node)->varattno < 0 &&
			 ((Var *) node)->varattno != TableOidAttributeNumber)
		*reason = "system columns of a row differ from node to node";
	return *reason != NULL ||
		expression_tree_walker(node, depends_on_order_walker, (void *) reason);
}

/* Why a write would come out differently on another node; NULL: it would not. */
static const char *
why_differs(Query *query)
{
	const char *reason = NULL;

	if (differs_by_node(query))
		return "a volatile function may return something else on each node";
	(void) depends_on_order_walker((Node *) query, &reason);
	/* a MERGE raises an error */
	if (reason == NULL && query->commandType == CMD_UPDATE &&
		(list_length(query->jointree->fromlist) > 1 ||
		 !IsA(linitial(query->jointree->fromlist), RangeTblRef)))
		reason = "a row may be joined with several, of which each node may take another one";
	return reason;
}

/* ---- UPDATE and DELETE ---- */

/*
 * Not where the text of a row's place is compared, that contains its key, or what users
 * see as the ctid of a distributed table's row.
 */
static bool
reads_ctid_walker(Node *node, Index *target)
{
	if (node == NULL || shoal_expr_is_text_of(node) || shoal_expr_is_ctid_of(node))
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varno == *target &&
			((Var *) node)->varattno == SelfItemPointerAttributeNumber &&
			((Var *) node)->varlevelsup == 0;
	return expression_tree_walker(node, reads_ctid_walker, (void *) target);
}

/* Can the write be done where its rows are? */
static bool
is_doable(const ShoalTable *table, const ShoalAnalysis *analysis)
{
	return analysis->whole.kind == (table->kind == SHOAL_KIND_REFERENCE ?
									SHOAL_SHAPE_ANY : SHOAL_SHAPE_SHARDED);
}

static ShoalFragment *
compile_write(Query *query, const ShoalTable *table,
			  const ShoalAnalysis *analysis)
{
	ShoalFragment *frag;

	if (query->commandType == CMD_MERGE && table->kind == SHOAL_KIND_DISTRIBUTED)
		query = shoal_merge_restrict(query, table);
	frag = shoal_text_compile(shoal_check_fold(query), &analysis->whole);
	frag->returns_rows = (query->returningList != NIL);
	return frag;
}

/*
 * The write's fragment if it can run on each shard after rows of the tables
 * that it is joined with have been moved; else NULL.
 */
static ShoalFragment *
compile_after_moves(Query *query, const ShoalTable *table,
					ParamListInfo params)
{
	Query	   *spread = copyObject(query);
	ShoalAnalysis analysis;
	Index		target = query->resultRelation;

	if (!shoal_enable_move || table->kind == SHOAL_KIND_REFERENCE ||
		reads_ctid_walker((Node *) query->jointree, &target) ||
		!shoal_spread_query(spread, params))
		return NULL;
	shoal_shape_analyze(spread, &analysis);
	if (!is_doable(table, &analysis))
		return NULL;
	return compile_write(spread, table, &analysis);
}

static PlannedStmt *
plan_fragment(Query *query, ShoalFragment *frag, int cursor_options)
{
	frag->run_as = shoal_owner_to_write_as(query, false, false);
	return shoal_direct_plan(query, frag, cursor_options);
}

static PlannedStmt *put_insert_on_top(Query *query, ShoalInsert *insert,
									  PlannedStmt *stmt);

static bool
returns_subqueries(Query *query)
{
	return checkExprHasSubLink((Node *) query->returningList) &&
		!shoal_expr_returns_old_or_new((Node *) query->returningList);
}

/* Has an INSERT's RETURNING subqueries that the row's node can't answer? */
static bool
returns_more_than_row(Query *query)
{
	const char *reason;

	return returns_subqueries(query) &&
		!shoal_shape_fits_row(query, (Node *) query->returningList, &reason);
}

/* The write by itself, its RETURNING afterwards. */
static PlannedStmt *
plan_returning_apart(Query *query, const char *query_string,
					 int cursor_options, ParamListInfo params)
{
	PlannedStmt *stmt = shoal_with_plan(shoal_returning_apart(query),
										query_string, cursor_options, params,
										RETURNING_BASE_NUMBER);

	stmt->commandType = query->commandType;
	stmt->hasReturning = true;
	return stmt;
}

/* A write that has been split: a query for its rows, and what is done with them. */
static PlannedStmt *
plan_split(Query *query, Query *select, Query *write, ShoalInsert *insert,
		   List *returned, const char *query_string, int cursor_options,
		   ParamListInfo params)
{
	PlannedStmt *stmt = shoal_write_select_planner(select, query_string,
												   cursor_options & ~CURSOR_OPT_SCROLL,
												   params);

	stmt = put_insert_on_top(write, insert, stmt);
	stmt->commandType = query->commandType;
	if (returned)
		shoal_returning_put(stmt, returned);
	/* what is returned for checks of a view alone nobody gets */
	stmt->hasReturning = query->returningList != NIL;
	return stmt;
}

/* The last way: rows are found and worked out here (plan_rows.c). */
static PlannedStmt *
plan_by_rows(Query *query, const char *what, const char *reason,
			 const ShoalTable *table, const char *query_string,
			 int cursor_options, ParamListInfo params)
{
	ShoalInsert insert = {0};
	Query	   *select;
	Query	   *write = makeNode(Query);
	List	   *returned;
	PlannedStmt *stmt;

	if (query->commandType == CMD_MERGE)
	{
		const char *why;

		stmt = shoal_merge_plan_apart(query, table, NULL, query_string,
									  cursor_options, params, &why);
		if (stmt == NULL)
			refuse(what, why, "Use UPDATE, DELETE and INSERT.");
		return stmt;
	}
	if (returns_subqueries(query))
		return plan_returning_apart(query, query_string, cursor_options, params);
	if (!shoal_rows_split(query, table, &select, &insert, &write->returningList,
						  &returned, &reason))
		refuse(what, reason,
			   "Join on the distribution column, or compute the rows with a query first and write them by key.");
	write->canSetTag = query->canSetTag;
	return plan_split(query, select, write, &insert, returned, query_string,
					  cursor_options, params);
}

/* what: the statement as the user knows it */
static PlannedStmt *
plan_update_delete(Query *query, const char *what, const ShoalTable *table,
				   const char *query_string, int cursor_options,
				   ParamListInfo params)
{
	ShoalAnalysis analysis;
	ShoalFragment *frag;
	Query	   *whole = query;
	Query	   *found;
	const char *reason = NULL;	/* why not on every node of a reference table */
	ShoalPlanning planning = {0};

	if (shoal_current_is_used(query))
		query = shoal_current_replace(query, table);
	found = query;
	if (query->commandType != CMD_MERGE && shoal_owner_is_hindered(query))
		return plan_by_rows(found, what, NULL, table, query_string, cursor_options,
							params);
	shoal_part_begin(&planning, params);
	shoal_shape_analyze(query, &analysis);
	if (!is_doable(table, &analysis))
	{
		query = copyObject(query);
		if (shoal_step_extract(query, params))
			shoal_shape_analyze(query, &analysis);
	}
	if (table->kind == SHOAL_KIND_REFERENCE)
	{
		reason = NULL;
		if (!is_doable(table, &analysis))
			reason = analysis.whole.reason ? analysis.whole.reason :
				"a reference table is written with rows of a table that not every node has";
		else
			reason = why_differs(query);
	}

	if (reason == NULL && is_doable(table, &analysis))
		frag = compile_write(query, table, &analysis);
	else if ((frag = compile_after_moves(query, table, params)) == NULL)
	{
		shoal_planning = planning.outer;
		return plan_by_rows(found, what,
							reason ? reason : analysis.whole.reason, table,
							query_string, cursor_options, params);
	}
	frag->group_id = table->group_id;
	frag->pin_relid = table->relid;
	frag->every_node = (table->kind == SHOAL_KIND_REFERENCE);
	frag->sees_rows = frag->every_node;
	frag->way = frag->single_shard ? "router" : "push";
	shoal_planning = planning.outer;
	return plan_fragment(whole, frag, cursor_options);
}

/* ---- INSERT ---- */

/* One row without subqueries: its shard follows from its own values. */
static bool
is_single_row(Query *query)
{
	return query->jointree->fromlist == NIL && query->jointree->quals == NULL &&
		!query->hasSubLinks && query->cteList == NIL &&
		!expression_returns_set((Node *) query->targetList);
}

/* The only subquery of an INSERT ... SELECT that nodes can do; NULL if not. */
static RangeTblEntry *
rows_to_insert(Query *query, const ShoalTable *table)
{
	RangeTblRef *ref;
	RangeTblEntry *rte;

	if (!shoal_enable_push || table->kind == SHOAL_KIND_REFERENCE ||
		list_length(query->jointree->fromlist) != 1 ||
		query->jointree->quals != NULL || query->cteList != NIL)
		return NULL;
	ref = linitial(query->jointree->fromlist);
	if (!IsA(ref, RangeTblRef))
		return NULL;
	rte = rt_fetch(ref->rtindex, query->rtable);
	if (rte->rtekind != RTE_SUBQUERY || query->hasSubLinks ||
		shoal_assign_any(query->targetList) ||
		shoal_expr_is_stuck((Node *) query->targetList, false) ||
		shoal_expr_is_stuck((Node *) query->onConflict, false) ||
		shoal_expr_is_stuck((Node *) query->returningList, false))
		return NULL;
	return rte;
}

/* Are they made in the shards where they go? */
static bool
is_colocated(Query *query, RangeTblEntry *rte, const ShoalTable *table,
			 ShoalShape *shape)
{
	RangeTblRef *ref = linitial(query->jointree->fromlist);
	ShoalAnalysis analysis;
	bool		fits = false;
	ListCell   *lc;

	shoal_shape_analyze(rte->subquery, &analysis);
	*shape = analysis.whole;
	if (shape->kind != SHOAL_SHAPE_SHARDED || shape->group_id != table->group_id)
		return false;
	if (table->nkeys == 0)
		return true;
	foreach(lc, shape->keys)
	{
		ShoalKey   *key = (ShoalKey *) lfirst(lc);
		int			i;

		if (key->nullable)
			continue;
		for (i = 0; i < table->nkeys; i++)
		{
			TargetEntry *tle = get_tle_by_resno(query->targetList,
												table->keyattr[i]);
			Var		   *var = tle ? (Var *) shoal_expr_strip((Node *) tle->expr) : NULL;

			if (var == NULL || !IsA(var, Var) || var->varno != ref->rtindex ||
				var->varattno != key->columns[i].attno)
				break;
		}
		fits |= (i == table->nkeys);
	}
	return fits;
}

/*
 * An INSERT ... SELECT is printed with just its subquery; defaults and casts
 * that the INSERT adds are moved into the subquery.
 */
static Query *
with_targets_in_subquery(Query *query)
{
	Query	   *copy = copyObject(query);
	RangeTblRef *ref = linitial(copy->jointree->fromlist);
	RangeTblEntry *rte = rt_fetch(ref->rtindex, copy->rtable);
	RangeTblEntry *inner = copyObject(rte);
	Query	   *outer = shoal_query_from(inner);
	List	   *names = NIL;
	ListCell   *lc;
	int			resno = 0;

	inner->inFromCl = true;
	foreach(lc, copy->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);
		Expr	   *expr = copyObject(tle->expr);

		ChangeVarNodes((Node *) expr, ref->rtindex, 1, 0);
		resno++;
		outer->targetList = lappend(outer->targetList,
									makeTargetEntry(expr, resno, tle->resname,
													false));
		names = lappend(names, makeString(pstrdup(tle->resname)));
		tle->expr = (Expr *) makeVar(ref->rtindex, resno,
									 exprType((Node *) tle->expr),
									 exprTypmod((Node *) tle->expr),
									 exprCollation((Node *) tle->expr), 0);
	}
	rte->subquery = outer;
	rte->eref = makeAlias(rte->eref->aliasname, names);
	return copy;
}

/*
 * The fragment of an INSERT ... SELECT whose rows are sent to their shards by
 * the nodes that make them; NULL if that can't be, or isn't worth it.  always: as
 * for shoal_spread_rows().
 */
static ShoalFragment *
compile_reshuffled(Query *query, const ShoalTable *table, ParamListInfo params,
				   bool always)
{
	ShoalPlanning planning = {0};
	ShoalAnalysis analysis;
	ShoalFragment *frag = NULL;
	RangeTblRef *ref;
	RangeTblEntry *rte;
	Query	   *copy;
	int			key = 0;
	ListCell   *lc;

	if (!shoal_enable_move || table->nkeys != 1)
		return NULL;
	foreach(lc, query->targetList)
	{
		if (((TargetEntry *) lfirst(lc))->resno == table->keyattr[0])
			key = foreach_current_index(lc) + 1;
	}
	if (key == 0)
		return NULL;
	copy = with_targets_in_subquery(shoal_check_fold(query));
	ref = linitial(copy->jointree->fromlist);
	rte = rt_fetch(ref->rtindex, copy->rtable);
	shoal_part_begin(&planning, params);
	if (shoal_spread_rows(&rte->subquery, table, key, params, always))
	{
		shoal_shape_analyze(rte->subquery, &analysis);
		frag = shoal_text_compile(copy, &analysis.whole);
		frag->returns_rows = (query->returningList != NIL);
		frag->way = "push";
	}
	shoal_planning = planning.outer;
	return frag;
}

/* Takes away what the deparser would print as the source of an INSERT. */
static void
hide_sources(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = (RangeTblEntry *) lfirst(lc);

		if (rte->rtekind == RTE_SUBQUERY || rte->rtekind == RTE_VALUES)
		{
			RangeTblEntry *idle = makeNode(RangeTblEntry);

			idle->rtekind = RTE_RESULT;
			idle->eref = makeAlias("idle", NIL);
			lfirst(lc) = idle;
		}
	}
}

/* What of an INSERT is done with its rows, whose source is left out: a copy. */
static Query *
without_rows(Query *query)
{
	Query	   *copy = copyObject(query);

	hide_sources(copy);
	copy->jointree = makeFromExpr(NIL, NULL);
	copy->cteList = NIL;
	copy->targetList = NIL;
	return copy;
}

void
shoal_write_cut_insert(Query *query, ShoalInsert *insert)
{
	Query	   *copy = without_rows(shoal_check_fold(query));
	StringInfoData values;
	List	   *targets = NIL;
	char	   *text;
	char	   *found;
	ListCell   *lc;
	int			n = 0;

	initStringInfo(&values);
	appendStringInfoString(&values, "VALUES (");
	foreach(lc, query->targetList)
	{
		TargetEntry *tle = flatCopyTargetEntry(lfirst(lc));
		Param	   *param = makeNode(Param);

		n++;
		param->paramkind = PARAM_EXTERN;
		param->paramid = ROW_PARAM_BASE + n;
		param->paramtype = exprType((Node *) tle->expr);
		param->paramtypmod = exprTypmod((Node *) tle->expr);
		param->paramcollid = exprCollation((Node *) tle->expr);
		param->location = -1;
		tle->expr = (Expr *) param;
		targets = lappend(targets, tle);
		appendStringInfo(&values, "%s$%d", n > 1 ? ", " : "", param->paramid);
	}
	appendStringInfoChar(&values, ')');

	/* parameters take the place of the rows' source */
	copy = (Query *) shoal_text_externalize((Node *) copy, &insert->tail_params,
											false);
	copy->targetList = targets;
	/* the rewriter has seen to OVERRIDING USER VALUE */
	copy->override = OVERRIDING_SYSTEM_VALUE;
	text = shoal_text_deparse(copy);
	found = strstr(text, values.data);
	if (found == NULL)
		elog(ERROR, "unexpected text of an INSERT");
	insert->head = pnstrdup(text, found - text);
	insert->tail = pstrdup(found + values.len);
}

/* Triggers here may use the connections to nodes while rows are on their way. */
static bool
has_row_triggers(Relation rel)
{
	TriggerDesc *triggers = rel->trigdesc;

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		if (!triggers->triggers[i].tgisinternal &&
			TRIGGER_FOR_ROW(triggers->triggers[i].tgtype) &&
			TRIGGER_FOR_INSERT(triggers->triggers[i].tgtype))
			return true;
	}
	return false;
}

static bool
version_walker(Node *node, Index *target)
{
	Var		   *var = (Var *) node;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return var->varno == *target && var->varlevelsup == 0 && var->varattno < 0 &&
			var->varattno != TableOidAttributeNumber &&
			var->varattno != SelfItemPointerAttributeNumber;
	return expression_tree_walker(node, version_walker, (void *) target);
}

bool
shoal_write_returns_version(Query *query, const ShoalTable *table)
{
	Index		target = query->resultRelation;

	return query->commandType == CMD_INSERT && table->kind == SHOAL_KIND_DISTRIBUTED &&
		version_walker((Node *) query->returningList, &target);
}

/* What a Shoal Insert node needs to know of an INSERT; its columns in order. */
static void
describe_insert(Query *query, ShoalInsert *insert)
{
	RangeTblEntry *target = rt_fetch(query->resultRelation, query->rtable);
	const ShoalTable *table = shoal_meta_table(target->relid);
	Relation	rel = RelationIdGetRelation(target->relid);
	Query	   *rest = without_rows(query);
	ListCell   *lc;

	insert->relid = target->relid;
	insert->run_as = shoal_owner_to_write_as(rest, false, false);
	insert->use_copy = !query->onConflict && !query->returningList &&
		!shoal_check_any(query) && !OidIsValid(insert->run_as) &&
		!rel->rd_rel->relrowsecurity && !has_row_triggers(rel);
	insert->returns_rows = (query->returningList != NIL);
	insert->is_timed = shoal_clock_is_asked(rest);
	insert->by_shard = shoal_write_returns_version(query, table);
	insert->triggers = shoal_triggers_find(query, table->kind != SHOAL_KIND_DISTRIBUTED);
	RelationClose(rel);
	foreach(lc, query->targetList)
		insert->attnums = lappend_int(insert->attnums,
									  ((TargetEntry *) lfirst(lc))->resno);
	shoal_write_cut_insert(query, insert);
}

/* Puts a Shoal Insert node on top of the plan for the rows. */
static PlannedStmt *
put_insert_on_top(Query *query, ShoalInsert *insert, PlannedStmt *stmt)
{
	CustomScan *cscan;
	RangeTblEntry *rte;
	List	   *names;
	List	   *types;
	List	   *typmods;
	List	   *collations;
	ShoalPart	part = {0};
	ShoalPlanning planning = {0};

	shoal_part_columns(query->returningList, &names, &types, &typmods,
					   &collations);
	planning.outer = shoal_planning;
	shoal_planning = &planning;
	rte = shoal_part_make_rte(&part, names, types, typmods, collations);
	shoal_planning = planning.outer;
	stmt->rtable = lappend(stmt->rtable, rte);
	cscan = shoal_part_make_scan(NULL, list_length(stmt->rtable), names, types,
								 typmods, collations);
	cscan->methods = GetCustomScanMethods(SHOAL_INSERT, false);
	shoal_insert_store(cscan, insert);
	cscan->scan.plan.startup_cost = stmt->planTree->startup_cost;
	cscan->scan.plan.total_cost = stmt->planTree->total_cost;
	cscan->scan.plan.plan_rows = insert->returns_rows ? stmt->planTree->plan_rows : 0;
	outerPlan(cscan) = stmt->planTree;
	stmt->planTree = (Plan *) cscan;
	stmt->commandType = CMD_INSERT;
	stmt->hasReturning = insert->returns_rows;
	stmt->canSetTag = query->canSetTag;
	stmt->parallelModeNeeded = false;
	if (!list_member_oid(stmt->relationOids, insert->relid))
		stmt->relationOids = lappend_oid(stmt->relationOids, insert->relid);
	return stmt;
}

Query *
shoal_write_rows_of_insert(Query *query)
{
	Query	   *select = copyObject(query);
	ListCell   *lc;

	select->commandType = CMD_SELECT;
	select->resultRelation = 0;
	select->onConflict = NULL;
	select->returningList = NIL;
	select->withCheckOptions = NIL;
	select->override = OVERRIDING_NOT_SET;
	foreach(lc, select->targetList)
		((TargetEntry *) lfirst(lc))->resno = foreach_current_index(lc) + 1;

	/* an INSERT's source is not marked as being in FROM; the deparser cares */
	foreach(lc, select->rtable)
	{
		RangeTblEntry *source = (RangeTblEntry *) lfirst(lc);

		if (source->rtekind == RTE_SUBQUERY || source->rtekind == RTE_VALUES)
			source->inFromCl = true;
	}
	return select;
}

/* An INSERT whose rows, however they are made, are those of a subquery. */
static Query *
with_rows_in_subquery(Query *query)
{
	Query	   *copy = copyObject(query);
	RangeTblRef *ref = makeNode(RangeTblRef);
	ListCell   *lc;

	hide_sources(copy);
	copy->rtable = lappend(copy->rtable,
						   shoal_query_entry(shoal_write_rows_of_insert(query), "rows"));
	ref->rtindex = list_length(copy->rtable);
	copy->jointree = makeFromExpr(list_make1(ref), NULL);
	copy->cteList = NIL;
	/* the rewriter has seen to OVERRIDING USER VALUE */
	copy->override = OVERRIDING_SYSTEM_VALUE;
	foreach(lc, copy->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		tle->expr = (Expr *) makeVar(ref->rtindex, foreach_current_index(lc) + 1,
									 exprType((Node *) tle->expr),
									 exprTypmod((Node *) tle->expr),
									 exprCollation((Node *) tle->expr), 0);
	}
	return copy;
}

/* The value of an identity column needs no right on its sequence; its text does. */
static bool
lacks_sequence_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, NextValueExpr))
		return pg_class_aclcheck(((NextValueExpr *) node)->seqid, GetUserId(),
								 ACL_USAGE | ACL_UPDATE) != ACLCHECK_OK;
	return expression_tree_walker(node, lacks_sequence_walker, context);
}

/*
 * The fragment of an INSERT into a table whose policies read other shards for a new
 * row: what they read is moved to the nodes, and so are the rows.  NULL if that can't
 * be.
 */
static ShoalFragment *
compile_checked(Query *query, const ShoalTable *table, ParamListInfo params)
{
	ShoalPlanning planning = {0};
	ShoalFragment *frag = NULL;
	Query	   *copy = with_rows_in_subquery(shoal_sequence_rewrite(query));

	check_functions_of_row(query);
	shoal_part_begin(&planning, params);
	if (shoal_enable_move && !lacks_sequence_walker((Node *) query->targetList, NULL) &&
		shoal_policy_spread_checks(copy))
		frag = compile_reshuffled(copy, table, params, true);
	shoal_planning = planning.outer;
	return frag;
}

/* An INSERT of rows that are made here. */
static PlannedStmt *
plan_routed_insert(Query *query, const char *query_string,
				   int cursor_options, ParamListInfo params)
{
	ShoalInsert insert = {0};
	Query	   *select;
	PlannedStmt *stmt;

	check_functions_of_row(query);
	describe_insert(query, &insert);
	select = shoal_write_rows_of_insert(query);
	stmt = shoal_write_select_planner(select, query_string,
									  cursor_options & ~CURSOR_OPT_SCROLL, params);
	return put_insert_on_top(query, &insert, stmt);
}

/* An UPDATE of the key: its rows are deleted where they are and inserted anew. */
static PlannedStmt *
plan_key_update(Query *query, const ShoalTable *table,
				const char *query_string, int cursor_options,
				ParamListInfo params)
{
	ShoalInsert insert = {0};
	Query	   *removal;
	Query	   *insertion;
	PlannedStmt *stmt;

	if (returns_subqueries(query))
		return plan_returning_apart(query, query_string, cursor_options, params);
	shoal_move_split(query, &removal, &insertion);
	check_subqueries_of_row(insertion);
	describe_insert(insertion, &insert);
	stmt = plan_update_delete(removal, "this UPDATE", table,
									  query_string, cursor_options, params);
	stmt = put_insert_on_top(insertion, &insert, stmt);
	stmt->commandType = CMD_UPDATE;
	return stmt;
}

/* ON CONFLICT DO UPDATE does something that a node can't do with a row. */
static PlannedStmt *
plan_upsert(Query *query, const ShoalTable *table, const char *query_string,
			int cursor_options, ParamListInfo params)
{
	const char *why = NULL;
	ShoalUpsert upsert = {NULL};
	Query	   *merge = shoal_upsert_merge(query, shoal_write_rows_of_insert(query),
										   table, &upsert, &why);
	PlannedStmt *stmt = NULL;

	if (shoal_rights_check_rows(query))
		why = "the table has policies";
	else if (merge != NULL)
		stmt = shoal_merge_plan_apart(merge, table, &upsert, query_string,
									  cursor_options, params, &why);
	if (stmt == NULL)
		refuse("this INSERT", why,
			   "Compute what ON CONFLICT needs with a query first, or update and insert the rows in two statements.");
	return stmt;
}

static PlannedStmt *
plan_insert(Query *query, const ShoalTable *table, const char *query_string,
			int cursor_options, ParamListInfo params)
{
	ShoalFragment *frag;
	ShoalShape	shape;
	RangeTblEntry *rows;
	const char *why;

	if (returns_more_than_row(query))
		return plan_returning_apart(query, query_string, cursor_options, params);
	if (shoal_upsert_is_needed(query, table))
		return plan_upsert(query, table, query_string, cursor_options, params);
	if (!shoal_rights_fit_row(query, &why) &&
		(frag = compile_checked(query, table, params)) != NULL)
		return plan_fragment(query, frag, cursor_options);
	check_subqueries_of_row(query);
	/* an owner who may not make the rows may still write them */
	if (shoal_owner_is_hindered(query))
		return plan_routed_insert(query, query_string, cursor_options, params);
	if (is_single_row(query))
	{
		check_functions_of_row(query);
		frag = shoal_text_compile_insert(shoal_check_fold(query), table->relid);
		frag->returns_rows = (query->returningList != NIL);
		frag->way = "router";
		return plan_fragment(query, frag, cursor_options);
	}
	rows = rows_to_insert(query, table);
	if (rows && is_colocated(query, rows, table, &shape) &&
		(shape.single || !shoal_write_returns_version(query, table)))
	{
		frag = shoal_text_compile(with_targets_in_subquery(shoal_check_fold(query)),
								  &shape);
		frag->returns_rows = (query->returningList != NIL);
		frag->way = frag->single_shard ? "router" : "push";
		return plan_fragment(query, frag, cursor_options);
	}
	if (rows && !shoal_write_returns_version(query, table) &&
		(frag = compile_reshuffled(query, table, params, false)) != NULL)
		return plan_fragment(query, frag, cursor_options);
	return plan_routed_insert(query, query_string, cursor_options, params);
}

/* A write whose triggers are fired here (plan_fire.c); NULL if that can't be. */
static PlannedStmt *
plan_fired(Query *query, const ShoalTable *table, const char *query_string,
		   int cursor_options, ParamListInfo params)
{
	ShoalInsert insert = {0};
	Index		target = query->resultRelation;
	Query	   *write = makeNode(Query);
	Query	   *select;
	List	   *returned;

	if (query->commandType == CMD_INSERT)
	{
		if (returns_more_than_row(query) || shoal_upsert_is_needed(query, table))
			return NULL;
		check_subqueries_of_row(query);
	}
	else
	{
		if (shoal_current_is_used(query))
			query = shoal_current_replace(query, table);
		else if (reads_ctid_walker((Node *) query->jointree, &target))
			return NULL;
	}
	if (!shoal_fire_split(query, table, &select, &insert, &write->returningList,
						  &returned))
		return NULL;
	write->canSetTag = query->canSetTag;
	return plan_split(query, select, write, &insert, returned, query_string,
					  cursor_options, params);
}

/*
 * A MERGE is taken apart if rows move, if there are checks of a view, which have no
 * text in a MERGE, or for transition tables, which have the rows of all nodes then; if
 * need be the only node that writes fills them.
 */
static bool
is_apart(Query *query, const ShoalTable *table)
{
	ShoalAnalysis analysis;
	bool		possible;

	if (shoal_merge_moves_rows(query, table) || shoal_check_any(query))
		return true;
	if (table->kind == SHOAL_KIND_REFERENCE ||
		!shoal_fire_fills_tables(query, table, &possible))
		return false;
	if (possible)
		return true;
	shoal_shape_analyze(query, &analysis);
	return !(is_doable(table, &analysis) && analysis.whole.single);
}

static PlannedStmt *
plan_write_command(Query *query, const ShoalTable *table,
				   const char *query_string, int cursor_options,
				   ParamListInfo params)
{
	PlannedStmt *stmt;
	const char *why;

	switch (query->commandType)
	{
		case CMD_INSERT:
			return plan_insert(query, table, query_string, cursor_options,
							   params);
		case CMD_UPDATE:
			if (table->kind != SHOAL_KIND_REFERENCE &&
				shoal_move_is_needed(query, query->targetList, table))
				return plan_key_update(query, table, query_string,
									   cursor_options, params);
			return plan_update_delete(query, "this UPDATE", table,
									  query_string, cursor_options, params);
		case CMD_DELETE:
			return plan_update_delete(query, "this DELETE", table,
									  query_string, cursor_options, params);
		case CMD_MERGE:
			if (is_apart(query, table))
				return plan_by_rows(query, "this MERGE", NULL, table,
									query_string, cursor_options, params);
			if (shoal_fire_is_wanted_for_merge(query, table) &&
				(stmt = shoal_merge_plan_apart(query, table, NULL, query_string,
											   cursor_options, params, &why)) != NULL)
				return stmt;
			return plan_update_delete(query, "this MERGE", table,
									  query_string, cursor_options, params);
		default:
			elog(ERROR, "unrecognized command type: %d",
				 (int) query->commandType);
	}
	return NULL;				/* not reached */
}

/*
 * Rules have been applied here, and nodes leave them out, but for those that
 * are to be applied there as well.
 */
static void
check_rules(Relation rel)
{
	for (int i = 0; rel->rd_rules && i < rel->rd_rules->numLocks; i++)
	{
		RewriteRule *rule = rel->rd_rules->rules[i];

		if (rule->event != CMD_SELECT &&
			(rule->enabled == RULE_FIRES_ALWAYS ||
			 rule->enabled == RULE_FIRES_ON_REPLICA))
			refuse("writing to a table with a rule that is enabled ALWAYS or for replicas",
				   NULL, "Use ALTER TABLE ... ENABLE RULE.");
	}
}

bool
shoal_write_is_single(Query *query)
{
	const ShoalTable *table =
		shoal_meta_table(rt_fetch(query->resultRelation, query->rtable)->relid);
	ShoalAnalysis analysis;

	if (table == NULL || table->kind == SHOAL_KIND_REFERENCE ||
		query->commandType == CMD_MERGE)
		return false;
	if (query->commandType == CMD_INSERT)
	{
		shoal_shape_analyze(shoal_write_rows_of_insert(query), &analysis);
		return analysis.whole.kind == SHOAL_SHAPE_ANY || analysis.whole.single;
	}
	if (shoal_move_is_needed(query, query->targetList, table) ||
		shoal_current_is_used(query))
		return false;
	shoal_shape_analyze(query, &analysis);
	return is_doable(table, &analysis) && analysis.whole.single;
}

/*
 * A write whose RETURNING may look at the rows that have been written so far: each is
 * written by itself, and what it returns worked out here before the next one; NULL if that
 * can't be.
 */
static PlannedStmt *
plan_row_by_row(Query *query, const ShoalTable *table, const char *query_string,
				int cursor_options, ParamListInfo params)
{
	ShoalInsert insert = {0};
	Query	   *write = makeNode(Query);
	Query	   *select;
	List	   *returned;
	PlannedStmt *stmt;
	const char *why;

	if (returns_subqueries(query) || !shoal_rights_fit_row(query, &why))
		return NULL;
	if (query->commandType == CMD_INSERT)
	{
		if (is_single_row(query) || shoal_upsert_is_needed(query, table) ||
			(returned = shoal_returning_cut(&query, false)) == NIL)
			return NULL;
		check_subqueries_of_row(query);
		stmt = plan_routed_insert(query, query_string, cursor_options, params);
		shoal_returning_put(stmt, returned);
		return stmt;
	}
	if (list_length(query->jointree->fromlist) != 1 ||
		!IsA(linitial(query->jointree->fromlist), RangeTblRef) ||
		shoal_current_is_used(query) ||
		(query->commandType == CMD_UPDATE &&
		 shoal_move_is_needed(query, query->targetList, table)) ||
		!shoal_rows_split(query, table, &select, &insert, &write->returningList, &returned,
						  &why))
		return NULL;
	write->canSetTag = query->canSetTag;
	return plan_split(query, select, write, &insert, returned, query_string,
					  cursor_options, params);
}

PlannedStmt *
shoal_write_plan(Query *query, const char *query_string, int cursor_options,
				 ParamListInfo params)
{
	RangeTblEntry *target = rt_fetch(query->resultRelation, query->rtable);
	const ShoalTable *table = shoal_meta_table(target->relid);
	Relation	rel = RelationIdGetRelation(table->relid);
	List	   *returning;
	PlannedStmt *stmt;
	bool		curious = shoal_quiet_is_curious((Node *) query->returningList, rel);

	check_rules(rel);
	RelationClose(rel);
	query = shoal_check_lower_barrier(query);
	if (shoal_fire_is_wanted(query, table) &&
		(stmt = plan_fired(query, table, query_string, cursor_options,
						   params)) != NULL)
		return stmt;
	if (curious &&
		(stmt = plan_row_by_row(query, table, query_string, cursor_options, params)) != NULL)
		return stmt;
	returning = shoal_returning_cut(&query, table->kind == SHOAL_KIND_REFERENCE);
	stmt = plan_write_command(query, table, query_string, cursor_options, params);
	if (returning)
		shoal_returning_put(stmt, returning);
	return stmt;
}
