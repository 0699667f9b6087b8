/*
 * plan_conflict.c
 *		ON CONFLICT DO UPDATE with triggers that are fired by the coordinator.
 *
 * The row is inserted by a statement that does nothing if there is a conflict.
 * If it has done nothing, a query finds and locks the row that is in the way,
 * by the columns that the user has named, and works out what DO UPDATE makes of
 * it; then it is updated like any other (exec_fire.c).
 *
 * Where the conflict can't be looked for like that (a constraint is named, or
 * an index with a condition or an operator class), triggers fire on nodes.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_oper.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "base/base_compat.h"
#include "plan/plan_assign.h"
#include "plan/plan_conflict.h"
#include "plan/plan_expr.h"
#include "plan/plan_move.h"
#include "plan/plan_text.h"

static Form_pg_attribute
attribute(Relation rel, int attnum)
{
	return TupleDescAttr(RelationGetDescr(rel), attnum - 1);
}

/* Does it use a column of EXCLUDED that the node works out? */
static bool
uses_generated(OnConflictExpr *conflict, Relation rel)
{
	List	   *vars = pull_var_clause((Node *) list_make2(conflict->onConflictSet,
														   conflict->onConflictWhere),
									   PVC_RECURSE_PLACEHOLDERS);
	ListCell   *lc;

	foreach(lc, vars)
	{
		Var		   *var = (Var *) lfirst(lc);

		if (var->varno == conflict->exclRelIndex &&
			(var->varattno <= 0 || attribute(rel, var->varattno)->attgenerated))
			return true;
	}
	return false;
}

bool
shoal_conflict_is_possible(Query *query, const ShoalTable *table, Relation rel)
{
	OnConflictExpr *conflict = query->onConflict;
	ListCell   *lc;

	if (OidIsValid(conflict->constraint) || conflict->arbiterWhere != NULL ||
		table->kind == SHOAL_KIND_REFERENCE || rel->rd_rel->relrowsecurity ||
		shoal_move_is_needed(query, conflict->onConflictSet, table) ||
		shoal_assign_any(conflict->onConflictSet) ||
		shoal_assign_is_multi(conflict->onConflictSet) ||
		checkExprHasSubLink((Node *) conflict) ||
		shoal_expr_is_stuck((Node *) conflict, false) ||
		uses_generated(conflict, rel))
		return false;
	foreach(lc, conflict->arbiterElems)
	{
		InferenceElem *elem = (InferenceElem *) lfirst(lc);

		if (!IsA(elem, InferenceElem) || OidIsValid(elem->inferopclass) ||
			OidIsValid(elem->infercollid) ||
			!OidIsValid(lookup_type_cache(exprType(elem->expr), TYPECACHE_EQ_OPR)->eq_opr))
			return false;
	}
	foreach(lc, conflict->onConflictSet)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		if (!tle->resjunk &&
			attribute(rel, tle->resno)->attidentity == ATTRIBUTE_IDENTITY_ALWAYS)
			return false;
	}
	return true;
}

/* The row that was to be inserted, as a subquery of its values. */
static RangeTblEntry *
excluded_row(Relation rel, ShoalFire *fire)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	Query	   *query = makeNode(Query);
	List	   *names = NIL;
	int			n = list_length(fire->conflict_params);

	query->commandType = CMD_SELECT;
	query->jointree = makeFromExpr(NIL, NULL);
	for (int i = 1; i <= RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = attribute(rel, i);
		Node	   *value;

		if (list_member_int(fire->written, i))
			value = shoal_text_make_param(++n, att->atttypid, att->atttypmod,
										  att->attcollation);
		else
			value = (Node *) makeNullConst(INT4OID, -1, InvalidOid);
		query->targetList = lappend(query->targetList,
									makeTargetEntry((Expr *) value, i,
													psprintf("c%d", i), false));
		names = lappend(names, makeString(psprintf("c%d", i)));
	}
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = query;
	rte->alias = rte->eref = makeAlias("shoal_excluded", names);
	rte->inFromCl = true;
	return rte;
}

/* "table.a = row.a" */
static Node *
compare_to_row(Node *expr, int table, int row)
{
	Node	   *other = copyObject(expr);
	Oid			eq = lookup_type_cache(exprType(expr), TYPECACHE_EQ_OPR)->eq_opr;

	ChangeVarNodes(other, table, row, 0);
	return (Node *) make_opclause(eq, BOOLOID, false, (Expr *) copyObject(expr),
								  (Expr *) other, InvalidOid, exprCollation(expr));
}

static void
add_target(Query *select, Expr *expr)
{
	int			n = list_length(select->targetList) + 1;

	select->targetList = lappend(select->targetList,
								 makeTargetEntry(expr, n, psprintf("r%d", n), false));
}

/*
 * SELECT place, columns of the row, new values, condition FROM table, row WHERE
 * that is in the way FOR UPDATE OF table.
 */
static Query *
find_conflict(Query *query, Relation rel, ShoalFire *fire)
{
	OnConflictExpr *conflict = copyObject(query->onConflict);
	Query	   *select = makeNode(Query);
	RangeTblEntry *target = copyObject(rt_fetch(query->resultRelation,
												query->rtable));
	RangeTblRef *refs[2] = {makeNode(RangeTblRef), makeNode(RangeTblRef)};
	RowMarkClause *mark = makeNode(RowMarkClause);
	List	   *quals = NIL;
	ListCell   *lc;

	/* its entries are to be the first two */
	OffsetVarNodes((Node *) conflict->arbiterElems, 2, 0);
	ChangeVarNodes((Node *) conflict->arbiterElems, query->resultRelation + 2, 1, 0);
	OffsetVarNodes((Node *) conflict->onConflictSet, 2, 0);
	ChangeVarNodes((Node *) conflict->onConflictSet, query->resultRelation + 2, 1, 0);
	ChangeVarNodes((Node *) conflict->onConflictSet, conflict->exclRelIndex + 2, 2, 0);
	OffsetVarNodes(conflict->onConflictWhere, 2, 0);
	ChangeVarNodes(conflict->onConflictWhere, query->resultRelation + 2, 1, 0);
	ChangeVarNodes(conflict->onConflictWhere, conflict->exclRelIndex + 2, 2, 0);
	conflict = (OnConflictExpr *) shoal_text_externalize((Node *) conflict,
														 &fire->conflict_params, false);

	shoal_query_copy_permissions(select, query, target);
	target->inFromCl = true;
	select->commandType = CMD_SELECT;
	select->rtable = list_make2(target, excluded_row(rel, fire));
	for (int i = 0; i < 2; i++)
		refs[i]->rtindex = i + 1;
	add_target(select, (Expr *) shoal_expr_column(InvalidOid, 1, SelfItemPointerAttributeNumber));
	for (int i = 1; i <= RelationGetNumberOfAttributes(rel); i++)
	{
		if (!attribute(rel, i)->attisdropped)
			add_target(select, (Expr *) shoal_expr_column(RelationGetRelid(rel), 1, i));
	}
	foreach(lc, conflict->onConflictSet)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		if (tle->resjunk)
			continue;
		fire->set = lappend_int(fire->set, tle->resno);
		add_target(select, tle->expr);
	}
	add_target(select, conflict->onConflictWhere ? (Expr *) conflict->onConflictWhere :
			   (Expr *) makeBoolConst(true, false));
	foreach(lc, conflict->arbiterElems)
		quals = lappend(quals,
						compare_to_row(((InferenceElem *) lfirst(lc))->expr, 1, 2));
	select->jointree = makeFromExpr(list_make2(refs[0], refs[1]),
									(Node *) make_ands_explicit(quals));
	mark->rti = 1;
	mark->strength = LCS_FORNOKEYUPDATE;
	mark->waitPolicy = LockWaitBlock;
	select->rowMarks = list_make1(mark);
	select->hasForUpdate = true;
	return select;
}

void
shoal_conflict_describe(Query *query, Relation rel, ShoalFire *fire)
{
	fire->conflict_text = shoal_text_deparse(find_conflict(query, rel, fire));
}
