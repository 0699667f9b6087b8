/*
 * plan_check.h
 *		Conditions of views, in the text of a write.
 */
#ifndef PLAN_CHECK_H
#define PLAN_CHECK_H

#include "nodes/parsenodes.h"

/* Does the write have to check rows for a view? */
extern bool shoal_check_any(Query *query);

/*
 * The query itself if there is nothing to check; else a copy whose RETURNING
 * list does it.  If the query returned nothing, its copy returns a column that
 * nobody wants.
 */
extern Query *shoal_check_fold(Query *query);

/*
 * A write through a security_barrier view with the view's condition in WHERE.
 * Error 0A000 if that could tell the user of rows that the view hides.
 */
extern Query *shoal_check_lower_barrier(Query *query);

#endif							/* PLAN_CHECK_H */
