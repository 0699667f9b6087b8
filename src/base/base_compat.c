/*
 * base_compat.c
 *		What differs between versions and is too long for base_compat.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/transam.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "commands/copyfrom_internal.h"
#include "commands/vacuum.h"
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
