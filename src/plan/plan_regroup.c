/*
 * plan_regroup.c
 *		Many groups: the nodes send each other what they have of them.
 *
 * "SELECT g, sum(x) FROM ... GROUP BY g" becomes
 *
 *		SELECT g, sum(s) FROM moved (g, s) GROUP BY g
 *
 * where the moved rows are those of "SELECT g, sum(x) FROM ... GROUP BY g" on each
 * node, sent to the shards to which g belongs if it is taken as a table's key.  A
 * group is then in one shard, and all that the query does with groups can be done
 * shard by shard.  Without that the groups would all be put together here, by one
 * process.
 *
 * Aggregates have to be such that SQL can compute them from those of parts: sums,
 * counts, least and greatest values and the like.  Those of DISTINCT values need
 * no parts: the moved rows are grouped by the values as well, and the aggregate is
 * computed as it stands.  If there is no GROUP BY, but DISTINCT values are counted,
 *
 *		SELECT count(DISTINCT x), sum(y) FROM ...
 *
 * is taken as SELECT count(x), sum(s) FROM (SELECT x, sum(y) AS s FROM ... GROUP BY
 * x), to whose subquery the above applies.  If nothing but one small column is moved,
 * nodes don't group it before: they leave out what they see twice while they
 * move it (shoal.scatter_distinct).
 */
#include "postgres.h"

#include "catalog/pg_aggregate.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_coerce.h"
#include "parser/parse_func.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "plan/plan_expr.h"
#include "plan/plan_moved.h"
#include "plan/plan_part.h"
#include "plan/plan_query.h"
#include "plan/plan_regroup.h"
#include "plan/plan_shape.h"
#include "plan/plan_size.h"
#include "plan/plan_split.h"
#include "plan/plan_text.h"

/* from so many groups on */
#define MANY_GROUPS		50000

/* What of the level is found in which column of the parts of groups. */
typedef struct Regroup
{
	List	   *groups;			/* expressions that the level groups by, then
								 * arguments of DISTINCT aggregates */
	int			ngroups;		/* of the former */
	List	   *aggs;			/* Aggrefs of the level that are in parts */
	List	   *first;			/* int list: the first column of each in parts */
	List	   *parts;			/* Aggrefs that nodes compute for parts */
	List	   *arguments;		/* of DISTINCT aggregates, all the same */
	bool		fails;
} Regroup;

/* ---- aggregates of parts ---- */

static Aggref *
make_agg(Oid aggfnoid, Oid type, Oid collation, Oid inputcollid, List *args,
		 List *argtypes)
{
	Aggref	   *agg = makeNode(Aggref);
	ListCell   *lc;

	agg->aggfnoid = aggfnoid;
	agg->aggtype = type;
	agg->aggcollid = collation;
	agg->inputcollid = inputcollid;
	agg->aggargtypes = argtypes;
	foreach(lc, args)
		agg->args = lappend(agg->args,
							makeTargetEntry(lfirst(lc),
											foreach_current_index(lc) + 1, NULL,
											false));
	agg->aggkind = AGGKIND_NORMAL;
	agg->aggno = agg->aggtransno = -1;
	agg->location = -1;
	return agg;
}

/* "sum(expr)", of a builtin type; as type, if that is given. */
static Node *
make_sum(Node *expr, Oid type)
{
	Oid			argtype = exprType(expr);
	Oid			aggfnoid = LookupFuncName(list_make2(makeString("pg_catalog"),
													 makeString("sum")),
										  1, &argtype, false);
	Node	   *sum = (Node *) make_agg(aggfnoid, get_func_rettype(aggfnoid),
										InvalidOid, InvalidOid, list_make1(expr),
										list_make1_oid(argtype));

	if (!OidIsValid(type))
		return sum;
	return coerce_to_target_type(NULL, sum, exprType(sum), type, -1,
								 COERCION_EXPLICIT, COERCE_EXPLICIT_CAST, -1);
}

typedef enum PartKind
{
	PART_NONE,					/* not from parts */
	PART_SAME,					/* the same aggregate, of those of the parts */
	PART_SUM,					/* their sum, as the type that the aggregate has */
	PART_AVG					/* sum of sums over sum of counts */
} PartKind;

static PartKind
kind_of_agg(Aggref *agg)
{
	if (agg->aggkind != AGGKIND_NORMAL || agg->aggorder || agg->agglevelsup != 0 ||
		agg->aggfnoid >= FirstNormalObjectId)
		return PART_NONE;
	switch (agg->aggfnoid)
	{
		case F_COUNT_:
		case F_COUNT_ANY:
		case F_SUM_INT2:
		case F_SUM_INT4:
		case F_SUM_INT8:
		case F_SUM_NUMERIC:
		case F_SUM_MONEY:
		case F_SUM_INTERVAL:
			return PART_SUM;
		case F_AVG_INT2:
		case F_AVG_INT4:
		case F_AVG_INT8:
		case F_AVG_NUMERIC:
			return PART_AVG;
		case F_BOOL_AND:
		case F_BOOL_OR:
		case F_EVERY:
		case F_BIT_AND_INT2:
		case F_BIT_AND_INT4:
		case F_BIT_AND_INT8:
		case F_BIT_OR_INT2:
		case F_BIT_OR_INT4:
		case F_BIT_OR_INT8:
			return PART_SAME;
		default:
			break;
	}
	/* least and greatest values, of whichever type */
	if (list_length(agg->args) == 1 &&
		(strcmp(get_func_name(agg->aggfnoid), "min") == 0 ||
		 strcmp(get_func_name(agg->aggfnoid), "max") == 0))
		return PART_SAME;
	return PART_NONE;
}

static void
add_part(Regroup *regroup, Aggref *agg)
{
	Aggref	   *part = copyObject(agg);

	regroup->aggs = lappend(regroup->aggs, agg);
	regroup->first = lappend_int(regroup->first, list_length(regroup->parts));
	if (kind_of_agg(agg) == PART_AVG)
	{
		Node	   *arg = (Node *) ((TargetEntry *) linitial(agg->args))->expr;
		Oid			any[1] = {ANYOID};
		Aggref	   *sum = (Aggref *) make_sum(copyObject(arg), InvalidOid);
		Oid			count = LookupFuncName(list_make2(makeString("pg_catalog"),
													  makeString("count")),
										   1, any, false);

		part = make_agg(count, INT8OID, InvalidOid, InvalidOid,
						list_make1(copyObject(arg)), list_make1_oid(exprType(arg)));
		sum->aggfilter = copyObject(agg->aggfilter);
		part->aggfilter = copyObject(agg->aggfilter);
		regroup->parts = lappend(regroup->parts, sum);
	}
	regroup->parts = lappend(regroup->parts, part);
}

static bool
is_pushable(Node *expr)
{
	return !shoal_expr_is_stuck(expr, false) &&
		!contain_volatile_functions(expr) && !checkExprHasSubLink(expr);
}

/* An aggregate of DISTINCT values stays; these are grouped by. */
static void
add_distinct(Regroup *regroup, Aggref *agg)
{
	List	   *arguments = NIL;
	ListCell   *lc;

	foreach(lc, agg->args)
		arguments = lappend(arguments, ((TargetEntry *) lfirst(lc))->expr);
	if (agg->aggkind != AGGKIND_NORMAL || agg->aggorder || agg->aggfilter ||
		agg->agglevelsup != 0 || arguments == NIL ||
		(regroup->arguments && !equal(regroup->arguments, arguments)))
		regroup->fails = true;
	regroup->arguments = arguments;
}

static bool
collect_walker(Node *node, Regroup *regroup)
{
	if (node == NULL || regroup->fails)
		return false;
	if (list_member(regroup->groups, node))
		return false;
	if (IsA(node, Aggref))
	{
		Aggref	   *agg = (Aggref *) node;

		if (!is_pushable(node))
			regroup->fails = true;
		else if (agg->aggdistinct)
			add_distinct(regroup, agg);
		else if (kind_of_agg(agg) == PART_NONE)
			regroup->fails = true;
		else if (!list_member(regroup->aggs, agg))
			add_part(regroup, agg);
		return false;
	}
	/* columns that depend on the groups: not here */
	if (IsA(node, Var) || IsA(node, SubLink) || IsA(node, GroupingFunc))
	{
		regroup->fails = true;
		return false;
	}
	return expression_tree_walker(node, collect_walker, (void *) regroup);
}

/* ---- the level over its parts ---- */

typedef struct ReplaceContext
{
	Regroup    *regroup;
	bool		counted;		/* DISTINCT values are grouped by: count them as
								 * they are */
} ReplaceContext;

static Var *
column_of(Node *like, int column)
{
	return makeVar(1, column, exprType(like), exprTypmod(like),
				   exprCollation(like), 0);
}

/* Without groups there may be no rows, of which the number is not NULL. */
static Node *
no_less_than_zero(Node *sum)
{
	CoalesceExpr *coalesce = makeNode(CoalesceExpr);

	coalesce->coalescetype = INT8OID;
	coalesce->args = list_make2(sum, makeConst(INT8OID, -1, InvalidOid,
											   sizeof(int64), Int64GetDatum(0),
											   false, FLOAT8PASSBYVAL));
	coalesce->location = -1;
	return (Node *) coalesce;
}

/* The aggregate, from those of the parts. */
static Node *
replace_agg(Regroup *regroup, Aggref *agg, bool counted)
{
	int			which = 0;
	int			column;
	ListCell   *lc;
	Node	   *part;
	Aggref	   *same;

	foreach(lc, regroup->aggs)
	{
		if (equal(lfirst(lc), agg))
			break;
		which++;
	}
	column = list_nth_int(regroup->first, which);
	part = (Node *) column_of(list_nth(regroup->parts, column),
							  list_length(regroup->groups) + column + 1);
	switch (kind_of_agg(agg))
	{
		case PART_SUM:
			part = make_sum(part, agg->aggtype);
			if (counted && (agg->aggfnoid == F_COUNT_ || agg->aggfnoid == F_COUNT_ANY))
				return no_less_than_zero(part);
			return part;
		case PART_AVG:
			{
				Node	   *count = (Node *) column_of(list_nth(regroup->parts,
																column + 1),
													   list_length(regroup->groups) + column + 2);

				return (Node *) makeFuncExpr(F_NUMERIC_DIV, NUMERICOID,
											 list_make2(make_sum(part, NUMERICOID),
														make_sum(count, NUMERICOID)),
											 InvalidOid, InvalidOid,
											 COERCE_EXPLICIT_CALL);
			}
		default:
			same = copyObject(agg);
			same->aggfilter = NULL;
			same->aggargtypes = list_make1_oid(exprType(part));
			same->args = list_make1(makeTargetEntry((Expr *) part, 1, NULL, false));
			return (Node *) same;
	}
}

static Node *
replace_mutator(Node *node, ReplaceContext *context)
{
	Regroup    *regroup = context->regroup;
	ListCell   *lc;

	if (node == NULL)
		return NULL;
	foreach(lc, regroup->groups)
	{
		if (equal(lfirst(lc), node))
			return (Node *) column_of(node, foreach_current_index(lc) + 1);
	}
	if (IsA(node, Aggref) && ((Aggref *) node)->aggdistinct == NIL)
		return replace_agg(regroup, (Aggref *) node, context->counted);
	node = expression_tree_mutator(node, replace_mutator, (void *) context);
	if (IsA(node, Aggref) && context->counted)
	{
		((Aggref *) node)->aggdistinct = NIL;
		foreach(lc, ((Aggref *) node)->args)
			((TargetEntry *) lfirst(lc))->ressortgroupref = 0;
	}
	return node;
}

/* Makes a query one over another, whose columns replace what it had. */
static void
put_over(Query *query, Query *below, Regroup *regroup, bool counted)
{
	ReplaceContext context = {regroup, counted};

	query->targetList = (List *) replace_mutator((Node *) query->targetList, &context);
	query->havingQual = replace_mutator(query->havingQual, &context);
	query->windowClause = (List *) replace_mutator((Node *) query->windowClause,
												   &context);
	query->hasSubLinks = false;
	shoal_split_put_over(query, shoal_query_entry(below, "groups"));
}

/* ---- parts of groups ---- */

/* "SELECT groups, exprs FROM ... GROUP BY groups"; NULL if that can't be. */
static Query *
grouped_query(Query *query, List *groups, List *exprs)
{
	ListCell   *lc;

	query->targetList = NIL;
	query->groupClause = NIL;
	foreach(lc, list_concat_copy(groups, exprs))
	{
		int			resno = foreach_current_index(lc) + 1;
		TargetEntry *tle = makeTargetEntry(copyObject(lfirst(lc)), resno,
										   psprintf("g%d", resno), false);

		if (!shoal_moved_is_movable(exprType((Node *) tle->expr)) ||
			(resno <= list_length(groups) &&
			 !shoal_split_group_by(query, resno, (Node *) tle->expr)))
			return NULL;
		if (resno <= list_length(groups))
			tle->ressortgroupref = resno;
		query->targetList = lappend(query->targetList, tle);
	}
	query->hasAggs = (exprs != NIL);
	return query;
}

/* What each node has of the groups: FROM and WHERE of the level, grouped. */
static Query *
parts_query(Query *query, Regroup *regroup)
{
	return grouped_query(shoal_split_bare_copy(query), regroup->groups,
						 regroup->parts);
}

/*
 * The group expression that can be taken as a table's key, from 1; 0: none.  Values
 * that are equal have to be the same for the hash function.
 */
static int
choose_key(Regroup *regroup, const ShoalTable *table)
{
	ListCell   *lc;
	int			ncolumns = list_length(regroup->groups);

	/* a group that is more than its DISTINCT values has to be on one node */
	if (regroup->ngroups > 0)
		ncolumns = regroup->ngroups;
	foreach(lc, regroup->groups)
	{
		Node	   *expr = lfirst(lc);
		Oid			collation = exprCollation(expr);

		if (foreach_current_index(lc) < ncolumns &&
			shoal_moved_is_plain(exprType(expr)) &&
			shoal_meta_hashable_as(table, 0, exprType(expr)) &&
			(!OidIsValid(collation) || get_collation_isdeterministic(collation)))
			return foreach_current_index(lc) + 1;
	}
	return 0;
}

/*
 * Whether nodes can tell by themselves, while they move values, which of them are the
 * same.  Their own HashAggregate costs more, but it finds all of them.  So not if
 * that matters: if there are more values than a node remembers, and they are there
 * often.
 */
static bool
can_be_seen(Query *parts, ParamListInfo params, double groups)
{
	Query	   *rows;
	ShoalSize	size;

	if (list_length(parts->targetList) != 1 || parts->hasAggs ||
		!get_typbyval(exprType((Node *) ((TargetEntry *) linitial(parts->targetList))->expr)))
		return false;
	if (groups <= shoal_moved_values_seen())
		return true;
	rows = copyObject(parts);
	rows->groupClause = NIL;
	return shoal_size_of_query(rows, params, &size) && groups >= size.rows / 2;
}

/* The moved parts, as a query with the same columns. */
static Query *
move_parts(Query *parts, const ShoalShape *shape, int key, double rows, bool distinct)
{
	Query	   *source = shoal_query_from(shoal_query_entry(parts, "parts"));
	List	   *attnos = list_make1_int(key);
	List	   *exprs = NIL;
	List	   *names = NIL;
	ShoalMove  *move;
	ListCell   *lc;

	foreach(lc, parts->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		names = lappend(names, makeString(tle->resname));
		if (tle->resno != key)
			attnos = lappend_int(attnos, tle->resno);
	}
	foreach(lc, attnos)
	{
		Var		   *var = makeVarFromTargetEntry(1, list_nth(parts->targetList,
															 lfirst_int(lc) - 1));

		exprs = lappend(exprs, copyObject(var));
		source->targetList =
			lappend(source->targetList,
					makeTargetEntry((Expr *) var, foreach_current_index(lc) + 1,
									strVal(list_nth(names, lfirst_int(lc) - 1)),
									false));
	}
	if (distinct)
	{
		parts->groupClause = NIL;
		((TargetEntry *) linitial(parts->targetList))->ressortgroupref = 0;
	}
	move = shoal_moved_add(source, shape->relid, rows);
	move->distinct = distinct;
	move->shape = palloc(sizeof(ShoalShape));
	*move->shape = *shape;
	return shoal_moved_query(move, attnos, exprs, names);
}

/* "SELECT groups, parts FROM moved GROUP BY groups", with the same columns again */
static Query *
join_parts(Query *moved, Regroup *regroup)
{
	Query	   *query = makeNode(Query);
	Regroup		same = *regroup;

	same.aggs = regroup->parts;
	same.first = NIL;
	for (int i = 0; i < list_length(regroup->parts); i++)
		same.first = lappend_int(same.first, i);
	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->jointree = makeFromExpr(NIL, NULL);
	if (grouped_query(query, regroup->groups, regroup->parts) == NULL)
		return NULL;
	put_over(query, moved, &same, false);
	return query;
}

/* ---- levels ---- */

static bool
is_on_one_node(const ShoalGroup *group)
{
	for (int i = 1; i < group->shard_count; i++)
	{
		if (group->primary[i] != group->primary[0])
			return false;
	}
	return true;
}

/* Expressions to group by, and parts of aggregates; false if that can't be. */
static bool
describe_level(Query *query, Regroup *regroup)
{
	ListCell   *lc;

	foreach(lc, query->groupClause)
	{
		Node	   *expr = get_sortgroupclause_expr(lfirst(lc), query->targetList);

		if (!is_pushable(expr))
			return false;
		regroup->groups = lappend(regroup->groups, expr);
	}
	regroup->ngroups = list_length(regroup->groups);
	collect_walker((Node *) query->targetList, regroup);
	collect_walker(query->havingQual, regroup);
	collect_walker((Node *) query->windowClause, regroup);
	if (regroup->fails || (regroup->groups == NIL && regroup->arguments == NIL))
		return false;
	foreach(lc, regroup->arguments)
	{
		if (!list_member(regroup->groups, lfirst(lc)))
			regroup->groups = lappend(regroup->groups, lfirst(lc));
	}
	return true;
}

/* Without GROUP BY, what is computed of DISTINCT values must not need the word. */
static bool
distinct_can_go_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Aggref) && ((Aggref *) node)->aggdistinct)
	{
		Aggref	   *agg = copyObject((Aggref *) node);

		agg->aggdistinct = NIL;
		return kind_of_agg(agg) == PART_NONE;
	}
	return expression_tree_walker(node, distinct_can_go_walker, context);
}

/* It reads one table only, which has not the rows for many groups. */
static bool
is_small(Query *query)
{
	RangeTblEntry *rte;
	const ShoalTable *table;

	if (shoal_move_threshold <= 0 || list_length(query->rtable) != 1)
		return false;
	rte = linitial(query->rtable);
	table = rte->rtekind == RTE_RELATION ? shoal_meta_table(rte->relid) : NULL;
	return table && table->kind == SHOAL_KIND_DISTRIBUTED &&
		shoal_size_most_rows(table) < MANY_GROUPS;
}

static bool
regroup_level(Query *query, ParamListInfo params)
{
	Regroup		regroup = {0};
	ShoalAnalysis analysis;
	const ShoalTable *table;
	ShoalSize	size;
	Query	   *parts;
	Query	   *below;
	int			key;

	if (!(query->groupClause || query->hasAggs) || query->groupingSets ||
		query->hasTargetSRFs || query->rowMarks || query->setOperations ||
		query->hasModifyingCTE || is_small(query) ||
		!describe_level(query, &regroup))
		return false;
	if (regroup.ngroups == 0 &&
		(distinct_can_go_walker((Node *) query->targetList, NULL) ||
		 distinct_can_go_walker(query->havingQual, NULL)))
		return false;
	shoal_shape_analyze(query, &analysis);
	if (analysis.whole.kind != SHOAL_SHAPE_NONE ||
		analysis.from.kind != SHOAL_SHAPE_SHARDED || analysis.from.single)
		return false;
	table = shoal_meta_table(analysis.from.relid);
	if (table->nkeys != 1 || is_on_one_node(shoal_meta_group(table->group_id)))
		return false;
	key = choose_key(&regroup, table);
	parts = parts_query(query, &regroup);
	if (key == 0 || parts == NULL ||
		!shoal_size_of_query(parts, params, &size) ||
		(size.rows < MANY_GROUPS && shoal_move_threshold > 0))
		return false;
	shoal_part_note_tables(parts);
	below = move_parts(parts, &analysis.from, key, size.rows,
					   can_be_seen(parts, params, size.rows));
	if (regroup.ngroups == 0)
		below = join_parts(below, &regroup);
	put_over(query, below, &regroup, regroup.ngroups == 0);
	return true;
}

static bool
regroup_levels(Query *query, ParamListInfo params)
{
	bool		any = false;

	if (list_length(query->jointree->fromlist) == 1 &&
		IsA(linitial(query->jointree->fromlist), RangeTblRef))
	{
		RangeTblRef *ref = linitial(query->jointree->fromlist);
		RangeTblEntry *rte = rt_fetch(ref->rtindex, query->rtable);

		if (rte->rtekind == RTE_SUBQUERY && !shoal_expr_reaches_out(rte->subquery))
			any = regroup_levels(rte->subquery, params);
	}
	return regroup_level(query, params) || any;
}

bool
shoal_regroup_levels(Query *query, ParamListInfo params)
{
	/* a node adds policies by itself, and a view's owner may have other rights */
	if (shoal_expr_has_policies(query) ||
		!shoal_text_is_for_user(query))
		return false;
	return regroup_levels(query, params);
}
