/*
 * plan_leaf.c
 *		What of a query can be moved: its tables and its subqueries.
 *
 * A leaf is moved by putting another entry in its place: a subquery over moved
 * rows with the same columns under the same numbers, so that nothing else in the
 * query has to change.  Only columns that the query needs are filled in, and
 * conditions that concern the leaf alone are tested before it is moved.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "plan/plan_expr.h"
#include "plan/plan_leaf.h"
#include "plan/plan_query.h"
#include "plan/plan_text.h"
#include "plan/plan_ungrouped.h"
#include "plan/plan_with.h"

/* ---- the tables ---- */

static void find_leaves(Query *query, ShoalLeaves *context);
static void add_subquery(Node **place, Query *level, int varno, List *quals,
						 ShoalLeaves *context);

static bool
find_leaves_walker(Node *node, ShoalLeaves *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		find_leaves((Query *) node, context);
		return false;
	}
	if (IsA(node, SubLink))
		add_subquery(&((SubLink *) node)->subselect, NULL, 0, NIL, context);
	return expression_tree_walker(node, find_leaves_walker, (void *) context);
}

/* Whether it has something of another level. */
static bool
outer_vars_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varlevelsup > 0;
	if (shoal_is_merge_function(node))
		return true;
	return expression_tree_walker(node, outer_vars_walker, context);
}

/* Temporary tables are printed without their schema, which has no fixed name. */
static bool
is_hidden_temporary(Oid relid)
{
	return get_rel_persistence(relid) == RELPERSISTENCE_TEMP &&
		RelnameGetRelid(get_rel_name(relid)) != relid;
}

static bool
finds_pointer_walker(Node *node, void *sought)
{
	if (node == NULL)
		return false;
	if (node == sought)
		return true;
	if (IsA(node, RangeTblEntry))
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, finds_pointer_walker, sought,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, finds_pointer_walker, sought);
}

bool
shoal_leaf_is_in(const ShoalLeaf *leaf, const ShoalLeaf *subquery)
{
	return leaf != subquery &&
		finds_pointer_walker((Node *) subquery->subquery,
							 leaf->rte ? (Node *) leaf->rte : (Node *) leaf->subquery);
}

/* Can all columns be moved?  Those that are junk are not. */
static bool
has_movable_columns(Query *query)
{
	ListCell   *lc;
	bool		any = false;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		if (tle->resjunk)
			continue;
		any = true;
		if (!shoal_moved_is_movable(exprType((Node *) tle->expr)))
			return false;
	}
	return any;
}

/*
 * A subquery that has the same rows wherever it is computed, and once is as good
 * as often.  level and varno as in ShoalLeaf.
 */
static void
add_subquery(Node **place, Query *level, int varno, List *quals,
			 ShoalLeaves *context)
{
	Query	   *query = (Query *) *place;
	ShoalLeaf  *leaf;

	if (context->nsubqueries == SHOAL_MAX_SUBQUERIES ||
		query->commandType != CMD_SELECT || query->jointree->fromlist == NIL ||
		query->hasRecursive || !has_movable_columns(query) ||
		shoal_expr_reaches_out(query) ||
		shoal_expr_reads_transition(query) ||
		contain_volatile_functions((Node *) query))
		return;
	leaf = &context->subqueries[context->nsubqueries++];
	memset(leaf, 0, sizeof(ShoalLeaf));
	leaf->place = place;
	leaf->subquery = query;
	leaf->level = level;
	leaf->varno = varno;
	leaf->movable = true;
	leaf->quals = quals;
}

static List *own_quals(List *above, int varno);

/*
 * What "(a AND b) OR (c AND d)" says of one entry if a and c are on it alone:
 * "a OR c".  NULL if it says nothing.
 */
static Node *
own_part_of_or(BoolExpr *qual, int varno)
{
	List	   *arms = NIL;
	ListCell   *lc;

	foreach(lc, qual->args)
	{
		List	   *own = own_quals(make_ands_implicit(lfirst(lc)), varno);

		if (own == NIL)
			return NULL;
		arms = lappend(arms, make_ands_explicit(own));
	}
	return (Node *) make_orclause(arms);
}

/* What the conditions say of one entry alone, if it can be moved. */
static List *
own_quals(List *above, int varno)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, above)
	{
		Node	   *qual = lfirst(lc);

		if (!bms_is_member(varno, pull_varnos_of_level(NULL, qual, 0)) ||
			contain_volatile_functions(qual))
			continue;
		if (bms_membership(pull_varnos_of_level(NULL, qual, 0)) == BMS_MULTIPLE)
			qual = is_orclause(qual) ? own_part_of_or((BoolExpr *) qual, varno) : NULL;
		else if (checkExprHasSubLink(qual) || outer_vars_walker(qual, NULL) ||
				 shoal_expr_is_stuck(qual, false))
			qual = NULL;
		if (qual)
			result = lappend(result, qual);
	}
	return result;
}

/* Rows that a WITH query has returned, which are here like a local table's. */
static void
add_written_rows(Query *query, int varno, List *above, ShoalLeaves *context)
{
	RangeTblEntry *rte = rt_fetch(varno, query->rtable);
	ShoalLeaf  *leaf;

	if (context->ntables == SHOAL_MAX_LEAVES)
	{
		context->too_much = true;
		return;
	}
	leaf = &context->tables[context->ntables++];
	memset(leaf, 0, sizeof(ShoalLeaf));
	leaf->place = (Node **) &rte->subquery;
	leaf->subquery = rte->subquery;
	leaf->saved = *rte;
	leaf->level = query;
	leaf->varno = varno;
	leaf->is_local = true;
	leaf->movable = has_movable_columns(rte->subquery);
	leaf->quals = own_quals(above, varno);
	leaf->above = above;
	leaf->outer = context->outer;
}

static void
add_leaf(Query *query, int varno, List *above, ShoalLeaves *context)
{
	RangeTblEntry *rte = rt_fetch(varno, query->rtable);
	const ShoalTable *table;
	ShoalLeaf  *leaf;

	/* a node adds policies by itself, and what they read */
	if (rte->securityQuals ||
		(rte->rtekind == RTE_SUBQUERY && shoal_text_is_foreign_view(rte)))
		context->too_much = true;
	if (rte->rtekind == RTE_SUBQUERY && shoal_with_is_rows(rte->subquery))
	{
		add_written_rows(query, varno, above, context);
		return;
	}
	if (rte->rtekind == RTE_SUBQUERY && !rte->lateral)
		add_subquery((Node **) &rte->subquery, query, varno,
					 own_quals(above, varno), context);
	if (rte->rtekind != RTE_RELATION)
		return;
	table = shoal_meta_table(rte->relid);
	if (table && table->kind == SHOAL_KIND_REFERENCE)
		return;
	if (context->ntables == SHOAL_MAX_LEAVES)
	{
		context->too_much = true;
		return;
	}
	leaf = &context->tables[context->ntables++];
	memset(leaf, 0, sizeof(ShoalLeaf));
	leaf->rte = rte;
	leaf->saved = *rte;
	leaf->level = query;
	leaf->varno = varno;
	leaf->is_local = (table == NULL);
	leaf->in_set = list_member_ptr(context->sets, query);
	leaf->is_target = (varno == query->resultRelation);
	/* rows that are moved have no primary key that others depend on */
	leaf->movable = (rte->tablesample == NULL && !leaf->is_target &&
					 query->constraintDeps == NIL &&
					 !(leaf->is_local && is_hidden_temporary(rte->relid)));
	leaf->quals = own_quals(above, varno);
	leaf->above = above;
	leaf->outer = context->outer;
}

/* above: conditions that every row that counts in the end satisfies */
static void
add_leaves(Query *query, Node *jtnode, List *above, ShoalLeaves *context)
{
	if (IsA(jtnode, RangeTblRef))
		add_leaf(query, ((RangeTblRef *) jtnode)->rtindex, above, context);
	else if (IsA(jtnode, FromExpr))
	{
		FromExpr   *from = (FromExpr *) jtnode;
		List	   *quals = list_concat_copy(make_ands_implicit((Expr *) from->quals),
											 above);
		ListCell   *lc;

		foreach(lc, from->fromlist)
			add_leaves(query, lfirst(lc), quals, context);
	}
	else if (IsA(jtnode, JoinExpr))
	{
		JoinExpr   *join = (JoinExpr *) jtnode;
		List	   *own = make_ands_implicit((Expr *) join->quals);
		List	   *both = list_concat_copy(own, above);
		bool		left_null = join->jointype == JOIN_RIGHT ||
			join->jointype == JOIN_FULL;
		bool		right_null = join->jointype == JOIN_LEFT ||
			join->jointype == JOIN_FULL;

		add_leaves(query, join->larg,
				   left_null ? (right_null ? NIL : own) :
				   (right_null ? above : both), context);
		add_leaves(query, join->rarg,
				   right_null ? (left_null ? NIL : own) :
				   (left_null ? above : both), context);
	}
}

static void
find_leaves(Query *query, ShoalLeaves *context)
{
	bool		top = !context->inside;
	Query	   *outer = context->current;
	ListCell   *lc;

	context->outer = outer;
	context->current = query;
	if ((query->commandType != CMD_SELECT && !(top && context->writes)) ||
		query->rowMarks || query->hasModifyingCTE)
		context->too_much = true;
	foreach(lc, query->cteList)
	{
		CommonTableExpr *cte = (CommonTableExpr *) lfirst(lc);

		if (!cte->cterecursive)
			add_subquery(&cte->ctequery, NULL, 0, NIL, context);
	}
	if (query->commandType == CMD_MERGE)
	{
		/* its condition is that of an outer join */
		add_leaf(query, query->resultRelation, NIL, context);
		foreach(lc, query->jointree->fromlist)
			add_leaves(query, lfirst(lc), NIL, context);
	}
	else
		add_leaves(query, (Node *) query->jointree, NIL, context);
	context->inside = true;
	if (!top || context->writes)
		query_tree_walker(query, find_leaves_walker, (void *) context, 0);
	else
	{
		/* what is above FROM and WHERE of the query itself may stay here */
		find_leaves_walker((Node *) query->jointree, context);
		foreach(lc, query->cteList)
			find_leaves_walker(((CommonTableExpr *) lfirst(lc))->ctequery, context);
		range_table_walker(query->rtable, find_leaves_walker, (void *) context, 0);
	}
	context->current = outer;
}

/* ---- columns ---- */

typedef struct ColumnContext
{
	ShoalLeaf  *leaf;
	List	   *levels;			/* Query *, innermost first, from the leaf's on */
} ColumnContext;

static List *
all_columns(ShoalLeaf *leaf)
{
	List	   *attnos = NIL;
	ListCell   *lc;

	foreach(lc, leaf->subquery->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		if (!tle->resjunk)
			attnos = lappend_int(attnos, tle->resno);
	}
	return attnos;
}

static bool
columns_walker(Node *node, ColumnContext *context)
{
	ShoalLeaf  *leaf = context->leaf;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;
		RangeTblEntry *rte;

		if (var->varlevelsup + 1 != list_length(context->levels))
			return false;
		if (var->varno == leaf->varno)
		{
			if (var->varattno == 0 && leaf->subquery)
				leaf->attnos = all_columns(leaf);
			else if (var->varattno <= 0 || !shoal_moved_is_movable(var->vartype))
				leaf->movable = false;
			else
				leaf->attnos = list_append_unique_int(leaf->attnos,
													  var->varattno);
			return false;
		}
		rte = rt_fetch(var->varno, leaf->level->rtable);
		if (rte->rtekind != RTE_JOIN)
			return false;
		if (var->varattno > 0)
		{
			List	   *levels = context->levels;

			/* what the column stands for is as seen from the leaf's level */
			context->levels = list_make1(leaf->level);
			columns_walker(list_nth(rte->joinaliasvars, var->varattno - 1),
						   context);
			context->levels = levels;
		}
		else
			leaf->movable = false;
		return false;
	}
	if (IsA(node, Query))
	{
		context->levels = lcons(node, context->levels);
		query_tree_walker((Query *) node, columns_walker, (void *) context,
						  QTW_IGNORE_JOINALIASES);
		context->levels = list_delete_first(context->levels);
		return false;
	}
	return expression_tree_walker(node, columns_walker, (void *) context);
}

static void
find_columns(ShoalLeaf *leaf)
{
	ColumnContext context = {leaf, NIL};

	if (leaf->level == NULL)
	{
		leaf->attnos = all_columns(leaf);
		return;
	}
	columns_walker((Node *) leaf->level, &context);
	if (leaf->place)
	{
		if (leaf->attnos == NIL)
			leaf->attnos = list_make1_int(1);
		return;
	}

	/* a column for rows that are only counted */
	if (leaf->attnos == NIL)
	{
		Relation	rel = table_open(leaf->rte->relid, NoLock);

		for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
		{
			Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

			if (!att->attisdropped && shoal_moved_is_movable(att->atttypid))
			{
				leaf->attnos = list_make1_int(i + 1);
				break;
			}
		}
		table_close(rel, NoLock);
		leaf->movable &= (leaf->attnos != NIL);
	}
}

/* ---- what is moved ---- */

Var *
shoal_leaf_column(ShoalLeaf *leaf, int attno)
{
	if (leaf->subquery)
		return makeVarFromTargetEntry(1, list_nth(leaf->subquery->targetList,
												  attno - 1));
	return shoal_expr_column(leaf->saved.relid, 1, attno);
}

/* The columns that travel, the key first. */
static List *
columns_in_order(ShoalLeaf *leaf)
{
	if (leaf->key <= 0)
		return leaf->attnos;
	return lcons_int(leaf->key, list_delete_int(list_copy(leaf->attnos),
												leaf->key));
}

/* Names of all columns, whether they are needed or not. */
static List *
names_of_columns(ShoalLeaf *leaf)
{
	List	   *names = NIL;
	Relation	rel;

	if (leaf->subquery)
	{
		ListCell   *lc;

		foreach(lc, leaf->subquery->targetList)
		{
			TargetEntry *tle = (TargetEntry *) lfirst(lc);

			if (!tle->resjunk)
				names = lappend(names, makeString(pstrdup(tle->resname)));
		}
		return names;
	}
	rel = table_open(leaf->saved.relid, NoLock);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		names = lappend(names, makeString(att->attisdropped ?
										  psprintf("dropped%d", i + 1) :
										  pstrdup(NameStr(att->attname))));
	}
	table_close(rel, NoLock);
	return names;
}

static RangeTblEntry *
source_rte(ShoalLeaf *leaf)
{
	RangeTblEntry *rte;

	if (leaf->rte)
		rte = copyObject(&leaf->saved);
	else
	{
		rte = makeNode(RangeTblEntry);
		rte->rtekind = RTE_SUBQUERY;
		rte->subquery = copyObject(leaf->subquery);
		rte->eref = makeAlias("source", names_of_columns(leaf));
		rte->alias = copyObject(rte->eref);
	}
	rte->inFromCl = true;
	return rte;
}

Query *
shoal_leaf_source(ShoalLeaf *leaf)
{
	RangeTblEntry *rte = source_rte(leaf);
	Query	   *query = shoal_query_from(rte);
	List	   *quals = copyObject(leaf->quals);
	ListCell   *lc;

	if (leaf->rte)
		shoal_query_copy_permissions(query, leaf->level, rte);
	if (leaf->reducer)
	{
		quals = lappend(quals, copyObject(leaf->reducer));
		query->hasSubLinks = true;
	}
	ChangeVarNodes((Node *) quals, leaf->varno, 1, 0);
	if (quals)
		query->jointree->quals = (Node *) make_ands_explicit(quals);
	foreach(lc, columns_in_order(leaf))
		query->targetList = lappend(query->targetList,
									makeTargetEntry((Expr *) shoal_leaf_column(leaf, lfirst_int(lc)),
													foreach_current_index(lc) + 1,
													psprintf("c%d", foreach_current_index(lc) + 1),
													false));
	return query;
}

void
shoal_leaf_put_back(ShoalLeaf *leaf)
{
	if (leaf->rte)
		*leaf->rte = leaf->saved;
	else
		*leaf->place = (Node *) leaf->subquery;
}

ShoalMove *
shoal_leaf_move(ShoalLeaf *leaf, bool writes)
{
	List	   *exprs = NIL;
	ShoalMove  *move;
	Query	   *query;
	ListCell   *lc;

	shoal_leaf_put_back(leaf);
	foreach(lc, columns_in_order(leaf))
		exprs = lappend(exprs, shoal_leaf_column(leaf, lfirst_int(lc)));
	move = shoal_moved_add(shoal_leaf_source(leaf),
						   leaf->key > 0 ? leaf->key_relid : InvalidOid,
						   leaf->moved.rows);
	query = shoal_moved_query(move, columns_in_order(leaf), exprs,
							  names_of_columns(leaf));

	/*
	 * When a write finds its row changed, it looks again at the row that it
	 * was joined with: core keeps that if it is a subquery's.
	 */
	if (writes)
		query->limitOffset = (Node *)
			makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(0),
					  false, FLOAT8PASSBYVAL);
	if (leaf->rte)
		shoal_query_put(leaf->rte, query);
	else
		*leaf->place = (Node *) query;
	return move;
}

/* Nothing but FROM and WHERE */
static bool
is_plain(Query *query)
{
	return query->commandType == CMD_SELECT && !query->hasAggs &&
		!query->hasWindowFuncs && !query->hasTargetSRFs &&
		!query->setOperations && !query->groupClause &&
		!query->groupingSets && !query->havingQual &&
		!query->distinctClause && !query->sortClause &&
		!query->limitCount && !query->limitOffset && !query->rowMarks;
}

/*
 * Nobody looks at the columns of EXISTS: they need not be moved.  Nobody counts the
 * rows of EXISTS, IN and their like.
 */
static bool
look_at_sublinks_walker(Node *node, ShoalLeaves *leaves)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, look_at_sublinks_walker,
								 (void *) leaves, 0);
	if (IsA(node, SubLink))
	{
		SubLinkType type = ((SubLink *) node)->subLinkType;
		Query	   *query = (Query *) ((SubLink *) node)->subselect;

		if (type == EXISTS_SUBLINK && is_plain(query))
			query->targetList =
				list_make1(makeTargetEntry((Expr *) makeBoolConst(true, false), 1,
										   pstrdup("exists"), false));
		if ((type == EXISTS_SUBLINK || type == ANY_SUBLINK || type == ALL_SUBLINK) &&
			is_plain(query) && !contain_volatile_functions((Node *) query))
			leaves->sets = lappend(leaves->sets, query);
	}
	return expression_tree_walker(node, look_at_sublinks_walker, (void *) leaves);
}

void
shoal_leaf_find(Query *query, ShoalLeaves *leaves)
{
	memset(leaves, 0, sizeof(ShoalLeaves));
	shoal_ungrouped_group(query);
	(void) look_at_sublinks_walker((Node *) query, leaves);
	leaves->writes = (query->commandType != CMD_SELECT);
	find_leaves(query, leaves);
	for (int i = 0; i < leaves->ntables; i++)
		find_columns(&leaves->tables[i]);
	for (int i = 0; i < leaves->nsubqueries; i++)
		find_columns(&leaves->subqueries[i]);
}
