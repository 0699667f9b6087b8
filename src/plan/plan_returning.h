/*
 * plan_returning.h
 *		RETURNING with expressions that have to be worked out here.
 */
#ifndef PLAN_RETURNING_H
#define PLAN_RETURNING_H

#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"

/*
 * Replaces RETURNING of a write by the columns that it needs, in place, and
 * returns what it was (list of TargetEntry) with references to these as Vars of
 * INDEX_VAR; NIL, and the query as it was, if it has something that can't be
 * worked out from columns.
 */
extern List *shoal_returning_columns(Query *query);

/*
 * The same for a copy of the query, which takes its place, if RETURNING has
 * something that can't be worked out on nodes, or would come out differently on
 * each (each: the write is done on every one).  Else NIL.
 */
extern List *shoal_returning_cut(Query **query, bool each);

/* Is it one of these columns that tells whether a row of no named type is there? */
extern bool shoal_returning_is_record_test(Node *node);

/* Has the plan of such a query, whose top is a custom scan, return that. */
extern void shoal_returning_put(PlannedStmt *stmt, List *targetlist);

/*
 * A write whose RETURNING has subqueries, as a WITH query: the write returns
 * columns, and a SELECT from these works out the rest.  For shoal_with_plan; the
 * statement's kind is the write's.
 */
extern Query *shoal_returning_apart(Query *query);

#endif							/* PLAN_RETURNING_H */
