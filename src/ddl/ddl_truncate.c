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
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/heap.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/rel.h"

#include "base/base_compat.h"
#include "ddl/ddl_utility.h"

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
