/*
 * ddl_session.c
 *		Commands of functions on nodes that are about the client's session.
 *
 * NOTIFY and SET are told to the coordinator (xact_session.c).  What can't be done
 * there is refused rather than done to a session that is not the client's.
 */
#include "postgres.h"

#include "tcop/utility.h"

#include "base/base_compat.h"
#include "xact/xact.h"
#include "ddl/ddl_utility.h"

static void
run_notify(ShoalUtility *call)
{
	NotifyStmt *stmt = (NotifyStmt *) call->stmt;

	shoal_session_say_notification(stmt->conditionname, stmt->payload);
}

/* Whether the statement is about one setting. */
static bool
run_set(ShoalUtility *call)
{
	VariableSetStmt *stmt = (VariableSetStmt *) call->stmt;
	char	   *before;

	if (stmt->kind == VAR_SET_MULTI || stmt->kind == VAR_RESET_ALL)
		return false;
	before = shoal_session_setting(stmt->name);
	shoal_ddl_core(call);
	shoal_session_say_setting(stmt->name, before, stmt->is_local);
	return true;
}

void
shoal_ddl_run_session(ShoalUtility *call)
{
	if (!shoal_session_is_elsewhere(call->query_string))
		shoal_ddl_core(call);
	else if (IsA(call->stmt, NotifyStmt))
		run_notify(call);
	else if (!IsA(call->stmt, VariableSetStmt) || !run_set(call))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a function that runs on a node cannot use %s",
						CreateCommandName(call->stmt))));
}
