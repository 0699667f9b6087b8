/*
 * plan_move.c
 *		UPDATE of the distribution column: rows move to another shard.
 *
 * The UPDATE is taken apart into a DELETE that returns the rows as they are to
 * be, and an INSERT of these rows, whose RETURNING is the UPDATE's.  Both are
 * planned as what they are and run in the UPDATE's transaction; a node's
 * connection gets its INSERT after its DELETE, so a key that is freed by the
 * statement can be taken by it.
 *
 * The same is done for an identity column that is GENERATED ALWAYS and set to DEFAULT:
 * the value is made here, and an UPDATE that is sent to a node can't set such a column.
 *
 * Rows leave a mark where they were (exec_leave.c), for others who wait for them.
 *
 * It shows where something looks at single rows: triggers would fire for other
 * events, actions of foreign keys would think that the row is gone, and
 * policies have other conditions for each command.  Such tables are left to
 * plan_fire.c, or else refused.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_type_d.h"
#include "commands/trigger.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "plan/plan_assign.h"
#include "plan/plan_expr.h"
#include "plan/plan_move.h"

static void
refuse(const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("updating the distribution column is not supported over several nodes"),
			 errdetail("It is done by moving rows: %s.", why),
			 errhint("Delete the rows and insert them again.")));
}

/* Is it an identity column that takes generated values only? */
static bool
is_identity_always(Oid relid, AttrNumber attno)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
										Int16GetDatum(attno));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for column %d of relation %u", attno, relid);
	result = ((Form_pg_attribute) GETSTRUCT(tuple))->attidentity == ATTRIBUTE_IDENTITY_ALWAYS;
	ReleaseSysCache(tuple);
	return result;
}

bool
shoal_move_is_needed(Query *query, List *targetlist, const ShoalTable *table)
{
	ListCell   *lc;

	foreach(lc, targetlist)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);
		Var		   *var = (Var *) shoal_expr_strip((Node *) tle->expr);

		if (tle->resjunk)
			continue;
		if (is_identity_always(table->relid, tle->resno))
			return true;
		for (int i = 0; i < table->nkeys; i++)
		{
			if (tle->resno == table->keyattr[i] &&
				!(IsA(var, Var) && var->varno == query->resultRelation &&
				  var->varattno == table->keyattr[i]))
				return true;
		}
	}
	return false;
}

static void
check_relation(Relation rel)
{
	TriggerDesc *triggers = rel->trigdesc;

	if (rel->rd_rel->relrowsecurity)
		refuse("the table has row-level security");
	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (!trigger->tgisinternal)
			refuse("the table has triggers");
		if (RI_FKey_trigger_type(trigger->tgfoid) == RI_TRIGGER_PK)
			refuse("foreign keys refer to the table");
	}
}

static void
check_query(Query *query)
{
	Bitmapset  *returned = pull_varnos(NULL, (Node *) query->returningList);

	if (shoal_assign_any(query->targetList))
		refuse("parts of columns are set");
	if (shoal_assign_is_multi(query->targetList))
		refuse("several columns are set by one subquery with volatile functions");
	if (checkExprHasSubLink((Node *) query->returningList) ||
		shoal_expr_returns_old_or_new((Node *) query->returningList) ||
		!bms_is_subset(returned, bms_make_singleton(query->resultRelation)))
		refuse("RETURNING has more than columns of the new row");
}

/* The table's row after the UPDATE: one entry per column that can be written. */
static List *
new_row(Query *query, Relation rel)
{
	List	   *row = NIL;

	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);
		TargetEntry *set = get_tle_by_resno(query->targetList, att->attnum);
		Expr	   *expr;

		if (att->attisdropped || att->attgenerated)
			continue;
		if (set && !set->resjunk)
			expr = copyObject(set->expr);
		else
			expr = (Expr *) makeVar(query->resultRelation, att->attnum,
									att->atttypid, att->atttypmod,
									att->attcollation, 0);
		row = lappend(row, makeTargetEntry(expr, att->attnum,
										   pstrdup(NameStr(att->attname)),
										   false));
	}
	return row;
}

/* CASE WHEN shoal.has_left(tableoid, ctid) THEN the first column END */
static void
leave_marks(List *row, Index target)
{
	TargetEntry *first = linitial_node(TargetEntry, row);
	Oid			argtypes[] = {OIDOID, TIDOID};
	Oid			funcid = shoal_expr_own_function("has_left", 2, argtypes);
	CaseExpr   *result = makeNode(CaseExpr);
	CaseWhen   *when = makeNode(CaseWhen);

	when->expr = (Expr *)
		makeFuncExpr(funcid, BOOLOID,
					 list_make2(shoal_expr_column(InvalidOid, target, TableOidAttributeNumber),
								shoal_expr_column(InvalidOid, target, SelfItemPointerAttributeNumber)),
					 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	when->result = first->expr;
	when->location = -1;
	result->casetype = exprType((Node *) first->expr);
	result->casecollid = exprCollation((Node *) first->expr);
	result->args = list_make1(when);
	result->defresult = (Expr *) makeNullConst(result->casetype, -1,
											   result->casecollid);
	result->location = -1;
	first->expr = (Expr *) result;
}

void
shoal_move_split(Query *query, Query **removal, Query **insertion)
{
	RangeTblEntry *target = rt_fetch(query->resultRelation, query->rtable);
	Relation	rel = RelationIdGetRelation(target->relid);
	List	   *targets = shoal_assign_single(query->targetList);
	List	   *row;
	ListCell   *lc;

	check_relation(rel);
	if (targets != NIL)
	{
		query = copyObject(query);
		query->targetList = targets;
	}
	check_query(query);
	row = new_row(query, rel);
	RelationClose(rel);

	*insertion = makeNode(Query);
	(*insertion)->commandType = CMD_INSERT;
	(*insertion)->canSetTag = query->canSetTag;
	target = copyObject(target);
	shoal_query_copy_permissions(*insertion, query, target);
	(*insertion)->rtable = list_make1(target);
	(*insertion)->resultRelation = 1;
	(*insertion)->jointree = makeFromExpr(NIL, NULL);
	(*insertion)->targetList = copyObject(row);
	(*insertion)->returningList = copyObject(query->returningList);
	ChangeVarNodes((Node *) (*insertion)->returningList, query->resultRelation,
				   1, 0);
	(*insertion)->withCheckOptions = copyObject(query->withCheckOptions);
	ChangeVarNodes((Node *) (*insertion)->withCheckOptions,
				   query->resultRelation, 1, 0);
	(*insertion)->hasSubLinks = query->hasSubLinks;

	*removal = copyObject(query);
	(*removal)->commandType = CMD_DELETE;
	(*removal)->targetList = NIL;
	(*removal)->withCheckOptions = NIL;
	foreach(lc, row)
		((TargetEntry *) lfirst(lc))->resno = foreach_current_index(lc) + 1;
	leave_marks(row, query->resultRelation);
	(*removal)->returningList = row;
}
