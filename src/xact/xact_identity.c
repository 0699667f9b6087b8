/*
 * xact_identity.c
 *		Is this database the node that its metadata say it is?
 *
 * Of a node there may be a copy: a backup that is tried out, a snapshot of its machine, a
 * database made from it as a template.  If that reaches the other nodes it must not take
 * what the node has prepared there for its own, nor ask for a lease.  So who acts by himself
 * (recovery, the monitor) first asks whoever has the node's address for a number that only
 * this server's memory has.  If it is another one, this is a copy, and it uses no other
 * nodes, until the address leads here.
 *
 * If nobody answers that proves nothing: a node need not reach itself.  It goes on as the node,
 * then, or as the copy that it was; the recovery worker asks again.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "meta/meta.h"
#include "xact/xact.h"
#include "xact/xact_private.h"
#include "xact/xact_shared.h"

/* milliseconds until it is asked again where nobody has answered */
#define SILENT_TIME		60000

PG_FUNCTION_INFO_V1(shoal_internal_token);

/* This database's number, made when it is first asked for. */
static uint64
my_token(void)
{
	XactGate   *gate = xact_gate();
	uint64		token = 0;

	while (token == 0)
	{
		if (!pg_strong_random(&token, sizeof(token)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random values")));
	}
	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	if (gate->token == 0)
		gate->token = token;
	token = gate->token;
	LWLockRelease(xact_shared_lock);
	return token;
}

/* shoal.internal_token() */
Datum
shoal_internal_token(PG_FUNCTION_ARGS)
{
	shoal_xact_check_internal();
	PG_RETURN_INT64((int64) my_token());
}

static void
ask(void *identity)
{
	ShoalConn  *conn = shoal_remote_conn_to_self();
	PGresult   *res = shoal_remote_query(conn, XACT_INTERNAL_CALL "token()", NULL);

	*(XactIdentity *) identity = strtoll(PQgetvalue(res, 0, 0), NULL, 10) == (int64) my_token() ?
		XACT_IDENTITY_OWN : XACT_IDENTITY_COPY;
	PQclear(res);
	shoal_remote_close(conn);
}

/* What has been found so far, and whether it is time to ask. */
static XactIdentity
known_identity(bool *due)
{
	XactGate   *gate = xact_gate();
	XactIdentity identity;

	/* both of one moment: another process may be about to write down its answer */
	LWLockAcquire(xact_shared_lock, LW_SHARED);
	identity = gate->identity;
	*due = identity != XACT_IDENTITY_OWN &&
		TimestampDifferenceExceeds(gate->asked, GetCurrentTimestamp(),
								   identity == XACT_IDENTITY_COPY ? SHOAL_COPY_TIME : SILENT_TIME);
	LWLockRelease(xact_shared_lock);
	return identity;
}

bool
shoal_xact_is_copy(void)
{
	XactGate   *gate = xact_gate();
	bool		due;
	XactIdentity before = known_identity(&due);
	XactIdentity identity = XACT_IDENTITY_UNKNOWN;

	if (!due || shoal_meta_local_node_id() == 0)
		return before == XACT_IDENTITY_COPY;
	/* an error is as good as no answer */
	(void) shoal_server_try(ask, &identity);
	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	/* silence does not make a copy the node */
	if (identity != XACT_IDENTITY_UNKNOWN)
		gate->identity = identity;
	identity = gate->identity;
	/* not before: somebody else might take it that there was no answer */
	gate->asked = GetCurrentTimestamp();
	LWLockRelease(xact_shared_lock);
	if (identity == XACT_IDENTITY_COPY && before != XACT_IDENTITY_COPY)
		ereport(LOG,
				(errmsg("database is a copy of node %d, and does nothing on other nodes",
						shoal_meta_local_node_id()),
				 errdetail("At the node's address another one answers.")));
	return identity == XACT_IDENTITY_COPY;
}

bool
shoal_xact_is_known_copy(void)
{
	return xact_gate()->identity == XACT_IDENTITY_COPY;
}

void
xact_check_identity(void)
{
	if (shoal_xact_is_known_copy())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this database is a copy of node %d, and cannot use other nodes",
						shoal_meta_local_node_id()),
				 errdetail("At the node's address another one answers."),
				 errhint("Connect to that one.")));
}
