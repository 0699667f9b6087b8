/*
 * plan_query.c
 *		Queries that are made up.
 *
 * What has to be done in another way than the user has written it is written as
 * a query again, mostly one that selects from one entry.
 */
#include "postgres.h"

#include "nodes/makefuncs.h"

#include "base/base_compat.h"
#include "plan/plan_query.h"

Query *
shoal_query_from(RangeTblEntry *rte)
{
	Query	   *query = makeNode(Query);
	RangeTblRef *ref = makeNode(RangeTblRef);

	ref->rtindex = 1;
	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->rtable = list_make1(rte);
	query->jointree = makeFromExpr(list_make1(ref), NULL);
	return query;
}

void
shoal_query_put(RangeTblEntry *rte, Query *query)
{
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = query;
	rte->relid = InvalidOid;
	rte->relkind = 0;
	rte->rellockmode = 0;
	rte->inh = false;
	rte->tablesample = NULL;
	shoal_rte_clear_permissions(rte);
}

RangeTblEntry *
shoal_query_entry(Query *query, char *alias)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		if (!tle->resjunk)
			names = lappend(names, makeString(pstrdup(tle->resname)));
	}
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = query;
	rte->eref = makeAlias(alias, names);
	rte->alias = makeAlias(alias, NIL);
	rte->inFromCl = true;
	return rte;
}
