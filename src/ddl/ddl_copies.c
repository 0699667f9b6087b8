/*
 * ddl_copies.c
 *		One node's part in making and dropping copies of shards.
 *
 * A coordinator calls these on the node that is to have the copy, or had it, in
 * the transaction that changes the placements.  New partitions are empty.
 *
 * To lock a shard against writers means to wait for those that are at it, and
 * meanwhile everybody else would queue up behind: so the wait is cut short again
 * and again, to let the others through.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "ddl/ddl.h"
#include "ddl/ddl_utility.h"
#include "exec/exec.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "xact/xact.h"

extern PGDLLEXPORT Datum shoal_internal_make_copy(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum shoal_internal_drop_copy(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum shoal_internal_empty_copy(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum shoal_internal_empty_table(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum shoal_internal_shard_size(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum shoal_internal_lock_shard(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum shoal_internal_mirror_group(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(shoal_internal_make_copy);
PG_FUNCTION_INFO_V1(shoal_internal_drop_copy);
PG_FUNCTION_INFO_V1(shoal_internal_empty_copy);
PG_FUNCTION_INFO_V1(shoal_internal_empty_table);
PG_FUNCTION_INFO_V1(shoal_internal_shard_size);
PG_FUNCTION_INFO_V1(shoal_internal_lock_shard);
PG_FUNCTION_INFO_V1(shoal_internal_mirror_group);

/*
 * milliseconds for which writers may be held up while locks are waited for: at
 * first, and at most if there is always somebody
 */
#define LOCK_WAIT 100
#define LOCK_WAIT_MAX 1000

/* milliseconds between such attempts, and until there are no more if there is no lock_timeout */
#define LOCK_PAUSE 100
#define LOCK_PATIENCE (60 * 1000)

List *
shoal_ddl_group_leaves(int group_id)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, shoal_meta_table_oids(group_id))
	{
		Oid			relid = lfirst_oid(lc);

		if (get_rel_relkind(relid) == RELKIND_RELATION ||
			shoal_ddl_is_leaf(relid))
			result = lappend_oid(result, relid);
	}
	return result;
}

/* The table that has a shard's rows here, locked; InvalidOid if there is none. */
static Oid
local_copy(Oid relid, int shard, LOCKMODE mode)
{
	bool		same_row;

	if (get_rel_relkind(relid) == RELKIND_RELATION)
	{
		LockRelationOid(relid, mode);
		return relid;
	}
	LockRelationOid(relid, AccessShareLock);
	return shoal_scope_lock_child(relid, shard, mode, &same_row);
}

/* ---- locks ---- */

/* What is to be locked. */
typedef struct WantedLocks
{
	int			group_id;
	List	   *relids;			/* tables of the group */
	int			shard;			/* their copies of that; -1: the tables */
	LOCKMODE	mode;
} WantedLocks;

static void
take_locks(void *arg)
{
	WantedLocks *wanted = arg;
	ListCell   *lc;

	if (wanted->shard >= 0)
		shoal_hold_lock(wanted->group_id, wanted->shard, wanted->mode);
	foreach(lc, wanted->relids)
	{
		if (wanted->shard < 0)
			LockRelationOid(lfirst_oid(lc), wanted->mode);
		else
			(void) local_copy(lfirst_oid(lc), wanted->shard, wanted->mode);
	}
}

/* Tries until it has them all, at first with that many milliseconds, or time is up. */
static void
try_locks(WantedLocks *wanted, int wait, TimestampTz until)
{
	while (!shoal_xact_try_locks(take_locks, wanted, wait))
	{
		wait = Max(wait, Min(wait + wait / 2, LOCK_WAIT_MAX));
		if (GetCurrentTimestamp() > until)
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("could not lock the tables of colocation group %d: there is always somebody who uses them",
							wanted->group_id),
					 errhint("End long transactions, and try again.")));
		shoal_server_pause(LOCK_PAUSE);
	}
}

/*
 * Locks tables of a group (list of OIDs), or their copies of a shard: all, or
 * none at any moment.  Autovacuum gives way when it has been waited for as long as
 * it takes to look for deadlocks; writers need not wait behind that.
 */
static void
lock_tables(List *relids, int group_id, int shard, LOCKMODE mode)
{
	WantedLocks wanted = {group_id, relids, shard, ShareUpdateExclusiveLock};
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													LockTimeout > 0 ? LockTimeout : LOCK_PATIENCE);

	try_locks(&wanted, DeadlockTimeout + LOCK_WAIT, until);
	wanted.mode = mode;
	try_locks(&wanted, LOCK_WAIT, until);
}

static void
lock_group(int group_id, int shard, LOCKMODE mode)
{
	lock_tables(shoal_ddl_group_leaves(group_id), group_id, shard, mode);
}

/*
 * shoal.internal_lock_shard(group, shard): against writers, and those who lock rows
 * to write them later, until the end.  Nobody would heed locks of rows where another
 * copy becomes the primary.
 */
Datum
shoal_internal_lock_shard(PG_FUNCTION_ARGS)
{
	WantedLocks hold = {PG_GETARG_INT32(0), NIL, PG_GETARG_INT32(1), AccessExclusiveLock};

	shoal_xact_check_internal();
	/* those who are about to read it have their time, but not all the time they want */
	(void) shoal_xact_try_locks(take_locks, &hold, LOCK_WAIT);
	lock_group(PG_GETARG_INT32(0), PG_GETARG_INT32(1), ExclusiveLock);
	PG_RETURN_VOID();
}

/* ---- copies ---- */

void
shoal_ddl_empty_table(Oid relid)
{
	Relation	rel = table_open(relid, AccessExclusiveLock);
	Oid			toast = rel->rd_rel->reltoastrelid;
	ReindexParams params = {0};

	shoal_set_new_relfile(rel, rel->rd_rel->relpersistence);
	if (OidIsValid(toast))
	{
		Relation	toast_rel = table_open(toast, AccessExclusiveLock);

		shoal_set_new_relfile(toast_rel, toast_rel->rd_rel->relpersistence);
		table_close(toast_rel, NoLock);
	}
	table_close(rel, NoLock);
	CommandCounterIncrement();
	shoal_reindex_relation(relid, REINDEX_REL_PROCESS_TOAST, &params);
	CommandCounterIncrement();
}

static bool
has_all_copies(int group_id, int shard)
{
	ListCell   *lc;

	foreach(lc, shoal_ddl_group_leaves(group_id))
	{
		if (!OidIsValid(local_copy(lfirst_oid(lc), shard, AccessShareLock)))
			return false;
	}
	return true;
}

/*
 * shoal.internal_make_copy(group, shard): empty tables.  Those that are there are
 * kept as they are, and nobody who uses the group's tables is in the way then.
 */
Datum
shoal_internal_make_copy(PG_FUNCTION_ARGS)
{
	int			group_id = PG_GETARG_INT32(0);
	int			shard = PG_GETARG_INT32(1);
	const ShoalGroup *group = shoal_meta_group(group_id);
	ListCell   *lc;

	shoal_xact_check_internal();
	if (group->kind == SHOAL_KIND_DISTRIBUTED && !has_all_copies(group_id, shard))
		lock_group(group_id, -1, AccessExclusiveLock);
	foreach(lc, shoal_ddl_group_leaves(group_id))
	{
		Oid			relid = lfirst_oid(lc);

		if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE &&
			!OidIsValid(local_copy(relid, shard, AccessShareLock)))
			shoal_ddl_create_partition(relid, group_id, shard,
									   group->shard_count);
		shoal_ddl_mirror_table(relid, group_id);
	}
	PG_RETURN_VOID();
}

/*
 * Takes a partition out of the foreign keys that reference its parent, as
 * DETACH PARTITION does.  That nothing refers to its rows is not looked at: what
 * does goes along with it.
 */
static void
leave_foreign_keys(Oid partition)
{
	Relation	rel = table_open(ConstraintRelationId, RowExclusiveLock);
	List	   *constraints = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	ListCell   *lc;

	ScanKeyInit(&key, Anum_pg_constraint_confrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(partition));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

		if (form->contype == CONSTRAINT_FOREIGN && OidIsValid(form->conparentid))
			constraints = lappend_oid(constraints, form->oid);
	}
	systable_endscan(scan);
	table_close(rel, RowExclusiveLock);

	foreach(lc, constraints)
	{
		ObjectAddress constraint;

		ConstraintSetParentConstraint(lfirst_oid(lc), InvalidOid, InvalidOid);
		deleteDependencyRecordsForClass(ConstraintRelationId, lfirst_oid(lc),
										ConstraintRelationId,
										DEPENDENCY_INTERNAL);
		CommandCounterIncrement();
		ObjectAddressSet(constraint, ConstraintRelationId, lfirst_oid(lc));
		performDeletion(&constraint, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	}
}

/* shoal.internal_drop_copy(group, shard) */
Datum
shoal_internal_drop_copy(PG_FUNCTION_ARGS)
{
	int			group_id = PG_GETARG_INT32(0);
	int			shard = PG_GETARG_INT32(1);
	ObjectAddresses *partitions = new_object_addresses();
	ListCell   *lc;

	shoal_xact_check_internal();
	/* a coordinator that is lost and has not done it would keep what nobody knows of */
	shoal_xact_note_sole();
	lock_group(group_id, -1, AccessExclusiveLock);
	foreach(lc, shoal_ddl_group_leaves(group_id))
	{
		Oid			relid = lfirst_oid(lc);
		ObjectAddress address;

		if (get_rel_relkind(relid) == RELKIND_RELATION)
		{
			shoal_ddl_empty_table(relid);
			continue;
		}
		ObjectAddressSet(address, RelationRelationId,
						 local_copy(relid, shard, AccessExclusiveLock));
		if (!OidIsValid(address.objectId))
			continue;
		leave_foreign_keys(address.objectId);
		add_exact_object_address(&address, partitions);
	}
	performMultipleDeletions(partitions, DROP_RESTRICT,
							 PERFORM_DELETION_INTERNAL |
							 PERFORM_DELETION_QUIETLY);
	free_object_addresses(partitions);
	PG_RETURN_VOID();
}

/* shoal.internal_mirror_group(group): triggers for all copies that are here */
Datum
shoal_internal_mirror_group(PG_FUNCTION_ARGS)
{
	int			group_id = PG_GETARG_INT32(0);
	List	   *leaves = shoal_ddl_group_leaves(group_id);
	List	   *lacking = NIL;
	ListCell   *lc;

	shoal_xact_check_internal();
	foreach(lc, leaves)
		lacking = list_concat(lacking, shoal_ddl_unmirrored(lfirst_oid(lc)));
	if (lacking != NIL)
		lock_tables(lacking, group_id, -1, ShareRowExclusiveLock);
	foreach(lc, leaves)
		shoal_ddl_mirror_table(lfirst_oid(lc), group_id);
	PG_RETURN_VOID();
}

/* shoal.internal_empty_copy(group, shard) */
Datum
shoal_internal_empty_copy(PG_FUNCTION_ARGS)
{
	ListCell   *lc;

	shoal_xact_check_internal();
	lock_group(PG_GETARG_INT32(0), PG_GETARG_INT32(1), AccessExclusiveLock);
	foreach(lc, shoal_ddl_group_leaves(PG_GETARG_INT32(0)))
	{
		Oid			copy = local_copy(lfirst_oid(lc), PG_GETARG_INT32(1),
									  AccessExclusiveLock);

		if (OidIsValid(copy))
			shoal_ddl_empty_table(copy);
	}
	PG_RETURN_VOID();
}

/* shoal.internal_empty_table(table, shard) */
Datum
shoal_internal_empty_table(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	const ShoalTable *table = shoal_meta_table(relid);
	Oid			copy;

	shoal_xact_check_internal();
	if (table == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("table with OID %u is not distributed any more", relid),
				 errhint("Run the transaction again.")));
	lock_tables(list_make1_oid(relid), table->group_id, PG_GETARG_INT32(1),
				AccessExclusiveLock);
	copy = local_copy(relid, PG_GETARG_INT32(1), AccessExclusiveLock);
	if (OidIsValid(copy))
		shoal_ddl_empty_table(copy);
	PG_RETURN_VOID();
}

/*
 * shoal.internal_shard_size(group, shard): bytes, without indexes, and about how
 * many rows
 */
Datum
shoal_internal_shard_size(PG_FUNCTION_ARGS)
{
	int64		bytes = 0;
	int64		rows = 0;
	ListCell   *lc;

	shoal_xact_check_internal();
	foreach(lc, shoal_ddl_group_leaves(PG_GETARG_INT32(0)))
	{
		Oid			copy = local_copy(lfirst_oid(lc), PG_GETARG_INT32(1),
									  AccessShareLock);
		Relation	rel;

		if (!OidIsValid(copy))
			continue;
		rel = table_open(copy, NoLock);
		bytes += (int64) RelationGetNumberOfBlocks(rel) * BLCKSZ;
		rows += rel->rd_rel->reltuples > 0 ? rel->rd_rel->reltuples : 0;
		table_close(rel, NoLock);
	}
	PG_RETURN_TEXT_P(cstring_to_text(psprintf(INT64_FORMAT " " INT64_FORMAT,
											  bytes, rows)));
}
