/*
 * plan_ctid.c
 *		The system column ctid of distributed tables.
 *
 * Users see shoal.ctid_of(tableoid, ctid), which is another one for each row of the
 * table (scope_ctid.c).  Nodes can't look for rows by that; so where it is compared
 * with what is known before rows are read they are told as well what the ctid must
 * be in whichever shard it is:
 *
 *		shoal.ctid_of(tableoid, ctid) = $1 AND
 *		ctid = shoal.ctid_in_shard($1, number of shards)
 *
 * and where one shard does all of a statement that writes rows by the ctids that a
 * subquery has found, ctids are compared as they are.
 *
 * What Shoal itself needs a row's ctid for, within one shard, is added after users'
 * have been replaced.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type_d.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"

#include "base/base_compat.h"
#include "plan/plan_ctid.h"
#include "plan/plan_expr.h"

/* ---- what users see ---- */

static int
shard_count(const ShoalTable *table)
{
	return table && table->kind == SHOAL_KIND_DISTRIBUTED ?
		shoal_meta_group(table->group_id)->shard_count : 1;
}

Expr *
shoal_ctid_column(Var *ctid, const ShoalTable *table)
{
	Oid			argtypes[] = {OIDOID, TIDOID};
	Var		   *tableoid;

	if (shard_count(table) <= 1)
		return (Expr *) copyObject(ctid);
	tableoid = shoal_expr_column(InvalidOid, ctid->varno, TableOidAttributeNumber);
	tableoid->varlevelsup = ctid->varlevelsup;
	return (Expr *) makeFuncExpr(shoal_expr_own_function("ctid_of", 2, argtypes), TIDOID,
								 list_make2(tableoid, copyObject(ctid)),
								 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

Var *
shoal_ctid_of_column(Node *node)
{
	Var		   *var;

	if (node == NULL || !shoal_expr_is_ctid_of(node))
		return NULL;
	var = (Var *) lsecond(((FuncExpr *) node)->args);
	return IsA(var, Var) ? var : NULL;
}

/* ---- looking for rows by it ---- */

typedef struct NarrowContext
{
	List	   *queries;		/* Query nodes from the innermost outwards */
	bool		one_shard;		/* all of the query is about one shard */
} NarrowContext;

/* "ctid = shoal.ctid_in_shard(value, number of shards)", with ANY for an array */
static Node *
make_narrow(Var *ctid, Node *value, int count, bool is_array)
{
	Oid			argtypes[] = {is_array ? TIDARRAYOID : TIDOID, INT4OID};
	Node	   *place = (Node *)
		makeFuncExpr(shoal_expr_own_function("ctid_in_shard", 2, argtypes), argtypes[0],
					 list_make2(copyObject(value),
								makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
										  Int32GetDatum(count), false, true)),
					 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	ScalarArrayOpExpr *any;

	if (!is_array)
		return (Node *) make_opclause(TIDEqualOperator, BOOLOID, false,
									  (Expr *) copyObject(ctid), (Expr *) place,
									  InvalidOid, InvalidOid);
	any = makeNode(ScalarArrayOpExpr);
	any->opno = TIDEqualOperator;
	any->useOr = true;
	any->args = list_make2(copyObject(ctid), place);
	any->location = -1;
	return (Node *) any;
}

static Node *narrow_mutator(Node *node, NarrowContext *context);

/* A value that does not depend on rows, and is the same however often it is worked out. */
static bool
is_known(Node *node)
{
	return !contain_var_clause(node) && !contain_volatile_functions(node) &&
		!checkExprHasSubLink(node);
}

/* The comparison with a condition that finds rows by it; itself if there is none. */
static Node *
narrow(Node *test, Oid operator, List *args, bool is_array, NarrowContext *context)
{
	Node	   *left = linitial(args);
	Node	   *right = lsecond(args);
	Var		   *ctid = shoal_ctid_of_column(left);
	RangeTblEntry *rte;

	if (ctid == NULL && !is_array)
	{
		ctid = shoal_ctid_of_column(right);
		right = left;
	}
	if (ctid == NULL || operator != TIDEqualOperator || !is_known(right) ||
		ctid->varlevelsup >= list_length(context->queries))
		return test;
	rte = rt_fetch(ctid->varno,
				   ((Query *) list_nth(context->queries, ctid->varlevelsup))->rtable);
	if (rte->rtekind != RTE_RELATION)
		return test;
	return (Node *) make_andclause(list_make2(test,
											  make_narrow(ctid, right,
														  shard_count(shoal_meta_table(rte->relid)),
														  is_array)));
}

/* The subquery's only column if that is a ctid. */
static TargetEntry *
ctid_of_subquery(SubLink *sublink)
{
	Query	   *query = (Query *) sublink->subselect;
	TargetEntry *tle = linitial_node(TargetEntry, query->targetList);

	return query->setOperations == NULL && shoal_ctid_of_column((Node *) tle->expr) ?
		tle : NULL;
}

/* In one shard: "ctid = a subquery's ctid", in the first of some arguments and the subquery. */
static void
compare_as_they_are(List *args, SubLink *sublink)
{
	Var		   *ctid = shoal_ctid_of_column(linitial(args));
	TargetEntry *tle = ctid_of_subquery(sublink);

	if (ctid == NULL || tle == NULL)
		return;
	linitial(args) = ctid;
	tle->expr = (Expr *) shoal_ctid_of_column((Node *) tle->expr);
}

static Node *
narrow_sublink(SubLink *sublink, NarrowContext *context)
{
	/* what its rows are compared with is printed along with it */
	sublink = copyObject(sublink);
	if (context->one_shard && sublink->subLinkType == ANY_SUBLINK &&
		IsA(sublink->testexpr, OpExpr))
		compare_as_they_are(((OpExpr *) sublink->testexpr)->args, sublink);
	sublink->subselect = narrow_mutator(sublink->subselect, context);
	return (Node *) sublink;
}

static Node *
narrow_any(ScalarArrayOpExpr *any, NarrowContext *context)
{
	SubLink    *sublink = (SubLink *) lsecond(any->args);

	if (!IsA(sublink, SubLink) || sublink->subLinkType != ARRAY_SUBLINK)
		return narrow((Node *) any, any->opno, any->args, true, context);
	any = copyObject(any);
	if (context->one_shard)
		compare_as_they_are(any->args, (SubLink *) lsecond(any->args));
	lsecond(any->args) = narrow_mutator(lsecond(any->args), context);
	return (Node *) any;
}

static Node *
narrow_mutator(Node *node, NarrowContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, OpExpr) && list_length(((OpExpr *) node)->args) == 2)
		return narrow(node, ((OpExpr *) node)->opno, ((OpExpr *) node)->args, false,
					  context);
	if (IsA(node, ScalarArrayOpExpr) && ((ScalarArrayOpExpr *) node)->useOr)
		return narrow_any((ScalarArrayOpExpr *) node, context);
	if (IsA(node, SubLink))
		return narrow_sublink((SubLink *) node, context);
	if (IsA(node, Query))
	{
		Node	   *result;

		context->queries = lcons(node, context->queries);
		result = (Node *) query_tree_mutator((Query *) node, narrow_mutator,
											 (void *) context, 0);
		context->queries = list_delete_first(context->queries);
		return result;
	}
	return expression_tree_mutator(node, narrow_mutator, (void *) context);
}

static bool
has_ctid_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (shoal_expr_is_ctid_of(node))
		return true;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, has_ctid_walker, context, 0);
	return expression_tree_walker(node, has_ctid_walker, context);
}

Query *
shoal_ctid_narrow(Query *query, bool one_shard)
{
	NarrowContext context = {NIL, one_shard};

	if (!has_ctid_walker((Node *) query, NULL))
		return query;
	return (Query *) narrow_mutator((Node *) query, &context);
}
