/*
 * plan_share.h
 *		Which fragments a node may run in several shares at once.
 */
#ifndef PLAN_SHARE_H
#define PLAN_SHARE_H

#include "nodes/parsenodes.h"

#include "plan/plan_shape.h"

/*
 * The sharded tables (OID list) that a query reads or writes, if a node may run
 * it for some of its shards over one connection and for others over another
 * one, at the same time, and core's parallel plans are of no help.  Else NIL.
 */
extern List *shoal_share_tables(Query *query, const ShoalShape *shape);

#endif							/* PLAN_SHARE_H */
