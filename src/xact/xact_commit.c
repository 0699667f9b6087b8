/*
 * xact_commit.c
 *		Ending distributed transactions.
 *
 * Before the local commit every node that is part of the transaction has
 * either committed (it only read, or it is the only writer) or is prepared.
 * Nodes tell themselves whether they wrote (xact_told.c).
 * Then the commit records are part of the local transaction, whose commit is
 * the decision: from there on nothing may fail, and what cannot be told to a
 * node now is told later by the recovery worker, from the records.  The client
 * hears of the commit when that has been done, or takes too long.
 *
 * Nothing after the decision, and nothing in an abort, raises an error.
 */
#include "postgres.h"

#include <sys/socket.h>

#include "access/table.h"
#include "access/transam.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* whose headers may be missing; nothing of it is needed here */
#undef ENABLE_GSS
#include "libpq/libpq-be.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "xact/xact.h"
#include "xact/xact_health.h"
#include "xact/xact_private.h"
#include "xact/xact_shared.h"

/*
 * Records of parts that are committed on their nodes (XactRow *, in
 * TopMemoryContext); overwritten by the next two-phase commits of this backend,
 * or deleted when it ends.
 */
static List *done_records = NIL;

/* a node's part in the two-phase commit under way */
typedef struct Prepared
{
	ShoalConn  *conn;
	char	   *gid;
	XactRow    *record;			/* of its commit, once there is one */
} Prepared;

void		(*shoal_xact_before_end) (void) = NULL;
void		(*shoal_xact_when_prepared) (void) = NULL;

static List *prepared = NIL;	/* of Prepared *, in TopTransactionContext */

/*
 * The doubt in which the commit under way has left nodes, 0: none; which they
 * are, or the first of them.
 */
#define MAX_UNTOLD		64
static uint64 my_doubt = 0;
static int	untold[MAX_UNTOLD];
static int	nuntold = 0;

/* milliseconds between looks whether it has been settled */
#define SETTLED_SLEEP	20

static void
end_on(ShoalConn *conn)
{
	conn->xact_level = 0;
	conn->xact_wrote = false;
	conn->xact_untold = false;
	conn->xact_prepared = false;
}

/*
 * Whether the node's part has to be committed along with the others'.  A
 * statement that found nothing to change has not made it a writer.
 */
static bool
is_writer(ShoalConn *conn)
{
	return conn->xact_untold || shoal_remote_told_xid(conn) != conn->xact_xid;
}

/* A connection that has failed can't commit what it did before. */
static void
check_usable(List *conns)
{
	ListCell   *lc;

	foreach(lc, conns)
	{
		ShoalConn  *conn = lfirst(lc);

		if (conn->xact_broken || PQstatus(conn->pg) != CONNECTION_OK ||
			PQtransactionStatus(conn->pg) == PQTRANS_INERROR)
			ereport(ERROR,
					(errcode(ERRCODE_CONNECTION_FAILURE),
					 errmsg("transaction was lost on node %d and can't be committed",
							conn->node_id)));
	}
}

/*
 * Readers need not be waited for: nothing is to be learned from them.  In a
 * serializable transaction they may find that it has failed.
 */
static void
commit_readers(List *conns)
{
	ListCell   *lc;

	foreach(lc, conns)
		shoal_remote_post(lfirst(lc), "COMMIT");
}

/* An error here leaves open whether a writer has committed. */
static void
commit_one_phase(List *conns, bool writes)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *volatile sqls = NIL;	/* some compilers would warn */
	ListCell   *lc;

	foreach(lc, conns)
	{
		ShoalConn  *conn = lfirst(lc);

		conn->xact_commits = is_writer(conn);
		sqls = lappend(sqls, "COMMIT");
	}
	PG_TRY();
	{
		shoal_remote_exec_each(conns, sqls);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		if (!writes || (geterrcode() != ERRCODE_CONNECTION_FAILURE &&
						geterrcode() != ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN))
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		error->sqlerrcode = ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN;
		error->detail = "The connection was lost during COMMIT.";
		error->hint = "Look at the data to find out whether the transaction was committed.";
		FlushErrorState();
		ReThrowError(error);
	}
	PG_END_TRY();
}

/*
 * Rolls back what is prepared.  Whether some part is known not to be prepared any
 * more, so that nobody can commit the transaction.
 */
static bool
undo_prepared(void)
{
	List	   *conns = NIL;
	char	  **sqls = palloc0((list_length(prepared) + 1) * sizeof(char *));
	ListCell   *lc;
	int			n = 0;
	bool		known = false;

	/* whatever still runs is ended first: only then is it known who is prepared */
	foreach(lc, prepared)
		conns = lappend(conns, ((Prepared *) lfirst(lc))->conn);
	shoal_remote_try_all(conns, sqls, true);
	conns = NIL;
	foreach(lc, prepared)
	{
		Prepared   *part = lfirst(lc);

		if (part->conn->xact_broken)
			continue;
		if (!part->conn->xact_prepared)
		{
			known = true;
			continue;
		}
		conns = lappend(conns, part->conn);
		sqls[n++] = psprintf("ROLLBACK PREPARED %s",
							 quote_literal_cstr(part->gid));
	}
	shoal_remote_try_all(conns, sqls, true);
	foreach(lc, conns)
	{
		ShoalConn  *conn = lfirst(lc);

		if (conn->xact_broken)
			continue;
		conn->xact_prepared = false;
		known = true;
	}
	return known;
}

/* An error has come while parts may be prepared. */
static void __attribute__((noreturn))
fail_prepared(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	if (!undo_prepared() && shoal_remote_watches && shoal_remote_watches())
	{
		error->sqlerrcode = ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN;
		error->detail = "This node was cut off from the others during COMMIT; they may commit the transaction or roll it back.";
		error->hint = "Look at the data, by way of another node, to find out whether the transaction was committed.";
	}
	ReThrowError(error);
}

static void
check_prepared(void)
{
	ListCell   *lc;

	foreach(lc, prepared)
	{
		Prepared   *part = lfirst(lc);

		if (!part->conn->xact_prepared)
			ereport(ERROR,
					(errcode(ERRCODE_TRANSACTION_ROLLBACK),
					 errmsg("transaction was rolled back on node %d",
							part->conn->node_id)));
	}
}

/*
 * Names the parts; PREPARE for the writers, COMMIT for the readers.  If it is the
 * user who decides, nobody else can.
 */
static List *
name_parts(List *conns, int writers, bool users)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	List	   *sqls = NIL;
	char		letters[4] = "";
	int			n = 0;
	Bitmapset  *nodes = NULL;
	ListCell   *lc;

	/* what the others have to know if this node is given up */
	if (shoal_health_is_watched())
	{
		letters[n++] = SHOAL_GID_WATCHED;
		if (users || xact_wrote_sole())
			letters[n++] = SHOAL_GID_SOLE;
	}
	if (users)
		letters[n++] = SHOAL_GID_USERS;
	foreach(lc, conns)
	{
		if (is_writer(lfirst(lc)))
			nodes = bms_add_member(nodes, ((ShoalConn *) lfirst(lc))->node_id);
	}
	foreach(lc, conns)
	{
		ShoalConn  *conn = lfirst(lc);
		Prepared   *part;

		if (!is_writer(conn))
		{
			sqls = lappend(sqls, "COMMIT");
			continue;
		}
		part = palloc0(sizeof(Prepared));
		part->conn = conn;
		part->gid = xact_make_gid(conn, nodes, writers, letters);
		prepared = lappend(prepared, part);
		sqls = lappend(sqls, psprintf("PREPARE TRANSACTION %s",
									  quote_literal_cstr(part->gid)));
	}
	MemoryContextSwitchTo(old);
	return sqls;
}

/* The old records that are overwritten are of use again if that is rolled back. */
static void
write_records(List *old)
{
	Relation	rel = xact_rows_open("commit_record", RowExclusiveLock);
	ListCell   *lc;

	foreach(lc, prepared)
	{
		Prepared   *part = lfirst(lc);
		int			i = foreach_current_index(lc);

		part->record = MemoryContextAllocZero(TopTransactionContext, sizeof(XactRow));
		xact_row_put(rel, i < list_length(old) ? list_nth(old, i) : NULL,
					 part->gid, part->record);
	}
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

static void
prepare_parts(List *conns, int writers, bool users)
{
	shoal_remote_exec_each(conns, name_parts(conns, writers, users));
	check_prepared();
	if (shoal_xact_when_prepared)
		shoal_xact_when_prepared();
}

static void
commit_two_phase(List *conns, int writers)
{
	MemoryContext context = CurrentMemoryContext;

	prepared = NIL;
	PG_TRY();
	{
		prepare_parts(conns, writers, false);

		/* the decision must be on disk before any node hears of it */
		ForceSyncCommit();
		write_records(done_records);
		xact_gate_enter();
		xact_calm_count_commit();
		shoal_health_require_lease(true);
	}
	PG_CATCH();
	{
		fail_prepared(context);
	}
	PG_END_TRY();
}

/* The connections that have a part in the transaction, fit for its end. */
static List *
parts_to_end(void)
{
	List	   *conns;

	if (shoal_xact_before_end)
		shoal_xact_before_end();
	if (!xact_used_nodes || (conns = xact_open_conns()) == NIL)
		return NIL;
	check_usable(conns);
	if (XactIsoLevel == XACT_SERIALIZABLE)
		xact_check_serializable(conns);
	return conns;
}

void
xact_before_commit(void)
{
	List	   *conns = parts_to_end();
	List	   *readers = NIL;
	List	   *writers = NIL;
	ListCell   *lc;

	if (conns == NIL)
		return;
	foreach(lc, conns)
	{
		if (is_writer(lfirst(lc)))
			writers = lappend(writers, lfirst(lc));
		else
			readers = lappend(readers, lfirst(lc));
	}
	if (list_length(writers) > 1 ||
		(writers != NIL && TransactionIdIsValid(GetTopTransactionIdIfAny())))
	{
		commit_two_phase(conns, list_length(writers));
		return;
	}
	if (XactIsoLevel == XACT_SERIALIZABLE)
		commit_one_phase(conns, writers != NIL);
	else
	{
		commit_readers(readers);
		commit_one_phase(writers, true);
	}
	foreach(lc, conns)
		end_on(lfirst(lc));
}

/*
 * PREPARE TRANSACTION of a user's: nodes are prepared, and the records of
 * their commit are prepared with what is done here (xact_prepared.c).
 */
void
xact_before_prepare(void)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *conns = parts_to_end();
	ListCell   *lc;
	int			writers = 0;

	prepared = NIL;
	foreach(lc, conns)
		writers += is_writer(lfirst(lc)) ? 1 : 0;
	if (conns == NIL)
		return;
	PG_TRY();
	{
		prepare_parts(conns, writers, true);
		write_records(NIL);
	}
	PG_CATCH();
	{
		fail_prepared(context);
	}
	PG_END_TRY();
}

/* Closes what must not be used again. */
static void
close_broken(void)
{
	ListCell   *lc;

	foreach(lc, shoal_remote_all())
	{
		ShoalConn  *conn = lfirst(lc);

		if (conn->xact_broken)
			shoal_remote_close(conn);
	}
}

static void
finish(void)
{
	prepared = NIL;
	xact_used_nodes = false;
	close_broken();
}

/* What nodes have prepared is not this session's any more. */
void
xact_after_prepare(void)
{
	ListCell   *lc;

	if (!xact_used_nodes)
		return;
	if (prepared != NIL)
		xact_begin_session();
	foreach(lc, xact_open_conns())
		end_on(lfirst(lc));
	finish();
}

/* The session ends in an orderly way. */
static void
delete_done(int code, Datum arg)
{
	List	   *gids = NIL;
	ListCell   *lc;

	if (code != 0 || done_records == NIL)
		return;
	AbortOutOfAnyTransaction();
	StartTransactionCommand();
	foreach(lc, done_records)
		gids = lappend(gids, ((XactRow *) lfirst(lc))->gid);
	if (shoal_meta_enabled())
		xact_record_delete(gids);
	CommitTransactionCommand();
}

static void
keep_done(const XactRow *record)
{
	static bool registered = false;
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	XactRow    *copy = palloc(sizeof(XactRow));

	if (!registered)
		before_shmem_exit(delete_done, (Datum) 0);
	registered = true;
	*copy = *record;
	done_records = lappend(done_records, copy);
	MemoryContextSwitchTo(old);
}

/* Forgets those that have been overwritten, by n records. */
static void
forget_done(int n)
{
	while (n-- > 0 && done_records != NIL)
	{
		pfree(linitial(done_records));
		done_records = list_delete_first(done_records);
	}
}

/* The session ends here for the client, who does not hear what has become of it. */
static void
drop_client(void)
{
	if (MyProcPort && MyProcPort->sock != PGINVALID_SOCKET)
		(void) shutdown(MyProcPort->sock, SHUT_RDWR);
	ereport(LOG,
			(errmsg("session is closed, as the outcome of its transaction depends on the other nodes"),
			 errdetail("This node was cut off from them during COMMIT.")));
}

/* Whether the nodes that do not know yet were given up: it does not matter then. */
static bool
are_given_up(void)
{
	for (int i = 0; i < nuntold; i++)
		if (!shoal_health_is_down(untold[i]))
			return false;
	return true;
}

void
xact_after_commit(void)
{
	List	   *conns = NIL;
	char	  **sqls;
	ListCell   *lc;
	int			n = 0;

	if (!xact_used_nodes)
		return;
	if (prepared != NIL)
	{
		forget_done(list_length(prepared));
		nuntold = 0;

		sqls = palloc(list_length(prepared) * sizeof(char *));
		foreach(lc, prepared)
		{
			Prepared   *part = lfirst(lc);

			conns = lappend(conns, part->conn);
			sqls[n++] = psprintf("COMMIT PREPARED %s",
								 quote_literal_cstr(part->gid));
		}
		shoal_remote_try_all(conns, sqls, false);
		foreach(lc, prepared)
		{
			Prepared   *part = lfirst(lc);

			if (!part->conn->xact_broken)
				keep_done(part->record);
			else if (nuntold < MAX_UNTOLD)
				untold[nuntold++] = part->conn->node_id;
		}
		if (nuntold > 0)
		{
			(void) xact_gate_doubt();
			xact_begin_session();
		}
		xact_gate_leave();
		/* recovery has left alone what it found in its wave until now */
		if (nuntold > 0)
			my_doubt = xact_gate_doubt();
	}
	foreach(lc, xact_open_conns())
		end_on(lfirst(lc));
	finish();
}

void
xact_await_nodes(const List *node_ids)
{
	ListCell   *lc;

	nuntold = 0;
	foreach(lc, node_ids)
	{
		if (nuntold < MAX_UNTOLD)
			untold[nuntold++] = lfirst_int(lc);
	}
	my_doubt = xact_gate_doubt();
}

/*
 * The transaction has committed and has no locks any more.  If a node does not
 * know of it yet, whoever reads there finds the old rows, and must not have been
 * told of the commit before: so waits for recovery, but not for ever, as the node
 * may stay away.  If it is this node that loses its lease, the others may decide
 * without it; then the client is not told anything.
 *
 * It is done here, not in xact_after_commit, so that nobody has to wait for locks
 * of this backend meanwhile.  Recovery does not need any of them, so it could be
 * done there without a deadlock: it reads shoal.node, shoal.commit_record and
 * system catalogs with AccessShareLock, deletes records without waiting, and on
 * nodes what is prepared owns its locks itself.  Nor does a worker wait for
 * itself here: recovery and deadlock checks prepare nothing.
 */
void
xact_after_locks(void)
{
	uint64		doubt = my_doubt;
	TimestampTz deadline;

	if (doubt == 0)
		return;
	my_doubt = 0;
	/* at the least it has to be clear whether the others go on without us */
	deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
										   Max(shoal_commit_wait, shoal_failover_time));
	while (!xact_gate_is_settled(doubt) && GetCurrentTimestamp() < deadline &&
		   !are_given_up() && shoal_remote_pause(SETTLED_SLEEP))
	{
		if (shoal_health_lost_lease())
		{
			drop_client();
			return;
		}
	}
}

/* The statement that undoes a connection's part. */
static char *
rollback_command(ShoalConn *conn)
{
	ListCell   *lc;

	if (!conn->xact_prepared)
		return PQtransactionStatus(conn->pg) != PQTRANS_IDLE ? "ROLLBACK" : NULL;
	foreach(lc, prepared)
	{
		Prepared   *part = lfirst(lc);

		if (part->conn == conn)
			return psprintf("ROLLBACK PREPARED %s",
							quote_literal_cstr(part->gid));
	}
	return NULL;
}

/*
 * Ends the transaction on all nodes.  First whatever still runs is ended;
 * only then is it known who was prepared.
 */
void
xact_after_abort(void)
{
	List	   *conns;
	char	  **sqls;
	int			n;
	ListCell   *lc;
	bool		doubt = false;

	if (!xact_used_nodes)
		return;
	conns = shoal_remote_all();
	n = list_length(conns);
	sqls = palloc0((n + 1) * sizeof(char *));
	shoal_remote_try_all(conns, sqls, true);

	n = 0;
	foreach(lc, conns)
		sqls[n++] = rollback_command(lfirst(lc));
	shoal_remote_try_all(conns, sqls, true);
	foreach(lc, prepared)
		doubt |= ((Prepared *) lfirst(lc))->conn->xact_broken;
	if (doubt)
		(void) xact_gate_doubt();
	xact_gate_leave();
	foreach(lc, conns)
	{
		/* a BEGIN that never left is not for the next transaction */
		shoal_remote_unqueue(lfirst(lc));
		end_on(lfirst(lc));
	}
	finish();
}

/* ---- subtransactions ---- */

void
xact_commit_sub(int level)
{
	ListCell   *lc;

	if (!xact_used_nodes)
		return;
	foreach(lc, xact_open_conns())
	{
		ShoalConn  *conn = lfirst(lc);
		char		command[64];

		if (conn->xact_level < level)
			continue;
		snprintf(command, sizeof(command), "RELEASE SAVEPOINT shoal_%d",
				 level);
		shoal_remote_queue(conn, command);
		conn->xact_level = level - 1;
	}
}

void
xact_abort_sub(int level)
{
	List	   *conns = NIL;
	char	  **sqls;
	ListCell   *lc;
	int			n = 0;

	if (!xact_used_nodes)
		return;
	foreach(lc, xact_open_conns())
	{
		ShoalConn  *conn = lfirst(lc);

		if (conn->xact_level >= level)
			conns = lappend(conns, conn);
	}
	if (conns == NIL)
		return;
	sqls = palloc(list_length(conns) * sizeof(char *));
	foreach(lc, conns)
		sqls[n++] = psprintf("ROLLBACK TO SAVEPOINT shoal_%d", level);
	shoal_remote_try_all(conns, sqls, true);
	xact_commit_sub(level);
}
