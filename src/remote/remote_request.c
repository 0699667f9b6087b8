/*
 * remote_request.c
 *		Statements on a connection: the functions that other layers call.
 *
 * A request is the caller's handle and lives in the caller's memory; the
 * connection knows at most one.  When that memory goes away before the rows
 * were read (an error, mostly), the connection stays busy without an owner,
 * and whoever uses it next throws the rows away.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "remote/remote.h"
#include "remote/remote_private.h"

/* milliseconds that the cause of an error may take longer to get here */
#define CAUSE_TIME		100

void
shoal_remote_queue(ShoalConn *conn, const char *sql)
{
	appendBinaryStringInfo(&conn->priv->pending, sql, strlen(sql) + 1);
	if (OidIsValid(conn->priv->role.userid) && remote_is_savepoint(sql))
		conn->priv->role_unsure = true;
}

void
shoal_remote_queue_call(ShoalConn *conn, const char *sql, uint64 a, uint64 b)
{
	ShoalConnPrivate *priv = conn->priv;

	priv->call = sql;
	priv->call_data = NULL;
	snprintf(priv->call_values[0], sizeof(priv->call_values[0]), UINT64_FORMAT, a);
	snprintf(priv->call_values[1], sizeof(priv->call_values[1]), UINT64_FORMAT, b);
}

void
shoal_remote_queue_bytes(ShoalConn *conn, const char *sql, const char *data,
						 int len)
{
	conn->priv->call = sql;
	conn->priv->call_data = data;
	conn->priv->call_len = len;
}

void
shoal_remote_unqueue(ShoalConn *conn)
{
	resetStringInfo(&conn->priv->pending);
	conn->priv->call = NULL;
}

bool
shoal_remote_unqueue_call(ShoalConn *conn)
{
	bool		queued = conn->priv->call != NULL;

	conn->priv->call = NULL;
	return queued;
}

/*
 * The session's settings of their own: some commands (VACUUM) refuse to share
 * a group.
 */
static void
send_settings(ShoalConn *conn)
{
	const char *settings = remote_settings_changes(conn);

	if (settings == NULL)
		return;
	if (!remote_launch(conn, settings, NULL, REMOTE_SEND_BARE))
		remote_raise_lost(conn);
	remote_complete(conn);
	remote_forget_group(conn);
}

static void
launch(ShoalConn *conn, const char *sql, const ShoalParams *params, int flags)
{
	remote_make_idle(conn);
	if (conn->priv->separate)
		send_settings(conn);
	conn->sent_level = GetCurrentTransactionNestLevel();
	if (!remote_launch(conn, sql, params, flags))
		remote_raise_lost(conn);
}

/*
 * The memory of a request is going away.  Its connection may be gone already
 * if it is finished.
 */
static void
release_request(void *arg)
{
	ShoalRequest *req = arg;

	PQclear(req->res);
	if (!req->finished && req->conn && req->conn->priv->active == req)
		req->conn->priv->active = NULL;
}

ShoalRequest *
shoal_remote_send(ShoalConn *conn, const char *sql, const ShoalParams *params,
				  int flags)
{
	ShoalRequest *req;

	/* before the request is there: it would be its own predecessor */
	launch(conn, sql, params, flags);

	req = palloc0(sizeof(ShoalRequest));
	req->conn = conn;
	req->sql = sql;
	req->params = params;
	req->flags = flags;
	req->callback.func = release_request;
	req->callback.arg = req;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &req->callback);
	conn->priv->active = req;
	return req;
}

/*
 * A statement that was prepared before its table changed fails once; outside
 * a transaction block it can be run again.  The result is consumed if so.
 */
static bool
run_again(ShoalRequest *req, PGresult *error)
{
	ShoalConn  *conn = req->conn;
	const char *sqlstate = PQresultErrorField(error, PG_DIAG_SQLSTATE);
	const char *where = PQresultErrorField(error, PG_DIAG_SOURCE_FUNCTION);

	if (!(req->flags & SHOAL_SEND_CACHE) || req->got_row || conn->priv->lost ||
		sqlstate == NULL || where == NULL || strcmp(sqlstate, "0A000") != 0 ||
		strcmp(where, "RevalidateCachedQuery") != 0)
		return false;
	remote_statement_drop_all(conn);
	if (conn->xact_level > 0 || (req->flags & SHOAL_SEND_HELD))
		return false;
	PQclear(error);
	if (!remote_launch(conn, req->sql, req->params, req->flags))
		remote_raise_lost(conn);
	conn->priv->active = req;
	return true;
}

/* Waits until the request has a row or its group is complete. */
static void
await(ShoalRequest *req)
{
	ShoalConn  *conn = req->conn;

	while (!remote_step(conn))
	{
		if (!remote_wait(conn, true, 0) && !remote_step(conn))
			remote_raise_lost(conn);
	}
}

/*
 * A node's error that another one has brought about: that one's transaction
 * failed, and took away what this one needed of it.
 */
static bool
is_consequence(const PGresult *error)
{
	const char *sqlstate = PQresultErrorField(error, PG_DIAG_SQLSTATE);

	return sqlstate != NULL && strcmp(sqlstate, "08006") == 0;
}

/* Raises the error that a request has failed with, if that has come and is no consequence. */
static void
raise_if_cause(ShoalConn *conn)
{
	ShoalConnPrivate *priv = conn->priv;
	PGresult   *error;

	if (priv->active == NULL || !shoal_remote_ready(priv->active) ||
		priv->row != NULL || priv->error == NULL || is_consequence(priv->error))
		return;
	error = priv->error;
	priv->error = NULL;
	remote_forget_group(conn);
	shoal_remote_raise(conn, error);
}

void
shoal_remote_raise_cause(void)
{
	ListCell   *lc;

	for (int attempt = 0; attempt < 2; attempt++)
	{
		/* it was sent earlier, but networks don't know that */
		if (attempt > 0)
			shoal_server_pause(CAUSE_TIME);
		foreach(lc, shoal_remote_all())
			raise_if_cause(lfirst(lc));
	}
}

/* The node's error, or that which it is a consequence of. */
static void __attribute__((noreturn))
raise_error(ShoalConn *conn, PGresult *error)
{
	if (is_consequence(error))
	{
		PG_TRY();
		{
			shoal_remote_raise_cause();
		}
		PG_CATCH();
		{
			PQclear(error);
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
	shoal_remote_raise(conn, error);
	pg_unreachable();
}

PGresult *
shoal_remote_next(ShoalRequest *req)
{
	ShoalConnPrivate *priv;
	PGresult   *error;

	PQclear(req->res);
	req->res = NULL;
	if (req->finished)
		return NULL;
	if (req->lost)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_CURSOR_STATE),
				 errmsg("rows that were being read were lost when a subtransaction failed"),
				 errhint("Fetch rows from the cursor before the subtransaction begins.")));
	if (req->conn == NULL || req->conn->priv->active != req)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_DOES_NOT_EXIST),
				 errmsg("connection of a running statement was closed")));
	priv = req->conn->priv;

	for (;;)
	{
		await(req);
		if (priv->row)
		{
			req->res = priv->row;
			priv->row = NULL;
			req->got_row = true;
			return req->res;
		}
		if ((error = priv->error) == NULL)
			break;
		priv->error = NULL;
		remote_forget_group(req->conn);
		if (!run_again(req, error))
			raise_error(req->conn, error);
		req->finished = false;
	}
	if (priv->lost)
		remote_raise_lost(req->conn);
	req->res = priv->end;
	priv->end = NULL;
	remote_forget_group(req->conn);
	return req->res;
}

bool
shoal_remote_has_failed(ShoalRequest *req)
{
	ShoalConn  *conn = req->conn;

	if (req->finished)
		return false;
	if (conn == NULL || conn->priv->active != req)
		return true;
	/* what had come before the connection was lost counts */
	if (remote_step(conn))
		return conn->priv->row == NULL &&
			(conn->priv->error != NULL || conn->priv->lost);
	return PQstatus(conn->pg) == CONNECTION_BAD;
}

void
shoal_remote_on_absorb(ShoalRequest *req, ShoalAbsorb absorb, void *arg)
{
	req->absorb = absorb;
	req->absorb_arg = arg;
}

void
shoal_remote_absorb_above(int level)
{
	ListCell   *lc;

	foreach(lc, shoal_remote_all())
	{
		ShoalConn  *conn = lfirst(lc);
		ShoalRequest *req = conn->priv->active;

		if (req && req->absorb && conn->xact_level > level)
			req->absorb(req, req->absorb_arg);
	}
}

void
shoal_remote_discard(ShoalRequest *req)
{
	PQclear(req->res);
	req->res = NULL;
	if (!req->finished && req->conn && req->conn->priv->active == req)
	{
		req->conn->priv->active = NULL;
		remote_throw_away(req->conn);
	}
	req->finished = true;
}

void
shoal_remote_tidy(ShoalConn *conn)
{
	if (conn->priv->busy && conn->priv->active == NULL)
		remote_throw_away(conn);
}

uint32
shoal_remote_told_xid(ShoalConn *conn)
{
	const char *xid = PQparameterStatus(conn->pg, SHOAL_XID_STATUS);

	return xid ? (uint32) strtoul(xid, NULL, 10) : 0;
}

void
shoal_remote_settle(ShoalConn *conn)
{
	remote_make_idle(conn);
	remote_statement_look();
}

static void
await_status(ShoalConn *conn, const char *name, const char *value, bool same)
{
	for (;;)
	{
		bool		stop = remote_step(conn);
		const char *now = PQparameterStatus(conn->pg, name);

		/* once there is a row the status must have come, or never will */
		if (stop || (now && (strcmp(now, value) == 0) == same))
			return;
		if (!remote_wait(conn, true, 0) && !remote_step(conn))
			remote_raise_lost(conn);
	}
}

void
shoal_remote_await_status(ShoalConn *conn, const char *name, const char *value)
{
	await_status(conn, name, value, true);
}

void
shoal_remote_await_change(ShoalConn *conn, const char *name, const char *value)
{
	await_status(conn, name, value, false);
}

ShoalConn *
shoal_remote_request_conn(ShoalRequest *req)
{
	return req->conn;
}

static uint64
affected_rows(const PGresult *res)
{
	return res ? strtou64(PQcmdTuples(unconstify(PGresult *, res)), NULL, 10) : 0;
}

/* Waits for a command and returns the rows it affected. */
static uint64
complete(ShoalConn *conn)
{
	uint64		rows;

	remote_complete(conn);
	rows = affected_rows(conn->priv->end);
	remote_forget_group(conn);
	return rows;
}

uint64
shoal_remote_exec(ShoalConn *conn, const char *sql)
{
	launch(conn, sql, NULL, 0);
	return complete(conn);
}

void
shoal_remote_exec_all(List *conns, const char *sql)
{
	ListCell   *lc;

	foreach(lc, conns)
		launch(lfirst(lc), sql, NULL, 0);
	foreach(lc, conns)
		complete(lfirst(lc));
}

/*
 * At the end of a transaction, when nobody is left to read rows.  Deferred triggers of one
 * that has written ask for settings.
 */
static void
launch_end(ShoalConn *conn, const char *sql)
{
	int			flags = REMOTE_SEND_BARE | (conn->xact_wrote ? REMOTE_SEND_SETTINGS : 0);

	if (conn->priv->active)
		shoal_remote_discard(conn->priv->active);
	remote_make_idle(conn);
	if (!remote_launch(conn, sql, NULL, flags))
		remote_raise_lost(conn);
}

void
shoal_remote_exec_each(List *conns, List *sqls)
{
	ListCell   *lc;
	ListCell   *lc2;

	forboth(lc, conns, lc2, sqls)
		launch_end(lfirst(lc), lfirst(lc2));
	foreach(lc, conns)
		complete(lfirst(lc));
}

void
shoal_remote_post(ShoalConn *conn, const char *sql)
{
	launch_end(conn, sql);
	conn->priv->posted = true;
}

/* Appends a row to a result that is being collected. */
static void
collect_row(PGresult *all, PGresult *row)
{
	int			at = PQntuples(all);

	for (int i = 0; i < PQnfields(row); i++)
	{
		bool		null = PQgetisnull(row, 0, i);

		if (!PQsetvalue(all, at, i, null ? NULL : PQgetvalue(row, 0, i),
						null ? -1 : PQgetlength(row, 0, i)))
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory")));
	}
}

PGresult *
shoal_remote_query(ShoalConn *conn, const char *sql, const ShoalParams *params)
{
	ShoalRequest *req = shoal_remote_send(conn, sql, params, 0);
	PGresult   *volatile all = NULL;
	PGresult   *res;

	PG_TRY();
	{
		while ((res = shoal_remote_next(req)) != NULL)
		{
			/* the end has the columns, too, and comes if there is no row */
			if (all == NULL)
				all = PQcopyResult(res, PG_COPYRES_ATTRS);
			if (all == NULL)
				ereport(ERROR,
						(errcode(ERRCODE_OUT_OF_MEMORY),
						 errmsg("out of memory")));
			if (PQresultStatus(res) == PGRES_SINGLE_TUPLE)
				collect_row(all, res);
		}
	}
	PG_CATCH();
	{
		PQclear(all);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return all;
}

/* milliseconds that a node has for a rollback */
#define ROLLBACK_TIME	30000

/* Gets a connection to a state in which a ROLLBACK can be sent. */
static bool
recover_conn(ShoalConn *conn, TimestampTz deadline)
{
	ShoalConnPrivate *priv = conn->priv;

	if (priv->lost)
		return false;
	if (priv->copy != REMOTE_COPY_NONE)
		remote_copy_abort(conn);
	else if (priv->busy && !priv->posted && !remote_step(conn) &&
			 !remote_cancel(conn))
		remote_lost(conn);
	if (!priv->lost)
		remote_drain(conn, deadline);
	remote_forget_group(conn);
	return !priv->lost;
}

/* Sends a command that must not raise. */
static void
try_launch(ShoalConn *conn, const char *sql)
{
	/* nothing of it was sent, nothing is to be undone */
	if (strcmp(sql, "ROLLBACK") == 0)
		shoal_remote_unqueue(conn);
	if (!conn->priv->lost &&
		!remote_launch(conn, sql, NULL, REMOTE_SEND_BARE))
		remote_lost(conn);
}

/* Waits for it. */
static bool
try_complete(ShoalConn *conn, const char *sql, bool recover,
			 TimestampTz deadline)
{
	ShoalConnPrivate *priv = conn->priv;
	bool		ok = !priv->lost && remote_drain(conn, deadline) &&
	priv->error == NULL;

	if (!ok)
	{
		/* that a lost connection can't be rolled back goes without saying */
		if (!(recover && priv->lost))
			remote_warn(conn, priv->error, sql);
		conn->xact_broken = true;
	}
	remote_forget_group(conn);
	return ok;
}

bool
shoal_remote_try_all(List *conns, char **sqls, bool recover)
{
	TimestampTz deadline = 0;
	ListCell   *lc;
	bool		ok = true;
	int			i = 0;

	if (recover)
		deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											   ROLLBACK_TIME);
	foreach(lc, conns)
	{
		ShoalConn  *conn = lfirst(lc);
		const char *sql = sqls[i++];

		if (recover && !recover_conn(conn, deadline))
		{
			ok = false;
			continue;
		}
		if (sql)
			try_launch(conn, sql);
	}
	i = 0;
	foreach(lc, conns)
	{
		const char *sql = sqls[i++];

		if (sql && !try_complete(lfirst(lc), sql, recover, deadline))
			ok = false;
	}
	return ok;
}
