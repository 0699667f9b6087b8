/*
 * plan_conflict.h
 *		ON CONFLICT DO UPDATE with triggers that are fired by the coordinator.
 */
#ifndef PLAN_CONFLICT_H
#define PLAN_CONFLICT_H

#include "nodes/parsenodes.h"
#include "utils/relcache.h"

#include "meta/meta.h"
#include "plan/plan_fragment.h"

/* Can that be done (plan_fire.c) for an INSERT's ON CONFLICT DO UPDATE? */
extern bool shoal_conflict_is_possible(Query *query, const ShoalTable *table,
									   Relation rel);

/* Describes in *fire how the row that is in the way is found. */
extern void shoal_conflict_describe(Query *query, Relation rel,
									ShoalFire *fire);

#endif							/* PLAN_CONFLICT_H */
