/*
 * plan_assign.c
 *		Assignments to parts of columns: f[1] = 1, f[2] = 2, p.a = 3.
 *
 * The rewriter nests all that a statement assigns to parts of one column in
 * one expression; the deparser prints an expression's outermost assignment
 * only.  So before printing the nest is taken apart into what the user wrote,
 * one target for each part, and the node's rewriter builds it again.
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"

#include "plan/plan_assign.h"

/* What a single assignment starts from: the column, or NULL. */
static Expr *
base_of(Node *assignment)
{
	if (IsA(assignment, FieldStore))
		return ((FieldStore *) assignment)->arg;
	return ((SubscriptingRef *) assignment)->refexpr;
}

/* The assignments nested in an expression, first to last; NIL if it is none. */
static List *
take_apart(Node *node)
{
	List	   *parts;
	Expr	   *base;
	ListCell   *value;
	ListCell   *field;

	if (node && IsA(node, SubscriptingRef) &&
		((SubscriptingRef *) node)->refassgnexpr)
	{
		SubscriptingRef *ref = copyObject((SubscriptingRef *) node);

		parts = take_apart((Node *) ref->refexpr);
		if (parts != NIL)
			ref->refexpr = base_of(linitial(parts));
		return lappend(parts, ref);
	}
	if (node == NULL || !IsA(node, FieldStore))
		return NIL;

	parts = take_apart((Node *) ((FieldStore *) node)->arg);
	base = parts ? base_of(linitial(parts)) : ((FieldStore *) node)->arg;
	forboth(value, ((FieldStore *) node)->newvals,
			field, ((FieldStore *) node)->fieldnums)
	{
		FieldStore *store = makeNode(FieldStore);

		store->arg = base;
		store->newvals = list_make1(lfirst(value));
		store->fieldnums = list_make1_int(lfirst_int(field));
		store->resulttype = ((FieldStore *) node)->resulttype;
		parts = lappend(parts, store);
	}
	return parts;
}

/* The same of a column's new value, which a domain may be checked for. */
static List *
parts_of(Expr *expr)
{
	List	   *parts;
	ListCell   *lc;

	if (!expr || !IsA(expr, CoerceToDomain))
		return take_apart((Node *) expr);
	parts = take_apart((Node *) ((CoerceToDomain *) expr)->arg);
	foreach(lc, parts)
	{
		CoerceToDomain *coerce = makeNode(CoerceToDomain);

		*coerce = *(CoerceToDomain *) expr;
		coerce->arg = lfirst(lc);
		lfirst(lc) = coerce;
	}
	return parts;
}

bool
shoal_assign_any(List *targetlist)
{
	ListCell   *lc;

	foreach(lc, targetlist)
	{
		if (parts_of(lfirst_node(TargetEntry, lc)->expr) != NIL)
			return true;
	}
	return false;
}

List *
shoal_assign_split(List *targetlist)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, targetlist)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		List	   *parts = parts_of(tle->expr);
		ListCell   *part;

		if (list_length(parts) <= 1)
			result = lappend(result, tle);
		else
			foreach(part, parts)
			{
				TargetEntry *copy = flatCopyTargetEntry(tle);

				copy->expr = lfirst(part);
				result = lappend(result, copy);
			}
	}
	return result;
}
