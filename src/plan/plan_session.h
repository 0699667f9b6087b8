/*
 * plan_session.h
 *		Functions on nodes that do something to the client's session.
 */
#ifndef PLAN_SESSION_H
#define PLAN_SESSION_H

#include "nodes/plannodes.h"

/*
 * In place, on a node, in a function's statement: calls of pg_notify() and set_config()
 * become calls of shoal.session_notify() and shoal.session_set_config().
 */
extern void shoal_session_rewrite(Query *query);

/* The same for a plan, in which core has put bodies of SQL functions. */
extern void shoal_session_rewrite_plan(PlannedStmt *stmt);

#endif							/* PLAN_SESSION_H */
