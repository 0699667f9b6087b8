/*
 * ddl_mirror.c
 *		The triggers that repeat writes of shards on their replicas.
 *
 * Each local copy of a shard whose group has replicas has one, whether it is
 * the primary or may become it: a trigger of the partition, not of the parent,
 * so that it comes and goes with the partition.  It is marked as internal:
 * nobody can drop it by name, and DISABLE TRIGGER USER leaves it alone; after
 * DISABLE TRIGGER ALL it is enabled again.  It always fires, whatever
 * session_replication_role is, and first of all row triggers, as they fire in the
 * order of their names.
 *
 * Takes SHARE ROW EXCLUSIVE locks, like CREATE TRIGGER, where it is not there.
 *
 * As pg_dump leaves it out, it is not there after pg_upgrade; mirror_guard.c sees to that.
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

/*
 * Whether the table has its trigger, which is enabled if need be; that takes a
 * stronger lock than the others.
 */
static bool
keep_mirror(Oid relid, Oid function, LOCKMODE lockmode)
{
	Relation	rel = table_open(relid, lockmode);
	TriggerDesc *triggers = rel->trigdesc;
	bool		found = false;

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (trigger->tgfoid != function)
			continue;
		found = trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
		if (found || lockmode == AccessShareLock)
			break;
		enable_always(rel, trigger->tgoid);
		found = true;
		break;
	}
	table_close(rel, NoLock);
	return found;
}

static Oid
mirror_function(void)
{
	return LookupFuncName(list_make2(makeString("shoal"), makeString("mirror_change")),
						  0, NULL, false);
}

static void
add_mirror(Oid relid)
{
	Oid			function = mirror_function();
	CreateTrigStmt *stmt;
	FuncExpr   *wanted;

	/* those who write to it are not to be kept waiting for nothing */
	if (keep_mirror(relid, function, AccessShareLock) ||
		keep_mirror(relid, function, ShareRowExclusiveLock))
		return;
	stmt = makeNode(CreateTrigStmt);
	stmt->trigname = MIRROR_NAME;
	stmt->row = true;
	stmt->timing = TRIGGER_TYPE_AFTER;
	stmt->events = TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE |
		TRIGGER_TYPE_DELETE;
	/* WHEN (shoal.is_mirror_wanted()) */
	wanted = makeFuncExpr(LookupFuncName(list_make2(makeString("shoal"),
													makeString("is_mirror_wanted")),
										 0, NULL, false),
						  BOOLOID, NIL, InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	(void) CreateTriggerFiringOn(stmt, NULL, relid, InvalidOid, InvalidOid,
								 InvalidOid, function, InvalidOid, (Node *) wanted,
								 true, false, TRIGGER_FIRES_ALWAYS);
	CommandCounterIncrement();
}

static bool
has_replicas(int group_id)
{
	const ShoalGroup *group = shoal_meta_find_group(group_id);

	return group && shoal_meta_has_replicas(group);
}

/* What has rows of a table's shards here, or would have if it were a copy of one. */
static List *
copies_of_table(Oid relid)
{
	List	   *copies = NIL;
	ListCell   *lc;

	if (get_rel_relkind(relid) == RELKIND_RELATION)
		return list_make1_oid(relid);
	foreach(lc, find_inheritance_children(relid, NoLock))
	{
		int			group_id;
		int			shard;

		if (shoal_meta_is_shard_schema(get_rel_namespace(lfirst_oid(lc)), &group_id,
									   &shard))
			copies = lappend_oid(copies, lfirst_oid(lc));
		else
			copies = list_concat(copies, copies_of_table(lfirst_oid(lc)));
	}
	return copies;
}

void
shoal_ddl_mirror_table(Oid relid, int group_id)
{
	ListCell   *lc;

	foreach(lc, has_replicas(group_id) ? copies_of_table(relid) : NIL)
		add_mirror(lfirst_oid(lc));
}

/* As the catalog says: without a lock on the table. */
static bool
has_mirror(Relation triggers, Oid relid, Oid function)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(triggers, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		found |= ((Form_pg_trigger) GETSTRUCT(tuple))->tgfoid == function;
	systable_endscan(scan);
	return found;
}

List *
shoal_ddl_unmirrored(Oid relid)
{
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	Oid			function = mirror_function();
	List	   *lacking = NIL;
	ListCell   *lc;

	foreach(lc, copies_of_table(relid))
		if (!has_mirror(triggers, lfirst_oid(lc), function))
			lacking = lappend_oid(lacking, lfirst_oid(lc));
	table_close(triggers, AccessShareLock);
	return lacking;
}

bool
shoal_ddl_is_mirrored(void)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, shoal_meta_group_ids())
	{
		if (!has_replicas(lfirst_int(lc)))
			continue;
		foreach(lc2, shoal_meta_table_oids(lfirst_int(lc)))
			if (shoal_ddl_unmirrored(lfirst_oid(lc2)) != NIL)
				return false;
	}
	return true;
}

void
shoal_ddl_mirror_all(void)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, shoal_meta_group_ids())
	{
		foreach(lc2, shoal_meta_table_oids(lfirst_int(lc)))
			shoal_ddl_mirror_table(lfirst_oid(lc2), lfirst_int(lc));
	}
}
