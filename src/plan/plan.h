/*
 * plan.h
 *		The coordinator's planner: what other layers call.
 */
#ifndef PLAN_H
#define PLAN_H

#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"

/* Installs planner_hook and set_rel_pathlist_hook.  Called from _PG_init. */
extern void shoal_plan_init(void);

#endif							/* PLAN_H */
