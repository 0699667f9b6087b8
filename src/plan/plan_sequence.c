/*
 * plan_sequence.c
 *		Sequences that give each value once in the whole cluster.
 *
 * Every node has every sequence, as it has every object, but only those of the
 * node with the lowest id are advanced.  On other nodes, and on that one if it
 * has to tell them, nextval(), written by the user or added as a default,
 * becomes a call of shoal.cluster_nextval() (xact_sequence.c), and setval() one of
 * shoal.cluster_setval().  So do currval() and lastval() (xact_currval.c).
 *
 * The value of an identity column needs no right on the column's sequence.  What tells
 * such a call, which core has no text for, from one that a user could write is its
 * collation.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "plan/plan_expr.h"
#include "plan/plan_sequence.h"
#include "xact/xact_health.h"

bool
shoal_sequence_is_elsewhere(void)
{
	const ShoalNode *first;

	if (shoal_meta_is_alone())
		return false;
	if (shoal_health_is_watched())
		return true;
	first = (const ShoalNode *) linitial(shoal_meta_nodes());
	return !first->is_local;
}

static Oid
cluster_nextval_function(void)
{
	Oid			argtype = REGCLASSOID;

	return shoal_expr_own_function("cluster_nextval", 1, &argtype);
}

bool
shoal_sequence_is_value(Node *node)
{
	return IsA(node, FuncExpr) && shoal_sequence_is_elsewhere() &&
		((FuncExpr *) node)->funcid == cluster_nextval_function();
}

static Node *
cluster_nextval(Node *sequence, bool identity)
{
	return (Node *) makeFuncExpr(cluster_nextval_function(), INT8OID, list_make1(sequence),
								 InvalidOid, identity ? C_COLLATION_OID : InvalidOid,
								 COERCE_EXPLICIT_CALL);
}

/* With its third argument. */
static Node *
cluster_setval(List *args)
{
	Oid			argtypes[] = {REGCLASSOID, INT8OID, BOOLOID};
	Oid			function;

	function = shoal_expr_own_function("cluster_setval", lengthof(argtypes), argtypes);
	if (list_length(args) < lengthof(argtypes))
		args = lappend(args, makeBoolConst(true, false));
	return (Node *) makeFuncExpr(function, INT8OID, args, InvalidOid,
								 InvalidOid, COERCE_EXPLICIT_CALL);
}

static Node *
own_call(const char *name, List *args)
{
	Oid			argtype = REGCLASSOID;

	return (Node *) makeFuncExpr(shoal_expr_own_function(name, list_length(args), &argtype),
								 INT8OID, copyObject(args), InvalidOid, InvalidOid,
								 COERCE_EXPLICIT_CALL);
}

static bool
is_setval(Node *node)
{
	return IsA(node, FuncExpr) &&
		(((FuncExpr *) node)->funcid == F_SETVAL_REGCLASS_INT8 ||
		 ((FuncExpr *) node)->funcid == F_SETVAL_REGCLASS_INT8_BOOL);
}

bool
shoal_sequence_is_moved_by(Node *node)
{
	Oid			function = IsA(node, FuncExpr) ? ((FuncExpr *) node)->funcid : InvalidOid;

	return IsA(node, NextValueExpr) || is_setval(node) || function == F_NEXTVAL ||
		function == F_CURRVAL || function == F_LASTVAL;
}

static Node *
rewrite_mutator(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, FuncExpr) && ((FuncExpr *) node)->funcid == F_NEXTVAL)
		return cluster_nextval(copyObject(linitial(((FuncExpr *) node)->args)), false);
	if (IsA(node, FuncExpr) && ((FuncExpr *) node)->funcid == F_CURRVAL)
		return own_call("cluster_currval", ((FuncExpr *) node)->args);
	if (IsA(node, FuncExpr) && ((FuncExpr *) node)->funcid == F_LASTVAL)
		return own_call("cluster_lastval", NIL);
	if (is_setval(node))
		return cluster_setval((List *) expression_tree_mutator((Node *) ((FuncExpr *) node)->args,
															   rewrite_mutator,
															   context));
	if (IsA(node, NextValueExpr))
	{
		NextValueExpr *next = (NextValueExpr *) node;
		Node	   *value;

		if (get_rel_persistence(next->seqid) == RELPERSISTENCE_TEMP)
			return node;
		value = cluster_nextval((Node *) makeConst(REGCLASSOID, -1, InvalidOid,
												   sizeof(Oid),
												   ObjectIdGetDatum(next->seqid),
												   false, true),
								true);
		if (next->typeId == INT4OID)
			value = (Node *) makeFuncExpr(F_INT4_INT8, INT4OID, list_make1(value),
										  InvalidOid, InvalidOid,
										  COERCE_EXPLICIT_CAST);
		else if (next->typeId == INT2OID)
			value = (Node *) makeFuncExpr(F_INT2_INT8, INT2OID, list_make1(value),
										  InvalidOid, InvalidOid,
										  COERCE_EXPLICIT_CAST);
		return value;
	}
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, rewrite_mutator,
										   context, 0);
	return expression_tree_mutator(node, rewrite_mutator, context);
}

Node *
shoal_sequence_rewrite_expr(Node *node)
{
	return rewrite_mutator(node, NULL);
}

Query *
shoal_sequence_rewrite(Query *query)
{
	return query_tree_mutator(query, rewrite_mutator, NULL, 0);
}
