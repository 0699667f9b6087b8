/*
 * ops_copies.c
 *		Making, moving and repairing copies of shards: the worker's part.
 *
 * A copy is made in these transactions:
 *
 *	1. empty tables on its node, and a placement that gets no writes (stale)
 *	2. the placement gets all writes (copying); for that the primary is locked
 *	   against writers for a moment, so that none is under way that does not
 *	   know it
 *	3. rows, some megabytes at a time (mirror_fill.c)
 *	4. the placement is as good as any (active); in a move it takes the role of
 *	   the one that it replaces, which gets no writes any more (dropping)
 *	5. in a move: the old copy's tables and placement go
 *
 * While it is made, its maker holds a lock on the copy's node, in a connection
 * of its own.  A placement that is not finished and whose lock nobody holds was
 * left by a fault.  Whoever repairs, then goes on: a move before step 4 is
 * undone, after it is finished; everything else is made again.
 *
 * Each transaction changes the metadata of all nodes, under the cluster lock.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "ddl/ddl.h"
#include "ddl/ddl_utility.h"
#include "meta/meta.h"
#include "mirror/mirror.h"
#include "ops/ops.h"
#include "ops/ops_job.h"
#include "remote/remote.h"
#include "scope/scope.h"
#include "xact/xact.h"
#include "xact/xact_health.h"

/* milliseconds between the announcement that a copy will be the primary and that */
#define ANNOUNCE_WAIT 100

/* blocks that are sent in one transaction */
#define FILL_BLOCKS 256

/*
 * milliseconds for which rows that others write are waited for, at first and at most (less
 * than deadlock_timeout is by default), and between attempts
 */
#define FILL_WAIT 100
#define FILL_WAIT_MAX 800
#define FILL_PAUSE 50

/* ---- looking at placements ---- */

const ShoalGroup *
ops_copies_find_group(int group_id, int shard)
{
	const ShoalGroup *group = shoal_meta_find_group(group_id);

	if (group == NULL || group->kind == SHOAL_KIND_REFERENCE)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no colocation group %d that has shards",
						group_id),
				 errhint("See the view shoal.tables.")));
	if (shard < 0 || shard >= group->shard_count)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("colocation group %d has no shard %d", group_id, shard)));
	return group;
}

static void
check_new_node(const ShoalGroup *group, int shard, int node_id)
{
	if (shoal_meta_node(node_id) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no node %d", node_id)));
	if (shoal_meta_copy(group, shard, node_id) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("node %d has a copy of shard %d already", node_id,
						shard)));
	if (group->primary[shard] == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("shard %d of colocation group %d has no active primary",
						shard, group->group_id)));
}

/* ---- changing them, inside of a transaction ---- */

static char *
which(int group_id, int shard, int node_id)
{
	return psprintf("group_id = %d AND shard = %d AND node_id = %d", group_id,
					shard, node_id);
}

static void
add_placement(int group_id, int shard, int node_id, int replaces)
{
	shoal_ops_run_everywhere(psprintf("INSERT INTO shoal.placement (group_id, shard, node_id, role, state, replaces)"
									  " VALUES (%d, %d, %d, 'replica', 'stale', %s)",
									  group_id, shard, node_id,
									  replaces ? psprintf("%d", replaces) : "NULL"));
}

static void
set_state(int group_id, int shard, int node_id, const char *state)
{
	shoal_ops_run_everywhere(psprintf("UPDATE shoal.placement SET state = '%s', replaces = CASE WHEN '%s' = 'active' THEN NULL ELSE replaces END WHERE %s",
									  state, state,
									  which(group_id, shard, node_id)));
}

static void
delete_placement(int group_id, int shard, int node_id)
{
	shoal_ops_run_everywhere(psprintf("DELETE FROM shoal.placement WHERE %s",
									  which(group_id, shard, node_id)));
}

/* The new copy gets the old one's role. */
static void
swap_roles(int group_id, int shard, int from, int to)
{
	shoal_ops_run_everywhere(psprintf("UPDATE shoal.placement p SET role = o.role, state = 'active', replaces = NULL"
									  " FROM shoal.placement o WHERE p.group_id = %d AND p.shard = %d AND p.node_id = %d"
									  " AND o.group_id = %d AND o.shard = %d AND o.node_id = %d",
									  group_id, shard, to, group_id, shard, from));
	shoal_ops_run_everywhere(psprintf("UPDATE shoal.placement SET role = 'replica', state = 'dropping' WHERE %s",
									  which(group_id, shard, from)));
}

/* In PG_CATCH(): the error, in that context, when the transaction has been ended. */
static ErrorData *
catch_error(MemoryContext context)
{
	ErrorData  *error = shoal_xact_catch(context);

	AbortCurrentTransaction();
	MemoryContextSwitchTo(context);
	return error;
}

/* ---- steps ---- */

static void
lock_cluster(void)
{
	(void) shoal_ddl_enter_cluster(true);
}

static void
step_make_tables(int group_id, int shard, int node_id, int replaces)
{
	ops_job_begin();
	lock_cluster();
	check_new_node(ops_copies_find_group(group_id, shard), shard, node_id);
	add_placement(group_id, shard, node_id, replaces);
	(void) shoal_ops_call(node_id, psprintf("shoal.internal_make_copy(%d, %d)",
											group_id, shard));
	ops_job_pause("tables made");
	ops_job_commit();
}

/*
 * In a transaction of its own: whoever writes waits for locks on tables that get
 * triggers, and may hold the shard.
 */
static void
step_mirror(int group_id, int shard)
{
	int			primary;

	ops_job_begin();
	lock_cluster();
	primary = ops_copies_find_group(group_id, shard)->primary[shard];
	if (primary != 0)
		(void) shoal_ops_call(primary, psprintf("shoal.internal_mirror_group(%d)",
												group_id));
	ops_job_commit();
}

/* Returns what the primary has. */
static OpsSize
step_begin_writes(int group_id, int shard, int node_id)
{
	const ShoalGroup *group;
	const ShoalCopy *copy;
	char	   *text;
	OpsSize		size = {0};
	int			primary;

	ops_job_begin();
	lock_cluster();
	group = ops_copies_find_group(group_id, shard);
	primary = group->primary[shard];
	copy = shoal_meta_copy(group, shard, node_id);
	if (copy == NULL || copy->is_primary || primary == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("node %d has no replica of shard %d that could be filled",
						node_id, shard)));
	text = shoal_ops_call(primary, psprintf("shoal.internal_shard_size(%d, %d)",
											group_id, shard));
	if (text == NULL ||
		sscanf(text, UINT64_FORMAT " " UINT64_FORMAT, &size.bytes, &size.rows) != 2)
		elog(ERROR, "unexpected answer from a node: %s", text ? text : "nothing");
	(void) shoal_ops_call(primary, psprintf("shoal.internal_lock_shard(%d, %d)",
											group_id, shard));
	set_state(group_id, shard, node_id, "copying");
	ops_job_pause("writers stopped");
	ops_job_commit();
	return size;
}

char *
ops_copies_call(int node_id, const char *call)
{
	ShoalRequest *req;
	PGresult   *res;
	char	   *result = NULL;

	if (node_id == shoal_meta_local_node_id())
		return shoal_ops_call(node_id, call);
	req = shoal_remote_send(shoal_xact_conn(node_id,
											SHOAL_JOIN_WRITE | SHOAL_JOIN_BLOCK),
							psprintf("/*shoal local*/ SELECT %s", call), NULL, 0);
	while (!shoal_remote_ready(req))
	{
		shoal_mirror_forward_some();
		shoal_server_pause(1);
	}
	while ((res = shoal_remote_next(req)) != NULL)
		if (PQresultStatus(res) == PGRES_SINGLE_TUPLE)
			result = pstrdup(PQgetvalue(res, 0, 0));
	return result;
}

void
ops_copies_check_filling(const ShoalGroup *group, int shard, int node_id)
{
	const ShoalCopy *copy = shoal_meta_copy(group, shard, node_id);

	if (copy == NULL || copy->state != SHOAL_COPY_COPYING)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the copy of shard %d on node %d does not get all writes any more",
						shard, node_id),
				 errhint("Its node was given up meanwhile; try again.")));
}

/* How far a table has been sent. */
typedef struct FillPlace
{
	int			primary;		/* whose blocks these are */
	Oid			file;
	uint64		block;			/* the next one */
} FillPlace;

/*
 * Sends some blocks of a table, and waits for rows that others write only so many
 * milliseconds (else 55P03); false if there are no more.
 */
static bool
fill_some(Oid relid, int group_id, int shard, int node_id, int wait, FillPlace *place)
{
	ShoalFill	done = {0};
	const ShoalGroup *group;
	char	   *name;
	char	   *text;
	int			more;
	int			primary;
	int			nest_level;

	ops_job_begin();
	CHECK_FOR_INTERRUPTS();
	group = ops_copies_find_group(group_id, shard);
	ops_copies_check_filling(group, shard, node_id);
	name = get_rel_name(relid);
	if (name == NULL)
	{
		/* dropped meanwhile */
		ops_job_commit();
		return false;
	}
	name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  name);
	primary = group->primary[shard];
	nest_level = NewGUCNestLevel();
	(void) set_config_option("lock_timeout", psprintf("%d", wait), PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	text = ops_copies_call(primary,
					 psprintf("shoal.internal_fill(%s::pg_catalog.regclass, %d, %d, " UINT64_FORMAT ", %d, %u)",
							  quote_literal_cstr(name), shard, node_id,
							  place->block, FILL_BLOCKS,
							  primary == place->primary ? place->file : InvalidOid));
	if (text == NULL ||
		sscanf(text, UINT64_FORMAT " " UINT64_FORMAT " " UINT64_FORMAT " %d " UINT64_FORMAT " %u",
			   &done.blocks, &done.rows, &done.bytes, &more, &done.next, &done.file) != 6)
		elog(ERROR, "unexpected answer from a node: %s", text ? text : "nothing");
	shoal_mirror_forward();
	AtEOXact_GUC(true, nest_level);
	ops_job_pause("some rows sent");
	ops_job_commit();
	ops_job_progress(done.blocks * BLCKSZ, done.rows);
	place->primary = primary;
	place->file = done.file;
	place->block = done.next;
	return more != 0;
}

/* The same; false if somebody was in the way, and nothing was sent. */
static bool
try_fill(Oid relid, int group_id, int shard, int node_id, int wait,
		 FillPlace *place, bool *more)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		*more = fill_some(relid, group_id, shard, node_id, wait, place);
	}
	PG_CATCH();
	{
		error = catch_error(context);
	}
	PG_END_TRY();
	if (error == NULL)
		return true;
	if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE &&
		error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED)
		ReThrowError(error);
	FreeErrorData(error);
	return false;
}

/*
 * The same.  Who writes several rows may wait for those that have been sent, while one of
 * his is waited for here.  It is not he who gives way: all is sent again.
 */
static bool
fill_patiently(Oid relid, int group_id, int shard, int node_id, FillPlace *place)
{
	bool		more;
	int			wait = FILL_WAIT;

	while (!try_fill(relid, group_id, shard, node_id, wait, place, &more))
	{
		wait = Min(2 * wait, FILL_WAIT_MAX);
		shoal_server_pause(FILL_PAUSE);
	}
	return more;
}

/* repaired: if the copy has old rows, else NULL */
static void
step_fill(int group_id, int shard, int node_id, OpsRepaired *repaired)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "Shoal tables to fill",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	List	   *tables;
	ListCell   *lc;

	ops_job_begin();
	old = MemoryContextSwitchTo(context);
	tables = list_copy(shoal_ddl_group_leaves(group_id));
	MemoryContextSwitchTo(old);
	ops_job_commit();
	foreach(lc, tables)
	{
		FillPlace	place = {0};

		if (repaired && ops_repair_table(lfirst_oid(lc), group_id, shard,
										 node_id, repaired))
			continue;
		while (fill_patiently(lfirst_oid(lc), group_id, shard, node_id, &place))
			;
	}
	MemoryContextDelete(context);
}

/* from: the node of the copy that is replaced, 0 if none is */
static void
step_finish(int group_id, int shard, int from, int to)
{
	const ShoalGroup *group;

	ops_job_begin();
	lock_cluster();
	group = ops_copies_find_group(group_id, shard);
	ops_copies_check_filling(group, shard, to);
	if (from == 0)
		set_state(group_id, shard, to, "active");
	else
	{
		const ShoalCopy *old = shoal_meta_copy(group, shard, from);
		char	   *lock = psprintf("shoal.internal_lock_shard(%d, %d)",
									group_id, shard);
		int			primary = group->primary[shard];

		if (old == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("node %d has lost its copy of shard %d", from, shard)));

		/*
		 * Whoever has ended on the one may still have to on the other, or have
		 * locked tables there and wait for the one.
		 */
		if (old->is_primary)
			shoal_ops_call_together(2, (int[]) {from, to}, (char *[]) {lock, lock});
		/* nobody may be about to write to the old copy */
		else if (primary != 0)
			(void) shoal_ops_call(primary, lock);
		swap_roles(group_id, shard, from, to);
	}
	ops_job_pause("completed");
	ops_job_commit();
}

static void
step_drop(int group_id, int shard, int node_id)
{
	ops_job_begin();
	lock_cluster();
	(void) shoal_ops_call(node_id, psprintf("shoal.internal_drop_copy(%d, %d)",
											group_id, shard));
	delete_placement(group_id, shard, node_id);
	ops_job_pause("dropped");
	ops_job_commit();
}

/* Nobody writes to it any more; then step_drop can't be in anyone's way. */
static void
step_stop_writes(int group_id, int shard, int node_id)
{
	int			primary;

	ops_job_begin();
	lock_cluster();
	primary = ops_copies_find_group(group_id, shard)->primary[shard];
	if (primary != 0)
		(void) shoal_ops_call(primary, psprintf("shoal.internal_lock_shard(%d, %d)",
												group_id, shard));
	set_state(group_id, shard, node_id, "dropping");
	ops_job_pause("dropping");
	ops_job_commit();
}

/* ---- one copy ---- */

/*
 * Keeps others from taking the copy for one that was left by a fault.  In this
 * session if it is on this node, else in one of its own.
 */
static ShoalConn *
hold_copy(int group_id, int shard, int node_id)
{
	ShoalConn  *conn = NULL;
	char	   *call = psprintf("shoal.internal_hold_copy(%d, %d)", group_id,
								shard);

	ops_job_begin();
	if (node_id == shoal_meta_local_node_id())
		(void) shoal_ops_call(node_id, call);
	else
	{
		conn = shoal_remote_conn_separate(node_id);
		(void) shoal_remote_exec(conn, psprintf("/*shoal local*/ SELECT %s", call));
		shoal_remote_keep(conn);
	}
	ops_job_commit();
	return conn;
}

static void
release_copy(ShoalConn *conn, int group_id, int shard)
{
	if (conn)
		shoal_remote_close(conn);
	else
	{
		ops_job_begin();
		(void) shoal_ops_call(shoal_meta_local_node_id(),
							  psprintf("shoal.internal_release_copy(%d, %d)",
									   group_id, shard));
		ops_job_commit();
	}
}

/* After an error: as if it had not been begun.  Gives up on errors. */
static void
undo(int group_id, int shard, int node_id, bool drop)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		if (drop)
			step_drop(group_id, shard, node_id);
		else
		{
			ops_job_begin();
			lock_cluster();
			set_state(group_id, shard, node_id, "stale");
			ops_job_commit();
		}
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(context);
	}
	PG_END_TRY();
}

/* Steps 2 to 4 of a copy whose tables exist; repaired as in step_fill. */
static void
fill_copy(int group_id, int shard, int from, int to, OpsRepaired *repaired)
{
	OpsSize		size;

	ops_job_show(group_id, shard, from, to, "waiting for writers", NULL);
	step_mirror(group_id, shard);
	size = step_begin_writes(group_id, shard, to);
	ops_job_show(group_id, shard, from, to, repaired ? "repairing" : "copying",
				 &size);
	step_fill(group_id, shard, to, repaired);
	ops_job_show(group_id, shard, from, to, "completing", NULL);
	step_finish(group_id, shard, from, to);
}

/*
 * Before the first replica is made: other nodes may have to go on with
 * sequences from now on (xact_sequence.c).
 */
static void
level_sequences(void)
{
	char	   *calls;
	List	   *others = NIL;
	ListCell   *lc;

	if (shoal_health_is_watched())
		return;
	ops_job_begin();
	calls = shoal_ops_call(((const ShoalNode *) linitial(shoal_meta_nodes()))->node_id,
						   "shoal.internal_sequences()");
	for_each_from(lc, shoal_meta_nodes(), 1)
		others = lappend_int(others, ((const ShoalNode *) lfirst(lc))->node_id);
	foreach(lc, calls ? others : NIL)
		(void) shoal_ops_call(lfirst_int(lc), calls);
	ops_job_commit();
}

static void
make_copy(int group_id, int shard, int from, int to)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;
	ShoalConn  *hold;
	volatile bool made = false;

	level_sequences();
	ops_job_show(group_id, shard, from, to, "making tables", NULL);
	hold = hold_copy(group_id, shard, to);
	PG_TRY();
	{
		step_make_tables(group_id, shard, to, from);
		made = true;
		fill_copy(group_id, shard, from, to, NULL);
	}
	PG_CATCH();
	{
		error = catch_error(context);
	}
	PG_END_TRY();
	if (error && made)
		undo(group_id, shard, to, true);
	release_copy(hold, group_id, shard);
	if (error)
		ReThrowError(error);
	if (from != 0)
	{
		ops_job_show(group_id, shard, from, to, "dropping the old copy", NULL);
		step_drop(group_id, shard, from);
	}
}

/* ---- another primary ---- */

/* Whoever knows of it holds the shards that he writes (exec_hold.c). */
static void
announce(int group_id, int shard, int node_id, bool over)
{
	const ShoalGroup *group;

	ops_job_begin();
	lock_cluster();
	group = ops_copies_find_group(group_id, shard);
	shoal_ops_run_everywhere(psprintf("UPDATE shoal.placement SET replaces = %s WHERE %s AND state = 'active'",
									  over ? "NULL" : psprintf("%d", group->primary[shard]),
									  which(group_id, shard, node_id)));
	ops_job_pause("announced");
	ops_job_commit();
}

static void
promote(int group_id, int shard, int node_id)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;

	announce(group_id, shard, node_id, false);
	/* most that has begun before is over by then */
	shoal_server_pause(ANNOUNCE_WAIT);
	PG_TRY();
	{
		ops_job_begin();
		lock_cluster();
		ops_placement_promote(ops_copies_find_group(group_id, shard), shard, node_id);
		ops_job_pause("promoted");
		ops_job_commit();
	}
	PG_CATCH();
	{
		error = catch_error(context);
	}
	PG_END_TRY();
	if (error)
	{
		announce(group_id, shard, node_id, true);
		ReThrowError(error);
	}
}

/* ---- as many replicas as that ---- */

/*
 * The node for a new replica: the one that has the fewest copies of the group,
 * 0 if none is left.  Or the one whose replica is to go.
 */
static int
pick_node(int group_id, int shard, bool add)
{
	const ShoalGroup *group = ops_copies_find_group(group_id, shard);
	int			best = 0;
	int			best_count = 0;
	ListCell   *lc;

	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = lfirst(lc);
		const ShoalCopy *copy = shoal_meta_copy(group, shard, node->node_id);
		int			count = 0;

		if (add ? copy != NULL || !node->holds_shards :
			copy == NULL || copy->is_primary)
			continue;
		for (int i = 0; i < group->ncopies; i++)
			if (group->copies[i].node_id == node->node_id)
				count += group->copies[i].is_primary ? 1 : 2;
		if (best == 0 || (add ? count < best_count : count > best_count))
		{
			best = node->node_id;
			best_count = count;
		}
	}
	return best;
}

/* The replicas that a shard has. */
static int
count_replicas(int group_id, int shard)
{
	const ShoalGroup *group = ops_copies_find_group(group_id, shard);
	int			count = 0;

	for (int i = 0; i < group->ncopies; i++)
		if (group->copies[i].shard == shard && !group->copies[i].is_primary &&
			group->copies[i].state != SHOAL_COPY_DROPPING)
			count++;
	return count;
}

/* Before anything is changed. */
static void
check_enough_nodes(const ShoalGroup *group, int replicas)
{
	for (int shard = 0; shard < group->shard_count; shard++)
	{
		int			n = 0;
		ListCell   *lc;

		foreach(lc, shoal_meta_nodes())
		{
			const ShoalNode *node = lfirst(lc);

			if (node->holds_shards ||
				shoal_meta_copy(group, shard, node->node_id) != NULL)
				n++;
		}
		if (replicas >= n)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("%d nodes are too few for %d replicas of each shard",
							n, replicas),
					 errdetail("A replica is never on the node of its primary."),
					 errhint("Add nodes with shoal.add_node(), or use fewer replicas.")));
	}
}

/* As the node says that has the first shard: others need not have any of the partitions. */
static void
check_logged(int group_id)
{
	char	   *name = shoal_ops_call(ops_copies_find_group(group_id, 0)->primary[0],
									  psprintf("(SELECT t.relname FROM shoal.distributed_table d"
											   " JOIN pg_catalog.pg_class t ON t.oid = d.table_name"
											   " WHERE d.group_id = %d AND EXISTS"
											   " (SELECT FROM pg_catalog.pg_class c WHERE c.relpersistence = 'u'"
											   " AND (c.oid = d.table_name OR c.oid IN"
											   " (SELECT relid FROM pg_catalog.pg_partition_tree(d.table_name)))) LIMIT 1)",
											   group_id));

	if (name != NULL)
		shoal_ddl_refuse_unlogged(name, false);
}

static void
add_replica(int group_id, int shard, int node_id)
{
	ops_job_begin();
	check_logged(group_id);
	ops_job_commit();
	make_copy(group_id, shard, 0, node_id);
}

static int
set_replicas(int group_id, int replicas)
{
	int			shard_count;
	int			changed = 0;

	ops_job_begin();
	lock_cluster();
	shard_count = ops_copies_find_group(group_id, 0)->shard_count;
	check_enough_nodes(ops_copies_find_group(group_id, 0), replicas);
	if (replicas > 0)
		check_logged(group_id);
	shoal_ops_run_everywhere(psprintf("UPDATE shoal.colocation_group SET replicas = %d WHERE group_id = %d",
									  replicas, group_id));
	ops_job_commit();
	for (int shard = 0; shard < shard_count; shard++)
	{
		for (;;)
		{
			int			difference;
			int			node_id;

			ops_job_begin();
			difference = replicas - count_replicas(group_id, shard);
			node_id = difference == 0 ? 0 : pick_node(group_id, shard, difference > 0);
			ops_job_commit();
			if (difference == 0)
				break;
			if (node_id == 0)
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("there are too few nodes for %d replicas of each shard",
								replicas)));
			if (difference > 0)
				make_copy(group_id, shard, 0, node_id);
			else
			{
				step_stop_writes(group_id, shard, node_id);
				step_drop(group_id, shard, node_id);
			}
			changed++;
		}
	}
	return changed;
}

/* ---- repair ---- */

typedef struct Unfinished
{
	int			group_id;
	int			shard;
	int			node_id;
	int			replaces;
	char		state;
} Unfinished;

/*
 * A copy that was replaced is kept as long as the one that took its place is away.  An
 * active one that replaces another was to be promoted, by somebody who may be about to.
 */
#define UNFINISHED "SELECT concat_ws(' ', p.group_id, p.shard, p.node_id, coalesce(p.replaces, 0), p.state)" \
	" FROM shoal.placement p JOIN shoal.node n USING (node_id)" \
	" WHERE (p.state <> 'active' OR p.replaces IS NOT NULL) AND n.state = 'active'" \
	" AND (p.state <> 'dropping' OR EXISTS (SELECT FROM shoal.placement o JOIN shoal.node m USING (node_id)" \
	" WHERE o.group_id = p.group_id AND o.shard = p.shard AND o.role = 'primary' AND m.state = 'active'))"

static bool
read_unfinished(const char *text, Unfinished *one)
{
	return text != NULL &&
		sscanf(text, "%d %d %d %d %c", &one->group_id, &one->shard,
			   &one->node_id, &one->replaces, &one->state) == 5;
}

/* Placements that are not as they should be, a List of Unfinished *. */
static List *
find_unfinished(MemoryContext context)
{
	List	   *result = NIL;
	List	   *rows;
	ListCell   *lc;
	MemoryContext old;

	ops_job_begin();
	rows = shoal_ops_texts(UNFINISHED " ORDER BY p.group_id, p.shard, p.node_id");
	old = MemoryContextSwitchTo(context);
	foreach(lc, rows)
	{
		Unfinished *one = palloc0(sizeof(Unfinished));

		if (read_unfinished(lfirst(lc), one))
			result = lappend(result, one);
	}
	MemoryContextSwitchTo(old);
	ops_job_commit();
	return result;
}

/*
 * Looks again, now that nobody else can work on it; false if somebody has put it
 * right meanwhile.
 */
static bool
is_still_unfinished(Unfinished *one)
{
	bool		found;

	ops_job_begin();
	lock_cluster();
	found = read_unfinished(shoal_ops_text(psprintf(UNFINISHED " AND p.group_id = %d AND p.shard = %d AND p.node_id = %d",
													one->group_id, one->shard,
													one->node_id)), one);
	ops_job_commit();
	return found;
}

/* Whether somebody is at work on it. */
static bool
is_held(const Unfinished *one)
{
	char	   *text;
	bool		held;

	ops_job_begin();
	text = shoal_ops_call(one->node_id,
						  psprintf("shoal.internal_is_copy_held(%d, %d)",
								   one->group_id, one->shard));
	held = text != NULL && text[0] == 't';
	ops_job_commit();
	return held;
}

/*
 * Steps 1 to 4 again.  A copy that has been complete has missed writes: what
 * differs is found out.  Any other is made from nothing.
 */
static void
repair_copy(const Unfinished *one)
{
	OpsRepaired repaired = {0};
	bool		complete = one->state == SHOAL_COPY_STALE;

	ops_job_begin();
	lock_cluster();
	set_state(one->group_id, one->shard, one->node_id, "stale");
	(void) shoal_ops_call(one->node_id,
						  psprintf("shoal.internal_make_copy(%d, %d)",
								   one->group_id, one->shard));
	if (!complete)
		(void) shoal_ops_call(one->node_id,
							  psprintf("shoal.internal_empty_copy(%d, %d)",
									   one->group_id, one->shard));
	ops_job_pause("emptied");
	ops_job_commit();
	fill_copy(one->group_id, one->shard, 0, one->node_id,
			  complete ? &repaired : NULL);
	if (complete)
		ereport(LOG,
				(errmsg("repaired the replica of shard %d of colocation group %d on node %d",
						one->shard, one->group_id, one->node_id),
				 errdetail("Of %llu rows %llu differed; tables filled anew: %d.",
						   (unsigned long long) repaired.rows,
						   (unsigned long long) repaired.differing,
						   repaired.filled)));
}

/* False if there is nothing to be done any more. */
static bool
repair_one(Unfinished *one)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;
	ShoalConn  *hold;
	volatile bool unfinished = false;
	volatile bool drop = false;

	ops_job_show(one->group_id, one->shard, 0, one->node_id, "making tables", NULL);
	hold = hold_copy(one->group_id, one->shard, one->node_id);
	PG_TRY();
	{
		unfinished = is_still_unfinished(one);
		drop = one->state == SHOAL_COPY_DROPPING || one->replaces != 0;
		if (unfinished && one->state == SHOAL_COPY_ACTIVE)
			announce(one->group_id, one->shard, one->node_id, true);
		else if (unfinished && drop)
			step_drop(one->group_id, one->shard, one->node_id);
		else if (unfinished)
			repair_copy(one);
	}
	PG_CATCH();
	{
		error = catch_error(context);
	}
	PG_END_TRY();
	if (error && unfinished && !drop)
		undo(one->group_id, one->shard, one->node_id, false);
	release_copy(hold, one->group_id, one->shard);
	if (error)
		ReThrowError(error);
	return unfinished;
}

/*
 * Returns how many copies that were: 0 or 1.  An error is given back, or logged if
 * there has been one before.
 */
static int
try_repair(Unfinished *one, ErrorData **error)
{
	MemoryContext context = CurrentMemoryContext;
	volatile int count = 0;

	PG_TRY();
	{
		count = !is_held(one) && repair_one(one) ? 1 : 0;
	}
	PG_CATCH();
	{
		if (geterrcode() == ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		if (*error)
			EmitErrorReport();
		else
			*error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(context);
	}
	PG_END_TRY();
	return count;
}

/* What goes wrong with one leaves the others to be repaired. */
static int
repair(void)
{
	ErrorData  *error = NULL;
	int			count = 0;
	ListCell   *lc;

	foreach(lc, find_unfinished(CurrentMemoryContext))
		count += try_repair(lfirst(lc), &error);
	if (error)
		ReThrowError(error);
	return count;
}

int
ops_copies_do(const OpsJobArgs *args)
{
	switch (args->kind)
	{
		case OPS_JOB_ADD:
			add_replica(args->group_id, args->shard, args->to_node);
			return 1;
		case OPS_JOB_MOVE:
			make_copy(args->group_id, args->shard, args->from_node,
					  args->to_node);
			return 1;
		case OPS_JOB_PROMOTE:
			promote(args->group_id, args->shard, args->to_node);
			return 1;
		case OPS_JOB_REPLICAS:
			return set_replicas(args->group_id, args->to_node);
		case OPS_JOB_REPAIR:
			return repair();
		case OPS_JOB_NONE:
			break;
	}
	return 0;
}
