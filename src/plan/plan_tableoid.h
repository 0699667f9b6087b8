/*
 * plan_tableoid.h
 *		The system column tableoid of distributed tables.
 */
#ifndef PLAN_TABLEOID_H
#define PLAN_TABLEOID_H

#include "nodes/parsenodes.h"

/*
 * Has tableoid in the query name tables as users know them, not shards, and ctid a row
 * of the table.
 */
extern Query *shoal_tableoid_rewrite(Query *query);

/*
 * What a node returns for it, as a column of type regclass, whose values travel
 * as names since nodes have numbers of their own; and the value of such a column
 * here.
 */
extern Expr *shoal_tableoid_column(Var *var);
extern Expr *shoal_tableoid_from_column(Var *column);

#endif							/* PLAN_TABLEOID_H */
