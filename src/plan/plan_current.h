/*
 * plan_current.h
 *		WHERE CURRENT OF a cursor on a Shoal table.
 */
#ifndef PLAN_CURRENT_H
#define PLAN_CURRENT_H

#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"

#include "meta/meta.h"
#include "plan/plan_fragment.h"
#include "plan/plan_shape.h"

/* May rows of the cursor be told from each other by those who write? */
extern bool shoal_current_is_wanted(Query *query, const ShoalShape *whole,
									int cursor_options);

/*
 * The plan of such a cursor: one fragment, whose rows have hidden columns that
 * tell where they are.
 */
extern PlannedStmt *shoal_current_plan(Query *query, const ShoalShape *whole,
									   int cursor_options);

/* Does a write have WHERE CURRENT OF? */
extern bool shoal_current_is_used(Query *query);

/*
 * A copy of the write in which that is a condition on the row's key and place.
 * Error 0A000 if the table has no places that a cursor could tell.
 */
extern Query *shoal_current_replace(Query *query, const ShoalTable *table);

#endif							/* PLAN_CURRENT_H */
