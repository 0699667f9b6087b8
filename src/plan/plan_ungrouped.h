/*
 * plan_ungrouped.h
 *		Columns that depend on a primary key by which a query groups.
 */
#ifndef PLAN_UNGROUPED_H
#define PLAN_UNGROUPED_H

#include "nodes/parsenodes.h"

/*
 * Makes a query and those inside it group by such columns as well. Their
 * constraintDeps are left only where that can't be.
 */
extern void shoal_ungrouped_group(Query *query);

#endif							/* PLAN_UNGROUPED_H */
