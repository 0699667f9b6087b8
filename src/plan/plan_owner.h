/*
 * plan_owner.h
 *		Writing through another role's view.
 */
#ifndef PLAN_OWNER_H
#define PLAN_OWNER_H

#include "nodes/parsenodes.h"

/* Is it a write that the current user may do through another role's view only? */
extern bool shoal_owner_is_needed(Query *query);

/*
 * Is it one whose rows have to be made (INSERT) or found here, since the owner may not do
 * that, and is that a way?
 */
extern bool shoal_owner_is_hindered(Query *query);

/*
 * The role as which a write has to be done on nodes, because the current user
 * may do it through a view only; InvalidOid: as the current user.  fired: the
 * table's triggers are fired here (plan_fire.c).  found: nodes are just told which
 * rows to write, and their new values (plan_rows.c).
 */
extern Oid	shoal_owner_to_write_as(Query *query, bool fired, bool found);

#endif							/* PLAN_OWNER_H */
