/*
 * base_compat.h
 *		Differences between PostgreSQL 15, 16, 17 and 18.
 *
 * Only this and base_compat.c look at PG_VERSION_NUM.  Each macro or inline
 * function gives the newest spelling of something on every version.
 */
#ifndef BASE_COMPAT_H
#define BASE_COMPAT_H

#include "access/heapam.h"
#include "access/xact.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "nodes/primnodes.h"
#include "utils/acl.h"
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif
#if PG_VERSION_NUM >= 160000
#include "parser/parse_relation.h"
#endif

#if PG_VERSION_NUM < 150000
#error "Shoal needs PostgreSQL 15 or newer"
#endif

/*
 * Before 16 PGDLLEXPORT is empty here, and PG_FUNCTION_INFO_V1 does not apply
 * it to the function itself; we build with -fvisibility=hidden, so what SQL
 * calls has to be marked.  Files with PG_FUNCTION_INFO_V1 include this header.
 */
#if PG_VERSION_NUM < 160000
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#undef PG_FUNCTION_INFO_V1
#define PG_FUNCTION_INFO_V1(name) \
extern PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
extern PGDLLEXPORT const Pg_finfo_record *CppConcat(pg_finfo_, name) (void); \
const Pg_finfo_record * \
CppConcat(pg_finfo_, name) (void) \
{ \
	static const Pg_finfo_record info = {1}; \
	return &info; \
} \
extern int	no_such_variable
#endif

/*
 * Where COPY keeps the default of a column (counted from 0, not a dropped one) that the
 * input does not have; NULL: there is none.
 */
struct CopyFromStateData;
extern ExprState **shoal_copy_default(struct CopyFromStateData *cstate, int column);

/*
 * COPY's ON_ERROR, from 17 on: whether the row that was read last is to be left out; and
 * the notice of how many there were.
 */
#if PG_VERSION_NUM >= 170000
extern bool shoal_copy_skips(struct CopyFromStateData *cstate);
extern void shoal_copy_tell_skipped(struct CopyFromStateData *cstate);
#else
#define shoal_copy_skips(cstate) false
#define shoal_copy_tell_skipped(cstate) ((void) 0)
#endif

/* the major version that this library was built for */
#define SHOAL_PG_MAJOR	(PG_VERSION_NUM / 10000)

/* 18 can leave out a deferrable primary key */
#if PG_VERSION_NUM >= 180000
#define shoal_primary_key_index(rel) RelationGetPrimaryKeyIndex((rel), false)
#else
#define shoal_primary_key_index(rel) RelationGetPrimaryKeyIndex(rel)
#endif

/* 16 renamed relation file nodes, changed ownership checks, soft errors
 * and partition specifications */
#if PG_VERSION_NUM < 160000
#define RelFileLocator RelFileNode
#define RelFileNumber Oid
#define GetNewRelFileNumber GetNewRelFileNode
#define RelationAssumeNewRelfilelocator RelationAssumeNewRelfilenode
#define rd_newRelfilelocatorSubid rd_newRelfilenodeSubid
#define rd_firstRelfilelocatorSubid rd_firstRelfilenodeSubid
#define shoal_owns_table(relid, userid) pg_class_ownercheck(relid, userid)
#define shoal_name_list(string) stringToQualifiedNameList(string)
#define shoal_hash_strategy "hash"
#else
#define shoal_hash_strategy PARTITION_STRATEGY_HASH
#define shoal_name_list(string) stringToQualifiedNameList(string, NULL)
#define shoal_owns_table(relid, userid) \
	object_ownercheck(RelationRelationId, relid, userid)
#endif

/* 16 tells which indexes need the new version */
static inline TM_Result
shoal_heap_update(Relation rel, ItemPointer tid, HeapTuple tuple,
				  TM_FailureData *failure)
{
	LockTupleMode mode;
#if PG_VERSION_NUM >= 160000
	TU_UpdateIndexes indexes;

	return heap_update(rel, tid, tuple, GetCurrentCommandId(true),
					   InvalidSnapshot, false, failure, &mode, &indexes);
#else
	return heap_update(rel, tid, tuple, GetCurrentCommandId(true),
					   InvalidSnapshot, false, failure, &mode);
#endif
}

/* 16 renamed the parts of a table's statistics */
#if PG_VERSION_NUM >= 160000
#define shoal_stats_relid(status) ((status)->id)
#else
#define shoal_stats_relid(status) ((status)->t_id)
#endif

/* 16 has BEFORE triggers tell more of a row that is gone, 18 asks whether a MERGE fires them */
#if PG_VERSION_NUM >= 180000
#define shoal_fire_before_update(estate, relinfo, old, slot) \
	ExecBRUpdateTriggers(estate, NULL, relinfo, NULL, old, slot, NULL, NULL, false)
#define shoal_fire_before_delete(estate, relinfo, old) \
	ExecBRDeleteTriggers(estate, NULL, relinfo, NULL, old, NULL, NULL, NULL, false)
#elif PG_VERSION_NUM >= 160000
#define shoal_fire_before_update(estate, relinfo, old, slot) \
	ExecBRUpdateTriggers(estate, NULL, relinfo, NULL, old, slot, NULL, NULL)
#define shoal_fire_before_delete(estate, relinfo, old) \
	ExecBRDeleteTriggers(estate, NULL, relinfo, NULL, old, NULL, NULL, NULL)
#else
#define shoal_fire_before_update(estate, relinfo, old, slot) \
	ExecBRUpdateTriggers(estate, NULL, relinfo, NULL, old, slot, NULL)
#define shoal_fire_before_delete(estate, relinfo, old) \
	ExecBRDeleteTriggers(estate, NULL, relinfo, NULL, old, NULL)
#endif

/* 16 can leave out columns */
#if PG_VERSION_NUM >= 160000
#define shoal_attrmap_by_name(to, from) build_attrmap_by_name(to, from, false)
#else
#define shoal_attrmap_by_name(to, from) build_attrmap_by_name(to, from)
#endif

/* 17 has JSON_VALUE() and the like */
#if PG_VERSION_NUM >= 170000
#define shoal_is_json_expr(node) IsA(node, JsonExpr)
#else
#define shoal_is_json_expr(node) false
#endif

/* 17 has the right to MAINTAIN tables, and keeps statistics targets apart */
#if PG_VERSION_NUM < 170000
#define shoal_may_maintain(relid, userid) shoal_owns_table(relid, userid)
#else
#define shoal_may_maintain(relid, userid) \
	(shoal_owns_table(relid, userid) || \
	 pg_class_aclcheck(relid, userid, ACL_MAINTAIN) == ACLCHECK_OK)
#endif

/* False if no statistics are wanted of the column. */
struct VacAttrStats;
extern bool shoal_set_statistics_target(struct VacAttrStats *stats, Oid relid,
										Form_pg_attribute att);

/* What pg_class says of a table's size; 18 counts frozen pages. */
extern void shoal_update_relstats(Relation rel, BlockNumber pages, double rows);

/* 17 gave reindex_relation the statement */
#if PG_VERSION_NUM < 170000
#define shoal_reindex_relation(relid, flags, params) \
	reindex_relation(relid, flags, params)
#else
#define shoal_reindex_relation(relid, flags, params) \
	reindex_relation(NULL, relid, flags, params)
#endif

/* 18 counts frozen pages, and has no unlogged partitioned tables */
#if PG_VERSION_NUM < 180000
#define shoal_clear_allfrozen(form) ((void) 0)
#define SHOAL_PARTITIONED_ONLY_PERMANENT false
#else
#define shoal_clear_allfrozen(form) ((void) ((form)->relallfrozen = 0))
#define SHOAL_PARTITIONED_ONLY_PERMANENT true
#endif

/* 17 records initial privileges as dependencies of their roles */
#if PG_VERSION_NUM < 170000
#define shoal_drop_initial_privileges(roleid, dep) ((void) 0)
#else
#define shoal_drop_initial_privileges(roleid, dep) \
	((void) ((dep)->deptype == SHARED_DEPENDENCY_INITACL ? \
			 RemoveRoleFromInitPriv(roleid, (dep)->classid, (dep)->objid, \
									(dep)->objsubid) : (void) 0))
#endif

/* 18 can leave room ahead of a minimal tuple */
#if PG_VERSION_NUM < 180000
#define shoal_form_minimal_tuple(desc, values, nulls) \
	heap_form_minimal_tuple(desc, values, nulls)
#else
#define shoal_form_minimal_tuple(desc, values, nulls) \
	heap_form_minimal_tuple(desc, values, nulls, 0)
#endif

/*
 * 17 gave MERGE a third kind of action, and its condition a place of its own; where that
 * was there is the condition of the view that it writes through
 */
#if PG_VERSION_NUM < 170000
#define shoal_merge_condition(query) ((query)->jointree->quals)
#define shoal_merge_is_not_matched(action) (!(action)->matched)
#define shoal_merge_has_by_source(query) false
#define shoal_merge_is_by_source(action) false
#define shoal_is_merge_action(node) false
#define shoal_merge_set_condition(query, target, condition) \
	((query)->jointree->quals = (condition))
#define shoal_merge_set_matched(action, is_matched) \
	((action)->matched = (is_matched))
#define shoal_merge_forget(query) \
	((query)->mergeActionList = NIL, (query)->mergeUseOuterJoin = false)
#define shoal_merge_take_view_condition(query) NULL
#else
static inline Node *
shoal_merge_take_view_condition(Query *query)
{
	Node	   *condition = query->jointree->quals;

	query->jointree->quals = NULL;
	return condition;
}
#define shoal_merge_forget(query) \
	((query)->mergeActionList = NIL, (query)->mergeJoinCondition = NULL, \
	 (query)->mergeTargetRelation = 0)
#define shoal_merge_condition(query) ((query)->mergeJoinCondition)
#define shoal_merge_set_condition(query, target, condition) \
	((query)->mergeJoinCondition = (condition), \
	 (query)->mergeTargetRelation = (target))
#define shoal_merge_set_matched(action, is_matched) \
	((action)->matchKind = (is_matched) ? MERGE_WHEN_MATCHED : \
	 MERGE_WHEN_NOT_MATCHED_BY_TARGET)
#define shoal_merge_is_by_source(action) \
	((action)->matchKind == MERGE_WHEN_NOT_MATCHED_BY_SOURCE)
#define shoal_is_merge_action(node) IsA(node, MergeSupportFunc)
#define shoal_merge_is_not_matched(action) \
	((action)->matchKind == MERGE_WHEN_NOT_MATCHED_BY_TARGET)
static inline bool
shoal_merge_has_by_source(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->mergeActionList)
	{
		if (((MergeAction *) lfirst(lc))->matchKind ==
			MERGE_WHEN_NOT_MATCHED_BY_SOURCE)
			return true;
	}
	return false;
}
#endif

/* Names and Vars of an entry's columns, with those that have been dropped if wanted. */
#if PG_VERSION_NUM < 180000
#define shoal_expand_rte(rte, rti, dropped, names, vars) \
	expandRTE(rte, rti, 0, -1, dropped, names, vars)
#else
#define shoal_expand_rte(rte, rti, dropped, names, vars) \
	expandRTE(rte, rti, 0, VAR_RETURNING_DEFAULT, -1, dropped, names, vars)
#endif

/* 16 has the caller choose whether a value is copied */
#if PG_VERSION_NUM < 160000
#define shoal_tuplesort_getdatum(state, value, isnull) \
	tuplesort_getdatum(state, true, value, isnull, NULL)
#else
#define shoal_tuplesort_getdatum(state, value, isnull) \
	tuplesort_getdatum(state, true, false, value, isnull, NULL)
#endif

/* 16 marks columns that an outer join may make null */
#if PG_VERSION_NUM < 160000
#define shoal_null_by_join(expr, varno, join) (expr)
#else
#define shoal_null_by_join(expr, varno, join) \
	((Expr *) add_nulling_relids((Node *) (expr), \
								 bms_make_singleton(varno), \
								 bms_make_singleton(join)))
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
 * A view's query that is put into an entry of another query is no view for
 * shoal_rte_view any more.  (Its rights have to be seen to before.)
 */
static inline void
shoal_query_forget_view(Query *query)
{
#if PG_VERSION_NUM < 160000
	RangeTblEntry *old = query->rtable ?
		(RangeTblEntry *) linitial(query->rtable) : NULL;

	if (old && old->rtekind == RTE_RELATION && old->relkind == 'v' &&
		!old->inFromCl)
		old->relkind = 'r';
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

/* The columns that are read of an entry, as core numbers them there. */
static inline Bitmapset *
shoal_rte_selected(Query *query, RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 160000
	if (rte->perminfoindex == 0)
		return NULL;
	return ((RTEPermissionInfo *) list_nth(query->rteperminfos, rte->perminfoindex - 1))->selectedCols;
#else
	return rte->selectedCols;
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

/* Its tables (not those of subqueries) need no rights any more. */
static inline void
shoal_query_clear_rights(Query *query)
{
	ListCell   *lc;

#if PG_VERSION_NUM >= 160000
	foreach(lc, query->rteperminfos)
		((RTEPermissionInfo *) lfirst(lc))->requiredPerms = 0;
#else
	foreach(lc, query->rtable)
		((RangeTblEntry *) lfirst(lc))->requiredPerms = 0;
#endif
}

/* The rights that a query asks for one of its entries. */
static inline AclMode
shoal_rte_required_perms(Query *query, RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 160000
	if (rte->perminfoindex == 0)
		return 0;
	return getRTEPermissionInfo(query->rteperminfos, rte)->requiredPerms;
#else
	return rte->requiredPerms;
#endif
}

/* The columns that a statement says it sets, numbered as in RangeTblEntry. */
static inline Bitmapset *
shoal_rte_updated_cols(Query *query, RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 160000
	if (rte->perminfoindex == 0)
		return NULL;
	return getRTEPermissionInfo(query->rteperminfos, rte)->updatedCols;
#else
	return rte->updatedCols;
#endif
}

static inline void
shoal_rte_require_perms(Query *query, RangeTblEntry *rte, AclMode perms)
{
#if PG_VERSION_NUM >= 160000
	if (rte->perminfoindex != 0)
		getRTEPermissionInfo(query->rteperminfos, rte)->requiredPerms = perms;
#else
	rte->requiredPerms = perms;
#endif
}

/* The rights that a statement that runs asks for an entry. */
static inline AclMode
shoal_estate_required_perms(EState *estate, RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 160000
	if (rte->perminfoindex == 0)
		return 0;
	return getRTEPermissionInfo(estate->es_rteperminfos, rte)->requiredPerms;
#else
	return rte->requiredPerms;
#endif
}

/* The user for whom an entry's rights are checked; 0: the current one. */
static inline Oid
shoal_rte_check_as(Query *query, RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 160000
	if (rte->perminfoindex == 0)
		return InvalidOid;
	return getRTEPermissionInfo(query->rteperminfos, rte)->checkAsUser;
#else
	return rte->checkAsUser;
#endif
}

/*
 * Has a role the rights that an entry asks for?  InvalidOid: the role that the
 * entry names, or the current user.
 */
static inline bool
shoal_rte_is_permitted(Query *query, RangeTblEntry *rte, Oid as)
{
	RangeTblEntry *copy = copyObject(rte);
#if PG_VERSION_NUM >= 160000
	RTEPermissionInfo *info;

	if (rte->perminfoindex == 0)
		return true;
	info = copyObject(getRTEPermissionInfo(query->rteperminfos, rte));
	copy->perminfoindex = 1;
	if (OidIsValid(as))
		info->checkAsUser = as;
	return ExecCheckPermissions(list_make1(copy), list_make1(info), false);
#else
	if (OidIsValid(as))
		copy->checkAsUser = as;
	return ExecCheckRTPerms(list_make1(copy), false);
#endif
}

/*
 * For a copy of an entry of the same query that is to stand for another
 * relation: it knows which columns are written, but needs no rights.
 */
static inline void
shoal_rte_drop_permissions(Query *query, RangeTblEntry *old,
						   RangeTblEntry *copy, Oid check_as)
{
#if PG_VERSION_NUM >= 160000
	RTEPermissionInfo *info;

	if (old->perminfoindex == 0)
		return;
	info = copyObject(getRTEPermissionInfo(query->rteperminfos, old));
	info->relid = copy->relid;
	info->requiredPerms = 0;
	info->checkAsUser = check_as;
	query->rteperminfos = lappend(query->rteperminfos, info);
	copy->perminfoindex = list_length(query->rteperminfos);
#else
	copy->requiredPerms = 0;
	copy->checkAsUser = check_as;
#endif
}

/*
 * From 18 on what a query groups by is in a range table entry, to which its
 * select list and HAVING refer.  shoal_query_flatten_groups puts it back into
 * both, at all levels, but where there are grouping sets: there core wants the
 * entry.  shoal_query_group_rti: its number, 0 if there is none;
 * shoal_var_move_group changes it in a Var that refers to the entry.
 */
#if PG_VERSION_NUM >= 180000
extern void shoal_query_flatten_groups(Query *query);
extern int	shoal_query_group_rti(Query *query);
extern void shoal_var_move_group(Var *var, int rti);
#define shoal_rte_group_exprs(rte) ((rte)->groupexprs)
#define shoal_rte_set_group_exprs(rte, exprs) ((rte)->groupexprs = (exprs))
#define shoal_query_group_exprs(query) \
	(shoal_query_group_rti(query) == 0 ? NIL : \
	 rt_fetch(shoal_query_group_rti(query), (query)->rtable)->groupexprs)
#else
#define shoal_query_flatten_groups(query) ((void) 0)
#define shoal_query_group_rti(query) 0
#define shoal_var_move_group(var, rti) ((var)->varno = (rti))
#define shoal_rte_group_exprs(rte) NIL
#define shoal_query_group_exprs(query) NIL
#define shoal_rte_set_group_exprs(rte, exprs) ((void) (exprs))
#endif

/*
 * RETURNING old.x, from 18 on.  shoal_query_copy_old_and_new gives a query whose
 * RETURNING was another one's the names that this one has for old and new rows.
 */
#if PG_VERSION_NUM >= 180000
#define shoal_expr_returns_old_or_new(node) \
	contain_vars_returning_old_or_new(node)
#define shoal_query_copy_old_and_new(to, from) \
	((to)->returningOldAlias = (from)->returningOldAlias, \
	 (to)->returningNewAlias = (from)->returningNewAlias)
#else
#define shoal_expr_returns_old_or_new(node) false
#define shoal_query_copy_old_and_new(to, from) ((void) 0)
#endif

/*
 * Columns of a view's old or new row that are expressions (RETURNING old.x, from 18 on)
 * are NULL if there is no such row, which the deparser does not print: this makes
 * expressions of them that say so.
 */
#if PG_VERSION_NUM >= 180000
extern Query *shoal_query_show_old_and_new(Query *query);
#else
#define shoal_query_show_old_and_new(query) (query)
#endif

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

/* What shoal_plan_add_rte needs, of an entry of another finished plan. */
static inline void *
shoal_plan_permissions(PlannedStmt *stmt, RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 160000
	if (rte->perminfoindex == 0)
		return NULL;
	return copyObject(list_nth(stmt->permInfos, rte->perminfoindex - 1));
#else
	return NULL;
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

/* the number of a backend, from 0 on, below MaxBackends; needs storage/proc.h */
#if PG_VERSION_NUM >= 170000
#define shoal_my_proc_number()	((int) MyProcNumber)
#define shoal_proc_number(proc)	((int) GetNumberFromPGProc(proc))
#else
#define shoal_my_proc_number()	(MyProc->pgprocno)
#define shoal_proc_number(proc)	((proc)->pgprocno)
#endif

/* once: the executor is not run again for this query */
#if PG_VERSION_NUM >= 180000
#define shoal_executor_run(query_desc, direction, count, once) \
	ExecutorRun(query_desc, direction, count)
#else
#define shoal_executor_run(query_desc, direction, count, once) \
	ExecutorRun(query_desc, direction, count, once)
#endif

/* a wait set that lives as long as the backend */
#if PG_VERSION_NUM < 170000
#define shoal_create_wait_set(nevents) \
	CreateWaitEventSet(TopMemoryContext, (nevents))
#else
#define shoal_create_wait_set(nevents) CreateWaitEventSet(NULL, (nevents))
#endif

/* all settings and their number; sorted by name */
#if PG_VERSION_NUM < 160000
#define shoal_guc_array(total) \
	(*(total) = GetNumConfigOptions(), get_guc_variables())
#else
#define shoal_guc_array(total) get_guc_variables(total)
#endif

/* a list of names of option namespaces */
#if PG_VERSION_NUM >= 180000
#define SHOAL_OPTION_NAMESPACES const char *const
#else
#define SHOAL_OPTION_NAMESPACES char *
#endif

/* the last parameter of ExecutorRun() before 18 */
#if PG_VERSION_NUM < 180000
#define SHOAL_EXECUTE_ONCE_PARAM , bool execute_once
#define SHOAL_EXECUTE_ONCE , execute_once
#else
#define SHOAL_EXECUTE_ONCE_PARAM
#define SHOAL_EXECUTE_ONCE
#endif

/* the sequence of an identity column; needs catalog/dependency.h */
#if PG_VERSION_NUM >= 170000
#define shoal_identity_sequence(rel, attno) getIdentitySequence(rel, attno, false)
#else
#define shoal_identity_sequence(rel, attno) \
	getIdentitySequence(RelationGetRelid(rel), attno, false)
#endif

/* PG_TEMP_FILES_DIR and PG_TEMP_FILE_PREFIX: in storage/fd.h before 17 */
#if PG_VERSION_NUM >= 170000
#include "common/file_utils.h"
#endif

/* Has the client sent more than what was read so far?  From libpq/libpq.h. */
#if PG_VERSION_NUM >= 170000
extern ssize_t pq_buffer_remaining_data(void);
#define shoal_client_data_buffered() (pq_buffer_remaining_data() > 0)
#else
extern bool pq_buffer_has_data(void);
#define shoal_client_data_buffered() pq_buffer_has_data()
#endif

/*
 * From utils/pg_locale.h, which wants headers of ICU on some versions.
 */
extern PGDLLIMPORT char *locale_monetary;
extern PGDLLIMPORT char *locale_numeric;
extern PGDLLIMPORT char *locale_time;

/* schemas and functions only, before 16 */
#if PG_VERSION_NUM < 160000
static inline AclResult
object_aclcheck(Oid classid, Oid object, Oid role, AclMode mode)
{
	return classid == NamespaceRelationId ?
		pg_namespace_aclcheck(object, role, mode) :
		pg_proc_aclcheck(object, role, mode);
}
#endif

/* an EPQ state for changes of single rows, without a plan */
#if PG_VERSION_NUM >= 160000
#define shoal_epq_init(epq, estate) \
	EvalPlanQualInit(epq, estate, NULL, NIL, -1, NIL)
#else
#define shoal_epq_init(epq, estate) \
	EvalPlanQualInit(epq, estate, NULL, NIL, -1)
#endif

/* whether constraints allow a row; 18 can leave out one of the same row */
#if PG_VERSION_NUM >= 180000
#define shoal_check_index_constraints(rel, slot, estate, tid, indexes) \
	ExecCheckIndexConstraints(rel, slot, estate, tid, NULL, indexes)
#else
#define shoal_check_index_constraints(rel, slot, estate, tid, indexes) \
	ExecCheckIndexConstraints(rel, slot, estate, tid, indexes)
#endif

/*
 * Puts a row that was stored into the indexes; true if a constraint that is checked at
 * once may not allow it.
 */
static inline bool
shoal_insert_index_tuples(ResultRelInfo *result, TupleTableSlot *slot, EState *estate)
{
	bool		conflict = false;

#if PG_VERSION_NUM >= 160000
	(void) ExecInsertIndexTuples(result, slot, estate, false, true, &conflict, NIL, false);
#else
	(void) ExecInsertIndexTuples(result, slot, estate, false, true, &conflict, NIL);
#endif
	return conflict;
}

/* a relation's CHECK constraints, once they are prepared: ExprState *[] */
#if PG_VERSION_NUM >= 180000
#define shoal_result_checks(result) ((result)->ri_CheckConstraintExprs)
#else
#define shoal_result_checks(result) ((result)->ri_ConstraintExprs)
#endif

/* a new, empty file for a relation */
#if PG_VERSION_NUM >= 160000
#define shoal_set_new_relfile RelationSetNewRelfilenumber
#else
#define shoal_set_new_relfile RelationSetNewRelfilenode
#endif

/* The file of a relation, which is another one when it is written anew. */
extern uint64 shoal_rel_file_number(Oid relid);

/* merge_action(), which only the node of the row can answer */
static inline bool
shoal_is_merge_function(const Node *node)
{
#if PG_VERSION_NUM >= 170000
	return IsA(node, MergeSupportFunc);
#else
	return false;
#endif
}

/* the number by which a virtual transaction's backend is known */
#if PG_VERSION_NUM >= 170000
#define SHOAL_VXID_PROC(vxid)	((vxid).procNumber)
#else
#define SHOAL_VXID_PROC(vxid)	((vxid).backendId)
#endif

#endif							/* BASE_COMPAT_H */
