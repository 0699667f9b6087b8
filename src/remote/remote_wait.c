/*
 * remote_wait.c
 *		Waiting for nodes.
 *
 * Each connection keeps a wait set of its own (latch, postmaster, socket), so
 * that a wait is one system call.  There is one more for waits for several
 * connections: it has those of the last such wait, or more than are asked for
 * now, and is made anew when one is missing, or one speaks that nobody asked.
 *
 * Waits either serve interrupts (and so may raise), or are for transaction
 * callbacks: these give up instead when the user or the administrator asks,
 * or when the deadline passes.  Likewise, the death of the postmaster ends the
 * process in the former ones only: a transaction that is committed has to get
 * to its end, and exiting would abort it.
 *
 * An interrupt that comes while a node may be committing is raised when the node has
 * said that it has not.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"

#include "base/base_compat.h"
#include "remote/remote.h"
#include "remote/remote_private.h"

/* milliseconds in which a cancel request may arrive once more */
#define SAME_CANCEL_TIME	100

/* milliseconds that a node has to say what became of what was cancelled */
#define OUTCOME_TIME	30000

void		(*shoal_remote_on_interrupt) (void) = NULL;
void		(*shoal_remote_after_input) (void) = NULL;
bool		(*shoal_remote_is_gone) (int node_id) = NULL;
bool		(*shoal_remote_watches) (void) = NULL;

/* the second copy of a cancel request may arrive until then, else 0 */
static TimestampTz same_cancel_until = 0;

/* milliseconds from now, as WaitEventSetWait wants them: -1 for ever */
static long
time_left(TimestampTz deadline)
{
	if (deadline == 0)
		return -1;
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
}

void
shoal_remote_note_cancel(void)
{
	same_cancel_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													SAME_CANCEL_TIME);
}

/*
 * One wait: like WaitEventSetWait, but ends with 0 when one of the nodes was
 * given up, too (gone is set then).
 */
static int
wait_events(WaitEventSet *set, TimestampTz deadline, WaitEvent *event,
			ShoalConn **conns, int n, ShoalConn **gone)
{
	bool		watch = shoal_remote_watches && shoal_remote_watches();

	*gone = NULL;
	/* a timeout costs something */
	if (!watch)
		return WaitEventSetWait(set, time_left(deadline), event, 1,
								PG_WAIT_EXTENSION);
	for (;;)
	{
		long		left = time_left(deadline);
		long		slice = left < 0 ? REMOTE_GONE_TIME : Min(left, REMOTE_GONE_TIME);
		int			rc;

		for (int i = 0; shoal_remote_is_gone && i < n; i++)
		{
			if (conns[i]->node_id == 0 || !shoal_remote_is_gone(conns[i]->node_id))
				continue;
			*gone = conns[i];
			return 0;
		}
		rc = WaitEventSetWait(set, slice, event, 1, PG_WAIT_EXTENSION);
		if (rc != 0 || (left >= 0 && time_left(deadline) <= 0))
			return rc;
	}
}

/* The connection on which something commits by itself, NULL if there is none. */
static ShoalConn *
committing_conn(void)
{
	ListCell   *lc;

	foreach(lc, shoal_remote_all())
	{
		ShoalConn  *conn = lfirst(lc);

		if (conn->xact_commits && conn->priv->busy)
			return conn;
	}
	return NULL;
}

/*
 * Reads to the end what was sent, but cancels it.  True if there were rows,
 * which are lost.
 */
static bool
read_to_end(ShoalConn *conn)
{
	ShoalConnPrivate *priv = conn->priv;
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   OUTCOME_TIME);
	bool		rows = false;

	if (!remote_step(conn) && !remote_cancel(conn))
		remote_lost(conn);
	while (priv->busy)
	{
		bool		stepped = remote_step(conn) ||
			remote_wait(conn, false, deadline) || remote_step(conn);

		if (!stepped)
			remote_lost(conn);
		if (priv->row != NULL)
			rows = true;
		PQclear(priv->row);
		priv->row = NULL;
	}
	return rows;
}

static bool
is_unknown(const PGresult *error)
{
	const char *sqlstate = PQresultErrorField(error, PG_DIAG_SQLSTATE);

	return sqlstate == NULL ||
		strcmp(sqlstate, unpack_sql_state(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN)) == 0;
}

/*
 * An interrupt is to end what may have been committed already.  Whoever is told
 * that it was ended must not find it done: so it is found out, and if it is done
 * the interrupt came too late.
 */
static void
settle_interrupt(ShoalConn *conn, ErrorData *interrupt)
{
	ShoalConnPrivate *priv = conn->priv;
	bool		rows = read_to_end(conn);

	if (!priv->lost && priv->error == NULL && !rows)
	{
		FreeErrorData(interrupt);
		return;
	}
	if (priv->lost || priv->error == NULL || is_unknown(priv->error))
	{
		interrupt->sqlerrcode = ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN;
		interrupt->detail = priv->lost || priv->error ?
			"It may have been executed before it could be cancelled." :
			"It was executed before it could be cancelled.";
		interrupt->hint = "Look at the data to find out whether the statement was executed.";
	}
	ReThrowError(interrupt);
}

static void
raise_interrupts(void)
{
	if (shoal_remote_on_interrupt)
		shoal_remote_on_interrupt();
	if (QueryCancelPending)
		shoal_remote_note_cancel();
	CHECK_FOR_INTERRUPTS();
}

static void
raise_interrupts_or_settle(ShoalConn *conn)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile interrupt = NULL;

	PG_TRY();
	{
		raise_interrupts();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		interrupt = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	if (interrupt)
		settle_interrupt(conn, interrupt);
}

/* Returns false if a wait that can't raise has to be given up. */
static bool
serve_interrupts(bool interruptible)
{
	ResetLatch(MyLatch);
	if (interruptible)
	{
		ShoalConn  *conn = committing_conn();

		if (conn)
			raise_interrupts_or_settle(conn);
		else
			raise_interrupts();
		return true;
	}
	if (QueryCancelPending && same_cancel_until != 0)
	{
		if (GetCurrentTimestamp() < same_cancel_until)
			QueryCancelPending = false;
		same_cancel_until = 0;
	}
	return !(InterruptPending && (QueryCancelPending || ProcDiePending));
}

/* The postmaster is gone.  Returns false, if at all, like serve_interrupts. */
static bool
serve_postmaster_death(bool interruptible)
{
	/* as WL_EXIT_ON_PM_DEATH does */
	if (interruptible)
		proc_exit(1);
	return false;
}

static uint32
events_wanted(ShoalConn *conn)
{
	return WL_SOCKET_READABLE |
		(conn->priv->unflushed ? WL_SOCKET_WRITEABLE : 0);
}

/*
 * Sends what libpq holds back, without waiting.  False if the connection is
 * lost; libpq may still have an answer that says why.
 */
static bool
push_output(ShoalConn *conn)
{
	if (conn->priv->unflushed)
	{
		int			rc = PQflush(conn->pg);

		conn->priv->unflushed = (rc > 0);
		return rc >= 0;
	}
	return true;
}

/*
 * Waits once until the connection has input, or takes output that was held
 * back; reads and writes.  False if the connection is lost, or a wait without
 * interrupts has to be given up.
 */
bool
remote_wait(ShoalConn *conn, bool interruptible, TimestampTz deadline)
{
	ShoalConnPrivate *priv = conn->priv;
	uint32		wanted = events_wanted(conn);
	WaitEvent	event;
	ShoalConn  *gone;
	int			n;

	if (priv->wait_set == NULL)
	{
		priv->wait_set = shoal_create_wait_set(3);
		AddWaitEventToSet(priv->wait_set, wanted, PQsocket(conn->pg), NULL,
						  NULL);
		AddWaitEventToSet(priv->wait_set, WL_LATCH_SET, PGINVALID_SOCKET,
						  MyLatch, NULL);
		AddWaitEventToSet(priv->wait_set, WL_POSTMASTER_DEATH,
						  PGINVALID_SOCKET, NULL, NULL);
	}
	else if (priv->wait_events != wanted)
		ModifyWaitEvent(priv->wait_set, 0, wanted, NULL);
	priv->wait_events = wanted;

	n = wait_events(priv->wait_set, deadline, &event, &conn, 1, &gone);
	if (n == 0)
		return false;
	if (event.events & WL_POSTMASTER_DEATH)
		return serve_postmaster_death(interruptible);
	if (event.events & WL_LATCH_SET)
		return serve_interrupts(interruptible);
	if ((event.events & WL_SOCKET_WRITEABLE) && !push_output(conn))
		return false;
	if ((event.events & WL_SOCKET_READABLE) && !PQconsumeInput(conn->pg))
		return false;
	if (interruptible && shoal_remote_after_input)
		shoal_remote_after_input();
	return true;
}

/* Sends all that libpq holds back; false like remote_wait. */
bool
remote_flush(ShoalConn *conn, bool interruptible, TimestampTz deadline)
{
	conn->priv->unflushed = true;
	for (;;)
	{
		if (!push_output(conn))
			return false;
		if (!conn->priv->unflushed)
			return true;
		if (!remote_wait(conn, interruptible, deadline))
			return false;
	}
}

bool
shoal_remote_pause(long ms)
{
	int			rc;

	/* what came before may have reset the latch */
	if (!serve_interrupts(false))
		return false;
	rc = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_POSTMASTER_DEATH, ms,
				   PG_WAIT_EXTENSION);
	return (rc & WL_POSTMASTER_DEATH) ? serve_postmaster_death(false) : true;
}

/* The group of a request is complete, or has a row, or lost its connection. */
static bool
can_go_on(ShoalRequest *req)
{
	if (req->finished || req->conn == NULL || req->conn->priv->active != req)
		return true;
	return remote_step(req->conn);
}

bool
shoal_remote_ready(ShoalRequest *req)
{
	if (can_go_on(req))
		return true;
	/* a lost connection is "ready": the next call raises the error */
	if (!push_output(req->conn) || !PQconsumeInput(req->conn->pg))
		return true;
	return can_go_on(req);
}

/* ---- waits for several connections ---- */

static WaitEventSet *many_set = NULL;
static ShoalConn **many = NULL; /* its connections, by position */
static int	nmany = 0;

static void
drop_many(void)
{
	for (int i = 0; i < nmany; i++)
		many[i]->priv->many_pos = -1;
	nmany = 0;
	if (many_set)
		FreeWaitEventSet(many_set);
	many_set = NULL;
}

/* A connection is going away. */
void
remote_wait_forget(ShoalConn *conn)
{
	if (conn->priv->many_pos >= 0)
		drop_many();
}

/* Makes the set for these connections. */
static void
make_many(ShoalRequest **reqs, int n)
{
	drop_many();
	if (many)
		pfree(many);
	many = NULL;
	many = MemoryContextAlloc(TopMemoryContext, n * sizeof(ShoalConn *));
	many_set = shoal_create_wait_set(n + 2);
	for (int i = 0; i < n; i++)
	{
		ShoalConnPrivate *priv;

		if (reqs[i] == NULL)
			continue;
		priv = reqs[i]->conn->priv;
		priv->many_events = events_wanted(&priv->pub);
		priv->many_pos = AddWaitEventToSet(many_set, priv->many_events,
										   PQsocket(priv->pub.pg), NULL, NULL);
		many[nmany++] = &priv->pub;
	}
	AddWaitEventToSet(many_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(many_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL,
					  NULL);
}

/* Makes the set one that has all connections of the requests. */
static void
prepare_many(ShoalRequest **reqs, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (reqs[i] != NULL && reqs[i]->conn->priv->many_pos < 0)
		{
			make_many(reqs, n);
			return;
		}
	}
	for (int i = 0; i < n; i++)
	{
		ShoalConnPrivate *priv = reqs[i] ? reqs[i]->conn->priv : NULL;

		if (priv && priv->many_events != events_wanted(&priv->pub))
		{
			priv->many_events = events_wanted(&priv->pub);
			ModifyWaitEvent(many_set, priv->many_pos, priv->many_events, NULL);
		}
	}
}

/*
 * Waits once for any of the requests' connections; reads and writes.  Returns
 * the index of one that was lost, else -1.
 */
static int
wait_once(ShoalRequest **reqs, int n)
{
	WaitEvent	event;
	ShoalConn  *gone;
	int			waiting = 0;
	int			last = 0;

	for (int i = 0; i < n; i++)
	{
		if (reqs[i] != NULL)
		{
			waiting++;
			last = i;
		}
	}
	if (waiting == 1)
		return remote_wait(reqs[last]->conn, true, 0) ? -1 : last;

	prepare_many(reqs, n);
	if (wait_events(many_set, 0, &event, many, nmany, &gone) == 0)
	{
		for (int i = 0; gone && i < n; i++)
			if (reqs[i] && reqs[i]->conn == gone)
				return i;
		drop_many();
		return -1;
	}
	if (event.events & WL_LATCH_SET)
	{
		serve_interrupts(true);
		return -1;
	}
	for (int i = 0; i < n; i++)
	{
		ShoalConn  *conn = reqs[i] ? reqs[i]->conn : NULL;

		if (conn && conn->priv->many_pos == event.pos)
		{
			if (!push_output(conn) || !PQconsumeInput(conn->pg))
				return i;
			if (shoal_remote_after_input)
				shoal_remote_after_input();
			return -1;
		}
	}
	drop_many();
	return -1;
}

int
shoal_remote_wait_any(ShoalRequest **reqs, int n)
{
	for (;;)
	{
		int			lost;

		for (int i = 0; i < n; i++)
		{
			if (reqs[i] != NULL && can_go_on(reqs[i]))
				return i;
		}
		if ((lost = wait_once(reqs, n)) >= 0)
			return lost;
	}
}
