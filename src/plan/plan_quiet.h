/*
 * plan_quiet.h
 *		Functions that certainly run no queries.
 */
#ifndef PLAN_QUIET_H
#define PLAN_QUIET_H

#include "nodes/nodes.h"
#include "utils/relcache.h"
#include "utils/reltrigger.h"

/* True if neither the trigger's function nor its condition runs a query. */
extern bool shoal_quiet_is_trigger(const Trigger *trigger);

/* True if, besides, they give the same on a node as in the client's session. */
extern bool shoal_quiet_is_free(const Trigger *trigger);

/*
 * True if a function certainly does not look at a table that is written, nor writes
 * itself; none: at any table.  What triggers of the table write it may look at.
 */
extern bool shoal_quiet_is_function(Oid funcid, Oid relid);

/*
 * True if an expression, or a function, calls what may look at the rows of a table that
 * a statement has written so far.
 */
extern bool shoal_quiet_is_curious(Node *expr, Relation rel);
extern bool shoal_quiet_is_curious_function(Oid funcid, void *relid);

/* For that: the table, if all that a write changes are its rows; triggers may do more. */
extern Oid	shoal_quiet_written_table(Relation rel);

#endif							/* PLAN_QUIET_H */
