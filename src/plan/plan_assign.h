/*
 * plan_assign.h
 *		Assignments to parts of columns, and to several columns at once.
 */
#ifndef PLAN_ASSIGN_H
#define PLAN_ASSIGN_H

#include "nodes/parsenodes.h"

/* Does any target of an INSERT or UPDATE set part of a column only? */
extern bool shoal_assign_any(List *targetlist);

/* Does one subquery set several columns? */
extern bool shoal_assign_is_multi(List *targetlist);

/*
 * The targets with a subquery of its own for each such column; shares what it
 * does not change.  NIL if that would not be the same, as the subquery has a
 * volatile function.
 */
extern List *shoal_assign_single(List *targetlist);

/*
 * The targets with one entry for each part of a column that is set, as the
 * deparser wants it.  Shares what it does not change.
 */
extern List *shoal_assign_split(List *targetlist);

/*
 * The targets of an UPDATE with those set by one subquery together, in the
 * order of its results, as the deparser wants them.
 */
extern List *shoal_assign_order(List *targetlist);

/*
 * The targets of an UPDATE, of what ON CONFLICT does or of an action of a MERGE.  If
 * there are none, as the statement sets generated columns only, which the rewriter takes
 * out, these are set to their default, as in the statement.
 */
extern List *shoal_assign_any_at_all(Query *query, List *targetlist);

#endif							/* PLAN_ASSIGN_H */
