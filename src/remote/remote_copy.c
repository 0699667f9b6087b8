/*
 * remote_copy.c
 *		COPY ... FROM STDIN on nodes.
 *
 * libpq has no COPY in pipeline mode, so the connection leaves it for the
 * time; queued commands and settings go ahead in the same text.  The node's
 * answer to the command is awaited only when data is sent, so that several
 * connections can be started without a round trip each.  The sender waits when
 * the node does not keep up.
 */
#include "postgres.h"

#include "access/xact.h"

#include "base/base_compat.h"
#include "remote/remote.h"
#include "remote/remote_private.h"

/* Waits for the next result outside pipeline mode. */
static PGresult *
simple_result(ShoalConn *conn)
{
	while (PQisBusy(conn->pg))
	{
		if (!remote_wait(conn, true, 0) && PQisBusy(conn->pg))
			remote_raise_lost(conn);
	}
	return PQgetResult(conn->pg);
}

static void
send_simple(ShoalConn *conn, const char *sql)
{
	StringInfoData text;

	/* that is no text */
	if (remote_role_differs(conn))
		shoal_remote_exec(conn, "SELECT");
	remote_make_idle(conn);
	initStringInfo(&text);
	remote_send_ahead_as_text(conn, &text);
	appendStringInfoString(&text, sql);
	conn->sent_level = GetCurrentTransactionNestLevel();
	if (!PQexitPipelineMode(conn->pg) || !PQsendQuery(conn->pg, text.data))
		remote_raise_lost(conn);
	conn->priv->copy = REMOTE_COPY_SENT;
	conn->priv->unflushed = PQflush(conn->pg) > 0;
	pfree(text.data);
}

/*
 * Reads the remaining results, goes back to pipeline mode, raises an error if
 * there was one.  Returns the rows of the last command.
 */
static uint64
finish_simple(ShoalConn *conn)
{
	ShoalConnPrivate *priv = conn->priv;
	PGresult   *res;
	PGresult   *error;
	uint64		rows = 0;

	while ((res = simple_result(conn)) != NULL)
	{
		if (PQresultStatus(res) == PGRES_COMMAND_OK)
			rows = strtou64(PQcmdTuples(res), NULL, 10);
		if (PQresultStatus(res) == PGRES_COPY_IN ||
			PQresultStatus(res) == PGRES_COPY_OUT)
		{
			PQclear(res);
			remote_lost(conn);
			remote_raise_lost(conn);
		}
		remote_note_result(conn, res);
	}
	priv->copy = REMOTE_COPY_NONE;
	remote_finish_group(conn);
	error = priv->error;
	priv->error = NULL;
	if (PQstatus(conn->pg) != CONNECTION_OK || !PQenterPipelineMode(conn->pg))
		remote_lost(conn);
	if (error)
		shoal_remote_raise(conn, error);
	if (priv->lost)
		remote_raise_lost(conn);
	return rows;
}

void
shoal_remote_copy_begin(ShoalConn *conn, const char *sql)
{
	send_simple(conn, sql);
}

bool
shoal_remote_in_copy(const ShoalConn *conn)
{
	return conn->priv->copy != REMOTE_COPY_NONE;
}

/* Waits until the node is ready for data. */
static void
await_copy_in(ShoalConn *conn)
{
	PGresult   *res;

	while (conn->priv->copy == REMOTE_COPY_SENT)
	{
		res = simple_result(conn);
		if (res == NULL || PQresultStatus(res) == PGRES_FATAL_ERROR)
		{
			if (res)
				remote_note_result(conn, res);
			finish_simple(conn);
			ereport(ERROR,
					(errcode(ERRCODE_PROTOCOL_VIOLATION),
					 errmsg("node \"%s\" did not start the COPY",
							conn->priv->label)));
		}
		if (PQresultStatus(res) == PGRES_COPY_IN)
		{
			conn->priv->copy = REMOTE_COPY_IN;
			PQclear(res);
		}
		else
			remote_note_result(conn, res);
	}
}

void
shoal_remote_copy_data(ShoalConn *conn, const char *data, int len)
{
	await_copy_in(conn);
	if (len == 0)
		return;
	if (PQputCopyData(conn->pg, data, len) <= 0 ||
		!remote_flush(conn, true, 0))
	{
		/* the node has ended the COPY: it says why */
		finish_simple(conn);
		remote_raise_lost(conn);
	}
}

void
shoal_remote_copy_finish(ShoalConn *conn)
{
	await_copy_in(conn);
	if (PQputCopyEnd(conn->pg, NULL) > 0)
		remote_flush(conn, true, 0);
	conn->priv->copy = REMOTE_COPY_FINISHED;
}

uint64
shoal_remote_copy_end(ShoalConn *conn)
{
	if (conn->priv->copy != REMOTE_COPY_FINISHED)
		shoal_remote_copy_finish(conn);
	return finish_simple(conn);
}

/*
 * Gives a COPY up without raising.  Waits for the node as long as
 * a rollback may take.
 */
void
remote_copy_abort(ShoalConn *conn)
{
	ShoalConnPrivate *priv = conn->priv;
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   10000);
	PGresult   *res;

	if (priv->copy == REMOTE_COPY_IN)
	{
		if (PQputCopyEnd(conn->pg, "canceled by the coordinator") <= 0 ||
			!remote_flush(conn, false, deadline))
		{
			remote_lost(conn);
			return;
		}
	}
	else if (!remote_cancel(conn))
	{
		remote_lost(conn);
		return;
	}
	for (;;)
	{
		while (PQisBusy(conn->pg))
		{
			if (!remote_wait(conn, false, deadline) && PQisBusy(conn->pg))
			{
				remote_lost(conn);
				return;
			}
		}
		if ((res = PQgetResult(conn->pg)) == NULL)
			break;
		if (PQresultStatus(res) == PGRES_COPY_IN)
			PQputCopyEnd(conn->pg, "canceled by the coordinator");
		PQclear(res);
	}
	priv->copy = REMOTE_COPY_NONE;
	priv->settings_known = false;
	if (PQstatus(conn->pg) != CONNECTION_OK || !PQenterPipelineMode(conn->pg))
		remote_lost(conn);
}
