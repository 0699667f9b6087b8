/*
 * ops_failover.c
 *		Giving nodes up.
 *
 * The worker that the monitor starts, on one node, when others have not answered
 * for shoal.failover_time.  In one distributed transaction of all nodes that
 * are left:
 *
 *	1. each votes: it has not heard of the lost ones either.  From then on it
 *	   does not answer them, has ended their sessions, and accepts no new ones.
 *	   Without all votes nothing happens.
 *	2. the votes are sealed, so that there is no way back for any of them, and no
 *	   crash undoes it.  Where only some have been, that is done again until all
 *	   are.
 *	3. what the lost ones have prepared as coordinators is settled: committed if a part of it has been
 *	   (xact_seen.c), or if all its parts are there, so that it may have been
 *	   committed and told so; if a part is missing on a node that is there it
 *	   can't have been, and is rolled back.  Where a part may be on another node
 *	   that is not there, or all are here and the coordinator itself has written
 *	   what nobody else has (xact_sole.c), it stays prepared until one of these is back.
 *	4. the cluster lock is taken, which what was settled may have held.  Others
 *	   that hold it and don't end are ended: they may wait for a user.  If a
 *	   transaction that stays prepared has it, nobody else changes the metadata.
 *	5. the metadata: the nodes are down, their copies of shards are stale, of
 *	   each shard whose primary is lost a complete replica becomes the primary.
 *
 * A shard without a complete replica keeps its primary, and waits for its node.
 *
 * What a lost node does meanwhile, should it live, does no harm: its lease has
 * run out (xact_health.c).
 */
#include "postgres.h"

#include "access/twophase.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "base/base_settings.h"
#include "ddl/ddl.h"
#include "ddl/ddl_utility.h"
#include "meta/meta.h"
#include "ops/ops.h"
#include "ops/ops_job.h"
#include "ops/ops_rejoin.h"
#include "remote/remote.h"
#include "xact/xact.h"
#include "xact/xact_health.h"

/* milliseconds that sessions of lost nodes have to end */
#define END_TIME 3000

/* milliseconds that others may keep the cluster lock */
#define LOCK_PATIENCE 500

/*
 * How long the worker that takes nodes back waits for a lock: what has it may be
 * in doubt until another node is taken back.
 */
#define RESTORE_LOCK_TIMEOUT "30s"

extern PGDLLEXPORT void shoal_ops_failover_main(Datum arg);
extern PGDLLEXPORT void shoal_ops_restore_main(Datum arg);
extern PGDLLEXPORT Datum shoal_internal_vote_down(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(shoal_internal_vote_down);

/* ---- on each node that is left ---- */

static List *
nodes_of_array(ArrayType *array)
{
	Datum	   *elements;
	int			n;
	List	   *result = NIL;

	deconstruct_array(array, INT4OID, sizeof(int32), true, TYPALIGN_INT,
					  &elements, NULL, &n);
	for (int i = 0; i < n; i++)
		result = lappend_int(result, DatumGetInt32(elements[i]));
	return result;
}

static char *
int_list(List *ints)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, ints)
		appendStringInfo(&buf, "%s%d", foreach_current_index(lc) ? ", " : "",
						 lfirst_int(lc));
	return buf.data;
}

/* Ends the sessions that these nodes have here; false if that takes too long. */
static bool
end_sessions(List *nodes)
{
	int64		until = shoal_health_now() + (int64) END_TIME * 1000;
	char	   *sql = psprintf("SELECT pg_catalog.pg_terminate_backend(pid) FROM shoal.session_origins()"
							   " WHERE coordinator IN (%s) AND pid <> %d",
							   int_list(nodes), MyProcPid);

	for (;;)
	{
		if (SPI_execute(sql, false, 0) != SPI_OK_SELECT)
			elog(ERROR, "SPI_execute failed");
		if (SPI_processed == 0)
			return true;
		if (shoal_health_now() > until)
			return false;
		shoal_server_pause(10);
	}
}

/*
 * shoal.internal_vote_down(node_ids, vote, sealed)
 *
 * sealed: those of them from which whoever asks can't go back.  Then this node stops
 * answering them at once, and agrees when those that it has answered have no lease
 * any more.
 */
Datum
shoal_internal_vote_down(PG_FUNCTION_ARGS)
{
	List	   *nodes = nodes_of_array(PG_GETARG_ARRAYTYPE_P(0));
	char	   *word = text_to_cstring(PG_GETARG_TEXT_PP(1));
	List	   *sealed = nodes_of_array(PG_GETARG_ARRAYTYPE_P(2));
	ShoalVote	vote;
	ListCell   *lc;
	bool		agreed = true;

	shoal_xact_check_internal();
	vote = strcmp(word, "bind") == 0 ? SHOAL_VOTE_BIND :
		strcmp(word, "seal") == 0 ? SHOAL_VOTE_SEAL : SHOAL_VOTE_ASK;
	foreach(lc, nodes)
	{
		const ShoalNode *node = shoal_meta_node(lfirst_int(lc));

		/* or somebody else has given it up */
		if (node == NULL || !node->is_active)
			PG_RETURN_BOOL(false);
		if (list_member_int(sealed, node->node_id))
			(void) shoal_health_vote(node->node_id, node->times_down,
									 SHOAL_VOTE_FORCE);
		agreed &= shoal_health_vote(node->node_id, node->times_down, vote);
	}
	if (agreed && vote != SHOAL_VOTE_ASK)
	{
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		agreed = end_sessions(nodes);
		SPI_finish();
	}
	PG_RETURN_BOOL(agreed);
}

/* ---- what they have prepared ---- */

/* A part of a transaction on a node. */
typedef struct Part
{
	int			node_id;
	char	   *gid;
	bool		settled;
} Part;

static List *
find_parts(List *survivors, List *lost)
{
	List	   *parts = NIL;
	char	   *call = psprintf("(SELECT pg_catalog.string_agg(gid, ',') FROM pg_catalog.pg_prepared_xacts"
								" WHERE database = pg_catalog.current_database() AND gid LIKE 'shoal\\_%%'"
								" AND pg_catalog.split_part(gid, '_', 2) = ANY (ARRAY[%s]::text[]))",
								int_list(lost));
	ListCell   *lc;

	foreach(lc, survivors)
	{
		char	   *gids = shoal_ops_call(lfirst_int(lc), call);
		char	   *gid;

		while ((gid = gids ? strsep(&gids, ",") : NULL) != NULL)
		{
			Part	   *part = palloc0(sizeof(Part));

			part->node_id = lfirst_int(lc);
			part->gid = pstrdup(gid);
			parts = lappend(parts, part);
		}
	}
	return parts;
}

static int
coordinator_of(const Part *part)
{
	return atoi(part->gid + strlen("shoal_"));
}

typedef enum Fate
{
	FATE_ROLLBACK,
	FATE_COMMIT,
	FATE_UNKNOWN				/* only the coordinator, or another one that is
								 * not there, knows */
} Fate;

/*
 * Whether a transaction has been committed, or may have been.  If a part is
 * missing on a node that is there, nobody can have committed it: the node would
 * know.  What has become of a part on another lost node is not known, be it that it
 * has been committed, or that it could not be prepared.
 */
static Fate
fate_of(const Part *part, List *parts, List *survivors)
{
	List	   *found = NIL;
	Bitmapset  *nodes = shoal_xact_gid_nodes(part->gid);
	bool		missing = false;
	bool		elsewhere = false;
	ListCell   *lc;

	/* begun before there was anything to watch */
	if (!shoal_xact_gid_has(part->gid, SHOAL_GID_WATCHED))
		return FATE_UNKNOWN;
	foreach(lc, parts)
	{
		Part	   *other = lfirst(lc);

		if (shoal_xact_gid_is_same(other->gid, part->gid))
			found = lappend_int(found, other->node_id);
	}
	if (list_length(found) == shoal_xact_gid_parts(part->gid))
		return shoal_xact_gid_has(part->gid, SHOAL_GID_SOLE) ? FATE_UNKNOWN :
			FATE_COMMIT;
	foreach(lc, survivors)
	{
		char	   *saw = shoal_ops_call(lfirst_int(lc),
										 psprintf("shoal.internal_saw_commit(%s)",
												  quote_literal_cstr(part->gid)));

		if (saw && saw[0] == 't')
			return FATE_COMMIT;
	}
	foreach(lc, shoal_meta_all_nodes())
	{
		int			node_id = ((const ShoalNode *) lfirst(lc))->node_id;

		if (node_id == coordinator_of(part) ||
			(nodes && !bms_is_member(node_id, nodes)))
			continue;
		if (!list_member_int(survivors, node_id))
			elsewhere = true;
		else if (nodes && !list_member_int(found, node_id))
			missing = true;
	}
	return missing || !elsewhere ? FATE_ROLLBACK : FATE_UNKNOWN;
}

static bool
is_prepared(ShoalConn *conn, const char *gid)
{
	PGresult   *res = shoal_remote_query(conn,
										 psprintf("SELECT 1 FROM pg_catalog.pg_prepared_xacts WHERE gid = %s",
												  quote_literal_cstr(gid)), NULL);
	bool		found = PQntuples(res) > 0;

	PQclear(res);
	return found;
}

/*
 * In a transaction of its own, which this one does not wait for.  Somebody else
 * may be doing the same.
 */
static void
settle_part(const Part *part, bool commit)
{
	char	   *sql = psprintf("%s PREPARED %s", commit ? "COMMIT" : "ROLLBACK",
							   quote_literal_cstr(part->gid));
	ShoalConn  *conn;

	/* to oneself, too, as that can't be done inside of a transaction */
	conn = part->node_id == shoal_meta_local_node_id() ?
		shoal_remote_conn_to_self() : shoal_remote_conn_separate(part->node_id);
	if (shoal_remote_try_all(list_make1(conn), &sql, false))
		ereport(LOG,
				(errmsg("transaction \"%s\" was left by a fault and is %s on node %d",
						part->gid, commit ? "committed" : "rolled back",
						part->node_id)));
	else if (is_prepared(conn, part->gid))
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("could not settle transaction \"%s\" on node %d",
						part->gid, part->node_id)));
	shoal_remote_close(conn);
}

void
ops_settle_lost(List *survivors, List *lost)
{
	List	   *parts = lost == NIL ? NIL : find_parts(survivors, lost);
	ListCell   *lc;
	ListCell   *other;

	foreach(lc, parts)
	{
		Part	   *part = lfirst(lc);
		Fate		fate;

		if (part->settled)
			continue;
		fate = fate_of(part, parts, survivors);
		if (fate == FATE_UNKNOWN)
			ereport(LOG,
					(errmsg("transaction \"%s\" stays prepared until node %d is back, as it may have been committed",
							part->gid, coordinator_of(part)),
					 errdetail("Or until it can be asked from another node that is not there now, and has a part of it.")));
		foreach(other, parts)
		{
			Part	   *same = lfirst(other);

			if (!shoal_xact_gid_is_same(same->gid, part->gid))
				continue;
			if (fate != FATE_UNKNOWN)
				settle_part(same, fate == FATE_COMMIT);
			same->settled = true;
		}
	}
}

/* What coordinators have prepared there: each knows itself. */
void
ops_settle_others(List *nodes, List *coordinators)
{
	List	   *parts = coordinators == NIL ? NIL :
		find_parts(nodes, coordinators);
	ListCell   *lc;

	foreach(lc, parts)
	{
		Part	   *part = lfirst(lc);
		char	   *outcome = shoal_ops_call(coordinator_of(part),
											 psprintf("shoal.internal_outcome(%s)",
													  quote_literal_cstr(part->gid)));

		/* what a user has prepared may stay so for long */
		if (outcome == NULL && shoal_xact_gid_has(part->gid, SHOAL_GID_USERS))
			continue;
		if (outcome == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("transaction \"%s\" is still under way", part->gid)));
		settle_part(part, outcome[0] == 't');
	}
}

/* ---- the metadata ---- */

/* Replicas that become primaries, as the rows of a VALUES list; "" if none. */
static char *
choose_replicas(List *lost)
{
	List	   *rows;
	StringInfoData buf;
	ListCell   *lc;

	/* any of a shard's will do; the hash spreads them over the nodes */
	rows = shoal_ops_texts(psprintf("SELECT DISTINCT ON (p.group_id, p.shard)"
									" pg_catalog.format('(%%s, %%s, %%s)', p.group_id, p.shard, r.node_id)"
									" FROM shoal.placement p JOIN shoal.colocation_group g USING (group_id)"
									" JOIN shoal.placement r USING (group_id, shard)"
									" JOIN shoal.node n ON n.node_id = r.node_id"
									" WHERE g.kind <> 'r' AND p.role = 'primary' AND p.node_id IN (%s)"
									" AND r.role = 'replica' AND r.state = 'active'"
									" AND n.state = 'active' AND r.node_id NOT IN (%s)"
									" ORDER BY p.group_id, p.shard, pg_catalog.md5(pg_catalog.concat(p.shard, ' ', r.node_id))",
									int_list(lost), int_list(lost)));
	initStringInfo(&buf);
	foreach(lc, rows)
		appendStringInfo(&buf, "%s%s", foreach_current_index(lc) ? ", " : "",
						 (char *) lfirst(lc));
	return buf.data;
}

static void
change_metadata(List *lost)
{
	char	   *promoted = choose_replicas(lost);

	if (promoted[0] != '\0')
	{
		/* first the old ones: at no moment has a shard two */
		shoal_ops_run_everywhere(psprintf("UPDATE shoal.placement p SET role = 'replica', state = 'stale'"
										  " FROM (VALUES %s) v (group_id, shard, node_id)"
										  " WHERE p.group_id = v.group_id AND p.shard = v.shard AND p.role = 'primary'",
										  promoted));
		shoal_ops_run_everywhere(psprintf("UPDATE shoal.placement p SET role = 'primary'"
										  " FROM (VALUES %s) v (group_id, shard, node_id)"
										  " WHERE p.group_id = v.group_id AND p.shard = v.shard AND p.node_id = v.node_id",
										  promoted));
	}
	shoal_ops_run_everywhere(psprintf("UPDATE shoal.placement SET state = 'stale'"
									  " WHERE role = 'replica' AND state IN ('active', 'copying') AND node_id IN (%s)",
									  int_list(lost)));
	shoal_ops_run_everywhere(psprintf("UPDATE shoal.node SET state = 'down', times_down = times_down + 1 WHERE node_id IN (%s)",
									  int_list(lost)));
}

/* ---- the whole ---- */

/* Nodes that this one may give up. */
static List *
find_lost(void)
{
	List	   *lost = NIL;
	ListCell   *lc;

	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = lfirst(lc);

		if (!node->is_local && shoal_health_has_vanished(node->node_id))
			lost = lappend_int(lost, node->node_id);
	}
	return lost;
}

/* The others, if they are a quorum; else NIL. */
static List *
find_survivors(List *lost)
{
	List	   *active = shoal_meta_nodes();
	int		   *nodes = palloc(sizeof(int) * (list_length(active) + 1));
	int		   *voters = palloc(sizeof(int) * (list_length(active) + 1));
	int			n = 0;
	int			nvoters = 0;
	List	   *survivors = NIL;
	ListCell   *lc;

	foreach(lc, active)
	{
		int			node_id = ((const ShoalNode *) lfirst(lc))->node_id;

		nodes[n++] = node_id;
		if (list_member_int(lost, node_id))
			continue;
		voters[nvoters++] = node_id;
		survivors = lappend_int(survivors, node_id);
	}
	return shoal_health_is_quorum(voters, nvoters, nodes, n) ? survivors : NIL;
}

/* Asks all that are left for their vote; false if one does not agree. */
static bool
all_agree(List *survivors, List *lost, const char *vote, List *sealed)
{
	ListCell   *lc;

	foreach(lc, survivors)
	{
		char	   *agreed = shoal_ops_call(lfirst_int(lc),
											psprintf("shoal.internal_vote_down(ARRAY[%s], '%s', ARRAY[%s]::int[])",
													 int_list(lost), vote,
													 int_list(sealed)));

		if (agreed == NULL || agreed[0] != 't')
		{
			ereport(LOG,
					(errmsg("node %d does not agree that nodes %s are lost",
							lfirst_int(lc), int_list(lost))));
			return false;
		}
	}
	return true;
}

static List *
find_sealed(List *nodes)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, nodes)
	{
		if (shoal_health_is_sealed(lfirst_int(lc)))
			result = lappend_int(result, lfirst_int(lc));
	}
	return result;
}

/*
 * The lock that serialises changes of the metadata, on the lowest node that is
 * left.  Whoever holds it for long waits for something else.  If that is a
 * transaction in doubt it serialises all but what is done here, which does no
 * harm if it is done by two.
 */
static void
lock_cluster(void)
{
	int			first = ((const ShoalNode *) linitial(shoal_meta_nodes()))->node_id;
	char	   *taken = shoal_ops_call(first,
									   psprintf("shoal.internal_take_cluster_lock(%d)",
												LOCK_PATIENCE));

	(void) shoal_ddl_enter_cluster(taken && taken[0] == 't');
}

static void
give_up(List *lost, List *survivors)
{
	ListCell   *lc;
	List	   *sealed = find_sealed(lost);

	shoal_meta_ignore_nodes(lost);
	if (!all_agree(survivors, lost, "ask", sealed) ||
		!all_agree(survivors, lost, "bind", sealed) ||
		!all_agree(survivors, lost, "seal", sealed))
		return;
	ops_settle_lost(survivors, lost);
	lock_cluster();
	/* somebody else may have given them up meanwhile, and taken them back */
	foreach(lc, lost)
	{
		if (!shoal_health_has_vanished(lfirst_int(lc)))
			return;
	}
	change_metadata(lost);
	ereport(LOG,
			(errmsg("nodes given up, as they do not answer: %s", int_list(lost))));
}

static void
give_up_lost_nodes(void)
{
	List	   *lost;
	List	   *survivors;

	ops_job_begin();
	lost = find_lost();
	survivors = lost == NIL ? NIL : find_survivors(lost);
	if (survivors != NIL)
		give_up(lost, survivors);
	else if (lost != NIL)
		ereport(LOG,
				(errmsg("nodes do not answer: %s", int_list(lost)),
				 errdetail("Without them there are not enough nodes to decide that they are lost.")));
	ops_job_commit();
	shoal_meta_ignore_nodes(NIL);
}

static void
repair_copies(void)
{
	OpsJobArgs	args = {OPS_JOB_REPAIR};

	if (!shoal_auto_repair)
		return;
	ops_job_attach(&args);
	(void) ops_copies_do(&args);
}

/* One thing after the other; an error in one leaves the others to be done. */
static void
attempt(void (*what) (void), MemoryContext context)
{
	PG_TRY();
	{
		what();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	shoal_meta_ignore_nodes(NIL);
}

static MemoryContext
begin_worker(Oid dbid)
{
	MemoryContext context;

	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, StatementCancelHandler);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(dbid, InvalidOid, 0);
	context = AllocSetContextCreate(TopMemoryContext, "Shoal failover",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	return context;
}

void
shoal_ops_failover_main(Datum arg)
{
	attempt(give_up_lost_nodes, begin_worker(DatumGetObjectId(arg)));
	proc_exit(0);
}

/* A process of its own, as it may take long. */
void
shoal_ops_restore_main(Datum arg)
{
	MemoryContext context = begin_worker(DatumGetObjectId(arg));

	SetConfigOption("lock_timeout", RESTORE_LOCK_TIMEOUT, PGC_USERSET,
					PGC_S_SESSION);
	attempt(ops_rejoin_nodes, context);
	attempt(repair_copies, context);
	proc_exit(0);
}

struct BackgroundWorkerHandle *
ops_failover_start(bool restore)
{
	BackgroundWorkerHandle *handle;
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	handle = shoal_server_start_worker(restore ? "shoal restore" : "shoal failover",
									   restore ? "shoal_ops_restore_main" :
									   "shoal_ops_failover_main",
									   ObjectIdGetDatum(MyDatabaseId));
	MemoryContextSwitchTo(old);
	return handle;
}
