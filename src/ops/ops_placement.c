/*
 * ops_placement.c
 *		Functions that make, promote, move and drop copies of shards.
 *
 * What needs to copy rows is done by a worker (ops_job.c), in transactions of
 * its own, and so is what is announced before it is done.  The rest is part of the caller's
 * transaction.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/varlena.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "ddl/ddl.h"
#include "meta/meta.h"
#include "ops/ops.h"
#include "ops/ops_job.h"
#include "xact/xact.h"

PG_FUNCTION_INFO_V1(shoal_add_replica);
PG_FUNCTION_INFO_V1(shoal_move_shard);
PG_FUNCTION_INFO_V1(shoal_promote);
PG_FUNCTION_INFO_V1(shoal_drop_placement);
PG_FUNCTION_INFO_V1(shoal_set_replicas);
PG_FUNCTION_INFO_V1(shoal_set_replicas_of_table);
PG_FUNCTION_INFO_V1(shoal_set_replicas_by_name);
PG_FUNCTION_INFO_V1(shoal_repair_placements);
PG_FUNCTION_INFO_V1(shoal_internal_hold_copy);
PG_FUNCTION_INFO_V1(shoal_internal_release_copy);
PG_FUNCTION_INFO_V1(shoal_internal_is_copy_held);

/* ---- holding a copy while it is made ---- */

/* shoal.internal_hold_copy(group, shard): until the session ends */
Datum
shoal_internal_hold_copy(PG_FUNCTION_ARGS)
{
	LOCKTAG		tag;

	shoal_xact_check_internal();
	SHOAL_SET_LOCKTAG(tag, SHOAL_LOCK_COPY, PG_GETARG_INT32(0), PG_GETARG_INT32(1));
	if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("somebody works on this copy of shard %d of colocation group %d",
						PG_GETARG_INT32(1), PG_GETARG_INT32(0)),
				 errhint("See the view shoal.jobs.")));
	PG_RETURN_VOID();
}

Datum
shoal_internal_release_copy(PG_FUNCTION_ARGS)
{
	LOCKTAG		tag;

	shoal_xact_check_internal();
	SHOAL_SET_LOCKTAG(tag, SHOAL_LOCK_COPY, PG_GETARG_INT32(0), PG_GETARG_INT32(1));
	(void) LockRelease(&tag, ExclusiveLock, true);
	PG_RETURN_VOID();
}

Datum
shoal_internal_is_copy_held(PG_FUNCTION_ARGS)
{
	LOCKTAG		tag;

	shoal_xact_check_internal();
	SHOAL_SET_LOCKTAG(tag, SHOAL_LOCK_COPY, PG_GETARG_INT32(0), PG_GETARG_INT32(1));
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		PG_RETURN_BOOL(true);
	(void) LockRelease(&tag, ExclusiveLock, false);
	PG_RETURN_BOOL(false);
}

/* ---- what a worker does ---- */

Datum
shoal_add_replica(PG_FUNCTION_ARGS)
{
	OpsJobArgs	args = {OPS_JOB_ADD};

	args.group_id = PG_GETARG_INT32(0);
	args.shard = PG_GETARG_INT32(1);
	args.to_node = PG_GETARG_INT32(2);
	(void) ops_job_run(&args, "shoal.add_replica()");
	PG_RETURN_VOID();
}

Datum
shoal_move_shard(PG_FUNCTION_ARGS)
{
	OpsJobArgs	args = {OPS_JOB_MOVE};
	const ShoalGroup *group;

	args.group_id = PG_GETARG_INT32(0);
	args.shard = PG_GETARG_INT32(1);
	args.from_node = PG_GETARG_INT32(2);
	args.to_node = PG_GETARG_INT32(3);
	group = shoal_meta_find_group(args.group_id);
	if (group && args.shard >= 0 && args.shard < group->shard_count &&
		shoal_meta_copy(group, args.shard, args.from_node) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("node %d has no copy of shard %d", args.from_node,
						args.shard)));
	(void) ops_job_run(&args, "shoal.move_shard()");
	PG_RETURN_VOID();
}

static int
set_replicas(int group_id, int replicas)
{
	OpsJobArgs	args = {OPS_JOB_REPLICAS};

	if (replicas < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of replicas must not be negative")));
	args.group_id = group_id;
	args.to_node = replicas;
	return ops_job_run(&args, "shoal.set_replicas()");
}

Datum
shoal_set_replicas(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(set_replicas(PG_GETARG_INT32(0), PG_GETARG_INT32(1)));
}

static int
group_of_table(Oid relid)
{
	const ShoalTable *table = shoal_meta_table(relid);

	if (table == NULL || table->kind == SHOAL_KIND_REFERENCE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is not a distributed or single-shard table",
						get_rel_name(relid))));
	return table->group_id;
}

Datum
shoal_set_replicas_of_table(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(set_replicas(group_of_table(PG_GETARG_OID(0)),
								 PG_GETARG_INT32(1)));
}

Datum
shoal_set_replicas_by_name(PG_FUNCTION_ARGS)
{
	RangeVar   *name = makeRangeVarFromNameList(textToQualifiedNameList(PG_GETARG_TEXT_PP(0)));

	/* a lock would be in the worker's way */
	PG_RETURN_INT32(set_replicas(group_of_table(RangeVarGetRelid(name, NoLock,
																  false)),
								 PG_GETARG_INT32(1)));
}

Datum
shoal_repair_placements(PG_FUNCTION_ARGS)
{
	OpsJobArgs	args = {OPS_JOB_REPAIR};

	PG_RETURN_INT32(ops_job_run(&args, "shoal.repair_placements()"));
}

/* ---- what is part of the transaction ---- */

static const ShoalCopy *
find_replica(const ShoalGroup *group, int shard, int node_id)
{
	const ShoalCopy *copy = shard < 0 || shard >= group->shard_count ? NULL :
		shoal_meta_copy(group, shard, node_id);

	if (copy == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("node %d has no copy of shard %d of colocation group %d",
						node_id, shard, group->group_id)));
	if (copy->is_primary)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("node %d has the primary of shard %d of colocation group %d",
						node_id, shard, group->group_id)));
	return copy;
}

static const ShoalGroup *
begin_change(int group_id, const char *function)
{
	const ShoalGroup *group;

	shoal_ddl_begin_change(function);
	group = shoal_meta_find_group(group_id);
	if (group == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no colocation group %d", group_id)));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	return group;
}

void
ops_placement_promote(const ShoalGroup *group, int shard, int node_id)
{
	int			group_id = group->group_id;
	int			old;
	char	   *lock = psprintf("shoal.internal_lock_shard(%d, %d)", group_id,
								shard);

	if (find_replica(group, shard, node_id)->state != SHOAL_COPY_ACTIVE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the replica of shard %d on node %d is not complete",
						shard, node_id),
				 errhint("Use shoal.repair_placements() first.")));
	old = group->primary[shard];
	if (old == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("shard %d of colocation group %d has no active primary",
						shard, group_id)));
	shoal_ops_call_together(2, (int[]) {old, node_id}, (char *[]) {lock, lock});
	shoal_ops_run_everywhere(psprintf("UPDATE shoal.placement SET role = CASE node_id WHEN %d THEN 'primary' ELSE 'replica' END,"
									  " replaces = NULL"
									  " WHERE group_id = %d AND shard = %d AND node_id IN (%d, %d)",
									  node_id, group_id, shard, old, node_id));
}

/* Whether a worker would wait for this transaction in vain. */
static bool
may_hold_locks(void)
{
	return IsTransactionBlock() || GetCurrentTransactionNestLevel() > 1 ||
		TransactionIdIsValid(GetTopTransactionIdIfAny()) ||
		shoal_xact_has_joined();
}

/*
 * By a worker, if that can be, which announces it: then writers find their way
 * (exec_hold.c).  Else as part of the transaction.
 */
Datum
shoal_promote(PG_FUNCTION_ARGS)
{
	OpsJobArgs	args = {OPS_JOB_PROMOTE};

	args.group_id = PG_GETARG_INT32(0);
	args.shard = PG_GETARG_INT32(1);
	args.to_node = PG_GETARG_INT32(2);
	if (!may_hold_locks())
		(void) ops_job_run(&args, "shoal.promote()");
	else
	{
		ops_placement_promote(begin_change(args.group_id, "shoal.promote()"),
							  args.shard, args.to_node);
		SPI_finish();
	}
	PG_RETURN_VOID();
}

Datum
shoal_drop_placement(PG_FUNCTION_ARGS)
{
	int			group_id = PG_GETARG_INT32(0);
	int			shard = PG_GETARG_INT32(1);
	int			node_id = PG_GETARG_INT32(2);
	const ShoalGroup *group = begin_change(group_id, "shoal.drop_placement()");
	int			primary = shard >= 0 && shard < group->shard_count ?
		group->primary[shard] : 0;

	(void) find_replica(group, shard, node_id);
	/* a shard without an active primary has no writers */
	shoal_ops_call_together(primary ? 2 : 1, (int[]) {node_id, primary},
							(char *[]) {psprintf("shoal.internal_drop_copy(%d, %d)", group_id, shard),
								psprintf("shoal.internal_lock_shard(%d, %d)", group_id, shard)});
	shoal_ops_run_everywhere(psprintf("DELETE FROM shoal.placement WHERE group_id = %d AND shard = %d AND node_id = %d",
									  group_id, shard, node_id));
	SPI_finish();
	PG_RETURN_VOID();
}
