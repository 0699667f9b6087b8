/*
 * base_compat.h
 *		Differences between PostgreSQL 15, 16, 17 and 18.
 *
 * This is the only file that looks at PG_VERSION_NUM.  Each macro or inline
 * function gives the newest spelling of something on every version.
 */
#ifndef BASE_COMPAT_H
#define BASE_COMPAT_H

#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"

#if PG_VERSION_NUM < 150000
#error "Shoal needs PostgreSQL 15 or newer"
#endif

/*
 * Before 16 PGDLLEXPORT is empty here; we build with -fvisibility=hidden, so
 * what SQL calls has to be marked.  Files with PG_FUNCTION_INFO_V1 include this
 * header.
 */
#if PG_VERSION_NUM < 160000
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#endif

#if PG_VERSION_NUM >= 160000
#define shoal_flatten_join_alias_vars(query, node) \
	flatten_join_alias_vars(NULL, (query), (node))
#else
#define shoal_flatten_join_alias_vars(query, node) \
	flatten_join_alias_vars((query), (node))
#endif

/*
 * The view that a range table entry was before the rewriter expanded it, or
 * InvalidOid.  16 keeps the OID in the entry; before, the view's OLD entry
 * comes first in the subquery.
 */
static inline Oid
shoal_rte_view(RangeTblEntry *rte)
{
	if (rte->rtekind != RTE_SUBQUERY || rte->subquery == NULL)
		return InvalidOid;
#if PG_VERSION_NUM >= 160000
	return rte->relid;
#else
	{
		RangeTblEntry *old;

		if (list_length(rte->subquery->rtable) < 2)
			return InvalidOid;
		old = (RangeTblEntry *) linitial(rte->subquery->rtable);
		if (old->rtekind != RTE_RELATION || old->relkind != 'v' || old->inFromCl)
			return InvalidOid;
		return old->relid;
	}
#endif
}
/*
 * Rights to check for a range table entry live in the entry itself before 16,
 * in a list of the query's afterwards.  shoal_rte_permissions fetches what is
 * needed to put the entry into a finished plan with shoal_plan_add_rte.
 */
static inline void *
shoal_rte_permissions(Query *query, RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 160000
	if (rte->perminfoindex == 0)
		return NULL;
	return copyObject(list_nth(query->rteperminfos, rte->perminfoindex - 1));
#else
	return NULL;
#endif
}

/* For a query whose range table is replaced by entries without rights. */
static inline void
shoal_query_clear_permissions(Query *query)
{
#if PG_VERSION_NUM >= 160000
	query->rteperminfos = NIL;
#endif
}

/* For an entry that moves from one query to another / stops being a table. */
static inline void
shoal_query_copy_permissions(Query *query, Query *from, RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 160000
	if (rte->perminfoindex != 0)
	{
		query->rteperminfos =
			lappend(query->rteperminfos,
					copyObject(list_nth(from->rteperminfos,
										rte->perminfoindex - 1)));
		rte->perminfoindex = list_length(query->rteperminfos);
	}
#endif
}

static inline void
shoal_rte_clear_permissions(RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 160000
	rte->perminfoindex = 0;
#else
	rte->requiredPerms = 0;
	rte->checkAsUser = InvalidOid;
	rte->selectedCols = NULL;
	rte->insertedCols = NULL;
	rte->updatedCols = NULL;
#endif
}

static inline void
shoal_plan_add_rte(PlannedStmt *stmt, RangeTblEntry *rte, void *permissions)
{
#if PG_VERSION_NUM >= 160000
	rte->perminfoindex = 0;
	if (permissions)
	{
		stmt->permInfos = lappend(stmt->permInfos, permissions);
		rte->perminfoindex = list_length(stmt->permInfos);
	}
#endif
	stmt->rtable = lappend(stmt->rtable, rte);
#if PG_VERSION_NUM >= 180000
	stmt->unprunableRelids = bms_add_member(stmt->unprunableRelids,
											list_length(stmt->rtable));
#endif
}

/*
 * Where a parser's namespace item keeps the rights to check, and checking
 * those of a one-table statement.
 */
#if PG_VERSION_NUM >= 160000
#define shoal_nsitem_permissions(nsitem)	((nsitem)->p_perminfo)
#define shoal_check_permissions(pstate, nsitem) \
	ExecCheckPermissions((pstate)->p_rtable, (pstate)->p_rteperminfos, true)
#else
#define shoal_nsitem_permissions(nsitem)	((nsitem)->p_rte)
#define shoal_check_permissions(pstate, nsitem) \
	ExecCheckRTPerms((pstate)->p_rtable, true)
#endif

/* once: the executor is not run again for this query */
#if PG_VERSION_NUM >= 180000
#define shoal_executor_run(query_desc, direction, count, once) \
	ExecutorRun(query_desc, direction, count)
#else
#define shoal_executor_run(query_desc, direction, count, once) \
	ExecutorRun(query_desc, direction, count, once)
#endif

#endif							/* BASE_COMPAT_H */
