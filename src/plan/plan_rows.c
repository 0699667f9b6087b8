/*
 * plan_rows.c
 *		UPDATE and DELETE whose rows are worked out here.
 *
 * This is the last way, for what neither runs shard by shard nor can be made to
 * by moving rows: conditions or new values with functions that have to run on the
 * coordinator, for one.  The statement becomes a SELECT ... FOR UPDATE, which any
 * way of a SELECT does for, with the rows' keys, ctids and new values; a Shoal
 * Insert on top of it sends these to the shards, where a join on key and ctid
 * finds the rows.
 *
 * A reference table's rows are sent to every node and found by its primary key, or
 * by all of their columns, as each node has ctids of its own; each row once, whatever
 * it is joined with.  The node where all writers of it begin is
 * locked against them before the rows are read (exec_insert.c).
 *
 * A row's ctid holds since the row is locked.  The write on the node takes a
 * snapshot of its own, after the locks, so it sees the versions that were locked
 * (in REPEATABLE READ there are no others).  All rows are locked before the first
 * is written.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "catalog/heap.h"
#include "catalog/pg_type_d.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/typcache.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "plan/plan_assign.h"
#include "plan/plan_check.h"
#include "plan/plan_expr.h"
#include "plan/plan_owner.h"
#include "plan/plan_returning.h"
#include "plan/plan_rights.h"
#include "plan/plan_rows.h"
#include "plan/plan_tableoid.h"
#include "plan/plan_text.h"
#include "plan/plan_triggers.h"

static bool
can_split(Query *query, const char **why)
{
	if (query->commandType != CMD_UPDATE && query->commandType != CMD_DELETE)
		return false;
	if (!shoal_rights_fit_row(query, why))
		return false;
	if (shoal_assign_single(query->targetList) == NIL &&
		query->targetList != NIL)
	{
		*why = "several columns are set by one subquery with volatile functions";
		return false;
	}
	return true;
}

int
shoal_rows_add(ShoalRows *context, Expr *expr, int attnum)
{
	int			n = list_length(context->columns) + 1;

	context->columns = lappend(context->columns,
							   makeTargetEntry(expr, n, psprintf("c%d", n),
											   false));
	context->attnums = lappend_int(context->attnums, attnum);
	return n;
}

Expr *
shoal_rows_column(ShoalRows *context, AttrNumber attno)
{
	return (Expr *) shoal_expr_column(RelationGetRelid(context->rel),
									  context->target, attno);
}

static const char *
column_name(ShoalRows *context, AttrNumber attno)
{
	if (attno < 0)
		return NameStr(SystemAttributeDefinition(attno)->attname);
	return quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(context->rel),
												  attno - 1)->attname));
}

/* "(target.k = rows.c1)"; adds the column. */
static void
append_comparison(StringInfo sql, ShoalRows *context, AttrNumber attno)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(context->rel),
										  attno - 1);
	const char *name = column_name(context, attno);
	int			n = shoal_rows_add(context, shoal_rows_column(context, attno), attno);
	Oid			eq = lookup_type_cache(att->atttypid, TYPECACHE_EQ_OPR)->eq_opr;

	appendStringInfo(sql, "(%s.%s %s %s.c%d", SHOAL_ROWS_TARGET, name, shoal_objects_operator_name(eq),
					 SHOAL_ROWS_ROWS, n);
	if (!att->attnotnull)
		appendStringInfo(sql, " OR (%s.%s IS NULL AND %s.c%d IS NULL)", SHOAL_ROWS_TARGET,
						 name, SHOAL_ROWS_ROWS, n);
	appendStringInfoChar(sql, ')');
}

char *
shoal_rows_find(ShoalRows *context)
{
	StringInfoData sql;

	initStringInfo(&sql);
	if (context->table->kind == SHOAL_KIND_REFERENCE)
	{
		Bitmapset  *key = RelationGetIndexAttrBitmap(context->rel,
													 INDEX_ATTR_BITMAP_PRIMARY_KEY);
		int			i = -1;

		while ((i = bms_next_member(key, i)) >= 0)
		{
			if (sql.len > 0)
				appendStringInfoString(&sql, " AND ");
			append_comparison(&sql, context,
							  i + FirstLowInvalidHeapAttributeNumber);
		}
		return sql.len > 0 ? sql.data : NULL;
	}
	for (int i = 0; i < context->table->nkeys; i++)
	{
		append_comparison(&sql, context, context->table->keyattr[i]);
		appendStringInfoString(&sql, " AND ");
	}
	/* in one shard of a table that is partitioned itself, ctids are not unique */
	if (context->rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE &&
		!shoal_text_is_hashed(RelationGetRelid(context->rel)))
		appendStringInfo(&sql, "shoal.table_of(%s.tableoid) OPERATOR(pg_catalog.=) %s.c%d AND ",
						 SHOAL_ROWS_TARGET, SHOAL_ROWS_ROWS,
						 shoal_rows_add(context,
									shoal_tableoid_column((Var *) shoal_rows_column(context, TableOidAttributeNumber)), 0));
	appendStringInfo(&sql, "%s.ctid OPERATOR(pg_catalog.=) %s.c%d", SHOAL_ROWS_TARGET, SHOAL_ROWS_ROWS,
					 shoal_rows_add(context,
								shoal_rows_column(context, SelfItemPointerAttributeNumber), 0));
	return sql.data;
}

/* "col = rows.c3, ..."; adds these columns.  NULL: nodes would not take that. */
static char *
new_values(ShoalRows *context, const char **why)
{
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	foreach(lc, context->query->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		if (tle->resjunk)
			continue;
		if (TupleDescAttr(RelationGetDescr(context->rel),
						  tle->resno - 1)->attidentity == ATTRIBUTE_IDENTITY_ALWAYS)
		{
			*why = "an identity column that is always generated is set";
			return NULL;
		}
		appendStringInfo(&sql, "%s%s = ", sql.len ? ", " : "",
						 column_name(context, tle->resno));
		if (IsA(tle->expr, SetToDefault))
			appendStringInfoString(&sql, "DEFAULT");
		else
			appendStringInfo(&sql, "%s.c%d", SHOAL_ROWS_ROWS,
							 shoal_rows_add(context, copyObject(tle->expr), 0));
	}
	return sql.data;
}

/* A function of ours, of system columns of the row. */
static void
append_call(StringInfo sql, ShoalRows *context, FuncExpr *func)
{
	ListCell   *lc;

	appendStringInfo(sql, "shoal.%s(", get_func_name(func->funcid));
	foreach(lc, func->args)
		appendStringInfo(sql, "%s%s.%s", foreach_current_index(lc) > 0 ? ", " : "",
						 SHOAL_ROWS_TARGET,
						 column_name(context, lfirst_node(Var, lc)->varattno));
	appendStringInfoChar(sql, ')');
}

/* What nodes return for the columns of RETURNING; adds those of other tables. */
static char *
returned_columns(ShoalRows *context, List *columns)
{
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	foreach(lc, columns)
	{
		Expr	   *column = ((TargetEntry *) lfirst(lc))->expr;
		Var		   *var = (Var *) column;
		FuncExpr   *func = NULL;

		if (shoal_expr_is_of_row((Node *) column))
		{
			func = (FuncExpr *) column;
			var = linitial(func->args);
		}
		appendStringInfoString(&sql, sql.len ? ", " : " RETURNING ");
		if (shoal_returning_is_record_test((Node *) column))
			appendStringInfo(&sql, "%s.c%d", SHOAL_ROWS_ROWS,
							 shoal_rows_add(context, copyObject(column), 0));
		else if (!IsA(var, Var))
			appendStringInfoString(&sql, "1");
		else if (var->varno != context->target)
			appendStringInfo(&sql, "%s.c%d", SHOAL_ROWS_ROWS,
							 shoal_rows_add(context, copyObject(column), 0));
		else if (var->varattno == 0)
			appendStringInfoString(&sql, SHOAL_ROWS_TARGET);
		else if (func == NULL)
			appendStringInfo(&sql, "%s.%s", SHOAL_ROWS_TARGET,
							 column_name(context, var->varattno));
		else
			append_call(&sql, context, func);
	}
	return sql.data;
}

static char *
alias_list(ShoalRows *context)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 1; i <= list_length(context->columns); i++)
		appendStringInfo(&sql, "%sc%d", i > 1 ? ", " : "", i);
	return sql.data;
}

Query *
shoal_rows_select(ShoalRows *context, LockClauseStrength strength)
{
	Query	   *select = copyObject(context->query);
	RowMarkClause *mark = makeNode(RowMarkClause);

	shoal_rights_note(select);
	mark->rti = context->target;
	mark->strength = strength;
	mark->waitPolicy = LockWaitBlock;
	select->commandType = CMD_SELECT;
	select->resultRelation = 0;
	select->targetList = context->columns;
	select->returningList = NIL;
	select->withCheckOptions = NIL;
	select->rowMarks = list_make1(mark);
	select->hasForUpdate = true;
	rt_fetch(context->target, select->rtable)->inFromCl = true;
	return select;
}

bool
shoal_rows_are_sendable(List *columns)
{
	List	   *types = NIL;
	ListCell   *lc;

	foreach(lc, columns)
		types = lappend_oid(types, exprType((Node *) ((TargetEntry *) lfirst(lc))->expr));
	return shoal_expr_are_sendable(types);
}

static bool
system_column_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var) && ((Var *) node)->varattno < 0)
		return true;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, system_column_walker, context, 0);
	return expression_tree_walker(node, system_column_walker, context);
}

/* Do new values depend on which of several rows a row is joined with? */
static bool
is_set_by_join(ShoalRows *context)
{
	Query	   *query = context->query;
	bool		is_joined = list_length(query->jointree->fromlist) > 1 ||
		!IsA(linitial(query->jointree->fromlist), RangeTblRef);
	Bitmapset  *used;

	if (query->commandType != CMD_UPDATE || !is_joined)
		return false;
	used = pull_varnos(NULL, (Node *) query->targetList);
	return checkExprHasSubLink((Node *) query->targetList) ||
		!bms_is_subset(used, bms_make_singleton(context->target));
}

/*
 * Without a key, rows with the same content are as good as one, unless they would
 * get other values: NULL then.  Sets the column that has the content.
 */
static char *
whole_row(ShoalRows *context, int *column)
{
	Query	   *query = context->query;
	Var		   *row = makeVar(context->target, 0,
							  get_rel_type_id(RelationGetRelid(context->rel)), -1,
							  InvalidOid, 0);

	if (contain_volatile_functions((Node *) query) ||
		is_set_by_join(context) || system_column_walker((Node *) query, NULL))
		return NULL;
	*column = shoal_rows_add(context, shoal_expr_text_of((Expr *) row), 0);
	return psprintf("shoal.text_of(%s) OPERATOR(pg_catalog.=) %s.c%d",
					SHOAL_ROWS_TARGET, SHOAL_ROWS_ROWS, *column);
}

static bool
describe(ShoalRows *context, ShoalInsert *insert, List *columns,
		 const char **why)
{
	bool		is_update = context->query->commandType == CMD_UPDATE;
	Oid			relid = RelationGetRelid(context->rel);
	char	   *condition = shoal_rows_find(context);
	char	   *values = is_update ? new_values(context, why) : NULL;
	char	   *returning = returned_columns(context, columns);
	int			row_column = 0;
	char	   *name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(context->rel)),
												  RelationGetRelationName(context->rel));

	/* each node would take its own of several rows that a row is joined with */
	if (is_update && context->table->kind == SHOAL_KIND_REFERENCE)
		row_column = shoal_rows_add(context,
									shoal_rows_column(context, SelfItemPointerAttributeNumber), 0);
	if (condition == NULL)
		condition = whole_row(context, &row_column);
	if (condition == NULL)
		*why = "the reference table has no primary key, by which nodes could find the rows, and rows that are equal may get other values";
	if (condition == NULL || (is_update && values == NULL) ||
		!shoal_rows_are_sendable(context->columns))
		return false;
	insert->relid = relid;
	insert->run_as = shoal_owner_to_write_as(context->query, false, true);
	insert->attnums = context->attnums;
	insert->rights = shoal_rights_of_write(context->query);
	insert->returns_rows = columns != NIL;
	insert->locked = true;
	insert->unjoined = list_length(context->query->jointree->fromlist) == 1 &&
		IsA(linitial(context->query->jointree->fromlist), RangeTblRef);
	insert->row_column = row_column;
	insert->triggers = shoal_triggers_find(context->query,
										   context->table->kind == SHOAL_KIND_REFERENCE);
	insert->head = is_update ?
		psprintf("UPDATE %s %s SET %s FROM (", name, SHOAL_ROWS_TARGET, values) :
		psprintf("DELETE FROM %s %s USING (", name, SHOAL_ROWS_TARGET);
	insert->tail = psprintf(") %s (%s) WHERE %s%s", SHOAL_ROWS_ROWS, alias_list(context),
							condition, returning);
	return true;
}

bool
shoal_rows_split(Query *query, const ShoalTable *table, Query **select,
				 ShoalInsert *insert, List **columns, List **returned,
				 const char **why)
{
	ShoalRows context = {0};
	bool		done;

	*columns = NIL;
	*returned = NIL;
	if (!can_split(query, why))
		return false;
	context.query = shoal_check_fold(copyObject(query));
	context.query->targetList = shoal_assign_single(context.query->targetList);
	if (query->commandType == CMD_UPDATE)
		context.query->targetList =
			shoal_assign_any_at_all(context.query, context.query->targetList);
	if (context.query->returningList &&
		(*returned = shoal_returning_columns(context.query)) == NIL)
		return false;
	*columns = context.query->returningList;
	context.target = query->resultRelation;
	context.table = table;
	context.rel = RelationIdGetRelation(table->relid);
	done = describe(&context, insert, *columns, why);
	RelationClose(context.rel);
	if (done)
		*select = shoal_rows_select(&context, query->commandType == CMD_DELETE ?
									LCS_FORUPDATE : LCS_FORNOKEYUPDATE);
	return done;
}
