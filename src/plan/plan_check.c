/*
 * plan_check.c
 *		Conditions of views, in the text of a write.
 *
 * When the rewriter has put the table of a security_barrier view in the view's
 * place, the view's condition is with the table's policies, which are not printed.
 * Unlike these the node does not know it; so it is put in front of WHERE.  There
 * it is no barrier.  That does no harm where the user may read the table.  Where
 * he may not, conditions of his that could tell him of rows which the view hides are
 * tested for the others only:
 *
 *		WHERE barrier AND k = 1 AND CASE WHEN barrier THEN 1 / n = 1 ELSE false END
 *
 * WITH CHECK OPTION:
 *
 * When the rewriter has put a view's table in its place, the view's conditions
 * stay as checks of the new row, which have no text in SQL.  What is evaluated
 * with the new row, after BEFORE triggers and at the same time as the checks, is
 * the RETURNING list: its first expression e becomes
 *
 *		CASE WHEN shoal.check_option(condition, 'view') THEN e END
 *
 * and the function raises the error.  (The error lacks the detail that shows the
 * row.)
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "rewrite/rowsecurity.h"
#include "utils/builtins.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "plan/plan_check.h"
#include "plan/plan_expr.h"
#include "plan/plan_owner.h"

PG_FUNCTION_INFO_V1(shoal_check_option);

/* shoal.check_option(condition, view): true, or an error. */
Datum
shoal_check_option(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || !PG_GETARG_BOOL(0))
		ereport(ERROR,
				(errcode(ERRCODE_WITH_CHECK_OPTION_VIOLATION),
				 errmsg("new row violates check option for view \"%s\"",
						PG_ARGISNULL(1) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(1)))));
	PG_RETURN_BOOL(true);
}

static bool
is_view_check(const WithCheckOption *check)
{
	return check->kind == WCO_VIEW_CHECK && check->qual != NULL;
}

bool
shoal_check_any(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->withCheckOptions)
	{
		if (is_view_check((WithCheckOption *) lfirst(lc)))
			return true;
	}
	return false;
}

static Expr *
make_check(const WithCheckOption *check)
{
	Oid			argtypes[2] = {BOOLOID, TEXTOID};
	Oid			funcid = shoal_expr_own_function("check_option", 2, argtypes);
	Const	   *view = makeConst(TEXTOID, -1, DEFAULT_COLLATION_OID, -1,
								 CStringGetTextDatum(check->relname), false,
								 false);

	return (Expr *) makeFuncExpr(funcid, BOOLOID,
								 list_make2(copyObject(check->qual), view),
								 InvalidOid, DEFAULT_COLLATION_OID,
								 COERCE_EXPLICIT_CALL);
}

Query *
shoal_check_fold(Query *query)
{
	List	   *checks = NIL;
	List	   *others = NIL;
	TargetEntry *first;
	CaseWhen   *when = makeNode(CaseWhen);
	CaseExpr   *result = makeNode(CaseExpr);
	ListCell   *lc;

	if (!shoal_check_any(query))
		return query;
	query = copyObject(query);
	foreach(lc, query->withCheckOptions)
	{
		WithCheckOption *check = (WithCheckOption *) lfirst(lc);

		if (is_view_check(check))
			checks = lappend(checks, make_check(check));
		else
			others = lappend(others, check);
	}
	query->withCheckOptions = others;
	if (query->returningList == NIL)
		query->returningList =
			list_make1(makeTargetEntry((Expr *) makeBoolConst(true, false), 1,
									   "checked", false));
	first = linitial(query->returningList);

	when->expr = make_ands_explicit(checks);
	when->result = first->expr;
	when->location = -1;
	result->casetype = exprType((Node *) first->expr);
	result->casecollid = exprCollation((Node *) first->expr);
	result->args = list_make1(when);
	result->defresult = (Expr *) makeNullConst(result->casetype,
											   exprTypmod((Node *) first->expr),
											   result->casecollid);
	result->location = -1;
	first->expr = (Expr *) result;
	return query;
}

/* The conditions on the target that are not its policies'. */
static List *
barrier_conditions(Query *query)
{
	RangeTblEntry *target = rt_fetch(query->resultRelation, query->rtable);
	List	   *policies = NIL;
	List	   *checks = NIL;
	bool		secured;
	bool		has_sublinks;

	if (target->securityQuals == NIL)
		return NIL;
	/* those of policies come first */
	if (shoal_objects_has_policies(target->relid))
		get_row_security_policies(query, target, query->resultRelation,
								  &policies, &checks, &secured, &has_sublinks);
	return list_copy_tail(target->securityQuals, list_length(policies));
}

/* Further conditions, of which those that may tell of hidden rows come after the barrier. */
static List *
behind_barrier(List *barrier, Node *conditions)
{
	List	   *result = NIL;
	List	   *leaky = NIL;
	CaseExpr   *behind;
	CaseWhen   *when;
	ListCell   *lc;

	foreach(lc, make_ands_implicit((Expr *) conditions))
	{
		if (barrier != NIL && contain_leaked_vars(lfirst(lc)))
			leaky = lappend(leaky, lfirst(lc));
		else
			result = lappend(result, lfirst(lc));
	}
	if (leaky == NIL)
		return result;
	when = makeNode(CaseWhen);
	when->expr = make_ands_explicit(copyObject(barrier));
	when->result = make_ands_explicit(leaky);
	when->location = -1;
	behind = makeNode(CaseExpr);
	behind->casetype = BOOLOID;
	behind->args = list_make1(when);
	behind->defresult = (Expr *) makeBoolConst(false, false);
	behind->location = -1;
	return lappend(result, behind);
}

Query *
shoal_check_lower_barrier(Query *query)
{
	List	   *conditions = barrier_conditions(query);
	bool		hides;
	RangeTblEntry *target;
	List	   *quals = NIL;
	ListCell   *lc;

	if (conditions == NIL)
		return query;
	if (query->commandType == CMD_MERGE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("MERGE through a security_barrier view is not supported over several nodes"),
				 errhint("Use UPDATE and INSERT.")));
	hides = shoal_owner_is_needed(query);
	query = copyObject(query);
	target = rt_fetch(query->resultRelation, query->rtable);
	conditions = list_copy_tail(target->securityQuals,
								list_length(target->securityQuals) -
								list_length(conditions));
	target->securityQuals = list_truncate(list_copy(target->securityQuals),
										  list_length(target->securityQuals) -
										  list_length(conditions));
	query->hasSubLinks |= checkExprHasSubLink((Node *) conditions);
	foreach(lc, conditions)
		quals = list_concat(quals, behind_barrier(hides ? quals : NIL, lfirst(lc)));
	quals = list_concat(quals, behind_barrier(hides ? quals : NIL,
											  query->jointree->quals));
	query->jointree->quals = (Node *) make_ands_explicit(quals);
	return query;
}
