/*
 * ddl_mirror.c
 *		The triggers that repeat writes of shards on their replicas.
 *
 * Each local copy of a shard whose group has replicas has one, whether it is
 * the primary or may become it: a trigger of the partition, not of the parent,
 * so that it comes and goes with the partition.  It is marked as internal:
 * nobody can drop it by name, pg_dump leaves it out, and DISABLE TRIGGER USER
 * leaves it alone; after DISABLE TRIGGER ALL it is enabled again.  It always
 * fires, whatever session_replication_role is, and first of all row triggers,
 * as they fire in the order of their names.
 *
 * Takes SHARE ROW EXCLUSIVE locks, like CREATE TRIGGER.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/base_compat.h"
#include "ddl/ddl.h"
#include "meta/meta.h"

/* sorts before what begins with a letter, digit or underscore */
#define MIRROR_NAME "!shoal_mirror"

/* In pg_trigger. */
static void
enable_always(Relation rel, Oid trigger)
{
	Relation	triggers = table_open(TriggerRelationId, RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger));
	scan = systable_beginscan(triggers, TriggerOidIndexId, true, NULL, 1, &key);
	tuple = heap_copytuple(systable_getnext(scan));
	systable_endscan(scan);
	((Form_pg_trigger) GETSTRUCT(tuple))->tgenabled = TRIGGER_FIRES_ALWAYS;
	CatalogTupleUpdate(triggers, &tuple->t_self, tuple);
	table_close(triggers, RowExclusiveLock);
	CacheInvalidateRelcache(rel);
}

/* Whether the table has its trigger, which is enabled then. */
static bool
keep_mirror(Relation rel, Oid function)
{
	TriggerDesc *triggers = rel->trigdesc;

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (trigger->tgfoid != function)
			continue;
		if (trigger->tgenabled != TRIGGER_FIRES_ALWAYS)
			enable_always(rel, trigger->tgoid);
		return true;
	}
	return false;
}

static void
add_mirror(Oid relid)
{
	List	   *name = list_make2(makeString("shoal"),
								  makeString("mirror_change"));
	Oid			function = LookupFuncName(name, 0, NULL, false);
	Relation	rel = table_open(relid, ShareRowExclusiveLock);
	bool		exists = keep_mirror(rel, function);
	CreateTrigStmt *stmt;

	table_close(rel, NoLock);
	if (exists)
		return;
	stmt = makeNode(CreateTrigStmt);
	stmt->trigname = MIRROR_NAME;
	stmt->funcname = name;
	stmt->row = true;
	stmt->timing = TRIGGER_TYPE_AFTER;
	stmt->events = TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE |
		TRIGGER_TYPE_DELETE;
	(void) CreateTriggerFiringOn(stmt, NULL, relid, InvalidOid, InvalidOid,
								 InvalidOid, function, InvalidOid, NULL, true,
								 false, TRIGGER_FIRES_ALWAYS);
	CommandCounterIncrement();
}

void
shoal_ddl_mirror_table(Oid relid, int group_id)
{
	const ShoalGroup *group = shoal_meta_group(group_id);
	ListCell   *lc;

	if (group->kind == SHOAL_KIND_REFERENCE ||
		group->ncopies <= group->shard_count)
		return;
	if (get_rel_relkind(relid) == RELKIND_RELATION)
	{
		add_mirror(relid);
		return;
	}
	foreach(lc, find_inheritance_children(relid, NoLock))
	{
		Oid			child = lfirst_oid(lc);
		int			of_group;
		int			shard;

		if (shoal_meta_is_shard_schema(get_rel_namespace(child), &of_group,
									   &shard))
			add_mirror(child);
		else
			shoal_ddl_mirror_table(child, group_id);
	}
}
