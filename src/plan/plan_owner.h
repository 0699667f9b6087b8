/*
 * plan_owner.h
 *		Writing through another role's view.
 */
#ifndef PLAN_OWNER_H
#define PLAN_OWNER_H

#include "nodes/parsenodes.h"

/*
 * The role as which a write has to be done on nodes, because the current user
 * may do it through a view only; InvalidOid: as the current user.  fired: the
 * table's triggers are fired here (plan_fire.c).  found: nodes are just told which
 * rows to write, and their new values (plan_rows.c).
 */
extern Oid	shoal_owner_to_write_as(Query *query, bool fired, bool found);

#endif							/* PLAN_OWNER_H */
