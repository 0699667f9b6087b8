/*
 * plan_rewrite.c
 *		Putting parts into a query that can't be sent as a whole.
 *
 * Level by level, from the top: a level that can run on each shard by itself
 * becomes one part; one whose FROM and WHERE can is split; of any other level
 * the subqueries are treated alike and each distributed table is pulled, i.e.
 * becomes a part of its own, to which core's planner then gives the conditions
 * and columns that concern it alone.  Core joins the parts.  So every SELECT
 * has a plan.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/heap.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "plan/plan_ctid.h"
#include "plan/plan_expr.h"
#include "plan/plan_inline.h"
#include "plan/plan_moved.h"
#include "plan/plan_part.h"
#include "plan/plan_query.h"
#include "plan/plan_regroup.h"
#include "plan/plan_rewrite.h"
#include "plan/plan_sample.h"
#include "plan/plan_sequence.h"
#include "plan/plan_shape.h"
#include "plan/plan_split.h"
#include "plan/plan_spread.h"
#include "plan/plan_step.h"
#include "plan/plan_tableoid.h"
#include "plan/plan_text.h"
#include "plan/plan_write.h"

#define GUESS_TABLE_ROWS	100000

/* ---- what tables there are ---- */

static void
note_table(const ShoalTable *table, ShoalTables *tables)
{
	const ShoalGroup *group = shoal_meta_group(table->group_id);

	/* a plan of core's can't wait for what becomes of a shard */
	if (!group->all_local || group->moving)
		tables->all_local = false;
	if (table->kind == SHOAL_KIND_REFERENCE)
		tables->reference = true;
	else
		tables->sharded = true;
}

/* Does a WITH query write to a Shoal table? */
static bool
writes_in_with(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->cteList)
	{
		Query	   *cte = (Query *) ((CommonTableExpr *) lfirst(lc))->ctequery;

		if (cte->commandType != CMD_SELECT &&
			shoal_meta_table(rt_fetch(cte->resultRelation, cte->rtable)->relid))
			return true;
	}
	return false;
}

/*
 * Whether a table that Shoal does not know is the user's own, so that each node
 * has other rows in it.  What comes with an extension is the same everywhere.
 */
static bool
is_of_node(Oid relid)
{
	return relid >= FirstNormalObjectId &&
		get_rel_persistence(relid) != RELPERSISTENCE_TEMP &&
		strncmp(get_namespace_name(get_rel_namespace(relid)), "shoal", 5) != 0 &&
		!OidIsValid(getExtensionOfObject(RelationRelationId, relid));
}

static bool
find_tables_walker(Node *node, ShoalTables *tables)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_RELATION &&
			(rte->relkind == RELKIND_RELATION ||
			 rte->relkind == RELKIND_PARTITIONED_TABLE))
		{
			const ShoalTable *table = shoal_meta_table(rte->relid);

			/* a reference table's copy here serves for reading */
			if (table && table->kind == SHOAL_KIND_REFERENCE)
				tables->reference = true;
			else if (table)
				note_table(table, tables);
			else if (shoal_origin > 0 && is_of_node(rte->relid))
				tables->of_node = rte->relid;
		}
		/* rows on their way to other nodes: nothing for this one */
		if (rte->rtekind == RTE_FUNCTION && shoal_moved_find(rte))
		{
			tables->all_local = false;
			tables->sharded = true;
		}
		if (shoal_inline_may(rte))
			tables->functions = true;
		if (shoal_sample_is_counted(rte))
			tables->samples = true;
		return false;
	}
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;

		/* core asks when it plans a level, which it won't with those sent away */
		if (query->rowMarks)
		{
			CheckSelectLocking(query, linitial_node(RowMarkClause, query->rowMarks)->strength);
			tables->locks = true;
		}
		if (query->cteList)
			tables->with = true;
		if (query->commandType != CMD_SELECT && query->resultRelation > 0)
		{
			RangeTblEntry *rte = rt_fetch(query->resultRelation, query->rtable);
			const ShoalTable *table = shoal_meta_table(rte->relid);

			if (table)
				note_table(table, tables);
			if (table && table->kind == SHOAL_KIND_REFERENCE)
				tables->writes_reference = true;
			if (table && shoal_write_returns_version(query, table))
				tables->all_local = false;
		}
		return query_tree_walker(query, find_tables_walker, (void *) tables,
								 QTW_EXAMINE_RTES_BEFORE);
	}
	if (IsA(node, JoinExpr) && IS_OUTER_JOIN(((JoinExpr *) node)->jointype))
		tables->outer_join = true;
	if (IsA(node, Var) && (((Var *) node)->varattno == TableOidAttributeNumber ||
						   ((Var *) node)->varattno == SelfItemPointerAttributeNumber))
		tables->tableoid = true;
	if (shoal_sequence_is_moved_by(node))
		tables->nextval = true;
	return expression_tree_walker(node, find_tables_walker, (void *) tables);
}

void
shoal_rewrite_find_tables(Query *query, ShoalTables *tables)
{
	memset(tables, 0, sizeof(ShoalTables));
	tables->all_local = true;
	tables->writes_in_with = writes_in_with(query);
	find_tables_walker((Node *) query, tables);
}

/* ---- WITH queries that nobody reads ---- */

typedef struct CteUse
{
	CommonTableExpr *cte;
	Index		depth;
} CteUse;

static bool
reads_cte_walker(Node *node, CteUse *use)
{
	if (node == NULL || node == (Node *) use->cte)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		return rte->rtekind == RTE_CTE && rte->ctelevelsup == use->depth &&
			strcmp(rte->ctename, use->cte->ctename) == 0;
	}
	if (IsA(node, Query))
	{
		bool		result;

		use->depth++;
		result = query_tree_walker((Query *) node, reads_cte_walker,
								   (void *) use, QTW_EXAMINE_RTES_BEFORE);
		use->depth--;
		return result;
	}
	return expression_tree_walker(node, reads_cte_walker, (void *) use);
}

static bool
drop_idle_ctes_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		bool		dropped = true;

		query_tree_walker(query, drop_idle_ctes_walker, context, 0);
		while (dropped)
		{
			ListCell   *lc;

			dropped = false;
			foreach(lc, query->cteList)
			{
				CteUse		use = {(CommonTableExpr *) lfirst(lc), 0};

				if (((Query *) use.cte->ctequery)->commandType == CMD_SELECT &&
					!query_tree_walker(query, reads_cte_walker, (void *) &use,
									   QTW_EXAMINE_RTES_BEFORE))
				{
					query->cteList = foreach_delete_current(query->cteList, lc);
					dropped = true;
				}
			}
		}
		return false;
	}
	return expression_tree_walker(node, drop_idle_ctes_walker, context);
}

void
shoal_rewrite_drop_idle_ctes(Query *query)
{
	drop_idle_ctes_walker((Node *) query, NULL);
}

/* ---- pulling a table ---- */

typedef struct SystemColumns
{
	int			varno;
	int			depth;
	int			natts;
	List	   *attnos;			/* int list: system columns met so far */
} SystemColumns;

/* The column that a system column becomes. */
static Node *
column_for(const Var *system, AttrNumber attno, SystemColumns *context)
{
	Var		   *var = copyObject((Var *) system);
	int			pos = 0;

	while (pos < list_length(context->attnos) && list_nth_int(context->attnos, pos) != attno)
		pos++;
	if (pos == list_length(context->attnos))
		context->attnos = lappend_int(context->attnos, attno);
	var->varattno = context->natts + pos + 1;
	if (attno == TableOidAttributeNumber)
		return (Node *) shoal_tableoid_from_column(var);
	return (Node *) var;
}

static bool
is_system_column(const Var *var, const SystemColumns *context)
{
	return var->varno == context->varno && var->varattno < 0 &&
		var->varlevelsup == context->depth;
}

/* System columns of a pulled table become ordinary columns behind the others. */
static Node *
system_columns_mutator(Node *node, SystemColumns *context)
{
	Var		   *var = shoal_ctid_of_column(node);

	if (node == NULL)
		return NULL;
	if (var && is_system_column(var, context))
		return column_for(var, SHOAL_CTID_ATTNO, context);
	if (IsA(node, Var))
	{
		var = (Var *) node;
		return is_system_column(var, context) ?
			column_for(var, var->varattno, context) : node;
	}
	if (IsA(node, Query))
	{
		Node	   *result;

		context->depth++;
		result = (Node *) query_tree_mutator((Query *) node,
											 system_columns_mutator,
											 (void *) context, 0);
		context->depth--;
		return result;
	}
	return expression_tree_mutator(node, system_columns_mutator,
								   (void *) context);
}

/* The system column that a number is about. */
static AttrNumber
system_column(int attno)
{
	return attno == SHOAL_CTID_ATTNO ? SelfItemPointerAttributeNumber : attno;
}

/* The row that a whole-row reference means; NULL where an outer join has none. */
static Node *
make_row(Var *whole, SystemColumns *context, TupleDesc desc)
{
	RowExpr    *row = makeNode(RowExpr);
	NullTest   *test = makeNode(NullTest);
	CaseWhen   *when = makeNode(CaseWhen);
	CaseExpr   *result = makeNode(CaseExpr);
	AttrNumber	attno = system_column(linitial_int(context->attnos));

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		row->args = lappend(row->args, column->attisdropped ?
							(void *) makeNullConst(INT4OID, -1, InvalidOid) :
							(void *) makeVar(whole->varno, i + 1, column->atttypid,
											 column->atttypmod, column->attcollation,
											 whole->varlevelsup));
	}
	row->row_typeid = whole->vartype;
	row->row_format = COERCE_EXPLICIT_CAST;
	row->location = -1;
	/* a system column is never null in a row that is there */
	test->arg = (Expr *) makeVar(whole->varno, context->natts + 1,
								 attno == TableOidAttributeNumber ? REGCLASSOID :
								 SystemAttributeDefinition(attno)->atttypid, -1,
								 InvalidOid, whole->varlevelsup);
	test->nulltesttype = IS_NOT_NULL;
	test->location = -1;
	when->expr = (Expr *) test;
	when->result = (Expr *) row;
	when->location = -1;
	result->casetype = whole->vartype;
	result->args = list_make1(when);
	result->defresult = (Expr *) makeNullConst(whole->vartype, -1, InvalidOid);
	result->location = -1;
	return (Node *) result;
}

typedef struct WholeRows
{
	SystemColumns *columns;
	TupleDesc	desc;
} WholeRows;

/* Of a table that has got more columns its row is no more all of them. */
static Node *
whole_rows_mutator(Node *node, WholeRows *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		if (var->varno == context->columns->varno && var->varattno == 0 &&
			var->varlevelsup == context->columns->depth)
			return make_row(var, context->columns, context->desc);
		return node;
	}
	if (IsA(node, Query))
	{
		Node	   *result;

		context->columns->depth++;
		result = (Node *) query_tree_mutator((Query *) node, whole_rows_mutator,
											 (void *) context, 0);
		context->columns->depth--;
		return result;
	}
	return expression_tree_mutator(node, whole_rows_mutator, (void *) context);
}

/* Gives a table that is pulled columns for the system columns that are read. */
static Query *
add_system_columns(Query *query, Oid relid, SystemColumns *context)
{
	Relation	rel = table_open(relid, NoLock);
	WholeRows	whole = {context, RelationGetDescr(rel)};

	context->natts = RelationGetNumberOfAttributes(rel);
	context->depth = -1;
	query = (Query *) system_columns_mutator((Node *) query, context);
	if (context->attnos != NIL)
		query = (Query *) whole_rows_mutator((Node *) query, &whole);
	table_close(rel, NoLock);
	return query;
}

/* "SELECT all columns FROM table", with its row locking clause if any. */
static Query *
table_query(Query *outer, int varno, List *system_attnos)
{
	RangeTblEntry *rte = copyObject(rt_fetch(varno, outer->rtable));
	Query	   *query = shoal_query_from(rte);
	Relation	rel = table_open(rte->relid, NoLock);
	TupleDesc	desc = RelationGetDescr(rel);
	ListCell   *lc;

	/* the node adds them again; here they are to be analyzed */
	ChangeVarNodes((Node *) rte->securityQuals, varno, 1, 0);
	shoal_query_copy_permissions(query, outer, rte);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Expr	   *expr;

		if (att->attisdropped)
			expr = (Expr *) makeNullConst(INT4OID, -1, InvalidOid);
		else
			expr = (Expr *) makeVar(1, att->attnum, att->atttypid,
									att->atttypmod, att->attcollation, 0);
		query->targetList = lappend(query->targetList,
									makeTargetEntry(expr, i + 1,
													att->attisdropped ?
													psprintf("dropped%d", i + 1) :
													pstrdup(NameStr(att->attname)),
													false));
	}
	foreach(lc, system_attnos)
	{
		const FormData_pg_attribute *att = SystemAttributeDefinition(system_column(lfirst_int(lc)));
		Expr	   *expr;

		expr = (Expr *) makeVar(1, att->attnum, att->atttypid, -1, InvalidOid, 0);
		if (lfirst_int(lc) == TableOidAttributeNumber)
			expr = shoal_tableoid_column((Var *) expr);
		else if (lfirst_int(lc) == SHOAL_CTID_ATTNO)
			expr = shoal_ctid_column((Var *) expr, shoal_meta_table(rte->relid));
		query->targetList = lappend(query->targetList,
									makeTargetEntry(expr,
													list_length(query->targetList) + 1,
													pstrdup(NameStr(att->attname)),
													false));
	}
	foreach(lc, outer->rowMarks)
	{
		RowMarkClause *mark = (RowMarkClause *) lfirst(lc);

		if (mark->rti == varno)
		{
			mark = copyObject(mark);
			mark->rti = 1;
			mark->pushedDown = false;	/* such are not printed */
			query->rowMarks = list_make1(mark);
			query->hasForUpdate = true;
		}
	}
	table_close(rel, NoLock);
	return query;
}

/*
 * A view with rights of its own becomes a part as a whole, as what is in it
 * must not be read by the current user.  False if it can't run on each shard
 * by itself.
 */
static bool
pull_view(Query *outer, RangeTblEntry *rte, const char *reason)
{
	RangeTblEntry *view = copyObject(rte);
	Query	   *query = shoal_query_from(view);
	ShoalPart  *part;
	ShoalAnalysis analysis;
	ListCell   *lc;

	view->lateral = false;
	view->inFromCl = true;
	/* core's planner looks at them when it is asked how many rows that will be */
	shoal_query_copy_permissions(query, outer, view);
	foreach(lc, view->subquery->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);
		Expr	   *expr = (Expr *) makeVar(1, tle->resno,
											exprType((Node *) tle->expr),
											exprTypmod((Node *) tle->expr),
											exprCollation((Node *) tle->expr), 0);

		if (!tle->resjunk)
			query->targetList = lappend(query->targetList,
										makeTargetEntry(expr, tle->resno,
														pstrdup(tle->resname), false));
	}
	shoal_shape_analyze(query, &analysis);
	if (analysis.whole.kind != SHOAL_SHAPE_SHARDED ||
		!shoal_part_is_sendable(query))
		return false;
	part = palloc0(sizeof(ShoalPart));
	part->query = query;
	part->rows = GUESS_TABLE_ROWS;
	part->guessed = true;
	part->way = "pull";
	part->reason = reason;
	shoal_part_note_tables(query);
	rte->subquery = shoal_part_wrap(part);
	return true;
}

/*
 * A table that is read for a view's owner is read as the owner (see run_as in
 * plan_part.c), or else as the current user.  Rights that are missing are an
 * error of the node's, but other policies would be other rows.
 */
static void
check_policies(Query *query)
{
	RangeTblEntry *rte = linitial(query->rtable);
	Oid			check_as = shoal_rte_check_as(query, rte);

	if (!OidIsValid(check_as) || check_as == GetUserId())
		return;
	if (shoal_objects_has_policies(rte->relid) &&
		(shoal_text_owner(query) != check_as ||
		 shoal_expr_names_user((Node *) rte->securityQuals)))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot apply the policies of table \"%s\" for the owner of a view",
						get_rel_name(rte->relid)),
				 errdetail("The view cannot run on each shard by itself."),
				 errhint("Use a view WITH (security_invoker), or a security-definer function.")));
}

static void
pull_table(Query *query, int varno, const char *reason)
{
	RangeTblEntry *rte = rt_fetch(varno, query->rtable);
	SystemColumns context = {0};
	ShoalPart  *part;
	ShoalAnalysis analysis;
	ListCell   *lc;

	context.varno = varno;
	{
		Query	   *changed = add_system_columns(query, rte->relid, &context);

		/* the caller holds on to the Query node itself */
		*query = *changed;
		rte = rt_fetch(varno, query->rtable);
	}

	part = palloc0(sizeof(ShoalPart));
	part->query = table_query(query, varno, context.attnos);
	check_policies(part->query);
	shoal_shape_analyze(part->query, &analysis);
	if (analysis.whole.kind != SHOAL_SHAPE_SHARDED && rte->securityQuals == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot take a sample of table \"%s\" over several nodes that depends on other rows",
						get_rel_name(rte->relid)),
				 errhint("Give TABLESAMPLE constants or parameters.")));
	if (analysis.whole.kind != SHOAL_SHAPE_SHARDED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a policy on table \"%s\" cannot be tested shard by shard",
						get_rel_name(rte->relid)),
				 analysis.whole.reason ? errdetail("It cannot be done for each shard by itself: %s.", analysis.whole.reason) : 0,
				 errhint("Let policies read reference tables, or colocated tables by their distribution columns.")));
	part->rows = GUESS_TABLE_ROWS;
	part->guessed = true;
	part->way = "pull";
	part->reason = reason;
	shoal_part_note_tables(part->query);
	foreach(lc, query->rowMarks)
	{
		if (((RowMarkClause *) lfirst(lc))->rti == varno)
			query->rowMarks = foreach_delete_current(query->rowMarks, lc);
	}

	/* names of dropped columns stay empty, system columns get theirs */
	foreach(lc, context.attnos)
		rte->eref->colnames = lappend(rte->eref->colnames,
									  makeString(pstrdup(NameStr(SystemAttributeDefinition(system_column(lfirst_int(lc)))->attname))));
	shoal_query_put(rte, shoal_part_wrap(part));
	rte->securityQuals = NIL;
}

/* ---- the levels ---- */

static bool
rewrite_sublinks_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink))
	{
		SubLink    *sublink = (SubLink *) node;

		shoal_rewrite_query((Query *) sublink->subselect);
		return rewrite_sublinks_walker(sublink->testexpr, context);
	}
	if (IsA(node, Query))
		return false;
	return expression_tree_walker(node, rewrite_sublinks_walker, context);
}

static void
rewrite_sublinks(Query *query)
{
	query_tree_walker(query, rewrite_sublinks_walker, NULL,
					  QTW_IGNORE_RT_SUBQUERIES | QTW_IGNORE_CTE_SUBQUERIES);
}

static bool
joined_relations_walker(Node *node, List **varnos)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblRef))
	{
		*varnos = lappend_int(*varnos, ((RangeTblRef *) node)->rtindex);
		return false;
	}
	if (IsA(node, FromExpr) || IsA(node, JoinExpr) || IsA(node, List))
		return expression_tree_walker(node, joined_relations_walker,
									  (void *) varnos);
	return false;
}

/* The whole query becomes one part. */
static void
replace_by_part(Query *query, const ShoalAnalysis *analysis)
{
	ShoalPart  *part = palloc0(sizeof(ShoalPart));
	Query	   *wrap;
	bool		canSetTag = query->canSetTag;
	uint64		queryId = query->queryId;

	part->query = copyObject(query);
	part->fixed = (query->sortClause != NIL);	/* its order is to be kept */
	part->shape = analysis->whole;
	part->way = analysis->whole.single ? "router" : "push";
	part->rows = analysis->whole.single ? 100 : GUESS_TABLE_ROWS;
	part->guessed = true;
	shoal_part_note_tables(part->query);
	wrap = shoal_part_wrap(part);
	*query = *wrap;
	query->canSetTag = canSetTag;
	query->queryId = queryId;
}

/* The parts of a level that has to be put together here. */
static void
rewrite_pieces(Query *query, const char *reason)
{
	List	   *varnos = NIL;
	ListCell   *lc;

	foreach(lc, query->cteList)
	{
		CommonTableExpr *cte = (CommonTableExpr *) lfirst(lc);

		shoal_rewrite_query((Query *) cte->ctequery);
	}
	joined_relations_walker((Node *) query->jointree, &varnos);
	for (int varno = 1; varno <= list_length(query->rtable); varno++)
	{
		RangeTblEntry *rte = rt_fetch(varno, query->rtable);

		if (rte->rtekind == RTE_SUBQUERY &&
			shoal_text_is_foreign_view(rte) && pull_view(query, rte, reason))
			continue;
		if (rte->rtekind == RTE_SUBQUERY)
			shoal_rewrite_query(rte->subquery);
		else if (rte->rtekind == RTE_RELATION && varno != query->resultRelation &&
				 list_member_int(varnos, varno))
		{
			const ShoalTable *table = shoal_meta_table(rte->relid);

			if (table && table->kind != SHOAL_KIND_REFERENCE)
				pull_table(query, varno, reason);
		}
	}
	rewrite_sublinks(query);
}

/* The level as one part, or over one part, if that can be. */
static bool
rewrite_level(Query *query, const ShoalAnalysis *analysis)
{
	bool		whole = analysis->whole.kind == SHOAL_SHAPE_SHARDED &&
		shoal_part_is_sendable(query);

	/* one part is done as one role */
	if (shoal_text_is_mixed(query))
		return false;
	/* an order over several shards is kept by the split below */
	if (whole && (query->sortClause == NIL || analysis->whole.single))
	{
		replace_by_part(query, analysis);
		return true;
	}
	if (!shoal_split_query(query, analysis))
		return false;
	shoal_part_keep_apart(query);
	rewrite_sublinks(query);
	return true;
}

/*
 * The same after subqueries have been taken out, to be run first, and if that
 * is not enough after rows of some tables have been moved.
 */
static bool
rewrite_after_steps(Query *query)
{
	Query	   *copy = copyObject(query);
	int			nmoves = list_length(shoal_planning->moves);
	int			nsteps = list_length(shoal_planning->steps);
	int			nremoved = list_length(shoal_planning->removed);
	ParamListInfo params = shoal_planning->params;
	ShoalAnalysis analysis;
	bool		done = false;

	if (shoal_step_extract(copy, params))
	{
		shoal_part_note_tables(query);
		shoal_shape_analyze(copy, &analysis);
		done = rewrite_level(copy, &analysis);
	}
	if (!done && shoal_enable_move && shoal_spread_query(copy, params))
	{
		shoal_shape_analyze(copy, &analysis);
		done = rewrite_level(copy, &analysis);
	}
	if (done)
	{
		*query = *copy;
		return true;
	}
	shoal_planning->moves = list_truncate(shoal_planning->moves, nmoves);
	shoal_planning->steps = list_truncate(shoal_planning->steps, nsteps);
	shoal_planning->removed = list_truncate(shoal_planning->removed, nremoved);
	shoal_planning->removed_perms =
		list_truncate(shoal_planning->removed_perms, nremoved);
	return false;
}

void
shoal_rewrite_query(Query *query)
{
	ShoalTables tables;
	ShoalAnalysis analysis;

	shoal_rewrite_find_tables(query, &tables);
	if (!tables.sharded && !tables.writes_reference)
		return;
	shoal_shape_analyze(query, &analysis);
	if (query->commandType == CMD_SELECT && shoal_enable_push)
	{
		if (shoal_enable_move && analysis.whole.kind == SHOAL_SHAPE_NONE &&
			shoal_regroup_levels(query, shoal_planning->params))
			shoal_shape_analyze(query, &analysis);
		if (rewrite_level(query, &analysis))
			return;
		if (analysis.from.kind == SHOAL_SHAPE_NONE && rewrite_after_steps(query))
			return;
	}
	rewrite_pieces(query, analysis.whole.reason);
}
