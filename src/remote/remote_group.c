/*
 * remote_group.c
 *		One group of messages on a connection: sending it, reading its answers.
 *
 * A group is: queued commands (BEGIN, SAVEPOINT), DEALLOCATEs, the settings
 * that changed, the role that it acts as, Parse of a statement not prepared yet, the
 * statement, Sync.
 * All of it is in libpq's buffer before it is flushed, so it leaves in one
 * system call and needs one round trip.  If one part fails, the node skips
 * the rest, so a statement never runs with another role or other settings
 * than the session's.
 *
 * remote_step() reads answers without waiting.  The end of a statement is
 * told only after the answer to the Sync: a statement that commits by itself
 * may fail in its commit.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"

#include "base/base_compat.h"
#include "remote/remote.h"
#include "remote/remote_private.h"

/*
 * Sends a command ahead of the statement, by its prepared statement if it has one; if
 * that is not prepared yet, it is for the next time.
 */
bool
remote_send_ahead(ShoalConn *conn, const char *sql, const ShoalParams *params)
{
	ShoalConnPrivate *priv = conn->priv;
	const char *const *values = (const char *const *) params->values;
	RemoteStatement *stmt = NULL;
	char		name[32];
	bool		ok;

	/* what is prepared now must not fall to a DEALLOCATE ALL that still waits */
	if (priv->deallocate.len == 0)
		stmt = remote_statement_get(conn, sql, params);
	if (stmt)
		snprintf(name, sizeof(name), "shoal_%d", stmt->number);
	priv->ahead++;
	if (stmt && stmt->prepared)
		return PQsendQueryPrepared(conn->pg, name, params->n, values,
								   params->lengths, params->formats, 0);
	ok = PQsendQueryParams(conn->pg, sql, params->n, params->types, values,
						   params->lengths, params->formats, 0);
	if (ok && stmt && !remote_statement_is_preparing(conn, stmt))
	{
		MemoryContext old = MemoryContextSwitchTo(priv->context);

		priv->preparing_ahead = lappend(priv->preparing_ahead, stmt);
		MemoryContextSwitchTo(old);
		priv->ahead++;
		ok = PQsendPrepare(conn->pg, name, sql, params->n, params->types);
	}
	return ok;
}

bool
remote_is_savepoint(const char *sql)
{
	return strncmp(sql, "SAVEPOINT", 9) == 0;
}

/* Whether a command comes again and again, as it is.  A BEGIN names the transaction's time. */
static bool
is_common(const char *sql)
{
	return remote_is_savepoint(sql) || strncmp(sql, "RELEASE", 7) == 0;
}

/*
 * Asks for the answer to a savepoint before that to the statement: without the
 * savepoint the transaction there can't go on once the statement is cancelled.
 */
static bool
send_savepoint_flush(ShoalConn *conn)
{
	conn->priv->before_cancel = conn->priv->ahead;
	return PQsendFlushRequest(conn->pg);
}

/* Sends each command of a NUL-separated list; false if the connection is lost. */
static bool
send_commands(ShoalConn *conn, StringInfo list)
{
	static const ShoalParams none = {0};
	bool		savepoint = false;

	for (int at = 0; at < list->len; at += strlen(list->data + at) + 1)
	{
		const char *sql = list->data + at;

		savepoint |= remote_is_savepoint(sql);
		if (is_common(sql))
		{
			if (!remote_send_ahead(conn, sql, &none))
				return false;
			continue;
		}
		if (!PQsendQueryParams(conn->pg, sql, 0, NULL, NULL, NULL, NULL, 0))
			return false;
		conn->priv->ahead++;
	}
	resetStringInfo(list);
	return !savepoint || send_savepoint_flush(conn);
}

/* Sends the queued call. */
static bool
send_call(ShoalConn *conn)
{
	ShoalConnPrivate *priv = conn->priv;
	bool		bytes = priv->call_data != NULL;
	Oid			types[] = {bytes ? BYTEAOID : INT8OID, INT8OID};
	const char *values[] = {bytes ? priv->call_data : priv->call_values[0],
	priv->call_values[1]};
	int			lengths[] = {priv->call_len, 0};
	int			formats[] = {bytes ? 1 : 0, 0};
	ShoalParams params = {bytes ? 1 : 2, types, (char **) values, lengths, formats};
	const char *sql = priv->call;

	priv->call = NULL;
	return remote_send_ahead(conn, sql, &params);
}

static bool
send_ahead(ShoalConn *conn, int flags)
{
	ShoalConnPrivate *priv = conn->priv;
	const char *settings = NULL;
	bool		alone;

	/* a node in an error state takes nothing but the statement (ROLLBACK) */
	if (PQtransactionStatus(conn->pg) == PQTRANS_INERROR)
		flags = REMOTE_SEND_BARE;
	if (!(flags & REMOTE_SEND_BARE) || (flags & REMOTE_SEND_SETTINGS))
		settings = remote_settings_changes(conn);
	/* bytes that have to be there before the statement go along with any */
	alone = (flags & REMOTE_SEND_BARE) &&
		(priv->call == NULL || priv->call_data == NULL);

	if (!send_commands(conn, &priv->pending))
		return false;
	/* ahead of the call: what that prepares must not go with the others */
	if (!alone && !send_commands(conn, &priv->deallocate))
		return false;
	if (priv->call != NULL && !alone && !send_call(conn))
		return false;
	if (settings != NULL)
	{
		if (!remote_role_leave(conn) ||
			!PQsendQueryParams(conn->pg, settings, 0, NULL, NULL, NULL, NULL,
							   0))
			return false;
		priv->ahead++;
	}
	return (flags & REMOTE_SEND_BARE) || remote_role_tell(conn);
}

static bool
send_statement(ShoalConn *conn, const char *sql, const ShoalParams *params,
			   int flags)
{
	ShoalConnPrivate *priv = conn->priv;
	RemoteStatement *stmt = NULL;
	int			n = params ? params->n : 0;
	Oid		   *types = params ? params->types : NULL;
	const char *const *values = params ? (const char *const *) params->values : NULL;
	int		   *lengths = params ? params->lengths : NULL;
	int		   *formats = params ? params->formats : NULL;
	int			binary = (flags & SHOAL_SEND_BINARY) ? 1 : 0;
	char		name[32];

	/* shoal_remote_settle has looked */
	if ((flags & SHOAL_SEND_CACHE) && !(flags & SHOAL_SEND_HELD))
		remote_statement_look();
	if (!send_ahead(conn, flags))
		return false;
	/* after what goes ahead, which may need the place of another */
	if ((flags & SHOAL_SEND_CACHE) && priv->deallocate.len == 0)
		stmt = remote_statement_get(conn, sql, params);
	if (stmt == NULL)
		return PQsendQueryParams(conn->pg, sql, n, types, values, lengths,
								 formats, binary);

	snprintf(name, sizeof(name), "shoal_%d", stmt->number);
	if (!stmt->prepared)
	{
		Assert(!remote_statement_is_preparing(conn, stmt));
		if (!PQsendPrepare(conn->pg, name, sql, n, types))
			return false;
		priv->preparing = stmt;
		priv->ahead++;
	}
	return PQsendQueryPrepared(conn->pg, name, n, values, lengths, formats,
							   binary);
}

/*
 * Sends a group; the connection must be idle.  False if the connection turns
 * out to be lost.
 */
bool
remote_launch(ShoalConn *conn, const char *sql, const ShoalParams *params,
			  int flags)
{
	ShoalConnPrivate *priv = conn->priv;

	Assert(!priv->busy && priv->copy == REMOTE_COPY_NONE);
	if (priv->lost)
		return false;

	priv->ahead = priv->before_cancel = 0;
	priv->preparing = NULL;
	priv->preparing_ahead = NIL;
	if (!send_statement(conn, sql, params, flags))
		return false;
	/* libpq wants to be told while the statement is the next to be answered */
	if (priv->ahead == 0)
		PQsetSingleRowMode(conn->pg);
	if (!PQpipelineSync(conn->pg))
		return false;
	priv->busy = true;
	/* libpq has flushed already; this finds out whether all went through */
	priv->unflushed = PQflush(conn->pg) > 0;
	return true;
}

/* What a command that has succeeded means for the connection. */
static void
note_command(ShoalConn *conn, const char *tag)
{
	/* a COMMIT may turn out to be one, too */
	if (strncmp(tag, "ROLLBACK", 8) == 0)
	{
		remote_role_forget(conn);
		if (conn->priv->settings_unsure)
			conn->priv->settings_known = false;
	}
	if (strcmp(tag, "PREPARE TRANSACTION") == 0)
		conn->xact_prepared = true;
}

/* Keeps what a result means for the connection, and its first error. */
void
remote_note_result(ShoalConn *conn, PGresult *res)
{
	ShoalConnPrivate *priv = conn->priv;

	switch (PQresultStatus(res))
	{
		case PGRES_COMMAND_OK:
			note_command(conn, PQcmdStatus(res));
			PQclear(res);
			break;
		case PGRES_TUPLES_OK:
		case PGRES_SINGLE_TUPLE:
		case PGRES_EMPTY_QUERY:
		case PGRES_PIPELINE_ABORTED:
			PQclear(res);
			break;
		case PGRES_COPY_IN:
		case PGRES_COPY_OUT:
		case PGRES_COPY_BOTH:
			/* there is no way back from here in pipeline mode */
			remote_lost(conn);
			PQclear(res);
			break;
		default:
			if (priv->error == NULL)
				priv->error = res;
			else
				PQclear(res);
			break;
	}
}

static void
end_group(ShoalConn *conn)
{
	ShoalConnPrivate *priv = conn->priv;

	priv->busy = priv->posted = false;
	priv->before_cancel = 0;
	priv->answered = GetCurrentStatementStartTimestamp();
	if (priv->preparing)
	{
		RemoteStatement *stmt = priv->preparing;

		priv->preparing = NULL;
		remote_statement_drop(conn, stmt);
	}
	while (priv->preparing_ahead != NIL)
	{
		RemoteStatement *stmt = llast(priv->preparing_ahead);

		priv->preparing_ahead = list_delete_last(priv->preparing_ahead);
		remote_statement_drop(conn, stmt);
	}
	remote_finish_group(conn);
}

/* After a group or COPY: are the settings that were sent there to stay? */
void
remote_finish_group(ShoalConn *conn)
{
	ShoalConnPrivate *priv = conn->priv;

	if (PQtransactionStatus(conn->pg) == PQTRANS_IDLE)
		remote_role_forget(conn);
	if (priv->settings_unsure)
	{
		if (priv->error)
			priv->settings_known = false;
		if (PQtransactionStatus(conn->pg) == PQTRANS_IDLE)
			priv->settings_unsure = false;
	}
}

/* A Parse has succeeded, whatever comes of the rest: they come in order. */
static void
note_prepared(ShoalConnPrivate *priv)
{
	if (priv->preparing_ahead != NIL)
	{
		((RemoteStatement *) linitial(priv->preparing_ahead))->prepared = true;
		priv->preparing_ahead = list_delete_first(priv->preparing_ahead);
	}
	else if (priv->preparing)
	{
		priv->preparing->prepared = true;
		priv->preparing = NULL;
	}
}

/* One answer to a command that goes ahead of the statement; NULL ends it. */
static void
step_ahead(ShoalConn *conn, PGresult *res)
{
	ShoalConnPrivate *priv = conn->priv;

	if (res != NULL)
	{
		/* commands have tags */
		if (PQresultStatus(res) == PGRES_COMMAND_OK && *PQcmdStatus(res) == '\0')
			note_prepared(priv);
		remote_note_result(conn, res);
	}
	else
	{
		if (priv->before_cancel > 0)
			priv->before_cancel--;
		if (--priv->ahead == 0)
			PQsetSingleRowMode(conn->pg);
	}
}

static void
step_statement(ShoalConn *conn, PGresult *res)
{
	ShoalConnPrivate *priv = conn->priv;
	ExecStatusType status = PQresultStatus(res);

	if (status == PGRES_SINGLE_TUPLE && priv->active)
		priv->row = res;
	else if ((status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) &&
			 priv->end == NULL)
	{
		priv->end = res;
		note_command(conn, PQcmdStatus(res));
	}
	else
		remote_note_result(conn, res);
}

/*
 * Reads answers as far as they have arrived.  True if there is a row, or the
 * group is complete (not busy any more), or the connection was lost.
 */
bool
remote_step(ShoalConn *conn)
{
	ShoalConnPrivate *priv = conn->priv;
	int			nothing = 0;

	if (priv->row != NULL)
		return true;

	while (priv->busy && !PQisBusy(conn->pg))
	{
		PGresult   *res = PQgetResult(conn->pg);

		if (res != NULL && PQresultStatus(res) == PGRES_PIPELINE_SYNC)
		{
			PQclear(res);
			end_group(conn);
		}
		else if (priv->ahead > 0)
			step_ahead(conn, res);
		else if (res != NULL)
		{
			nothing = 0;
			step_statement(conn, res);
			if (priv->row != NULL)
				return true;
		}
		else if (++nothing > 2 || PQstatus(conn->pg) == CONNECTION_BAD)
		{
			/* nothing more will come, not even the answer to the Sync */
			remote_lost(conn);
		}
		if (PQstatus(conn->pg) == CONNECTION_BAD)
			remote_lost(conn);
	}
	return !priv->busy;
}

/* Clears what a group has left. */
void
remote_forget_group(ShoalConn *conn)
{
	ShoalConnPrivate *priv = conn->priv;

	PQclear(priv->row);
	PQclear(priv->end);
	PQclear(priv->error);
	priv->row = priv->end = priv->error = NULL;
	if (priv->active)
	{
		priv->active->finished = true;
		priv->active = NULL;
	}
}

/*
 * Waits for the end of a group whose rows nobody wants and raises its error.
 * The end's result stays in priv->end.
 */
void
remote_complete(ShoalConn *conn)
{
	ShoalConnPrivate *priv = conn->priv;

	Assert(priv->active == NULL);
	while (!remote_step(conn))
	{
		if (!remote_wait(conn, true, 0) && !remote_step(conn))
			remote_raise_lost(conn);
	}
	if (priv->error)
	{
		PGresult   *error = priv->error;

		priv->error = NULL;
		remote_forget_group(conn);
		shoal_remote_raise(conn, error);
	}
	if (priv->lost)
		remote_raise_lost(conn);
}

/*
 * Reads a group to its end without raising.  False if the connection was
 * lost or the wait was given up; then the connection is of no use.
 */
bool
remote_drain(ShoalConn *conn, TimestampTz deadline)
{
	ShoalConnPrivate *priv = conn->priv;

	if (priv->active)
	{
		priv->active->lost = true;
		priv->active->conn = NULL;
		priv->active = NULL;
	}
	PQclear(priv->row);
	priv->row = NULL;
	while (!remote_step(conn))
	{
		if (!remote_wait(conn, false, deadline) && !remote_step(conn))
		{
			remote_lost(conn);
			break;
		}
	}
	return !priv->lost;
}

/*
 * Whether the transaction there may be given up: it has only read, and the
 * next statement may as well begin a new one.
 */
static bool
may_begin_anew(ShoalConn *conn)
{
	return conn->xact_level > 0 && !conn->xact_wrote && !conn->xact_held &&
		XactIsoLevel == XACT_READ_COMMITTED;
}

bool
shoal_remote_may_cancel(ShoalConn *conn)
{
	return conn->xact_level == 0 || may_begin_anew(conn);
}

/* a statement gets this many milliseconds to end before it is cancelled */
#define CANCEL_AFTER	10

/*
 * Ends the group under way, whose rows nobody wants any more.  It is
 * cancelled if nothing but the statement is lost by that; else its rows have
 * to be read.
 */
static void
throw_away(ShoalConn *conn)
{
	ShoalConnPrivate *priv = conn->priv;
	bool		may_cancel = shoal_remote_may_cancel(conn);
	bool		cancelled = false;
	bool		aborted;
	TimestampTz deadline = 0;

	if (may_cancel)
		deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											   CANCEL_AFTER);
	PQclear(priv->row);
	priv->row = NULL;
	while (!remote_step(conn))
	{
		bool		late = may_cancel && !cancelled &&
			GetCurrentTimestamp() >= deadline;

		if (!late && remote_wait(conn, true, cancelled ? 0 : deadline))
			continue;
		if (remote_step(conn))
			break;
		if (!may_cancel || cancelled || PQstatus(conn->pg) == CONNECTION_BAD ||
			!remote_cancel(conn))
			remote_raise_lost(conn);
		cancelled = true;
	}
	/* an error that nobody wants either has ended the transaction as well */
	aborted = cancelled || (may_cancel && priv->error != NULL);
	remote_forget_group(conn);
	if (aborted && conn->xact_level > 0 && !priv->lost)
	{
		resetStringInfo(&priv->pending);
		shoal_remote_exec(conn, "ROLLBACK");
		conn->xact_level = 0;
	}
}

/* shoal_remote_discard, and requests whose memory is gone */
void
remote_throw_away(ShoalConn *conn)
{
	if (conn->priv->busy || conn->priv->error)
		throw_away(conn);
	remote_forget_group(conn);
}

/*
 * Outside of a transaction: waits for the answer to a command that was posted,
 * whatever it is.  The connection may turn out to be lost.
 */
void
remote_take_posted(ShoalConn *conn)
{
	TimestampTz answered = conn->priv->answered;

	while (!remote_step(conn))
	{
		if (!remote_wait(conn, true, 0) && !remote_step(conn))
			remote_lost(conn);
	}
	remote_forget_group(conn);
	/* it may have come long ago */
	conn->priv->answered = answered;
}

/*
 * Makes the connection ready for a group: an earlier request's rows are taken
 * in by their owner, or are thrown away if it has none.
 */
void
remote_make_idle(ShoalConn *conn)
{
	ShoalConnPrivate *priv = conn->priv;

	if (priv->copy != REMOTE_COPY_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("connection to node \"%s\" is in the middle of a COPY",
						priv->label)));
	if (priv->active)
	{
		ShoalRequest *req = priv->active;

		if (req->absorb == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("an earlier statement on node \"%s\" still has unread rows",
							priv->label)));
		req->absorb(req, req->absorb_arg);
	}
	remote_throw_away(conn);
	if (priv->lost)
		remote_raise_lost(conn);
}

/* What would go ahead of a statement, as one text for the simple protocol. */
void
remote_send_ahead_as_text(ShoalConn *conn, StringInfo buf)
{
	ShoalConnPrivate *priv = conn->priv;
	const char *settings = remote_settings_changes(conn);

	for (int at = 0; at < priv->pending.len;
		 at += strlen(priv->pending.data + at) + 1)
		appendStringInfo(buf, "%s;", priv->pending.data + at);
	resetStringInfo(&priv->pending);
	if (settings)
		appendStringInfo(buf, "%s;", settings);
}
