/*
 * plan_policy.c
 *		Policies that ask for rows of other shards.
 *
 * A node adds a table's policies to a fragment by itself, whatever the
 * coordinator thinks they are.  It can test one that reads only the row, rows of
 * its shard and reference tables.  Any other table that a policy reads is moved to
 * the nodes first, as a whole, in so far as the user may read it: by a SELECT of
 * his own, on which that table's policies hold.  The fragment has a WITH query for
 * each such table,
 *
 *		WITH "shoal policy 1" AS (SELECT columns, 'public.u' FROM shoal.moved_rows($1) ...)
 *
 * and a marker that says how many; on the node they take the places of the tables
 * in policies, and in nothing else.  Order and barriers of the conditions stay what
 * the node's rewriter has made them.  As the marker counts only in what a
 * coordinator sends, no user can give a policy other rows to read.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "plan/plan_moved.h"
#include "plan/plan_part.h"
#include "plan/plan_policy.h"
#include "plan/plan_query.h"
#include "plan/plan_shape.h"

/* rows of a table that a policy reads, as a guess */
#define GUESS_ROWS	1000

/* A table that policies read, and what they read instead. */
typedef struct PolicyTable
{
	Oid			relid;
	Query	   *rows;
} PolicyTable;

/* ---- conditions of policies ---- */

/* Those for rows that a level reads from one of its entries. */
static List *
conditions_of(Query *query, int varno)
{
	List	   *result = list_copy(rt_fetch(varno, query->rtable)->securityQuals);
	ListCell   *lc;

	if (varno != query->resultRelation)
		return result;
	foreach(lc, query->withCheckOptions)
	{
		WithCheckOption *check = (WithCheckOption *) lfirst(lc);

		if (check->kind != WCO_VIEW_CHECK)
			result = lappend(result, check->qual);
	}
	return result;
}

/* Could a node that has some shards of the table test them? */
static bool
is_testable(Query *level, int varno)
{
	RangeTblEntry *rte = copyObject(rt_fetch(varno, level->rtable));
	Query	   *query = shoal_query_from(rte);
	ShoalAnalysis analysis;

	rte->securityQuals = copyObject(conditions_of(level, varno));
	ChangeVarNodes((Node *) rte->securityQuals, varno, 1, 0);
	shoal_query_copy_permissions(query, level, rte);
	shoal_shape_analyze(query, &analysis);
	return analysis.whole.kind != SHOAL_SHAPE_NONE;
}

/* ---- the tables that they read ---- */

typedef struct FindContext
{
	List	   *rtes;			/* RangeTblEntry *, the first of each table */
	List	   *queries;		/* parallel: the levels that they are in */
	Query	   *level;
	bool		impossible;
} FindContext;

static void
note_read(FindContext *context, RangeTblEntry *rte)
{
	const ShoalTable *table = shoal_meta_table(rte->relid);
	Oid			check_as = shoal_rte_check_as(context->level, rte);
	ListCell   *lc;

	/* tables of views' owners, catalogs, and rows that are locked or chosen */
	if (rte->relkind == RELKIND_VIEW)
		return;
	if ((OidIsValid(check_as) && check_as != GetUserId()) ||
		rte->relid < FirstNormalObjectId || rte->tablesample ||
		context->level->rowMarks ||
		get_rel_persistence(rte->relid) == RELPERSISTENCE_TEMP)
		context->impossible = true;
	if (table && table->kind == SHOAL_KIND_REFERENCE)
		return;
	foreach(lc, context->rtes)
	{
		if (((RangeTblEntry *) lfirst(lc))->relid == rte->relid)
			return;
	}
	context->rtes = lappend(context->rtes, rte);
	context->queries = lappend(context->queries, context->level);
}

static bool
find_reads_walker(Node *node, FindContext *context)
{
	if (node == NULL)
		return false;
	/* what a whole row is of, or a row's place, would not be the same */
	if (IsA(node, Var) && ((Var *) node)->varattno <= 0)
		context->impossible = true;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		Query	   *outer = context->level;
		ListCell   *lc;

		context->level = query;
		foreach(lc, query->rtable)
		{
			RangeTblEntry *rte = (RangeTblEntry *) lfirst(lc);

			if (rte->rtekind == RTE_RELATION)
				note_read(context, rte);
			else if (rte->rtekind == RTE_SUBQUERY)
				find_reads_walker((Node *) rte->subquery, context);
		}
		query_tree_walker(query, find_reads_walker, (void *) context,
						  QTW_IGNORE_RANGE_TABLE);
		context->level = outer;
		return false;
	}
	return expression_tree_walker(node, find_reads_walker, (void *) context);
}

/* All levels: those entries whose policies nodes can't test. */
static bool
find_walker(Node *node, FindContext *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;

		for (int varno = 1; varno <= list_length(query->rtable); varno++)
		{
			RangeTblEntry *rte = rt_fetch(varno, query->rtable);
			const ShoalTable *table = rte->rtekind == RTE_RELATION ?
				shoal_meta_table(rte->relid) : NULL;
			List	   *conditions;

			if (table == NULL || table->kind == SHOAL_KIND_REFERENCE ||
				(conditions = conditions_of(query, varno)) == NIL ||
				!checkExprHasSubLink((Node *) conditions) ||
				is_testable(query, varno))
				continue;
			find_reads_walker((Node *) conditions, context);
		}
		return query_tree_walker(query, find_walker, (void *) context, 0);
	}
	return expression_tree_walker(node, find_walker, (void *) context);
}

/* ---- other rows in their place ---- */

typedef struct ReplaceContext
{
	List	   *tables;			/* PolicyTable * */
	bool		inside;			/* of a policy */
} ReplaceContext;

/* Tables that are read for a view's owner are left alone: he may see others. */
static void
replace_table(Query *query, RangeTblEntry *rte, List *tables)
{
	Oid			check_as = shoal_rte_check_as(query, rte);
	ListCell   *lc;

	if (OidIsValid(check_as) && check_as != GetUserId())
		return;
	foreach(lc, tables)
	{
		PolicyTable *table = lfirst(lc);

		if (table->relid != rte->relid)
			continue;
		shoal_query_put(rte, copyObject(table->rows));
		rte->securityQuals = NIL;
		return;
	}
}

static bool
replace_walker(Node *node, ReplaceContext *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		bool		inside = context->inside;
		ListCell   *lc;

		foreach(lc, query->rtable)
		{
			RangeTblEntry *rte = (RangeTblEntry *) lfirst(lc);

			if (rte->rtekind == RTE_RELATION && inside)
				replace_table(query, rte, context->tables);
			context->inside = true;
			replace_walker((Node *) rte->securityQuals, context);
			context->inside = inside;
		}
		foreach(lc, query->withCheckOptions)
		{
			WithCheckOption *check = (WithCheckOption *) lfirst(lc);

			context->inside = inside || check->kind != WCO_VIEW_CHECK;
			replace_walker(check->qual, context);
			context->inside = inside;
		}
		foreach(lc, query->rtable)
		{
			RangeTblEntry *rte = (RangeTblEntry *) lfirst(lc);
			List	   *quals = rte->securityQuals;

			/* once is enough */
			rte->securityQuals = NIL;
			range_table_entry_walker(rte, replace_walker, (void *) context, 0);
			rte->securityQuals = quals;
		}
		{
			List	   *checks = query->withCheckOptions;

			query->withCheckOptions = NIL;
			query_tree_walker(query, replace_walker, (void *) context,
							  QTW_IGNORE_RANGE_TABLE);
			query->withCheckOptions = checks;
		}
		return false;
	}
	return expression_tree_walker(node, replace_walker, (void *) context);
}

static void
replace(Query *query, List *tables)
{
	ReplaceContext context = {tables, false};

	replace_walker((Node *) query, &context);
}

/* ---- on the coordinator ---- */

/*
 * Registers the move of a table; the rows as policies see them, with the table's
 * name as another column behind its own.  NULL if they can't be moved.
 */
static PolicyTable *
move_table(RangeTblEntry *found, Query *level)
{
	PolicyTable *result = palloc0(sizeof(PolicyTable));
	RangeTblEntry *rte = copyObject(found);
	Query	   *source = shoal_query_from(rte);
	Relation	rel = table_open(rte->relid, NoLock);
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *attnos = NIL;
	List	   *exprs = NIL;
	List	   *names = NIL;
	ShoalMove  *move;
	char	   *name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												  RelationGetRelationName(rel));

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Expr	   *column;

		names = lappend(names, makeString(att->attisdropped ?
										  psprintf("dropped%d", i + 1) :
										  pstrdup(NameStr(att->attname))));
		if (att->attisdropped)
			continue;
		if (!shoal_moved_is_movable(att->atttypid))
			break;
		column = (Expr *) makeVar(1, att->attnum, att->atttypid, att->atttypmod,
								  att->attcollation, 0);
		attnos = lappend_int(attnos, att->attnum);
		exprs = lappend(exprs, column);
		source->targetList = lappend(source->targetList,
									 makeTargetEntry(copyObject(column),
													 list_length(attnos),
													 psprintf("c%d", list_length(attnos)),
													 false));
	}
	table_close(rel, NoLock);
	if (attnos == NIL || list_length(names) != desc->natts)
		return NULL;
	for (int varno = 1; varno <= list_length(level->rtable); varno++)
	{
		if (rt_fetch(varno, level->rtable) == found)
			ChangeVarNodes((Node *) rte->securityQuals, varno, 1, 0);
	}
	rte->inFromCl = true;
	shoal_query_copy_permissions(source, level, rte);
	move = shoal_moved_add(source, InvalidOid, GUESS_ROWS);
	shoal_part_note_tables(source);

	result->relid = found->relid;
	result->rows = shoal_moved_query(move, attnos, exprs, names);
	result->rows->targetList =
		lappend(result->rows->targetList,
				makeTargetEntry((Expr *) makeConst(TEXTOID, -1, DEFAULT_COLLATION_OID,
												   -1, CStringGetTextDatum(name),
												   false, false),
								desc->natts + 1, "shoal", false));
	move->policy_rows = result->rows;
	return result;
}

/* All tables that have been found; NIL if one can't be moved, or there are none. */
static List *
move_tables(const FindContext *context)
{
	List	   *tables = NIL;
	ListCell   *lc;
	ListCell   *lcq;

	if (context->impossible)
		return NIL;
	forboth(lc, context->rtes, lcq, context->queries)
	{
		PolicyTable *table = move_table(lfirst(lc), lfirst(lcq));

		if (table == NULL)
			return NIL;
		tables = lappend(tables, table);
	}
	return tables;
}

bool
shoal_policy_spread(Query *query)
{
	FindContext context = {NIL};
	List	   *tables;

	find_walker((Node *) query, &context);
	tables = move_tables(&context);
	replace(query, tables);
	return tables != NIL;
}

bool
shoal_policy_spread_checks(Query *query)
{
	FindContext context = {NIL};
	ReplaceContext replacing = {NIL, true};
	ListCell   *lc;

	foreach(lc, query->withCheckOptions)
	{
		WithCheckOption *check = (WithCheckOption *) lfirst(lc);

		if (check->kind != WCO_VIEW_CHECK)
			find_reads_walker(check->qual, &context);
	}
	replacing.tables = move_tables(&context);
	foreach(lc, query->withCheckOptions)
	{
		WithCheckOption *check = (WithCheckOption *) lfirst(lc);

		if (check->kind != WCO_VIEW_CHECK)
			replace_walker(check->qual, &replacing);
	}
	return replacing.tables != NIL;
}

static bool
policy_moves_walker(Node *node, List **moves)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		ShoalMove  *move = shoal_moved_find((RangeTblEntry *) node);

		if (move && move->policy_rows)
			*moves = list_append_unique_ptr(*moves, move);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, policy_moves_walker,
								 (void *) moves, QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, policy_moves_walker, (void *) moves);
}

bool
shoal_policy_reads_moved(Node *node)
{
	List	   *moves = NIL;

	policy_moves_walker(node, &moves);
	return moves != NIL;
}

static bool
has_cte(Query *query, const char *name)
{
	ListCell   *lc;

	foreach(lc, query->cteList)
	{
		if (strcmp(((CommonTableExpr *) lfirst(lc))->ctename, name) == 0)
			return true;
	}
	return false;
}

Query *
shoal_policy_tell(Query *query, int *count)
{
	List	   *moves = NIL;
	List	   *ctes = NIL;
	ListCell   *lc;
	int			number = 0;

	*count = 0;
	if (shoal_planning == NULL || shoal_planning->moves == NIL)
		return query;
	policy_moves_walker((Node *) query, &moves);
	*count = list_length(moves);
	if (moves == NIL)
		return query;
	query = copyObject(query);
	foreach(lc, moves)
	{
		CommonTableExpr *cte = makeNode(CommonTableExpr);

		do
			cte->ctename = psprintf("shoal policy %d", ++number);
		while (has_cte(query, cte->ctename));
		cte->ctequery = copyObject((Node *) ((ShoalMove *) lfirst(lc))->policy_rows);
		cte->location = -1;
		ctes = lappend(ctes, cte);
	}
	query->cteList = list_concat(ctes, query->cteList);
	return query;
}

/* ---- on the node ---- */

void
shoal_policy_apply(Query *query, int count)
{
	List	   *tables = NIL;

	for (int i = 0; i < count; i++)
	{
		CommonTableExpr *cte = query->cteList ? linitial(query->cteList) : NULL;
		PolicyTable *table = palloc(sizeof(PolicyTable));
		Const	   *name;

		if (cte == NULL)
			elog(ERROR, "rows for policies are missing");
		table->rows = (Query *) cte->ctequery;
		name = (Const *) ((TargetEntry *) llast(table->rows->targetList))->expr;
		if (!IsA(name, Const) || name->consttype != TEXTOID)
			elog(ERROR, "rows for policies have no name");
		table->relid = RangeVarGetRelid(makeRangeVarFromNameList(shoal_name_list(TextDatumGetCString(name->constvalue))),
										NoLock, false);
		tables = lappend(tables, table);
		query->cteList = list_delete_first(query->cteList);
	}
	replace(query, tables);
}
