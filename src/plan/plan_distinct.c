/*
 * plan_distinct.c
 *		Rows of which one stands for all that are the same.
 *
 * In a subquery of EXISTS, IN, or a comparison with ANY or ALL, it makes no
 * difference how often a row is there.  So if it has nothing but FROM and WHERE,
 * rows of its tables that are the same in the columns that are needed may be
 * moved once: each node groups what it has by these columns.
 *
 * They have to be of types whose equal values are the same in every respect, which
 * those of numeric, say, are not.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "plan/plan_distinct.h"
#include "plan/plan_part.h"
#include "plan/plan_query.h"
#include "plan/plan_shape.h"
#include "plan/plan_split.h"

/* it is worth while if no more than this part of the rows is left */
#define MAX_KEPT		0.5

static bool
is_exact(Oid type, Oid collation)
{
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case UUIDOID:
			return true;
		case TEXTOID:
		case VARCHAROID:
			return get_collation_isdeterministic(collation);
		default:
			return false;
	}
}

/* Groups a query without groups by all of its columns; false if that can't be. */
static bool
group_by_all(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);
		Node	   *expr = (Node *) tle->expr;

		if (!is_exact(exprType(expr), exprCollation(expr)))
			return false;
	}
	foreach(lc, query->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		tle->ressortgroupref = tle->resno;
		(void) shoal_split_group_by(query, tle->resno, (Node *) tle->expr);
	}
	return true;
}

void
shoal_distinct_leaves(ShoalLeaves *leaves, ParamListInfo params)
{
	for (int i = 0; i < leaves->ntables; i++)
	{
		ShoalLeaf  *leaf = &leaves->tables[i];
		Query	   *source;
		ShoalSize	size;

		if (!leaf->in_set || !leaf->movable || leaf->is_local ||
			leaf->size.bytes < shoal_move_threshold * 1024.0)
			continue;
		source = shoal_leaf_source(leaf);
		if (!group_by_all(source) || !shoal_size_of_query(source, params, &size) ||
			size.rows > leaf->moved.rows * MAX_KEPT)
			continue;
		leaf->distinct = true;
		leaf->moved = size;
	}
}

void
shoal_distinct_move(ShoalMove *move)
{
	Query	   *source = copyObject(move->source);
	ShoalAnalysis analysis;
	ListCell   *lc;

	shoal_shape_analyze(source, &analysis);
	if (analysis.whole.kind != SHOAL_SHAPE_SHARDED || !group_by_all(source))
		return;
	move->source = shoal_query_from(shoal_query_entry(source, "source"));
	foreach(lc, source->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		move->source->targetList = lappend(move->source->targetList,
										   makeTargetEntry((Expr *) makeVarFromTargetEntry(1, tle),
														   tle->resno, tle->resname, false));
	}
	move->shape = palloc(sizeof(ShoalShape));
	*move->shape = analysis.whole;
}
