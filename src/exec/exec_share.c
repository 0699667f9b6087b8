/*
 * exec_share.c
 *		Dealing a node's shards to several connections.
 *
 * A fragment that one process of a node would take long for, and that core
 * can't run in parallel there, is sent over several connections, each with some
 * of the shards (plan_share.c says which fragments may be).  All of them are part
 * of the transaction.  Those to one node read with one and the same snapshot, which the
 * first takes and the others are given: otherwise a transaction of that node
 * alone could be seen by some of them only.
 *
 * A later statement would not see on one connection what was written over
 * another one.  So a write is dealt only if it is all there is of its
 * transaction, and a read only if nothing has been written before.
 *
 * The further connections are a convenience: where there is no room for them
 * at the node, or in shoal.max_node_connections, it is done with fewer.
 * Shards on this node are read by this backend, all of them.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "optimizer/paths.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "exec/exec_internal.h"
#include "plan/plan_size.h"
#include "scope/scope.h"
#include "xact/xact.h"

/* Connections that the task's part of the work is worth, as core counts workers. */
static int
shares_of(const ShoalFragment *frag, const ShoalTask *task)
{
	double		bytes = 0;
	double		step = (double) min_parallel_table_scan_size * BLCKSZ;
	int			most = Min(shoal_max_statement_connections,
						   bms_num_members(task->shards));
	int			shares = 1;
	ListCell   *lc;

	if (task->local || shoal_xact_has_written(task->node_id))
		return 1;
	most = Min(most, shoal_scope_processors(frag->group_id, task->node_id));
	if (most < 2)
		return 1;
	foreach(lc, frag->share_tables)
		bytes = Max(bytes, shoal_size_on_node(task->node_id, lfirst_oid(lc)));
	for (; shares < most && bytes >= step; step *= 3)
		shares++;
	return shares;
}

bool
shoal_share_plan(ShoalRun *run)
{
	const ShoalFragment *frag = run->frag;
	const ShoalGroup *group;
	bool		any = false;

	if (frag->share_tables == NIL || shoal_max_statement_connections < 2 ||
		frag->moves != NIL ||
		(run->call.reading.moment == 0 && !shoal_moment_wanted()))
		return false;
	group = shoal_meta_group(frag->group_id);
	if (group == NULL ||
		(run->call.writes && (group->mirrored || !shoal_xact_is_single())))
		return false;
	for (int i = 0; i < run->ntasks; i++)
	{
		run->tasks[i].shares = shares_of(frag, &run->tasks[i]);
		any |= run->tasks[i].shares > 1;
	}
	return any;
}

/* Further connections for a task, in its transaction and with its snapshot. */
static List *
open_beside(ShoalRun *run, ShoalTask *task)
{
	int			flags = SHOAL_JOIN_BLOCK;
	ShoalConn  *usual;
	List	   *conns = NIL;

	if (run->call.writes)
		flags |= SHOAL_JOIN_WRITE | SHOAL_JOIN_TOLD;
	usual = shoal_xact_conn(task->node_id, flags);
	for (int i = 1; i < task->shares; i++)
	{
		ShoalConn  *conn = shoal_xact_conn_beside(task->node_id, i, flags);

		if (conn == NULL)
			break;
		shoal_moment_share(usual, conn, run->call.reading.moment);
		conns = lappend(conns, conn);
	}
	return conns;
}

void
shoal_share_deal(ShoalRun *run)
{
	ShoalTask  *tasks;
	int			n = 0;
	int			total = 0;

	for (int i = 0; i < run->ntasks; i++)
		total += run->tasks[i].shares;
	tasks = palloc0(sizeof(ShoalTask) * total);
	for (int i = 0; i < run->ntasks; i++)
	{
		ShoalTask  *task = &run->tasks[i];
		List	   *conns = task->shares > 1 ? open_beside(run, task) : NIL;
		ShoalTask  *dealt = &tasks[n];
		int			ndealt = 1 + list_length(conns);
		int			shard = -1;
		int			turn = 0;

		for (int j = 0; j < ndealt; j++)
		{
			dealt[j] = *task;
			dealt[j].shards = NULL;
			dealt[j].conn = j == 0 ? NULL : list_nth(conns, j - 1);
		}
		while ((shard = bms_next_member(task->shards, shard)) >= 0)
		{
			ShoalTask  *taker = &dealt[turn++ % ndealt];

			taker->shards = bms_add_member(taker->shards, shard);
		}
		n += ndealt;
	}
	run->tasks = tasks;
	run->ntasks = n;
}
