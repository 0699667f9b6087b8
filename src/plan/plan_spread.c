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
 * The way that moves least is taken, if it is less than what reading all tables
 * here would cost.
 *
 * The table that an UPDATE or DELETE changes stays, and what it is joined with is
 * moved to every node where need be, whatever it costs: there is no other way.
 *
 * Sizes are what the planner of a node thinks of a table's rows under the
 * conditions on it alone, which is a round trip for each table.
 *
 * Tables that only this node has are moved to the others like any other.
 */
#include "postgres.h"

#include <math.h>

#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/plancat.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "plan/plan_expr.h"
#include "plan/plan_moved.h"
#include "plan/plan_part.h"
#include "plan/plan_shape.h"
#include "plan/plan_spread.h"
#include "plan/plan_text.h"
#include "scope/scope.h"
#include "xact/xact.h"

/* tables of one query; with more, trying takes too long */
#define MAX_LEAVES		16

/* the largest so many are tried as the one that stays */
#define MAX_ANCHORS		3

/* where nothing is known */
#define GUESS_ROWS		100000
#define GUESS_WIDTH		50

/* bytes that a row takes besides its columns */
#define ROW_OVERHEAD	24

/* what moving costs besides its bytes, in bytes */
#define MOVE_START		50000

/* a byte read here costs so many bytes moved between nodes */
#define PULL_FACTOR		2.0

/* A table somewhere in the query. */
typedef struct Leaf
{
	RangeTblEntry *rte;
	RangeTblEntry saved;		/* as it was */
	Query	   *level;			/* whose range table it is in */
	int			varno;
	bool		movable;
	bool		is_target;		/* of a write */
	bool		is_local;		/* a table that only this node has */
	List	   *attnos;			/* int list: columns that are needed */
	List	   *quals;			/* conditions on it alone */
	double		bytes;			/* of the rows under them */
	double		rows;
	int			key;			/* as chosen: LEAF_STAYS, LEAF_EVERYWHERE, or
								 * the column that is the key */
	Oid			key_relid;		/* of which table */
} Leaf;

#define LEAF_STAYS		0
#define LEAF_EVERYWHERE	(-1)

typedef struct SpreadContext
{
	Leaf		leaves[MAX_LEAVES];
	int			nleaves;
	bool		too_much;		/* more than that, or something unusual */
	bool		inside;			/* of the query itself: its levels follow */
	bool		writes;			/* UPDATE or DELETE: has to run as a whole */
	int			nnodes;
} SpreadContext;

/* ---- the tables ---- */

static void find_leaves(Query *query, SpreadContext *context);

static bool
find_leaves_walker(Node *node, SpreadContext *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		find_leaves((Query *) node, context);
		return false;
	}
	return expression_tree_walker(node, find_leaves_walker, (void *) context);
}

static bool
outer_vars_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varlevelsup > 0;
	return expression_tree_walker(node, outer_vars_walker, context);
}

/* Temporary tables are printed without their schema, which has no fixed name. */
static bool
is_hidden_temporary(Oid relid)
{
	return get_rel_persistence(relid) == RELPERSISTENCE_TEMP &&
		RelnameGetRelid(get_rel_name(relid)) != relid;
}

static void
add_leaf(Query *query, int varno, List *above, SpreadContext *context)
{
	RangeTblEntry *rte = rt_fetch(varno, query->rtable);
	const ShoalTable *table;
	Leaf	   *leaf;
	ListCell   *lc;

	/* a node adds policies by itself, and what they read */
	if (rte->securityQuals ||
		(rte->rtekind == RTE_SUBQUERY && shoal_text_is_foreign_view(rte)))
		context->too_much = true;
	if (rte->rtekind != RTE_RELATION)
		return;
	table = shoal_meta_table(rte->relid);
	if (table && table->kind == SHOAL_KIND_REFERENCE)
		return;
	if (context->nleaves == MAX_LEAVES)
	{
		context->too_much = true;
		return;
	}
	leaf = &context->leaves[context->nleaves++];
	memset(leaf, 0, sizeof(Leaf));
	leaf->rte = rte;
	leaf->saved = *rte;
	leaf->level = query;
	leaf->varno = varno;
	leaf->is_local = (table == NULL);
	leaf->is_target = (varno == query->resultRelation);
	leaf->movable = (rte->tablesample == NULL && !leaf->is_target &&
					 !(leaf->is_local && is_hidden_temporary(rte->relid)));
	foreach(lc, above)
	{
		Node	   *qual = lfirst(lc);

		if (bms_equal(pull_varnos_of_level(NULL, qual, 0),
					  bms_make_singleton(varno)) &&
			!checkExprHasSubLink(qual) && !outer_vars_walker(qual, NULL) &&
			!contain_volatile_functions(qual) &&
			!shoal_expr_is_stuck(qual, false))
			leaf->quals = lappend(leaf->quals, qual);
	}
}

/* above: conditions that every row that counts in the end satisfies */
static void
add_leaves(Query *query, Node *jtnode, List *above, SpreadContext *context)
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
find_leaves(Query *query, SpreadContext *context)
{
	bool		top = !context->inside;
	ListCell   *lc;

	if ((query->commandType != CMD_SELECT && !(top && context->writes)) ||
		query->rowMarks || query->hasModifyingCTE)
		context->too_much = true;
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
	{
		query_tree_walker(query, find_leaves_walker, (void *) context, 0);
		return;
	}

	/* what is above FROM and WHERE of the query itself may stay here */
	find_leaves_walker((Node *) query->jointree, context);
	foreach(lc, query->cteList)
		find_leaves_walker(((CommonTableExpr *) lfirst(lc))->ctequery, context);
	range_table_walker(query->rtable, find_leaves_walker, (void *) context, 0);
}

/* ---- columns ---- */

typedef struct ColumnContext
{
	Leaf	   *leaf;
	List	   *levels;			/* Query *, innermost first, from the leaf's on */
} ColumnContext;

static bool
columns_walker(Node *node, ColumnContext *context)
{
	Leaf	   *leaf = context->leaf;

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
			if (var->varattno <= 0 || !shoal_moved_is_movable(var->vartype))
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
find_columns(Leaf *leaf)
{
	ColumnContext context = {leaf, NIL};

	columns_walker((Node *) leaf->level, &context);
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

static Var *
column_of(Leaf *leaf, int attno)
{
	Oid			type;
	int32		typmod;
	Oid			collation;

	get_atttypetypmodcoll(leaf->saved.relid, attno, &type, &typmod, &collation);
	return makeVar(1, attno, type, typmod, collation, 0);
}

/* The columns that travel, the key first. */
static List *
columns_in_order(Leaf *leaf)
{
	if (leaf->key <= 0)
		return leaf->attnos;
	return lcons_int(leaf->key, list_delete_int(list_copy(leaf->attnos),
												leaf->key));
}

/* "SELECT columns FROM table WHERE conditions on it alone" */
static Query *
source_query(Leaf *leaf)
{
	Query	   *query = makeNode(Query);
	RangeTblEntry *rte = copyObject(&leaf->saved);
	RangeTblRef *ref = makeNode(RangeTblRef);
	List	   *quals = copyObject(leaf->quals);
	ListCell   *lc;

	rte->inFromCl = true;
	query->commandType = CMD_SELECT;
	query->rtable = list_make1(rte);
	shoal_query_copy_permissions(query, leaf->level, rte);
	ref->rtindex = 1;
	ChangeVarNodes((Node *) quals, leaf->varno, 1, 0);
	query->jointree = makeFromExpr(list_make1(ref), quals ?
								   (Node *) make_ands_explicit(quals) : NULL);
	foreach(lc, columns_in_order(leaf))
		query->targetList = lappend(query->targetList,
									makeTargetEntry((Expr *) column_of(leaf, lfirst_int(lc)),
													foreach_current_index(lc) + 1,
													psprintf("c%d", foreach_current_index(lc) + 1),
													false));
	return query;
}

static void
put_back(Leaf *leaf)
{
	*leaf->rte = leaf->saved;
}

/* Puts moved rows in the table's place, as chosen. */
static ShoalMove *
put_moved(SpreadContext *context, Leaf *leaf)
{
	RangeTblEntry *rte = leaf->rte;
	Relation	rel = table_open(leaf->saved.relid, NoLock);
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *names = NIL;
	List	   *exprs = NIL;
	ShoalMove  *move;
	ListCell   *lc;

	put_back(leaf);
	foreach(lc, columns_in_order(leaf))
		exprs = lappend(exprs, column_of(leaf, lfirst_int(lc)));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		names = lappend(names, makeString(att->attisdropped ?
										  psprintf("dropped%d", i + 1) :
										  pstrdup(NameStr(att->attname))));
	}
	move = shoal_moved_add(source_query(leaf),
						   leaf->key > 0 ? leaf->key_relid : InvalidOid,
						   leaf->rows);
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = shoal_moved_query(move, columns_in_order(leaf), exprs,
									  names);

	/*
	 * When a write finds its row changed, it looks again at the row that it
	 * was joined with: core keeps that if it is a subquery's.
	 */
	if (context->writes)
		rte->subquery->limitOffset = (Node *)
			makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(0),
					  false, FLOAT8PASSBYVAL);
	rte->relid = InvalidOid;
	rte->relkind = 0;
	rte->rellockmode = 0;
	rte->inh = false;
	shoal_rte_clear_permissions(rte);
	table_close(rel, NoLock);
	return move;
}

/* Makes the query one with the leaf as it is chosen to be. */
static void
apply(SpreadContext *context, Leaf *leaf)
{
	if (leaf->key == LEAF_STAYS)
		put_back(leaf);
	else
		(void) put_moved(context, leaf);
}

/* ---- sizes ---- */

/* What a condition is when the values of parameters are known; NULL if not. */
static Node *
estimable(Node *qual, ParamListInfo params)
{
	PlannerGlobal glob = {.type = T_PlannerGlobal};
	PlannerInfo root = {.type = T_PlannerInfo};

	glob.boundParams = params;
	root.glob = &glob;
	qual = estimate_expression_value(&root, copyObject(qual));
	return shoal_expr_has_params(qual) ? NULL : qual;
}

/* A node that has shards of a group, with how many; not this one. */
static int
node_to_ask(const ShoalGroup *group, Bitmapset **shards)
{
	int			node_id = 0;

	*shards = NULL;
	for (int i = 0; i < group->shard_count; i++)
	{
		if (node_id == 0 && group->primary[i] != shoal_meta_local_node_id())
			node_id = group->primary[i];
		if (node_id != 0 && group->primary[i] == node_id)
			*shards = bms_add_member(*shards, i);
	}
	return node_id;
}

/* A table of this node, whatever the conditions. */
static void
estimate_local(Leaf *leaf)
{
	Relation	rel = table_open(leaf->saved.relid, NoLock);
	BlockNumber pages;
	double		rows = 0;
	double		allvisfrac;
	int			width = ROW_OVERHEAD;
	ListCell   *lc;

	if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
		estimate_rel_size(rel, NULL, &pages, &rows, &allvisfrac);
	table_close(rel, NoLock);
	leaf->rows = rows > 0 ? rows : GUESS_ROWS;
	foreach(lc, leaf->attnos)
	{
		Var		   *var = column_of(leaf, lfirst_int(lc));

		width += get_typavgwidth(var->vartype, var->vartypmod);
	}
	leaf->bytes = leaf->rows * width;
}

static void
estimate(Leaf *leaf, ParamListInfo params)
{
	const ShoalTable *table = shoal_meta_table(leaf->saved.relid);
	const ShoalGroup *group = shoal_meta_group(table->group_id);
	Bitmapset  *shards;
	int			node_id = node_to_ask(group, &shards);
	Query	   *query = source_query(leaf);
	List	   *quals = NIL;
	PGresult   *res;
	char	   *sql;
	char	   *found;
	int			width;
	ListCell   *lc;

	leaf->rows = GUESS_ROWS;
	leaf->bytes = (double) GUESS_ROWS * GUESS_WIDTH;
	if (node_id == 0)
		return;
	foreach(lc, make_ands_implicit((Expr *) query->jointree->quals))
	{
		Node	   *qual = estimable(lfirst(lc), params);

		if (qual)
			quals = lappend(quals, qual);
	}
	query->jointree->quals = quals ? (Node *) make_ands_explicit(quals) : NULL;
	sql = psprintf("%sEXPLAIN %s",
				   shoal_scope_marker(table->group_id, shards, false),
				   shoal_text_deparse(query));
	res = shoal_remote_query(shoal_xact_conn_outside(node_id), sql, NULL);
	found = PQntuples(res) > 0 ? strstr(PQgetvalue(res, 0, 0), " rows=") : NULL;
	if (found &&
		sscanf(found, " rows=%lf width=%d", &leaf->rows, &width) == 2)
	{
		leaf->rows = leaf->rows * group->shard_count / bms_num_members(shards);
		leaf->bytes = leaf->rows * (width + ROW_OVERHEAD);
	}
	PQclear(res);
}

static int
compare_leaves(const void *a, const void *b)
{
	double		left = ((const Leaf *) a)->bytes;
	double		right = ((const Leaf *) b)->bytes;

	return left < right ? 1 : left > right ? -1 : 0;
}

/* ---- choosing ---- */

/* Could the query, with what is moved, run on the nodes at least in part? */
static bool
is_right(Query *query, bool writes)
{
	ShoalAnalysis analysis;

	shoal_shape_analyze(query, &analysis);
	if (analysis.from.kind == SHOAL_SHAPE_SHARDED && !writes)
		return true;
	return analysis.whole.kind == SHOAL_SHAPE_SHARDED &&
		(query->sortClause == NIL || analysis.whole.single);
}

/* Would it be right to move the rows by one of their columns? */
static bool
try_keys(Query *query, SpreadContext *context, Leaf *leaf, Oid relid)
{
	const ShoalTable *table = shoal_meta_table(relid);
	ListCell   *lc;

	if (table->kind != SHOAL_KIND_DISTRIBUTED || table->nkeys != 1)
		return false;
	leaf->key_relid = relid;
	foreach(lc, leaf->attnos)
	{
		Oid			type = get_atttype(leaf->saved.relid, lfirst_int(lc));

		if (!shoal_moved_is_plain(type) ||
			!shoal_meta_hashable_as(table, 0, type))
			continue;
		leaf->key = lfirst_int(lc);
		apply(context, leaf);
		if (is_right(query, context->writes))
			return true;
	}
	return false;
}

static double
cost_of(SpreadContext *context)
{
	double		cost = 0;

	for (int i = 0; i < context->nleaves; i++)
	{
		Leaf	   *leaf = &context->leaves[i];

		if (leaf->key == LEAF_EVERYWHERE)
			cost += MOVE_START + leaf->bytes * (context->nnodes + 1) / 2;
		else if (leaf->key != LEAF_STAYS)
			cost += MOVE_START + leaf->bytes;
	}
	return cost;
}

/*
 * The cheapest way in which the anchor stays where it is; its cost, or
 * infinity.
 */
static double
try_anchor(Query *query, SpreadContext *context, Leaf *anchor)
{
	for (int i = 0; i < context->nleaves; i++)
	{
		Leaf	   *leaf = &context->leaves[i];

		leaf->key = leaf == anchor || !leaf->movable ? LEAF_STAYS :
			LEAF_EVERYWHERE;
		apply(context, leaf);
	}
	for (int i = 0; i < context->nleaves; i++)
	{
		Leaf	   *leaf = &context->leaves[i];

		if (leaf == anchor || !leaf->movable)
			continue;
		leaf->key = LEAF_STAYS;
		apply(context, leaf);
		if (is_right(query, context->writes))
			continue;
		if (context->nnodes > 1 && try_keys(query, context, leaf, anchor->saved.relid))
			continue;
		leaf->key = LEAF_EVERYWHERE;
		apply(context, leaf);
	}
	return is_right(query, context->writes) ? cost_of(context) : INFINITY;
}

static void
forget_trials(SpreadContext *context, int nmoves)
{
	for (int i = 0; i < context->nleaves; i++)
		put_back(&context->leaves[i]);
	shoal_planning->moves = list_truncate(shoal_planning->moves, nmoves);
}

/* Nodes that take part, at most. */
static int
count_nodes(SpreadContext *context)
{
	Bitmapset  *nodes = NULL;

	for (int i = 0; i < context->nleaves; i++)
	{
		const ShoalTable *table = shoal_meta_table(context->leaves[i].saved.relid);
		const ShoalGroup *group;

		if (table == NULL)
			continue;
		group = shoal_meta_group(table->group_id);
		for (int j = 0; j < group->shard_count; j++)
			nodes = bms_add_member(nodes, group->primary[j]);
	}
	return bms_num_members(nodes);
}

static bool
choose(Query *query, SpreadContext *context)
{
	Leaf		best[MAX_LEAVES];
	int			nmoves = list_length(shoal_planning->moves);
	double		best_cost = 0;
	bool		found = false;

	for (int i = 0; i < context->nleaves; i++)
	{
		if (!context->leaves[i].is_local)
			best_cost += context->leaves[i].bytes * PULL_FACTOR;
	}
	if (best_cost < shoal_move_threshold * 1024.0 * PULL_FACTOR &&
		!context->writes)
		return false;
	if (shoal_move_threshold == 0 || context->writes)
		best_cost = INFINITY;
	for (int i = 0, tried = 0; i < context->nleaves && tried < MAX_ANCHORS; i++)
	{
		double		cost;

		if (context->leaves[i].is_local ||
			(context->writes && !context->leaves[i].is_target))
			continue;
		tried++;
		cost = try_anchor(query, context, &context->leaves[i]);
		if (cost < best_cost)
		{
			memcpy(best, context->leaves, sizeof(best));
			best_cost = cost;
			found = true;
		}
	}
	forget_trials(context, nmoves);
	if (found)
		memcpy(context->leaves, best, sizeof(best));
	return found;
}

bool
shoal_spread_query(Query *query, ParamListInfo params)
{
	SpreadContext context = {0};

	context.writes = (query->commandType != CMD_SELECT);
	find_leaves(query, &context);
	if (context.too_much || context.nleaves < 2)
		return false;
	for (int i = 0; i < context.nleaves; i++)
	{
		find_columns(&context.leaves[i]);
		if (context.leaves[i].movable &&
			OidIsValid(shoal_text_owner(source_query(&context.leaves[i]))))
			return false;
	}
	for (int i = 0; i < context.nleaves; i++)
	{
		if (context.leaves[i].is_local)
			estimate_local(&context.leaves[i]);
		else
			estimate(&context.leaves[i], params);
	}
	context.nnodes = count_nodes(&context);
	qsort(context.leaves, context.nleaves, sizeof(Leaf), compare_leaves);
	if (!choose(query, &context))
		return false;
	for (int i = 0; i < context.nleaves; i++)
	{
		Leaf	   *leaf = &context.leaves[i];

		if (leaf->key != LEAF_STAYS)
			shoal_part_note_tables(put_moved(&context, leaf)->source);
	}
	return true;
}
