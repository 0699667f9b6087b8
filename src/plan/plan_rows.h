/*
 * plan_rows.h
 *		UPDATE and DELETE whose rows are worked out here.
 */
#ifndef PLAN_ROWS_H
#define PLAN_ROWS_H

#include "nodes/parsenodes.h"

#include "meta/meta.h"
#include "plan/plan_fragment.h"

/*
 * Takes an UPDATE or DELETE of a Shoal table apart: *select finds and
 * locks its rows, and computes new values; the node described by *insert, on
 * top of its plan, writes each row where it is.  What the node returns are the
 * columns of *returned, which is a list for shoal_returning_put; NIL without
 * RETURNING.  False if that can't be done; then *why says why, if it is known.
 */
extern bool shoal_rows_split(Query *query, const ShoalTable *table,
							 Query **select, ShoalInsert *insert,
							 List **columns, List **returned, const char **why);

#endif							/* PLAN_ROWS_H */
