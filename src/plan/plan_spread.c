/*
 * plan_spread.c
 *		Moving rows so that a query can run where they are.
 *
 * Tables that are not joined on their distribution columns can be joined on the
 * nodes all the same if the rows of some are moved there first: all of them to
 * every node, so that they are the same everywhere, or each to the shard that
 * a column of it, taken as another table's key, belongs to.  What remains is a
 * query like any other that runs shard by shard; plan_shape.c says whether it
 * is right.
 *
 * Which tables to move is found by trying: each of the largest ones is held
 * where it is; of the others, in the order of their sizes, each is left where
 * it is if that is right, moved by key if that is, else moved to every node.
 * Where that is not right or costs more than moving the largest one, too, each of its
 * columns is tried as the key that both sides of a join are moved by.  The way that
 * moves least is taken, if it is less than what reading all tables here would cost.
 *
 * A subquery that stands for itself (in FROM, WITH or an expression) may be moved
 * as a whole instead of the tables in it: its result is often smaller, and if it
 * has to be merged, that is done here and its rows are sent from here.  It is
 * tried for one subquery after the other, the outermost first, and kept where it
 * is cheaper.  Tables inside may have to be moved first for that.  Trials are counted:
 * with many tables there may be more ways than there is time for.
 *
 * The table that an UPDATE or DELETE changes stays, and what it is joined with is
 * moved to every node where need be, whatever it costs: there is no other way.
 *
 * Sizes are what the planner of a node thinks of a table's rows under the
 * conditions on it alone, which is a round trip for each table (plan_size.c).
 *
 * Tables that only this node has are moved to the others like any other.
 */
#include "postgres.h"

#include <math.h>

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "plan/plan_distinct.h"
#include "plan/plan_expr.h"
#include "plan/plan_key.h"
#include "plan/plan_leaf.h"
#include "plan/plan_part.h"
#include "plan/plan_reduce.h"
#include "plan/plan_regroup.h"
#include "plan/plan_shape.h"
#include "plan/plan_spread.h"
#include "plan/plan_step.h"
#include "plan/plan_text.h"

/* the largest so many tables are tried as the one that stays */
#define MAX_ANCHORS		3

/* so many columns of one are tried as the key by which it is moved itself */
#define MAX_KEYS		8

/* after so many trials no other way is begun: a query may be too large for them all */
#define MAX_TRIALS		1000

/* what moving costs besides its bytes, in bytes */
#define MOVE_START		50000

/* a byte read here costs so many bytes moved between nodes */
#define PULL_FACTOR		2.0

/* A query under trial. */
typedef struct Trial
{
	Query	   *query;
	ShoalLeaves leaves;
	ParamListInfo params;
	int			nnodes;			/* that take part, at most */
	int			ntrials;		/* so far */
} Trial;

typedef struct Equalities
{
	Query	   *level;
	List	   *found;			/* ShoalEquality * */
} Equalities;

/* ---- sizes ---- */

static void
find_size(Trial *trial, ShoalLeaf *leaf)
{
	if (leaf->sized)
		return;
	leaf->sized = true;
	if (leaf->is_local && leaf->subquery)
		shoal_size_of_query(leaf->subquery, trial->params, &leaf->size);
	else if (leaf->is_local)
		leaf->size = shoal_size_of_local(leaf->saved.relid, leaf->attnos);
	else if (!shoal_size_of_query(shoal_leaf_source(leaf), trial->params,
								  &leaf->size) && leaf->subquery)
	{
		/* no more than the largest of its tables, as a rule */
		leaf->size.rows = leaf->size.bytes = 0;
		for (int i = 0; i < trial->leaves.ntables; i++)
		{
			ShoalLeaf  *table = &trial->leaves.tables[i];

			if (shoal_leaf_is_in(table, leaf) &&
				table->size.bytes > leaf->size.bytes)
				leaf->size = table->size;
		}
	}
	leaf->moved = leaf->size;
}

static int
compare_leaves(const void *a, const void *b)
{
	double		left = ((const ShoalLeaf *) a)->size.bytes;
	double		right = ((const ShoalLeaf *) b)->size.bytes;

	return left < right ? 1 : left > right ? -1 : 0;
}

static int
count_nodes(ShoalLeaves *leaves)
{
	Bitmapset  *nodes = NULL;

	for (int i = 0; i < leaves->ntables; i++)
	{
		const ShoalTable *table = shoal_meta_table(leaves->tables[i].saved.relid);
		const ShoalGroup *group;

		if (table == NULL)
			continue;
		group = shoal_meta_group(table->group_id);
		for (int j = 0; j < group->shard_count; j++)
			nodes = bms_add_member(nodes, group->primary[j]);
	}
	return bms_num_members(nodes);
}

/* What it costs that a subquery's rows are found, before they are moved. */
static double
cost_of_source(Trial *trial, ShoalLeaf *leaf)
{
	ShoalAnalysis analysis;
	double		bytes = 0;

	shoal_shape_analyze(leaf->subquery, &analysis);
	if (analysis.whole.kind == SHOAL_SHAPE_SHARDED)
		return 0;
	if (analysis.from.kind == SHOAL_SHAPE_SHARDED)
		return leaf->size.bytes * PULL_FACTOR;
	for (int i = 0; i < trial->leaves.ntables; i++)
	{
		if (shoal_leaf_is_in(&trial->leaves.tables[i], leaf))
			bytes += trial->leaves.tables[i].size.bytes;
	}
	return bytes;
}

static double
cost_of_leaf(Trial *trial, ShoalLeaf *leaf)
{
	if (leaf->key == LEAF_STAYS)
		return 0;
	return MOVE_START + leaf->moved.bytes *
		(leaf->key == LEAF_EVERYWHERE ? (trial->nnodes + 1) / 2.0 : 1.0);
}

static double
cost_of(Trial *trial)
{
	double		cost = 0;

	for (int i = 0; i < trial->leaves.ntables; i++)
		cost += cost_of_leaf(trial, &trial->leaves.tables[i]);
	for (int i = 0; i < trial->leaves.nsubqueries; i++)
	{
		ShoalLeaf  *leaf = &trial->leaves.subqueries[i];

		if (leaf->key != LEAF_STAYS)
			cost += cost_of_leaf(trial, leaf) + cost_of_source(trial, leaf);
	}
	return cost;
}

/* ---- trying ---- */

/* Could the query, with what is moved, run on the nodes at least in part? */
static bool
is_right(Trial *trial)
{
	ShoalAnalysis analysis;

	trial->ntrials++;
	shoal_shape_analyze(trial->query, &analysis);
	if (analysis.from.kind == SHOAL_SHAPE_SHARDED && !trial->leaves.writes)
		return true;
	return analysis.whole.kind == SHOAL_SHAPE_SHARDED &&
		(trial->query->sortClause == NIL || analysis.whole.single);
}

/* A write, which has to be done on the nodes, is tried until there is a way. */
static bool
has_tried_enough(Trial *trial, double cost)
{
	return trial->ntrials > MAX_TRIALS && (!trial->leaves.writes || !isinf(cost));
}

/* Makes the query one with the leaf as it is chosen to be. */
static void
apply(Trial *trial, ShoalLeaf *leaf)
{
	if (leaf->key == LEAF_STAYS)
		shoal_leaf_put_back(leaf);
	else
		(void) shoal_leaf_move(leaf, trial->leaves.writes);
}

/* Would it be right to move the rows by one of their columns? */
static bool
try_keys(Trial *trial, ShoalLeaf *leaf, Oid relid)
{
	const ShoalTable *table = shoal_meta_table(relid);
	ListCell   *lc;

	if (table->kind != SHOAL_KIND_DISTRIBUTED || table->nkeys != 1)
		return false;
	leaf->key_relid = relid;
	foreach(lc, leaf->attnos)
	{
		Oid			type = shoal_leaf_column(leaf, lfirst_int(lc))->vartype;

		if (!shoal_moved_is_plain(type) ||
			!shoal_meta_hashable_as(table, 0, type))
			continue;
		leaf->key = lfirst_int(lc);
		apply(trial, leaf);
		if (is_right(trial))
			return true;
	}
	return false;
}

/* The table whose key the others' columns are taken as. */
static Oid
key_table(const ShoalLeaf *anchor)
{
	return anchor->key == LEAF_STAYS ? anchor->saved.relid : anchor->key_relid;
}

/* Moves a leaf no further than has to be. */
static void
try_leaf(Trial *trial, ShoalLeaf *leaf, ShoalLeaf *anchor)
{
	if (leaf->key == LEAF_STAYS || leaf == anchor)
		return;
	if (!leaf->is_unit)
	{
		leaf->key = LEAF_STAYS;
		apply(trial, leaf);
		if (is_right(trial))
			return;
	}
	if (trial->nnodes > 1 && try_keys(trial, leaf, key_table(anchor)))
		return;
	leaf->key = LEAF_EVERYWHERE;
	apply(trial, leaf);
}

/* All that can be moved goes to every node, but for the anchor, as is said. */
static void
move_everything(Trial *trial, ShoalLeaf *anchor, int key, Oid key_relid)
{
	ShoalLeaves *leaves = &trial->leaves;

	for (int i = 0; i < leaves->nsubqueries; i++)
	{
		ShoalLeaf  *leaf = &leaves->subqueries[i];

		leaf->key = leaf->is_unit && !leaf->is_inside ? LEAF_EVERYWHERE : LEAF_STAYS;
		shoal_leaf_put_back(leaf);
	}
	for (int i = 0; i < leaves->ntables; i++)
	{
		ShoalLeaf  *leaf = &leaves->tables[i];

		leaf->key = !leaf->movable || leaf->is_inside ? LEAF_STAYS : LEAF_EVERYWHERE;
		if (leaf == anchor)
		{
			leaf->key = key;
			leaf->key_relid = key_relid;
		}
		apply(trial, leaf);
	}
	for (int i = 0; i < leaves->nsubqueries; i++)
		apply(trial, &leaves->subqueries[i]);
}

/* ---- a first guess ---- */

/* The equalities of all joins of a level, whether they hold for all rows or not. */
static bool
collect_equalities_walker(Node *node, Equalities *context)
{
	Node	   *quals;

	if (node == NULL)
		return false;
	if (IsA(node, FromExpr))
		quals = ((FromExpr *) node)->quals;
	else if (IsA(node, JoinExpr))
		quals = ((JoinExpr *) node)->quals;
	else if (IsA(node, List))
		quals = NULL;
	else
		return false;
	context->found = list_concat(context->found,
								 shoal_key_equalities(context->level,
													  make_ands_implicit((Expr *) quals)));
	return expression_tree_walker(node, collect_equalities_walker, (void *) context);
}

/* Columns that a side of an equality is, or is one of. */
static List *
columns_of_side(Node *side)
{
	List	   *result = NIL;
	ListCell   *lc;

	if (IsA(side, Var) && ((Var *) side)->varlevelsup == 0)
		return list_make1(side);
	if (IsA(side, CoalesceExpr))
	{
		foreach(lc, ((CoalesceExpr *) side)->args)
			result = list_concat(result, columns_of_side(shoal_expr_strip(lfirst(lc))));
	}
	return result;
}

static bool
is_connected(List *known, int varno, AttrNumber attno)
{
	ShoalKeyColumn column = {varno, attno};
	ListCell   *lc;

	foreach(lc, known)
	{
		if (shoal_key_is_column(lfirst(lc), &column))
			return true;
	}
	return false;
}

/* Columns of the anchor's level that its key is compared with, over other ones, too. */
static List *
connected_columns(ShoalLeaf *anchor, AttrNumber attno)
{
	Equalities	context = {anchor->level, NIL};
	List	   *known = list_make1(makeVar(anchor->varno, attno, InvalidOid, -1,
										   InvalidOid, 0));
	int			before = 0;

	(void) collect_equalities_walker((Node *) anchor->level->jointree, &context);
	while (before < list_length(known))
	{
		ListCell   *lc;

		before = list_length(known);
		foreach(lc, context.found)
		{
			ShoalEquality *eq = (ShoalEquality *) lfirst(lc);
			List	   *columns = list_concat(columns_of_side(eq->left),
											  columns_of_side(eq->right));
			ListCell   *lc2;
			bool		connects = false;

			foreach(lc2, eq->any_of ? NIL : columns)
				connects |= is_connected(known, ((Var *) lfirst(lc2))->varno,
										 ((Var *) lfirst(lc2))->varattno);
			foreach(lc2, connects ? columns : NIL)
			{
				if (!is_connected(known, ((Var *) lfirst(lc2))->varno,
								  ((Var *) lfirst(lc2))->varattno))
					known = lappend(known, lfirst(lc2));
			}
		}
	}
	return known;
}

/*
 * With FULL joins it is right to move several by their keys where it is not to move
 * one of them.  All that are compared with the anchor's key are moved by that.
 */
static void
move_connected(Trial *trial, ShoalLeaf *anchor)
{
	ShoalLeaves *leaves = &trial->leaves;
	const ShoalTable *table = shoal_meta_table(key_table(anchor));
	List	   *known;

	if (trial->nnodes < 2 || table == NULL || table->kind != SHOAL_KIND_DISTRIBUTED ||
		table->nkeys != 1)
		return;
	known = connected_columns(anchor, anchor->key == LEAF_STAYS ?
							  table->keyattr[0] : anchor->key);
	for (int i = 0; i < leaves->ntables; i++)
	{
		ShoalLeaf  *leaf = &leaves->tables[i];
		ListCell   *lc;

		if (leaf == anchor || leaf->key != LEAF_EVERYWHERE || leaf->level != anchor->level)
			continue;
		foreach(lc, leaf->attnos)
		{
			Oid			type = shoal_leaf_column(leaf, lfirst_int(lc))->vartype;

			if (!is_connected(known, leaf->varno, lfirst_int(lc)) ||
				!shoal_moved_is_plain(type) || !shoal_meta_hashable_as(table, 0, type))
				continue;
			leaf->key = lfirst_int(lc);
			leaf->key_relid = key_table(anchor);
			apply(trial, leaf);
			break;
		}
	}
}

/* ---- trying leaf by leaf ---- */

/*
 * Tries all leaves.  Whether a table stays behind one that does not: then that
 * one may be able to stay, too.
 */
static bool
try_leaves(Trial *trial, ShoalLeaf *anchor)
{
	ShoalLeaves *leaves = &trial->leaves;
	bool		moved = false;
	bool		again = false;

	for (int i = 0; i < leaves->nsubqueries; i++)
		try_leaf(trial, &leaves->subqueries[i], anchor);
	for (int i = 0; i < leaves->ntables; i++)
	{
		ShoalLeaf  *leaf = &leaves->tables[i];
		bool		stayed = leaf->key == LEAF_STAYS;

		try_leaf(trial, leaf, anchor);
		again |= moved && !stayed && leaf->key == LEAF_STAYS;
		moved |= leaf->key != LEAF_STAYS;
	}
	return again;
}

/*
 * The cheapest way in which the anchor stays where it is, or is moved by a key, and
 * the units are moved as such; its cost, or infinity.  Leaves it in *best and its
 * cost in *limit if that is lower.
 */
static double
try_anchor(Trial *trial, ShoalLeaf *anchor, int key, Oid key_relid, double *limit,
		   ShoalLeaves *best)
{
	double		cost;

	move_everything(trial, anchor, key, key_relid);
	if (!is_right(trial))
	{
		move_connected(trial, anchor);
		if (!is_right(trial))
			move_everything(trial, anchor, key, key_relid);
	}
	if (try_leaves(trial, anchor))
		(void) try_leaves(trial, anchor);
	cost = is_right(trial) ? cost_of(trial) : INFINITY;
	if (cost < *limit)
	{
		memcpy(best, &trial->leaves, sizeof(ShoalLeaves));
		*limit = cost;
	}
	return cost;
}

/* A distributed table of the query whose key such a value can be taken as. */
static Oid
table_with_key(Trial *trial, Oid type)
{
	for (int i = 0; i < trial->leaves.ntables; i++)
	{
		Oid			relid = trial->leaves.tables[i].saved.relid;
		const ShoalTable *table = shoal_meta_table(relid);

		if (table && table->kind == SHOAL_KIND_DISTRIBUTED && table->nkeys == 1 &&
			shoal_moved_is_plain(type) && shoal_meta_hashable_as(table, 0, type))
			return relid;
	}
	return InvalidOid;
}

/* The same with the anchor where it is, or else moved, if that may be cheaper. */
static double
try_anchor_ways(Trial *trial, ShoalLeaf *anchor, double *limit, ShoalLeaves *best)
{
	double		result = try_anchor(trial, anchor, LEAF_STAYS, InvalidOid, limit, best);
	int			tried = 0;
	ListCell   *lc;

	if (trial->nnodes < 2 || !anchor->movable)
		return result;
	foreach(lc, anchor->attnos)
	{
		Oid			type = shoal_leaf_column(anchor, lfirst_int(lc))->vartype;
		Oid			relid = table_with_key(trial, type);

		if (2 * MOVE_START + anchor->moved.bytes >= Min(result, *limit) ||
			has_tried_enough(trial, result))
			break;
		if (OidIsValid(relid) && tried++ < MAX_KEYS)
			result = Min(result, try_anchor(trial, anchor, lfirst_int(lc), relid,
											limit, best));
	}
	return result;
}

/* ---- choosing ---- */

static void
set_unit(ShoalLeaves *leaves, ShoalLeaf *unit, bool is_unit)
{
	unit->is_unit = is_unit;
	for (int i = 0; i < leaves->ntables; i++)
	{
		if (shoal_leaf_is_in(&leaves->tables[i], unit))
			leaves->tables[i].is_inside = is_unit;
	}
	for (int i = 0; i < leaves->nsubqueries; i++)
	{
		if (shoal_leaf_is_in(&leaves->subqueries[i], unit))
			leaves->subqueries[i].is_inside = is_unit;
	}
}

static void
forget_trials(Trial *trial, int nmoves)
{
	for (int i = 0; i < trial->leaves.nsubqueries; i++)
		shoal_leaf_put_back(&trial->leaves.subqueries[i]);
	for (int i = 0; i < trial->leaves.ntables; i++)
		shoal_leaf_put_back(&trial->leaves.tables[i]);
	shoal_planning->moves = list_truncate(shoal_planning->moves, nmoves);
}

/* A subquery with nothing in it that would have to be moved is none to try. */
static bool
is_worth_trying(ShoalLeaves *leaves, ShoalLeaf *unit, ShoalLeaf *anchor)
{
	bool		any = false;

	if (!unit->movable || unit->is_inside || shoal_leaf_is_in(anchor, unit))
		return false;
	for (int i = 0; i < leaves->ntables; i++)
		any |= shoal_leaf_is_in(&leaves->tables[i], unit);
	return any;
}

/*
 * Tries an anchor, and then subqueries as wholes.  Leaves the best way of these
 * in *best and its cost in *limit if that is lower.  Whether there is a way.
 */
static bool
try_with_units(Trial *trial, ShoalLeaf *anchor, double *limit, ShoalLeaves *best)
{
	ShoalLeaves *leaves = &trial->leaves;
	int			nmoves = list_length(shoal_planning->moves);
	double		own = INFINITY;

	for (int i = 0; i < leaves->nsubqueries; i++)
		set_unit(leaves, &leaves->subqueries[i], false);
	for (int i = -1; i < leaves->nsubqueries; i++)
	{
		ShoalLeaf  *unit = i < 0 ? NULL : &leaves->subqueries[i];
		double		cost;

		if (unit)
		{
			if (own <= MOVE_START || has_tried_enough(trial, own) ||
				!is_worth_trying(leaves, unit, anchor))
				continue;
			forget_trials(trial, nmoves);
			find_size(trial, unit);
			set_unit(leaves, unit, true);
		}
		cost = try_anchor_ways(trial, anchor, limit, best);
		if (cost < own)
			own = cost;
		else if (unit)
			set_unit(leaves, unit, false);
	}
	forget_trials(trial, nmoves);
	return !isinf(own);
}

static bool
choose(Trial *trial)
{
	ShoalLeaves *leaves = &trial->leaves;
	ShoalLeaves *best = palloc(sizeof(ShoalLeaves));
	double		limit = 0;
	double		cost;

	for (int i = 0; i < leaves->ntables; i++)
	{
		if (!leaves->tables[i].is_local)
			limit += leaves->tables[i].size.bytes * PULL_FACTOR;
	}
	if (limit < shoal_move_threshold * 1024.0 * PULL_FACTOR && !leaves->writes)
		return false;
	if (shoal_move_threshold == 0 || leaves->writes)
		limit = INFINITY;
	cost = limit;
	for (int i = 0, tried = 0; i < leaves->ntables && tried < MAX_ANCHORS; i++)
	{
		ShoalLeaf  *anchor = &leaves->tables[i];

		if (anchor->is_local || (leaves->writes && !anchor->is_target) ||
			has_tried_enough(trial, cost))
			continue;
		tried += try_with_units(trial, anchor, &cost, best) ? 1 : 0;
	}
	if (cost < limit)
		memcpy(leaves, best, sizeof(ShoalLeaves));
	return cost < limit;
}

/* ---- results ---- */

static bool
is_spread(Query *query)
{
	ShoalAnalysis analysis;

	shoal_shape_analyze(query, &analysis);
	return analysis.whole.kind != SHOAL_SHAPE_NONE;
}

/*
 * A source that is not spread over shards, because its own tables are not joined
 * on their keys, may be so when steps have been taken out of it and rows, or
 * groups, have been moved for it.  If not, it is left as it is, to be computed here; false.
 */
static bool
spread_source(Query *source, ParamListInfo params)
{
	int			nmoves = list_length(shoal_planning->moves);
	int			nsteps = list_length(shoal_planning->steps);
	Query	   *copy;

	if (is_spread(source))
		return true;
	copy = copyObject(source);
	if ((shoal_regroup_levels(copy, params) && is_spread(copy)) ||
		(shoal_step_extract(copy, params) && is_spread(copy)) ||
		(shoal_spread_query(copy, params) && is_spread(copy)))
	{
		*source = *copy;
		return true;
	}
	shoal_planning->moves = list_truncate(shoal_planning->moves, nmoves);
	shoal_planning->steps = list_truncate(shoal_planning->steps, nsteps);
	return false;
}

static void
move_leaf(Trial *trial, ShoalLeaf *leaf)
{
	ShoalMove  *move;

	if (leaf->key == LEAF_STAYS)
		return;
	move = shoal_leaf_move(leaf, trial->leaves.writes);
	shoal_part_note_tables(move->source);
	if (leaf->subquery)
		(void) spread_source(move->source, trial->params);
	else if (leaf->reducer && !spread_source(move->source, trial->params))
	{
		leaf->reducer = NULL;
		move->source->jointree = shoal_leaf_source(leaf)->jointree;
		move->source->hasSubLinks = false;
	}
	if (leaf->distinct)
		shoal_distinct_move(move);
}

bool
shoal_spread_query(Query *query, ParamListInfo params)
{
	Trial	   *trial = palloc0(sizeof(Trial));
	ShoalLeaves *leaves = &trial->leaves;

	trial->query = query;
	trial->params = params;
	shoal_leaf_find(query, leaves);
	if (leaves->too_much || leaves->ntables < 2)
		return false;
	for (int i = 0; i < leaves->ntables; i++)
	{
		if (leaves->tables[i].movable &&
			!shoal_text_is_for_user(shoal_leaf_source(&leaves->tables[i])))
			return false;
	}
	for (int i = 0; i < leaves->ntables; i++)
		find_size(trial, &leaves->tables[i]);
	shoal_reduce_leaves(leaves, params);
	shoal_distinct_leaves(leaves, params);
	trial->nnodes = count_nodes(leaves);
	qsort(leaves->tables, leaves->ntables, sizeof(ShoalLeaf), compare_leaves);
	if (!choose(trial))
		return false;
	for (int i = 0; i < leaves->ntables; i++)
		move_leaf(trial, &leaves->tables[i]);
	for (int i = 0; i < leaves->nsubqueries; i++)
		move_leaf(trial, &leaves->subqueries[i]);
	return true;
}

bool
shoal_spread_rows(Query **rows, const ShoalTable *table, int key,
				  ParamListInfo params, bool always)
{
	ShoalLeaf	leaf = {0};
	ShoalAnalysis analysis;
	int			nmoves = list_length(shoal_planning->moves);
	ShoalMove  *move;
	ListCell   *lc;

	if (shoal_expr_reads_transition(*rows))
		return false;
	leaf.place = (Node **) rows;
	leaf.subquery = *rows;
	leaf.key = key;
	leaf.key_relid = table->relid;
	foreach(lc, (*rows)->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		if (!shoal_moved_is_movable(exprType((Node *) tle->expr)))
			return false;
		leaf.attnos = lappend_int(leaf.attnos, tle->resno);
	}
	if (!shoal_moved_is_plain(shoal_leaf_column(&leaf, key)->vartype))
		return false;
	(void) shoal_size_of_query(*rows, params, &leaf.size);
	leaf.moved = leaf.size;
	if (!always && leaf.size.bytes < shoal_move_threshold * 1024.0)
		return false;
	move = shoal_leaf_move(&leaf, false);
	(void) spread_source(move->source, params);
	shoal_shape_analyze(move->source, &analysis);
	if (always || analysis.whole.kind == SHOAL_SHAPE_SHARDED)
		return true;
	shoal_leaf_put_back(&leaf);
	shoal_planning->moves = list_truncate(shoal_planning->moves, nmoves);
	return false;
}
