/*
 * plan_quiet.h
 *		Functions that certainly run no queries.
 */
#ifndef PLAN_QUIET_H
#define PLAN_QUIET_H

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

#endif							/* PLAN_QUIET_H */
