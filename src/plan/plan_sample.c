/*
 * plan_sample.c
 *		Samples of a number of rows.
 *
 * BERNOULLI and SYSTEM choose a part of each shard, which is that part of the table.  The
 * method of the extension tsm_system_rows chooses a number of rows, which each shard would
 * do.  So the sample becomes a subquery that keeps as many of all shards' rows, at random:
 * (SELECT ... FROM t TABLESAMPLE system_rows(n) ORDER BY random() LIMIT n).
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_type_d.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "parser/parse_oper.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "plan/plan_query.h"
#include "plan/plan_sample.h"

#define COUNTED_METHOD	"system_rows"

bool
shoal_sample_is_counted(const RangeTblEntry *rte)
{
	const ShoalTable *table;
	char	   *method;

	if (rte->rtekind != RTE_RELATION || rte->tablesample == NULL ||
		(table = shoal_meta_table(rte->relid)) == NULL ||
		table->kind != SHOAL_KIND_DISTRIBUTED)
		return false;
	method = get_func_name(rte->tablesample->tsmhandler);
	return method != NULL && strcmp(method, COUNTED_METHOD) == 0;
}

/* Adds "ORDER BY random()". */
static void
shuffle(Query *query)
{
	List	   *name = list_make2(makeString("pg_catalog"), makeString("random"));
	FuncExpr   *number = makeFuncExpr(LookupFuncName(name, 0, NULL, false), FLOAT8OID, NIL,
									  InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	TargetEntry *tle = makeTargetEntry((Expr *) number, list_length(query->targetList) + 1,
									   NULL, true);
	SortGroupClause *clause = makeNode(SortGroupClause);

	tle->ressortgroupref = 1;
	query->targetList = lappend(query->targetList, tle);
	clause->tleSortGroupRef = 1;
	get_sort_group_operators(FLOAT8OID, true, true, false, &clause->sortop, &clause->eqop,
							 NULL, NULL);
	query->sortClause = list_make1(clause);
}

/* The columns of a query's table; nulls for those that were dropped or that nobody reads. */
static List *
columns_of(Query *query)
{
	RangeTblEntry *rte = linitial(query->rtable);
	Bitmapset  *read = shoal_rte_selected(query, rte);
	bool		whole = bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, read);
	List	   *names;
	List	   *vars;
	List	   *result = NIL;
	ListCell   *lcn;
	ListCell   *lcv;

	shoal_expand_rte(rte, 1, true, &names, &vars);
	forboth(lcn, names, lcv, vars)
	{
		int			attno = list_length(result) + 1;
		char	   *name = strVal(lfirst(lcn));
		Expr	   *value = lfirst(lcv);

		if (!whole && !bms_is_member(attno - FirstLowInvalidHeapAttributeNumber, read))
			value = (Expr *) makeNullConst(exprType((Node *) value), exprTypmod((Node *) value),
										   exprCollation((Node *) value));
		result = lappend(result, makeTargetEntry(value, attno, *name != '\0' ? pstrdup(name) :
												 psprintf("dropped%d", attno), false));
	}
	return result;
}

/* A number of rows with which LIMIT asks for some: the sample has none, or complains. */
static Node *
at_least_one(Expr *number)
{
	MinMaxExpr *greatest = makeNode(MinMaxExpr);

	greatest->minmaxtype = INT8OID;
	greatest->op = IS_GREATEST;
	greatest->args = list_make2(number, makeConst(INT8OID, -1, InvalidOid, sizeof(int64),
												  Int64GetDatum(1), false, FLOAT8PASSBYVAL));
	greatest->location = -1;
	return (Node *) greatest;
}

static void
replace_sample(Query *query, int varno)
{
	RangeTblEntry *rte = rt_fetch(varno, query->rtable);
	RangeTblEntry *inner = copyObject(rte);
	Query	   *subquery;

	/* one level further down */
	IncrementVarSublevelsUp((Node *) inner->tablesample, 1, 0);
	ChangeVarNodes((Node *) inner->securityQuals, varno, 1, 0);
	subquery = shoal_query_from(inner);
	shoal_query_copy_permissions(subquery, query, inner);
	inner->inFromCl = true;
	inner->lateral = false;
	subquery->targetList = columns_of(subquery);
	subquery->limitOption = LIMIT_OPTION_COUNT;
	subquery->limitCount = at_least_one(copyObject(linitial(inner->tablesample->args)));
	subquery->hasRowSecurity = query->hasRowSecurity;
	subquery->hasSubLinks = checkExprHasSubLink((Node *) inner->securityQuals) ||
		checkExprHasSubLink((Node *) inner->tablesample);
	shuffle(subquery);

	shoal_query_put(rte, subquery);
	rte->lateral = contain_vars_of_level((Node *) inner->tablesample, 1);
	rte->securityQuals = NIL;
}

/* Whether a level asks for more of an entry's rows than their columns. */
static bool
needs_rows_themselves(Query *query, int varno)
{
	List	   *vars = pull_vars_of_level((Node *) query, 0);
	ListCell   *lc;

	foreach(lc, vars)
	{
		Var		   *var = (Var *) lfirst(lc);

		if (IsA(var, Var) && var->varno == varno && var->varattno < 0)
			return true;
	}
	return get_parse_rowmark(query, varno) != NULL;
}

static bool
rewrite_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;

		/* before there are new ones */
		query_tree_walker(query, rewrite_walker, context, 0);
		for (int varno = 1; varno <= list_length(query->rtable); varno++)
		{
			RangeTblEntry *rte = rt_fetch(varno, query->rtable);

			if (!shoal_sample_is_counted(rte))
				continue;
			if (needs_rows_themselves(query, varno))
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot lock the rows of a sample of a number of rows of table \"%s\", or tell their system columns",
								get_rel_name(rte->relid)),
						 errhint("Use TABLESAMPLE SYSTEM, or find the rows by their key.")));
			replace_sample(query, varno);
		}
		return false;
	}
	return expression_tree_walker(node, rewrite_walker, context);
}

void
shoal_sample_rewrite(Query *query)
{
	(void) rewrite_walker((Node *) query, NULL);
}
