/*
 * plan_assign.c
 *		Assignments to parts of columns: f[1] = 1, f[2] = 2, p.a = 3, and to
 *		several columns by one subquery: (b, a) = (SELECT ...).
 *
 * The rewriter nests all that a statement assigns to parts of one column in
 * one expression; the deparser prints an expression's outermost assignment
 * only.  So before printing the nest is taken apart into what the user wrote,
 * one target for each part, and the node's rewriter builds it again.
 *
 * The rewriter also sorts targets by their columns' numbers, and the deparser
 * takes it for granted that the columns set by one subquery come together and
 * in the order of its results.
 *
 * What sets generated columns only comes out of the rewriter without a target, and still
 * fires triggers and works the columns out anew.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/rel.h"

#include "base/base_compat.h"
#include "plan/plan_assign.h"
#include "plan/plan_query.h"

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

static bool
is_multi_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_MULTIEXPR)
		return true;
	return expression_tree_walker(node, is_multi_walker, context);
}

bool
shoal_assign_is_multi(List *targetlist)
{
	return is_multi_walker((Node *) targetlist, NULL);
}

/* "(SELECT column FROM (subquery) x)" */
static Node *
one_column(SubLink *sublink, int column)
{
	SubLink    *result = makeNode(SubLink);
	Query	   *inner = copyObject((Query *) sublink->subselect);
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	Query	   *query = shoal_query_from(rte);
	TargetEntry *target = list_nth_node(TargetEntry, inner->targetList, column - 1);
	Node	   *expr = (Node *) target->expr;
	Var		   *var = makeVar(1, column, exprType(expr), exprTypmod(expr),
							  exprCollation(expr), 0);
	ListCell   *lc;

	IncrementVarSublevelsUp((Node *) inner, 1, 1);
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = inner;
	rte->inFromCl = true;
	rte->eref = makeAlias("shoal_values", NIL);
	foreach(lc, inner->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!tle->resjunk)
			rte->eref->colnames = lappend(rte->eref->colnames,
										  makeString(psprintf("c%d", tle->resno)));
	}
	rte->alias = copyObject(rte->eref);
	query->targetList = list_make1(makeTargetEntry((Expr *) var, 1, "value", false));
	result->subLinkType = EXPR_SUBLINK;
	result->subselect = (Node *) query;
	result->location = -1;
	return (Node *) result;
}

static Node *
single_mutator(Node *node, List *targetlist)
{
	Param	   *param = (Param *) node;
	ListCell   *lc;

	if (node == NULL)
		return NULL;
	if (!IsA(node, Param) || param->paramkind != PARAM_MULTIEXPR)
		return expression_tree_mutator(node, single_mutator, (void *) targetlist);
	foreach(lc, targetlist)
	{
		SubLink    *sublink = (SubLink *) lfirst_node(TargetEntry, lc)->expr;

		if (sublink && IsA(sublink, SubLink) &&
			sublink->subLinkType == MULTIEXPR_SUBLINK &&
			sublink->subLinkId == param->paramid >> 16)
			return one_column(sublink, param->paramid & 0xFFFF);
	}
	elog(ERROR, "the subquery of an assignment is missing");
	return NULL;				/* not reached */
}

List *
shoal_assign_single(List *targetlist)
{
	List	   *result = NIL;
	ListCell   *lc;

	if (!shoal_assign_is_multi(targetlist))
		return targetlist;
	foreach(lc, targetlist)
	{
		TargetEntry *tle = flatCopyTargetEntry(lfirst_node(TargetEntry, lc));
		SubLink    *sublink = (SubLink *) tle->expr;

		if (sublink && IsA(sublink, SubLink) &&
			sublink->subLinkType == MULTIEXPR_SUBLINK)
		{
			if (contain_volatile_functions(sublink->subselect))
				return NIL;
			continue;
		}
		tle->expr = (Expr *) single_mutator((Node *) tle->expr, targetlist);
		result = lappend(result, tle);
	}
	return result;
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

/* ---- several columns by one subquery ---- */

/* The result of such a subquery that a target has as its value. */
static bool
multi_walker(Node *node, Param **found)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_MULTIEXPR)
	{
		*found = (Param *) node;
		return true;
	}
	return expression_tree_walker(node, multi_walker, (void *) found);
}

/* The subquery's number and, counted from 1, the result's. */
static bool
is_result(const TargetEntry *tle, int *subquery, int *number)
{
	Param	   *param = NULL;

	if (tle->resjunk)
		return false;
	(void) multi_walker((Node *) tle->expr, &param);
	if (param == NULL)
		return false;
	*subquery = param->paramid >> 16;
	*number = param->paramid & 0xFFFF;
	return true;
}

/* The targets set by one subquery, in the order of its results. */
static List *
results_of(List *targetlist, int subquery)
{
	List	   *results = NIL;
	bool		found = true;
	ListCell   *lc;

	for (int next = 1; found; next++)
	{
		found = false;
		foreach(lc, targetlist)
		{
			int			of;
			int			number;

			if (is_result(lfirst_node(TargetEntry, lc), &of, &number) &&
				of == subquery && number == next)
			{
				results = lappend(results, lfirst(lc));
				found = true;
			}
		}
	}
	return results;
}

/* The entry that holds such a subquery. */
static TargetEntry *
subquery_entry(List *targetlist, int subquery)
{
	ListCell   *lc;

	foreach(lc, targetlist)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		SubLink    *sublink = (SubLink *) tle->expr;

		if (tle->resjunk && sublink && IsA(sublink, SubLink) &&
			sublink->subLinkType == MULTIEXPR_SUBLINK &&
			sublink->subLinkId == subquery)
			return tle;
	}
	return NULL;
}

List *
shoal_assign_order(List *targetlist)
{
	List	   *targets = NIL;
	List	   *junk = NIL;
	ListCell   *lc;

	foreach(lc, targetlist)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		TargetEntry *entry;
		int			subquery;
		int			number;

		if (!is_result(tle, &subquery, &number))
		{
			if (!tle->resjunk)
				targets = lappend(targets, tle);
		}
		else if (!list_member_ptr(targets, tle))
		{
			targets = list_concat(targets, results_of(targetlist, subquery));
			entry = subquery_entry(targetlist, subquery);
			if (entry)
				junk = lappend(junk, entry);
		}
	}
	foreach(lc, targetlist)
	{
		if (lfirst_node(TargetEntry, lc)->resjunk)
			junk = list_append_unique_ptr(junk, lfirst(lc));
	}
	return list_concat(targets, junk);
}

static TargetEntry *
set_default(Form_pg_attribute att)
{
	SetToDefault *value = makeNode(SetToDefault);

	value->typeId = att->atttypid;
	value->typeMod = att->atttypmod;
	value->collation = att->attcollation;
	value->location = -1;
	return makeTargetEntry((Expr *) value, att->attnum, pstrdup(NameStr(att->attname)),
						   false);
}

List *
shoal_assign_any_at_all(Query *query, List *targetlist)
{
	RangeTblEntry *rte = rt_fetch(query->resultRelation, query->rtable);
	Bitmapset  *updated = shoal_rte_updated_cols(query, rte);
	Relation	rel;
	List	   *named = NIL;
	List	   *others = NIL;
	ListCell   *lc;

	foreach(lc, targetlist)
	{
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			return targetlist;
	}
	rel = table_open(rte->relid, NoLock);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (att->attisdropped || !att->attgenerated)
			continue;
		/* a MERGE says of all its actions together what they set */
		if (bms_is_member(att->attnum - FirstLowInvalidHeapAttributeNumber, updated))
			named = lappend(named, set_default(att));
		else
			others = lappend(others, set_default(att));
	}
	table_close(rel, NoLock);
	return list_concat(named ? named : others, targetlist);
}
