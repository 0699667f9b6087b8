/*
 * base_compat.c
 *		What differs between versions and is too long for base_compat.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/sysattr.h"
#include "access/transam.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type_d.h"
#include "commands/copyfrom_internal.h"
#include "commands/vacuum.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "utils/syscache.h"

#include "base/base_compat.h"

#if PG_VERSION_NUM >= 180000

static bool
flatten_groups_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		ListCell   *lc;

		if (query->hasGroupRTE && query->groupingSets == NIL)
		{
			query->targetList = (List *)
				flatten_group_exprs(NULL, query, (Node *) query->targetList);
			query->havingQual =
				flatten_group_exprs(NULL, query, query->havingQual);
			query->hasGroupRTE = false;
			foreach(lc, query->rtable)
			{
				RangeTblEntry *rte = (RangeTblEntry *) lfirst(lc);

				/* others refer to entries by number, so one has to stay */
				if (rte->rtekind == RTE_GROUP)
				{
					rte->rtekind = RTE_RESULT;
					rte->groupexprs = NIL;
				}
			}
		}
		return query_tree_walker(query, flatten_groups_walker, context, 0);
	}
	return expression_tree_walker(node, flatten_groups_walker, context);
}

void
shoal_query_flatten_groups(Query *query)
{
	flatten_groups_walker((Node *) query, NULL);
}

int
shoal_query_group_rti(Query *query)
{
	if (query->hasGroupRTE)
	{
		for (int rti = 1; rti <= list_length(query->rtable); rti++)
		{
			if (rt_fetch(rti, query->rtable)->rtekind == RTE_GROUP)
				return rti;
		}
	}
	return 0;
}

/* ---- old and new rows of views ---- */

typedef struct OldNewContext
{
	List	   *queries;		/* Query nodes from the innermost outwards */
} OldNewContext;

/* CASE WHEN the row is there THEN expression END */
static Node *
show_old_or_new(ReturningExpr *returning, const Query *query)
{
	CaseExpr   *result = makeNode(CaseExpr);
	CaseWhen   *when = makeNode(CaseWhen);
	NullTest   *test = makeNode(NullTest);
	Var		   *row = makeVar(query->resultRelation, TableOidAttributeNumber, OIDOID,
							  -1, InvalidOid, returning->retlevelsup);
	Expr	   *expr = returning->retexpr;
	Expr	   *null = (Expr *) makeNullConst(exprType((Node *) expr),
											  exprTypmod((Node *) expr),
											  exprCollation((Node *) expr));

	/* most statements have no choice */
	if (query->commandType == CMD_UPDATE ||
		(query->commandType == CMD_DELETE && returning->retold) ||
		(query->commandType == CMD_INSERT && !returning->retold))
		return (Node *) expr;
	if (query->commandType == CMD_DELETE ||
		(query->commandType == CMD_INSERT &&
		 (!query->onConflict || query->onConflict->action != ONCONFLICT_UPDATE)))
		return (Node *) null;
	row->varreturningtype = returning->retold ? VAR_RETURNING_OLD : VAR_RETURNING_NEW;
	test->arg = (Expr *) row;
	test->nulltesttype = IS_NOT_NULL;
	test->location = -1;
	when->expr = (Expr *) test;
	when->result = expr;
	when->location = -1;
	result->casetype = exprType((Node *) expr);
	result->casecollid = exprCollation((Node *) expr);
	result->args = list_make1(when);
	result->defresult = null;
	result->location = -1;
	return (Node *) result;
}

static Node *
old_and_new_mutator(Node *node, OldNewContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, ReturningExpr))
	{
		ReturningExpr *returning = (ReturningExpr *)
			expression_tree_mutator(node, old_and_new_mutator, (void *) context);

		return show_old_or_new(returning,
							   list_nth(context->queries, returning->retlevelsup));
	}
	if (IsA(node, Query))
	{
		Node	   *result;

		context->queries = lcons(node, context->queries);
		result = (Node *) query_tree_mutator((Query *) node, old_and_new_mutator,
											 (void *) context, 0);
		context->queries = list_delete_first(context->queries);
		return result;
	}
	return expression_tree_mutator(node, old_and_new_mutator, (void *) context);
}

static bool
has_old_or_new_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, ReturningExpr))
		return true;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, has_old_or_new_walker, context, 0);
	return expression_tree_walker(node, has_old_or_new_walker, context);
}

Query *
shoal_query_show_old_and_new(Query *query)
{
	OldNewContext context = {NIL};

	if (!has_old_or_new_walker((Node *) query, NULL))
		return query;
	return (Query *) old_and_new_mutator((Node *) query, &context);
}

void
shoal_var_move_group(Var *var, int rti)
{
	var->varno = rti;
	if (var->varnullingrels)
		var->varnullingrels = bms_make_singleton(rti);
}

#endif

uint64
shoal_rel_file_number(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	uint64		result = 0;

	if (HeapTupleIsValid(tuple))
	{
		result = ((Form_pg_class) GETSTRUCT(tuple))->relfilenode;
		ReleaseSysCache(tuple);
	}
	return result;
}

bool
shoal_set_statistics_target(VacAttrStats *stats, Oid relid, Form_pg_attribute att)
{
#if PG_VERSION_NUM >= 170000
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
										Int16GetDatum(att->attnum));
	Datum		value;
	bool		isnull = true;

	if (!HeapTupleIsValid(tuple))
		return false;
	value = SysCacheGetAttr(ATTNUM, tuple, Anum_pg_attribute_attstattarget, &isnull);
	stats->attstattarget = isnull ? -1 : DatumGetInt16(value);
	ReleaseSysCache(tuple);
	return stats->attstattarget != 0;
#else
	/* typanalyze functions put the default into it */
	stats->attr = palloc(ATTRIBUTE_FIXED_PART_SIZE);
	memcpy(stats->attr, att, ATTRIBUTE_FIXED_PART_SIZE);
	return att->attstattarget != 0;
#endif
}

void
shoal_update_relstats(Relation rel, BlockNumber pages, double rows)
{
#if PG_VERSION_NUM >= 180000
	vac_update_relstats(rel, pages, rows, 0, 0, rel->rd_rel->relhasindex,
						InvalidTransactionId, InvalidMultiXactId, NULL, NULL, true);
#else
	vac_update_relstats(rel, pages, rows, 0, rel->rd_rel->relhasindex,
						InvalidTransactionId, InvalidMultiXactId, NULL, NULL, true);
#endif
}

ExprState **
shoal_copy_default(struct CopyFromStateData *cstate, int column)
{
#if PG_VERSION_NUM >= 160000
	return &cstate->defexprs[column];
#else
	/* those of columns that are left out, in their order */
	for (int i = 0; i < cstate->num_defaults; i++)
	{
		if (cstate->defmap[i] == column)
			return &cstate->defexprs[i];
	}
	return NULL;
#endif
}

#if PG_VERSION_NUM >= 170000

bool
shoal_copy_skips(struct CopyFromStateData *cstate)
{
	if (cstate->opts.on_error == COPY_ON_ERROR_STOP ||
		!cstate->escontext->error_occurred)
		return false;
	cstate->escontext->error_occurred = false;
#if PG_VERSION_NUM >= 180000
	if (cstate->opts.reject_limit > 0 &&
		cstate->num_errors > cstate->opts.reject_limit)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("skipped more than REJECT_LIMIT (%lld) rows due to data type incompatibility",
						(long long) cstate->opts.reject_limit)));
#endif
	return true;
}

void
shoal_copy_tell_skipped(struct CopyFromStateData *cstate)
{
	if (cstate->opts.on_error == COPY_ON_ERROR_STOP || cstate->num_errors == 0 ||
		cstate->opts.log_verbosity < COPY_LOG_VERBOSITY_DEFAULT)
		return;
	ereport(NOTICE,
			(errmsg_plural("%llu row was skipped due to data type incompatibility",
						   "%llu rows were skipped due to data type incompatibility",
						   (unsigned long) cstate->num_errors,
						   (unsigned long long) cstate->num_errors)));
}

#endif
