/*
 * remote_role.c
 *		Statements of a role other than the session's user.
 *
 * A connection is one of the session's user, whose transaction has to see all that
 * it has changed.  In a security-definer function, or where the rights of a view's
 * owner count, the node is told to act as another role (xact_role.c) ahead of the
 * statement, and ahead of the next one that it is over.  SET ROLE is a setting
 * (remote_settings.c), which it leaves alone.
 *
 * The node forgets that with its transaction, and when a subtransaction begins; so after
 * one that has failed it acts as the user again.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "remote/remote.h"
#include "remote/remote_private.h"

#define ACT_AS_SQL "/*shoal local*/ SELECT shoal.internal_act_as($1, $2, $3)"

/* What the current user's statements are to be done as; InvalidOid: as the connection's user. */
static RemoteRole
wanted(const ShoalConn *conn)
{
	RemoteRole	role = {InvalidOid, false};
	Oid			by_itself = conn->userid == GetSessionUserId() ? GetOuterUserId() :
		conn->userid;
	Oid			userid;
	int			context;

	GetUserIdAndSecContext(&userid, &context);
	if (!conn->priv->separate && !conn->priv->for_rows && userid != by_itself)
	{
		role.userid = userid;
		role.restricted = (context & SECURITY_RESTRICTED_OPERATION) != 0;
	}
	return role;
}

static bool
is_told(const ShoalConn *conn, RemoteRole role)
{
	const ShoalConnPrivate *priv = conn->priv;

	return !priv->role_unsure && priv->role.userid == role.userid &&
		priv->role.restricted == role.restricted;
}

bool
remote_role_differs(const ShoalConn *conn)
{
	return !is_told(conn, wanted(conn));
}

/* Sends it ahead; false if the connection is lost. */
static bool
tell(ShoalConn *conn, RemoteRole role)
{
	ShoalConnPrivate *priv = conn->priv;
	Oid			types[] = {TEXTOID, BOOLOID, TEXTOID};
	int			formats[] = {0, 0, 0};
	char	   *values[] = {"", role.restricted ? "t" : "f", ""};
	ShoalParams params = {3, types, values, formats, formats};

	if (is_told(conn, role))
		return true;
	if (OidIsValid(role.userid))
		values[0] = GetUserNameFromId(role.userid, false);
	values[2] = shoal_meta_role_proof(PQuser(conn->pg), values[0],
									  role.restricted, priv->backend_pid);
	priv->role = role;
	priv->role_unsure = false;
	return remote_send_ahead(conn, ACT_AS_SQL, &params);
}

bool
remote_role_tell(ShoalConn *conn)
{
	return tell(conn, wanted(conn));
}

/* So that the session's settings can be changed. */
bool
remote_role_leave(ShoalConn *conn)
{
	RemoteRole	none = {InvalidOid, false};

	return tell(conn, none);
}

/*
 * The transaction there, or a part of it, has ended.  After an error nothing else comes
 * before that.
 */
void
remote_role_forget(ShoalConn *conn)
{
	ShoalConnPrivate *priv = conn->priv;

	priv->role.userid = InvalidOid;
	priv->role.restricted = false;
	priv->role_unsure = false;
}
