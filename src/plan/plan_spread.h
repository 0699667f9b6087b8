/*
 * plan_spread.h
 *		Moving rows so that a query can run where they are.
 */
#ifndef PLAN_SPREAD_H
#define PLAN_SPREAD_H

#include "nodes/params.h"
#include "nodes/parsenodes.h"

#include "meta/meta.h"

/*
 * For a SELECT whose FROM and WHERE are not spread over shards as its tables
 * lie: if moving rows of some tables between nodes would make it so, and that
 * looks cheaper than reading all tables here, changes the query accordingly
 * (in place) and returns true.  Asks nodes for estimates.
 *
 * The same for an UPDATE or DELETE on a distributed table that can't run on
 * each shard by itself, at any cost.
 *
 * Either way the fragments have to be made while shoal_planning is as it is.
 */
extern bool shoal_spread_query(Query *query, ParamListInfo params);

/*
 * Rows of a SELECT (without junk columns) that belong to the shards of a table by
 * one of its columns: if nodes can send them to each other, and they are not too
 * few for that, puts a query in its place that reads them where they have
 * arrived, and returns true.  always: also if they are few, and if they have to be
 * sent from here.
 */
extern bool shoal_spread_rows(Query **rows, const ShoalTable *table, int key,
							  ParamListInfo params, bool always);

#endif							/* PLAN_SPREAD_H */
