/*
 * plan_with.c
 *		WITH queries that write, over several nodes.
 *
 * Such a query is taken apart.  Its parts are the query itself, the WITH queries
 * that write, and those others that more than one part reads; the rest stay
 * WITH queries of the part that reads them.  Each part is planned as a statement
 * of its own, by whichever way it has.  A Shoal With node runs one after the
 * other and keeps their rows, which other parts read as the rows of
 * shoal.written_rows(): a subquery over that takes the place of the WITH
 * query's name.
 *
 * No part sees what another one has written, as all read with the snapshots that
 * are taken before the first one starts (exec_statement.c); RETURNING is what
 * tells of it.  Parts that the query reads are run before it, in the order of
 * the list, the others after it, the last one first: that is the order in which
 * one server would begin to run them.  But rows that refer to others are deleted
 * before these, since one server checks foreign keys when all are gone.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "plan/plan_expr.h"
#include "plan/plan_fragment.h"
#include "plan/plan_part.h"
#include "plan/plan_query.h"
#include "plan/plan_with.h"

ShoalWithPlanner shoal_with_part_planner = NULL;

/* A query under way; WITH queries are told by their positions in its list. */
typedef struct Apart
{
	Query	   *query;
	int			n;				/* WITH queries */
	Bitmapset **reads;			/* which each reads by its name; the query itself
								 * is the last one */
	Bitmapset  *parts;			/* those that are parts */
	char	  **names;			/* in the part that is being made */
	int			self;			/* the part itself, if it keeps its name there */
	int			base;			/* levels from its text to the query's list */
	bool		lift;			/* what it keeps goes into its own list */
	int			depth;
	int			base_number;	/* parts have the numbers above */
} Apart;

static CommonTableExpr *
nth_cte(const Apart *apart, int i)
{
	return list_nth(apart->query->cteList, i);
}

static bool
writes(const Apart *apart, int i)
{
	return ((Query *) nth_cte(apart, i)->ctequery)->commandType != CMD_SELECT;
}

/* Which WITH query of the list an entry names; -1: none of these. */
static int
named_cte(const Apart *apart, RangeTblEntry *rte)
{
	if (rte->rtekind != RTE_CTE || rte->ctelevelsup != apart->depth + apart->base)
		return -1;
	for (int i = 0; i < apart->n; i++)
	{
		if (strcmp(nth_cte(apart, i)->ctename, rte->ctename) == 0)
			return i;
	}
	return -1;
}

/* ---- who reads what ---- */

typedef struct ReadsContext
{
	Apart	   *apart;
	Bitmapset  *found;
} ReadsContext;

static bool
reads_walker(Node *node, ReadsContext *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		int			i = named_cte(context->apart, (RangeTblEntry *) node);

		if (i >= 0)
			context->found = bms_add_member(context->found, i);
		return false;
	}
	if (IsA(node, Query))
	{
		context->apart->depth++;
		query_tree_walker((Query *) node, reads_walker, (void *) context,
						  QTW_EXAMINE_RTES_BEFORE);
		context->apart->depth--;
		return false;
	}
	return expression_tree_walker(node, reads_walker, (void *) context);
}

static void
find_reads(Apart *apart)
{
	apart->reads = palloc0(sizeof(Bitmapset *) * (apart->n + 1));
	for (int i = 0; i <= apart->n; i++)
	{
		ReadsContext context = {apart, NULL};

		apart->base = i < apart->n ? 1 : 0;
		apart->depth = 0;
		query_tree_walker(i < apart->n ? (Query *) nth_cte(apart, i)->ctequery :
						  apart->query,
						  reads_walker, (void *) &context,
						  QTW_EXAMINE_RTES_BEFORE |
						  (i < apart->n ? 0 : QTW_IGNORE_CTE_SUBQUERIES));
		apart->reads[i] = context.found;
	}
}

/* What a part needs: WITH queries that are no parts, and parts at the end. */
static Bitmapset *
needs(const Apart *apart, int part)
{
	Bitmapset  *result = bms_copy(apart->reads[part]);
	bool		more = true;

	while (more)
	{
		int			i = -1;

		more = false;
		while ((i = bms_next_member(result, i)) >= 0)
		{
			if (bms_is_member(i, apart->parts) ||
				bms_is_subset(apart->reads[i], result))
				continue;
			result = bms_add_members(result, apart->reads[i]);
			more = true;
		}
	}
	return result;
}

/*
 * The WITH queries that write are parts, and so is what more than one part
 * reads: it is to be run once.
 */
static void
find_parts(Apart *apart)
{
	bool		more = true;

	for (int i = 0; i < apart->n; i++)
	{
		if (writes(apart, i))
			apart->parts = bms_add_member(apart->parts, i);
	}
	while (more)
	{
		Bitmapset  *seen = needs(apart, apart->n);
		int			part = -1;

		more = false;
		while (!more && (part = bms_next_member(apart->parts, part)) >= 0)
		{
			Bitmapset  *own = bms_del_member(needs(apart, part), part);
			Bitmapset  *shared = bms_difference(bms_intersect(own, seen),
												apart->parts);

			if (!bms_is_empty(shared))
			{
				apart->parts = bms_add_member(apart->parts,
											  bms_next_member(shared, -1));
				more = true;
			}
			seen = bms_add_members(seen, own);
		}
	}
}

/* ---- making the parts ---- */

static bool
lift_walker(Node *node, int *depth)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_CTE && rte->ctelevelsup == *depth)
			rte->ctelevelsup++;
		return false;
	}
	if (IsA(node, Query))
	{
		(*depth)++;
		query_tree_walker((Query *) node, lift_walker, (void *) depth,
						  QTW_EXAMINE_RTES_BEFORE);
		(*depth)--;
		return false;
	}
	return expression_tree_walker(node, lift_walker, (void *) depth);
}

RangeTblEntry *
shoal_with_entry(CommonTableExpr *cte, int levels)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_CTE;
	rte->ctename = pstrdup(cte->ctename);
	rte->ctelevelsup = levels;
	rte->coltypes = list_copy(cte->ctecoltypes);
	rte->coltypmods = list_copy(cte->ctecoltypmods);
	rte->colcollations = list_copy(cte->ctecolcollations);
	rte->eref = makeAlias(cte->ctename, copyObject(cte->ctecolnames));
	rte->inFromCl = true;
	return rte;
}

void
shoal_with_lift(Node *node, int depth)
{
	lift_walker(node, &depth);
}

/* "SELECT columns FROM shoal.written_rows(n) AS x(columns)" */
static Query *
make_rows_query(CommonTableExpr *cte, int number)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	Query	   *query = shoal_query_from(rte);
	RangeTblFunction *function = makeNode(RangeTblFunction);
	Oid			argtypes[1] = {INT4OID};
	FuncExpr   *call;
	ListCell   *lc;

	if (cte->ctecoltypes == NIL || !shoal_expr_are_sendable(cte->ctecoltypes))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("columns of WITH query \"%s\" cannot be read over several nodes",
						cte->ctename),
				 errhint("Leave out columns of type record.")));
	call = makeFuncExpr(shoal_expr_own_function("written_rows", 1, argtypes),
						RECORDOID,
						list_make1(makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
											 Int32GetDatum(number), false, true)),
						InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	call->funcretset = true;
	function->funcexpr = (Node *) call;
	function->funccolcount = list_length(cte->ctecolnames);
	function->funccolnames = copyObject(cte->ctecolnames);
	function->funccoltypes = list_copy(cte->ctecoltypes);
	function->funccoltypmods = list_copy(cte->ctecoltypmods);
	function->funccolcollations = list_copy(cte->ctecolcollations);
	rte->rtekind = RTE_FUNCTION;
	rte->inFromCl = true;
	rte->eref = makeAlias(cte->ctename, copyObject(cte->ctecolnames));
	rte->alias = makeAlias(cte->ctename, NIL);
	rte->functions = list_make1(function);

	foreach(lc, cte->ctecolnames)
	{
		int			i = foreach_current_index(lc);
		Var		   *var = makeVar(1, i + 1, list_nth_oid(cte->ctecoltypes, i),
								  list_nth_int(cte->ctecoltypmods, i),
								  list_nth_oid(cte->ctecolcollations, i), 0);

		query->targetList = lappend(query->targetList,
									makeTargetEntry((Expr *) var, i + 1,
													pstrdup(strVal(lfirst(lc))),
													false));
	}
	return query;
}

bool
shoal_with_is_rows(Query *query)
{
	RangeTblEntry *rte;
	FuncExpr   *call;

	if (query == NULL || query->commandType != CMD_SELECT ||
		list_length(query->rtable) != 1)
		return false;
	rte = linitial(query->rtable);
	if (rte->rtekind != RTE_FUNCTION || list_length(rte->functions) != 1)
		return false;
	call = (FuncExpr *) ((RangeTblFunction *) linitial(rte->functions))->funcexpr;
	return call && IsA(call, FuncExpr) &&
		get_func_namespace(call->funcid) == get_namespace_oid("shoal", true) &&
		strcmp(get_func_name(call->funcid), "written_rows") == 0;
}

static void
become_rows(RangeTblEntry *rte, CommonTableExpr *cte, int number)
{
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = make_rows_query(cte, number);
	rte->ctename = NULL;
	rte->ctelevelsup = 0;
	rte->self_reference = false;
	rte->coltypes = rte->coltypmods = rte->colcollations = NIL;
	if (rte->alias == NULL)
		rte->alias = copyObject(rte->eref);
}

/* References to the list in a part's text, in place. */
static bool
adapt_walker(Node *node, Apart *apart)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;
		int			i = named_cte(apart, rte);

		if (i < 0)
			return false;
		if (i != apart->self && bms_is_member(i, apart->parts))
			become_rows(rte, nth_cte(apart, i), apart->base_number + i + 1);
		else
		{
			rte->ctename = pstrdup(apart->names[i]);
			if (apart->lift)
				rte->ctelevelsup--;
		}
		return false;
	}
	if (IsA(node, Query))
	{
		apart->depth++;
		query_tree_walker((Query *) node, adapt_walker, (void *) apart,
						  QTW_EXAMINE_RTES_BEFORE);
		apart->depth--;
		return false;
	}
	return expression_tree_walker(node, adapt_walker, (void *) apart);
}

static void
adapt(Apart *apart, Query *query, int base, bool lift)
{
	apart->base = base;
	apart->lift = lift;
	apart->depth = 0;
	query_tree_walker(query, adapt_walker, (void *) apart,
					  QTW_EXAMINE_RTES_BEFORE);
}

/* A name that a list does not have. */
static char *
free_name(List *list, char *name)
{
	ListCell   *lc;

	foreach(lc, list)
	{
		if (strcmp(((CommonTableExpr *) lfirst(lc))->ctename, name) == 0)
			return free_name(list, psprintf("%s_", name));
	}
	return name;
}

/* Gives a part the WITH queries that it needs; adapts all of them. */
static void
add_needed(Apart *apart, Query *query, Bitmapset *needed, int base)
{
	List	   *added = NIL;
	int			i;

	apart->names = palloc0(sizeof(char *) * apart->n);
	for (i = -1; (i = bms_next_member(needed, i)) >= 0;)
		apart->names[i] = free_name(query->cteList, nth_cte(apart, i)->ctename);
	adapt(apart, query, base, base > 0);
	for (i = -1; (i = bms_next_member(needed, i)) >= 0;)
	{
		CommonTableExpr *cte;

		if (i != apart->self && bms_is_member(i, apart->parts))
			continue;
		cte = copyObject(nth_cte(apart, i));
		cte->ctename = apart->names[i];
		adapt(apart, (Query *) cte->ctequery, 1, false);
		query->hasRecursive |= cte->cterecursive;
		added = lappend(added, cte);
	}
	query->cteList = list_concat(added, query->cteList);
}

/* "SELECT * FROM name" */
static Query *
make_cte_query(CommonTableExpr *cte)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	Query	   *query = shoal_query_from(rte);
	ListCell   *lc;

	rte->rtekind = RTE_CTE;
	rte->ctename = cte->ctename;
	rte->inFromCl = true;
	rte->eref = makeAlias(cte->ctename, copyObject(cte->ctecolnames));
	rte->coltypes = list_copy(cte->ctecoltypes);
	rte->coltypmods = list_copy(cte->ctecoltypmods);
	rte->colcollations = list_copy(cte->ctecolcollations);
	foreach(lc, cte->ctecolnames)
	{
		int			i = foreach_current_index(lc);

		query->targetList = lappend(query->targetList,
									makeTargetEntry((Expr *)
													makeVar(1, i + 1,
															list_nth_oid(cte->ctecoltypes, i),
															list_nth_int(cte->ctecoltypmods, i),
															list_nth_oid(cte->ctecolcollations, i), 0),
													i + 1, strVal(lfirst(lc)), false));
	}
	return query;
}

/* The part's own query. */
static Query *
make_part(Apart *apart, int part)
{
	Bitmapset  *needed = needs(apart, part);
	Query	   *query;

	apart->self = -1;
	if (part == apart->n)
	{
		query = copyObject(apart->query);
		query->cteList = NIL;
		query->hasRecursive = false;
		add_needed(apart, query, needed, 0);
	}
	else if (writes(apart, part))
	{
		query = copyObject((Query *) nth_cte(apart, part)->ctequery);
		add_needed(apart, query, needed, 1);
	}
	else
	{
		/* as a WITH query still: it may be a recursive one */
		query = make_cte_query(nth_cte(apart, part));
		apart->self = part;
		add_needed(apart, query, bms_add_member(needed, part), 0);
	}
	if (part < apart->n)
		query->canSetTag = true;
	query->hasModifyingCTE = false;
	return query;
}

/* ---- the order ---- */

/* The table that a part deletes rows from, or InvalidOid. */
static Oid
deletes_from(const Apart *apart, int part)
{
	Query	   *query = part < apart->n ?
		castNode(Query, nth_cte(apart, part)->ctequery) : apart->query;

	if (query->commandType != CMD_DELETE)
		return InvalidOid;
	return rt_fetch(query->resultRelation, query->rtable)->relid;
}

static bool
refers_to(Oid relid, Oid other)
{
	Relation	rel = table_open(relid, AccessShareLock);
	bool		result = false;
	ListCell   *lc;

	foreach(lc, RelationGetFKeyList(rel))
		result |= ((ForeignKeyCacheInfo *) lfirst(lc))->confrelid == other;
	table_close(rel, NoLock);
	return result;
}

/*
 * Parts that delete rows which may refer to those that this one deletes: its
 * foreign keys are checked before the others' rows are gone, if it is run first.
 */
static Bitmapset *
referrers(const Apart *apart, int part)
{
	Oid			target = deletes_from(apart, part);
	Bitmapset  *result = NULL;

	for (int i = 0; OidIsValid(target) && i <= apart->n; i++)
	{
		Oid			other = i == apart->n || writes(apart, i) ?
			deletes_from(apart, i) : InvalidOid;

		if (OidIsValid(other) && other != target && refers_to(other, target))
			result = bms_add_member(result, i);
	}
	return result;
}

/* Does a part read one, by others, too, that itself waits for others? */
static bool
reads_waiting(const Apart *apart, int part, const Bitmapset *begun, List *order)
{
	Bitmapset  *needed = needs(apart, part);
	int			i = -1;

	while ((i = bms_next_member(needed, i)) >= 0)
	{
		if (i == part || !bms_is_member(i, apart->parts) || list_member_int(order, i))
			continue;
		if (bms_is_member(i, begun) || reads_waiting(apart, i, begun, order))
			return true;
	}
	return false;
}

/*
 * Appends a part after those that it reads, and, if they don't read it in turn,
 * those that delete rows which refer to its own.
 */
static void
add_in_order(const Apart *apart, int part, Bitmapset **begun, List **order)
{
	Bitmapset  *needed;
	int			i = -1;

	if (bms_is_member(part, *begun))
		return;
	*begun = bms_add_member(*begun, part);
	needed = needs(apart, part);
	while ((i = bms_next_member(needed, i)) >= 0)
	{
		if (bms_is_member(i, apart->parts))
			add_in_order(apart, i, begun, order);
	}
	needed = referrers(apart, part);
	i = -1;
	while ((i = bms_next_member(needed, i)) >= 0)
	{
		if (!reads_waiting(apart, i, *begun, *order))
			add_in_order(apart, i, begun, order);
	}
	*order = lappend_int(*order, part);
}

static List *
order_of_parts(const Apart *apart)
{
	List	   *order = NIL;
	Bitmapset  *begun = NULL;

	add_in_order(apart, apart->n, &begun, &order);
	for (int i = apart->n - 1; i >= 0; i--)
	{
		if (writes(apart, i))
			add_in_order(apart, i, &begun, &order);
	}
	return order;
}

/* ---- the plan ---- */

bool
shoal_with_is_needed(Query *query, const ShoalTables *tables)
{
	if (!query->hasModifyingCTE)
		return false;
	return tables->writes_in_with ||
		(query->commandType != CMD_SELECT &&
		 shoal_meta_table(rt_fetch(query->resultRelation, query->rtable)->relid));
}

/* The whole statement locks, checks and depends on what its parts do. */
static void
add_dependencies(PlannedStmt *stmt, PlannedStmt *part)
{
	ListCell   *lc;

	foreach(lc, part->rtable)
	{
		RangeTblEntry *rte = (RangeTblEntry *) lfirst(lc);
		void	   *permissions;

		if (rte->rtekind != RTE_RELATION)
			continue;
		permissions = shoal_plan_permissions(part, rte);
		rte = copyObject(rte);
		shoal_plan_add_rte(stmt, rte, permissions);
	}
	stmt->relationOids = list_concat(stmt->relationOids, part->relationOids);
	stmt->invalItems = list_concat(stmt->invalItems, part->invalItems);
	stmt->transientPlan |= part->transientPlan;
	stmt->dependsOnRole |= part->dependsOnRole;
}

static PlannedStmt *
make_statement(Query *query, List *parts, List *numbers, List *names)
{
	PlannedStmt *stmt = makeNode(PlannedStmt);
	ShoalPart	part = {0};
	ShoalPlanning planning = {0};
	CustomScan *cscan;
	List	   *colnames;
	List	   *types;
	List	   *typmods;
	List	   *collations;
	ListCell   *lc;

	shoal_part_columns(query->commandType == CMD_SELECT ?
					   query->targetList : query->returningList,
					   &colnames, &types, &typmods, &collations);
	planning.outer = shoal_planning;
	shoal_planning = &planning;
	stmt->rtable = list_make1(shoal_part_make_rte(&part, colnames, types,
												  typmods, collations));
	shoal_planning = planning.outer;
	cscan = shoal_part_make_scan(NULL, 1, colnames, types, typmods, collations);
	cscan->methods = GetCustomScanMethods(SHOAL_WITH, false);
	cscan->custom_private = list_make3(parts, numbers, names);
	foreach(lc, parts)
	{
		PlannedStmt *inner = lfirst_node(PlannedStmt, lc);

		cscan->scan.plan.total_cost += inner->planTree->total_cost;
		cscan->scan.plan.plan_rows = inner->planTree->plan_rows;
		add_dependencies(stmt, inner);
	}
	stmt->commandType = query->commandType;
	stmt->queryId = query->queryId;
	stmt->hasReturning = (query->returningList != NIL);
	stmt->hasModifyingCTE = true;
	stmt->canSetTag = query->canSetTag;
	stmt->planTree = (Plan *) cscan;
	stmt->stmt_location = query->stmt_location;
	stmt->stmt_len = query->stmt_len;
	return stmt;
}

PlannedStmt *
shoal_with_plan(Query *query, const char *query_string, int cursor_options,
				ParamListInfo params, int base_number)
{
	Apart		apart = {0};
	List	   *order;
	List	   *parts = NIL;
	List	   *numbers = NIL;
	List	   *names = NIL;
	ListCell   *lc;

	apart.query = query;
	apart.base_number = base_number;
	apart.n = list_length(query->cteList);
	find_reads(&apart);
	find_parts(&apart);
	order = order_of_parts(&apart);
	foreach(lc, order)
	{
		int			i = lfirst_int(lc);
		PlannedStmt *stmt = shoal_with_part_planner(make_part(&apart, i),
													query_string,
													cursor_options & ~CURSOR_OPT_SCROLL,
													params);

		parts = lappend(parts, stmt);
		numbers = lappend_int(numbers, i < apart.n ? base_number + i + 1 : 0);
		names = lappend(names, makeString(i < apart.n ?
										  nth_cte(&apart, i)->ctename : ""));
	}
	return make_statement(query, parts, numbers, names);
}
