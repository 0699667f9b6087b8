/*
 * plan_order.c
 *		Orders that queries show without an ORDER BY of their own.
 *
 * SQL promises nothing there, but people count on what one server does: that
 * array_agg() and row_number() take the rows of an ordered subquery as they come.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_aggregate.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "plan/plan_order.h"

RangeTblEntry *
shoal_order_item(Query *query)
{
	Node	   *item;

	if (query->jointree == NULL || list_length(query->jointree->fromlist) != 1)
		return NULL;
	item = linitial(query->jointree->fromlist);
	return IsA(item, RangeTblRef) ? rt_fetch(((RangeTblRef *) item)->rtindex, query->rtable) : NULL;
}

bool
shoal_order_is_kept(Query *query)
{
	return query->sortClause == NIL && query->groupClause == NIL &&
		query->distinctClause == NIL && query->setOperations == NULL &&
		!query->hasWindowFuncs && !query->hasAggs && shoal_order_item(query) != NULL;
}

static bool
feels_order_walker(Node *node, void *context)
{
	if (node == NULL || IsA(node, Query))
		return false;
	if (IsA(node, Aggref))
	{
		Aggref	   *agg = (Aggref *) node;
		HeapTuple	tuple;
		bool		combines;

		if (agg->aggkind != AGGKIND_NORMAL || agg->aggorder || agg->aggdistinct)
			return false;
		switch (agg->aggfnoid)
		{
				/* these combine in newer versions */
			case F_ARRAY_AGG_ANYNONARRAY:
			case F_ARRAY_AGG_ANYARRAY:
			case F_STRING_AGG_TEXT_TEXT:
			case F_STRING_AGG_BYTEA_BYTEA:
				return true;
			default:
				break;
		}
		/* rows that are on their way to other nodes */
		if (agg->aggfnoid >= FirstNormalObjectId &&
			get_func_namespace(agg->aggfnoid) == get_namespace_oid("shoal", true))
			return false;
		tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(agg->aggfnoid));
		if (!HeapTupleIsValid(tuple))
			return true;
		combines = OidIsValid(((Form_pg_aggregate) GETSTRUCT(tuple))->aggcombinefn);
		ReleaseSysCache(tuple);
		return !combines;
	}
	return expression_tree_walker(node, feels_order_walker, context);
}

bool
shoal_order_is_felt(Node *node)
{
	return feels_order_walker(node, NULL);
}
