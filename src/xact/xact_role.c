/*
 * xact_role.c
 *		Node side: statements of a role that is not the session's.
 *
 * A coordinator's session on a node is one of the user's, and all that a transaction
 * does there is done in it.  For what runs as another role on one server (in
 * security-definer functions, or with the rights of a view's owner) the coordinator
 * says so ahead of the statement.  The session acts as that role until it hears
 * something else, or its transaction or subtransaction ends, or another one begins: to
 * take back what that has set, the role perhaps, core has to be outside of such.  It is restricted like
 * a security-definer function: what runs there can't become the session's user again.
 *
 * That it is a coordinator who says so is seen, as for all such calls, by the session
 * (meta_origin.c), and by the message of the client's that the call is in: functions
 * that run on the node have no part in it.  Besides, the call brings a proof, which
 * holds for this process, and which only the nodes of the cluster can make.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "xact/xact.h"
#include "xact/xact_private.h"

PG_FUNCTION_INFO_V1(shoal_internal_act_as);

/* in this transaction */
static bool has_acted = false;

static void
check_proof(const char *role, bool restricted, const char *proof)
{
	char	   *user = GetUserNameFromId(GetSessionUserId(), false);

	if (!shoal_meta_is_proof(proof,
							 shoal_meta_role_proof(user, role, restricted, MyProcPid)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to act as role \"%s\"", role)));
}

/*
 * shoal.internal_act_as(role, restricted, proof).  Role '': the session's user, or
 * whom that has chosen by SET ROLE.
 */
Datum
shoal_internal_act_as(PG_FUNCTION_ARGS)
{
	char	   *role = text_to_cstring(PG_GETARG_TEXT_PP(0));
	bool		restricted = PG_GETARG_BOOL(1);
	int			context = SECURITY_LOCAL_USERID_CHANGE;

	shoal_xact_check_internal();
	check_proof(role, restricted, text_to_cstring(PG_GETARG_TEXT_PP(2)));
	if (*role == '\0')
		SetUserIdAndSecContext(GetOuterUserId(), 0);
	else
	{
		if (restricted)
			context |= SECURITY_RESTRICTED_OPERATION;
		has_acted = true;
		SetUserIdAndSecContext(get_role_oid(role, false), context);
	}
	PG_RETURN_VOID();
}

/*
 * Before a subtransaction begins, or the transaction ends: what is put off until then,
 * like deferred triggers, is done by the session's user.
 */
void
xact_role_leave(void)
{
	if (has_acted)
		SetUserIdAndSecContext(GetOuterUserId(), 0);
}

void
xact_role_reset(void)
{
	xact_role_leave();
	has_acted = false;
}
