/*
 * plan_rights.h
 *		Policies of statements that nodes are sent in another form.
 */
#ifndef PLAN_RIGHTS_H
#define PLAN_RIGHTS_H

#include "nodes/parsenodes.h"

/*
 * What nodes are to be told (ShoalScope.rights) where an INSERT, UPDATE or DELETE
 * is sent as another statement; 0 if its table has no policies.
 */
extern int	shoal_rights_of_write(Query *query);

/* The same for the query that finds the rows of one; 0 for one of the user's. */
extern int	shoal_rights_of_locking(Query *query);

/* For a copy of an UPDATE or DELETE that is to be such a query. */
extern void shoal_rights_note(Query *query);

/*
 * Can a node that has just the new row's shard test the policies for it?  Sets
 * the reason if not.
 */
extern bool shoal_rights_fit_row(Query *query, const char **why);

/* Are there policies that new rows of the query's table are checked by? */
extern bool shoal_rights_check_rows(Query *query);

/*
 * For a write that is one action of a MERGE: what it needs of the MERGE's rights, and
 * its policies as the rewriter would have put them there.
 */
extern void shoal_rights_secure(Query *query);

/* On the node: puts the policies of a statement with these rights in place. */
extern void shoal_rights_apply(Query *query, int rights);

#endif							/* PLAN_RIGHTS_H */
