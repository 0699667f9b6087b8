/*
 * plan_shape.c
 *		How a query's rows are spread over shards.
 *
 * A table's rows are spread by its key.  A join is spread if its sides are and
 * meet on their keys (or one side is the same everywhere), because then rows
 * that meet lie in the same shard; the join's rows are in the shard of either
 * key.  Grouping, DISTINCT and windows keep that if their rows' key is among
 * the grouping columns; a correlated subquery if it is tied to the outer key.
 * A key that equals a constant pins the query to one shard, in which anything
 * is allowed.
 *
 * A row with a NULL key lies in the shard that NULL hashes to, but equality is
 * never true of it, so joins do not care; grouping does, and NULL-extended
 * keys of outer joins are marked for that.
 *
 * The input is the rewritten query, before any planning.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "plan/plan_assign.h"
#include "plan/plan_expr.h"
#include "plan/plan_key.h"
#include "plan/plan_merge.h"
#include "plan/plan_moved.h"
#include "plan/plan_order.h"
#include "plan/plan_shape.h"

/* A query level under analysis. */
typedef struct Level
{
	struct Level *parent;
	Query	   *query;
	ShoalShape	from;			/* what of FROM has been seen so far */
	ShoalShape **ctes;			/* by position in query->cteList, NULL: under
								 * analysis */
} Level;

static void analyze_level(Query *query, Level *parent, ShoalAnalysis *result);
static ShoalShape shape_of_jointree(Level *level, Node *node, List *above);

/* ---- small constructors ---- */

static ShoalShape
shape_any(void)
{
	ShoalShape	shape = {0};

	shape.kind = SHOAL_SHAPE_ANY;
	return shape;
}

ShoalShape
shoal_shape_none(const char *reason)
{
	ShoalShape	shape = {0};

	shape.kind = SHOAL_SHAPE_NONE;
	shape.reason = reason;
	return shape;
}

static ShoalKey *
make_key(int ncols, bool nullable)
{
	ShoalKey   *key = palloc(sizeof(ShoalKey));

	key->nullable = nullable;
	key->columns = palloc0(sizeof(ShoalKeyColumn) * Max(ncols, 1));
	return key;
}

static List *
keys_nullable(const ShoalShape *shape)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, shape->keys)
	{
		ShoalKey   *key = palloc(sizeof(ShoalKey));

		*key = *(ShoalKey *) lfirst(lc);
		key->nullable = true;
		result = lappend(result, key);
	}
	return result;
}

/* ---- combining shapes ---- */

static ShoalShape
combine_sharded(const ShoalShape *left, const ShoalShape *right,
				JoinType jointype, List *equalities)
{
	ShoalShape	result = *left;
	bool		left_nullable = (jointype == JOIN_FULL);
	bool		right_nullable = (jointype != JOIN_INNER);

	if (left->group_id != right->group_id)
		return shoal_shape_none("tables of different colocation groups are joined");
	result.single_only = left->single_only || right->single_only;
	if (left->single && right->single && shoal_key_same_shard(left, right))
		;
	else if (!shoal_key_meet(left, right, equalities))
		return shoal_shape_none("tables are not joined on their distribution columns");
	else if (jointype == JOIN_FULL)
	{
		if (result.single_only)
			return shoal_shape_none("an outer join keeps the result of one shard");
		result.pin = NIL;
		result.single = false;
	}
	else if (jointype == JOIN_INNER && !left->single && right->pin != NIL)
	{
		result.pin = right->pin;
		result.pin_is_array = right->pin_is_array;
		result.single = right->single;
	}
	/* of a single_only side, other shards have rows with NULL keys at most */
	result.single_only = result.single && result.single_only;
	result.keys = list_concat_copy(left_nullable ? keys_nullable(left) : left->keys,
								   right_nullable ? keys_nullable(right) : right->keys);
	return result;
}

/* jointype is INNER, LEFT or FULL; a right join comes with its sides swapped. */
static ShoalShape
combine(const ShoalShape *left, const ShoalShape *right, JoinType jointype,
		List *equalities)
{
	if (left->kind == SHOAL_SHAPE_NONE)
		return *left;
	if (right->kind == SHOAL_SHAPE_NONE)
		return *right;
	if (left->kind == SHOAL_SHAPE_SHARDED && right->kind == SHOAL_SHAPE_SHARDED)
		return combine_sharded(left, right, jointype, equalities);
	if (left->kind == SHOAL_SHAPE_SHARDED)
	{
		ShoalShape	result = *left;

		if (jointype != JOIN_FULL)
			return result;
		if (!left->single)
			return shoal_shape_none("an outer join keeps rows of a reference table");
		result.single_only = true;
		result.keys = keys_nullable(left);
		return result;
	}
	if (right->kind == SHOAL_SHAPE_SHARDED)
	{
		ShoalShape	result = *right;

		if (jointype == JOIN_INNER)
			return result;
		if (!right->single)
			return shoal_shape_none("an outer join keeps rows of a reference table");
		result.single_only = true;
		result.keys = keys_nullable(right);
		return result;
	}
	return shape_any();
}

/* ---- range table entries and join trees ---- */

static ShoalShape
shape_of_relation(RangeTblEntry *rte, int varno)
{
	const ShoalTable *table = shoal_meta_table(rte->relid);
	ShoalShape	shape = {0};
	ShoalKey   *key;

	if (table == NULL)
		return shoal_shape_none("a table that only this node has");
	if (table->kind == SHOAL_KIND_REFERENCE)
	{
		if (rte->tablesample)
			return shoal_shape_none("TABLESAMPLE of a reference table");
		return shape_any();
	}
	shape.kind = SHOAL_SHAPE_SHARDED;
	shape.group_id = table->group_id;
	shape.relid = table->relid;
	if (table->kind == SHOAL_KIND_SINGLE)
	{
		shape.single = true;
		return shape;
	}
	shape.nkeycols = table->nkeys;
	key = make_key(table->nkeys, false);
	for (int i = 0; i < table->nkeys; i++)
	{
		key->columns[i].varno = varno;
		key->columns[i].attno = table->keyattr[i];
	}
	shape.keys = list_make1(key);
	shape.single = (shoal_meta_group(table->group_id)->shard_count == 1);
	return shape;
}

/* Output columns of a subquery become columns of a range table entry. */
static ShoalShape
shape_as_rte(const ShoalShape *whole, int varno)
{
	ShoalShape	shape = *whole;
	ListCell   *lc;

	shape.keys = NIL;
	foreach(lc, whole->keys)
	{
		ShoalKey   *key = (ShoalKey *) lfirst(lc);
		ShoalKey   *copy = make_key(whole->nkeycols, key->nullable);

		for (int i = 0; i < whole->nkeycols; i++)
		{
			copy->columns[i].varno = varno;
			copy->columns[i].attno = key->columns[i].attno;
		}
		shape.keys = lappend(shape.keys, copy);
	}
	return shape;
}

static ShoalShape
shape_of_cte(Level *level, RangeTblEntry *rte, int varno)
{
	ListCell   *lc;
	int			pos = 0;

	for (Index up = 0; up < rte->ctelevelsup; up++)
	{
		level = level->parent;
		if (level == NULL)
			return shoal_shape_none("a WITH query of an outer query");
	}
	foreach(lc, level->query->cteList)
	{
		CommonTableExpr *cte = (CommonTableExpr *) lfirst(lc);

		if (strcmp(cte->ctename, rte->ctename) == 0)
		{
			/* a recursive query's own rows are wherever it runs */
			if (level->ctes[pos] == NULL)
				return shape_any();
			return shape_as_rte(level->ctes[pos], varno);
		}
		pos++;
	}
	return shoal_shape_none("a WITH query of an outer query");
}

/* Rows moved to the shards of a key, or to every node. */
static ShoalShape
shape_of_moved(const ShoalMove *move, int varno)
{
	const ShoalTable *table = shoal_meta_table(move->relid);
	ShoalShape	shape = {0};
	ShoalKey   *key;

	if (!OidIsValid(move->relid))
		return shape_any();
	shape.kind = SHOAL_SHAPE_SHARDED;
	shape.group_id = table->group_id;
	shape.relid = table->relid;
	shape.nkeycols = 1;
	key = make_key(1, false);
	key->columns[0].varno = varno;
	key->columns[0].attno = 1;
	shape.keys = list_make1(key);
	return shape;
}

static ShoalShape
shape_of_rte(Level *level, int varno)
{
	RangeTblEntry *rte = rt_fetch(varno, level->query->rtable);
	ShoalAnalysis sub;

	switch (rte->rtekind)
	{
		case RTE_RELATION:
			return shape_of_relation(rte, varno);
		case RTE_SUBQUERY:
			analyze_level(rte->subquery, level, &sub);
			if (sub.whole.kind == SHOAL_SHAPE_ANY &&
				shoal_expr_is_volatile((Node *) rte->subquery, false))
				return shoal_shape_none("a subquery with a volatile function");
			return shape_as_rte(&sub.whole, varno);
		case RTE_CTE:
			return shape_of_cte(level, rte, varno);
		case RTE_FUNCTION:
			{
				ShoalMove  *move = shoal_moved_find(rte);

				if (move)
					return shape_of_moved(move, varno);
			}
			if (shoal_expr_is_volatile((Node *) rte->functions, false) ||
				shoal_expr_is_stuck((Node *) rte->functions, false))
				return shoal_shape_none("a volatile function in FROM");
			return shape_any();
		case RTE_TABLEFUNC:
			if (shoal_expr_is_volatile((Node *) rte->tablefunc, false))
				return shoal_shape_none("a volatile function in FROM");
			return shape_any();
		case RTE_VALUES:
			if (shoal_expr_is_volatile((Node *) rte->values_lists, false))
				return shoal_shape_none("a volatile function in VALUES");
			return shape_any();
		case RTE_RESULT:
			return shape_any();
		default:
			return shoal_shape_none("rows that only this node has");
	}
}

/* Joins a further item to what the level has seen of FROM, for LATERAL. */
static void
note_seen(Level *level, const ShoalShape *shape)
{
	if (shape->kind != SHOAL_SHAPE_SHARDED)
		return;
	if (level->from.kind != SHOAL_SHAPE_SHARDED)
		level->from = *shape;
	else if (level->from.group_id == shape->group_id)
		level->from.keys = list_concat_copy(level->from.keys, shape->keys);
}

static ShoalShape
shape_of_join(Level *level, JoinExpr *join, List *above)
{
	List	   *own = make_ands_implicit((Expr *) join->quals);
	List	   *both = list_concat_copy(own, above);
	ShoalShape	left;
	ShoalShape	right;

	switch (join->jointype)
	{
		case JOIN_INNER:
			left = shape_of_jointree(level, join->larg, both);
			right = shape_of_jointree(level, join->rarg, both);
			return combine(&left, &right, JOIN_INNER,
						   shoal_key_equalities(level->query, both));
		case JOIN_LEFT:
			left = shape_of_jointree(level, join->larg, above);
			right = shape_of_jointree(level, join->rarg, own);
			return combine(&left, &right, JOIN_LEFT,
						   shoal_key_equalities(level->query, both));
		case JOIN_RIGHT:
			left = shape_of_jointree(level, join->larg, own);
			right = shape_of_jointree(level, join->rarg, above);
			return combine(&right, &left, JOIN_LEFT,
						   shoal_key_equalities(level->query, both));
		case JOIN_FULL:
			left = shape_of_jointree(level, join->larg, NIL);
			right = shape_of_jointree(level, join->rarg, NIL);
			return combine(&left, &right, JOIN_FULL,
						   shoal_key_equalities(level->query, own));
		default:
			return shoal_shape_none("an unusual join");
	}
}

/* Does what the level computes depend on the order in which its only FROM item returns rows? */
static bool
takes_order(Level *level)
{
	Query	   *query = level->query;
	ListCell   *lc;

	if (shoal_order_item(query) == NULL)
		return false;
	if (query->hasAggs)
		return shoal_order_is_felt((Node *) query->targetList) ||
			shoal_order_is_felt(query->havingQual);
	foreach(lc, query->windowClause)
	{
		if (((WindowClause *) lfirst(lc))->orderClause == NIL)
			return true;
	}
	return query->sortClause == NIL && (query->limitCount || query->hasDistinctOn);
}

static bool
is_ordered_subquery(Level *level, RangeTblEntry *rte)
{
	ListCell   *lc;

	if (rte->rtekind == RTE_SUBQUERY && takes_order(level) && shoal_order_is_kept(rte->subquery))
	{
		RangeTblEntry *item = shoal_order_item(rte->subquery);

		return item->rtekind == RTE_SUBQUERY && is_ordered_subquery(level, item);
	}
	if (rte->rtekind == RTE_SUBQUERY)
		return rte->subquery->sortClause != NIL;
	if (rte->rtekind != RTE_CTE || rte->ctelevelsup > 0)
		return false;
	foreach(lc, level->query->cteList)
	{
		CommonTableExpr *cte = (CommonTableExpr *) lfirst(lc);

		if (strcmp(cte->ctename, rte->ctename) == 0)
			return ((Query *) cte->ctequery)->sortClause != NIL;
	}
	return false;
}

/*
 * Does the level show that order?  SQL promises nothing there, but people count on
 * array_agg() over an ordered subquery and on SELECT * from a view with ORDER BY.
 */
static bool
shows_order(Level *level)
{
	if (takes_order(level) || (shoal_order_is_kept(level->query) && level->parent == NULL))
		return true;
	for (; shoal_order_is_kept(level->query) && level->parent; level = level->parent)
	{
		if (takes_order(level->parent))
			return true;
	}
	return false;
}

/* above: conditions that every row that counts in the end satisfies. */
static ShoalShape
shape_of_jointree(Level *level, Node *node, List *above)
{
	ShoalShape	result = shape_any();

	if (IsA(node, RangeTblRef))
	{
		result = shape_of_rte(level, ((RangeTblRef *) node)->rtindex);
		shoal_key_pin(&result, shoal_key_equalities(level->query, above));
		if (result.kind == SHOAL_SHAPE_SHARDED && !result.single &&
			is_ordered_subquery(level,
								rt_fetch(((RangeTblRef *) node)->rtindex,
										 level->query->rtable)) &&
			shows_order(level))
			return shoal_shape_none("a subquery with an order");
		note_seen(level, &result);
	}
	else if (IsA(node, FromExpr))
	{
		FromExpr   *from = (FromExpr *) node;
		List	   *quals = list_concat_copy(make_ands_implicit((Expr *) from->quals),
											 above);
		List	   *equalities = shoal_key_equalities(level->query, quals);
		ListCell   *lc;

		foreach(lc, from->fromlist)
		{
			ShoalShape	item = shape_of_jointree(level, lfirst(lc), quals);

			result = combine(&result, &item, JOIN_INNER, equalities);
		}
	}
	else if (IsA(node, JoinExpr))
		result = shape_of_join(level, (JoinExpr *) node, above);
	else
		elog(ERROR, "unrecognized node type: %d", (int) nodeTag(node));
	return result;
}

/* ---- subqueries in expressions ---- */

/*
 * Is a subquery's key tied to the key of an outer level, so that for each
 * outer row its rows are in that row's shard?
 */
static bool
is_tied(Level *level, const ShoalShape *from, List *equalities)
{
	const ShoalTable *table = shoal_meta_table(from->relid);
	Index		up = 0;
	ListCell   *lc;
	ListCell   *lc2;
	ListCell   *lc3;

	if (table == NULL || from->nkeycols == 0)
		return false;
	for (Level *outer = level->parent; outer != NULL; outer = outer->parent)
	{
		up++;
		if (outer->from.kind != SHOAL_SHAPE_SHARDED ||
			outer->from.group_id != from->group_id)
			continue;
		foreach(lc, from->keys)
		{
			ShoalKey   *inner_key = (ShoalKey *) lfirst(lc);

			foreach(lc2, outer->from.keys)
			{
				ShoalKey   *outer_key = (ShoalKey *) lfirst(lc2);
				int			i;

				for (i = 0; i < from->nkeycols; i++)
				{
					bool		meets = false;

					foreach(lc3, shoal_key_equals(&inner_key->columns[i], table,
												  i, equalities, NULL))
					{
						Var		   *var = (Var *) lfirst(lc3);

						if (IsA(var, Var) && var->varlevelsup == up &&
							var->varno == outer_key->columns[i].varno &&
							var->varattno == outer_key->columns[i].attno)
							meets = true;
					}
					if (!meets)
						break;
				}
				if (i == from->nkeycols)
					return true;
			}
		}
	}
	return false;
}

/*
 * "key IN (SELECT key ...)": the subquery is spread like the outer query and
 * each outer row asks for its own shard's rows only.  Not for NOT IN, where a
 * NULL anywhere counts.
 */
static bool
is_tied_by_in(Level *level, SubLink *sublink, const ShoalShape *sub)
{
	const ShoalTable *table = shoal_meta_table(sub->relid);
	List	   *tests = make_ands_implicit((Expr *) sublink->testexpr);
	ListCell   *lc;
	ListCell   *lc2;
	ListCell   *lc3;

	if (sublink->subLinkType != ANY_SUBLINK || table == NULL ||
		sub->nkeycols == 0 || level->from.kind != SHOAL_SHAPE_SHARDED ||
		level->from.group_id != sub->group_id)
		return false;
	foreach(lc, sub->keys)
	{
		ShoalKey   *inner_key = (ShoalKey *) lfirst(lc);

		foreach(lc2, level->from.keys)
		{
			ShoalKey   *outer_key = (ShoalKey *) lfirst(lc2);
			int			i;

			for (i = 0; i < sub->nkeycols; i++)
			{
				bool		meets = false;

				foreach(lc3, tests)
				{
					OpExpr	   *op = (OpExpr *) lfirst(lc3);
					ShoalEquality	eq = {0};
					Node	   *left;
					Param	   *right;

					if (!IsA(op, OpExpr) || list_length(op->args) != 2)
						continue;
					left = shoal_expr_strip(shoal_flatten_join_alias_vars(level->query,
																		  copyObject(linitial(op->args))));
					right = (Param *) shoal_expr_strip(lsecond(op->args));
					eq.opno = op->opno;
					eq.collation = op->inputcollid;
					if (shoal_key_is_column(left, &outer_key->columns[i]) &&
						IsA(right, Param) &&
						right->paramkind == PARAM_SUBLINK &&
						right->paramid == inner_key->columns[i].attno &&
						shoal_key_equality_fits(&eq, table, i))
						meets = true;
				}
				if (!meets)
					break;
			}
			if (i == sub->nkeycols)
				return true;
		}
	}
	return false;
}

static bool
collect_sublinks_walker(Node *node, List **sublinks)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink))
	{
		*sublinks = lappend(*sublinks, node);
		return expression_tree_walker(((SubLink *) node)->testexpr,
									  collect_sublinks_walker,
									  (void *) sublinks);
	}
	if (IsA(node, Query))
		return false;
	return expression_tree_walker(node, collect_sublinks_walker,
								  (void *) sublinks);
}

static bool
jointree_quals_walker(Node *node, List **quals)
{
	if (node == NULL)
		return false;
	if (IsA(node, FromExpr))
		*quals = lappend(*quals, ((FromExpr *) node)->quals);
	else if (IsA(node, JoinExpr))
		*quals = lappend(*quals, ((JoinExpr *) node)->quals);
	else if (!IsA(node, List))
		return false;
	return expression_tree_walker(node, jointree_quals_walker, (void *) quals);
}

/*
 * Takes the subqueries of some expressions of a level into account: shape is
 * NONE afterwards if one of them can't run where the level's rows are.
 * positive: sublinks that are conditions of WHERE by themselves.
 */
static void
shape_with_sublinks(Level *level, Node *exprs, List *positive,
					ShoalShape *shape)
{
	List	   *sublinks = NIL;
	ListCell   *lc;

	collect_sublinks_walker(exprs, &sublinks);
	foreach(lc, sublinks)
	{
		SubLink    *sublink = (SubLink *) lfirst(lc);
		ShoalAnalysis sub;

		analyze_level((Query *) sublink->subselect, level, &sub);
		if (shape->kind == SHOAL_SHAPE_NONE)
			return;
		if (sub.whole.kind == SHOAL_SHAPE_NONE)
			*shape = sub.whole;
		else if (sub.whole.kind == SHOAL_SHAPE_ANY)
		{
			if (shape->kind == SHOAL_SHAPE_SHARDED && !shape->single &&
				shoal_expr_is_volatile(sublink->subselect, false))
				*shape = shoal_shape_none("a subquery with a volatile function");
		}
		else if (sub.whole.single && shape->kind == SHOAL_SHAPE_ANY)
		{
			*shape = sub.whole;
			shape->single_only = true;
			shape->keys = NIL;
		}
		else if (sub.whole.single && shape->single &&
				 shoal_key_same_shard(&sub.whole, shape))
			;
		else if (list_member_ptr(positive, sublink) &&
				 is_tied_by_in(level, sublink, &sub.whole))
			;
		else
			*shape = shoal_shape_none("a subquery is not tied to the distribution column");
	}
}

/* ---- a whole level ---- */

/* The shape of each WITH query. */
static void
shape_ctes(Level *level, ShoalShape *shape)
{
	ListCell   *lc;
	int			pos = 0;

	level->ctes = palloc0(sizeof(ShoalShape *) *
						  Max(list_length(level->query->cteList), 1));
	foreach(lc, level->query->cteList)
	{
		CommonTableExpr *cte = (CommonTableExpr *) lfirst(lc);
		Query	   *query = (Query *) cte->ctequery;
		ShoalAnalysis sub;

		analyze_level(query, level, &sub);
		if (query->commandType != CMD_SELECT &&
			sub.whole.kind == SHOAL_SHAPE_SHARDED && !sub.whole.single)
			sub.whole = shoal_shape_none("a WITH query that writes to several shards");
		if (query->commandType != CMD_SELECT &&
			sub.whole.kind == SHOAL_SHAPE_ANY)
			sub.whole = shoal_shape_none("a WITH query that writes to a reference table");
		if (cte->cterecursive && sub.whole.kind == SHOAL_SHAPE_SHARDED &&
			!sub.whole.single)
			sub.whole = shoal_shape_none("a recursive query over several shards");
		if (sub.whole.kind == SHOAL_SHAPE_ANY &&
			shoal_expr_is_volatile((Node *) query, false))
			sub.whole = shoal_shape_none("a WITH query with a volatile function");
		/* what writes runs even if nobody reads it */
		if (query->commandType != CMD_SELECT)
			*shape = combine(shape, &sub.whole, JOIN_INNER, NIL);
		level->ctes[pos] = palloc(sizeof(ShoalShape));
		*level->ctes[pos] = sub.whole;
		pos++;
	}
}

/* Does grouping by the clause keep apart what the i-th key column does? */
static bool
clause_fits_key(const SortGroupClause *clause, Oid collation,
				const ShoalTable *table, int i)
{
	ShoalEquality eq = {0};

	eq.opno = clause->eqop;
	eq.collation = collation;
	return shoal_key_equality_fits(&eq, table, i);
}

/* Keys that are among these columns of the target list (NULL: all of it). */
static List *
keys_in_targetlist(Level *level, const ShoalShape *from, List *clauses,
				   List *targetlist, bool not_null)
{
	const ShoalTable *table = shoal_meta_table(from->relid);
	List	   *result = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, from->keys)
	{
		ShoalKey   *key = (ShoalKey *) lfirst(lc);
		ShoalKey   *output = make_key(from->nkeycols, key->nullable);
		int			found = 0;

		if (not_null && key->nullable)
			continue;
		for (int i = 0; i < from->nkeycols; i++)
		{
			foreach(lc2, targetlist)
			{
				TargetEntry *tle = (TargetEntry *) lfirst(lc2);
				Node	   *expr;
				ListCell   *lc3;
				bool		wanted = (clauses == NIL && !tle->resjunk);

				foreach(lc3, clauses)
				{
					SortGroupClause *clause = (SortGroupClause *) lfirst(lc3);

					if (clause->tleSortGroupRef == tle->ressortgroupref &&
						clause_fits_key(clause,
										exprCollation((Node *) tle->expr),
										table, i))
						wanted = true;
				}
				if (!wanted)
					continue;
				expr = shoal_flatten_join_alias_vars(level->query,
													 copyObject((Node *) tle->expr));
				if (!shoal_key_is_column(shoal_expr_strip(expr), &key->columns[i]))
					continue;
				output->columns[i].attno = tle->resno;
				if (from->nkeycols == 1)
				{
					/* the key may be there more than once */
					result = lappend(result, output);
					output = make_key(1, key->nullable);
					continue;
				}
				found++;
				break;
			}
		}
		if (from->nkeycols > 1 && found == from->nkeycols)
			result = lappend(result, output);
	}
	return result;
}

/* Why the upper part of a query needs rows of several shards; NULL if not. */
static const char *
why_upper_needs_all(Level *level, const ShoalShape *from)
{
	Query	   *query = level->query;
	ListCell   *lc;

	if (query->groupingSets)
		return "grouping sets";
	if ((query->hasAggs || query->groupClause || query->havingQual) &&
		(query->groupClause == NIL ||
		 !keys_in_targetlist(level, from, query->groupClause,
							 query->targetList, true)))
		return "groups span shards";
	if (query->distinctClause &&
		!keys_in_targetlist(level, from, query->distinctClause,
							query->targetList, true))
		return "DISTINCT spans shards";
	foreach(lc, query->windowClause)
	{
		WindowClause *window = (WindowClause *) lfirst(lc);

		if (window->partitionClause == NIL ||
			!keys_in_targetlist(level, from, window->partitionClause,
								query->targetList, true))
			return "windows span shards";
	}
	if (shoal_expr_limits(query))
		return "LIMIT over several shards";
	if (shoal_expr_is_volatile((Node *) query->targetList, false))
		return "a volatile function in the select list";
	return NULL;
}

/* Arms, and the operations that compare rows. */
static void
collect_setop_arms(Node *node, List **arms, List **comparing)
{
	if (IsA(node, SetOperationStmt))
	{
		SetOperationStmt *setop = (SetOperationStmt *) node;

		if (setop->op != SETOP_UNION || !setop->all)
			*comparing = lappend(*comparing, setop);
		collect_setop_arms(setop->larg, arms, comparing);
		collect_setop_arms(setop->rarg, arms, comparing);
	}
	else
		*arms = lappend_int(*arms, ((RangeTblRef *) node)->rtindex);
}

/*
 * Are rows that differ in the key (output columns) never the same to the set
 * operations?
 */
static bool
setops_tell_key(List *comparing, const ShoalKey *key, const ShoalTable *table)
{
	ListCell   *lc;

	if (key->nullable || table == NULL)
		return false;
	foreach(lc, comparing)
	{
		SetOperationStmt *setop = (SetOperationStmt *) lfirst(lc);

		for (int i = 0; i < table->nkeys; i++)
		{
			int			column = key->columns[i].attno - 1;

			if (!clause_fits_key(list_nth(setop->groupClauses, column),
								 list_nth_oid(setop->colCollations, column),
								 table, i))
				return false;
		}
	}
	return true;
}

/* UNION, INTERSECT, EXCEPT: the arms run together if they keep the key. */
static ShoalShape
shape_of_setop(Level *level)
{
	Query	   *query = level->query;
	List	   *arms = NIL;
	List	   *comparing = NIL;
	bool		first = true;
	ShoalShape	result = shape_any();
	ListCell   *lc;

	collect_setop_arms(query->setOperations, &arms, &comparing);
	foreach(lc, arms)
	{
		ShoalShape	arm = shape_of_rte(level, lfirst_int(lc));
		List	   *common = NIL;
		ListCell   *lca;
		ListCell   *lcb;

		arm = shape_as_rte(&arm, 0);
		if (first || arm.kind == SHOAL_SHAPE_NONE)
		{
			result = arm;
			first = false;
			if (arm.kind == SHOAL_SHAPE_NONE)
				return result;
			continue;
		}
		if (arm.kind == SHOAL_SHAPE_ANY && result.kind == SHOAL_SHAPE_ANY)
			continue;
		if (arm.kind == SHOAL_SHAPE_ANY || result.kind == SHOAL_SHAPE_ANY)
		{
			/* in one shard everything goes */
			if (arm.kind == SHOAL_SHAPE_SHARDED)
				result = arm;
			if (!result.single)
				return shoal_shape_none("a set operation of distributed and other rows");
			result.single_only = true;
			result.keys = NIL;
			continue;
		}
		if (arm.group_id != result.group_id)
			return shoal_shape_none("a set operation over different colocation groups");
		foreach(lca, result.keys)
		{
			foreach(lcb, arm.keys)
			{
				ShoalKey   *a = (ShoalKey *) lfirst(lca);
				ShoalKey   *b = (ShoalKey *) lfirst(lcb);

				if (memcmp(a->columns, b->columns,
						   sizeof(ShoalKeyColumn) * result.nkeycols) == 0)
				{
					ShoalKey   *key = make_key(result.nkeycols,
											   a->nullable || b->nullable);

					memcpy(key->columns, a->columns,
						   sizeof(ShoalKeyColumn) * result.nkeycols);
					common = lappend(common, key);
				}
			}
		}
		result.keys = common;
		result.single_only |= arm.single_only;
		if (result.single && arm.single && shoal_key_same_shard(&result, &arm))
			continue;
		if (result.single_only)
			return shoal_shape_none("a set operation of results of different shards");
		result.single = false;
		result.pin = NIL;
	}
	shape_with_sublinks(level, (Node *) list_make2(query->limitCount,
												   query->limitOffset),
						NIL, &result);
	if (result.kind != SHOAL_SHAPE_SHARDED || result.single)
		return result;
	if (comparing)
	{
		const ShoalTable *table = shoal_meta_table(result.relid);
		bool		told = false;

		foreach(lc, result.keys)
			told |= setops_tell_key(comparing, lfirst(lc), table);
		if (!told)
			return shoal_shape_none("a set operation compares rows of several shards");
	}
	if (query->limitCount || query->limitOffset)
		return shoal_shape_none("LIMIT over several shards");
	return result;
}

/* Checks of policies, which a row must pass like a condition of WHERE. */
static List *
row_checks(Query *query)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, query->withCheckOptions)
	{
		WithCheckOption *check = (WithCheckOption *) lfirst(lc);

		result = list_concat(result,
							 list_copy(make_ands_implicit((Expr *) check->qual)));
	}
	return result;
}

/* The part above FROM and WHERE. */
static ShoalShape
shape_of_upper(Level *level, const ShoalShape *from)
{
	Query	   *query = level->query;
	ShoalShape	whole = *from;
	const char *why;
	List	   *others;

	others = list_make5(query->targetList, query->havingQual,
						query->limitCount, query->limitOffset,
						query->returningList);
	others = lappend(others, query->onConflict);
	others = lappend(others, query->withCheckOptions);
	others = lappend(others, query->mergeActionList);
	others = lappend(others, query->windowClause);
	others = lappend(others, shoal_query_group_exprs(query));
	if (whole.kind == SHOAL_SHAPE_SHARDED &&
		query->commandType == CMD_SELECT &&
		(why = why_upper_needs_all(level, from)) != NULL)
	{
		if (!whole.single)
			return shoal_shape_none(why);
		whole.single_only = true;
	}
	if (shoal_expr_is_stuck((Node *) others, false))
		return shoal_shape_none("a function that has to run on this node");
	/* the rows of an INSERT, which has no text outside of one */
	if (query->commandType == CMD_SELECT && shoal_assign_any(query->targetList))
		return shoal_shape_none("an assignment to part of a column");
	shape_with_sublinks(level, (Node *) others, row_checks(query), &whole);
	if (whole.kind == SHOAL_SHAPE_SHARDED)
		whole.keys = keys_in_targetlist(level, from, NIL,
										query->commandType == CMD_SELECT ?
										query->targetList : query->returningList,
										false);
	if (query->groupingSets)
		whole.keys = keys_nullable(&whole);
	return whole;
}

/* The condition of a MERGE is that of an outer join. */
static ShoalShape
shape_of_merge(Level *level)
{
	Query	   *query = level->query;
	List	   *quals = make_ands_implicit((Expr *) shoal_merge_condition(query));
	ShoalShape	target = shape_of_rte(level, query->resultRelation);
	ShoalShape	source = shape_any();
	ListCell   *lc;

	foreach(lc, query->jointree->fromlist)
	{
		ShoalShape	item = shape_of_jointree(level, lfirst(lc), NIL);

		source = combine(&source, &item, JOIN_INNER, NIL);
	}
	shoal_key_pin(&target, shoal_key_equalities(query, quals));
	note_seen(level, &target);
	return shoal_merge_shape(query, &target, &source);
}

static void
analyze_level(Query *query, Level *parent, ShoalAnalysis *result)
{
	Level		level = {0};
	ShoalShape	from = shape_any();
	List	   *quals = NIL;
	List	   *equalities;
	List	   *rte_exprs = NIL;
	List	   *positive;
	ListCell   *lc;

	level.parent = parent;
	level.query = query;
	shape_ctes(&level, &from);
	if (query->setOperations)
	{
		ShoalShape	arms = shape_of_setop(&level);

		result->from = shoal_shape_none("a set operation");
		result->whole = combine(&from, &arms, JOIN_INNER, NIL);
		return;
	}

	if (query->commandType == CMD_INSERT)
	{
		ShoalShape	target = shape_of_rte(&level, query->resultRelation);

		/* a WITH query that inserts: only into a single-shard table */
		if (target.kind == SHOAL_SHAPE_SHARDED && !target.single)
			target = shoal_shape_none("a WITH query that inserts");
		from = combine(&from, &target, JOIN_INNER, NIL);
	}
	if (query->commandType == CMD_MERGE)
	{
		ShoalShape	merge = shape_of_merge(&level);

		from = combine(&from, &merge, JOIN_INNER, NIL);
	}
	else
	{
		ShoalShape	joined = shape_of_jointree(&level, (Node *) query->jointree,
											   NIL);

		from = combine(&from, &joined, JOIN_INNER, NIL);
	}
	jointree_quals_walker((Node *) query->jointree, &quals);
	positive = make_ands_implicit((Expr *) query->jointree->quals);
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = (RangeTblEntry *) lfirst(lc);
		ListCell   *lc2;

		rte_exprs = list_concat(rte_exprs, list_make3(rte->functions,
													  rte->values_lists,
													  rte->tablefunc));

		/* row-level security; each element is a list of conditions */
		rte_exprs = lappend(rte_exprs, rte->securityQuals);
		foreach(lc2, rte->securityQuals)
			positive = list_concat_copy(positive,
										make_ands_implicit(lfirst(lc2)));
	}
	level.from = from;
	if (shoal_expr_is_stuck((Node *) quals, false))
		from = shoal_shape_none("a function that has to run on this node");
	else
		shape_with_sublinks(&level, (Node *) list_make2(quals, rte_exprs),
							positive, &from);
	level.from = from;
	result->from = from;
	result->whole = shape_of_upper(&level, &from);
	if (parent != NULL && result->whole.kind == SHOAL_SHAPE_ANY &&
		shoal_expr_chooses_rows(query))
		result->whole = shoal_shape_none("rows are chosen, which may be others on each node");

	/* tied to an outer key: for each outer row it stays in that row's shard */
	if (parent != NULL && from.kind == SHOAL_SHAPE_SHARDED)
	{
		equalities = shoal_key_equalities(level.query,
								   make_ands_implicit((Expr *) query->jointree->quals));
		if (is_tied(&level, &from, equalities))
		{
			ShoalShape	shape = shape_any();
			List	   *others = list_make4(query->targetList, query->havingQual,
											query->limitCount, query->limitOffset);

			if (shoal_expr_is_stuck((Node *) others, false))
				shape = shoal_shape_none("a function that has to run on this node");
			else
				shape_with_sublinks(&level, (Node *) others, NIL, &shape);
			result->whole = shape;
		}
	}
}

void
shoal_shape_analyze(Query *query, ShoalAnalysis *result)
{
	if (shoal_expr_reaches_out(query))
	{
		result->whole = shoal_shape_none("it refers to an outer query");
		result->from = result->whole;
		return;
	}
	analyze_level(query, NULL, result);
}

bool
shoal_shape_fits_row(Query *query, Node *exprs, const char **reason)
{
	Level		level = {0};
	ShoalShape	shape = shape_of_relation(rt_fetch(query->resultRelation,
												   query->rtable),
										  query->resultRelation);

	if (query->cteList && checkExprHasSubLink(exprs))
	{
		*reason = "a subquery and WITH";
		return false;
	}
	level.query = query;
	level.from = shape;
	shape_with_sublinks(&level, exprs, row_checks(query), &shape);
	*reason = shape.reason;
	return shape.kind != SHOAL_SHAPE_NONE;
}
