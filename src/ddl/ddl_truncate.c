/*
 * ddl_truncate.c
 *		Triggers of TRUNCATE, which are fired once for all nodes.
 *
 * Core fires AFTER triggers as soon as it has emptied its own tables, when those
 * of the other nodes still have their rows.  So if a table has such triggers, core
 * empties the tables without firing any, and they are fired here: those BEFORE
 * ahead of everything, those AFTER when all nodes are done.
 *
 * Tables are locked here like core does it, and their rights are looked at first: a
 * statement that core is going to refuse fires nothing.
 *
 * With CASCADE core goes on from partition to partition, asks for the user's rights on
 * each, which nobody has, and names each.  So what it will get to is named along with
 * the tables that the user has named.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/heap.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/base_compat.h"
#include "ddl/ddl_utility.h"
#include "meta/meta.h"

/* All tables that will be emptied, locked; NIL if core would refuse. */
static List *
tables_to_empty(TruncateStmt *stmt)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, stmt->relations)
	{
		RangeVar   *relation = (RangeVar *) lfirst(lc);
		Oid			relid = shoal_ddl_relid(relation);

		if (!OidIsValid(relid) ||
			pg_class_aclcheck(relid, GetUserId(), ACL_TRUNCATE) != ACLCHECK_OK)
			return NIL;
		LockRelationOid(relid, AccessExclusiveLock);
		if (relation->inh)
			relids = list_concat_unique_oid(relids,
											find_all_inheritors(relid,
																AccessExclusiveLock,
																NULL));
		else
			relids = list_append_unique_oid(relids, relid);
	}
	while (stmt->behavior == DROP_CASCADE)
	{
		List	   *referring = heap_truncate_find_FKs(relids);

		if (referring == NIL)
			break;
		foreach(lc, referring)
		{
			if (pg_class_aclcheck(lfirst_oid(lc), GetUserId(), ACL_TRUNCATE) != ACLCHECK_OK)
				return NIL;
			LockRelationOid(lfirst_oid(lc), AccessExclusiveLock);
		}
		relids = list_concat_unique_oid(relids, referring);
	}
	return relids;
}

/*
 * Those that have AFTER triggers, and whether all can be fired here: one that
 * fires in a replica as well (ENABLE ALWAYS) would be fired by core, too.
 */
static bool
has_after_triggers(List *relids)
{
	bool		any = false;
	ListCell   *lc;

	foreach(lc, relids)
	{
		Relation	rel = table_open(lfirst_oid(lc), NoLock);
		TriggerDesc *triggers = rel->trigdesc;
		bool		always = false;

		for (int i = 0; triggers && i < triggers->numtriggers; i++)
		{
			Trigger    *trigger = &triggers->triggers[i];

			if (!TRIGGER_FOR_TRUNCATE(trigger->tgtype))
				continue;
			any |= !TRIGGER_FOR_BEFORE(trigger->tgtype);
			always |= trigger->tgenabled == TRIGGER_FIRES_ALWAYS ||
				trigger->tgenabled == TRIGGER_FIRES_ON_REPLICA;
		}
		table_close(rel, NoLock);
		if (always)
			return false;
	}
	return any;
}

static void
fire(List *relids, void (*triggers) (EState *estate, ResultRelInfo *relinfo))
{
	EState	   *estate = CreateExecutorState();
	List	   *rels = NIL;
	ListCell   *lc;

	AfterTriggerBeginQuery();
	foreach(lc, relids)
	{
		ResultRelInfo *relinfo = makeNode(ResultRelInfo);
		Relation	rel = table_open(lfirst_oid(lc), NoLock);

		InitResultRelInfo(relinfo, rel, 0, NULL, 0);
		estate->es_opened_result_relations =
			lappend(estate->es_opened_result_relations, relinfo);
		rels = lappend(rels, rel);
	}
	foreach(lc, estate->es_opened_result_relations)
		triggers(estate, (ResultRelInfo *) lfirst(lc));
	AfterTriggerEndQuery(estate);
	foreach(lc, rels)
		table_close((Relation) lfirst(lc), NoLock);
	FreeExecutorState(estate);
}

/* ---- CASCADE ---- */

/* The Shoal table that a relation is, or is a partition of. */
static Oid
whole_table(Oid relid)
{
	List	   *ancestors = get_rel_relispartition(relid) ?
		get_partition_ancestors(relid) : NIL;
	Oid			whole = ancestors ? llast_oid(ancestors) : relid;

	return shoal_meta_table(whole) ? whole : InvalidOid;
}

/* The tables, not in a list of such with all their partitions, that refer to it. */
static List *
find_referring(List *relids)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, heap_truncate_find_FKs(relids))
	{
		Oid			whole = whole_table(lfirst_oid(lc));

		if (OidIsValid(whole) && !list_member_oid(relids, whole))
			result = list_append_unique_oid(result, whole);
	}
	list_sort(result, list_oid_cmp);
	return result;
}

List *
shoal_truncate_cascade(TruncateStmt *stmt)
{
	List	   *relids = NIL;
	List	   *result = NIL;
	List	   *found;
	ListCell   *lc;

	foreach(lc, stmt->behavior == DROP_CASCADE ? stmt->relations : NIL)
	{
		Oid			relid = shoal_ddl_relid((RangeVar *) lfirst(lc));

		if (!OidIsValid(relid) ||
			pg_class_aclcheck(relid, GetUserId(), ACL_TRUNCATE) != ACLCHECK_OK)
			return NIL;
		relids = list_concat_unique_oid(relids, find_all_inheritors(relid, NoLock, NULL));
	}
	while (relids != NIL && (found = find_referring(relids)) != NIL)
	{
		foreach(lc, found)
		{
			Oid			relid = lfirst_oid(lc);

			ereport(NOTICE,
					(errmsg("truncate cascades to table \"%s\"", get_rel_name(relid))));
			result = lappend(result,
							 makeRangeVar(get_namespace_name(get_rel_namespace(relid)),
										  get_rel_name(relid), -1));
			relids = list_concat_unique_oid(relids, find_all_inheritors(relid, NoLock, NULL));
		}
	}
	return result;
}

List *
shoal_truncate_fire_before(TruncateStmt *stmt)
{
	List	   *relids = tables_to_empty(stmt);

	if (!has_after_triggers(relids))
		return NIL;
	fire(relids, ExecBSTruncateTriggers);
	return relids;
}

void
shoal_truncate_fire_after(List *relids)
{
	if (relids != NIL)
		fire(relids, ExecASTruncateTriggers);
}
