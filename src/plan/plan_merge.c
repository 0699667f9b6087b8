/*
 * plan_merge.c
 *		MERGE on Shoal tables.
 *
 * A MERGE is sent to the shards like an UPDATE.  What its rows that match do is
 * done where the target's row is, so it is enough that each such shard sees the
 * source's rows that could match.  Whether a row of the source matches nothing
 * at all is known in one place only if the condition compares the target's key:
 * in the shard of that key, where the row that is inserted has to belong, too.
 * If the source is spread by that key, it is there; if the source is the same
 * everywhere, each node inserts for its own shards.
 */
#include "postgres.h"

#include "catalog/pg_class_d.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"

#include "base/base_compat.h"
#include "plan/plan_expr.h"
#include "plan/plan_key.h"
#include "plan/plan_merge.h"
#include "plan/plan_move.h"

static List *
conditions(Query *query)
{
	return shoal_key_equalities(query,
								make_ands_implicit((Expr *) shoal_merge_condition(query)));
}

static bool
inserts(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->mergeActionList)
	{
		if (((MergeAction *) lfirst(lc))->commandType == CMD_INSERT)
			return true;
	}
	return false;
}

/* What an INSERT gives the target's only key column, NULL if nothing. */
static Node *
inserted_key(MergeAction *action, const ShoalTable *table)
{
	ListCell   *lc;

	foreach(lc, action->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		if (tle->resno == table->keyattr[0])
			return shoal_expr_strip((Node *) tle->expr);
	}
	return NULL;
}

/* The source's expressions that the condition says to equal the key. */
static List *
key_of_source(Query *query, const ShoalTable *table)
{
	ShoalKeyColumn column = {query->resultRelation, table->keyattr[0]};
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, shoal_key_equals(&column, table, 0, conditions(query), NULL))
	{
		Node	   *expr = lfirst(lc);

		if (!bms_is_member(query->resultRelation,
						   pull_varnos_of_level(NULL, expr, 0)) &&
			!contain_volatile_functions(expr) && !checkExprHasSubLink(expr))
			result = lappend(result, expr);
	}
	return result;
}

/* Those of them by which the source is spread. */
static List *
keys_of_shape(List *keys, const ShoalShape *source)
{
	List	   *result = NIL;
	ListCell   *lc;
	ListCell   *lck;

	foreach(lc, keys)
	{
		foreach(lck, source->keys)
		{
			ShoalKey   *key = (ShoalKey *) lfirst(lck);

			if (!key->nullable && shoal_key_is_column(lfirst(lc), key->columns))
				result = list_append_unique_ptr(result, lfirst(lc));
		}
	}
	return result;
}

/* Is each row that is inserted one with a key of these? */
static bool
inserts_key(Query *query, const ShoalTable *table, List *keys)
{
	ListCell   *lc;

	foreach(lc, query->mergeActionList)
	{
		MergeAction *action = (MergeAction *) lfirst(lc);
		Node	   *key;

		if (action->commandType != CMD_INSERT)
			continue;
		key = inserted_key(action, table);
		if (key == NULL || !list_member(keys, key))
			return false;
	}
	return true;
}

ShoalShape
shoal_merge_shape(Query *query, const ShoalShape *target,
				  const ShoalShape *source)
{
	const ShoalTable *table;
	List	   *keys;

	if (source->kind == SHOAL_SHAPE_NONE || target->kind == SHOAL_SHAPE_NONE)
		return source->kind == SHOAL_SHAPE_NONE ? *source : *target;
	if (shoal_merge_has_by_source(query))
		return shoal_shape_none("MERGE with WHEN NOT MATCHED BY SOURCE");
	if (target->kind == SHOAL_SHAPE_ANY)
	{
		if (source->kind == SHOAL_SHAPE_ANY)
			return *target;
		return shoal_shape_none("a reference table is written with rows of a distributed table");
	}
	table = shoal_meta_table(target->relid);
	if (source->kind == SHOAL_SHAPE_SHARDED)
	{
		if (source->group_id != target->group_id)
			return shoal_shape_none("tables of different colocation groups are joined");
		if (!(target->single && source->single &&
			  shoal_key_same_shard(target, source)) &&
			!shoal_key_meet(target, source, conditions(query)))
			return shoal_shape_none("tables are not joined on their distribution columns");
	}
	if (!inserts(query) || table->nkeys == 0)
		return *target;
	if (table->nkeys > 1)
		return shoal_shape_none("MERGE inserts into a table with several distribution columns");
	keys = key_of_source(query, table);
	if (source->kind == SHOAL_SHAPE_SHARDED)
		keys = keys_of_shape(keys, source);
	if (inserts_key(query, table, keys))
		return *target;
	return shoal_shape_none("MERGE inserts rows with another key than the one that it compares");
}

Query *
shoal_merge_restrict(Query *query, const ShoalTable *table)
{
	List	   *keys;
	Oid			argtypes[3] = {REGCLASSOID, ANYOID, INT4ARRAYOID};
	ListCell   *lc;

	query = copyObject(query);
	if (table->nkeys == 0 || !inserts(query))
		return query;
	keys = key_of_source(query, table);
	foreach(lc, query->mergeActionList)
	{
		MergeAction *action = (MergeAction *) lfirst(lc);
		Node	   *key = copyObject(linitial(keys));
		Const	   *name = makeConst(REGCLASSOID, -1, InvalidOid, sizeof(Oid),
									 ObjectIdGetDatum(table->relid), false, true);
		FuncExpr   *here;

		if (!shoal_merge_is_not_matched(action))
			continue;
		/* the scope puts the shards in */
		here = makeFuncExpr(shoal_expr_own_function("is_here", lengthof(argtypes), argtypes),
							BOOLOID,
							list_make3(name, key, makeNullConst(INT4ARRAYOID, -1, InvalidOid)),
							InvalidOid, exprCollation(key), COERCE_EXPLICIT_CALL);
		action->qual = make_and_qual(action->qual, (Node *) here);
	}
	return query;
}

/*
 * A row that the view does not have matches nothing, and it is not one of those that
 * nothing of the source matches.
 */
static void
add_view_condition(Query *query)
{
	Node	   *condition;
	ListCell   *lc;

	if (rt_fetch(query->resultRelation, query->rtable)->rtekind != RTE_RELATION ||
		rt_fetch(query->resultRelation, query->rtable)->relkind == RELKIND_VIEW)
		return;
	condition = shoal_merge_take_view_condition(query);
	if (condition == NULL)
		return;
	foreach(lc, query->mergeActionList)
	{
		MergeAction *action = (MergeAction *) lfirst(lc);

		if (shoal_merge_is_by_source(action))
			action->qual = make_and_qual(copyObject(condition), action->qual);
	}
	shoal_merge_set_condition(query, query->resultRelation,
							  make_and_qual(condition, shoal_merge_condition(query)));
}

static bool
view_conditions_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;

		if (query->commandType == CMD_MERGE)
			add_view_condition(query);
		return query_tree_walker(query, view_conditions_walker, context, 0);
	}
	return expression_tree_walker(node, view_conditions_walker, context);
}

void
shoal_merge_add_view_conditions(Query *query)
{
	if (query->commandType == CMD_MERGE || query->hasModifyingCTE)
		view_conditions_walker((Node *) query, NULL);
}

bool
shoal_merge_moves_rows(Query *query, const ShoalTable *table)
{
	ListCell   *lc;

	foreach(lc, query->mergeActionList)
	{
		MergeAction *action = (MergeAction *) lfirst(lc);

		if (action->commandType == CMD_UPDATE &&
			shoal_move_is_needed(query, action->targetList, table))
			return true;
	}
	return false;
}
