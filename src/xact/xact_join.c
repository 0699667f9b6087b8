/*
 * xact_join.c
 *		Nodes join the transaction with their first statement.
 *
 * BEGIN and SAVEPOINTs are only queued; they leave with the statement.
 * Savepoints on a node are named after the local nesting level, and a node
 * has them only as far as it was used at that level.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "xact/xact.h"
#include "xact/xact_health.h"
#include "xact/xact_private.h"

#define CLUSTER_LOCK_COMMAND XACT_INTERNAL_CALL "lock_cluster()"

/* before a transaction's time, in a BEGIN */
#define TIME_COMMENT "/*shoal at "

/* milliseconds between attempts to get the lock from others */
#define TAKE_PAUSE 20

PG_FUNCTION_INFO_V1(shoal_internal_lock_cluster);
PG_FUNCTION_INFO_V1(shoal_internal_take_cluster_lock);
PG_FUNCTION_INFO_V1(shoal_internal_transaction_time);

bool		xact_used_nodes = false;
bool		shoal_xact_calls_itself = false;
void		(*shoal_xact_on_missed) (int node_id, const char *sql) = NULL;

List *
xact_open_conns(void)
{
	List	   *all = shoal_remote_all();
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, all)
	{
		ShoalConn  *conn = lfirst(lc);

		if (conn->xact_level > 0)
			result = lappend(result, conn);
	}
	list_free(all);
	return result;
}

/*
 * READ ONLY may end with a savepoint or a function, with which its node would not end it.  So it is
 * seen to here (shoal_xact_conn(), and core), unless it makes another snapshot.
 */
static void
queue_begin(ShoalConn *conn, const char *snapshot)
{
	bool		read_only = XactReadOnly && XactIsoLevel == XACT_SERIALIZABLE;
	static const char *const levels[] = {
		[XACT_READ_UNCOMMITTED] = "READ UNCOMMITTED",
		[XACT_READ_COMMITTED] = "READ COMMITTED",
		[XACT_REPEATABLE_READ] = "REPEATABLE READ",
		[XACT_SERIALIZABLE] = "SERIALIZABLE"
	};
	char		command[128];

	/* now() is the same on all nodes */
	snprintf(command, sizeof(command), "BEGIN ISOLATION LEVEL %s%s%s " TIME_COMMENT INT64_FORMAT "*/",
			 levels[XactIsoLevel],
			 read_only ? " READ ONLY" : " READ WRITE",
			 XactDeferrable ? " DEFERRABLE" : "",
			 GetCurrentTransactionStartTimestamp());
	shoal_remote_queue(conn, command);
	if (snapshot)
		shoal_remote_queue(conn, psprintf("SET TRANSACTION SNAPSHOT %s",
										  quote_literal_cstr(snapshot)));
	conn->xact_level = 1;
	conn->xact_wrote = false;
	conn->xact_untold = false;
	conn->xact_xid = shoal_remote_told_xid(conn);
	conn->xact_prepared = false;
	conn->xact_moment = 0;
	conn->xact_held = false;
	xact_queue_constraints(conn, 1);
}

static void
queue_savepoints(ShoalConn *conn, int level)
{
	while (conn->xact_level < level)
	{
		char		command[32];

		snprintf(command, sizeof(command), "SAVEPOINT shoal_%d",
				 ++conn->xact_level);
		shoal_remote_queue(conn, command);
		xact_queue_constraints(conn, conn->xact_level);
	}
}

/*
 * May the node do a statement in a transaction of its own?  Not if it writes as another
 * role: what is put off until the end of the transaction is not that one's.
 */
static bool
may_stand_alone(int flags)
{
	return !(flags & SHOAL_JOIN_BLOCK) && shoal_xact_is_single() &&
		!((flags & SHOAL_JOIN_WRITE) && GetUserId() != GetOuterUserId()) &&
		xact_open_conns() == NIL;
}

/* The first use of a connection in a transaction, or after it was begun anew. */
static void
join(ShoalConn *conn)
{
	const char *snapshot = NULL;

	if (XactIsoLevel == XACT_SERIALIZABLE)
		xact_check_serializable(lcons(conn, xact_open_conns()));
	if (xact_export_is_imported())
		snapshot = xact_export_snapshot_of(conn->node_id);
	else
		xact_moment_check_join(conn);
	queue_begin(conn, snapshot);
}

static void __attribute__((noreturn))
raise_broken(ShoalConn *conn)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("connection to node %d failed earlier in this transaction",
					conn->node_id)));
}

ShoalConn *
shoal_xact_conn(int node_id, int flags)
{
	ShoalConn  *conn;

	if (XactReadOnly && (flags & SHOAL_JOIN_WRITE))
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot change data on other nodes in a read-only transaction")));

	/* one that is about to be given up is not waited for here */
	if (shoal_health_await_node(node_id))
	{
		const ShoalNode *node = shoal_meta_node(node_id);

		if (node && !node->is_active)
			ereport(ERROR,
					(errcode(ERRCODE_CANNOT_CONNECT_NOW),
					 errmsg("node \"%s\" is down", node->server_name),
					 errhint("Try the transaction again.")));
	}
	xact_check_identity();
	conn = shoal_remote_conn(node_id);
	xact_victim_begin();
	xact_used_nodes = true;
	conn->quiet = false;
	conn->xact_commits = false;
	shoal_remote_tidy(conn);
	if (conn->xact_level == 0)
	{
		/* functions and triggers may have used other nodes before */
		if (may_stand_alone(flags))
		{
			conn->xact_commits = (flags & SHOAL_JOIN_WRITE) != 0;
			return conn;
		}
		join(conn);
	}
	else if (conn->xact_broken)
		raise_broken(conn);
	queue_savepoints(conn, GetCurrentTransactionNestLevel());
	if (flags & SHOAL_JOIN_WRITE)
	{
		conn->xact_wrote = true;
		if (!(flags & SHOAL_JOIN_TOLD))
			conn->xact_untold = true;
	}
	return conn;
}

bool
shoal_xact_has_joined(void)
{
	return xact_open_conns() != NIL;
}

bool
shoal_xact_has_written(int node_id)
{
	ListCell   *lc;

	foreach(lc, xact_open_conns())
	{
		ShoalConn  *conn = lfirst(lc);

		if (conn->node_id == node_id && conn->xact_wrote)
			return true;
	}
	return false;
}

ShoalConn *
shoal_xact_conn_beside(int node_id, int share, int flags)
{
	ShoalConn  *conn = shoal_remote_conn_beside(node_id, share);

	if (conn == NULL)
		return NULL;
	conn->quiet = false;
	conn->xact_commits = false;
	shoal_remote_tidy(conn);
	if (conn->xact_level == 0)
		queue_begin(conn, NULL);
	else if (conn->xact_broken)
		raise_broken(conn);
	queue_savepoints(conn, GetCurrentTransactionNestLevel());
	if (flags & SHOAL_JOIN_WRITE)
		conn->xact_wrote = true;
	return conn;
}

ShoalConn *
shoal_xact_conn_outside(int node_id)
{
	ShoalConn  *conn;

	xact_check_identity();
	shoal_health_await_monitor(node_id);
	conn = shoal_remote_conn(node_id);
	/* an abort has to look after what runs on it */
	xact_used_nodes = true;
	conn->quiet = false;
	conn->xact_commits = false;
	shoal_remote_tidy(conn);
	if (conn->xact_level > 0)
		queue_savepoints(conn, GetCurrentTransactionNestLevel());
	return conn;
}

/* ---- commands on several nodes ---- */

static int
compare_ints(const ListCell *a, const ListCell *b)
{
	return lfirst_int(a) - lfirst_int(b);
}

static List *
other_nodes(void)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = lfirst(lc);

		if (!node->is_local)
			result = lappend_int(result, node->node_id);
	}
	return result;
}

/*
 * Nodes that were given up have to be told later: everything that is sent to
 * all nodes is noted for them, in the same transaction, on all nodes.  This node
 * may be given up before it has committed, when the others have to.
 */
bool
shoal_xact_may_miss(const ShoalNode *node)
{
	return shoal_xact_on_missed != NULL &&
		(!node->is_active || (node->is_local && shoal_health_is_watched()));
}

static void
note_missed(const char *sql)
{
	ListCell   *lc;

	foreach(lc, shoal_meta_all_nodes())
	{
		const ShoalNode *node = lfirst(lc);

		if (shoal_xact_may_miss(node))
			shoal_xact_on_missed(node->node_id, sql);
	}
}

void
shoal_xact_note_time(void)
{
	note_missed(psprintf(XACT_INTERNAL_CALL "transaction_time(" INT64_FORMAT ")",
						 GetCurrentTransactionStartTimestamp()));
}

void
shoal_xact_run(const char *sql, List *node_ids)
{
	List	   *ids = node_ids ? list_copy(node_ids) : other_nodes();
	List	   *conns = NIL;
	ListCell   *lc;

	if (node_ids == NIL)
		note_missed(sql);

	list_sort(ids, compare_ints);
	foreach(lc, ids)
	{
		ShoalConn  *conn = shoal_xact_conn(lfirst_int(lc),
										   SHOAL_JOIN_WRITE | SHOAL_JOIN_BLOCK);

		conn->quiet = true;
		conns = lappend(conns, conn);
	}
	if (conns == NIL)
		return;

	/* everybody waits for locks on the first one, so not in circles */
	shoal_remote_exec(linitial(conns), sql);
	if (list_length(conns) > 1)
		shoal_remote_exec_all(list_delete_first(list_copy(conns)), sql);
	foreach(lc, conns)
		((ShoalConn *) lfirst(lc))->quiet = false;
}

/* The node with the lowest id, which decides what must be decided once. */
static const ShoalNode *
first_node(void)
{
	List	   *nodes = shoal_meta_nodes();

	if (nodes == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there are no active nodes")));
	return linitial(nodes);
}

/*
 * Serialises changes of the cluster.  Not an advisory lock, which anybody could
 * take for good; nor one that core takes on extensions (sub-object 1).
 */
static void
take_cluster_lock(void)
{
	LockDatabaseObject(ExtensionRelationId, get_extension_oid("shoal", false),
					   1, ExclusiveLock);
}

/* By a function of a user's, which the statement may have called on its way. */
static bool
is_called_inside(void)
{
	for (ErrorContextCallback *callback = error_context_stack; callback; callback = callback->previous)
	{
		if (callback->callback != ParamsErrorCallback)
			return true;
	}
	return false;
}

void
shoal_xact_check_call(const char *start, const char *hint)
{
	if (shoal_origin == 0 || debug_query_string == NULL ||
		strncmp(debug_query_string, start, strlen(start)) != 0 || is_called_inside())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("this function is called by Shoal itself"),
				 hint ? errhint("%s", hint) : 0));
}

void
shoal_xact_check_internal(void)
{
	/* once: what is called by what it calls is not of Shoal's making */
	if (shoal_xact_calls_itself)
		shoal_xact_calls_itself = false;
	else
		shoal_xact_check_call(XACT_INTERNAL_CALL, NULL);
}

Datum
shoal_internal_lock_cluster(PG_FUNCTION_ARGS)
{
	shoal_xact_check_internal();
	take_cluster_lock();
	PG_RETURN_VOID();
}

/*
 * Core sets the time of a transaction that is another process's only in parallel
 * workers, as which it has to see this one for a moment.
 */
static void
set_transaction_time(TimestampTz at)
{
	int			worker = ParallelWorkerNumber;

	ParallelWorkerNumber = 0;
	SetParallelStartTimestamps(at, GetCurrentStatementStartTimestamp());
	ParallelWorkerNumber = worker;
}

void
xact_join_read_time(const char *begin)
{
	const char *found = strstr(begin, TIME_COMMENT);

	if (found)
		set_transaction_time(strtoi64(found + strlen(TIME_COMMENT), NULL, 10));
}

Datum
shoal_internal_transaction_time(PG_FUNCTION_ARGS)
{
	shoal_xact_check_internal();
	set_transaction_time(PG_GETARG_INT64(0));
	PG_RETURN_VOID();
}

/*
 * Ends the sessions that have the lock.  Those of coordinators are lost to them;
 * their transactions fail as with a node that is restarted.
 */
static void
end_lock_holders(Oid extension)
{
	char	   *sql = psprintf("SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_locks"
							   " WHERE locktype = 'object' AND classid = %u AND objid = %u AND objsubid = 1"
							   " AND database = %u AND granted AND pid <> %d",
							   ExtensionRelationId, extension, MyDatabaseId,
							   MyProcPid);

	if (SPI_connect() != SPI_OK_CONNECT ||
		SPI_execute(sql, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for who holds the cluster lock");
	if (SPI_processed > 0)
		ereport(LOG,
				(errmsg("ended a session that kept the cluster lock while nodes are given up")));
	SPI_finish();
}

/*
 * Whether the lock is held by a transaction that a node which was given up has
 * left prepared, and that cannot be settled without it.
 */
static bool
is_held_in_doubt(Oid extension)
{
	/* which transaction that is, its lock on itself tells */
	char	   *sql = psprintf("SELECT p.gid FROM pg_catalog.pg_locks l"
							   " JOIN pg_catalog.pg_locks x USING (virtualtransaction)"
							   " JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = x.transactionid"
							   " WHERE l.locktype = 'object' AND l.classid = %u AND l.objid = %u AND l.objsubid = 1"
							   " AND l.database = %u AND l.granted AND l.pid IS NULL"
							   " AND x.locktype = 'transactionid' AND x.granted AND x.pid IS NULL",
							   ExtensionRelationId, extension, MyDatabaseId);
	char	   *gid = NULL;
	int			coordinator;
	bool		result;

	if (SPI_connect() != SPI_OK_CONNECT ||
		SPI_execute(sql, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look for who holds the cluster lock");
	if (SPI_processed > 0)
		gid = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	result = gid && sscanf(gid, "shoal_%d_", &coordinator) == 1 &&
		shoal_health_is_refused(coordinator);
	SPI_finish();
	return result;
}

/*
 * shoal.internal_take_cluster_lock(patience): false if it is not to be had, as a
 * transaction in doubt has it
 */
Datum
shoal_internal_take_cluster_lock(PG_FUNCTION_ARGS)
{
	TimestampTz patient_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
															PG_GETARG_INT32(0));
	Oid			extension = get_extension_oid("shoal", false);
	LOCKTAG		tag;

	shoal_xact_check_internal();
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, extension, 1);
	while (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
	{
		if (GetCurrentTimestamp() > patient_until)
		{
			if (is_held_in_doubt(extension))
				PG_RETURN_BOOL(false);
			end_lock_holders(extension);
		}
		shoal_server_pause(TAKE_PAUSE);
	}
	PG_RETURN_BOOL(true);
}

void
shoal_xact_lock_cluster(void)
{
	const ShoalNode *node;

	if (shoal_meta_is_alone())
		return;
	node = first_node();
	if (node->is_local)
		take_cluster_lock();
	else
	{
		/*
		 * As a writer: a mere reader's transaction ends, and with it the
		 * lock, before the others are prepared.
		 */
		ShoalConn  *conn = shoal_xact_conn(node->node_id,
										   SHOAL_JOIN_WRITE | SHOAL_JOIN_BLOCK);

		shoal_remote_exec(conn, CLUSTER_LOCK_COMMAND);
	}
}
