/*
 * plan_place.c
 *		What tells a row of a distributed table from all others.
 *
 * A ctid alone does not, as rows of several shards have the same.  With the
 * distribution key it does.  The text of both can be compared anywhere; so
 *
 *		DELETE FROM t WHERE ctid IN (SELECT ctid FROM t ... LIMIT n)
 *
 * and "ctid = ANY (ARRAY(SELECT ctid ...))", by which rows are written in
 * portions, compare these texts.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type_d.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/base_compat.h"
#include "plan/plan_expr.h"
#include "plan/plan_place.h"
#include "plan/plan_tableoid.h"
#include "plan/plan_text.h"

Expr *
shoal_place_text(List *args)
{
	RowExpr    *row = makeNode(RowExpr);

	row->args = args;
	row->row_typeid = RECORDOID;
	row->row_format = COERCE_EXPLICIT_CALL;
	for (int i = 0; i < list_length(args); i++)
		row->colnames = lappend(row->colnames,
								makeString(psprintf("f%d", i + 1)));
	row->location = -1;
	return shoal_expr_text_of((Expr *) row);
}

Expr *
shoal_place_make(const ShoalTable *table, Relation rel, Index varno)
{
	Oid			relid = table->relid;
	List	   *args = NIL;

	if (table->kind == SHOAL_KIND_REFERENCE)
		return shoal_expr_text_of((Expr *)
								  makeVar(varno, 0, get_rel_type_id(relid), -1,
										  InvalidOid, 0));
	for (int i = 0; i < table->nkeys; i++)
		args = lappend(args, shoal_expr_column(relid, varno, table->keyattr[i]));
	args = lappend(args, shoal_expr_column(relid, varno,
										   SelfItemPointerAttributeNumber));
	/* in one shard of a table that is partitioned itself, ctids are not unique */
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE &&
		!shoal_text_is_hashed(relid))
		args = lappend(args,
					   shoal_tableoid_column(shoal_expr_column(relid, varno,
															   TableOidAttributeNumber)));
	return shoal_place_text(args);
}

/* ---- ctids that are compared ---- */

typedef struct PlaceContext
{
	Index		target;
	const ShoalTable *table;
	Relation	rel;
	bool		replaces;		/* else: only looks */
	bool		found;
} PlaceContext;

static bool
is_ctid(Node *node)
{
	return node != NULL && IsA(node, Var) && ((Var *) node)->varlevelsup == 0 &&
		((Var *) node)->varattno == SelfItemPointerAttributeNumber;
}

/* The only column of the subquery, if it is the ctid of the same table. */
static TargetEntry *
ctid_of_subquery(SubLink *sublink, const PlaceContext *context)
{
	Query	   *query = (Query *) sublink->subselect;
	TargetEntry *tle = linitial_node(TargetEntry, query->targetList);
	RangeTblEntry *rte;

	if (!is_ctid((Node *) tle->expr) || tle->ressortgroupref != 0 ||
		query->setOperations || query->distinctClause || query->groupClause ||
		query->groupingSets)
		return NULL;
	rte = rt_fetch(((Var *) tle->expr)->varno, query->rtable);
	return rte->rtekind == RTE_RELATION && rte->relid == context->table->relid ?
		tle : NULL;
}

/* "ctid = something" with ctid in front, as an OpExpr or ScalarArrayOpExpr says */
static bool
compares_ctid(Oid operator, List *args, const PlaceContext *context)
{
	return operator == TIDEqualOperator && is_ctid(linitial(args)) &&
		((Var *) linitial(args))->varno == context->target;
}

static void
replace_column(TargetEntry *tle, PlaceContext *context)
{
	tle->expr = shoal_place_make(context->table, context->rel,
								 ((Var *) tle->expr)->varno);
}

static void
replace_in(SubLink *sublink, PlaceContext *context)
{
	OpExpr	   *test = (OpExpr *) sublink->testexpr;
	Param	   *param;
	TargetEntry *tle;

	if (sublink->subLinkType != ANY_SUBLINK || !IsA(test, OpExpr) ||
		!compares_ctid(test->opno, test->args, context) ||
		!IsA(lsecond(test->args), Param) ||
		(tle = ctid_of_subquery(sublink, context)) == NULL)
		return;
	context->found = true;
	if (!context->replaces)
		return;
	replace_column(tle, context);
	param = copyObject(lsecond_node(Param, test->args));
	param->paramtype = TEXTOID;
	param->paramcollid = C_COLLATION_OID;
	sublink->testexpr = (Node *)
		make_opclause(TextEqualOperator, BOOLOID, false,
					  shoal_place_make(context->table, context->rel, context->target),
					  (Expr *) param, InvalidOid, C_COLLATION_OID);
	((OpExpr *) sublink->testexpr)->opfuncid = F_TEXTEQ;
}

static void
replace_any(ScalarArrayOpExpr *any, PlaceContext *context)
{
	SubLink    *sublink = (SubLink *) lsecond(any->args);
	TargetEntry *tle;

	if (!compares_ctid(any->opno, any->args, context) || !IsA(sublink, SubLink) ||
		sublink->subLinkType != ARRAY_SUBLINK ||
		(tle = ctid_of_subquery(sublink, context)) == NULL)
		return;
	context->found = true;
	if (!context->replaces)
		return;
	replace_column(tle, context);
	any->opno = TextEqualOperator;
	any->opfuncid = F_TEXTEQ;
	any->inputcollid = C_COLLATION_OID;
	linitial(any->args) = shoal_place_make(context->table, context->rel,
										   context->target);
}

static bool
place_walker(Node *node, PlaceContext *context)
{
	if (node == NULL || IsA(node, Query))
		return false;
	if (IsA(node, SubLink))
		replace_in((SubLink *) node, context);
	else if (IsA(node, ScalarArrayOpExpr))
		replace_any((ScalarArrayOpExpr *) node, context);
	return expression_tree_walker(node, place_walker, (void *) context);
}

Query *
shoal_place_replace(Query *query, const ShoalTable *table, Relation rel)
{
	PlaceContext context = {query->resultRelation, table, rel};

	if ((query->commandType != CMD_UPDATE && query->commandType != CMD_DELETE) ||
		table->kind != SHOAL_KIND_DISTRIBUTED)
		return query;
	(void) place_walker((Node *) query->jointree, &context);
	if (!context.found)
		return query;
	query = copyObject(query);
	context.replaces = true;
	(void) place_walker((Node *) query->jointree, &context);
	return query;
}
