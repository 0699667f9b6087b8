/*
 * plan_upsert.c
 *		ON CONFLICT DO UPDATE that nodes can't do with each row by itself.
 *
 * If SET or WHERE calls functions of users, reads other shards, or sets the key,
 * the INSERT becomes a MERGE,
 *
 *		MERGE INTO target USING (rows) excluded ON columns of the conflict are equal
 *		WHEN MATCHED AND condition THEN UPDATE SET ...
 *		WHEN NOT MATCHED THEN INSERT ...
 *
 * which is taken apart (plan_merge_apart.c).  Its INSERT does nothing on conflict:
 * if somebody else has inserted such a row meanwhile, the statement ends with an
 * error that says so.
 *
 * What conflicts has to be told by columns.  A trigger BEFORE INSERT would have to
 * see the rows before it is known whether they conflict.
 */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/pg_type_d.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "base/base_compat.h"
#include "plan/plan_check.h"
#include "plan/plan_expr.h"
#include "plan/plan_move.h"
#include "plan/plan_query.h"
#include "plan/plan_shape.h"
#include "plan/plan_upsert.h"
#include "plan/plan_with.h"

typedef struct Upsert
{
	Query	   *query;			/* the INSERT */
	Relation	rel;
	int			depth;
	const char *why;			/* it can't be done */
} Upsert;

bool
shoal_upsert_is_needed(Query *query, const ShoalTable *table)
{
	OnConflictExpr *conflict = query->onConflict;
	const char *reason;
	Node	   *exprs;

	if (conflict == NULL || conflict->action != ONCONFLICT_UPDATE)
		return false;
	exprs = (Node *) list_make2(conflict->onConflictSet, conflict->onConflictWhere);
	return shoal_move_is_needed(query, conflict->onConflictSet, table) ||
		shoal_expr_is_stuck(exprs, false) ||
		(table->kind == SHOAL_KIND_REFERENCE &&
		 shoal_expr_is_volatile(exprs, false)) ||
		!shoal_shape_fits_row(query, exprs, &reason);
}

/* ---- what conflicts ---- */

/* The columns of a constraint's index, as a list of numbers.  The error is core's. */
static List *
index_columns(Oid indexid)
{
	Relation	index = index_open(indexid, AccessShareLock);
	List	   *attnos = NIL;

	if (index->rd_index->indisexclusion)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("ON CONFLICT DO UPDATE not supported with exclusion constraints")));
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		attnos = lappend_int(attnos, index->rd_index->indkey.values[i]);
	index_close(index, AccessShareLock);
	return attnos;
}

static List *
inferred_columns(Upsert *upsert)
{
	List	   *attnos = NIL;
	ListCell   *lc;

	foreach(lc, upsert->query->onConflict->arbiterElems)
	{
		InferenceElem *elem = lfirst_node(InferenceElem, lc);

		attnos = lappend_int(attnos,
							 IsA(elem->expr, Var) && !OidIsValid(elem->inferopclass) &&
							 !OidIsValid(elem->infercollid) ?
							 ((Var *) elem->expr)->varattno : 0);
	}
	return attnos;
}

static bool
has_nulls_not_distinct(Relation rel)
{
	bool		result = false;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		result |= index->rd_index->indnullsnotdistinct;
		index_close(index, AccessShareLock);
	}
	return result;
}

/* Numbers of the columns that must not be equal; NIL if it is not just that. */
static List *
conflicting_columns(Upsert *upsert)
{
	OnConflictExpr *conflict = upsert->query->onConflict;
	List	   *attnos = OidIsValid(conflict->constraint) ?
		index_columns(get_constraint_index(conflict->constraint)) :
		inferred_columns(upsert);
	ListCell   *lc;

	foreach(lc, attnos)
	{
		if (lfirst_int(lc) <= 0 ||
			TupleDescAttr(RelationGetDescr(upsert->rel),
						  lfirst_int(lc) - 1)->attgenerated)
			return NIL;
	}
	return conflict->arbiterWhere || has_nulls_not_distinct(upsert->rel) ? NIL : attnos;
}

static bool
has_before_insert(Relation rel)
{
	return rel->trigdesc && rel->trigdesc->trig_insert_before_row;
}

/* ---- expressions ---- */

/* A column of the row that is proposed, which is entry 2. */
static Expr *
proposed_column(Upsert *upsert, AttrNumber attno)
{
	Form_pg_attribute att;
	ListCell   *lc;

	foreach(lc, upsert->query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Node	   *expr = (Node *) tle->expr;

		if (tle->resno == attno)
			return (Expr *) makeVar(2, foreach_current_index(lc) + 1, exprType(expr),
									exprTypmod(expr), exprCollation(expr), 0);
	}
	if (attno <= 0 ||
		TupleDescAttr(RelationGetDescr(upsert->rel), attno - 1)->attgenerated)
	{
		upsert->why = "ON CONFLICT reads the whole proposed row, or a generated column of it";
		return (Expr *) makeNullConst(INT4OID, -1, InvalidOid);
	}
	att = TupleDescAttr(RelationGetDescr(upsert->rel), attno - 1);
	return (Expr *) makeNullConst(att->atttypid, att->atttypmod, att->attcollation);
}

static Node *
adapt_mutator(Node *node, Upsert *upsert)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && ((Var *) node)->varlevelsup == upsert->depth)
	{
		Var		   *var = copyObject((Var *) node);

		if (var->varno == upsert->query->onConflict->exclRelIndex)
		{
			Node	   *column = (Node *) proposed_column(upsert, var->varattno);

			IncrementVarSublevelsUp(column, upsert->depth, 0);
			return column;
		}
		var->varno = 1;
		var->varnosyn = 0;
		return (Node *) var;
	}
	if (IsA(node, Query))
	{
		Node	   *result;

		upsert->depth++;
		result = (Node *) query_tree_mutator((Query *) node, adapt_mutator,
											 (void *) upsert, 0);
		upsert->depth--;
		return result;
	}
	return expression_tree_mutator(node, adapt_mutator, (void *) upsert);
}

/* ---- the MERGE ---- */

static List *
make_actions(Upsert *upsert)
{
	OnConflictExpr *conflict = upsert->query->onConflict;
	MergeAction *update = makeNode(MergeAction);
	MergeAction *insert = makeNode(MergeAction);
	ListCell   *lc;

	shoal_merge_set_matched(update, true);
	update->commandType = CMD_UPDATE;
	update->qual = adapt_mutator(conflict->onConflictWhere, upsert);
	update->targetList = (List *) adapt_mutator((Node *) conflict->onConflictSet,
												upsert);
	shoal_merge_set_matched(insert, false);
	insert->commandType = CMD_INSERT;
	insert->override = upsert->query->override;
	foreach(lc, upsert->query->targetList)
	{
		TargetEntry *tle = flatCopyTargetEntry(lfirst_node(TargetEntry, lc));

		tle->expr = proposed_column(upsert, tle->resno);
		insert->targetList = lappend(insert->targetList, tle);
	}
	return list_make2(update, insert);
}

/* The columns are equal to what is proposed; notes the latter. */
static Node *
make_condition(Upsert *upsert, List *attnos, List **keys)
{
	List	   *quals = NIL;
	ListCell   *lc;

	foreach(lc, attnos)
	{
		Var		   *own = shoal_expr_column(RelationGetRelid(upsert->rel), 1,
											lfirst_int(lc));
		Expr	   *proposed = proposed_column(upsert, lfirst_int(lc));
		Oid			eq = lookup_type_cache(own->vartype, TYPECACHE_EQ_OPR)->eq_opr;

		*keys = lappend(*keys, proposed);
		quals = lappend(quals, make_opclause(eq, BOOLOID, false, (Expr *) own,
											 copyObject(proposed), InvalidOid,
											 own->varcollid));
	}
	return (Node *) make_ands_explicit(quals);
}

static Query *
make_merge(Upsert *upsert, Query *rows, List *attnos, List **keys)
{
	Query	   *query = upsert->query;
	Query	   *merge = makeNode(Query);
	RangeTblEntry *target = copyObject(rt_fetch(query->resultRelation,
												query->rtable));
	RangeTblRef *ref = makeNode(RangeTblRef);

	merge->commandType = CMD_MERGE;
	merge->canSetTag = query->canSetTag;
	merge->queryId = query->queryId;
	merge->stmt_location = query->stmt_location;
	merge->stmt_len = query->stmt_len;
	merge->hasRowSecurity = query->hasRowSecurity;
	merge->hasSubLinks = query->hasSubLinks;
	merge->hasRecursive = query->hasRecursive;
	/* its WITH queries are for ON CONFLICT, too */
	merge->cteList = rows->cteList;
	rows->cteList = NIL;
	rows->hasRecursive = false;
	shoal_with_lift((Node *) rows, -1);
	ChangeVarNodes((Node *) target->securityQuals, query->resultRelation, 1, 0);
	merge->rtable = list_make2(target, shoal_query_entry(rows, "excluded"));
	shoal_query_copy_permissions(merge, query, target);
	merge->resultRelation = 1;
	ref->rtindex = 2;
	merge->jointree = makeFromExpr(list_make1(ref), NULL);
	shoal_merge_set_condition(merge, 1, make_condition(upsert, attnos, keys));
	merge->mergeActionList = make_actions(upsert);
	merge->returningList = (List *) adapt_mutator((Node *) query->returningList,
												  upsert);
	shoal_query_copy_old_and_new(merge, query);
	return merge;
}

static OnConflictExpr *
make_inference(Query *query)
{
	OnConflictExpr *result = copyObject(query->onConflict);

	result->action = ONCONFLICT_NOTHING;
	result->onConflictSet = NIL;
	result->onConflictWhere = NULL;
	result->exclRelIndex = 0;
	result->exclRelTlist = NIL;
	ChangeVarNodes((Node *) result->arbiterElems, query->resultRelation, 1, 0);
	return result;
}

Query *
shoal_upsert_merge(Query *query, Query *rows, const ShoalTable *table,
				   ShoalUpsert *result, const char **why)
{
	Upsert		upsert = {query};
	Query	   *merge = NULL;
	List	   *attnos;

	upsert.rel = RelationIdGetRelation(table->relid);
	attnos = conflicting_columns(&upsert);
	if (attnos == NIL)
		upsert.why = "what conflicts is not told by columns of the table alone";
	else if (has_before_insert(upsert.rel))
		upsert.why = "a trigger sees rows before it is known whether they conflict";
	else if (shoal_check_any(query))
		upsert.why = "a view has a CHECK OPTION";
	else
	{
		merge = make_merge(&upsert, rows, attnos, &result->keys);
		result->inference = make_inference(query);
	}
	RelationClose(upsert.rel);
	*why = upsert.why;
	return upsert.why ? NULL : merge;
}
