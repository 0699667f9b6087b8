/*
 * plan_inline.h
 *		Functions in FROM whose body takes their place.
 */
#ifndef PLAN_INLINE_H
#define PLAN_INLINE_H

#include "nodes/pathnodes.h"
#include "nodes/plannodes.h"

/* Whether an entry of a range table may be such a function. */
extern bool shoal_inline_may(const RangeTblEntry *rte);

/* Puts their bodies in place, at all levels; what the plan depends on by that. */
extern PlannerGlobal *shoal_inline_functions(Query *query);

/* Tells the plan what it depends on; glob may be NULL. */
extern void shoal_inline_note(PlannedStmt *stmt, const PlannerGlobal *glob);

#endif							/* PLAN_INLINE_H */
